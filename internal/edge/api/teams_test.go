package api_test

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A40, A51, ATK59: whoever decides about memberships reaches nothing by it that they do not hold for all. Each way into
// a team is tried: the members' route, a new user, an invitation, another role for a member, other permissions for a
// member's role, and the same by an API key. A team with nothing to see is open.
func TestA51_JoiningATeam(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		role := func(name string, permissions ...string) string {
			return s.Do(t, "POST", "/v1/roles", map[string]any{"name": name, "permissions": permissions}, admin).
				Want(t, 201).String("id")
		}
		team := func(name string) string {
			return s.Do(t, "POST", "/v1/teams", map[string]any{"name": name}, admin).Want(t, 201).String("id")
		}
		role("team_keeper", "teams:manage:all", "users:manage:all", "invitations:manage:all", "roles:manage:all",
			"api_keys:manage:own", "tickets:create:own", "tickets:read:team", "tickets:update:team")
		role("plain", "tickets:create:own")
		widened := role("widened", "tickets:create:own")
		blue, red, empty := team("blue"), team("red"), team("empty")
		agent, _ := newUser(t, s, "agent2@acme-corp.example", "service_desk_agent", blue)
		free, _ := newUser(t, s, "free@acme-corp.example", "service_desk_agent")
		plain, _ := newUser(t, s, "plain@acme-corp.example", "plain")
		member, _ := newUser(t, s, "member@acme-corp.example", "plain", red)
		newUser(t, s, "wide@acme-corp.example", "widened", red)
		ticket := s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "secret", "teamId": blue},
			admin).Want(t, 201).String("id")
		mallory, tokens := newUser(t, s, "mallory@acme-corp.example", "team_keeper")
		as := servertest.Bearer(tokens.AccessToken)
		key := s.Key(t, as, mallory, "teams:manage:all", "users:manage:all", "tickets:read:team").Send()

		for _, c := range []struct {
			what, method, path string
			body               map[string]any
			allowed            bool
		}{
			{"oneself", "PUT", "/v1/teams/" + blue + "/members/" + mallory, nil, false},
			{"oneself, where nobody is", "PUT", "/v1/teams/" + empty + "/members/" + mallory, nil, false},
			{"an agent", "PUT", "/v1/teams/" + red + "/members/" + free, nil, false},
			{"somebody whose tickets the team would see", "PUT", "/v1/teams/" + blue + "/members/" + plain, nil, false},
			{"a new agent", "POST", "/v1/users", map[string]any{"email": "x@acme-corp.example",
				"role": "service_desk_agent", "teams": []string{red}}, false},
			{"a new agent in no team", "POST", "/v1/users", map[string]any{"email": "y@acme-corp.example",
				"role": "service_desk_agent"}, true},
			{"an invited agent", "POST", "/v1/invitations", map[string]any{"email": "z@acme-corp.example",
				"role": "service_desk_agent", "teams": []string{red}}, false},
			{"an invited agent in no team", "POST", "/v1/invitations", map[string]any{"email": "z@acme-corp.example",
				"role": "service_desk_agent"}, true},
			{"a member becomes an agent", "PATCH", "/v1/users/" + member, map[string]any{"role": "service_desk_agent"},
				false},
			{"nobody's member becomes an agent", "PATCH", "/v1/users/" + plain,
				map[string]any{"role": "service_desk_agent"}, true},
			{"a member's role sees more", "PATCH", "/v1/roles/" + widened,
				map[string]any{"permissions": []string{"tickets:create:own", "tickets:read:team"}}, false},
			{"a member's role of other things", "PATCH", "/v1/roles/" + widened,
				map[string]any{"permissions": []string{"tickets:create:own", "users:read:all"}}, true},
			{"somebody who sees nothing there", "PUT", "/v1/teams/" + empty + "/members/" + member, nil, true},
			{"one who is there leaves", "DELETE", "/v1/teams/" + blue + "/members/" + agent, nil, true},
		} {
			if r := s.Do(t, c.method, c.path, c.body, as); (r.Status < 300) != c.allowed ||
				!c.allowed && (r.Status != 403 || !strings.Contains(string(r.Body), "tickets:read:all")) {
				t.Errorf("%s: %d %s", c.what, r.Status, r.Body)
			}
		}
		s.Do(t, "PUT", "/v1/teams/"+blue+"/members/"+mallory, nil, key).Want(t, 403)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "v@acme-corp.example", "role": "service_desk_agent",
			"teams": []string{red}}, key).Want(t, 403)
		s.Do(t, "GET", "/v1/tickets/"+ticket, nil, as).Want(t, 404)
		s.Do(t, "PUT", "/v1/teams/"+blue+"/members/"+mallory, nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/tickets/"+ticket, nil, as).Want(t, 200)
	})
}
