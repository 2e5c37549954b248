package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

func ticketIDs(t *testing.T, s *servertest.Server, query string, as servertest.Change) []string {
	t.Helper()
	var list struct{ Data []struct{ ID string } }
	s.Do(t, "GET", "/v1/tickets?limit=1000&"+query, nil, as).Want(t, 200).Into(t, &list)
	var out []string
	for _, d := range list.Data {
		out = append(out, d.ID)
	}
	return out
}

// A50: the shape of a ticket and its listing.
func TestA50_Tickets(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Manager)
		r := s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "incident", "title": " Broken ",
			"description": "two\nlines", "classification": "hardware", "priority": "high"}, as).Want(t, 201)
		var body map[string]any
		r.Into(t, &body)
		if got := members(body); got != "assigneeId classification createdAt description id priority requesterId "+
			"status teamId title type updatedAt" {
			t.Errorf("members %q", got)
		}
		if body["status"] != "new" || body["title"] != "Broken" || body["assigneeId"] != nil ||
			r.Header.Get("Location") != "/v1/tickets/"+r.String("id") {
			t.Errorf("%s", r.Body)
		}
		for field, bad := range map[string]any{"type": "party", "title": "", "priority": "urgent",
			"description": strings.Repeat("x", 20_001), "assigneeId": "usr_1"} {
			in := map[string]any{"type": "incident", "title": "x", field: bad}
			if r := s.Do(t, "POST", "/v1/tickets", in, as); r.Status != 400 ||
				!strings.Contains(string(r.Body), `"field":"`+field) {
				t.Errorf("bad %s: %d %s", field, r.Status, r.Body)
			}
		}
		for _, status := range []string{"open", "in_progress", "pending", "on_hold", "resolved", "closed", "cancelled",
			"new"} {
			if got := s.Do(t, "PATCH", "/v1/tickets/"+r.String("id"), map[string]any{"status": status}, as).
				Want(t, 200).String("status"); got != status {
				t.Errorf("status %s, want %s", got, status)
			}
		}
		if ids := ticketIDs(t, s, "status=new&priority=high", as); !slices.Contains(ids, r.String("id")) {
			t.Errorf("not found by its status and priority: %v", ids)
		}
		if ids := ticketIDs(t, s, "status=closed", as); len(ids) != 0 {
			t.Errorf("closed: %v", ids)
		}
		s.Do(t, "GET", "/v1/tickets?status=lost", nil, as).Want(t, 400)
	})
}

// A51, A34, A35, A36: own, team and all decide what is listed, read, changed and assigned.
func TestA51_Scopes(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		blue := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "blue"}, admin).Want(t, 201).String("id")
		red := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "red"}, admin).Want(t, 201).String("id")
		end, endTokens := newUser(t, s, "end@acme-corp.example", "end_user")
		blueID, blueTokens := newUser(t, s, "blue@acme-corp.example", "service_desk_agent", blue)
		mateID, _ := newUser(t, s, "mate@acme-corp.example", "service_desk_agent", blue)
		redID, redTokens := newUser(t, s, "red@acme-corp.example", "service_desk_agent", red)
		_, bossTokens := newUser(t, s, "boss@acme-corp.example", "service_desk_manager")
		endUser, agent, stranger, boss := servertest.Bearer(endTokens.AccessToken),
			servertest.Bearer(blueTokens.AccessToken), servertest.Bearer(redTokens.AccessToken),
			servertest.Bearer(bossTokens.AccessToken)

		make := func(fields map[string]any) string {
			in := map[string]any{"type": "task", "title": "t"}
			for k, v := range fields {
				in[k] = v
			}
			return s.Do(t, "POST", "/v1/tickets", in, boss).Want(t, 201).String("id")
		}
		tickets := map[string]string{
			"of the end user":          make(map[string]any{"requesterId": end}),
			"assigned to the end user": make(map[string]any{"assigneeId": end}),
			"assigned to the agent":    make(map[string]any{"assigneeId": blueID}),
			"requested by the agent":   make(map[string]any{"requesterId": blueID}),
			"of the blue team":         make(map[string]any{"teamId": blue}),
			"of a mate":                make(map[string]any{"assigneeId": mateID}),
			"of the red team":          make(map[string]any{"teamId": red}),
			"of the red agent":         make(map[string]any{"assigneeId": redID}),
			"of nobody":                make(nil),
		}
		for _, c := range []struct {
			who      string
			as       servertest.Change
			sees     []string
			mayWrite bool
		}{
			{"end user", endUser, []string{"of the end user"}, false},
			{"blue agent", agent, []string{"assigned to the agent", "requested by the agent", "of the blue team",
				"of a mate"}, true},
			{"red agent", stranger, []string{"of the red team", "of the red agent"}, true},
			{"manager", boss, []string{"of the end user", "assigned to the end user", "assigned to the agent",
				"requested by the agent", "of the blue team", "of a mate", "of the red team", "of the red agent",
				"of nobody"}, true},
		} {
			listed := ticketIDs(t, s, "", c.as)
			for name, id := range tickets {
				visible := slices.Contains(c.sees, name)
				if slices.Contains(listed, id) != visible {
					t.Errorf("%s: ticket %s listed: %v", c.who, name, !visible)
				}
				want := 404
				if visible {
					want = 200
				}
				if r := s.Do(t, "GET", "/v1/tickets/"+id, nil, c.as); r.Status != want {
					t.Errorf("%s reads the ticket %s: %d, want %d", c.who, name, r.Status, want)
				}
				if !c.mayWrite {
					want = 403 // the route itself
				}
				if r := s.Do(t, "PATCH", "/v1/tickets/"+id,
					map[string]any{"priority": "low", "status": "open", "classification": "x"},
					c.as); r.Status != want {
					t.Errorf("%s changes the ticket %s: %d, want %d", c.who, name, r.Status, want)
				}
			}
		}
		// Assignment needs tickets:assign.
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"assigneeId": blueID}, agent).
			Want(t, 403)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"teamId": red}, agent).Want(t, 403)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of nobody"], map[string]any{"assigneeId": redID, "teamId": red}, boss).
			Want(t, 200)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of nobody"], map[string]any{"assigneeId": ""}, boss).Want(t, 200)
		s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "t", "requesterId": blueID}, endUser).
			Want(t, 403)
		s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "t", "assigneeId": blueID}, endUser).
			Want(t, 403)

		// tickets:assign:team reaches the own team, and members of it only.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "team_lead",
			"permissions": []string{"tickets:read:all", "tickets:assign:team"}}, admin).Want(t, 201)
		leadID, leadTokens := newUser(t, s, "lead@acme-corp.example", "team_lead", blue)
		lead := servertest.Bearer(leadTokens.AccessToken)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"assigneeId": mateID}, lead).
			Want(t, 200)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"assigneeId": leadID}, lead).
			Want(t, 200)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"assigneeId": redID}, lead).
			Want(t, 403)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the red team"], map[string]any{"assigneeId": mateID}, lead).
			Want(t, 403)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of the blue team"], map[string]any{"title": "x"}, lead).Want(t, 403)

		// A39: tickets:update:all works as written, also for who may not list.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "updater", "permissions": []string{"tickets:update:all"}},
			admin).Want(t, 201)
		_, updaterTokens := newUser(t, s, "updater@acme-corp.example", "updater")
		updater := servertest.Bearer(updaterTokens.AccessToken)
		s.Do(t, "PATCH", "/v1/tickets/"+tickets["of nobody"], map[string]any{"priority": "high"}, updater).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets/"+tickets["of nobody"], nil, updater).Want(t, 403)

		// A move between teams acts at once.
		s.Do(t, "DELETE", "/v1/teams/"+blue+"/members/"+blueID, nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/tickets/"+tickets["of a mate"], nil, agent).Want(t, 404)
		s.Do(t, "PUT", "/v1/teams/"+red+"/members/"+blueID, nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/tickets/"+tickets["of the red team"], nil, agent).Want(t, 200)
		s.Do(t, "DELETE", "/v1/teams/"+red, nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/tickets/"+tickets["of the red team"], nil, agent).Want(t, 404)
		if r := s.Do(t, "GET", "/v1/tickets/"+tickets["of the red team"], nil, boss).
			Want(t, 200); r.Get("teamId") != nil {
			t.Errorf("the ticket still names the deleted team: %s", r.Body)
		}
	})
}

// A52: reports and service levels.
func TestA52_ReportsAndPolicies(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Manager)
		r := s.Do(t, "GET", "/v1/reports/tickets", nil, as).Want(t, 200)
		if r.Get("total") != 4.0 || r.Get("byStatus.new") != 4.0 || r.Get("byStatus.closed") != 0.0 ||
			r.Get("byPriority.critical") != 1.0 {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"}).Want(t, 401)
		r = s.Do(t, "GET", "/v1/reports/sign-ins", nil, as).Want(t, 200)
		var report struct {
			Days []struct {
				Date               string
				Succeeded, Refused int
			}
		}
		r.Into(t, &report)
		if n := len(report.Days); n != 31 || report.Days[n-1].Succeeded != 1 || report.Days[n-1].Refused != 1 {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "GET", "/v1/reports/sign-ins?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", nil, as).
			Want(t, 400)
		s.Do(t, "GET", "/v1/reports/sign-ins?since=yesterday", nil, as).Want(t, 400)

		r = s.Do(t, "GET", "/v1/sla-policies", nil, as).Want(t, 200)
		if strings.Count(string(r.Body), "responseMinutes") != 4 {
			t.Errorf("%s", r.Body)
		}
		policy := func(priority string, response, resolution int) map[string]any {
			return map[string]any{"policies": []map[string]any{{"priority": priority, "responseMinutes": response,
				"resolutionMinutes": resolution}}}
		}
		s.Do(t, "PUT", "/v1/sla-policies", policy("high", 30, 10), as).Want(t, 400)
		s.Do(t, "PUT", "/v1/sla-policies", policy("urgent", 30, 60), as).Want(t, 400)
		s.Do(t, "PUT", "/v1/sla-policies", policy("high", 0, 60), as).Want(t, 400)
		r = s.Do(t, "PUT", "/v1/sla-policies", policy("high", 30, 60), as).Want(t, 200)
		if !strings.Contains(string(r.Body), `"priority":"high","responseMinutes":30,"resolutionMinutes":60`) {
			t.Errorf("%s", r.Body)
		}
		if r := s.Do(t, "GET", "/v1/sla-policies", nil, s.As(t, servertest.Foreigner)); strings.Contains(string(r.Body),
			`"responseMinutes":30,`) {
			t.Errorf("the other tenant has it too: %s", r.Body)
		}
	})
}

// G9, A55: acts leave events that say who, what, where from and with which outcome, filtered by each.
func TestG9_Audit(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		adminID := s.UserID(t, servertest.Admin)
		made := s.Do(t, "POST", "/v1/users", map[string]any{"email": "audited@acme-corp.example", "role": "end_user"},
			as, servertest.Header("User-Agent", "probe/1")).Want(t, 201)
		r := s.Do(t, "GET", "/v1/audit-events?target="+made.String("id")+"&actor="+adminID, nil, as).Want(t, 200)
		var list struct {
			Data []struct {
				ID, At, Act, Outcome, Address, UserAgent, RequestID, OrganizationID string
				Actor                                                               struct{ Kind, ID string }
				Target                                                              struct{ Kind, ID string }
			}
		}
		r.Into(t, &list)
		if len(list.Data) != 1 {
			t.Fatalf("%s", r.Body)
		}
		e := list.Data[0]
		if e.Act != "user.created" || e.Outcome != "success" || e.Actor.ID != adminID || e.Actor.Kind != "user" ||
			e.Target.Kind != "user" || e.UserAgent != "probe/1" || e.Address != "127.0.0.1" ||
			e.RequestID != made.Header.Get("X-Request-Id") || e.OrganizationID != s.Organization("acme-corp") ||
			!strings.HasPrefix(e.ID, "evt_") {
			t.Errorf("%+v", e)
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"}).Want(t, 401)
		r = s.Do(t, "GET", "/v1/audit-events?act=session.refused", nil, as).Want(t, 200)
		if !strings.Contains(string(r.Body), `"outcome":"failure"`) || strings.Contains(string(r.Body), "agent@") {
			t.Errorf("%s", r.Body)
		}
		for query, want := range map[string]string{"since=2100-01-01T00:00:00Z": `{"data":[]`,
			"until=2000-01-01T00:00:00Z": `{"data":[]`, "act=user.created&since=2000-01-01T00:00:00Z": `{"data":[{`,
			"actor=usr_nobody": `{"data":[]`} {
			if r := s.Do(t, "GET", "/v1/audit-events?"+query, nil, as).
				Want(t, 200); !strings.HasPrefix(string(r.Body), want) {
				t.Errorf("%s: %.100s", query, r.Body)
			}
		}
		if r := s.Do(t, "GET", "/v1/audit-events?limit=1000", nil,
			s.As(t, servertest.Foreigner)); strings.Contains(string(r.Body), made.String("id")) {
			t.Error("the other tenant sees it")
		}
	})
}
