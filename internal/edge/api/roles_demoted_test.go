package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

var safeMethods = []string{http.MethodGet, http.MethodHead, http.MethodOptions}

// A41: who lost a role gives and takes no access any more, at any route, though the old token still works for reading
// and for the service desk. Before, each of these routes let them in.
func TestA41_Demoted(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.As(t, servertest.Operator)
		admins := map[string]servertest.Change{"tenant_admin": s.As(t, servertest.Admin), "super_admin": operator}
		for role, admin := range admins {
			id, as := member(t, s, role, admin)
			routes := guarded(t, s)
			open := make(map[string]bool)
			for _, r := range routes {
				if !lacks(s.Do(t, r.Method, pathOf(r), nil, as)) {
					open[r.Method+r.Pattern] = true
				}
			}
			if least := 30; len(open) < least {
				t.Fatalf("only %d routes let a %s in", len(open), role)
			}
			s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"role": "end_user"}, admin).Want(t, 200)
			for _, r := range routes {
				if got := s.Do(t, r.Method, pathOf(r), nil, as); open[r.Method+r.Pattern] && !lacks(got) {
					t.Errorf("a former %s: %s %s: %d %s", role, r.Method, r.Pattern, got.Status, got.Body)
				}
			}
			s.Do(t, "GET", "/v1/users", nil, as).Want(t, 200) // until the token expires
			s.Do(t, "POST", "/v1/tickets", map[string]any{"title": "for myself", "type": "incident"}, as).Want(t, 201)
		}
	})
}

// A41, A38: a former operator enters no tenant.
func TestA41_DemotedOperator(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.As(t, servertest.Operator)
		abroad := servertest.Header("X-Tenant-Slug", "acme-corp")
		id, as := member(t, s, "super_admin", operator)
		s.Do(t, "GET", "/v1/users", nil, as, abroad).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"role": "tenant_admin"}, operator).Want(t, 200)
		for _, method := range []string{"GET", "POST"} {
			s.Do(t, method, "/v1/users", nil, as, abroad).Want(t, 403, "TENANT_MISMATCH")
		}
		s.Do(t, "POST", "/v1/tickets", map[string]any{"title": "abroad", "type": "incident"}, as, abroad).
			Want(t, 403, "TENANT_MISMATCH")
	})
}

// A41: only the service desk, and proxies that ask about other requests, take the token's word for what may be changed.
func TestA41_WhereItLags(t *testing.T) {
	t.Parallel()
	var lag []string
	for _, r := range servertest.New(t, sqldbtest.SQLite(t)).Kit.Routes() {
		if r.Lags && !slices.Contains(safeMethods, r.Method) {
			lag = append(lag, r.Method+" "+r.Pattern)
		}
	}
	slices.Sort(lag)
	want := []string{" /verify", "PATCH /v1/tickets/{id}", "POST /v1/tickets", "PUT /v1/sla-policies"}
	if !slices.Equal(lag, want) {
		t.Errorf("%q, want %q", lag, want)
	}
}

// A41, ATK10: the role of the moment is that of the change, not that of the first byte: a request that was let in and
// keeps its body back, until its user has lost the role, changes nothing. Nor does one of a key or a session that has
// ended.
func TestA41_DemotedBeforeTheBody(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		id, as := member(t, s, "tenant_admin", admin)
		agent := s.FindUser(t, admin, servertest.Agent)
		team := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "x"}, admin).Want(t, 201).String("id")
		requests := []struct{ method, path, body string }{
			{"POST", "/v1/users", `{"email":"more@acme-corp.example","role":"tenant_admin"}`},
			{"PATCH", "/v1/users/" + agent, `{"email":"moved@acme-corp.example"}`},
			{"PATCH", "/v1/users/" + agent + "/mfa", `{"required":true}`},
			{"POST", "/v1/invitations", `{"email":"more@acme-corp.example","role":"tenant_admin"}`},
			{"POST", "/v1/roles", `{"name":"more","permissions":["users:manage:all"]}`},
			{"POST", "/v1/api-keys", `{"name":"more","permissions":["users:manage:all"]}`},
			{"POST", "/v1/clients", `{"name":"more","permissions":["users:manage:all"]}`},
			{"POST", "/v1/teams", `{"name":"more"}`},
			{"PATCH", "/v1/teams/" + team, `{"name":"another"}`},
			{"PATCH", "/v1/organization", `{"settings":{"allowedOrigins":["https://evil.example"]}}`},
		}
		var finish []func() string
		for _, r := range requests {
			finish = append(finish, s.Halfway(t, r.method, r.path, r.body, as))
		}
		ticket := `{"title":"late","type":"incident"}`
		key := s.Key(t, admin, s.Organization("acme-corp"), "tickets:manage:all")
		byKey := s.Halfway(t, "POST", "/v1/tickets", ticket, key.Send())
		byDialect := s.Halfway(t, "POST", "/api/v1/acme-corp/tokens", `{"name":"late"}`, servertest.Demo("admin"))
		session := s.Login(t, servertest.Manager)
		bySession := s.Halfway(t, "POST", "/v1/tickets", ticket, servertest.Bearer(session.AccessToken))
		kept := s.Halfway(t, "POST", "/v1/tickets", ticket, s.As(t, servertest.Agent))
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"role": "end_user"}, admin).Want(t, 200)
		s.Do(t, "DELETE", "/v1/api-keys/"+key.ID, nil, admin).Want(t, 204)
		s.PostForm(t, "/oauth2/revoke", []string{"token", session.RefreshToken},
			servertest.Bearer(session.AccessToken)).Want(t, 200)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"basicAuthentication": false}},
			admin).Want(t, 200)
		time.Sleep(web.LateBody)
		for i, r := range requests {
			if status := finish[i](); status != "403" {
				t.Errorf("%s %s: %s", r.method, r.path, status)
			}
		}
		for name, c := range map[string]struct{ got, want string }{"a revoked key": {byKey(), "401"},
			"an ended session": {bySession(), "401"}, "Basic that was switched off": {byDialect(), "401"},
			"a session that goes on": {kept(), "201"}} {
			if c.got != c.want {
				t.Errorf("%s: %s", name, c.got)
			}
		}
	})
}

// member makes a user in the organization of an administrator and signs them in.
func member(t *testing.T, s *servertest.Server, role string, admin servertest.Change) (string, servertest.Change) {
	t.Helper()
	email := strings.ReplaceAll(role, "_", "-") + "-for-a-while@acme-corp.example"
	r := s.Do(t, "POST", "/v1/users", map[string]any{"email": email, "role": role}, admin).Want(t, 201)
	_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
	const password = "a sentence for a test"
	s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": password}).Want(t, 200)
	token := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": email, "password": password}).Want(t, 200).
		String("accessToken")
	return r.String("id"), servertest.Bearer(token)
}

// guarded are the routes that change something and need a permission of a session.
func guarded(t *testing.T, s *servertest.Server) (out []web.Route) {
	t.Helper()
	for _, r := range s.Kit.Routes() {
		if r.Permission != "" && !r.Lags && !slices.Contains(safeMethods, r.Method) &&
			slices.Contains(r.Accepts, authn.SessionToken) {
			out = append(out, r)
		}
	}
	return out
}

func lacks(r servertest.Response) bool { return r.Status == 403 && r.Code() == "FORBIDDEN" }

var parameters = regexp.MustCompile(`\{[^}]*\}`)

// pathOf names nothing that is there.
func pathOf(r web.Route) string { return parameters.ReplaceAllString(r.Pattern, "none") }
