package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// G8, A12: nobody makes a server send mail to strangers at will. The mails that callers cause are bounded by address
// and by organization; beyond it is 429 with Retry-After and nothing is done. Another organization goes on.
func TestG8_MailsThatCallersCause(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		limited := func(what string, r servertest.Response, sentence string) {
			t.Helper()
			if r.Status != 429 || r.Code() != "RATE_LIMIT_EXCEEDED" || r.Header.Get("Retry-After") == "" ||
				!strings.Contains(string(r.Body), sentence) {
				t.Errorf("%s: %d %s %s", what, r.Status, r.Header.Get("Retry-After"), r.Body)
			}
		}
		admin := s.As(t, servertest.Admin)
		user := s.Do(t, "POST", "/v1/users", map[string]any{"email": "one@acme-corp.example", "role": "end_user"},
			admin).Want(t, 201).String("id")
		link := "/v1/users/" + user + "/password-link"
		for range mail.CausedLimits.ToAddressOfOrganization - 1 { // the first went out with the user
			s.Do(t, "POST", link, nil, admin).Want(t, 200)
		}
		limited("links to one address", s.Do(t, "POST", link, nil, admin), "to this address")
		limited("its change of address", s.Do(t, "PATCH", "/v1/users/"+user,
			map[string]any{"email": "two@acme-corp.example"}, admin), "to this address")
		if r := s.Do(t, "GET", "/v1/users/"+user, nil, admin); r.String("email") != "one@acme-corp.example" {
			t.Errorf("what was refused was done: %s", r.Body)
		}

		key := s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:create:all",
			"tickets:read:all")
		sent, tries := 0, int(mail.CausedLimits.OfOrganization)+20
		var last servertest.Response
		for i := range tries {
			to := fmt.Sprintf("stranger%d@example.org", i)
			if i%2 == 0 {
				last = s.Do(t, "POST", "/v1/invitations", map[string]any{"email": to, "role": "end_user"}, admin)
			} else {
				last = s.Do(t, "POST", "/v1/users", map[string]any{"email": to, "role": "end_user"}, key.Send())
			}
			if last.Status == 201 {
				sent++
			}
		}
		limited("the organization's last", last, "Your organization has sent 100 mails")
		if most := int(mail.CausedLimits.OfOrganization - mail.CausedLimits.ToAddressOfOrganization); sent != most {
			t.Errorf("%d invitations and users beside the links, want %d", sent, most)
		}
		other := s.As(t, servertest.Foreigner)
		s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "one@acme-corp.example", "role": "end_user"}, other).
			Want(t, 201)
		s.Clock.Advance(mail.Window + time.Second)
		s.Do(t, "POST", link, nil, s.As(t, servertest.Admin)).Want(t, 200)
	})
}

// ATK17, ATK46: an address is stored as it was validated, so that its mail arrives; its holder signs in with the domain
// in whatever form.
func TestATK17_AddressAsValidated(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		for typed, stored := range map[string]string{"wide＠acme-corp.example": "wide@acme-corp.example",
			"umlaut@münchen.example": "umlaut@xn--mnchen-3ya.example"} {
			r := s.Do(t, "POST", "/v1/users", map[string]any{"email": typed, "role": "end_user"}, admin).Want(t, 201)
			if r.String("email") != stored || r.String("username") != stored {
				t.Errorf("%q is stored as %s", typed, r.Body)
			}
			token := servertest.Token(t, s.Mail(t, stored, "", 1))
			s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token,
				"password": "quiz otter lamp violin"}).Want(t, 200)
			for _, name := range []string{typed, stored} {
				s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": name, "password": "quiz otter lamp violin"}).
					Want(t, 200)
			}
		}
		r := s.Do(t, "POST", "/v1/users", map[string]any{"email": "anäis@acme-corp.example", "role": "end_user"},
			admin).Want(t, 400)
		if !strings.Contains(string(r.Body), "ASCII characters only before the @") {
			t.Errorf("%s", r.Body)
		}
	})
}
