package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// ATK44, A31: five failures at an account lock it whatever was tried: the password, a code, a backup code, an
// authenticator, a renewed proof, a mail that is asked for, a first code of a new app. A new token, another address and
// another node give none back.
func TestATK44_OneCounter(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		a := servertest.New(t, address)
		b := servertest.Join(t, address)
		app := a.EnrollApp(t, a.As(t, servertest.Agent))
		key := servertest.NewAuthenticator(t)
		a.EnrollKey(t, key, servertest.Bearer(a.LoginWith(t, servertest.Agent, app).AccessToken))
		signedIn := a.LoginWith(t, servertest.Agent, app)
		session := servertest.Bearer(signedIn.AccessToken)
		pending := a.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, session).Want(t, 201).
			String("id")
		b.Clock.Advance(a.Clock.Now().Sub(b.Clock.Now()))
		n := 0
		next := func() *servertest.Server { n++; return []*servertest.Server{a, b}[n%2] }
		from := func() servertest.Change { return servertest.Header("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", n)) }
		failures := map[string]func(){
			"password": func() {
				next().Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"},
					from()).Want(t, 401)
			},
			"user name": func() {
				next().Do(t, "POST", "/api/users/login", map[string]any{"username": "AGENT", "password": "wrong"},
					from()).Want(t, 401)
			},
			"code": func() {
				next().Do(t, "POST", "/v1/auth/mfa/verify",
					map[string]any{"mfaToken": a.FirstStep(t, servertest.Agent), "method": "totp", "code": "000000"},
					from()).Want(t, 401)
			},
			"backup code": func() {
				next().Do(t, "POST", "/v1/auth/mfa/verify",
					map[string]any{"mfaToken": a.FirstStep(t, servertest.Agent), "method": "backup_codes",
						"code": "00000000"}, from()).Want(t, 401)
			},
			"authenticator": func() {
				token := a.FirstStep(t, servertest.Agent)
				answer := key.Get(t, a.ChallengeOf(t, key, token))
				answer.ClientData["origin"] = "https://evil.example"
				next().Do(t, "POST", "/v1/auth/mfa/verify",
					map[string]any{"mfaToken": token, "method": "webauthn", "credential": answer.JSON(t)}, from()).
					Want(t, 401)
			},
			"passkey": func() {
				answer := key.Get(t, a.Do(t, "POST", "/v1/auth/passkey/challenge", nil))
				answer.ClientData["origin"] = "https://evil.example"
				next().Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": answer.JSON(t)}, from()).
					Want(t, 401)
			},
			"renewed proof": func() {
				next().Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "totp", "code": "000000"},
					session, from()).Want(t, 401)
			},
			"mail": func() {
				next().Do(t, "POST", "/v1/auth/password/forgot",
					map[string]any{"email": strings.ToUpper(servertest.Agent)}, from()).Want(t, 202)
			},
			"password change": func() {
				next().Do(t, "PUT", "/v1/auth/password",
					map[string]any{"currentPassword": "wrong", "newPassword": "another fine passphrase"}, session,
					from()).Want(t, 401)
			},
			"first code": func() {
				next().Do(t, "POST", "/v1/auth/mfa/factors/"+pending+"/confirm", map[string]any{"code": "000000"},
					session, from()).Want(t, 401, "MFA_INVALID")
			},
		}
		admin := a.As(t, servertest.Admin)
		agent := a.FindUser(t, admin, servertest.Agent)
		for what, fail := range failures { // each of them four times, with one wrong password in the end
			if what == "user name" {
				continue // another name: told apart, see TestATK44_FiveGuessesAtAllDoors
			}
			for range 4 {
				fail()
			}
			if what == "passkey" { // counted at the account alone: the name is told nothing
				failures["password"]()
				if r := next().Do(t, "POST", "/v1/auth/login",
					map[string]any{"email": servertest.Agent, "password": demo.Password},
					from()); r.Status != 401 {
					t.Errorf("after four wrong passkeys and one wrong password: %d %s", r.Status, r.Body)
				}
				a.Do(t, "POST", "/v1/users/"+agent+"/unlock", nil, admin).Want(t, 204)
				continue
			}
			failures["password"]()
			if r := next().Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Agent, "password": demo.Password}, from()); r.Status != 429 ||
				r.Code() != "ACCOUNT_LOCKED" || r.Header.Get("Retry-After") == "" {
				t.Errorf("after four of %q and one wrong password: %d %s", what, r.Status, r.Body)
			}
			a.Do(t, "POST", "/v1/users/"+agent+"/unlock", nil, admin).Want(t, 204)
			time.Sleep(1100 * time.Millisecond) // the other node believes a lock that it saw for a second
		}
		// One of each, and the right password does not help; nor does a sign-in that stops half way.
		failures["code"]()
		failures["backup code"]()
		a.FirstStep(t, servertest.Agent)
		failures["authenticator"]()
		failures["renewed proof"]()
		token := a.FirstStep(t, servertest.Agent)
		failures["first code"]()
		for name, r := range map[string]servertest.Response{
			"password": a.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Agent, "password": demo.Password}),
			"code": a.Verify(t, token, "totp", app.Code(t)),
			"a renewed proof": a.Do(t, "POST", "/v1/auth/reauthenticate",
				map[string]any{"method": "totp", "code": app.Now(t)}, session),
			"a mail": a.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.Agent}),
		} {
			if r.Status != 429 || r.Header.Get("Retry-After") == "" {
				t.Errorf("locked, %s: %d %s", name, r.Status, r.Body)
			}
		}
		a.Do(t, "GET", "/v1/auth/me", nil, session).Want(t, 200) // ATK48: what is signed in goes on
		a.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": signedIn.RefreshToken}).Want(t, 200)
		a.Clock.Advance(2 * time.Minute)
		a.LoginWith(t, servertest.Agent, app)
	})
}

// ATK47: of many guesses at a second factor at once no more are looked at than the limit, with as many tokens as you
// like.
func TestATK47_GuessesAtTheSecondFactor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.EnrollApp(t, s.As(t, servertest.Agent))
		tokens := make([]string, 20)
		for i := range tokens {
			tokens[i] = s.FirstStep(t, servertest.Agent)
		}
		var mu sync.Mutex
		looked := 0
		race(t, 200, func(i int) (servertest.Response, error) {
			r, err := s.Try("POST", "/v1/auth/mfa/verify",
				map[string]any{"mfaToken": tokens[i%len(tokens)], "method": "totp", "code": fmt.Sprintf("%06d", i)})
			mu.Lock()
			defer mu.Unlock()
			if r.Code() == "MFA_INVALID" || r.Status == 200 {
				looked++
			}
			return r, err
		})
		if looked > 5 || looked == 0 {
			t.Errorf("%d guesses were looked at", looked)
		}
	})
}

// ATK49: the owner of an account gets in from a device they signed in on while somebody guesses at it; that device has
// its own few tries; it is forgotten with a reset. Others cannot claim to be one, and many other names do not push the
// counter out.
func TestATK49_KnownDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		body := func(more map[string]any) map[string]any {
			m := map[string]any{"email": servertest.Agent, "password": demo.Password}
			for k, v := range more {
				m[k] = v
			}
			return m
		}
		r := s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"rememberDevice": true})).Want(t, 200)
		device := r.String("deviceToken")
		if !strings.HasPrefix(device, "dev_") || len(device) < 40 ||
			strings.Contains(dump(t, s, "known_devices"), device) {
			t.Fatalf("device token %q", device)
		}
		if s.Do(t, "POST", "/v1/auth/login", body(nil)).Want(t, 200).Get("deviceToken") != nil {
			t.Error("a device token that nobody asked for")
		}
		attack := func() {
			for range 7 {
				s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"password": "wrong"}))
			}
		}
		attack()
		s.Do(t, "POST", "/v1/auth/login", body(nil)).Want(t, 429)
		s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"deviceToken": device})).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/login", body(nil)).Want(t, 429) // its success forgives nobody else
		s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"deviceToken": device + "x"})).Want(t, 429)
		other := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Manager, "password": demo.Password, "rememberDevice": true}).
			Want(t, 200).String("deviceToken")
		s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"deviceToken": other})).Want(t, 429) // another's device
		// Stolen, it has five tries of its own.
		for range 5 {
			s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"password": "wrong", "deviceToken": device})).
				Want(t, 401)
		}
		s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"deviceToken": device})).Want(t, 429)
		for i := range 60 { // many other names push no counter out
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": fmt.Sprintf("nobody%d@acme-corp.example", i),
				"password": "wrong"})
		}
		time.Sleep(1100 * time.Millisecond) // nothing is remembered in memory any more
		s.Do(t, "POST", "/v1/auth/login", body(nil)).Want(t, 429)
		s.Clock.Advance(20 * time.Minute)
		s.Do(t, "POST", "/v1/auth/login", body(nil)).Want(t, 200)

		// With a second factor: the device is known when both are proven, and helps in both steps.
		app := s.EnrollApp(t, s.As(t, servertest.EndUser))
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.EndUser, "password": demo.Password, "rememberDevice": true}).
			Want(t, 202)
		if first.Get("deviceToken") != nil {
			t.Error("a device is known after half a sign-in")
		}
		mine := s.Verify(t, first.String("mfaToken"), "totp", app.Code(t)).Want(t, 200).String("deviceToken")
		for range 6 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.EndUser, "password": "wrong"})
		}
		first = s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.EndUser,
			"password": demo.Password, "deviceToken": mine}).Want(t, 202)
		s.Verify(t, first.String("mfaToken"), "totp", app.Code(t)).Want(t, 200)

		// In a browser it is a cookie for the sign-in paths.
		browser := s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"rememberDevice": true, "cookie": true})).
			Want(t, 200)
		cookies := strings.Join(browser.Header["Set-Cookie"], "\n")
		if !strings.Contains(cookies, "itsm_device=dev_") || !strings.Contains(cookies, "Path=/v1/auth;") ||
			browser.Get("deviceToken") != nil || strings.Count(cookies, "HttpOnly; Secure") != 3 {
			t.Errorf("%s\n%s", cookies, browser.Body)
		}
		_, value, _ := strings.Cut(cookies, "itsm_device=")
		value, _, _ = strings.Cut(value, ";")
		attack()
		s.Do(t, "POST", "/v1/auth/login", body(nil), servertest.Header("Cookie", "itsm_device="+value)).Want(t, 200)
		// A reset makes them strangers.
		s.Clock.Advance(20 * time.Minute)
		s.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.Agent}).Want(t, 202)
		link := servertest.Token(t, s.Mail(t, servertest.Agent, "Reset", 1))
		s.Do(t, "POST", "/v1/auth/password/reset",
			map[string]any{"token": link, "password": "another fine passphrase"}).Want(t, 200)
		for range 6 {
			s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"password": "wrong"}))
		}
		s.Do(t, "POST", "/v1/auth/login", body(map[string]any{"password": "another fine passphrase"}),
			servertest.Header("Cookie", "itsm_device="+value)).Want(t, 429)
	})
}

// A12, ATK53, ATK54, ATK55: a forgotten password is replaced at a mailed link: of one account, once, in time, built
// from the public URL alone. It ends sessions, keeps the second factor, signs nobody in, and is asked for alike by
// everybody.
func TestATK53_Reset(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		forgot := func(body any, changes ...servertest.Change) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/password/forgot", body, changes...)
		}
		reset := func(token, password string) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/password/reset", map[string]any{"token": token, "password": password})
		}
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		session := s.LoginWith(t, servertest.Agent, app)
		known := forgot(map[string]any{"email": servertest.Agent}, servertest.Host("evil.example"),
			servertest.Header("X-Forwarded-Host", "evil.example"), servertest.Header("Forwarded", "host=evil.example"),
			servertest.Header("Origin", "https://evil.example")).Want(t, 202)
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "linkless@acme-corp.example", "role": "end_user"}, admin).
			Want(t, 201)
		s.PersonWithPassword(t, admin, "leaver", "end_user")
		s.Do(t, "PATCH", "/v1/users/"+s.FindUser(t, admin, "leaver@acme-corp.example"),
			map[string]any{"state": "disabled"}, admin).Want(t, 200)
		for _, email := range []string{"nobody@acme-corp.example", "linkless@acme-corp.example",
			"leaver@acme-corp.example", "not an address"} {
			if r := forgot(map[string]any{"email": email},
				servertest.Header("Origin", "https://evil.example")); plain(r) != plain(known) {
				t.Errorf("%s is told apart:\n%s\n%s", email, plain(r), plain(known))
			}
		}
		forgot(map[string]any{"email": servertest.Agent, "organization": "second-tenant"}).Want(t, 202) // not theirs
		m := s.Mail(t, servertest.Agent, "Reset", 1)
		if !strings.Contains(m.Text, servertest.PublicURL+"/reset-password#token=") ||
			strings.Contains(m.Text+m.HTML, "evil") ||
			!strings.Contains(m.HTML, `href="`+servertest.PublicURL+`/reset-password#token=`) {
			t.Errorf("%s\n%s", m.Text, m.HTML)
		}
		token := servertest.Token(t, m)
		if strings.Contains(dump(t, s, "onetime")+dump(t, s, "mails"), token) {
			t.Error("the link's secret lies open in the database")
		}
		for name, body := range map[string]string{
			"an array":       `{"email":["agent@acme-corp.example","evil@evil.example"]}`,
			"two":            `{"email":"agent@acme-corp.example","email":"evil@evil.example"}`,
			"another member": `{"email":"agent@acme-corp.example","cc":"evil@evil.example"}`,
			"an object":      `{"email":{"a":1}}`,
		} {
			if r := forgot(body); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		for _, e := range []string{"evil@evil.example", "linkless@acme-corp.example", "leaver@acme-corp.example"} {
			s.NoMail(t, e, "Reset")
		}
		// The link of one purpose is none of another.
		invited := s.Do(t, "POST", "/v1/users", map[string]any{"email": "other@acme-corp.example", "role": "end_user"},
			admin).Want(t, 201).String("setPasswordUrl")
		_, set, _ := strings.Cut(invited, "#token=")
		reset(set, "another fine passphrase").Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token, "password": "another fine passphrase"}).
			Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/auth/mfa/verify", map[string]any{"mfaToken": token, "method": "totp", "code": "1"}).
			Want(t, 401)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(token)).Want(t, 401)
		reset(token, "short").Want(t, 400, "VALIDATION_ERROR") // a mistake does not use it up
		reset(token, "acme-corp acme-corp").Want(t, 400, "VALIDATION_ERROR")
		done := reset(token, "another fine passphrase").Want(t, 200)
		if strings.Contains(string(done.Body), "accessToken") || len(done.Header["Set-Cookie"]) > 0 {
			t.Errorf("a reset signs in: %s", done.Body)
		}
		reset(token, "yet another fine passphrase").Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(session.AccessToken)).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": session.RefreshToken}).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 401)
			// keeps the second factor
		still := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": "another fine passphrase"}).Want(t, 202)
		if methods, _ := json.Marshal(still.Get("allowedMethods")); string(methods) != `["backup_codes","totp"]` {
			t.Errorf("methods after a reset: %s", methods)
		}
		s.Mail(t, servertest.Agent, "was changed", 1)
		// Too old; one asked for later ends the one before; a password changed otherwise ends both; the address
		// changed, too.
		forgot(map[string]any{"email": servertest.Manager}).Want(t, 202)
		old := servertest.Token(t, s.Mail(t, servertest.Manager, "Reset", 1))
		s.Clock.Advance(31 * time.Minute)
		reset(old, "another fine passphrase").Want(t, 401, "INVALID_TOKEN")
		forgot(map[string]any{"email": servertest.Manager}).Want(t, 202)
		two := servertest.Token(t, s.Mail(t, servertest.Manager, "Reset", 2))
		forgot(map[string]any{"email": servertest.Manager}).Want(t, 202)
		three := servertest.Token(t, s.Mail(t, servertest.Manager, "Reset", 3))
		reset(two, "another fine passphrase").Want(t, 401, "INVALID_TOKEN")
		admin = s.As(t, servertest.Admin)
		s.Do(t, "PATCH", "/v1/users/"+s.FindUser(t, admin, servertest.Manager),
			map[string]any{"email": "moved@acme-corp.example"}, admin).Want(t, 200)
		reset(three, "another fine passphrase").Want(t, 401, "INVALID_TOKEN")
		for _, to := range []string{servertest.Manager, "moved@acme-corp.example"} {
			if m := s.Mail(t, to, "e-mail address", 1); !strings.Contains(m.Text,
				"from "+servertest.Manager+" to moved@acme-corp.example") {
				t.Errorf("%s", m.Text)
			}
		}
		// G12: a machine that changes the address could have the next mail.
		key := s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:manage:all",
			"reports:read:all", "sla_policies:manage:all")
		s.Do(t, "PATCH", "/v1/users/"+s.FindUser(t, admin, servertest.EndUser),
			map[string]any{"email": "evil@evil.example"}, key.Send()).Want(t, 403)
	})
}

// ATK53: nobody's mailbox is flooded, whoever asks.
func TestATK53_MailsAreFew(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for range 30 {
			s.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.Agent}).Want(t, 202)
			s.Clock.Advance(30 * time.Second)
		}
		s.Mail(t, servertest.Agent, "Reset", 5)
		time.Sleep(300*time.Millisecond + login.ResetPause) // in which one too many would be written
		s.NoMail(t, "nobody", "")
		if n := len(s.Mails.To(servertest.Agent)); n != 5 {
			t.Errorf("%d mails within a quarter of an hour", n)
		}
	}, manyTries)
}

// A12: without a mail server nobody is promised a mail, whoever asks.
func TestA12_NoMailServer(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, email := range []string{servertest.Agent, "nobody@acme-corp.example"} {
			s.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": email}).Want(t, 503, "UNAVAILABLE")
		}
	}, func(_ *config.Config, o *server.Options) { o.Mail = nil })
}

// A12: each organization has its own shortest password and its own words; NFC makes one of two spellings; what is
// common is refused wherever a password is chosen.
func TestA12_PolicyOfTheOrganization(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		app := s.EnrollApp(t, admin)
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"passwordMinLength": 20,
				"passwordBlockedWords": []string{"Zeppelin"}}}, admin).Want(t, 200)
		choose := func(email, password string) servertest.Response {
			r := s.Do(t, "POST", "/v1/users", map[string]any{"email": email, "role": "end_user"}, admin).Want(t, 201)
			_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
			return s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": password})
		}
		for i, password := range []string{"nineteen characters", "zeppelin2026!!zeppelin", "ZEPPELIN-ZEPPELIN-12345",
			"acme-corp 12345678901234", "password1234567890123", "gatehouse!gatehouse!1"} {
			if r := choose(fmt.Sprintf("new%d@acme-corp.example", i), password); r.Status != 400 ||
				strings.Contains(string(r.Body), password) {
				t.Errorf("%q: %d %s", password, r.Status, r.Body)
			}
		}
		choose("good@acme-corp.example", "a zeppelin over the autumn lake").Want(t, 200)
		choose("nfc@acme-corp.example", "un cafe\u0301 en el an\u0303o nuevo").Want(t, 200)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "nfc@acme-corp.example",
			"password": "un caf\u00e9 en el a\u00f1o nuevo"}).Want(t, 200)
		// Shorter only where everybody has a second factor; both together, or neither.
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"mfa": "required", "passwordMinLength": 8}}, admin).Want(t, 200)
		choose("short@acme-corp.example", "kX9#mQ2v").Want(t, 200)
		choose("shorter@acme-corp.example", "kX9#mQ2").Want(t, 400)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": "administrators"}},
			admin).Want(t, 400)
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"mfa": "administrators", "passwordMinLength": 15}}, admin).
			Want(t, 200)
		_ = app
	})
}

// ASVS 6.3.5, 6.3.7: people hear of a sign-in from a device that was never seen, of the second but not of the first
// ever, and of changes to what they sign in with. What they typed is text, never a template, a header or a tag.
func TestA12_Notices(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		from := func(agent string) servertest.Change {
			return func(r *httpRequest) { r.Header.Set("User-Agent", agent) }
		}
		login := func(agent string) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Agent, "password": demo.Password}, from(agent)).Want(t, 200)
		}
		as := servertest.Bearer(login("one/1").String("accessToken"))
		s.NoMail(t, servertest.Agent, "New sign-in")
		login("one/1")
		s.NoMail(t, servertest.Agent, "New sign-in")
		login(`two/2 <script>{{.}}</script>`)
		m := s.Mail(t, servertest.Agent, "New sign-in", 1)
		if !strings.Contains(m.Text, "two/2 <script>{{.}}</script>") || strings.Contains(m.HTML, "<script>") {
			t.Errorf("%s\n%s", m.Text, m.HTML)
		}
		login("two/2 <script>{{.}}</script>")
		login("one/1")
		s.Mail(t, servertest.Agent, "New sign-in", 1)
		s.Do(t, "PUT", "/v1/auth/password", map[string]any{"currentPassword": demo.Password,
			"newPassword": "another fine passphrase"}, as).Want(t, 200)
		s.Mail(t, servertest.Agent, "was changed", 1)
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "named@acme-corp.example", "name": "{{.Link}} <b>x",
			"role": "end_user"}, admin).Want(t, 201)
		if m := s.Mail(t, "named@acme-corp.example", "Choose your password", 1); !strings.Contains(m.Text,
			"Hello {{.Link}} <b>x,") || strings.Contains(m.HTML, "<b>") || !strings.Contains(m.Text, "7 days") {
			t.Errorf("%s\n%s", m.Text, m.HTML)
		}
		// What reads like a message goes into nobody's mailbox under this sender.
		s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "bait@acme-corp.example",
			"name": "your account is closed, see https://evil.example", "role": "end_user"}, admin).Want(t, 201)
		if m := s.Mail(t, "bait@acme-corp.example", "invited", 1); strings.Contains(m.Text+m.HTML, "evil") {
			t.Errorf("%s", m.Text)
		}
		s.NoMail(t, "named@acme-corp.example", "was changed")
	})
}

// ATK57: an invitation works once, on time, for the address, role and organization it names, whatever is said beside
// it; nobody registers without one.
func TestATK57_MailedInvitations(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "new@acme-corp.example", "role": "end_user"}, admin).
			Want(t, 201)
		m := s.Mail(t, "new@acme-corp.example", "invited", 1)
		token := servertest.Token(t, m)
		if !strings.Contains(m.Text, servertest.PublicURL+"/accept-invitation#token=") {
			t.Errorf("%s", m.Text)
		}
		for name, more := range map[string]any{"email": "evil@evil.example", "role": "tenant_admin",
			"organizationId": s.Organization("second-tenant"), "mfaExempt": true, "verified": true, "state": "active"} {
			body := map[string]any{"token": token, "password": "another fine passphrase", name: more}
			if r := s.Do(t, "POST", "/v1/auth/invitations/accept", body); r.Status != 400 {
				t.Errorf("with %s: %d %s", name, r.Status, r.Body)
			}
		}
		r := s.Do(t, "POST", "/v1/auth/invitations/accept",
			map[string]any{"token": token, "password": "another fine passphrase"}).Want(t, 201)
		if r.String("email") != "new@acme-corp.example" || r.String("role") != "end_user" {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "POST", "/v1/auth/invitations/accept",
			map[string]any{"token": token, "password": "another fine passphrase"}).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "late@acme-corp.example", "role": "end_user"},
			admin).Want(t, 201)
		late := servertest.Token(t, s.Mail(t, "late@acme-corp.example", "invited", 1))
		s.Clock.Advance(7*24*time.Hour + time.Second)
		s.Do(t, "POST", "/v1/auth/invitations/accept",
			map[string]any{"token": late, "password": "another fine passphrase"}).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "self@acme-corp.example", "role": "end_user"}).Want(t, 401)
	})
}

var requestID = regexp.MustCompile(`req_[0-9A-HJKMNP-TV-Z]{26}`)

// plain is what a client sees of an answer, without what differs from one to the next.
func plain(r servertest.Response) string {
	h := r.Header.Clone()
	h.Del("Date")
	return requestID.ReplaceAllString(fmt.Sprint(r.Status, h, string(r.Body)), "")
}
