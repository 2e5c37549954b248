package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// newUser makes a user with a role and signs them in.
func newUser(t *testing.T, s *servertest.Server, email, role string, teams ...string) (string, servertest.Tokens) {
	t.Helper()
	r := s.Do(t, "POST", "/v1/users", map[string]any{"email": email, "role": role, "teams": teams},
		s.As(t, servertest.Admin)).Want(t, 201)
	_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
	s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": "a sentence for a test"}).
		Want(t, 200)
	var tokens servertest.Tokens
	s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": email, "password": "a sentence for a test"}).Want(t, 200).
		Into(t, &tokens)
	return r.String("id"), tokens
}

// A34–A38: what each built-in role reaches of /v1, and what not.
func TestA34_BuiltinRoles(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const yes, no = 200, 403
		for _, c := range []struct {
			path                                          string
			endUser, agent, manager, admin, super, public int
		}{
			{"/v1/tickets", yes, yes, yes, yes, yes, 401},        // A34, A35, A36, A37, A38
			{"/v1/reports/tickets", no, no, yes, yes, yes, 401},  // A36
			{"/v1/reports/sign-ins", no, no, yes, yes, yes, 401}, // A36
			{"/v1/sla-policies", no, no, yes, yes, yes, 401},     // A36
			{"/v1/users", no, no, no, yes, yes, 401},             // A37
			{"/v1/teams", no, no, no, yes, yes, 401},             // A37
			{"/v1/roles", no, no, no, yes, yes, 401},             // A37
			{"/v1/invitations", no, no, no, yes, yes, 401},       // A37
			{"/v1/organization", no, no, no, yes, yes, 401},      // A37
			{"/v1/audit-events", no, no, no, yes, yes, 401},      // A37
			{"/v1/organizations", no, no, no, no, yes, 401},      // A38
			{"/v1/auth/me", yes, yes, yes, yes, yes, 401},        // oneself
			{"/v1/auth/sessions", yes, yes, yes, yes, yes, 401},  // oneself
		} {
			for email, want := range map[string]int{servertest.EndUser: c.endUser, servertest.Agent: c.agent,
				servertest.Manager: c.manager, servertest.Admin: c.admin, servertest.Operator: c.super} {
				if r := s.Do(t, "GET", c.path, nil, s.As(t, email)); r.Status != want {
					t.Errorf("%s %s: %d, want %d", email, c.path, r.Status, want)
				}
			}
			s.Do(t, "GET", c.path, nil).Want(t, c.public)
		}
	})
}

// A39, A40, ATK59: an organization's own roles are made of the same permissions; nobody grants what they do not hold,
// to anyone.
func TestA40_NobodyGrantsMore(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		create := func(as servertest.Change, name string, permissions ...string) servertest.Response {
			return s.Do(t, "POST", "/v1/roles", map[string]any{"name": name, "permissions": permissions}, as)
		}
		// A39
		r := create(admin, "as_written", "tickets:create:own", "tickets:read:team", "tickets:update:all",
			"users:manage:all", "api_keys:manage:own", "reports:read:all").Want(t, 201)
		if r.Header.Get("Location") != "/v1/roles/"+r.String("id") || r.Get("builtin") != false {
			t.Errorf("%s", r.Body)
		}
		for _, bad := range []string{"tickets", "tickets:read", "tickets:read:own:x", "tickets:fly:own",
			"cars:read:all", "tickets:read:everyone", "users:read:team", "*:*:*", "tickets:read:All", ""} {
			if r := create(admin, "bad", bad); r.Status != 400 || !strings.Contains(string(r.Body), "permissions[0]") {
				t.Errorf("permission %q: %d %s", bad, r.Status, r.Body)
			}
		}
		create(admin, "platform_role", "organizations:read:all").Want(t, 400)
		create(admin, "tenant_admin").Want(t, 409)
		create(admin, "as_written").Want(t, 409)
		create(admin, "Has-Caps").Want(t, 400)

		// A user manager who may manage users and roles, but holds little else.
		create(admin, "user_manager", "users:manage:all", "roles:manage:all", "invitations:manage:all",
			"sessions:manage:all", "tickets:create:own", "tickets:read:own").Want(t, 201)
		managerID, tokens := newUser(t, s, "usermanager@acme-corp.example", "user_manager")
		as := servertest.Bearer(tokens.AccessToken)
		adminID, agentID, endUserID := s.UserID(t, servertest.Admin), s.UserID(t, servertest.Agent),
			s.UserID(t, servertest.EndUser)
		for name, r := range map[string]servertest.Response{
			"a role with more": create(as, "escalation", "audit:read:all"),
			"a wider scope":    create(as, "wider", "tickets:read:all"),
			"an administrator": s.Do(t, "POST", "/v1/users",
				map[string]any{"email": "x@acme-corp.example", "role": "tenant_admin"}, as),
			"an operator": s.Do(t, "POST", "/v1/users",
				map[string]any{"email": "x@acme-corp.example", "role": "super_admin"}, as),
			"an invitation of an admin": s.Do(t, "POST", "/v1/invitations",
				map[string]any{"email": "x@acme-corp.example", "role": "tenant_admin"}, as),
			"promotion of another": s.Do(t, "PATCH", "/v1/users/"+endUserID,
				map[string]any{"role": "tenant_admin"}, as),
			"promotion of oneself": s.Do(t, "PATCH", "/v1/users/"+managerID,
				map[string]any{"role": "tenant_admin"}, as),
			"another role for oneself": s.Do(t, "PATCH", "/v1/users/"+managerID, map[string]any{"role": "end_user"},
				as),
			"an administrator's address": s.Do(t, "PATCH", "/v1/users/"+adminID,
				map[string]any{"email": "mine@acme-corp.example"}, as),
			"an administrator's end":      s.Do(t, "DELETE", "/v1/users/"+adminID, nil, as),
			"an administrator's sessions": s.Do(t, "DELETE", "/v1/users/"+adminID+"/sessions", nil, as),
			"a user who holds more":       s.Do(t, "PATCH", "/v1/users/"+agentID, map[string]any{"name": "x"}, as),
			"one's own deactivation":      s.Do(t, "DELETE", "/v1/users/"+managerID, nil, as),
			"a change of a stronger role": s.Do(t, "PATCH", "/v1/roles/"+r.String("id"),
				map[string]any{"description": "x"}, as),
			"deleting a stronger role": s.Do(t, "DELETE", "/v1/roles/"+r.String("id"), nil, as),
			"an operator of the platform": s.Do(t, "POST", "/v1/users",
				map[string]any{"email": "x@acme-corp.example", "role": "super_admin"}, admin),
		} {
			if r.Status != 403 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		// holds no more than the manager
		s.Do(t, "PATCH", "/v1/users/"+endUserID, map[string]any{"name": "renamed"}, as).Want(t, 200)
		create(as, "weaker", "tickets:read:own").Want(t, 201)

		builtin := s.Do(t, "GET", "/v1/roles?limit=5", nil, admin).Want(t, 200)
		for _, name := range []string{"end_user", "service_desk_agent", "service_desk_manager", "tenant_admin",
			"super_admin"} {
			if !strings.Contains(string(builtin.Body), `"name":"`+name+`"`) {
				t.Errorf("no %s in %s", name, builtin.Body)
			}
		}
		s.Do(t, "PATCH", "/v1/roles/role_00000000000000000000000001",
			map[string]any{"permissions": []string{"tickets:read:all"}}, admin).Want(t, 409)
		s.Do(t, "DELETE", "/v1/roles/role_00000000000000000000000001", nil, admin).Want(t, 409)
		s.Do(t, "DELETE", "/v1/roles/"+r.String("id"), nil, admin).Want(t, 204)
	})
}

// A41: a role change waits for the next access token; ending the session or the organization's choice applies it at
// once.
func TestA41_RoleChange(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		id, tokens := newUser(t, s, "climber@acme-corp.example", "service_desk_manager")
		as := servertest.Bearer(tokens.AccessToken)
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"role": "end_user"}, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 200)
		next := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 200)
		_, claims := decodeToken(t, next.String("accessToken"))
		if claims["role"] != "end_user" {
			t.Errorf("the next token says %v", claims["role"])
		}
		s.Do(t, "GET", "/v1/reports/tickets", nil, servertest.Bearer(next.String("accessToken"))).Want(t, 403)
		s.Clock.Advance(16 * time.Minute)
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 401, "TOKEN_EXPIRED")

		admin = s.As(t, servertest.Admin)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"roleChangesApplyAtOnce": true}},
			admin).Want(t, 200)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "reporter", "permissions": []string{"reports:read:all"}},
			admin).Want(t, 201)
		id, tokens = newUser(t, s, "reporter@acme-corp.example", "reporter")
		as = servertest.Bearer(tokens.AccessToken)
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 200)
		role := s.Do(t, "GET", "/v1/roles?limit=1000", nil, admin)
		var list struct{ Data []struct{ ID, Name string } }
		role.Into(t, &list)
		for _, r := range list.Data {
			if r.Name == "reporter" {
				s.Do(t, "PATCH", "/v1/roles/"+r.ID, map[string]any{"permissions": []string{"tickets:read:own"}}, admin).
					Want(t, 200)
			}
		}
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 403) // the role changed
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"role": "service_desk_manager"}, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 200) // another role
	})
}

// A55, ATK57: an invitation is bound to address, role and teams, works once and on time, and can be revoked.
func TestATK57_Invitations(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		team := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "invited"}, admin).Want(t, 201).String("id")
		invite := func(email string) servertest.Response {
			return s.Do(t, "POST", "/v1/invitations",
				map[string]any{"email": email, "role": "service_desk_agent", "teams": []string{team}}, admin).
				Want(t, 201)
		}
		token := func(r servertest.Response) string {
			_, v, _ := strings.Cut(r.String("url"), servertest.PublicURL+"/accept-invitation#token=")
			return v
		}
		accept := func(token, password string) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/invitations/accept",
				map[string]any{"token": token, "password": password, "name": "Invited"})
		}
		inv := invite("one@acme-corp.example")
		if strings.Contains(string(s.Do(t, "GET", "/v1/invitations/"+inv.String("id"), nil, admin).Want(t, 200).Body),
			"token") {
			t.Error("G4: the link is shown again")
		}
		accept(token(inv), "too short").Want(t, 400, "VALIDATION_ERROR") // and nothing is used up
		accept(token(inv)+"x", "a sentence to accept with").Want(t, 401, "INVALID_TOKEN")
		u := accept(token(inv), "a sentence to accept with").Want(t, 201)
		if u.String("email") != "one@acme-corp.example" || u.String("role") != "service_desk_agent" {
			t.Errorf("%s", u.Body)
		}
		if !strings.Contains(string(s.Do(t, "GET", "/v1/teams/"+team+"/members", nil, admin).Body), u.String("id")) {
			t.Error("not in the team")
		}
		accept(token(inv), "a sentence to accept with").Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "one@acme-corp.example",
			"password": "a sentence to accept with"}).Want(t, 200)
		s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "ONE@acme-corp.example", "role": "end_user"}, admin).
			Want(t, 409)

		revoked := invite("two@acme-corp.example")
		s.Do(t, "DELETE", "/v1/invitations/"+revoked.String("id"), nil, admin).Want(t, 204)
		accept(token(revoked), "a sentence to accept with").Want(t, 401)
		late := invite("three@acme-corp.example")
		s.Clock.Advance(7*24*time.Hour + time.Second)
		accept(token(late), "a sentence to accept with").Want(t, 401)
		if r := s.Do(t, "GET", "/v1/invitations/"+late.String("id"), nil,
			s.As(t, servertest.Admin)); r.String("state") != "expired" {
			t.Errorf("state %s", r.String("state"))
		}
	})
}

// A55, ATK17, ATK46, ATK56: addresses are canonicalised first and then checked; no spelling makes a second account; a
// user name cannot pass for another's address.
func TestATK17_Addresses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		for _, bad := range []string{"", "a", "@b.example", "a@", "a@b", "a@@b.example", "a@b@c.example",
			"a\uff20b.example@c.example", "a b@c.example", "a@c..example", "a@-c.example", "Ana <a@c.example>",
			"a@c.example\r\nBcc: x@y.example", "a@[127.0.0.1]", "ä@example.example",
			strings.Repeat("a", 65) + "@c.example"} {
			if r := s.Do(t, "POST", "/v1/users", map[string]any{"email": bad, "role": "end_user"},
				admin); r.Status != 400 {
				t.Errorf("address %q: %d", bad, r.Status)
			}
		}
		for _, same := range []string{"AGENT@acme-corp.example", " agent@acme-corp.example ",
			"ａgent@acme-corp.example"} {
			if r := s.Do(t, "POST", "/v1/users", map[string]any{"email": same, "role": "end_user"},
				admin); r.Status != 409 {
				t.Errorf("address %q: %d, want the conflict", same, r.Status)
			}
		}
		for _, bad := range []string{servertest.Manager, "x@y", "has space", "semi;colon", "a"} {
			if r := s.Do(t, "POST", "/v1/users", map[string]any{"email": "fresh@acme-corp.example", "username": bad,
				"role": "end_user"}, admin); r.Status != 400 {
				t.Errorf("user name %q: %d", bad, r.Status)
			}
		}
		for _, field := range []string{"password", "passwordHash", "organizationId", "state", "id"} { // mass assignment
			s.Do(t, "POST", "/v1/users", map[string]any{"email": "fresh@acme-corp.example", "role": "end_user",
				field: "x"}, admin).Want(t, 400)
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "  Agent@ACME-corp.example ", "password": pw}).
			Want(t, 200)
	})
}
