package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// C1–C3, C5: an access token of a user: who may make it for whom, what it opens, its expiry edited until it is revoked
// for good.
func TestC1_AccessTokens(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		agent, manager, boss := s.UserID(t, servertest.Agent), s.UserID(t, servertest.Manager),
			s.UserID(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "issuer",
			"permissions": []string{"access_tokens:manage:all", "tickets:create:own", "tickets:read:team",
				"tickets:update:team"}}, admin).Want(t, 201)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "selfish",
			"permissions": []string{"access_tokens:manage:own", "tickets:read:own", "reports:read:all"}}, admin).
			Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+manager, map[string]any{"role": "issuer"}, admin).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.EndUser), map[string]any{"role": "selfish"}, admin).
			Want(t, 200)
		issuer, selfish := s.As(t, servertest.Manager), s.As(t, servertest.EndUser)
		for name, c := range map[string]struct {
			as     servertest.Change
			body   map[string]any
			status int
		}{
			"for oneself":                  {selfish, map[string]any{}, 201},
			"for another with own":         {selfish, map[string]any{"userId": agent}, 403},
			"for a user who holds no more": {issuer, map[string]any{"userId": agent}, 201},
			"for a user who holds more":    {issuer, map[string]any{"userId": boss}, 403},
			"for nobody":                   {issuer, map[string]any{"userId": "usr_01BX5ZZKBKACTAV9WEVGEMMVRZ"}, 400},
			"for a stranger":               {admin, map[string]any{"userId": s.UserID(t, servertest.Foreigner)}, 400},
			"with permissions":             {admin, map[string]any{"permissions": []string{"tickets:read:all"}}, 400},
			"of an unknown resource":       {admin, map[string]any{"resources": []string{"stars"}}, 400},
			"malformed user":               {admin, map[string]any{"userId": "me"}, 400},
			"with a rate":                  {admin, map[string]any{"rateLimitPerMinute": 5}, 201},
		} {
			c.body["name"] = name
			if r := s.Do(t, "POST", "/v1/access-tokens", c.body, c.as); r.Status != c.status {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "PATCH", "/v1/users/"+agent, map[string]any{"state": "disabled"}, admin).Want(t, 200)
		s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "x", "userId": agent}, admin).Want(t, 400)
		s.Do(t, "PATCH", "/v1/users/"+agent, map[string]any{"state": "active"}, admin).Want(t, 200)

		r := s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "desk", "userId": agent,
			"resources": []string{"tickets"}, "expiresAt": s.Clock.Now().Add(time.Hour)}, admin).Want(t, 201)
		if !regexp.MustCompile(`^gth_at_[0-9a-f]{48}_[0-9a-f]{8}$`).MatchString(r.String("token")) ||
			!strings.HasPrefix(r.String("id"), "act_") || r.String("owner") != agent || r.Get("lastUsedAt") != nil {
			t.Errorf("%s", r.Body)
		}
		path, token := "/v1/access-tokens/"+r.String("id"), servertest.Bearer(r.String("token"))
		me := s.Do(t, "GET", "/v1/auth/me", nil, token).Want(t, 200)
		if me.String("ownerId") != agent || me.Get("email") != nil || me.Get("role") != nil ||
			fmt.Sprint(me.Get("permissions")) != "[tickets:create:own tickets:read:team tickets:update:team]" {
			t.Errorf("%s", me.Body)
		}
		// own is the user's: what the token opens belongs to the agent.
		ticket := s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "by token"}, token).
			Want(t, 201)
		if ticket.String("requesterId") != agent {
			t.Errorf("%s", ticket.Body)
		}
		// The issuer may not widen it to what they do not hold; the expiry may be edited.
		s.Do(t, "PATCH", "/v1/users/"+agent, map[string]any{"role": "tenant_admin"}, admin).Want(t, 200)
		s.Do(t, "PATCH", path, map[string]any{"resources": []string{}}, issuer).Want(t, 403)
		s.Do(t, "PATCH", path, map[string]any{"resources": []string{"users"}}, issuer).Want(t, 403)
		s.Do(t, "PATCH", path, map[string]any{"resources": []string{"tickets", "users"}}, admin).Want(t, 200)
		s.Do(t, "GET", "/verify?permission=users:read", nil, token).Want(t, 200)
		// of its own dialect, the desk and forward authentication only
		s.Do(t, "GET", "/v1/users", nil, token).Want(t, 401)
		s.Do(t, "PATCH", path, map[string]any{"expiresAt": "2020-01-01T00:00:00Z"}, admin).Want(t, 400)
		s.Clock.Advance(2 * time.Hour)
		admin = s.As(t, servertest.Admin)
		s.Do(t, "GET", "/v1/auth/me", nil, token).Want(t, 401, "TOKEN_EXPIRED")
		s.Do(t, "PATCH", path, map[string]any{"expiresAt": nil}, admin).Want(t, 200)
		if got := s.Do(t, "GET", "/v1/auth/me", nil, token).Want(t, 200); got.Get("expiresAt") != nil {
			t.Errorf("%s", got.Body)
		}
		s.Do(t, "PATCH", path, map[string]any{"state": "off"}, admin).Want(t, 400)
		s.Do(t, "PATCH", path, map[string]any{"owner": manager}, admin).Want(t, 400)
		s.Do(t, "DELETE", path, nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/auth/me", nil, token).Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "PATCH", path, map[string]any{"expiresAt": nil}, admin).Want(t, 409)
		if got := s.Do(t, "GET", path, nil, admin).Want(t, 200); got.String("state") != "revoked" {
			t.Errorf("%s", got.Body)
		}
	})
}

// D1, G2: a system access token belongs to the organization, never expires, holds the organization's data and never
// people, roles or settings; its signature is by a key that nobody is told, and its row decides.
func TestD1_SystemTokens(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		r := s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "erp"}, admin).Want(t, 201)
		if r.String("owner") != s.Organization("acme-corp") || r.Get("expiresAt") != nil ||
			fmt.Sprint(r.Get("permissions")) != "[entity:manage:all reports:read:all sla_policies:manage:all "+
				"system_tokens:manage:all tickets:manage:all]" {
			t.Errorf("%s", r.Body)
		}
		header, claims := decodeToken(t, r.String("token"))
		if header["typ"] != "sat+jwt" || header["alg"] != "RS256" || claims["exp"] != nil ||
			claims["organizationId"] != s.Organization("acme-corp") || claims["sub"] != r.String("id") ||
			claims["jti"] == "" {
			t.Errorf("%v %v", header, claims)
		}
		if published := string(s.Do(t, "GET", "/.well-known/jwks.json", nil).
			Want(t, 200).Body); strings.Contains(published, header["kid"].(string)) {
			t.Error("the key of tokens without an expiry is published")
		}
		for _, p := range []string{"users:read:all", "roles:read:all", "organization:read:all", "api_keys:manage:all",
			"sessions:read:all", "clients:read:all", "tickets:read:own", "tickets:read:team", "audit:read:all"} {
			s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "x", "permissions": []string{p}}, admin).
				Want(t, 400)
		}
		s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "x", "expiresAt": "2030-01-01T00:00:00Z"}, admin).
			Want(t, 400)
		s.Do(t, "PATCH", "/v1/system-tokens/"+r.String("id"), map[string]any{"expiresAt": "2099-01-01T00:00:00Z"},
			admin).Want(t, 400)
		// A manager of tokens who holds little gives little.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "tokens",
			"permissions": []string{"system_tokens:manage:all", "reports:read:all"}}, admin).Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Agent), map[string]any{"role": "tokens"}, admin).
			Want(t, 200)
		little := s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "little"}, s.As(t, servertest.Agent)).
			Want(t, 201)
		if fmt.Sprint(little.Get("permissions")) != "[reports:read:all system_tokens:manage:all]" {
			t.Errorf("%s", little.Body)
		}
		s.Do(t, "POST", "/v1/system-tokens/"+r.String("id")+"/rotate", nil, s.As(t, servertest.Agent)).Want(t, 403)
		token := servertest.Bearer(r.String("token"))
		s.Clock.Advance(10 * 365 * 24 * time.Hour)
		s.Do(t, "GET", "/v1/tickets", nil, token).Want(t, 200)
	})
}

// ATK42, G2, R8725-11, R8725-12: tokens signed with our own keys but of another make are nothing: a long-lived one
// without a row, one that claims another type, a session token without exp, one kind's claims under another's type.
func TestATK42_WellSignedButWrong(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		session, err := s.Keys.Signing(signingkey.Session)
		if err != nil {
			t.Fatal(err)
		}
		longLived, err := s.Keys.Signing(signingkey.LongLived)
		if err != nil {
			t.Fatal(err)
		}
		sat, access := s.Seeds.SystemAccessTokens[0].Token, s.Login(t, servertest.Admin).AccessToken
		client := s.Seeded(t)[5].Value
		_, satClaims := decodeToken(t, sat)
		_, accessClaims := decodeToken(t, access)
		_, clientClaims := decodeToken(t, client)
		without := func(m map[string]any, name string) map[string]any {
			out := map[string]any{}
			for k, v := range m {
				if k != name {
					out[k] = v
				}
			}
			return out
		}
		with := func(m map[string]any, name string, v any) map[string]any {
			out := without(m, name)
			out[name] = v
			return out
		}
		sign := func(key jwt.PrivateKey, typ string, claims map[string]any) string {
			raw, err := json.Marshal(claims)
			if err != nil {
				t.Fatal(err)
			}
			text, err := jwt.Sign(key, typ, raw)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		for name, value := range map[string]string{
			"a system token without a row":          sign(longLived, "sat+jwt", with(satClaims, "jti", "another")),
			"a system token by the session key":     sign(session, "sat+jwt", satClaims),
			"a system token as application token":   sign(longLived, "app+jwt", satClaims),
			"a system token as access token":        sign(session, "at+jwt", satClaims),
			"an access token by the long-lived key": sign(longLived, "at+jwt", accessClaims),
			"an access token without exp":           sign(session, "at+jwt", without(accessClaims, "exp")),
			"an access token as a system token":     sign(longLived, "sat+jwt", accessClaims),
			"a session token for clients": sign(session, "at+jwt",
				with(accessClaims, "aud", servertest.PublicURL+"/api")),
			"a client token for sessions": sign(session, "at+jwt",
				with(clientClaims, "aud", servertest.PublicURL)),
			"a client token of another client": sign(session, "at+jwt",
				with(clientClaims, "client_id", s.Seeds.Clients[1].ClientID)),
			"a client token of another tenant": sign(session, "at+jwt",
				with(clientClaims, "organizationId", s.Organization("second-tenant"))),
			"a client token without exp": sign(session, "at+jwt", without(clientClaims, "exp")),
			"a client token of no client": sign(session, "at+jwt",
				with(with(clientClaims, "sub", "cli_01BX5ZZKBKACTAV9WEVGEMMVRZ"), "client_id",
					"cli_01BX5ZZKBKACTAV9WEVGEMMVRZ")),
			"a client token with another's secret": sign(session, "at+jwt",
				with(clientClaims, "credential", s.Seeds.APIKeys[0].ID)),
			"a client token with no such family": sign(session, "at+jwt",
				with(clientClaims, "family", "fam_01BX5ZZKBKACTAV9WEVGEMMVRZ")),
			"a client token for a list of places": sign(session, "at+jwt",
				with(clientClaims, "aud", []string{servertest.PublicURL + "/api"})),
			"another type":                    sign(session, "JWT", accessClaims),
			"a forwarded token's type":        sign(session, "fwd+jwt", accessClaims),
			"with the prefix of another type": sign(session, "application/at+jwt", accessClaims),
			"a different issuer": sign(session, "at+jwt",
				with(clientClaims, "iss", "https://other.example")),
		} {
			for _, place := range []string{"/v1/auth/me", "/verify"} {
				if r := s.Do(t, "GET", place, nil, servertest.Bearer(value)); r.Status != 401 {
					t.Errorf("%s at %s: %d %s", name, place, r.Status, r.Body)
				}
			}
		}
		// the same, made anew, is good: the cases above are what is wrong
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(sign(session, "at+jwt", clientClaims))).Want(t, 200)
	})
}
