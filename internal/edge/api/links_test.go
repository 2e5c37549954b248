package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func tokenOf(url string) string {
	_, token, _ := strings.Cut(url, "#token=")
	return token
}

func inspect(t *testing.T, s *servertest.Server, page, token string,
	changes ...servertest.Change) servertest.Response {
	t.Helper()
	return s.Do(t, "POST", "/v1/auth/links/inspect", map[string]any{"page": page, "token": token}, changes...)
}

// A link tells its holder whom it is for and is not used up by that. One that is false, used, too old, withdrawn or of
// another page is refused in the same words, so that nothing tells which it is.
func TestInspectLink(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		user := func(name string) (id, token string) {
			r := s.Do(t, "POST", "/v1/users", object{"email": name + "@acme-corp.example", "role": "end_user",
				"name": "Somebody"}, admin).Want(t, 201)
			return r.String("id"), tokenOf(r.String("setPasswordUrl"))
		}
		invite := func(name string) (id, token string) {
			r := s.Do(t, "POST", "/v1/invitations", object{"email": name + "@acme-corp.example", "role": "end_user",
				"name": "Asked"}, admin).Want(t, 201)
			return r.String("id"), tokenOf(r.String("url"))
		}
		s.Do(t, "PATCH", "/v1/organization",
			object{"settings": object{"allowedOrigins": []string{"https://desk.acme-corp.example"}}}, admin).
			Want(t, 200)
		_, set := user("set")
		_, invited := invite("invited")
		s.Do(t, "POST", "/v1/auth/password/forgot", object{"email": servertest.Agent}).Want(t, 202)
		reset := servertest.Token(t, s.Mail(t, servertest.Agent, "Reset", 1))

		for _, c := range []struct{ page, token, email, name string }{
			{"set-password", set, "set@acme-corp.example", "Somebody"},
			{"accept-invitation", invited, "invited@acme-corp.example", "Asked"},
			{"reset-password", reset, servertest.Agent, "Demo agent"},
		} {
			for range 2 {
				r := inspect(t, s, c.page, c.token).Want(t, 200)
				if r.String("organization") != "Acme Corp" || r.String("email") != c.email ||
					r.String("name") != c.name || r.Get("passwordMinLength") != 15.0 ||
					!strings.Contains(string(r.Body), `"applications":["https://desk.acme-corp.example"]`) ||
					r.Header.Get("Set-Cookie") != "" || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s %v", c.page, r.Body, r.Header)
				}
			}
		}

		const sentence = "a sentence of my very own"
		s.Do(t, "POST", "/v1/auth/password/set", object{"token": set, "password": sentence}).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/invitations/accept", object{"token": invited, "password": sentence}).Want(t, 201)
		_, other := user("other")
		withdrawnID, withdrawn := invite("withdrawn")
		s.Do(t, "DELETE", "/v1/invitations/"+withdrawnID, nil, admin).Want(t, 204)
		renewedID, renewed := user("renewed")
		s.Do(t, "POST", "/v1/users/"+renewedID+"/password-link", nil, admin).Want(t, 200)
		disabledID, disabled := user("disabled")
		s.Do(t, "PATCH", "/v1/users/"+disabledID, object{"state": "disabled"}, admin).Want(t, 200)
		if r := inspect(t, s, "set-password", disabled); r.Status != 403 && r.Status != 401 {
			t.Errorf("of a disabled user: %d %s", r.Status, r.Body)
		}
		refused := map[string]servertest.Response{
			"false":             inspect(t, s, "set-password", "guess"),
			"false invitation":  inspect(t, s, "accept-invitation", strings.Repeat("A", 43)),
			"used":              inspect(t, s, "set-password", set),
			"used invitation":   inspect(t, s, "accept-invitation", invited),
			"withdrawn":         inspect(t, s, "accept-invitation", withdrawn),
			"replaced":          inspect(t, s, "set-password", renewed),
			"of another page":   inspect(t, s, "reset-password", other),
			"no link for setup": inspect(t, s, "setup", other),
		}
		s.Clock.Advance(8 * 24 * time.Hour)
		refused["too old"] = inspect(t, s, "set-password", other)
		refused["too old reset"] = inspect(t, s, "reset-password", reset)
		same := func(r servertest.Response) string {
			return strings.Replace(string(r.Body), r.String("requestId"), "", 1)
		}
		for name, r := range refused {
			if r.Status != 401 || r.Code() != "INVALID_TOKEN" || same(r) != same(refused["false"]) {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		inspect(t, s, "elsewhere", other).Want(t, 400)
		s.Do(t, "POST", "/v1/auth/links/inspect?token="+other, object{"page": "setup", "token": "x"}).Want(t, 400)
		if strings.Contains(s.Logs.String(), other) {
			t.Error("the log has the secret of a link")
		}
	})
}

// The set-up link is told as the others are, until there is an operator.
func TestInspectSetupLink(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		err := s.DB.PlatformTx(t.Context(), "no operator", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE users SET state = 'disabled' WHERE role = 'super_admin'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		link, _, err := s.SetupLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		token := tokenOf(link.Reveal())
		for range 2 {
			if r := inspect(t, s, "setup", token).Want(t, 200); r.String("organization") != "Platform" ||
				r.Get("email") != "" {
				t.Errorf("%s", r.Body)
			}
		}
		inspect(t, s, "set-password", token).Want(t, 401)
		s.Do(t, "POST", "/v1/setup", object{"token": token, "email": "first@platform.example",
			"password": "a sentence of my very own"}).Want(t, 201)
		inspect(t, s, "setup", token).Want(t, 401)
	})
}

// Links that are nobody's are bounded by address, wherever they are tried; who comes from elsewhere does not notice.
func TestLinkGuessesAreBounded(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Clock.NextMinute() // the limit is by whole minutes
		guesser := servertest.Header("X-Forwarded-For", "203.0.113.9")
		for range 300 {
			inspect(t, s, "set-password", "guess", guesser).Want(t, 401)
		}
		const sentence = "a sentence of my very own"
		for path, body := range map[string]object{
			"/v1/auth/links/inspect":      {"page": "setup", "token": "guess"},
			"/v1/auth/password/set":       {"token": "guess", "password": sentence},
			"/v1/auth/password/reset":     {"token": "guess", "password": sentence},
			"/v1/auth/invitations/accept": {"token": "guess", "password": sentence},
			"/v1/setup":                   {"token": "guess", "email": "x@platform.example", "password": sentence},
		} {
			if r := s.Do(t, "POST", path, body, guesser); r.Status != 429 || r.Header.Get("Retry-After") == "" {
				t.Errorf("%s after 300 guesses: %d %s", path, r.Status, r.Body)
			}
			s.Do(t, "POST", path, body, servertest.Header("X-Forwarded-For", "198.51.100.7")).Want(t, 401)
		}
		s.Clock.Advance(time.Minute)
		inspect(t, s, "set-password", "guess", guesser).Want(t, 401)
	}, func(c *config.Config, _ *server.Options) { c.TrustedProxies = []string{"127.0.0.1/32"} })
}
