package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

func tenant(slug string) servertest.Change { return servertest.Header("X-Tenant-Slug", slug) }

// A43, WEB07: with a credential the header is only a check; a super_admin's session alone may name another tenant, and
// that is recorded in both organizations.
func TestA43_TenantHeader(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin, operator := s.As(t, servertest.Admin), s.As(t, servertest.Operator)
		for _, c := range []struct {
			name   string
			as     servertest.Change
			slugs  []string
			status int
			code   string
		}{
			{"own", admin, []string{"acme-corp"}, 200, ""},
			{"other", admin, []string{"second-tenant"}, 403, "TENANT_MISMATCH"},
			{"unknown", admin, []string{"no-such-tenant"}, 403, "TENANT_MISMATCH"},
			{"platform", admin, []string{"platform"}, 403, "TENANT_MISMATCH"},
			{"other case", admin, []string{"ACME-CORP"}, 403, "TENANT_MISMATCH"},
			{"repeated", admin, []string{"acme-corp", "acme-corp"}, 400, ""},
			{"empty", admin, []string{""}, 400, ""},
			{"operator, own", operator, []string{"platform"}, 200, ""},
			{"operator, other", operator, []string{"acme-corp"}, 200, ""},
			{"operator, unknown", operator, []string{"no-such-tenant"}, 404, "NOT_FOUND"},
		} {
			changes := []servertest.Change{c.as}
			for _, slug := range c.slugs {
				changes = append(changes, tenant(slug))
			}
			r := s.Do(t, "GET", "/v1/users", nil, changes...)
			if r.Status != c.status || (c.code != "" && r.Code() != c.code) {
				t.Errorf("%s: %d %s, want %d %s", c.name, r.Status, r.Code(), c.status, c.code)
			}
		}
		me := s.Do(t, "GET", "/v1/auth/me", nil, operator, tenant("acme-corp")).Want(t, 200)
		if me.String("organizationSlug") != "acme-corp" || me.String("organizationId") != s.Organization("acme-corp") {
			t.Errorf("abroad: %s", me.Body)
		}
		list := s.Do(t, "GET", "/v1/users", nil, operator, tenant("acme-corp")).Want(t, 200)
		if !strings.Contains(string(list.Body), servertest.Agent) ||
			strings.Contains(string(list.Body), "second-tenant.example") {
			t.Errorf("abroad sees %s", list.Body)
		}
		made := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "made abroad"}, operator, tenant("acme-corp")).
			Want(t, 201)
		s.Do(t, "GET", "/v1/teams/"+made.String("id"), nil, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/teams/"+made.String("id"), nil, operator).Want(t, 404)
		for name, r := range map[string]servertest.Response{
			"tenant":   s.Do(t, "GET", "/v1/audit-events?act=tenant.entered", nil, admin).Want(t, 200),
			"platform": s.Do(t, "GET", "/v1/audit-events?act=tenant.entered", nil, operator).Want(t, 200),
		} {
			if !strings.Contains(string(r.Body), `"request":"POST /v1/teams"`) ||
				!strings.Contains(string(r.Body), s.Organization("platform")) {
				t.Errorf("%s has no record: %s", name, r.Body)
			}
		}
		// Operator's own things stay home: sessions, password.
		sessions := s.Do(t, "GET", "/v1/auth/sessions", nil, operator, tenant("acme-corp")).Want(t, 200)
		if !strings.Contains(string(sessions.Body), `"current":true`) {
			t.Errorf("own sessions abroad: %s", sessions.Body)
		}
	})
}

// A45, G7: a suspended organization's credentials stop at once with their own answer, on another node too; resuming
// brings them back; deleting ends them for good.
func TestA45_Suspension(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		operator := s.As(t, servertest.Operator)
		org := "/v1/organizations/" + s.Organization("second-tenant")
		tokens := s.Login(t, servertest.Foreigner)
		as := servertest.Bearer(tokens.AccessToken)
		other.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		s.Do(t, "PATCH", org, map[string]any{"state": "suspended"}, operator).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 403, "ORGANIZATION_SUSPENDED")
		eventually(t, "the other node refuses", func() bool {
			r, err := other.Try("GET", "/v1/auth/me", nil, as)
			return err == nil && r.Status == 403 && r.Code() == "ORGANIZATION_SUSPENDED"
		})
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).
			Want(t, 403, "ORGANIZATION_SUSPENDED")
		s.Do(t, "GET", "/v1/auth/me", nil, s.As(t, servertest.Admin)).Want(t, 200)
		s.Do(t, "PATCH", org, map[string]any{"state": "active"}, operator).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		s.Do(t, "DELETE", org, nil, operator).Want(t, 204)
		s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 401)
		s.Do(t, "GET", org, nil, operator).Want(t, 404)
		s.Do(t, "POST", "/v1/organizations", map[string]any{"slug": "second-tenant", "name": "again"}, operator).
			Want(t, 409)
		s.Do(t, "DELETE", "/v1/organizations/"+s.Organization("platform"), nil, operator).Want(t, 409)
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("platform"), map[string]any{"state": "suspended"},
			operator).Want(t, 409)
		s.Do(t, "GET", "/v1/auth/me", nil, operator).Want(t, 200)
	})
}

// A55, A45: operators create organizations and make the first administrator in one.
func TestA45_CreateOrganization(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.As(t, servertest.Operator)
		r := s.Do(t, "POST", "/v1/organizations", map[string]any{"slug": "third-tenant", "name": "Third",
			"settings": map[string]any{"timeZone": "Europe/Madrid"}}, operator).Want(t, 201)
		if r.Header.Get("Location") != "/v1/organizations/"+r.String("id") ||
			r.String("settings.timeZone") != "Europe/Madrid" || r.Get("settings.sessionLifetimeSeconds") != 2592000.0 {
			t.Errorf("%v %s", r.Header.Get("Location"), r.Body)
		}
		for _, bad := range []string{"", "ab", "UPPER", "has space", "-lead", "trail-", "dou--ble",
			strings.Repeat("a", 64), "ümlaut", "a.b", "../x"} {
			if r := s.Do(t, "POST", "/v1/organizations", map[string]any{"slug": bad, "name": "x"},
				operator); r.Status != 400 {
				t.Errorf("slug %q: %d", bad, r.Status)
			}
		}
		u := s.Do(t, "POST", "/v1/users", map[string]any{"email": "admin@third.example", "role": "tenant_admin"},
			operator, tenant("third-tenant")).Want(t, 201)
		_, token, _ := strings.Cut(u.String("setPasswordUrl"), "#token=")
		if !strings.HasPrefix(u.String("setPasswordUrl"), servertest.PublicURL+"/set-password#token=") {
			t.Errorf("link %s", u.String("setPasswordUrl"))
		}
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token,
			"password": "a kettle under violet stairs"}).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token,
			"password": "a second use of the link"}).Want(t, 401, "INVALID_TOKEN")
		in := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "admin@third.example",
			"password": "a kettle under violet stairs"}).Want(t, 200)
		s.Do(t, "GET", "/v1/organization", nil, servertest.Bearer(in.String("accessToken"))).Want(t, 200)
		// A tenant has no operators.
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "x@third.example", "role": "super_admin"}, operator,
			tenant("third-tenant")).Want(t, 403)
	})
}

// A55: settings are validated field by field, and only what is named changes.
func TestA55_Settings(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for _, c := range []struct {
			settings map[string]any
			field    string
		}{
			{map[string]any{"allowedOrigins": []string{"https://a.example/"}}, "allowedOrigins[0]"},
			{map[string]any{"allowedOrigins": []string{"https://a.example", "*"}}, "allowedOrigins[1]"},
			{map[string]any{"allowedOrigins": []string{"http://a.example"}}, "allowedOrigins[0]"},
			{map[string]any{"allowedOrigins": []string{"null"}}, "allowedOrigins[0]"},
			{map[string]any{"allowedOrigins": []string{"https://u@a.example"}}, "allowedOrigins[0]"},
			{map[string]any{"allowedOrigins": []string{"https://a.example:443"}}, "allowedOrigins[0]"},
			{map[string]any{"allowedOrigins": []string{"https://a.example", "https://a.example"}}, "allowedOrigins[1]"},
			{map[string]any{"refreshOverlapSeconds": 31}, "refreshOverlapSeconds"},
			{map[string]any{"refreshOverlapSeconds": -1}, "refreshOverlapSeconds"},
			{map[string]any{"sessionLifetimeSeconds": 1}, "sessionLifetimeSeconds"},
			{map[string]any{"timeZone": "Mars/Olympus"}, "timeZone"},
			{map[string]any{"timeZone": ""}, "timeZone"},
			{map[string]any{"unknown": 1}, "settings.unknown"},
		} {
			r := s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": c.settings}, as)
			if r.Status != 400 || !strings.Contains(string(r.Body), `"field":"`+c.field+`"`) {
				t.Errorf("%v: %d %s", c.settings, r.Status, r.Body)
			}
		}
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"refreshOverlapSeconds": 5}},
			as).Want(t, 200)
		r := s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"timeZone": "Asia/Tokyo"}},
			as).Want(t, 200)
		if r.Get("settings.refreshOverlapSeconds") != 5.0 || r.String("name") != "Acme Corp" {
			t.Errorf("a change of one setting changed others: %s", r.Body)
		}
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"state": "suspended"}, as).Want(t, 400) // not theirs to say
	})
}

// G7, ATK28: whatever is switched off acts on the next request here and soon on another node, refresh included.
func TestATK28_RevocationMatrix(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin, operator := s.As(t, servertest.Admin), s.As(t, servertest.Operator)
		user := func(i int) (string, servertest.Tokens) {
			email := fmt.Sprintf("victim%d@acme-corp.example", i)
			r := s.Do(t, "POST", "/v1/users", map[string]any{"email": email, "role": "end_user"}, admin).Want(t, 201)
			_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
			s.Do(t, "POST", "/v1/auth/password/set",
				map[string]any{"token": link, "password": "victim of a revocation"}).Want(t, 200)
			var tokens servertest.Tokens
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": email, "password": "victim of a revocation"}).
				Want(t, 200).Into(t, &tokens)
			return r.String("id"), tokens
		}
		session := func(tokens servertest.Tokens) string {
			_, claims := decodeToken(t, tokens.AccessToken)
			return claims["sessionId"].(string)
		}
		for i, c := range []struct {
			name string
			off  func(id string, tokens servertest.Tokens)
		}{
			{"sign-out", func(_ string, tk servertest.Tokens) {
				s.Do(t, "POST", "/v1/auth/logout", nil, servertest.Bearer(tk.AccessToken)).Want(t, 200)
			}},
			{"session ended by its user", func(_ string, tk servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/auth/sessions/"+session(tk), nil, servertest.Bearer(tk.AccessToken)).Want(t, 204)
			}},
			{"session ended by an administrator", func(_ string, tk servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/auth/sessions/"+session(tk), nil, admin).Want(t, 204)
			}},
			{"all sessions ended", func(id string, _ servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/users/"+id+"/sessions", nil, admin).Want(t, 204)
			}},
			{"user deactivated", func(id string, _ servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/users/"+id, nil, admin).Want(t, 204)
			}},
			{"user disabled by an operator", func(id string, _ servertest.Tokens) {
				s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"state": "disabled"}, operator, tenant("acme-corp")).
					Want(t, 200)
			}},
			{"deactivated and made active again", func(id string, _ servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/users/"+id, nil, admin).Want(t, 204)
				s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"state": "active"}, admin).Want(t, 200)
			}},
		} {
			id, tokens := user(i)
			as := servertest.Bearer(tokens.AccessToken)
			s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
			other.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
			c.off(id, tokens)
			if r := s.Do(t, "GET", "/v1/auth/me", nil, as); r.Status != 401 {
				t.Errorf("%s: still let through here: %d", c.name, r.Status)
			}
			eventually(t, c.name+" on the other node", func() bool {
				r, err := other.Try("GET", "/v1/auth/me", nil, as)
				return err == nil && r.Status == 401
			})
			if r := other.Do(t, "POST", "/v1/auth/refresh",
				map[string]any{"refreshToken": tokens.RefreshToken}); r.Status != 401 {
				t.Errorf("%s: refreshed: %d", c.name, r.Status)
			}
		}
	})
}

// eventually waits for what another node will do in a moment.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}
