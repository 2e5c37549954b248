package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// ATK32, A15: what lasts is made by what a user holds now. A session keeps for a while what its role has lost (A41),
// and makes no credential with it.
func TestATK32_MintingAfterPermissionLoss(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		org := s.Organization("acme-corp")
		boss := s.UserID(t, servertest.Manager)
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"role": "tenant_admin"}, admin).Want(t, 200)
		stale := s.As(t, servertest.Manager)
		kept := s.Key(t, admin, org, "users:manage:all")
		client := s.Client(t, admin, nil, "users:manage:all")
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"role": "end_user"}, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/users", nil, stale).Want(t, 200) // the session itself goes on until its token expires
		for path, body := range map[string]map[string]any{
			"/v1/api-keys":                          {"name": "x", "permissions": []string{"users:manage:all"}},
			"/v1/clients":                           {"name": "x", "permissions": []string{"users:manage:all"}},
			"/v1/system-tokens":                     {"name": "x"},
			"/v1/access-tokens":                     {"name": "x", "userId": s.UserID(t, servertest.Admin)},
			"/v1/clients/" + client.ID + "/secrets": {"name": "x"}, "/v1/api-keys/" + kept.ID + "/rotate": {},
			"/v1/clients/" + client.ID + "/secrets/" + client.SecretID + "/rotate": {},
		} {
			if r := s.Do(t, "POST", path, body, stale); r.Status != 403 && r.Status != 404 {
				// or does not even see it any more
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "owner": org,
			"permissions": []string{"users:read:all"}}, stale).Want(t, 403)
		s.Do(t, "PATCH", "/v1/api-keys/"+kept.ID, map[string]any{"expiresAt": s.Clock.Now().Add(time.Hour)}, stale).
			Want(t, 403)
		s.Do(t, "PATCH", "/v1/clients/"+client.ID, map[string]any{"refreshTokens": true}, stale).Want(t, 403)
		// Nor people, roles and links by which the loss is undone.
		for _, act := range []struct {
			method, path string
			body         map[string]any
		}{
			{"POST", "/v1/users", map[string]any{"email": "twin@acme-corp.example", "role": "tenant_admin"}},
			{"POST", "/v1/invitations", map[string]any{"email": "twin@acme-corp.example", "role": "tenant_admin"}},
			{"POST", "/v1/users/" + s.UserID(t, servertest.Admin) + "/password-link", map[string]any{}},
			{"PATCH", "/v1/users/" + s.UserID(t, servertest.Agent), map[string]any{"role": "tenant_admin"}},
			{"POST", "/v1/roles", map[string]any{"name": "again", "permissions": []string{"users:manage:all"}}},
		} {
			if r := s.Do(t, act.method, act.path, act.body, stale); r.Status != 403 {
				t.Errorf("%s %s: %d %s", act.method, act.path, r.Status, r.Body)
			}
		}
		// Also where what is left covers what is made: the right to make it is gone.
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"role": "tenant_admin"}, admin).Want(t, 200)
		stale = s.As(t, servertest.Manager)
		weak := s.Client(t, admin, nil, "tickets:read:all")
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"role": "service_desk_manager"}, admin).Want(t, 200)
		s.Do(t, "POST", "/v1/clients", map[string]any{"name": "x", "permissions": []string{"tickets:manage:all"}},
			stale).Want(t, 403)
		s.Do(t, "PATCH", "/v1/clients/"+weak.ID,
			map[string]any{"authentication": map[string]any{"method": "self_signed_tls_client_auth",
				"thumbprints": []string{strings.Repeat("A", 43)}}}, stale).Want(t, 403)
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}},
			stale).Want(t, 403)
	})
}

// A38, A44: no credential of a tenant holds a permission of the platform, whoever makes it.
func TestA38_NoPlatformInTenants(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator, abroad := s.As(t, servertest.Operator), servertest.Header("X-Tenant-Slug", "acme-corp")
		body := map[string]any{"name": "x", "permissions": []string{"organizations:manage:all"}}
		for _, path := range []string{"/v1/api-keys", "/v1/clients", "/v1/system-tokens"} {
			s.Do(t, "POST", path, body, operator, abroad).Want(t, 400)
		}
		s.Do(t, "POST", "/v1/api-keys", body, operator).Want(t, 201)
		key := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}},
			operator, abroad).Want(t, 201)
		s.Do(t, "PATCH", "/v1/api-keys/"+key.String("id"), body, operator, abroad).Want(t, 400)
	})
}

// C1, A15, ATK31: who manages credentials gets hold of no power by waiting: not of one whose owner is switched off or
// holds less for the moment.
func TestATK31_NoPowerByWaiting(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "keeper",
			"permissions": []string{"access_tokens:manage:all", "api_keys:manage:all", "tickets:read:own"}}, admin).
			Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Agent), map[string]any{"role": "keeper"}, admin).
			Want(t, 200)
		keeper := s.As(t, servertest.Agent)
		boss := s.UserID(t, servertest.Manager)
		role := func(role string) {
			s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"role": role}, admin).Want(t, 200)
		}
		role("tenant_admin")
		key, token := s.Key(t, admin, boss, "users:manage:all"), s.AccessToken(t, admin, boss)
		rotate := func(when string, want int) {
			t.Helper()
			for _, path := range []string{"/v1/api-keys/" + key.ID, "/v1/access-tokens/" + token.ID} {
				if r := s.Do(t, "POST", path+"/rotate", nil, keeper); r.Status != want {
					t.Errorf("%s, %s: %d %s", path, when, r.Status, r.Body)
				}
			}
		}
		rotate("while the owner is an administrator", 403)
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"state": "disabled"}, admin).Want(t, 200)
		rotate("while the owner is disabled", 403)
		s.Do(t, "POST", "/v1/api-keys/"+key.ID+"/rotate", nil, admin).Want(t, 409)
		s.Do(t, "PATCH", "/v1/users/"+boss, map[string]any{"state": "active"}, admin).Want(t, 200)
		role("end_user")
		s.Do(t, "POST", "/v1/api-keys/"+key.ID+"/rotate", nil, keeper).Want(t, 403)
		// "own" of somebody else's key is what is theirs.
		victim := s.UserID(t, servertest.EndUser)
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "owner": victim,
			"permissions": []string{"tickets:read:own"}}, keeper).Want(t, 403)
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "owner": victim,
			"permissions": []string{"tickets:read:own"}}, admin).Want(t, 201)
		own := s.Key(t, admin, victim, "tickets:read:own")
		s.Do(t, "POST", "/v1/api-keys/"+own.ID+"/rotate", nil, keeper).Want(t, 403)
		mine := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x",
			"permissions": []string{"tickets:read:own"}}, keeper).Want(t, 201)
		s.Do(t, "PATCH", "/v1/api-keys/"+mine.String("id"), map[string]any{"owner": victim}, keeper).Want(t, 200)
		if me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", mine.String("key"))).
			Want(t, 200); fmt.Sprint(me.Get("permissions")) != "[]" {
			t.Errorf("a key given away opens what is the victim's: %s", me.Body)
		}
	})
}

// ATK31: a machine lifts no bounds, neither its own nor those of what it makes.
func TestATK31_BoundsStay(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		expires := s.Clock.Now().Add(time.Hour).UTC().Truncate(time.Second)
		r := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "bounded",
			"permissions": []string{"api_keys:manage:own", "clients:manage:all"}, "expiresAt": expires,
			"rateLimitPerMinute": 500, "allowedAddresses": []string{"127.0.0.0/8", "::1"}}, admin).Want(t, 201)
		key, path := servertest.Header("X-API-Key", r.String("key")), "/v1/api-keys/"+r.String("id")
		for _, change := range []map[string]any{{"expiresAt": nil}, {"expiresAt": expires.Add(time.Hour)},
			{"rateLimitPerMinute": 100000}, {"allowedAddresses": []string{}},
			{"allowedAddresses": []string{"0.0.0.0/0"}}, {"owner": s.Organization("acme-corp")}} {
			if r := s.Do(t, "PATCH", path, change, key); r.Status != 403 {
				t.Errorf("%v: %d %s", change, r.Status, r.Body)
			}
		}
		s.Do(t, "PATCH", path, map[string]any{"name": "renamed"}, key).Want(t, 200)
		child := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "child", "permissions": []string{}}, key).
			Want(t, 201)
		if child.String("expiresAt") != expires.Format(time.RFC3339) || child.Get("rateLimitPerMinute") != 500.0 ||
			fmt.Sprint(child.Get("allowedAddresses")) != "[127.0.0.0/8 ::1]" {
			t.Errorf("%s", child.Body)
		}
		for _, wider := range []map[string]any{{"expiresAt": expires.Add(time.Minute)}, {"rateLimitPerMinute": 501},
			{"allowedAddresses": []string{"10.0.0.1"}}, {"allowedAddresses": []string{"127.0.0.1", "0.0.0.0/0"}}} {
			wider["name"], wider["permissions"] = "x", []string{}
			if r := s.Do(t, "POST", "/v1/api-keys", wider, key); r.Status != 403 {
				t.Errorf("%v: %d %s", wider, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{},
			"allowedAddresses": []string{"127.0.0.1"}, "rateLimitPerMinute": 10}, key).Want(t, 201)
		client := s.Client(t, admin, map[string]any{"allowedAddresses": []string{"127.0.0.1"}})
		for _, change := range []map[string]any{{"refreshTokens": true}, {"tokenLifetimeSeconds": 86400},
			{"allowedAddresses": []string{}}, {"rateLimitPerMinute": 5}} {
			s.Do(t, "PATCH", "/v1/clients/"+client.ID, change, key).Want(t, 403)
		}
		s.Do(t, "PATCH", "/v1/clients/"+client.ID, map[string]any{"state": "off"}, key).Want(t, 200)
		s.Do(t, "PATCH", "/v1/clients/"+client.ID, map[string]any{"state": "active"}, key).Want(t, 403)
		sibling := s.Key(t, admin, "", "api_keys:read:own")
		s.Do(t, "POST", "/v1/api-keys/"+sibling.ID+"/rotate", nil, key).Want(t, 403)
		s.Do(t, "PATCH", "/v1/api-keys/"+sibling.ID, map[string]any{"state": "off"}, key).Want(t, 200)
		s.Do(t, "PATCH", "/v1/api-keys/"+sibling.ID, map[string]any{"state": "active"}, key).Want(t, 403)
		s.Do(t, "POST", path+"/rotate", nil, key).Want(t, 200) // itself it may
	})
}

// The document describes what is answered: every member of a real answer is in its schema, and what the schema requires
// is there.
func TestSchemasOfAnswers(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		var doc struct {
			Paths map[string]map[string]struct {
				Responses map[string]struct {
					Content map[string]struct {
						Schema struct {
							Ref string `json:"$ref"`
						}
					}
				}
			}
			Components struct {
				Schemas map[string]struct {
					Properties map[string]any
					Required   []string
				}
			}
		}
		s.Do(t, "GET", "/openapi.json", nil).Want(t, 200).Into(t, &doc)
		check := func(method, pattern string, r servertest.Response) {
			t.Helper()
			answer := doc.Paths[pattern][strings.ToLower(method)].Responses[fmt.Sprint(
				r.Status)].Content["application/json"]
			name := strings.TrimPrefix(answer.Schema.Ref, "#/components/schemas/")
			schema, ok := doc.Components.Schemas[name]
			if !ok {
				t.Fatalf("%s %s %d has no schema", method, pattern, r.Status)
			}
			var body map[string]any
			r.Into(t, &body)
			for member := range body {
				if schema.Properties[member] == nil {
					t.Errorf("%s %s answers %s, which %s does not know", method, pattern, member, name)
				}
			}
			for _, member := range schema.Required {
				if _, ok := body[member]; !ok {
					t.Errorf("%s %s does not answer %s, which %s requires", method, pattern, member, name)
				}
			}
		}
		post := func(pattern string, body map[string]any) servertest.Response {
			r := s.Do(t, "POST", pattern, body, admin)
			check("POST", pattern, r)
			return r
		}
		key := post("/v1/api-keys", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}})
		key = s.Do(t, "POST", "/v1/api-keys/"+key.String("id")+"/rotate", nil, admin)
		check("POST", "/v1/api-keys/{id}/rotate", key)
		check("GET", "/v1/api-keys/{id}", s.Do(t, "GET", "/v1/api-keys/"+key.String("id"), nil, admin))
		post("/v1/access-tokens", map[string]any{"name": "x", "resources": []string{"tickets"}})
		post("/v1/system-tokens", map[string]any{"name": "x"})
		client := post("/v1/clients", map[string]any{"name": "x", "permissions": []string{}})
		secret := s.Do(t, "POST", "/v1/clients/"+client.String("id")+"/secrets", map[string]any{"name": "x"}, admin).
			Want(t, 201)
		check("POST", "/v1/clients/{id}/secrets", secret)
		check("GET", "/v1/clients/{id}/secrets/{secretId}", s.Do(t, "GET", secret.Header.Get("Location"), nil, admin).
			Want(t, 200))
		post("/v1/users", map[string]any{"email": "new@acme-corp.example", "role": "end_user"})
		post("/v1/invitations", map[string]any{"email": "guest@acme-corp.example", "role": "end_user"})
		post("/v1/teams", map[string]any{"name": "x"})
		post("/v1/tickets", map[string]any{"type": "task", "title": "x"})
		check("GET", "/v1/auth/me", s.Do(t, "GET", "/v1/auth/me", nil, admin))
		check("GET", "/v1/auth/me", s.Do(t, "GET", "/v1/auth/me", nil,
			servertest.Header("X-API-Key", key.String("key"))))
		check("POST", "/v1/auth/login", s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": s.Seeds.Users[0].Password}))
		check("GET", "/v1/credentials/report", s.Do(t, "GET", "/v1/credentials/report?idleDays=1", nil, admin))
	})
}

// ATK32: what a machine begins ends with it. A mailed link that a key caused opens nothing once the key is revoked or
// has expired; one that a person caused does. The key itself is handed none.
func TestATK32_LinksOfAMachineEndWithIt(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		n := 0
		begin := func(as servertest.Change, handed bool) string {
			t.Helper()
			n++
			address := fmt.Sprintf("user%d@acme-corp.example", n)
			r := s.Do(t, "POST", "/v1/users", map[string]any{"email": address, "role": "end_user"}, as).Want(t, 201)
			if got := strings.Contains(r.String("setPasswordUrl"), "#token="); got != handed {
				t.Errorf("a link in the answer: %v, want %v", got, handed)
			}
			return servertest.Token(t, s.Mail(t, address, "Choose your password", 1))
		}
		use := func(link string) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link,
				"password": "an otter under violet stairs"})
		}
		key := func() servertest.Machine {
			return s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:manage:all")
		}
		revoked, expired, working := key(), key(), key()
		links := []string{begin(revoked.Send(), false), begin(expired.Send(), false), begin(working.Send(), false)}
		s.Do(t, "DELETE", "/v1/api-keys/"+revoked.ID, nil, admin).Want(t, 204)
		use(links[0]).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "PATCH", "/v1/api-keys/"+expired.ID, map[string]any{"expiresAt": s.Clock.Now().Add(time.Minute)},
			admin).Want(t, 200)
		s.Clock.Advance(time.Minute)
		use(links[1]).Want(t, 401, "INVALID_TOKEN")
		use(links[2]).Want(t, 200)
		use(begin(admin, true)).Want(t, 200)
	})
}
