package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A13, A14, A55, G4: the object, its value once and nowhere else, 201 with Location.
func TestA14_APIKeyObject(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		expires := s.Clock.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
		r := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "billing",
			"permissions": []string{"tickets:read:all", "reports:read:all"}, "rateLimitPerMinute": 90,
			"expiresAt":        expires,
			"allowedAddresses": []string{"127.0.0.1", "192.0.2.77/24", "::1"}, "purpose": "nightly run"}, admin).
			Want(t, 201)
		value, id := r.String("key"), r.String("id")
		if !regexp.MustCompile(`^tnt_[0-9]{10}[0-9a-f]{48}_[0-9a-f]{8}$`).MatchString(value) ||
			!strings.HasPrefix(id, "key_") || r.Header.Get("Location") != "/v1/api-keys/"+id {
			t.Fatalf("%s %s %s", r.Header.Get("Location"), id, servertest.Shorten(value))
		}
		me := s.UserID(t, servertest.Admin)
		want := map[string]any{"name": "billing", "purpose": "nightly run", "owner": me, "createdBy": me,
			"state": "active", "rateLimitPerMinute": 90.0, "expiresAt": expires, "lastUsedAt": nil, "kind": "api_key"}
		for name, v := range want {
			if got := r.Get(name); got != v {
				t.Errorf("%s is %v, want %v", name, got, v)
			}
		}
		if got := fmt.Sprint(r.Get("permissions"),
			r.Get("allowedAddresses")); got != "[reports:read:all tickets:read:all] [127.0.0.1 192.0.2.0/24 ::1]" {
			t.Errorf("lists: %s", got)
		}
		for _, path := range []string{"/v1/api-keys/" + id, "/v1/api-keys?limit=1000"} {
			if got := s.Do(t, "GET", path, nil, admin).Want(t, 200); strings.Contains(string(got.Body), value) ||
				got.String("key") != "" {
				t.Errorf("%s shows the value again", path)
			}
		}
		for _, table := range []string{"credentials", "audit_events"} {
			if rows := dump(t, s, table); strings.Contains(rows, value) || strings.Contains(rows, value[14:62]) {
				t.Errorf("%s keeps the value", table)
			}
		}
		if strings.Contains(s.Logs.String(), value[14:62]) {
			t.Error("the log has the value")
		}
		// The defaults.
		r = s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "plain", "permissions": []string{}}, admin).
			Want(t, 201)
		if r.Get("rateLimitPerMinute") != 600.0 || r.Get("expiresAt") != nil || r.String("purpose") != "plain" ||
			fmt.Sprint(r.Get("allowedAddresses")) != "[]" {
			t.Errorf("defaults: %s", r.Body)
		}
		for name, body := range map[string]map[string]any{
			"no name": {"permissions": []string{}}, "no permissions": {"name": "x"},
			"an unknown permission": {"name": "x", "permissions": []string{"tickets:fly:all"}},
			"rate 0":                {"name": "x", "permissions": []string{}, "rateLimitPerMinute": 0},
			"rate 100001":           {"name": "x", "permissions": []string{}, "rateLimitPerMinute": 100001},
			"an expiry in the past": {"name": "x", "permissions": []string{}, "expiresAt": "2020-01-01T00:00:00Z"},
			"no address":            {"name": "x", "permissions": []string{}, "allowedAddresses": []string{"here"}},
			"an unknown owner": {"name": "x", "permissions": []string{},
				"owner": "usr_01BX5ZZKBKACTAV9WEVGEMMVRZ"},
			"another organization": {"name": "x", "permissions": []string{}, "owner": s.Organization("second-tenant")},
			"own for the organization": {"name": "x", "permissions": []string{"tickets:read:own"},
				"owner": s.Organization("acme-corp")},
			"a control character": {"name": "x\u0007", "permissions": []string{}},
		} {
			if r := s.Do(t, "POST", "/v1/api-keys", body, admin); r.Status != 400 || r.Code() != "VALIDATION_ERROR" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
	})
}

// A15, A39, ATK32: who may make a key for whom, with what. A key never exceeds what its owner holds now, an
// organization's keeps what it got.
func TestA15_Ownership(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		org := s.Organization("acme-corp")
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "integrator",
			"permissions": []string{"api_keys:manage:own", "tickets:read:all", "tickets:update:team"}}, admin).
			Want(t, 201)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "reader",
			"permissions": []string{"api_keys:manage:own", "tickets:read:own"}}, admin).Want(t, 201)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "keyholder",
			"permissions": []string{"api_keys:manage:all"}}, admin).Want(t, 201)
		agent, manager := s.UserID(t, servertest.Agent), s.UserID(t, servertest.Manager)
		role := func(user, role string) {
			s.Do(t, "PATCH", "/v1/users/"+user, map[string]any{"role": role}, admin).Want(t, 200)
		}
		role(agent, "integrator")
		own := s.As(t, servertest.Agent)
		make := func(as servertest.Change, body map[string]any) servertest.Response {
			body["name"] = "a key"
			return s.Do(t, "POST", "/v1/api-keys", body, as)
		}
		mine := make(own, map[string]any{"permissions": []string{"tickets:read:all", "tickets:update:team"}}).
			Want(t, 201)
		if mine.String("owner") != agent {
			t.Errorf("the owner is %s", mine.Get("owner"))
		}
		for name, body := range map[string]map[string]any{
			"more than held":       {"permissions": []string{"tickets:update:all"}},
			"for the organization": {"permissions": []string{}, "owner": org},
			"for another":          {"permissions": []string{}, "owner": manager},
			"of another resource":  {"permissions": []string{"users:read:all"}},
		} {
			make(own, body).Want(t, 403, "FORBIDDEN")
			_ = name
		}
		// Members that no one may set are not read, but refused (ATK32).
		for _, member := range []string{"createdBy", "organizationId", "userId", "id", "is_system", "state", "scopes"} {
			make(own, map[string]any{"permissions": []string{}, member: "x"}).Want(t, 400)
		}
		key := servertest.Header("X-API-Key", mine.String("key"))
		permissions := func(k servertest.Change) string {
			return fmt.Sprint(s.Do(t, "GET", "/v1/auth/me", nil, k).Want(t, 200).Get("permissions"))
		}
		if got := permissions(key); got != "[tickets:read:all tickets:update:team]" {
			t.Errorf("held: %s", got)
		}
		role(agent, "reader") // at once, unlike a session
		if got := permissions(key); got != "[tickets:read:own]" {
			t.Errorf("after the role shrank: %s", got)
		}
		role(agent, "integrator")
		if got := permissions(key); got != "[tickets:read:all tickets:update:team]" {
			t.Errorf("after the role grew back: %s", got)
		}
		// The organization's own keeps what it got, and outlives its maker.
		role(manager, "keyholder")
		theirs := s.As(t, servertest.Manager)
		make(theirs, map[string]any{"permissions": []string{"tickets:read:all"}, "owner": org}).Want(t, 403)
		kept := s.Key(t, admin, org, "tickets:read:all", "users:read:all")
		// Who may manage all keys but holds less cannot get at the power of one: no new value, no other owner, no other
		// address.
		for _, act := range []struct {
			method, path string
			body         map[string]any
		}{{"POST", "/rotate", nil}, {"PATCH", "", map[string]any{"owner": manager}},
			{"PATCH", "", map[string]any{"allowedAddresses": []string{"198.51.100.1"}}},
			{"PATCH", "", map[string]any{"expiresAt": nil, "name": "mine"}}} {
			var body any
			if act.body != nil {
				body = act.body
			}
			s.Do(t, act.method, "/v1/api-keys/"+kept.ID+act.path, body, theirs).Want(t, 403, "FORBIDDEN")
		}
		// but may stop it, and not start it again.
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"state": "off"}, theirs).Want(t, 200)
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"state": "active"}, theirs).Want(t, 403)
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"state": "active"}, admin).Want(t, 200)
		// Transfer cuts to the new owner's, and giving it back does not give back what was cut.
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"owner": agent}, admin).Want(t, 200)
		if got := permissions(kept.Send()); got != "[tickets:read:all]" {
			t.Errorf("transferred to the agent: %s", got)
		}
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"owner": org}, admin).Want(t, 200)
		if got := permissions(kept.Send()); got != "[tickets:read:all]" {
			t.Errorf("given back: %s", got)
		}
		s.Do(t, "PATCH", "/v1/api-keys/"+mine.String("id"), map[string]any{"owner": org}, own).Want(t, 403)
		s.Do(t, "PATCH", "/v1/api-keys/"+mine.String("id"), map[string]any{"owner": org}, admin).Want(t, 200)
		if got := permissions(key); got != "[tickets:read:all]" {
			t.Errorf("a key of the organization keeps a team's scope: %s", got)
		}
		// With scope own one sees and changes one's own only.
		s.Do(t, "GET", "/v1/api-keys/"+kept.ID, nil, own).Want(t, 404)
		s.Do(t, "DELETE", "/v1/api-keys/"+kept.ID, nil, own).Want(t, 404)
		last := make(own, map[string]any{"permissions": []string{"tickets:read:own"}}).Want(t, 201)
		var list struct{ Data []struct{ ID, Owner string } }
		s.Do(t, "GET", "/v1/api-keys", nil, own).Want(t, 200).Into(t, &list)
		if len(list.Data) != 1 || list.Data[0].ID != last.String("id") {
			t.Errorf("own keys: %+v", list.Data)
		}
		s.Do(t, "GET", "/v1/api-keys?owner="+manager, nil, own).Want(t, 200).Into(t, &list)
		if len(list.Data) != 0 {
			t.Errorf("another's keys: %+v", list.Data)
		}
		// The maker leaves: theirs stop, the organization's go on.
		s.Do(t, "PATCH", "/v1/users/"+agent, map[string]any{"state": "disabled"}, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", last.String("key"))).
			Want(t, 401, "INVALID_API_KEY")
		s.Do(t, "GET", "/v1/auth/me", nil, kept.Send()).Want(t, 200)
	})
}

// G12: an API key makes API keys only with api_keys:manage, within its own permissions and for its own owner; nothing
// else of a machine makes one.
func TestG12_MachinesMintNothingElse(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		org := s.Organization("acme-corp")
		manager := s.Key(t, admin, org, "api_keys:manage:all", "tickets:read:all", "clients:manage:all",
			"access_tokens:manage:all", "system_tokens:manage:all", "users:manage:all", "invitations:manage:all")
		creator := s.Key(t, admin, org, "api_keys:create:all", "api_keys:update:all", "tickets:read:all")
		body := func(permissions ...string) map[string]any {
			return map[string]any{"name": "child", "permissions": permissions}
		}
		child := s.Do(t, "POST", "/v1/api-keys", body("tickets:read:all"), manager.Send()).Want(t, 201)
		if child.String("owner") != org || child.String("createdBy") != manager.ID {
			t.Errorf("%s", child.Body)
		}
		s.Do(t, "POST", "/v1/api-keys", body("reports:read:all"), manager.Send()).Want(t, 403)
		s.Do(t, "POST", "/v1/api-keys", body("tickets:read:all"), creator.Send()).Want(t, 403)
		s.Do(t, "POST", "/v1/api-keys/"+child.String("id")+"/rotate", nil, creator.Send()).Want(t, 403)
		s.Do(t, "POST", "/v1/api-keys/"+child.String("id")+"/rotate", nil, manager.Send()).Want(t, 200)
		for _, path := range []string{"/v1/clients", "/v1/access-tokens", "/v1/system-tokens", "/v1/application-tokens",
			"/v1/invitations"} {
			s.Do(t, "POST", path, body(), manager.Send()).Want(t, 401, "INVALID_TOKEN")
			s.Do(t, "GET", path, nil, s.Key(t, admin, org,
				strings.ReplaceAll(strings.TrimPrefix(path, "/v1/"), "-", "_")+":read:all").Send()).Want(t, 200)
		}
		client := s.Client(t, admin, nil, "tickets:read:all")
		s.Do(t, "POST", "/v1/clients/"+client.ID+"/secrets", map[string]any{"name": "x"}, manager.Send()).Want(t, 401)
		s.Do(t, "PATCH", "/v1/clients/"+client.ID,
			map[string]any{"authentication": map[string]any{"method": "self_signed_tls_client_auth",
				"thumbprints": []string{strings.Repeat("A", 43)}}}, manager.Send()).Want(t, 403)
		// A machine may make a person, but gets no hold of their password.
		made := s.Do(t, "POST", "/v1/users", map[string]any{"email": "new@acme-corp.example", "role": "nothing_at_all"},
			manager.Send())
		made.Want(t, 400)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "reading", "permissions": []string{"tickets:read:all"}},
			admin).Want(t, 201)
		made = s.Do(t, "POST", "/v1/users", map[string]any{"email": "new@acme-corp.example", "role": "reading"},
			manager.Send()).Want(t, 201)
		if made.Get("setPasswordUrl") != nil || strings.Contains(string(made.Body), "#token=") {
			t.Errorf("%s", made.Body)
		}
		s.Do(t, "POST", "/v1/users/"+made.String("id")+"/password-link", nil, manager.Send()).Want(t, 401)
	})
}

// A13, ATK33, G5: whatever is not exactly a key of this installation is 401, and a garbled one never reaches the
// database.
func TestATK33_OnlyTheWholeKey(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		good := s.Seeds.APIKeys[0].Key
		foreign := s.Seeds.APIKeys[1].Key
		me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", good)).Want(t, 200)
		if me.String("organizationSlug") != "acme-corp" || me.Get("expiresAt") != nil ||
			me.String("name") != "Demo API key" || me.String("kind") != "api_key" || me.String("email") != "" {
			t.Errorf("%s", me.Body)
		}
		wrong := []string{"", "tnt_", good + "0", good + " x", strings.ToUpper(good), good[:4] + "1" + good[5:],
			good[:12] + "xx" + good[14:], good[:30] + foreign[30:], foreign[:30] + good[30:],
			good[:4] + "9999999999" + good[14:], "gth_at_" + good[14:], strings.ReplaceAll(good, "_", "__"), "'" + good}
		for i := range good {
			wrong = append(wrong, good[:i], good[i+1:])
		}
		for _, w := range wrong {
			if strings.TrimSpace(w) == good {
				continue
			}
			r := s.Do(t, "GET", "/v1/auth/me", nil, func(r *http.Request) { r.Header["X-Api-Key"] = []string{w} })
			if r.Status != 401 && r.Status != 400 || r.Status == 401 &&
				(r.Code() != "INVALID_API_KEY" || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer ")) {
				t.Errorf("%q: %d %s %s", w, r.Status, r.Body, r.Header.Get("WWW-Authenticate"))
			}
			if strings.Contains(string(r.Body), good[14:62]) {
				t.Errorf("the answer repeats the key")
			}
		}
		// G1: one credential, in one place.
		session := s.Login(t, servertest.Admin).AccessToken
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", good), servertest.Bearer(session)).
			Want(t, 400)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", good), servertest.Header("X-API-Key", good)).
			Want(t, 400)
			// a key is no bearer token
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(good)).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", session)).Want(t, 401)
		// A bad key never falls back to a good cookie.
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", good+"0"),
			servertest.Header("Cookie", "itsm_auth_token="+session)).Want(t, 401)
	})
}

// A16, G8: so many requests a minute and no more, told in headers, enforced per key, over two nodes too.
func TestA16_RateLimit(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		// one count; that of Redis has a test of its own, and a slow one makes two
		s := servertest.New(t, address, servertest.WithoutRedis)
		other := servertest.Join(t, address, servertest.WithoutRedis)
		admin := s.As(t, servertest.Admin)
		limited := func(n int) servertest.Change {
			return servertest.Header("X-API-Key", s.Do(t, "POST", "/v1/api-keys",
				map[string]any{"name": "limited", "permissions": []string{"tickets:read:all"}, "rateLimitPerMinute": n},
				admin).Want(t, 201).String("key"))
		}
		wholeMinute := func() { // the limit begins anew with the minute: have most of one ahead
			left := time.Duration(60-s.Clock.Now().Second()) * time.Second
			for _, node := range []*servertest.Server{s, other} {
				node.Clock.Advance(left)
			}
		}
		wholeMinute()
		key := limited(7)
		for i := range 7 {
			node := []*servertest.Server{s, other}[i%2]
			r := node.Do(t, "GET", "/v1/tickets", nil, key).Want(t, 200)
			if r.Header.Get("RateLimit-Limit") != "7" || r.Header.Get("RateLimit-Remaining") != strconv.Itoa(6-i) {
				t.Errorf("request %d: %v", i, r.Header)
			}
			if reset, err := strconv.Atoi(r.Header.Get("RateLimit-Reset")); err != nil || reset < 1 || reset > 60 {
				t.Errorf("reset %q", r.Header.Get("RateLimit-Reset"))
			}
		}
		for _, node := range []*servertest.Server{s, other} {
			for _, path := range []string{"/v1/tickets", "/v1/auth/me"} {
				r := node.Do(t, "GET", path, nil, key).Want(t, 429, "RATE_LIMIT_EXCEEDED")
				if wait, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 ||
					r.Header.Get("RateLimit-Remaining") != "0" || r.Header.Get("RateLimit-Limit") != "7" {
					t.Errorf("%v", r.Header)
				}
			}
			r := node.Do(t, "GET", "/verify", nil, key).Want(t, 403)
			if r.Header.Get("X-Auth-Error") != "rate_limited" || r.Header.Get("Retry-After") == "" ||
				r.Header.Get("X-Auth-Subject") != "" {
				t.Errorf("%v", r.Header)
			}
			node.Do(t, "GET", "/verify?status=native", nil, key).Want(t, 429)
		}
		s.Do(t, "GET", "/v1/tickets", nil, limited(7)).Want(t, 200) // another key has its own
		s.Do(t, "GET", "/v1/tickets", nil, admin).Want(t, 200)
		wholeMinute()
		s.Do(t, "GET", "/v1/tickets", nil, key).Want(t, 200)

		// Many at once on two nodes: at most a share (a twentieth) over the limit for the second node, and not under
		// it.
		wholeMinute()
		const limit = 100
		key = limited(limit)
		var mu sync.Mutex
		let := 0
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				node := []*servertest.Server{s, other}[i%2]
				for range 40 {
					r, err := node.Try("GET", "/v1/tickets", nil, key)
					if err == nil && r.Status == 200 {
						mu.Lock()
						let++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if let < limit || let > limit+limit/20 {
			t.Errorf("%d of 320 requests were let through, want %d to %d", let, limit, limit+limit/20)
		}
	})
}

// A17, A18, A43: expired and revoked keys are 401; the tenant header is a check and never more, with every kind of
// machine.
func TestA18_ExpiryAndTenant(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		short := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "short",
			"permissions": []string{"tickets:read:all"}, "expiresAt": s.Clock.Now().Add(time.Hour)}, admin).Want(t, 201)
		key := servertest.Header("X-API-Key", short.String("key"))
		me := s.Do(t, "GET", "/v1/auth/me", nil, key).Want(t, 200)
		if me.Get("expiresAt") == nil {
			t.Errorf("%s", me.Body)
		}
		for _, m := range s.Seeded(t) {
			s.Do(t, "GET", "/v1/tickets", nil, m.Send(), servertest.Header("X-Tenant-Slug", "acme-corp")).Want(t, 200)
			for _, slug := range []string{"second-tenant", "platform", "no-such-tenant", "ACME-CORP"} {
				s.Do(t, "GET", "/v1/tickets", nil, m.Send(), servertest.Header("X-Tenant-Slug", slug)).
					Want(t, 403, "TENANT_MISMATCH")
			}
		}
		s.Clock.Advance(time.Hour + time.Second)
		s.Do(t, "GET", "/v1/auth/me", nil, key).Want(t, 401, "INVALID_API_KEY")
		// An operator's key is no operator: only a session enters another tenant (A43).
		operator := s.As(t, servertest.Operator)
		platform := s.Key(t, operator, "", "organizations:read:all", "tickets:read:all")
		s.Do(t, "GET", "/v1/organizations", nil, platform.Send()).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, platform.Send(), servertest.Header("X-Tenant-Slug", "acme-corp")).
			Want(t, 403, "TENANT_MISMATCH")
		// Abroad an operator makes keys of the organization, not of themselves, and sees them there.
		abroad := servertest.Header("X-Tenant-Slug", "acme-corp")
		r := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "abroad",
			"permissions": []string{"tickets:read:all"}}, operator, abroad).Want(t, 201)
		if r.String("owner") != s.Organization("acme-corp") {
			t.Errorf("%s", r.Body)
		}
		if me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", r.String("key"))).
			Want(t, 200); me.String("organizationSlug") != "acme-corp" {
			t.Errorf("%s", me.Body)
		}
	})
}

// A14: the allow-list of addresses, by the address of the connection; a forged X-Forwarded-For changes nothing, a
// trusted proxy's does.
func TestWEB07_AllowedAddresses(t *testing.T) {
	check := func(t *testing.T, s *servertest.Server, behindProxy bool) {
		admin := s.As(t, servertest.Admin)
		use := func(addresses []string, forwarded string) int {
			body := map[string]any{"name": "placed", "permissions": []string{"tickets:read:all"},
				"allowedAddresses": addresses}
			key := servertest.Header("X-API-Key", s.Do(t, "POST", "/v1/api-keys", body, admin).Want(t, 201).
				String("key"))
			if forwarded == "" {
				return s.Do(t, "GET", "/v1/tickets", nil, key).Status
			}
			return s.Do(t, "GET", "/v1/tickets", nil, key, servertest.Header("X-Forwarded-For", forwarded)).Status
		}
		for _, c := range []struct {
			addresses       []string
			forwarded       string
			direct, proxied int
		}{
			{nil, "", 200, 200}, {[]string{"127.0.0.0/8", "::1"}, "", 200, 200}, {[]string{"192.0.2.1"}, "", 403, 403},
			{[]string{"192.0.2.1"}, "192.0.2.1", 403, 200},
			{[]string{"192.0.2.1"}, "192.0.2.1, 198.51.100.1", 403, 403},
			{[]string{"127.0.0.1", "::1"}, "192.0.2.1", 200, 403},
			{[]string{"192.0.2.1"}, "192.0.2.1:17085", 403, 200},
			{[]string{"2001:db8::/32"}, "[2001:db8::1]:80", 403, 200},
			{[]string{"127.0.0.1", "::1"}, "192.0.2.1:17085", 200, 403},
			{[]string{"127.0.0.1", "::1"}, "rubbish", 200, 403}, {[]string{"127.0.0.1", "::1"}, "192.0.2.1,", 200, 403},
			{[]string{"192.0.2.1"}, "192.0.2.1, rubbish", 403, 403}, {nil, "rubbish", 200, 200},
		} {
			want := c.direct
			if behindProxy {
				want = c.proxied
			}
			if got := use(c.addresses, c.forwarded); got != want {
				t.Errorf("%v from %q, proxy %v: %d, want %d", c.addresses, c.forwarded, behindProxy, got, want)
			}
		}
	}
	t.Run("direct", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) { check(t, s, false) })
	})
	t.Run("proxied", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) { check(t, s, true) },
			func(c *config.Config, _ *server.Options) { c.TrustedProxies = []string{"127.0.0.1", "::1"} })
	})
}

// A14: rotation gives a new value; the former works for the overlap and no longer, and only the last former one does.
// Of changes at once none is lost.
func TestA14_Rotation(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		for _, kind := range []string{"api_key", "access_token", "system_token", "client_secret"} {
			var m servertest.Machine
			path := managed[kind]
			switch kind {
			case "api_key":
				m = s.Key(t, admin, "", "tickets:read:all")
			case "access_token":
				m = s.AccessToken(t, admin, s.UserID(t, servertest.Agent))
			case "system_token":
				m = s.SystemToken(t, admin)
			case "client_secret":
				m = s.Client(t, admin, nil, "tickets:read:all")
				path, m.ID = "/v1/clients/"+m.ID+"/secrets", m.SecretID
			}
			use := func(node *servertest.Server, value string) int {
				if kind == "client_secret" {
					return node.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
						servertest.Basic(m.Client, value)).Status
				}
				return node.Do(t, "GET", "/v1/tickets", nil,
					servertest.Machine{Kind: m.Kind, Value: value}.Send()).Status
			}
			if kind == "client_secret" {
				m.Value = m.Secret
			}
			name := map[string]string{"api_key": "key", "client_secret": "secret"}[kind]
			if name == "" {
				name = "token"
			}
			rotate := func(overlap int) string {
				r := s.Do(t, "POST", path+"/"+m.ID+"/rotate", map[string]any{"overlapSeconds": overlap}, admin).
					Want(t, 200)
				if r.String("id") != m.ID || r.String(name) == "" || (overlap > 0) != (r.Get("overlapUntil") != nil) {
					t.Fatalf("%s: %s", kind, r.Body)
				}
				return r.String(name)
			}
			expect := func(when, value string, want int) {
				t.Helper()
				if got := use(s, value); got != want {
					t.Errorf("%s, %s: %d, want %d", kind, when, got, want)
				}
				soon(t, kind+", "+when, func() string {
					if got := use(other, value); got != want {
						return fmt.Sprint("on the other node ", got)
					}
					return ""
				})
			}
			first := m.Value
			expect("at first", first, 200)
			second := rotate(3600)
			expect("the former in the overlap", first, 200)
			expect("the new one", second, 200)
			third := rotate(3600)
			expect("the one before the former", first, 401)
			expect("the former", second, 200)
			fourth := rotate(0)
			expect("the former without overlap", third, 401)
			expect("the one before", second, 401)
			expect("the new one", fourth, 200)
			fifth := rotate(60)
			s.Clock.Advance(61 * time.Second)
			other.Clock.Advance(61 * time.Second)
			expect("the former after the overlap", fourth, 401)
			expect("the new one", fifth, 200)
			s.Do(t, "POST", path+"/"+m.ID+"/rotate", map[string]any{"overlapSeconds": 31 * 24 * 3600}, admin).
				Want(t, 400)

			// Many rotations at once: each winner's answer was a good value, the last one is good, no two are.
			var mu sync.Mutex
			var values []string
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					r, err := s.Try("POST", path+"/"+m.ID+"/rotate", nil, admin)
					if err == nil && r.Status == 200 {
						mu.Lock()
						values = append(values, r.String(name))
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			good := 0
			for _, v := range append(values, fifth) {
				if use(s, v) == 200 {
					good++
				}
			}
			if good != 1 || len(values) == 0 {
				t.Errorf("%s: after %d rotations at once %d values work", kind, len(values), good)
			}
			s.Do(t, "DELETE", path+"/"+m.ID, nil, admin).Want(t, 204)
			s.Do(t, "DELETE", path+"/"+m.ID, nil, admin).Want(t, 204)
			s.Do(t, "POST", path+"/"+m.ID+"/rotate", nil, admin).Want(t, 409)
			s.Do(t, "PATCH", path+"/"+m.ID, map[string]any{"name": "again"}, admin).Want(t, 409)
		}
	})
}

// C5, C6, A14, G9: the last use is right to the minute without a write per request and survives a stop; revoked ones
// stay listed; the audit log tells the whole life.
func TestC6_LastUse(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		admin := s.As(t, servertest.Admin)
		key := s.Key(t, admin, "", "tickets:read:all")
		get := func(node *servertest.Server) string {
			return node.Do(t, "GET", "/v1/api-keys/"+key.ID, nil, admin).Want(t, 200).String("lastUsedAt")
		}
		if got := get(s); got != "" {
			t.Errorf("used before its first use: %s", got)
		}
		used := s.Clock.Now()
		for range 20 {
			s.Do(t, "GET", "/v1/tickets", nil, key.Send()).Want(t, 200)
		}
		near := func(text string, at time.Time) bool {
			got, err := time.Parse(time.RFC3339, text)
			return err == nil && got.Sub(at).Abs() < time.Minute
		}
		if !near(get(s), used) {
			t.Errorf("last use %s, want about %s", get(s), used)
		}
		if rows := dump(t, s, "credentials"); strings.Contains(rows, strconv.FormatInt(used.Unix(), 10)[:9]) &&
			strings.Count(rows, `"last_used_at":0`) == 0 && s.DB.Engine() == "postgres" {
			t.Error("a request wrote to the database")
		}
		s.Clock.Advance(10 * time.Minute)
		used = s.Clock.Now()
		s.Do(t, "GET", "/v1/tickets", nil, key.Send()).Want(t, 200)
		if err := s.Credentials.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := servertest.Join(t, address)
		if !near(get(other), used) {
			t.Errorf("on another node: last use %s, want about %s", get(other), used)
		}
		s.Do(t, "PATCH", "/v1/api-keys/"+key.ID, map[string]any{"state": "off"}, admin).Want(t, 200)
		s.Do(t, "PATCH", "/v1/api-keys/"+key.ID, map[string]any{"state": "active", "name": "renamed"}, admin).
			Want(t, 200)
		s.Do(t, "POST", "/v1/api-keys/"+key.ID+"/rotate", nil, admin).Want(t, 200)
		s.Do(t, "DELETE", "/v1/api-keys/"+key.ID, nil, admin).Want(t, 204)
		r := s.Do(t, "GET", "/v1/api-keys/"+key.ID, nil, admin).Want(t, 200)
		if r.String("state") != "revoked" || r.String("revokedAt") == "" {
			t.Errorf("%s", r.Body)
		}
		for state, want := range map[string]bool{"revoked": true, "active": false, "": true} {
			query := ""
			if state != "" {
				query = "&state=" + state
			}
			if got := strings.Contains(string(s.Do(t, "GET", "/v1/api-keys?limit=1000"+query, nil, admin).
				Want(t, 200).Body), key.ID); got != want {
				t.Errorf("listed with state %q: %v", state, got)
			}
		}
		var events struct{ Data []struct{ Act string } }
		s.Do(t, "GET", "/v1/audit-events?target="+key.ID, nil, admin).Want(t, 200).Into(t, &events)
		var acts []string
		for _, e := range events.Data {
			acts = append(acts, e.Act)
		}
		slices.Reverse(acts)
		if got := strings.Join(acts, " "); got != "api_key.created api_key.disabled api_key.enabled api_key.rotated "+
			"api_key.revoked" {
			t.Errorf("the log tells %s", got)
		}
	})
}

// The report finds what never expires, is old or is idle, and nothing else; with the scope own one may not ask.
func TestCredentialReport(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		key := func(name string, days int) string {
			body := map[string]any{"name": name, "permissions": []string{"tickets:read:all"}}
			if days > 0 {
				body["expiresAt"] = s.Clock.Now().Add(time.Duration(days) * 24 * time.Hour)
			}
			return s.Do(t, "POST", "/v1/api-keys", body, admin).Want(t, 201).String("id")
		}
		old := key("old", 800)
		key("gone", 300)
		s.Clock.Advance(400 * 24 * time.Hour)
		admin = s.As(t, servertest.Admin)
		fresh, never := key("fresh", 30), key("never", 0)
		idle := key("idle", 300)
		s.Do(t, "DELETE", "/v1/api-keys/"+key("revoked", 0), nil, admin).Want(t, 204)
		s.Clock.Advance(20 * 24 * time.Hour)
		admin = s.As(t, servertest.Admin)
		found := map[string]string{}
		for cursor := ""; ; {
			var page struct {
				Data []struct {
					ID, Kind                string
					NeverExpires, Old, Idle bool
				}
				Cursor *string
			}
			s.Do(t, "GET", "/v1/credentials/report?limit=3&idleDays=10&cursor="+cursor, nil, admin).Want(t, 200).
				Into(t, &page)
			for _, d := range page.Data {
				if found[d.ID] != "" {
					t.Errorf("%s twice", d.ID)
				}
				found[d.ID] = fmt.Sprint(d.NeverExpires, d.Old, d.Idle)
			}
			if page.Cursor == nil {
				break
			}
			cursor = *page.Cursor
		}
		for id, want := range map[string]string{old: "false true true", never: "true false true",
			idle: "false false true", fresh: "false false true", s.Seeds.SystemAccessTokens[0].ID: "true true true"} {
			if found[id] != want {
				t.Errorf("%s: %q, want %q", id, found[id], want)
			}
		}
		if len(found) != 4+5 { // and the demo's five
			t.Errorf("%d found: %v", len(found), found)
		}
		var strict struct{ Data []struct{ ID string } }
		s.Do(t, "GET", "/v1/credentials/report?idleDays=30&limit=1000", nil, admin).Want(t, 200).Into(t, &strict)
		for _, d := range strict.Data {
			if d.ID == fresh || d.ID == idle {
				t.Errorf("%s is neither old nor idle nor without end", d.ID)
			}
		}
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "own_keys", "permissions": []string{"api_keys:manage:own"}},
			admin).Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.EndUser), map[string]any{"role": "own_keys"}, admin).
			Want(t, 200)
		s.Do(t, "GET", "/v1/credentials/report", nil, s.As(t, servertest.EndUser)).Want(t, 403)
	})
}
