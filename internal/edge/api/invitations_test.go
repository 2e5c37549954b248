package api_test

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A55, ATK57: a later invitation of the same address and role replaces the one that waits, whose link stops; also when
// it gets that role by a change. One to another role stays.
func TestA55_LaterInvitationReplaces(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		invite := func(email, role string) (id, link string) {
			r := s.Do(t, "POST", "/v1/invitations", map[string]any{"email": email, "role": role}, admin).Want(t, 201)
			_, link, _ = strings.Cut(r.String("url"), "#token=")
			return r.String("id"), link
		}
		states := func(want map[string]string) {
			t.Helper()
			for id, state := range want {
				if r := s.Do(t, "GET", "/v1/invitations/"+id, nil, admin).Want(t, 200); r.String("state") != state {
					t.Errorf("%s is %s, want %s", id, r.String("state"), state)
				}
			}
		}
		first, link := invite("guest@acme-corp.example", "end_user")
		agent, _ := invite("guest@acme-corp.example", "service_desk_agent")
		second, good := invite("Guest@Acme-Corp.example", "end_user")
		other, _ := invite("other@acme-corp.example", "end_user")
		states(map[string]string{first: "revoked", agent: "pending", second: "pending", other: "pending"})
		accept := func(link string) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/invitations/accept", map[string]any{"token": link,
				"password": "quiz otter lamp violin"})
		}
		accept(link).Want(t, 401)
		s.Do(t, "PATCH", "/v1/invitations/"+agent, map[string]any{"role": "end_user"}, admin).Want(t, 200)
		states(map[string]string{second: "revoked", agent: "pending"})
		accept(good).Want(t, 401)
		_, good = invite("guest@acme-corp.example", "end_user")
		states(map[string]string{agent: "revoked"})
		accept(good).Want(t, 201)
	})
}

// A12: a reset asked for where no mail can be sent is refused in words, and is no error of the log.
func TestA12_ResetWithoutMail(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.Admin}).
			Want(t, 503, "UNAVAILABLE")
		if !strings.Contains(r.String("detail"), "sends no mail") {
			t.Errorf("%s", r.Body)
		}
		if logs := s.Logs.String(); strings.Contains(logs, "ERROR") {
			t.Errorf("the log has an error: %s", logs)
		}
	}, func(_ *config.Config, o *server.Options) { o.Mail = nil })
}
