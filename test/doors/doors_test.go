package doors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// refusal is how a door says no: the status and the member of the body that says why, with its value.
type refusal struct {
	status int
	member string
	value  string
}

func (w refusal) matches(r servertest.Response) bool {
	return r.Status == w.status && r.String(w.member) == w.value
}

// door is a group of routes with one form of errors.
type door struct {
	name      string
	prefix    string
	missing   refusal // no credential
	broken    refusal // something like a token that is none
	wrongKind refusal // a good credential of a kind that is not for here
	powerless refusal // a good credential of the right kind without the permission
}

// The doors; the longest prefix is the one that counts.
var allDoors = []door{
	{"/v1", "/v1/", refusal{401, "code", "UNAUTHORIZED"}, refusal{401, "code", "INVALID_TOKEN"},
		refusal{401, "code", "INVALID_TOKEN"}, refusal{403, "code", "FORBIDDEN"}},
	{"/verify", "/verify", refusal{401, "code", "UNAUTHORIZED"}, refusal{401, "code", "INVALID_TOKEN"},
		refusal{401, "code", "INVALID_TOKEN"}, refusal{403, "code", "FORBIDDEN"}},
	{"ItemPath", "/api/users/", refusal{401, "msg", "Missing Authorization Header"},
		refusal{422, "msg", "Signature verification failed"}, refusal{422, "msg", "Only access tokens are allowed"},
		refusal{}},
	{"ItemPath, refresh token", "/api/users/refresh", refusal{401, "msg", "Missing Authorization Header"},
		refusal{422, "msg", "Signature verification failed"}, refusal{422, "msg", "Only refresh tokens are allowed"},
		refusal{}},
	{"ItemPath, refresh token", "/api/users/application-token ", refusal{401, "msg", "Missing Authorization Header"},
		refusal{422, "msg", "Signature verification failed"}, refusal{422, "msg", "Only refresh tokens are allowed"},
		refusal{}},
	{"EasyVista", "/api/v1/", refusal{401, "error_code", "UNAUTHORIZED"}, refusal{401, "error_code", "INVALID_TOKEN"},
		refusal{401, "error_code", "INVALID_TOKEN"}, refusal{403, "error_code", "FORBIDDEN"}},
	{"ServiceBroker", "/up/v5/", refusal{401, "Code", "UNAUTHORIZED"}, refusal{401, "Code", "INVALID_TOKEN"},
		refusal{401, "Code", "INVALID_TOKEN"}, refusal{401, "Code", "FORBIDDEN"}},
}

func doorOf(t *testing.T, pattern string) door {
	t.Helper()
	var found door
	for _, d := range allDoors {
		if strings.HasPrefix(pattern+" ", d.prefix) && len(d.prefix) > len(found.prefix) {
			found = d
		}
	}
	if found.name == "" {
		t.Fatalf("%s is at no door that is known here", pattern)
	}
	return found
}

// holder is a credential of one kind, with the account it belongs to.
type holder struct {
	kind    authn.Kind
	account string
	send    servertest.Change
}

// holders gives one of every kind there is. What speaks OAuth at ServiceBroker's door lives in a tenant of its own: no
// tenant has both kinds.
func holders(t *testing.T, s *servertest.Server) []holder {
	t.Helper()
	out := []holder{}
	for _, m := range s.Seeded(t) {
		out = append(out, holder{authn.Kind(m.Kind), "acme-corp", m.Send()})
	}
	people := s.ItemPath(t, "integration")
	broker := s.Provision(t, "Broker", "OAuth2")
	return append(out,
		holder{authn.ItemPathToken, "acme-corp", servertest.Bearer(people.AccessToken)},
		holder{authn.ItemPathRefresh, "acme-corp", servertest.Bearer(people.RefreshToken)},
		holder{authn.BrokerToken, broker.SID,
			servertest.Bearer(s.BrokerToken(t, broker.ClientID, broker.ClientSecret))},
		holder{authn.SecuriThingsToken, "acme-corp", servertest.Bearer(s.SecuriThings(t))},
		holder{authn.Password, "acme-corp", servertest.Demo("manager")},
		holder{authn.WaitingSignIn, "acme-corp", servertest.Bearer(s.MustEnroll(t, servertest.EndUser))},
		holder{authn.SetupLink, "acme-corp", servertest.Bearer(s.Do(t, "POST", "/v1/setup-links",
			map[string]any{"intent": "sso"}, s.As(t, servertest.Admin)).Want(t, 201).String("token"))},
	)
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// address fills a pattern with an account and ids that nobody has.
func address(pattern, account string) string {
	pattern = strings.Replace(pattern, "{"+web.AccountParameter+"}", account, 1)
	collection := map[string]string{"/v1/users": "usr_", "/api/v1/": "act_", "/up/v5/entityToken": "sat_",
		"/up/v5/entity/": "", "/api/users": "app_"}
	prefix := "tkt_"
	for start, p := range collection {
		if strings.HasPrefix(pattern, start) {
			prefix = p
		}
	}
	id := prefix + "01BX5ZZKBKACTAV9WEVGEMMVRZ"
	if prefix == "" {
		id = "01890a5d-ac96-774b-bcce-b302099a8057"
	}
	return parameter.ReplaceAllString(pattern, id)
}

func method(r web.Route) string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

// G12, ATK31: the table of kind × place holds in practice, over all dialects: every route, called with each kind of
// credential, refuses in its own form what it does not list and lets in, whatever it says then, what it does.
func TestG12_KindByPlace(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		cells := 0
		for _, h := range holders(t, s) {
			for _, r := range s.Kit.Routes() {
				if r.Public != "" || strings.HasPrefix(r.Pattern, "/v1/auth/logout") {
					continue
				}
				cells++
				d := doorOf(t, r.Pattern)
				res := s.Do(t, method(r), address(r.Pattern, h.account), nil, h.send)
				refused := d.wrongKind.matches(res)
				if h.kind == authn.Password { // another scheme altogether
					refused = d.missing.matches(res) ||
						res.String("msg") == "Bad Authorization header. Expected value 'Bearer <JWT>'"
				}
				if accepted := slices.Contains(r.Accepts, h.kind); accepted == refused {
					t.Errorf("%s %s with a %s: %d %s", r.Method, r.Pattern, h.kind, res.Status, res.Body)
				}
			}
		}
		if cells < 900 {
			t.Errorf("only %d cells", cells)
		}
	})
}

// G12: what the contract says of it, in so many words.
func TestG12_AsTheContractSays(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqlite(t))
	session, key, act, sat, app, client, broker, things, item, refresh, basic, waiting, link := authn.SessionToken,
		authn.APIKey, authn.AccessToken, authn.SystemToken, authn.ApplicationToken, authn.ClientToken,
		authn.BrokerToken, authn.SecuriThingsToken, authn.ItemPathToken, authn.ItemPathRefresh, authn.Password,
		authn.WaitingSignIn, authn.SetupLink
	machines := []authn.Kind{act, sat, app, client, broker, things}
	for _, c := range []struct {
		place string // a pattern begins with it
		kinds []authn.Kind
	}{
		{"/v1/tickets", append([]authn.Kind{session, key}, machines...)},
		{"/v1/reports", append([]authn.Kind{session, key}, machines...)},
		{"/v1/sla-policies", append([]authn.Kind{session, key}, machines...)},
		{"/v1/auth/me", append([]authn.Kind{session, key}, machines...)},
		{"/verify", append([]authn.Kind{session, key, item}, machines...)},
		{"/v1/users", []authn.Kind{session, key}}, {"/v1/organization", []authn.Kind{session, key}},
		{"/v1/auth/sessions", []authn.Kind{session}}, {"/v1/auth/password", []authn.Kind{session}},
		{"/v1/connection-setup", []authn.Kind{link}},
		{"/v1/auth/reauthenticate", []authn.Kind{session}}, {"/v1/auth/mfa", []authn.Kind{session, waiting}},
		{"/api/users/refresh", []authn.Kind{refresh}}, {"/api/users/application-tokens", []authn.Kind{item, app}},
		{"/api/v1/", []authn.Kind{act, basic}},
		{"/up/v5/entity", []authn.Kind{sat, broker}}, {"/up/v5/oauth2/userInfo", []authn.Kind{broker}},
	} {
		seen := 0
		for _, r := range s.Kit.Routes() {
			if r.Public != "" || !strings.HasPrefix(r.Pattern, c.place) ||
				strings.HasPrefix(r.Pattern, "/v1/users/{id}/sessions") ||
				strings.HasPrefix(r.Pattern, "/v1/users/{id}/password") ||
				strings.HasPrefix(r.Pattern, "/v1/users/{id}/identities/") ||
				strings.HasPrefix(r.Pattern, "/v1/users/{id}/mfa") || r.Pattern == "/v1/users/{id}/unlock" {
				continue
			}
			seen++
			for _, k := range r.Accepts {
				if !slices.Contains(c.kinds, k) {
					t.Errorf("%s %s accepts a %s", r.Method, r.Pattern, k)
				}
			}
			if c.place != "/api/users/application-tokens" && c.place != "/v1/auth/mfa" &&
				len(r.Accepts) != len(c.kinds) {
				t.Errorf("%s %s accepts %v, not %v", r.Method, r.Pattern, r.Accepts, c.kinds)
			}
		}
		if seen == 0 {
			t.Errorf("there is nothing at %s", c.place)
		}
	}
	for _, r := range s.Kit.Routes() {
		for _, word := range []string{"sessions", "password", "logout"} { // never a machine's
			if r.Public == "" && strings.Contains(r.Pattern, word) && !slices.Equal(r.Accepts, []authn.Kind{session}) {
				t.Errorf("a machine reaches %s %s", r.Method, r.Pattern)
			}
		}
		mints := r.Method == "POST" && (strings.HasSuffix(r.Pattern, "-tokens") || strings.HasSuffix(r.Pattern,
			"/clients") || strings.HasSuffix(r.Pattern, "/secrets") || strings.HasSuffix(r.Pattern, "/rotate"))
		if mints && !strings.HasPrefix(r.Pattern, "/v1/api-keys") && !slices.Equal(r.Accepts, []authn.Kind{session}) {
			t.Errorf("%s %s mints for %v", r.Method, r.Pattern, r.Accepts)
		}
	}
}

// G1, G5, A33, B9, C8, D9: every protected route of every door refuses, in the door's own form, a caller without a
// credential, with something broken, with two, and without the permission. Every 401 has its challenge.
func TestA33_EveryDoorRefuses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "nothing", "permissions": []string{}}, admin).Want(t, 201)
		token := s.AccessToken(t, admin, s.User(t, admin, "powerless", "nothing", "person"))
		system := s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "powerless", "permissions": []string{}},
			admin).Want(t, 201).String("token")
		powerless := map[string]servertest.Change{"EasyVista": token.Send(), "ServiceBroker": servertest.Bearer(system)}
		seen := map[string]int{}
		for _, r := range s.Kit.Routes() {
			if r.Public != "" {
				continue
			}
			d := doorOf(t, r.Pattern)
			seen[d.name]++
			path, name := address(r.Pattern, "acme-corp"), r.Method+" "+r.Pattern
			res := s.Do(t, method(r), path, nil)
			if !d.missing.matches(res) || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s without a credential: %d %v %s", name, res.Status, res.Header["Www-Authenticate"],
					res.Body)
			}
			if res := s.Do(t, method(r), path, nil, servertest.Bearer("aaaa.bbbb.cccc")); !d.broken.matches(res) {
				t.Errorf("%s with a broken token: %d %s", name, res.Status, res.Body)
			}
			if r.Pattern != "/verify" {
				if res := s.Do(t, method(r), path, nil, servertest.Bearer("a.b.c"),
					servertest.Header("X-API-Key", "tnt_1")); res.Status != 400 || res.String(d.missing.member) == "" {
					t.Errorf("%s with two credentials: %d %s", name, res.Status, res.Body)
				}
			}
			if send, ok := powerless[d.name]; ok && r.Permission != "" { // judged before the body is read
				if res := s.Do(t, method(r), path, nil, send); !d.powerless.matches(res) {
					t.Errorf("%s without the permission: %d %s", name, res.Status, res.Body)
				}
			}
		}
		if len(seen) != 6 || seen["EasyVista"] < 7 || seen["ServiceBroker"] < 12 {
			t.Errorf("seen: %v", seen)
		}
	})
}

// B9, C8, D9, E6: what is no route at all is said in the form of the door it is at, and so is a wrong method.
func TestNoRouteInTheFormOfTheDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for path, member := range map[string]string{"/api/users/nothing": "msg", "/api/users": "msg",
			"/api/v1/acme-corp/nothing": "error", "/api/v1/acme-corp/tokens/%2e": "error", "/up/v5/nothing": "Message",
			"/up/v5/entity//x": "Message",
			"/token/":          "error", "/token/a/b": "error", "/v1/nothing": "detail", "/api/userss/login": "detail",
			"/nothing": "detail"} {
			status := 404
			if strings.HasPrefix(path, "/api/v1/") { // C8: denied and unknown are one answer
				status = 403
			}
			if r := s.Do(t, "GET", path, nil); r.Status != status || r.String(member) == "" {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		for path, member := range map[string]string{"/api/users/login": "msg", "/api/v1/acme-corp/tokens": "error",
			"/up/v5/entityToken": "Message", "/token/acme-corp": "error"} {
			if r := s.Do(t, "PATCH", path, nil); r.Status != 405 || r.String(member) == "" ||
				r.Header.Get("Allow") == "" {
				t.Errorf("PATCH %s: %d %v %s", path, r.Status, r.Header["Allow"], r.Body)
			}
		}
	})
}

// A44, ATK59: ids of another tenant, in paths and bodies, at the doors of the dialects: the same answer as for ids that
// nobody has, and nothing changes.
func TestATK59_ForeignIDsAtEveryDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		foreigner := s.As(t, servertest.Foreigner)
		first := func(path string) string {
			var l struct{ Data []struct{ ID string } }
			s.Do(t, "GET", path, nil, foreigner).Want(t, 200).Into(t, &l)
			return l.Data[0].ID
		}
		foreign := map[string]string{"tokens": first("/v1/access-tokens"), "requests": first("/v1/tickets"),
			"entityToken": first("/v1/system-tokens"), "application-tokens": first("/v1/application-tokens")}
		users := first("/v1/users")
		snapshot := func() (all string) {
			for _, path := range []string{"/v1/access-tokens", "/v1/tickets", "/v1/system-tokens",
				"/v1/application-tokens", "/v1/organization"} {
				all += string(s.Do(t, "GET", path, nil, foreigner).Want(t, 200).Body)
			}
			return all
		}
		before := snapshot()
		sat := servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)
		item := servertest.Bearer(s.ItemPath(t, "integration").AccessToken)
		nobody := func(id string) string { return id[:strings.Index(id, "_")+1] + "01BX5ZZKBKACTAV9WEVGEMMVRZ" }
		for _, c := range []struct {
			method, path, id string
			body             any
			send             servertest.Change
			status           int
		}{
			{"GET", "/api/v1/acme-corp/tokens/", foreign["tokens"], nil, servertest.Demo("admin"), 403},
			{"PUT", "/api/v1/acme-corp/tokens/", foreign["tokens"], map[string]any{"expiry_date": nil},
				servertest.Demo("admin"), 403},
			{"DELETE", "/api/v1/acme-corp/tokens/", foreign["tokens"], nil, servertest.Demo("admin"), 403},
			{"GET", "/api/v1/acme-corp/requests/", foreign["requests"], nil, servertest.Demo("admin"), 403},
			{"PUT", "/up/v5/entityToken/", foreign["entityToken"], map[string]any{"Active": false}, sat, 400},
			{"DELETE", "/up/v5/entityToken/", foreign["entityToken"], nil, sat, 400},
			{"DELETE", "/api/users/application-tokens/", foreign["application-tokens"], nil, item, 404},
		} {
			a, b, c3 := s.Do(t, c.method, c.path+c.id, c.body, c.send), s.Do(t, c.method, c.path+nobody(c.id), c.body,
				c.send), s.Do(t, c.method, c.path+"x", c.body, c.send)
			if a.Status != c.status || b.Status != c.status || string(a.Body) != string(b.Body) ||
				string(a.Body) != string(c3.Body) {
				t.Errorf("%s %s: foreign %d %s, nobody's %d %s, malformed %d %s", c.method, c.path, a.Status, a.Body,
					b.Status, b.Body, c3.Status, c3.Body)
			}
		}
		// Ids and names in bodies, and accounts in paths.
		s.Do(t, "POST", "/api/v1/acme-corp/tokens", map[string]any{"name": "x", "user": users},
			servertest.Demo("admin")).Want(t, 400)
		s.Do(t, "POST", "/api/v1/acme-corp/tokens", map[string]any{"name": "x", "user": servertest.Foreigner},
			servertest.Demo("admin")).Want(t, 400)
		s.Do(t, "POST", "/up/v5/entityToken", map[string]any{"Name": "x",
			"EntityId": "01890a5d-ac96-774b-bcce-b302099a8057"}, sat).Want(t, 400)
		for _, account := range []string{"second-tenant", "50002", "nobody", "platform", "99999"} {
			if a := s.Do(t, "GET", "/api/v1/"+account+"/requests", nil,
				servertest.Bearer(s.Seeds.AccessTokens[0].Token)); a.Status != 403 ||
				a.String("error_code") != "FORBIDDEN" {
				t.Errorf("account %s: %d %s", account, a.Status, a.Body)
			}
			if a := s.Do(t, "GET", "/api/v1/"+account+"/requests", nil,
				servertest.Demo("manager@acme-corp.example")); a.Status != 401 {
				t.Errorf("account %s by password: %d %s", account, a.Status, a.Body)
			}
		}
		if after := snapshot(); after != before {
			t.Errorf("the other tenant changed:\n%s\n%s", before, after)
		}
	})
}

// ATK31: what a credential may not, it may not at any door: each route of the dialects with exactly the permission it
// asks for, and with every other.
func TestATK31_ScopesAtEveryDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		n := 0
		for _, r := range s.Kit.Routes() {
			if r.Permission == "" {
				continue
			}
			d := doorOf(t, r.Pattern).name
			if d != "EasyVista" && d != "ServiceBroker" {
				continue
			}
			asked, _, _ := strings.Cut(r.Permission, "|")
			if strings.HasPrefix(asked, "organizations:") {
				continue // the platform's: below
			}
			n++
			just := []string{asked + ":all"}
			if asked == "system_tokens:delete" { // a token that one may not read is not there
				just = append(just, "system_tokens:read:all")
			}
			others := []string{"reports:read:all", "sla_policies:manage:all"}
			for _, p := range []string{"tickets:create:all", "system_tokens:read:all", "system_tokens:create:all",
				"system_tokens:update:all", "system_tokens:delete:all", "entity:read:all", "entity:update:all",
				"tickets:read:all"} {
				if p != asked+":all" {
					others = append(others, p)
				}
			}
			var with, without servertest.Change
			if d == "EasyVista" {
				others = []string{"reports:read:all", "tickets:create:all", "api_keys:manage:all", "users:manage:all"}
				for _, p := range []string{"access_tokens:create:all", "access_tokens:read:all",
					"access_tokens:update:all", "access_tokens:delete:all", "tickets:read:all"} {
					if p != asked+":all" {
						others = append(others, p)
					}
				}
				make := func(kind string, permissions []string) servertest.Change {
					role := fmt.Sprintf("%s%d", kind, n)
					s.Do(t, "POST", "/v1/roles", map[string]any{"name": role, "permissions": permissions}, admin).
						Want(t, 201)
					if r.Method == "POST" { // a token makes no other
						s.PersonWithPassword(t, admin, role, role)
						return servertest.Password(role+"@acme-corp.example", servertest.TestPassword)
					}
					return s.AccessToken(t, admin, s.User(t, admin, role, role, "person")).Send()
				}
				with, without = make("with", just), make("without", others)
			} else {
				make := func(permissions []string) servertest.Change {
					return servertest.Bearer(s.Do(t, "POST", "/v1/system-tokens",
						map[string]any{"name": "x", "permissions": permissions}, admin).Want(t, 201).String("token"))
				}
				with, without = make(just), make(others)
			}
			// Ids that there are: at EasyVista's door what is denied and what is unknown are one answer.
			path := address(r.Pattern, "acme-corp")
			switch {
			case strings.Contains(r.Pattern, "/tokens/{id}"):
				path = "/api/v1/acme-corp/tokens/" + s.AccessToken(t, admin, s.UserID(t, servertest.EndUser)).ID
			case strings.Contains(r.Pattern, "/requests/{id}"):
				path = "/api/v1/acme-corp/requests/" +
					s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "x"}, admin).Want(t, 201).
						String("id")
			case strings.Contains(r.Pattern, "/entityToken/{id}"):
				made := s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "x", "permissions": []string{}},
					admin).Want(t, 201)
				path = "/up/v5/entityToken/" + made.String("id")
			case strings.Contains(r.Pattern, "/entity/{id}"):
				path = "/up/v5/entity/" + s.Do(t, "GET", "/up/v5/entity", nil,
					servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)).String("EntityId")
			}
			bodies := map[string]any{"PUT /api/v1/{account}/tokens/{id}": map[string]any{"expiry_date": nil},
				"PUT /up/v5/entityToken/{id}": map[string]any{"Name": "y"},
				"PUT /up/v5/entity":           map[string]any{"Desc": "y"},
				"PUT /up/v5/entity/{id}":      map[string]any{"Desc": "y"},
				"POST /up/v5/entityToken":     map[string]any{"Name": "y"}}
			body, want := bodies[r.Method+" "+r.Pattern], 200
			switch {
			case r.Method == "DELETE":
				want = 204
			case d == "EasyVista" && r.Method == "POST":
				body, want = map[string]any{"name": "y"}, 201
			}
			door := doorOf(t, r.Pattern)
			if res := s.Do(t, r.Method, path, body, without); !door.powerless.matches(res) {
				t.Errorf("%s %s with all but the permission: %d %s", r.Method, r.Pattern, res.Status, res.Body)
			}
			if res := s.Do(t, r.Method, path, body, with); res.Status != want {
				t.Errorf("%s %s with just the permission: %d %s", r.Method, r.Pattern, res.Status, res.Body)
			}
		}
		if n < 12 {
			t.Errorf("only %d routes", n)
		}
		// What only the platform may, no tenant's token may, whatever it holds.
		for _, c := range []struct{ method, path string }{{"POST", "/up/v5/entity"}, {"DELETE", "/up/v5/entity"},
			{"DELETE", "/up/v5/entity/01890a5d-ac96-774b-bcce-b302099a8057"},
			{"GET", "/up/v5/entity/01890a5d-ac96-774b-bcce-b302099a8057"},
			{"PUT", "/up/v5/entity/01890a5d-ac96-774b-bcce-b302099a8057"}} {
			if res := s.Do(t, c.method, c.path, map[string]any{"Name": "x"},
				servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)); res.Status != 401 ||
				res.String("Code") != "FORBIDDEN" {
				t.Errorf("%s %s by a tenant: %d %s", c.method, c.path, res.Status, res.Body)
			}
		}
		s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "x",
			"permissions": []string{"organizations:manage:all"}}, admin).Want(t, 400)
	})
}

// ATK32: nobody mints for others, or more than they hold, at any door: fields in the body that name somebody are judged
// or change nothing.
func TestATK32_MintingForOthers(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "own",
			"permissions": []string{"access_tokens:manage:own", "tickets:read:own"}}, admin).Want(t, 201)
		owner := s.PersonWithPassword(t, admin, "ownonly", "own")
		basic := servertest.Password("ownonly@acme-corp.example", servertest.TestPassword)
		path := "/api/v1/acme-corp/tokens"
		for _, name := range []string{"admin", "enduser", servertest.Manager, s.UserID(t, servertest.Admin), "nobody",
			"usr_01BX5ZZKBKACTAV9WEVGEMMVRZ"} {
			// there or not: one answer
			r := s.Do(t, "POST", path, map[string]any{"name": "x", "user": name}, basic)
			if r.Status != 403 || r.String("error_code") != "FORBIDDEN" {
				t.Errorf("a token for %s: %d %s", name, r.Status, r.Body)
			}
		}
		for _, field := range []string{"user_id", "owner", "ownerId", "userId", "organization", "permissions",
			"is_system", "role", "expiryDate", "resource"} {
			// not looked at would be worse
			if r := s.Do(t, "POST", path, map[string]any{"name": "x", field: s.UserID(t, servertest.Admin)},
				basic); r.Status != 400 || !strings.Contains(string(r.Body), field) {
				t.Errorf("%s: %d %s", field, r.Status, r.Body)
			}
		}
		mine := s.Do(t, "POST", path, map[string]any{"name": "x"}, basic).Want(t, 201)
		if got := s.Do(t, "GET", "/v1/access-tokens/"+mine.String("id"), nil, admin).Want(t, 200).
			String("owner"); got != owner {
			t.Errorf("the token is %s's", got)
		}
		// A holder of all who holds less than the one they name.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "tokens",
			"permissions": []string{"access_tokens:manage:all", "tickets:read:all"}}, admin).Want(t, 201)
		s.PersonWithPassword(t, admin, "tokens", "tokens")
		r := s.Do(t, "POST", path, map[string]any{"name": "x", "user": "admin"},
			servertest.Password("tokens@acme-corp.example", servertest.TestPassword))
		if r.Status != 403 {
			t.Errorf("a token for one who holds more: %d %s", r.Status, r.Body)
		}
		// After the loss of the permission.
		s.Do(t, "PATCH", "/v1/users/"+owner, map[string]any{"role": "end_user"}, admin).Want(t, 200)
		s.Do(t, "POST", path, map[string]any{"name": "x"}, basic).Want(t, 403)

		// G12: a machine makes no other, but for what speaks ServiceBroker, and then no wider one.
		s.Do(t, "POST", path, map[string]any{"name": "x"}, s.AccessToken(t, admin, s.UserID(t, servertest.Admin)).
			Send()).Want(t, 403)
		narrow := servertest.Bearer(s.Do(t, "POST", "/v1/system-tokens",
			map[string]any{"name": "narrow", "permissions": []string{"system_tokens:create:all", "reports:read:all"},
				"allowedAddresses": []string{"127.0.0.0/8", "::1"}, "rateLimitPerMinute": 50}, admin).Want(t, 201).
			String("token"))
		for _, field := range []string{"Permissions", "Owner", "IsSystem", "OrganizationId"} {
			s.Do(t, "POST", "/up/v5/entityToken", map[string]any{"Name": "child", field: "x"}, narrow).Want(t, 400)
		}
		child := s.Do(t, "POST", "/up/v5/entityToken", map[string]any{"Name": "child"}, narrow).Want(t, 200)
		got := s.Do(t, "GET", "/v1/system-tokens/"+child.String("Id"), nil, admin).Want(t, 200)
		if fmt.Sprint(got.Get("permissions")) != "[reports:read:all system_tokens:create:all]" ||
			fmt.Sprint(got.Get("allowedAddresses")) != "[127.0.0.0/8 ::1]" ||
			fmt.Sprint(got.Get("rateLimitPerMinute")) != "50" {
			t.Errorf("the child of a narrow token: %s", got.Body)
		}
		// ItemPath: the token is the caller's, whatever the body says; only applications get one.
		item := servertest.Bearer(s.ItemPath(t, "integration").RefreshToken)
		s.Do(t, "POST", "/api/users/application-token",
			map[string]any{"userId": s.UserID(t, servertest.Admin), "username": "admin"}, item).Want(t, 200)
		var l struct{ Data []struct{ Owner string } }
		s.Do(t, "GET", "/v1/application-tokens", nil, admin).Want(t, 200).Into(t, &l)
		for _, row := range l.Data {
			if row.Owner != l.Data[0].Owner {
				t.Errorf("an application token of somebody else: %v", l.Data)
			}
		}
		for _, name := range []string{"admin", "manager", "enduser"} {
			s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(s.ItemPath(t, name).RefreshToken)).
				Want(t, 403)
		}
	})
}

// ATK33: a truncated or altered secret is refused at every door, in the door's own form.
func TestATK33_AlteredAtEveryDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people := s.ItemPath(t, "integration")
		broker := s.Provision(t, "Broker", "OAuth2")
		c := s.Seeds.Clients[0]
		token := func(value string) servertest.Response {
			return s.Do(t, "POST", "/token/acme-corp", nil, servertest.Basic(c.ClientID, value))
		}
		bearer := func(method, path string) func(string) servertest.Response {
			return func(value string) servertest.Response {
				return s.Do(t, method, path, nil, servertest.Bearer(value))
			}
		}
		for _, v := range []struct {
			name, value string
			status      int
			try         func(value string) servertest.Response
		}{
			{"access token", s.Seeds.AccessTokens[0].Token, 401, bearer("GET", "/api/v1/acme-corp/requests")},
			{"system access token", s.Seeds.SystemAccessTokens[0].Token, 401, bearer("GET", "/up/v5/entityToken")},
			{"ServiceBroker token", s.BrokerToken(t, broker.ClientID, broker.ClientSecret), 401,
				bearer("GET", "/up/v5/oauth2/userInfo")},
			{"ItemPath access token", people.AccessToken, 422, bearer("GET", "/api/users/application-tokens")},
			{"ItemPath refresh token", people.RefreshToken, 422, bearer("GET", "/api/users/refresh")},
			{"application token", s.Seeds.ApplicationTokens[0].Token, 422,
				bearer("GET", "/api/users/application-tokens")},
			{"client secret", c.ClientSecret, 401, token},
			{"client secret in a body", broker.ClientSecret, 401, func(value string) servertest.Response {
				return s.Do(t, "POST", "/up/v5/oauth2/accessToken",
					map[string]any{"ClientId": broker.ClientID, "ClientSecret": value, "GrantType": "ClientCredentials",
						"ExpiresInSeconds": 60})
			}},
			{"password", demo.Password, 401, func(value string) servertest.Response {
				return s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Password("manager", value))
			}},
		} {
			if r := v.try(v.value); r.Status != 200 {
				t.Fatalf("%s as it is: %d %s", v.name, r.Status, r.Body)
			}
			n := len(v.value)
			wrong := []string{v.value[:n-1], v.value[:n/2], v.value[1:], v.value + "0", v.value + ".",
				v.value[:n/2] + v.value[n/2+1:], strings.ToUpper(v.value), servertest.Altered(v.value),
				v.value[n/2:] + v.value[:n/2]}
			if strings.HasPrefix(v.value, "gth_") {
				wrong = append(wrong, strings.Replace(v.value, "_", "__", 1),
					strings.Replace(v.value, "gth_at_", "gth_cs_", 1)+"x", v.value[:8])
			}
			if v.name == "password" {
				wrong = wrong[:3] // each try counts
			}
			for _, value := range wrong {
				if r := v.try(value); r.Status != v.status || r.Header.Get("X-Request-Id") == "" {
					t.Errorf("%s as %s: %d %s", v.name, servertest.Shorten(value), r.Status, r.Body)
				}
			}
		}
	})
}

// B9, C8, D9, G5: when the database fails, each door says so in its own form and nothing else: no name of a table, no
// text of the database.
func TestTroubleInTheFormOfTheDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Broken = true
		people := s.ItemPath(t, "integration")
		act, sat, c := servertest.Bearer(s.Seeds.AccessTokens[0].Token),
			servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token), s.Seeds.Clients[1]
			// what is known of the callers is known from now on
		s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, act).Want(t, 200)
		s.Do(t, "GET", "/up/v5/entityToken", nil, sat).Want(t, 200)
		s.Do(t, "GET", "/api/users/application-tokens", nil, servertest.Bearer(people.AccessToken)).Want(t, 200)
		for _, table := range []string{"credentials", "tickets", "login_attempts"} {
			s.Rename(t, table, table+"_gone")
		}
		for name, c := range map[string]struct {
			r             servertest.Response
			member, value string
		}{
			"ItemPath": {s.Do(t, "GET", "/api/users/application-tokens", nil,
				servertest.Bearer(people.AccessToken)), "msg", "Something went wrong on our side."},
			"ItemPath, sign-in": {s.Do(t, "POST", "/api/users/login",
				map[string]any{"username": "manager", "password": "x"}), "msg", "Something went wrong on our side."},
			"EasyVista": {s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, act), "error_code",
				"INTERNAL_ERROR"},
			"EasyVista, Basic": {s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Demo("manager")),
				"error_code", "INTERNAL_ERROR"},
			"ServiceBroker": {s.Do(t, "GET", "/up/v5/entityToken", nil, sat), "Code", "INTERNAL_ERROR"},
			"SecuriThings": {s.Do(t, "POST", "/token/second-tenant", nil,
				servertest.Basic(c.ClientID, c.ClientSecret)), "error", "server_error"},
		} {
			if c.r.Status != 500 || c.r.String(c.member) != c.value || strings.Contains(string(c.r.Body), "_gone") ||
				strings.Contains(string(c.r.Body), "table") {
				t.Errorf("%s: %d %s", name, c.r.Status, c.r.Body)
			}
		}
	})
}
