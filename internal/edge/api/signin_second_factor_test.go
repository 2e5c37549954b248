package api_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func objectOf(t *testing.T, r servertest.Response) map[string]any {
	t.Helper()
	var m map[string]any
	r.Into(t, &m)
	return m
}

// A27, A28, A29: with a factor enrolled the password gives a token for the next step and nothing else; a code of the
// app completes it, and the token says how the user signed in.
func TestA27_SignInWithAnApp(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": demo.Password,
				"deviceFingerprint": "device-1"}).Want(t, 202)
		if got := members(objectOf(t, first)); got != "allowedMethods expiresIn mfaRequired mfaToken" {
			t.Errorf("members %v", got)
		}
		if m, _ := json.Marshal(first.Get("allowedMethods")); first.Get("mfaRequired") != true ||
			first.Get("expiresIn") != 300.0 || string(m) != `["backup_codes","totp"]` {
			t.Errorf("%s", first.Body)
		}
		token := first.String("mfaToken")
		if !regexp.MustCompile(`^mfa_[A-Za-z0-9_-]{43}$`).MatchString(token) ||
			strings.Contains(dump(t, s, "onetime"), token) {
			t.Errorf("the token %q", token)
		}
		if len(first.Header["Set-Cookie"]) != 0 || strings.Contains(string(first.Body), "accessToken") {
			t.Errorf("the first step gives more than its token: %v %s", first.Header, first.Body)
		}
		s.Verify(t, token, "totp", "000000").Want(t, 401, "MFA_INVALID")
		began := s.Clock.Now()
		r := s.Verify(t, token, "totp", app.Code(t)).Want(t, 200)
		if got := members(objectOf(t, r)); got != "accessToken expiresIn refreshToken tokenType" {
			t.Errorf("members %v", got)
		}
		header, claims := decodeToken(t, r.String("accessToken"))
		if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["pwd","otp","mfa"]` || claims["acr"] != "aal2" ||
			header["typ"] != "at+jwt" {
			t.Errorf("amr %s, acr %v", amr, claims["acr"])
		}
		if at := time.Unix(int64(claims["auth_time"].(float64)), 0); at.After(began.Add(time.Second)) ||
			at.Before(began.Add(-time.Minute)) {
			t.Errorf("auth_time %v, the password was proven before %v", at, began)
		}
		s.Verify(t, token, "totp", app.Code(t)).Want(t, 401, "INVALID_TOKEN") // works once
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(r.String("accessToken"))).Want(t, 200)
		again := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": r.String("refreshToken")},
			servertest.Header("X-Device-Fingerprint", "device-1")).Want(t, 200)
		if _, claims := decodeToken(t, again.String("accessToken")); claims["acr"] != "aal2" {
			t.Errorf("after a refresh acr is %v", claims["acr"])
		}
		if r := s.Do(t, "POST", "/v1/auth/refresh",
			map[string]any{"refreshToken": again.String("refreshToken")}); r.Code() != "REAUTHENTICATION_REQUIRED" {
			t.Errorf("the fingerprint of the first step does not bind the session: %d %s", r.Status, r.Body)
		}
		// Who has no factor signs in as before, and is told apart by the claims.
		_, claims = decodeToken(t, s.Login(t, servertest.Manager).AccessToken)
		if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["pwd"]` || claims["acr"] != "aal1" {
			t.Errorf("without a factor: amr %s, acr %v", amr, claims["acr"])
		}
	})
}

// A28: the token of the first step works for 300 seconds; a wrong token is a wrong token.
func TestA28_TokenBounds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		token := s.FirstStep(t, servertest.Agent)
		s.Clock.Advance(5*time.Minute - time.Second)
		s.Verify(t, token, "totp", "000000").Want(t, 401, "MFA_INVALID")
		s.Clock.Advance(2 * time.Second)
		s.Verify(t, token, "totp", app.Now(t)).Want(t, 401, "INVALID_TOKEN")
		for _, wrong := range []string{"mfa_x", "", strings.Repeat("x", 200),
			s.Login(t, servertest.Manager).AccessToken[:150]} {
			r := s.Verify(t, wrong, "totp", app.Now(t))
			if r.Status != 401 && (wrong != "" || r.Status != 400) {
				t.Errorf("%q: %d %s", wrong, r.Status, r.Body)
			}
		}
	})
}

// A28, ATK44: five tries are five over all connections, also when they come at once.
func TestA28_FiveTries(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		token := s.FirstStep(t, servertest.Agent)
		var wg sync.WaitGroup
		var mu sync.Mutex
		answers := map[string]int{}
		for range 40 {
			wg.Go(func() {
				r, err := s.Try("POST", "/v1/auth/mfa/verify",
					map[string]any{"mfaToken": token, "method": "totp", "code": "000000"})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				answers[r.Code()]++
			})
		}
		wg.Wait()
		if answers["MFA_INVALID"] != 5 || answers[""] > 0 {
			t.Errorf("answers %v", answers)
		}
		s.Verify(t, token, "totp", app.Code(t)).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/auth/mfa/challenge", map[string]any{"mfaToken": token}).Want(t, 401, "INVALID_TOKEN")
	}, manyTries)
}

// A29, ATK45: a time step is accepted once, wherever it is shown, and none before it; the step before the present one
// is good, an older or a later one is not. The codes are those of oathtool, which shares no code with the server.
func TestATK45_StepsOnce(t *testing.T) {
	if _, err := exec.LookPath("oathtool"); err != nil {
		t.Skip("oathtool is not installed (make test installs it)")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		code := func(offset time.Duration) string {
			out, err := exec.Command("oathtool", "--totp", "-b", "--now", s.Clock.Now().Add(offset).UTC().
				Format("2006-01-02 15:04:05 UTC"), app.Secret).Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(out))
		}
		step := func() { // to the middle of a later step
			now := s.Clock.Now()
			s.Clock.Advance(now.Truncate(30 * time.Second).Add(75 * time.Second).Sub(now))
		}
		step()
		used := code(0)
		var tokens servertest.Tokens
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", used).Want(t, 200).Into(t, &tokens)
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", used).Want(t, 401, "MFA_INVALID")
		// before one that was used
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", code(-30*time.Second)).Want(t, 401, "MFA_INVALID")
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "totp", "code": used},
			servertest.Bearer(tokens.AccessToken)).Want(t, 401, "MFA_INVALID")
		step()
		// of the future
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", code(30*time.Second)).Want(t, 401, "MFA_INVALID")
		// too old
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", code(-60*time.Second)).Want(t, 401, "MFA_INVALID")
		// those were five
		s.Clock.Advance(3 * time.Minute)
		step()
		spaced := code(-30 * time.Second)
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", spaced[:3]+" "+spaced[3:]).Want(t, 200) // the step before
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", code(0)).Want(t, 200)
	})
}

// race sends the same request many times at once and counts the statuses.
func race(t *testing.T, n int, send func(i int) (servertest.Response, error)) map[int]int {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	got := map[int]int{}
	for i := range n {
		wg.Go(func() {
			<-start
			r, err := send(i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			got[r.Status]++
		})
	}
	close(start)
	wg.Wait()
	return got
}

// A8, A11, A28, A31, ATK45, ATK53, ATK57: of fifty uses at once of anything that works once exactly one succeeds: the
// token of a sign-in, a code of an app and a backup code with as many tokens, a passkey's answer, a reset link, an
// invitation, and over two nodes.
func TestATK45_FiftyAtOnce(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		a := servertest.New(t, address, manyTries)
		b := servertest.Join(t, address, manyTries, servertest.MailsOf(a))
		node := func(i int) *servertest.Server { return []*servertest.Server{a, b}[i%2] }
		forward := func(d time.Duration) { a.Clock.Advance(d); b.Clock.Advance(d) }
		check := func(what string, statuses map[int]int) {
			t.Helper()
			if statuses[200]+statuses[201] != 1 || statuses[500] != 0 {
				t.Errorf("%s: %v", what, statuses)
			}
			forward(16 * time.Minute) // whatever it locked
		}
		app := a.EnrollApp(t, a.As(t, servertest.Agent))
		b.Clock.Advance(a.Clock.Now().Sub(b.Clock.Now())) // enrolling took a step of time
		tokens := func() []string {
			out := make([]string, 50)
			for i := range out {
				out[i] = a.FirstStep(t, servertest.Agent)
			}
			return out
		}
		verify := func(token func(i int) string, method, code string) map[int]int {
			return race(t, 50, func(i int) (servertest.Response, error) {
				return node(i).Try("POST", "/v1/auth/mfa/verify",
					map[string]any{"mfaToken": token(i), "method": method, "code": code})
			})
		}
		forward(30 * time.Second)
		one := a.FirstStep(t, servertest.Agent)
		check("one token", verify(func(int) string { return one }, "totp", app.Now(t)))
		many := tokens()
		check("one code, many tokens", verify(func(i int) string { return many[i] }, "totp", app.Now(t)))
		many = tokens()
		check("one backup code, many tokens", verify(func(i int) string { return many[i] }, "backup_codes",
			app.BackupCodes[0]))

		key := servertest.NewAuthenticator(t)
		a.EnrollKey(t, key, a.As(t, servertest.Manager))
		options := a.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
		answer := key.Get(t, options).JSON(t)
		check("a passkey's answer", race(t, 50, func(i int) (servertest.Response, error) {
			return node(i).Try("POST", "/v1/auth/passkey", map[string]any{"credential": answer})
		}))
		a.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.EndUser}).Want(t, 202)
		link := servertest.Token(t, a.Mail(t, servertest.EndUser, "Reset", 1))
		check("a reset link", race(t, 50, func(i int) (servertest.Response, error) {
			return node(i).Try("POST", "/v1/auth/password/reset",
				map[string]any{"token": link, "password": "another fine passphrase " + strconv.Itoa(i)})
		}))
		a.Do(t, "POST", "/v1/invitations", map[string]any{"email": "new@acme-corp.example", "role": "end_user"},
			a.As(t, servertest.Admin)).Want(t, 201)
		invited := servertest.Token(t, a.Mail(t, "new@acme-corp.example", "invited", 1))
		check("an invitation", race(t, 50, func(i int) (servertest.Response, error) {
			return node(i).Try("POST", "/v1/auth/invitations/accept",
				map[string]any{"token": invited, "password": "another fine passphrase " + strconv.Itoa(i)})
		}))
		forward(time.Minute)
		session := a.LoginWith(t, servertest.Agent, app)
		enrolled := a.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"},
			servertest.Bearer(session.AccessToken)).Want(t, 201)
		forward(30 * time.Second)
		code := servertest.CodeAt(t, enrolled.String("secret"), a.Clock.Now())
		check("the first code of an app", race(t, 50, func(i int) (servertest.Response, error) {
			return node(i).Try("POST", "/v1/auth/mfa/factors/"+enrolled.String("id")+"/confirm",
				map[string]any{"code": code}, servertest.Bearer(session.AccessToken))
		}))
	})
}

// A31: ten codes of eight characters come with the first factor; each works once, however it is typed; few left are
// told; new ones end the old ones.
func TestA31_BackupCodes(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		seen := map[string]bool{}
		for _, c := range app.BackupCodes {
			if !regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{8}$`).MatchString(c) || seen[c] ||
				strings.Contains(dump(t, s, "backup_codes"), c) {
				t.Errorf("code %q", c)
			}
			seen[c] = true
		}
		if len(seen) != 10 {
			t.Fatalf("%d codes", len(seen))
		}
		typed := []func(string) string{strings.ToUpper, func(c string) string { return c[:4] + "-" + c[4:] },
			func(c string) string { return " " + c[:4] + " " + c[4:] + " " }}
		var last servertest.Response
		for i, c := range app.BackupCodes[:7] {
			last = s.Verify(t, s.FirstStep(t, servertest.Agent), "backup_codes", typed[i%len(typed)](c)).Want(t, 200)
			if last.Get("backupCodesRemaining") != float64(9-i) || (last.Get("backupCodesLow") == true) != (i == 6) {
				t.Errorf("after %d: %s", i+1, last.Body)
			}
		}
		s.Verify(t, s.FirstStep(t, servertest.Agent), "backup_codes", app.BackupCodes[0]).Want(t, 401, "MFA_INVALID")
		as := servertest.Bearer(last.String("accessToken"))
		if r := s.Do(t, "GET", "/v1/auth/mfa/factors", nil, as).Want(t, 200); r.Get("backupCodes.remaining") != 3.0 ||
			r.Get("backupCodes.low") != true {
			t.Errorf("the list: %s", r.Body)
		}
		if m := s.Mail(t, servertest.Agent, "backup code was used", 7); !strings.Contains(m.Text, "Codes left: 3") {
			t.Errorf("%s", m.Text)
		}
		// Another's code is no code.
		other := s.EnrollApp(t, s.As(t, servertest.Manager))
		s.Verify(t, s.FirstStep(t, servertest.Agent), "backup_codes", other.BackupCodes[0]).Want(t, 401, "MFA_INVALID")
		var fresh struct{ BackupCodes []string }
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, as).Want(t, 201).Into(t, &fresh)
		s.Verify(t, s.FirstStep(t, servertest.Agent), "backup_codes", app.BackupCodes[8]).Want(t, 401, "MFA_INVALID")
		for _, c := range fresh.BackupCodes {
			s.Verify(t, s.FirstStep(t, servertest.Agent), "backup_codes", c).Want(t, 200)
		}
		if len(fresh.BackupCodes) != 10 {
			t.Errorf("%d new codes", len(fresh.BackupCodes))
		}
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": demo.Password}).Want(t, 202)
		if m, _ := json.Marshal(first.Get("allowedMethods")); string(m) != `["totp"]` {
			t.Errorf("with all codes used: %s", m)
		}
		// nothing that they would stand in for
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, s.As(t, servertest.EndUser)).Want(t, 409)
	})
}

// A27: who must have a factor and has none gets a token that opens enrolment and nothing else, and not even that once
// there is one. The password alone opens nothing, also in sessions that began before.
func TestA27_EnrollmentUnderTheToken(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.Login(t, servertest.EndUser)
		admin := s.As(t, servertest.Admin)
		adminApp := s.EnrollApp(t, admin) // else the policy would shut its maker out
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": "required"}}, admin).
			Want(t, 200)

		for what, r := range map[string]servertest.Response{
			"a session": s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(before.AccessToken)),
			"a refresh": s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": before.RefreshToken}),
		} {
			if r.Status != 401 || r.Code() != "REAUTHENTICATION_REQUIRED" {
				t.Errorf("%s that began with a password alone: %d %s", what, r.Status, r.Body)
			}
		}
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.EndUser, "password": demo.Password}).Want(t, 202)
		if got := members(
			objectOf(t, first)); got != "allowedMethods enrollmentRequired expiresIn mfaRequired mfaToken" ||
			first.Get("enrollmentRequired") != true || len(first.Get("allowedMethods").([]any)) != 0 {
			t.Errorf("%s", first.Body)
		}
		token := first.String("mfaToken")
		waiting := servertest.Bearer(token)
		for _, r := range s.Kit.Routes() {
			if r.Public != "" || r.Pattern == "/verify" {
				continue
			}
			path := parameter.ReplaceAllString(r.Pattern, "x")
			res := s.Do(t, r.Method, path, nil, waiting)
			enrolls := r.Pattern == "/v1/auth/mfa/factors" && r.Method == "POST" ||
				strings.HasSuffix(r.Pattern, "/confirm")
			refused := res.Status == 401 || res.Status == 422 && res.String("msg") != "" || res.Status == 403 &&
				strings.HasPrefix(r.Pattern, "/api/v1")
			if refused == enrolls {
				t.Errorf("%s %s with the token: %d %s", r.Method, r.Pattern, res.Status, res.Body)
			}
		}
		s.Verify(t, token, "totp", "123456").Want(t, 401) // nothing to verify
		enrolled := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, waiting).Want(t, 201)
		secret, id := enrolled.String("secret"), enrolled.String("id")
		parallel := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.EndUser, "password": demo.Password}).Want(t, 202).
			String("mfaToken")
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+id+"/confirm", map[string]any{"code": "000000"}, waiting).
			Want(t, 401, "MFA_INVALID")
		code := servertest.CodeAt(t, secret, s.Clock.Now())
		confirmed := s.Do(t, "POST", "/v1/auth/mfa/factors/"+id+"/confirm", map[string]any{"code": code}, waiting).
			Want(t, 200)
		if confirmed.Get("accessToken") != nil || len(confirmed.Get("backupCodes").([]any)) != 10 {
			t.Errorf("confirmed: %s", confirmed.Body)
		}
		for what, as := range map[string]servertest.Change{"it": waiting,
			"another token of then": servertest.Bearer(parallel)} {
			// there is a factor now
			for _, body := range []map[string]any{{"method": "totp"}, {"method": "webauthn"}} {
				if r := s.Do(t, "POST", "/v1/auth/mfa/factors", body, as); r.Status != 401 {
					t.Errorf("%s still enrols: %d %s", what, r.Status, r.Body)
				}
			}
		}
		s.Verify(t, token, "totp", code).Want(t, 401, "MFA_INVALID") // the step that confirmed it
		s.Clock.Advance(30 * time.Second)
		signedIn := s.Verify(t, token, "totp", servertest.CodeAt(t, secret, s.Clock.Now())).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(signedIn.String("accessToken"))).Want(t, 200)

		// The last factor stays while it is demanded.
		as := servertest.Bearer(signedIn.String("accessToken"))
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+id, nil, as).Want(t, 409, "CONFLICT")
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": "optional"}},
			servertest.Bearer(s.LoginWith(t, servertest.Admin, adminApp).AccessToken)).Want(t, 200)
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+id, nil, as).Want(t, 204)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.EndUser, "password": demo.Password}).
			Want(t, 200)
		if left := strings.Count(dump(t, s, "backup_codes"), s.UserID(t, servertest.EndUser)); left != 0 {
			t.Errorf("%d backup codes are left without a factor", left)
		}
	})
}

// A27: an organization can demand a second factor of administrators alone, by what their role may do and not by its
// name; a single account can be held to it; an application that is exempted is not.
func TestA27_WhoMustHaveOne(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.EnrollApp(t, admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "hr", "permissions": []string{"users:create:all"}}, admin).
			Want(t, 201)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "reader",
			"permissions": []string{"users:read:all", "audit:read:all", "api_keys:manage:own"}}, admin).Want(t, 201)
		s.PersonWithPassword(t, admin, "hr", "hr")
		s.PersonWithPassword(t, admin, "reader", "reader")
		status := func(name, password string) int {
			return s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": name + "@acme-corp.example", "password": password}).Status
		}
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": "administrators"}},
			admin).Want(t, 200)
		for name, want := range map[string]int{"hr": 202, "reader": 200} {
			if got := status(name, servertest.TestPassword); got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
		for name, want := range map[string]int{"enduser": 200, "agent": 200, "manager": 200, "integration": 200} {
			if got := status(name, demo.Password); got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
		agent := s.UserID(t, servertest.Agent)
		if r := s.Do(t, "PATCH", "/v1/users/"+agent+"/mfa", map[string]any{"required": true}, admin).
			Want(t, 200); r.Get("required") != true || r.Get("requiredOfAccount") != true {
			t.Errorf("%s", r.Body)
		}
		if got := status("agent", demo.Password); got != 202 {
			t.Errorf("held to it: %d", got)
		}
		s.Do(t, "PATCH", "/v1/users/"+agent+"/mfa", map[string]any{"required": false}, admin).Want(t, 200)
		if got := status("agent", demo.Password); got != 200 {
			t.Errorf("let off: %d", got)
		}
		for name, body := range map[string]map[string]any{"a policy that is none": {"mfa": "sometimes"},
			"a short password alone": {"passwordMinLength": 8},
			"too short":              {"passwordMinLength": 7, "mfa": "required"},
			"a short step-up":        {"stepUpSeconds": 5}} {
			if r := s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": body}, admin); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
	})
}

// A4, WEB01, WEB02: the second step gives a browser its cookies by the same rules as the first, and the session is a
// new one.
func TestA4_CookiesOfTheSecondStep(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		for name, c := range map[string]struct {
			origin string
			cookie bool
			status int
			n      int
		}{"a program": {"", false, 200, 0}, "asked for": {"", true, 200, 2},
			"own origin":              {servertest.PublicURL, false, 200, 2},
			"a foreign one":           {"https://evil.example", false, 200, 0},
			"a foreign one that asks": {"https://evil.example", true, 403, 0}} {
			changes := []servertest.Change{}
			if c.origin != "" {
				changes = append(changes, servertest.Header("Origin", c.origin))
			}
			r := s.Do(t, "POST", "/v1/auth/mfa/verify",
				map[string]any{"mfaToken": s.FirstStep(t, servertest.Agent), "method": "totp", "code": app.Code(t),
					"cookie": c.cookie}, changes...)
			if r.Status != c.status || len(r.Header["Set-Cookie"]) != c.n {
				t.Errorf("%s: %d with %d cookies, want %d with %d", name, r.Status, len(r.Header["Set-Cookie"]),
					c.status, c.n)
			}
		}
		var access *http.Cookie
		r := s.Do(t, "POST", "/v1/auth/mfa/verify",
			map[string]any{"mfaToken": s.FirstStep(t, servertest.Agent), "method": "totp", "code": app.Code(t),
				"cookie": true}).Want(t, 200)
		for _, c := range (&http.Response{Header: r.Header}).Cookies() {
			if c.Name == "itsm_auth_token" {
				access = c
			}
		}
		again := s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "totp", "code": app.Code(t)},
			servertest.Header("Cookie", access.Name+"="+access.Value),
			servertest.Header("Origin", servertest.PublicURL)).Want(t, 200)
		if c := again.Header["Set-Cookie"]; len(c) != 1 || !strings.HasPrefix(c[0], "itsm_auth_token=") ||
			strings.Contains(c[0], access.Value) {
			t.Errorf("after a renewed proof: %v", c)
		}
	})
}
