package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A32: changing factors, the password, API keys and settings needs a recent proof; a refresh is none; a new one in the
// same session is. The kinds of machines are not asked.
func TestA32_StepUp(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.Login(t, servertest.Admin)
		key := s.Key(t, servertest.Bearer(admin.AccessToken), s.Organization("acme-corp"), "api_keys:manage:all",
			"users:manage:all", "organization:manage:all", "tickets:read:all")
		s.Clock.Advance(14 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": admin.RefreshToken}).Want(t, 200).
			Into(t, &admin)
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "in time", "permissions": []string{"tickets:read:all"}},
			servertest.Bearer(admin.AccessToken)).Want(t, 201)
		s.Clock.Advance(2 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": admin.RefreshToken}).Want(t, 200).
			Into(t, &admin)
		as := servertest.Bearer(admin.AccessToken)
		walked := 0
		for _, r := range s.Kit.Routes() {
			if !r.StepUp {
				continue
			}
			walked++
			res := s.Do(t, r.Method, parameter.ReplaceAllString(r.Pattern, "x"), bodies[r.Method+" "+r.Pattern], as)
			if strings.HasPrefix(r.Pattern, "/v1/organizations") {
				continue // not for administrators of a tenant
			}
			if res.Status != 401 || res.Code() != "STEP_UP_REQUIRED" ||
				!strings.Contains(res.Header.Get("WWW-Authenticate"), `error="insufficient_user_authentication"`) ||
				!strings.HasSuffix(res.Header.Get("WWW-Authenticate"), "max_age=900") {
				t.Errorf("%s %s: %d %q %s", r.Method, r.Pattern, res.Status, res.Header.Get("WWW-Authenticate"),
					res.Body)
			}
		}
		if walked < 20 {
			t.Errorf("only %d routes ask for a recent proof", walked)
		}
		for _, want := range []string{"POST /v1/auth/mfa/factors", "DELETE /v1/auth/mfa/factors/{id}",
			"PUT /v1/auth/password", "POST /v1/api-keys", "PATCH /v1/api-keys/{id}", "POST /v1/api-keys/{id}/rotate",
			"DELETE /v1/users/{id}/mfa", "PATCH /v1/organization",
			"POST /v1/users", "PATCH /v1/users/{id}", "POST /v1/users/{id}/unlock", "POST /v1/users/{id}/password-link",
			"POST /v1/invitations", "POST /v1/roles", "PATCH /v1/roles/{id}",
			"DELETE /v1/organizations/{id}"} {
			if !slices.ContainsFunc(s.Kit.Routes(), func(r webRoute) bool {
				return r.StepUp && r.Method+" "+r.Pattern == want
			}) {
				t.Errorf("%s asks for no recent proof", want)
			}
		}
		s.Do(t, "GET", "/v1/users", nil, as).Want(t, 200) // the rest goes on
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "by a machine",
			"permissions": []string{"tickets:read:all"}}, key.Send()).Want(t, 201)

		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": "wrong"}, as).
			Want(t, 401, "INVALID_CREDENTIALS")
		for name, body := range map[string]map[string]any{"nothing": {},
			"both":    {"password": demo.Password, "method": "totp", "code": "123456"},
			"no code": {"method": "totp"}, "an unknown method": {"method": "sms", "code": "1"}} {
			if r := s.Do(t, "POST", "/v1/auth/reauthenticate", body, as); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		_, was := decodeToken(t, admin.AccessToken)
		renewed := s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": demo.Password}, as).
			Want(t, 200)
		_, is := decodeToken(t, renewed.String("accessToken"))
		if is["sessionId"] != was["sessionId"] || is["auth_time"].(float64) <= was["auth_time"].(float64) ||
			is["jti"] == was["jti"] {
			t.Errorf("was %v, is %v", was, is)
		}
		// the session counts, not the token
		s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "after", "permissions": []string{"tickets:read:all"}},
			as).Want(t, 201)
		app := s.EnrollApp(t, as)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": admin.RefreshToken}).Want(t, 200).
			Into(t, &admin)
		_, refreshed := decodeToken(t, admin.AccessToken)
		if refreshed["acr"] != "aal2" { // password and app were both proven in this session
			t.Errorf("acr after enrolling is %v", refreshed["acr"])
		}
		// ATK51: with a factor, the password alone is no proof.
		s.Clock.Advance(16 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": admin.RefreshToken}).Want(t, 200).
			Into(t, &admin)
		as = servertest.Bearer(admin.AccessToken)
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+app.ID, nil, as).Want(t, 401, "STEP_UP_REQUIRED")
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": demo.Password}, as).
			Want(t, 401, "STEP_UP_REQUIRED")
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+app.ID, nil, as).Want(t, 401, "STEP_UP_REQUIRED")
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "totp", "code": app.Code(t)}, as).
			Want(t, 200)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"stepUpSeconds": 60}}, as).
			Want(t, 200)
		s.Clock.Advance(61 * time.Second)
		r := s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+app.ID, nil, as).Want(t, 401, "STEP_UP_REQUIRED")
		if !strings.HasSuffix(r.Header.Get("WWW-Authenticate"), "max_age=60") {
			t.Errorf("%s", r.Header.Get("WWW-Authenticate"))
		}
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "backup_codes", "code": app.BackupCodes[3]},
			as).Want(t, 200)
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+app.ID+"?endOtherSessions=true", nil, as).Want(t, 204)
	})
}

// A32, A45: an operator whose proof is old deletes no organization.
func TestA32_DeletingAnOrganization(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.Login(t, servertest.Operator)
		org := "/v1/organizations/" + s.Organization("second-tenant")
		s.Clock.Advance(14 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": operator.RefreshToken}).Want(t, 200).
			Into(t, &operator)
		s.Clock.Advance(2 * time.Minute)
		as := servertest.Bearer(operator.AccessToken)
		s.Do(t, "DELETE", org, nil, as).Want(t, 401, "STEP_UP_REQUIRED")
		s.Do(t, "GET", org, nil, as).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": demo.Password}, as).Want(t, 200).
			Into(t, &operator)
		s.Do(t, "DELETE", org, nil, servertest.Bearer(operator.AccessToken)).Want(t, 204)
	})
}

// A27, A32: a sign-in that waits for its first factor is its own proof for as long as its token works, however short
// the organization has step-up.
func TestA32_EnrollingUnderAShortStepUp(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"stepUpSeconds": 60}},
			s.As(t, servertest.Admin)).Want(t, 200)
		waiting := servertest.Bearer(s.MustEnroll(t, servertest.EndUser))
		s.Clock.Advance(2 * time.Minute)
		s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, waiting).Want(t, 201)
		s.Clock.Advance(4 * time.Minute)
		s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, waiting).Want(t, 401, "INVALID_TOKEN")
	})
}

// A32, ATK51: the seed of an app is shown once, at its enrolment; a pending one changes nothing about the one that is
// there; a confirmed one takes its place. Names and removal are the user's own.
func TestA32_OwnFactors(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp", "name": "old phone"}, as).
			Want(t, 201)
		uri := r.String("otpauthUri")
		if want := "otpauth://totp/Acme%20Corp:agent@acme-corp.example?secret=" + r.String("secret") +
			"&issuer=Acme%20Corp&algorithm=SHA1&digits=6&period=30"; uri != want {
			t.Errorf("%s, want %s", uri, want)
		}
		if !strings.HasPrefix(r.String("qrSvg"), "<svg ") || len(r.String("qrPng")) < 200 ||
			len(r.String("secret")) != 32 || r.Header.Get("Location") != "/v1/auth/mfa/factors/"+r.String("id") {
			t.Errorf("%v %s", r.Header, r.Body)
		}
		if strings.Contains(dump(t, s, "factors"), r.String("secret")) {
			t.Error("the seed lies open in the database")
		}
		list := func() servertest.Response { return s.Do(t, "GET", "/v1/auth/mfa/factors", nil, as).Want(t, 200) }
		if n := len(list().Get("data").([]any)); n != 0 {
			t.Errorf("%d factors before the first is confirmed", n)
		}
		// and none is asked for
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 200)
		app := s.EnrollApp(t, as)
		// the later enrolment took its place
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+r.String("id")+"/confirm",
			map[string]any{"code": servertest.CodeAt(t, r.String("secret"), s.Clock.Now())}, as).Want(t, 404)
		if l := list(); strings.Contains(string(l.Body), app.Secret) || l.Get("hasMore") != false ||
			strings.Contains(string(l.Body), "otpauth") {
			t.Errorf("%s", l.Body)
		}
		s.Do(t, "PATCH", "/v1/auth/mfa/factors/"+app.ID, map[string]any{"name": " my phone "}, as).Want(t, 200)
		if l := list(); !strings.Contains(string(l.Body), `"name":"my phone"`) {
			t.Errorf("%s", l.Body)
		}
		for name, body := range map[string]map[string]any{"blank": {"name": "  "},
			"long": {"name": strings.Repeat("x", 101)}, "control": {"name": "a\nb"}} {
			if r := s.Do(t, "PATCH", "/v1/auth/mfa/factors/"+app.ID, body, as); r.Status != 400 {
				t.Errorf("a %s name: %d %s", name, r.Status, r.Body)
			}
		}
		// A pending enrolment does not touch the app that is there; confirmed, it takes its place.
		pending := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as).Want(t, 201)
		s.LoginWith(t, servertest.Agent, app)
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp",
			servertest.CodeAt(t, pending.String("secret"), s.Clock.Now())).Want(t, 401, "MFA_INVALID")
		s.Clock.Advance(30 * time.Second)
		if r := s.Do(t, "POST", "/v1/auth/mfa/factors/"+pending.String("id")+"/confirm",
			map[string]any{"code": servertest.CodeAt(t, pending.String("secret"), s.Clock.Now())}, as).
			Want(t, 200); r.Get("backupCodes") != nil {
			t.Errorf("new backup codes for a second factor: %s", r.Body)
		}
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", app.Code(t)).Want(t, 401, "MFA_INVALID")
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp",
			servertest.CodeAt(t, pending.String("secret"), s.Clock.Now())).Want(t, 200)
		// Too late is too late.
		late := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as).Want(t, 201)
		s.Clock.Advance(11 * time.Minute)
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+late.String("id")+"/confirm",
			map[string]any{"code": servertest.CodeAt(t, late.String("secret"), s.Clock.Now())}, as).Want(t, 409)
		for subject, n := range map[string]int{"factor was added": 2} {
			s.Mail(t, servertest.Agent, subject, n)
		}
	})
}

// A32, ATK44: an administrator sees, resets and requires a user's factors and unlocks the account, of nobody who may do
// more, and not their own.
func TestA32_Administrator(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		as := s.As(t, servertest.Agent)
		agent := s.UserID(t, servertest.Agent)
		app := s.EnrollApp(t, as)
		session := s.LoginWith(t, servertest.Agent, app)
		if r := s.Do(t, "GET", "/v1/users/"+agent+"/mfa", nil, admin).Want(t, 200); len(r.Get("data").([]any)) != 1 ||
			r.Get("required") != false || r.Get("backupCodes.remaining") != 10.0 ||
			strings.Contains(string(r.Body), app.Secret) {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "DELETE", "/v1/users/"+agent+"/mfa", nil, admin).Want(t, 204)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(session.AccessToken)).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 200)
		s.Mail(t, servertest.Agent, "were reset", 1)
		for _, act := range []string{"factors.reset", "factor.added", "factor.enrolment_begun"} {
			if events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, admin).
				Want(t, 200).Body); !strings.Contains(events, act) {
				t.Errorf("%s is not in the audit log", act)
			}
		}
		app = s.EnrollApp(t, s.As(t, servertest.Agent))
		s.Do(t, "DELETE", "/v1/users/"+agent+"/mfa/"+app.ID, nil, admin).Want(t, 204)
		s.Do(t, "DELETE", "/v1/users/"+agent+"/mfa/"+app.ID, nil, admin).Want(t, 404)
		own := s.UserID(t, servertest.Admin)
		s.Do(t, "DELETE", "/v1/users/"+own+"/mfa", nil, admin).Want(t, 403)
		// Nobody resets who may do more than they may.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "helpdesk", "permissions": []string{"users:manage:all"}},
			admin).Want(t, 201)
		s.PersonWithPassword(t, admin, "helper", "helpdesk")
		helper := servertest.Bearer(s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": "helper@acme-corp.example", "password": servertest.TestPassword}).Want(t, 200).
			String("accessToken"))
		for _, try := range []struct{ method, path string }{{"DELETE", "/mfa"}, {"PATCH", "/mfa"},
			{"POST", "/unlock"}} {
			if r := s.Do(t, try.method, "/v1/users/"+own+try.path, bodies[try.method+" /v1/users/{id}"+try.path],
				helper); r.Status != 403 {
				t.Errorf("%s %s by somebody with fewer rights: %d %s", try.method, try.path, r.Status, r.Body)
			}
		}
		// Locked, and unlocked.
		for range 5 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"}).
				Want(t, 401)
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 429, "ACCOUNT_LOCKED")
		s.Do(t, "POST", "/v1/users/"+agent+"/unlock", nil, s.As(t, servertest.Foreigner)).Want(t, 404)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 429)
		s.Do(t, "POST", "/v1/users/"+agent+"/unlock", nil, admin).Want(t, 204)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 200)
		for i := range 5 { // under two names
			name := []string{"agent", servertest.Agent}[i%2]
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": name, "password": "wrong",
				"organization": "acme-corp"}).Want(t, 401)
		}
		// locked, and not told
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 401)
		s.Do(t, "POST", "/v1/users/"+agent+"/unlock", nil, admin).Want(t, 204)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 200)
	})
}
