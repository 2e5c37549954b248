package api_test

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// ATK29, WEB13: when the database refuses to end a session the answer is no success, nothing is half done, and trying
// again works.
func TestATK29_FailedRevocation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.Login(t, servertest.Admin)
		victim := s.Login(t, servertest.Agent)
		_, claims := decodeToken(t, victim.AccessToken)
		session := claims["sessionId"].(string)
		userID := claims["sub"].(string)
		s.Rename(t, "audit_events", "audit_events_gone")
		for name, r := range map[string]servertest.Response{
			"sign-out": s.Do(t, "POST", "/v1/auth/logout", nil, servertest.Bearer(victim.AccessToken)),
			"one session": s.Do(t, "DELETE", "/v1/auth/sessions/"+session, nil,
				servertest.Bearer(admin.AccessToken)),
			"all sessions": s.Do(t, "DELETE", "/v1/users/"+userID+"/sessions", nil,
				servertest.Bearer(admin.AccessToken)),
			"deactivation": s.Do(t, "DELETE", "/v1/users/"+userID, nil, servertest.Bearer(admin.AccessToken)),
			"failed sign-in": s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Manager, "password": "wrong"}),
			"sign-in": s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Manager, "password": pw}),
		} {
			if r.Status < 500 || strings.Contains(string(r.Body), "audit_events") {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(victim.AccessToken)).Want(t, 200) // nothing is half done
		s.Rename(t, "audit_events_gone", "audit_events")
		s.Do(t, "POST", "/v1/auth/logout", nil, servertest.Bearer(victim.AccessToken)).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(victim.AccessToken)).Want(t, 401)

		// A check that cannot be made refuses: no table of sessions, no request.
		fresh := s.Login(t, servertest.Agent)
		s.Rename(t, "sessions", "sessions_gone")
		if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(fresh.AccessToken)); r.Status < 500 {
			t.Errorf("let through without a look at the session: %d %s", r.Status, r.Body)
		}
		s.Rename(t, "sessions_gone", "sessions")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(fresh.AccessToken)).Want(t, 200)
	})
}

// WEB02: each sign-in has a session of its own, whatever the browser brought; what it brought gains nothing.
func TestWEB02_SessionFixation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		attacker := s.Login(t, servertest.EndUser)
		cookie := servertest.Header("Cookie", "itsm_auth_token="+attacker.AccessToken)
		r := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Admin, "password": pw,
			"cookie": true}, cookie).Want(t, 200)
		_, before := decodeToken(t, attacker.AccessToken)
		_, after := decodeToken(t, r.String("accessToken"))
		if before["sessionId"] == after["sessionId"] || before["jti"] == after["jti"] {
			t.Error("the session that was brought goes on")
		}
		if me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(attacker.AccessToken)).
			Want(t, 200); me.String("role") != "end_user" {
			t.Errorf("the session that was brought gained: %s", me.Body)
		}
		again := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Admin, "password": pw}).
			Want(t, 200)
		_, next := decodeToken(t, again.String("accessToken"))
		if next["sessionId"] == after["sessionId"] {
			t.Error("two sign-ins share a session")
		}
	})
}

// A49: people see their sessions, with device, last address and use, and which is this one; administrators see
// anyone's.
func TestA49_SessionList(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		login := func(agent string) string {
			return s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw},
				servertest.Header("User-Agent", agent)).Want(t, 200).String("accessToken")
		}
		phone, laptop := login("phone/1"), login("laptop/2")
		var list struct {
			Data []struct {
				ID, Device, Address, LastUsedAt, CreatedAt string
				Current                                    bool
			}
		}
		s.Do(t, "GET", "/v1/auth/sessions", nil, servertest.Bearer(laptop)).Want(t, 200).Into(t, &list)
		if len(list.Data) != 2 {
			t.Fatalf("%+v", list)
		}
		for _, e := range list.Data {
			if e.Address != "127.0.0.1" || e.LastUsedAt == "" || e.Current != (e.Device == "laptop/2") {
				t.Errorf("%+v", e)
			}
		}
		_, claims := decodeToken(t, phone)
		admin := s.As(t, servertest.Admin)
		all := s.Do(t, "GET", "/v1/users/"+claims["sub"].(string)+"/sessions", nil, admin).Want(t, 200)
		if strings.Count(string(all.Body), `"device"`) != 2 || strings.Contains(string(all.Body), `"current":true`) {
			t.Errorf("%s", all.Body)
		}
		s.Do(t, "DELETE", "/v1/auth/sessions/"+claims["sessionId"].(string), nil, servertest.Bearer(laptop)).
			Want(t, 204)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(phone)).Want(t, 401)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(laptop)).Want(t, 200)
		s.Do(t, "DELETE", "/v1/auth/sessions/"+claims["sessionId"].(string), nil, servertest.Bearer(laptop)).
			Want(t, 404)
		// An end user does not end another's.
		_, mine := decodeToken(t, laptop)
		s.Do(t, "DELETE", "/v1/auth/sessions/"+mine["sessionId"].(string), nil, s.As(t, servertest.EndUser)).
			Want(t, 404)
	})
}

// G10, G11, A50: the OpenAPI document describes every route of /v1 with its errors.
func TestOpenAPI(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "GET", "/openapi.json", nil).Want(t, 200)
		var doc struct {
			OpenAPI string
			Paths   map[string]map[string]struct {
				Responses map[string]struct{ Content map[string]any }
				Security  []map[string][]string
			}
		}
		r.Into(t, &doc)
		if !strings.HasPrefix(doc.OpenAPI, "3.1") {
			t.Errorf("version %s", doc.OpenAPI)
		}
		for _, route := range s.Kit.Routes() {
			if !strings.HasPrefix(route.Pattern, "/v1/") {
				continue
			}
			op, ok := doc.Paths[route.Pattern][strings.ToLower(route.Method)]
			if !ok {
				t.Errorf("%s %s is not described", route.Method, route.Pattern)
				continue
			}
			if (route.Public == "") != (len(op.Security) > 0) {
				t.Errorf("%s %s: security %v", route.Method, route.Pattern, op.Security)
			}
			for _, status := range []string{"401", "403"} {
				if _, ok := op.Responses[status]; route.Public == "" && !ok {
					t.Errorf("%s %s does not describe %s", route.Method, route.Pattern, status)
				}
			}
			for status, response := range op.Responses {
				if _, ok := response.Content["application/problem+json"]; status >= "400" && !ok {
					t.Errorf("%s %s: %s is no problem document", route.Method, route.Pattern, status)
				}
				if status == "422" || status == "default" {
					t.Errorf("%s %s describes %s", route.Method, route.Pattern, status)
				}
			}
		}
	})
}
