package api_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/edge/web"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

// equalDocument compares the part of a document between two marks with what the code says.
func equalDocument(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join("..", "..", "..", "docs", name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- generated: begin -->\n", "<!-- generated: end -->"
	head, rest, ok1 := strings.Cut(string(raw), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", name)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("docs/%s is not what the code says; run make generate", name)
		return
	}
	if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// placesOf groups the routes for the small table: each is in the first place whose beginning it has.
var placesOf = []struct{ name, beginning string }{
	{"service desk", "/v1/tickets"}, {"service desk", "/v1/reports"}, {"service desk", "/v1/sla-policies"},
	{"who am I", "/v1/auth/me"}, {"enrolling factors", "/v1/auth/mfa/factors"}, {"sessions, passwords", "/v1/auth"},
	{"the rest of `/v1`", "/v1/"},
	{"`/verify`", "/verify"}, {"`/api/users`, refresh", "/api/users/refresh"},
	{"`/api/users`, refresh", "/api/users/application-token"}, {"`/api/users`", "/api/users/application-tokens"},
	{"`/api/v1/{account}`", "/api/v1/"},
	{"`/up/v5`", "/up/v5/"},
}

// writePlaces writes the table of kind × place: yes where every route of the place takes the kind, some where one does.
func writePlaces(b *strings.Builder, routes []web.Route) {
	var names []string
	total, taken := map[string]int{}, map[string]int{}
	for _, r := range routes {
		name, best := "", ""
		for _, p := range placesOf {
			if strings.HasPrefix(r.Pattern, p.beginning) &&
				(best == "" || len(p.beginning) > len(best) && strings.HasPrefix(p.beginning, "/api/users")) {
				name, best = p.name, p.beginning
			}
		}
		if r.Public != "" || name == "" {
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		total[name]++
		for _, k := range r.Accepts {
			taken[name+string(k)]++
		}
	}
	b.WriteString("| kind | " + strings.Join(names, " | ") + " |\n| --- |" + strings.Repeat(" --- |",
		len(names)) + "\n")
	for _, k := range append(slices.Clone(authn.Tokens), authn.ItemPathRefresh, authn.Password, authn.WaitingSignIn,
		authn.SetupLink) {
		b.WriteString("| " + strings.ReplaceAll(string(k), "_", " ") + " |")
		for _, name := range names {
			cell := ""
			switch taken[name+string(k)] {
			case 0:
			case total[name]:
				cell = "yes"
			default:
				cell = "some"
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString("\n")
	}
}

// G12, A33: the table of kind × place and that of routes, what each demands and which kinds of credential it takes, is
// the same in code and docs.
func TestG12_RoutesAreDocumented(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t))
	var b strings.Builder
	writePlaces(&b, s.Kit.Routes())
	b.WriteString("\n| method | path | demands | accepts |\n| --- | --- | --- | --- |\n")
	for _, r := range s.Kit.Routes() {
		demands := "public: " + r.Public
		if r.Permission != "" {
			demands = "`" + strings.ReplaceAll(r.Permission, "|", "` or `") + "`"
		} else if r.Self != "" {
			demands = "the caller: " + r.Self
		}
		if r.StepUp {
			demands += "; a recent proof"
		}
		kinds := make([]string, len(r.Accepts))
		for i, k := range r.Accepts {
			kinds[i] = strings.ReplaceAll(string(k), "_", " ")
		}
		method := r.Method
		if method == "" {
			method = "any"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", method, r.Pattern, demands, strings.Join(kinds, ", "))
	}
	equalDocument(t, "routes.md", b.String())
}

// guarding gives each resource and action that some route demands; manage does where one of its actions does.
func guarding(routes []web.Route) map[string]bool {
	words := map[string]bool{}
	for _, r := range routes {
		for word := range strings.SplitSeq(r.Permission, "|") {
			resource, _, _ := strings.Cut(word, ":")
			words[word], words[resource+":"+permission.Manage] = true, true
		}
	}
	return words
}

// A33–A38: the built-in roles' permissions are one table, in code and docs. What guards nothing is not in it: nobody
// should look for what it opens.
func TestA33_PermissionsAreDocumented(t *testing.T) {
	t.Parallel()
	guards := guarding(servertest.New(t, sqldbtest.SQLite(t)).Kit.Routes())
	var b strings.Builder
	b.WriteString("| permission |")
	for _, r := range permission.Builtins() {
		b.WriteString(" " + r.Name + " |")
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(permission.Builtins())) + "\n")
	for _, p := range permission.Catalog() {
		if !guards[p.Resource+":"+p.Action] {
			continue
		}
		fmt.Fprintf(&b, "| `%s` |", p)
		for _, r := range permission.Builtins() {
			mark := ""
			if r.Permissions.Holds(p) {
				mark = "yes"
			}
			b.WriteString(" " + mark + " |")
		}
		b.WriteString("\n")
	}
	equalDocument(t, "permissions.md", b.String())
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// fill puts ids into a pattern; sample chooses the id by the collection before it.
func fill(pattern string, ids map[string]string) string {
	collection := strings.Split(strings.TrimPrefix(pattern, "/v1/"), "/")[0]
	if strings.HasPrefix(pattern, "/v1/auth/sessions") {
		collection = "sessions"
	}
	if strings.HasPrefix(pattern, "/v1/auth/mfa/factors") {
		collection = "factors"
	}
	return parameter.ReplaceAllStringFunc(pattern, func(p string) string {
		switch p {
		case "{userId}":
			return ids["users"]
		case "{secretId}":
			return ids["secrets"]
		case "{provider}":
			return "oidc"
		case "{handle}":
			return "no-such-test"
		case "{connectionId}":
			return ids["connections"]
		case "{factor}":
			return ids["factors"]
		}
		return ids[collection]
	})
}

// things makes one of everything that has an id in the caller's organization.
func things(t *testing.T, s *servertest.Server, email string) map[string]string {
	t.Helper()
	as := s.As(t, email)
	domain := email[strings.Index(email, "@"):]
	made := func(path string, body map[string]any) string {
		return s.Do(t, "POST", path, body, as).Want(t, 201).String("id")
	}
	ids := map[string]string{
		"users":       made("/v1/users", map[string]any{"email": "thing" + domain, "role": "end_user"}),
		"teams":       made("/v1/teams", map[string]any{"name": "things"}),
		"roles":       made("/v1/roles", map[string]any{"name": "thing", "permissions": []string{"tickets:read:all"}}),
		"invitations": made("/v1/invitations", map[string]any{"email": "invited" + domain, "role": "end_user"}),
		"tickets":     made("/v1/tickets", map[string]any{"type": "task", "title": "thing"}),
	}
	for path, body := range map[string]map[string]any{
		"api-keys": {"name": "thing", "permissions": []string{"tickets:read:all"}}, "access-tokens": {"name": "thing"},
		"system-tokens": {"name": "thing"},
		"clients":       {"name": "thing", "permissions": []string{"tickets:read:all"}},
	} {
		ids[path] = made("/v1/"+path, body)
	}
	application := made("/v1/users", map[string]any{"email": "program" + domain, "role": "end_user",
		"type": "application"})
	ids["application-tokens"] = made("/v1/application-tokens", map[string]any{"name": "thing", "userId": application})
	ids["factors"] = made("/v1/auth/mfa/factors", map[string]any{"method": "totp"})
	ids["secrets"] = made("/v1/clients/"+ids["clients"]+"/secrets", map[string]any{"name": "another"})
	ids["connections"] = made("/v1/connections", map[string]any{"kind": "oidc", "name": "thing", "clientSecret": "x",
		"openId": map[string]any{"issuer": "https://idp.example.com", "clientId": "thing"}})
	ids["setup-links"] = made("/v1/setup-links", map[string]any{"intent": "sso"})
	ids["domains"] = s.Do(t, "POST", "/v1/domains", map[string]any{"name": "thing-" + domain[1:]}, as).Want(t, 201).
		String("name")
	s.Do(t, "PUT", "/v1/teams/"+ids["teams"]+"/members/"+ids["users"], nil, as).Want(t, 204)
	_, claims := decodeToken(t, s.Login(t, email).AccessToken)
	ids["sessions"] = claims["sessionId"].(string)
	return ids
}

// bodies are valid inputs of the routes that need one.
var bodies = map[string]map[string]any{
	"PATCH /v1/users/{id}":         {"name": "changed"},
	"PATCH /v1/teams/{id}":         {"name": "changed"},
	"PATCH /v1/roles/{id}":         {"description": "changed"},
	"PATCH /v1/invitations/{id}":   {"name": "changed"},
	"PATCH /v1/tickets/{id}":       {"status": "open"},
	"PATCH /v1/organizations/{id}": {"name": "changed"},

	"PATCH /v1/users/{id}/mfa":               {"required": true},
	"PATCH /v1/auth/mfa/factors/{id}":        {"name": "changed"},
	"POST /v1/auth/mfa/factors/{id}/confirm": {"code": "123456"},

	"PATCH /v1/connections/{id}": {"name": "changed"},
	"PATCH /v1/domains/{name}":   {"enforced": false},

	"PATCH /v1/api-keys/{id}":                   {"name": "changed"},
	"PATCH /v1/access-tokens/{id}":              {"name": "changed"},
	"PATCH /v1/system-tokens/{id}":              {"name": "changed"},
	"PATCH /v1/application-tokens/{id}":         {"name": "changed"},
	"PATCH /v1/clients/{id}":                    {"name": "changed"},
	"PATCH /v1/clients/{id}/secrets/{secretId}": {"name": "changed"},
	"POST /v1/clients/{id}/secrets":             {"name": "stolen"},
}

// A44, ATK59: every route that takes an id, called by one tenant's administrator with another tenant's id, says 404, as
// it does for an id that nobody has; and nothing of the other tenant has changed.
func TestATK59_ForeignIDs(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		foreign := things(t, s, servertest.Foreigner)
		own := things(t, s, servertest.Admin)
		as := s.As(t, servertest.Admin)
		nobody := make(map[string]string)
		for k, v := range own {
			nobody[k] = v[:strings.Index(v, "_")+1] + "01BX5ZZKBKACTAV9WEVGEMMVRZ"
		}
		snapshot := func() string {
			var all []string
			theirs := s.As(t, servertest.Foreigner)
			for _, path := range []string{"/v1/users", "/v1/teams", "/v1/roles", "/v1/invitations", "/v1/tickets",
				"/v1/api-keys", "/v1/access-tokens", "/v1/system-tokens", "/v1/application-tokens", "/v1/clients",
				"/v1/connections", "/v1/domains", "/v1/setup-links"} {
				all = append(all, string(s.Do(t, "GET", path, nil, theirs).Want(t, 200).Body))
			}
			return strings.Join(all, "\n")
		}
		before := snapshot()
		walked := 0
		for _, r := range s.Kit.Routes() {
			if !parameter.MatchString(r.Pattern) || !strings.HasPrefix(r.Pattern, "/v1/") ||
				strings.HasPrefix(r.Pattern, "/v1/organizations") || strings.HasPrefix(r.Pattern, "/v1/auth/sso/") ||
				strings.HasPrefix(r.Pattern, "/v1/connection-setup") {
				// those of the dialects: test/doors; those that browsers and set-up links walk through: test/sso
				continue
			}
			walked++
			for name, ids := range map[string]map[string]string{"foreign": foreign, "nobody's": nobody,
				"malformed": {"users": "usr_1", "teams": "x", "roles": "role_", "invitations": "inv_0",
					"tickets": "tkt_1", "sessions": "ses_1", "api-keys": "key_1", "access-tokens": "act_",
					"system-tokens": "sat_1", "application-tokens": "app_1", "clients": "cli_1", "secrets": "sec_1",
					"factors": "fac_1", "connections": "con_1", "domains": "x", "setup-links": "sul_1"}} {
				var body any
				if b := bodies[r.Method+" "+r.Pattern]; b != nil {
					body = b
				}
				if res := s.Do(t, r.Method, fill(r.Pattern, ids), body, as); res.Status != 404 ||
					res.Code() != "NOT_FOUND" {
					t.Errorf("%s %s with %s id: %d %s", r.Method, r.Pattern, name, res.Status, res.Body)
				}
			}
			if strings.Contains(r.Pattern, "{userId}") { // own team, foreign user
				mixed := map[string]string{"teams": own["teams"], "users": foreign["users"]}
				s.Do(t, r.Method, fill(r.Pattern, mixed), nil, as).Want(t, 404)
			}
			if strings.Contains(r.Pattern, "{secretId}") { // own client, foreign secret
				mixed := map[string]string{"clients": own["clients"], "secrets": foreign["secrets"]}
				var body any
				if b := bodies[r.Method+" "+r.Pattern]; b != nil {
					body = b
				}
				s.Do(t, r.Method, fill(r.Pattern, mixed), body, as).Want(t, 404)
			}
		}
		if walked < 15 {
			t.Errorf("only %d routes take an id?", walked)
		}
		if after := snapshot(); after != before {
			t.Errorf("the other tenant changed:\n%s\n%s", before, after)
		}
		// Ids inside bodies.
		for name, body := range map[string]map[string]any{
			"assignee":  {"type": "task", "title": "x", "assigneeId": foreign["users"]},
			"requester": {"type": "task", "title": "x", "requesterId": foreign["users"]},
			"team":      {"type": "task", "title": "x", "teamId": foreign["teams"]},
		} {
			if r := s.Do(t, "POST", "/v1/tickets", body, as); r.Status != 400 {
				t.Errorf("ticket with a foreign %s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "x@acme-corp.example", "role": "end_user",
			"teams": []string{foreign["teams"]}}, as).Want(t, 400)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "x@acme-corp.example", "role": "thing_of_others"}, as).
			Want(t, 400)
	})
}

// G1, A33, G5: every protected route refuses a caller without a credential, one with a broken one, and one without the
// permission; the operator routes refuse a tenant's administrator.
func TestA33_EveryRouteRefuses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ids := things(t, s, servertest.Admin)
		ids["organizations"] = s.Organization("second-tenant")
		nothing := s.Do(t, "POST", "/v1/roles", map[string]any{"name": "nothing", "permissions": []string{}},
			s.As(t, servertest.Admin)).Want(t, 201).String("name")
		url := s.Do(t, "POST", "/v1/users", map[string]any{"email": "nothing@acme-corp.example", "role": nothing},
			s.As(t, servertest.Admin)).Want(t, 201).String("setPasswordUrl")
		_, token, _ := strings.Cut(url, "#token=")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token,
			"password": "nothing but a passphrase"}).Want(t, 200)
		powerless := servertest.Bearer(s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": "nothing@acme-corp.example", "password": "nothing but a passphrase"}).Want(t, 200).
			String("accessToken"))
		admin := s.As(t, servertest.Admin)
		protected := 0
		for _, r := range s.Kit.Routes() {
			if r.Public != "" || !strings.HasPrefix(r.Pattern, "/v1/") { // those of the dialects: test/doors
				continue
			}
			protected++
			path := fill(r.Pattern, ids)
			name := r.Method + " " + r.Pattern
			var body any
			if b := bodies[name]; b != nil {
				body = b
			}
			if res := s.Do(t, r.Method, path, body); res.Status != 401 || res.Code() != "UNAUTHORIZED" ||
				!strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s without a credential: %d %s", name, res.Status, res.Body)
			}
			if res := s.Do(t, r.Method, path, body, servertest.Bearer("aaaa.bbbb.cccc")); res.Status != 401 ||
				res.Code() != "INVALID_TOKEN" || !strings.Contains(res.Header.Get("WWW-Authenticate"),
				`error="invalid_token"`) {
				t.Errorf("%s with a broken token: %d %s %s", name, res.Status, res.Body,
					res.Header.Get("WWW-Authenticate"))
			}
			if r.Permission == "" {
				continue
			}
			// The permission is judged before the body is read: no body, and still 403.
			if res := s.Do(t, r.Method, path, nil, powerless); res.Status != 403 || res.Code() != "FORBIDDEN" ||
				!strings.Contains(res.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
				t.Errorf("%s without the permission: %d %s", name, res.Status, res.Body)
			}
			if strings.HasPrefix(r.Permission, permission.PlatformResource+":") {
				if res := s.Do(t, r.Method, path, body, admin); res.Status != 403 {
					t.Errorf("%s by a tenant's administrator: %d %s", name, res.Status, res.Body)
				}
			}
		}
		if protected < 35 {
			t.Errorf("only %d protected routes?", protected)
		}
	})
}

// G5, WEB09, ATK39: one strict decoder for all bodies.
func TestWEB09_StrictJSON(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
		for _, c := range []struct {
			name, body string
			status     int
		}{
			{"good", `{"name":"good"}`, 201},
			{"unknown member", `{"name":"a","admin":true}`, 400},
			{"other case", `{"Name":"a"}`, 400},
			{"repeated member", `{"name":"a","name":"b"}`, 400},
			{"trailing data", `{"name":"a"} {"name":"b"}`, 400},
			{"trailing comma", `{"name":"a",}`, 400},
			{"byte order mark", "\ufeff" + `{"name":"marked"}`, 201}, // RFC 8259 §8.1: a parser may skip it
			{"two marks", "\ufeff\ufeff" + `{"name":"a"}`, 400},
			{"wrong type", `{"name":7}`, 400},
			{"array for object", `[{"name":"a"}]`, 400},
			{"null", `null`, 400},
			{"empty", ``, 400},
			{"deep", deep, 400},
			{"not UTF-8", "{\"name\":\"\xff\"}", 400},
			{"huge", `{"name":"` + strings.Repeat("a", 70_000) + `"}`, 413},
			{"control character", `{"name":"a\u0000b"}`, 400},
		} {
			r := s.Do(t, "POST", "/v1/teams", c.body, as)
			if r.Status != c.status {
				t.Errorf("%s: %d, want %d: %.200s", c.name, r.Status, c.status, r.Body)
			}
			if r.Status >= 400 &&
				(r.Header.Get("Content-Type") != "application/problem+json" || r.String("requestId") == "" ||
					r.String("title") == "") {
				t.Errorf("%s: not a problem document: %s %.200s", c.name, r.Header.Get("Content-Type"), r.Body)
			}
		}
		for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""} {
			r := s.Do(t, "POST", "/v1/teams", `{"name":"typed"}`, as, func(r *httpRequest) {
				r.Header.Set("Content-Type", ct)
			})
			if r.Status != 415 || r.Code() != "UNSUPPORTED_MEDIA_TYPE" {
				t.Errorf("Content-Type %q: %d %s", ct, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/teams", `{"name":"charset"}`, as, func(r *httpRequest) {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
		}).Want(t, 201)
	})
}

// G5, WEB08: what is not a route is a problem document too; odd paths name nothing, and a wrong method says what would
// be right.
func TestG5_NoSuchRoute(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for _, path := range []string{"/", "/v1", "/v1/nothing", "/v1/users/", "//v1/users", "/v1//users",
			"/v1/./users", "/v1/x/../users", "/v1/users;a=b", "/v1/users%2F", "/v1/%75sers", "/v1/users%00",
			"/v1/auth/%2e%2e/users", "/v1/users/.."} {
			r := s.Do(t, "GET", path, nil, as)
			if r.Status != 404 || r.Code() != "NOT_FOUND" {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		r := s.Do(t, "DELETE", "/v1/users", nil, as).Want(t, 405, "METHOD_NOT_ALLOWED")
		if r.Header.Get("Allow") != "GET, POST" {
			t.Errorf("Allow %q", r.Header.Get("Allow"))
		}
	})
}

// G6: lists answer one shape, in pages; a cursor works only where it was given, unchanged.
func TestG6_Lists(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for i := range 7 {
			s.Do(t, "POST", "/v1/teams", map[string]any{"name": fmt.Sprintf("team %d", i)}, as).Want(t, 201)
		}
		seen := map[string]bool{}
		cursor, pages := "", 0
		for {
			r := s.Do(t, "GET", "/v1/teams?limit=4&cursor="+cursor, nil, as).Want(t, 200)
			var page struct {
				Data    []struct{ ID string }
				HasMore bool
				Cursor  *string
			}
			r.Into(t, &page)
			if pages++; page.HasMore != (page.Cursor != nil) || len(page.Data) > 4 {
				t.Fatalf("page %s", r.Body)
			}
			for _, d := range page.Data {
				if seen[d.ID] {
					t.Errorf("%s twice", d.ID)
				}
				seen[d.ID] = true
			}
			if !page.HasMore {
				break
			}
			cursor = *page.Cursor
		}
		if len(seen) != 9 || pages != 3 {
			t.Errorf("%d teams in %d pages, want 9 in 3", len(seen), pages)
		}
		empty := s.Do(t, "GET", "/v1/invitations", nil, as).Want(t, 200)
		if string(empty.Body) != `{"data":[],"hasMore":false,"cursor":null}` {
			t.Errorf("an empty list is %s", empty.Body)
		}
		for _, q := range []string{"limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1e3", "unknown=1",
			"cursor=" + cursor + "x", "cursor=AAAA", "cursor=" + strings.Repeat("A", 300), "cursor=%00"} {
			s.Do(t, "GET", "/v1/teams?"+q, nil, as).Want(t, 400, "VALIDATION_ERROR")
		}
		s.Do(t, "GET", "/v1/teams?limit=1000", nil, as).Want(t, 200)
		s.Do(t, "GET", "/v1/users?cursor="+cursor, nil, as).Want(t, 400)                            // of another list
		s.Do(t, "GET", "/v1/teams?cursor="+cursor, nil, s.As(t, servertest.Foreigner)).Want(t, 400) // of another tenant
		one := s.Do(t, "GET", "/v1/users?limit=1&state=active", nil, as).Want(t, 200).String("cursor")
		s.Do(t, "GET", "/v1/users?limit=1&state=active&cursor="+one, nil, as).Want(t, 200)
		s.Do(t, "GET", "/v1/users?limit=1&state=disabled&cursor="+one, nil, as).Want(t, 400) // with another filter
		// every single bit of the cursor counts
		for i := range len(one) {
			changed := []byte(one)
			if changed[i]++; changed[i] == '{' || changed[i] == '[' || changed[i] == ':' || changed[i] == '.' ||
				changed[i] == '`' {
				changed[i] = 'A'
			}
			if string(changed) == one {
				continue
			}
			if r := s.Do(t, "GET", "/v1/users?limit=1&state=active&cursor="+string(changed), nil, as); r.Status != 400 {
				t.Errorf("a cursor changed at %d is accepted: %d", i, r.Status)
			}
		}
	})
}

// G6: a parameter of the query that is given twice is refused at every operation of the document that has one, whether
// its values agree or not; so is one that there is not.
func TestG6_ParametersOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var document struct {
			Paths map[string]map[string]struct {
				Parameters []struct{ Name, In string }
			}
		}
		s.Do(t, "GET", "/openapi.json", nil).Want(t, 200).Into(t, &document)
		operator, asked := s.As(t, servertest.Operator), 0
		link := servertest.Bearer(s.Do(t, "POST", "/v1/setup-links", map[string]any{"intent": "sso"},
			operator).Want(t, 201).String("token"))
		inPath := regexp.MustCompile(`\{[^}]+\}`)
		for path, operations := range document.Paths {
			for method, o := range operations {
				path, method, as := inPath.ReplaceAllString(path, "x"), strings.ToUpper(method), operator
				if strings.HasPrefix(path, "/v1/connection-setup") {
					as = link
				}
				for _, p := range o.Parameters {
					if p.In != "query" {
						continue
					}
					asked++
					for _, query := range []string{"1&" + p.Name + "=1", "&" + p.Name + "=2"} {
						r := s.Do(t, method, path+"?"+p.Name+"="+query, nil, as)
						if r.Status != 400 || !strings.Contains(string(r.Body), `"is given more than once"`) {
							t.Errorf("%s %s, %s twice: %d %s", method, path, p.Name, r.Status, r.Body)
						}
					}
				}
				if r := s.Do(t, method, path+"?nothing=1", nil, as); method == "GET" && r.Status != 400 {
					t.Errorf("%s %s, an unknown parameter: %d %s", method, path, r.Status, r.Body)
				}
			}
		}
		if asked < 30 {
			t.Errorf("only %d parameters", asked)
		}
	})
}
