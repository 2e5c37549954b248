package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

const program = "program@acme-corp.example"

// exempt gives an application, its id, that signs in with its password alone.
func exempt(t *testing.T, s *servertest.Server, admin servertest.Change) string {
	t.Helper()
	r := s.Do(t, "POST", "/v1/users", map[string]any{"email": program, "username": "program", "role": "end_user",
		"type": "application"}, admin).Want(t, 201)
	_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
	s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": demo.Password}).Want(t, 200)
	s.Do(t, "PATCH", "/v1/users/"+r.String("id"), map[string]any{"mfaExempt": true}, admin).Want(t, 200)
	return r.String("id")
}

// ATK51: a session of a password alone, of an application that is exempted and has a second factor all the same,
// changes nothing that matters until it proves that factor: whoever knows the password must not remove what keeps them
// out.
func TestATK51_SessionWithoutTheFactor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		exempt(t, s, s.As(t, servertest.Admin))
		app := s.EnrollApp(t, s.As(t, program))
		thief := s.As(t, program)
		for _, try := range []struct {
			method, path string
			body         map[string]any
		}{{"POST", "/v1/auth/mfa/backup-codes", nil}, {"DELETE", "/v1/auth/mfa/factors/" + app.ID, nil},
			{"POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}},
			{"PUT", "/v1/auth/password", map[string]any{"currentPassword": demo.Password,
				"newPassword": "another fine passphrase"}}} {
			s.Do(t, try.method, try.path, try.body, thief).Want(t, 401, "STEP_UP_REQUIRED")
		}
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": demo.Password}, thief).
			Want(t, 401, "STEP_UP_REQUIRED")
		s.Do(t, "GET", "/v1/tickets", nil, thief).Want(t, 200) // the rest goes on
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "totp", "code": app.Code(t)}, thief).
			Want(t, 200)
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, thief).Want(t, 201)
		s.Mail(t, program, "New backup codes", 1)
	})
}

// A32: a factor that was just made is no proof of who made it: the session's last proof is no newer.
func TestA32_EnrollingIsNoProof(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		tokens := s.Login(t, servertest.Agent)
		s.Clock.Advance(14 * time.Minute)
		s.EnrollApp(t, servertest.Bearer(tokens.AccessToken))
		s.Clock.Advance(2 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 200).
			Into(t, &tokens)
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, servertest.Bearer(tokens.AccessToken)).
			Want(t, 401, "STEP_UP_REQUIRED")
	})
}

// A32, ATK44: nobody decides about themselves what others must decide, and nobody about whoever may do more.
func TestA32_NotOneself(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		own := s.UserID(t, servertest.Admin)
		app := s.EnrollApp(t, admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "helpdesk", "permissions": []string{"users:manage:all"}},
			admin).Want(t, 201)
		s.PersonWithPassword(t, admin, "helper", "helpdesk")
		helper := servertest.Bearer(s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": "helper@acme-corp.example", "password": servertest.TestPassword}).Want(t, 200).
			String("accessToken"))
		for name, as := range map[string]servertest.Change{"oneself": admin, "somebody with fewer rights": helper} {
			for _, try := range [][2]string{{"DELETE", "/mfa"}, {"DELETE", "/mfa/" + app.ID}, {"PATCH", "/mfa"},
				{"POST", "/unlock"}} {
				var body any
				if try[0] == "PATCH" {
					body = map[string]any{"required": false}
				}
				if r := s.Do(t, try[0], "/v1/users/"+own+try[1], body, as); r.Status != 403 {
					t.Errorf("%s: %s %s: %d %s", name, try[0], try[1], r.Status, r.Body)
				}
			}
		}
		// G12: no machine decides what people must prove.
		key := s.Key(t, admin, s.Organization("acme-corp"), "organization:manage:all")
		for name, settings := range map[string]map[string]any{"mfa": {"mfa": "required"},
			"passkeys": {"passkeySignIn": false}, "step-up": {"stepUpSeconds": 86400},
			"length": {"passwordMinLength": 16}, "words": {"passwordBlockedWords": []string{"zeppelin"}}} {
			if r := s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": settings},
				key.Send()); r.Status != 403 {
				t.Errorf("%s by a machine: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"timeZone": "Europe/Madrid"}},
			key.Send()).Want(t, 200)
	})
}

// A12, A27: a password that is the only factor has fifteen characters, also where others have a second one; who has a
// second factor is not exempted over their head.
func TestA12_ExemptPasswords(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.EnrollApp(t, admin)
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"mfa": "required", "passwordMinLength": 8}}, admin).Want(t, 200)
		r := s.Do(t, "POST", "/v1/users", map[string]any{"email": "program@acme-corp.example", "role": "end_user",
			"type": "application"}, admin).Want(t, 201)
		_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": "kX9#mQ2v"}).
			Want(t, 400, "VALIDATION_ERROR")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link,
			"password": "a long sentence of a program"}).Want(t, 200)
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": "program@acme-corp.example", "password": "a long sentence of a program"}).
			Want(t, 202)
		waiting := servertest.Bearer(first.String("mfaToken"))
		e := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, waiting).Want(t, 201)
		if left := e.Get("expiresIn").(float64); left > 300 {
			t.Errorf("an enrolment that outlives its token: %v", left)
		}
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+e.String("id")+"/confirm",
			map[string]any{"code": servertest.CodeAt(t, e.String("secret"), s.Clock.Now())}, waiting).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+r.String("id"), map[string]any{"mfaExempt": true}, admin).Want(t, 409)
		s.Do(t, "DELETE", "/v1/users/"+r.String("id")+"/mfa", nil, admin).Want(t, 204)
		s.Do(t, "PATCH", "/v1/users/"+r.String("id"), map[string]any{"mfaExempt": true}, admin).Want(t, 200)
	})
}

// ATK53: a link that was mailed to a former address opens nothing, whoever made it.
func TestATK53_LinksOfAFormerAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		id := s.Do(t, "POST", "/v1/users", map[string]any{"email": "typo@evil.example", "role": "end_user"}, admin).
			Want(t, 201).String("id")
		link := servertest.Token(t, s.Mail(t, "typo@evil.example", "Choose your password", 1))
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"email": "right@acme-corp.example"}, admin).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": "another fine passphrase"}).
			Want(t, 401, "INVALID_TOKEN")
		key := s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:manage:all",
			"reports:read:all", "sla_policies:manage:all")
		// also of one who has no password yet
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"email": "evil@evil.example"}, key.Send()).Want(t, 403)
		// Nor does one that was asked for before the address changed, and is written after.
		u, err := s.Users.Read(t.Context(), orgID(s.Organization("acme-corp")), userID(s.UserID(t, servertest.EndUser)))
		if err != nil {
			t.Fatal(err)
		}
		s.Do(t, "PATCH", "/v1/users/"+string(u.ID), map[string]any{"email": "moved@acme-corp.example"}, admin).
			Want(t, 200)
		if err := s.Users.MailReset(t.Context(), sourceOf("203.0.113.1"), u); err != nil {
			t.Fatal(err)
		}
		s.NoMail(t, servertest.EndUser, "Reset")
		s.Mail(t, "moved@acme-corp.example", "Reset", 1)
	})
}

// A45, A28: what waits for its second step does not go on once the password is another, the user disabled or the
// organization suspended; nor does a passkey sign in there.
func TestA28_WhatEndsAWaitingSignIn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		key := servertest.NewAuthenticator(t)
		session := servertest.Bearer(s.LoginWith(t, servertest.Agent, app).AccessToken)
		s.EnrollKey(t, key, session)
		token := s.FirstStep(t, servertest.Agent)
		s.Do(t, "PUT", "/v1/auth/password", map[string]any{"currentPassword": demo.Password,
			"newPassword": "another fine passphrase"}, session).Want(t, 200)
		s.Verify(t, token, "totp", app.Code(t)).Want(t, 401, "INVALID_TOKEN")
		again := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": "another fine passphrase"}).Want(t, 202).
			String("mfaToken")
		operator := s.As(t, servertest.Operator)
		suspend := func(state string) {
			s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), map[string]any{"state": state},
				operator).Want(t, 200)
		}
		suspend("suspended")
		s.Verify(t, again, "totp", app.Code(t)).Want(t, 401, "INVALID_TOKEN")
		s.PasskeyLogin(t, key).Want(t, 401, "INVALID_CREDENTIALS")
		suspend("active")
		s.Verify(t, again, "totp", app.Code(t)).Want(t, 200)
		s.PasskeyLogin(t, key).Want(t, 200)
		key.Synced = true
		s.PasskeyLogin(t, key).Want(t, 401) // it was made otherwise
	})
}

// A32: whoever adds or removes a factor can end the sessions that were begun without. The user hears of both.
func TestA32_EndOtherSessions(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		other, as := s.As(t, servertest.Agent), s.As(t, servertest.Agent)
		e := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as).Want(t, 201)
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+e.String("id")+"/confirm",
			map[string]any{"code": servertest.CodeAt(t, e.String("secret"), s.Clock.Now()), "endOtherSessions": true},
			as).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, other).Want(t, 401)
		s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		s.Clock.Advance(30 * time.Second)
		other = servertest.Bearer(s.Verify(t, s.FirstStep(t, servertest.Agent), "totp",
			servertest.CodeAt(t, e.String("secret"), s.Clock.Now())).Want(t, 200).String("accessToken"))
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+e.String("id")+"?endOtherSessions=true", nil, as).Want(t, 204)
		s.Do(t, "GET", "/v1/auth/me", nil, other).Want(t, 401)
		s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		s.Mail(t, servertest.Agent, "was removed", 1)
	})
}

// A27: with a first factor the sessions end that began with a password alone, at whatever door: whoever knows the
// password may have begun them. The session that enrolled goes on, and so do those that proved two factors.
func TestA27_PasswordSessionsEnd(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		refresh := func(tokens servertest.Tokens) servertest.Response {
			return s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken})
		}
		// gone makes sure that nothing opens with the tokens of a session, of /v1 or of ItemPath.
		gone := func(who string, main, itemPath servertest.Tokens) {
			t.Helper()
			for what, r := range map[string]servertest.Response{
				"reading": s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(main.AccessToken)),
				"a ticket": s.Do(t, "POST", "/v1/tickets", map[string]any{"type": "task", "title": "x"},
					servertest.Bearer(main.AccessToken)),
				"refresh":  refresh(main),
				"verify":   s.Do(t, "GET", "/verify", nil, servertest.Bearer(main.AccessToken)),
				"ItemPath": s.Do(t, "GET", "/verify", nil, servertest.Bearer(itemPath.AccessToken)),
				"ItemPath's refresh": s.Do(t, "POST", "/api/users/refresh", nil,
					servertest.Bearer(itemPath.RefreshToken)),
			} {
				if r.Status != 401 {
					t.Errorf("%s, %s: %d %s", who, what, r.Status, r.Body)
				}
			}
		}
		weak, itemPath := s.Login(t, servertest.Agent), s.ItemPath(t, "agent")
		s.Do(t, "GET", "/verify", nil, servertest.Bearer(itemPath.AccessToken)).Want(t, 200)
		another := s.As(t, servertest.Manager)
		enrolling := s.Login(t, servertest.Agent)
		app := s.EnrollApp(t, servertest.Bearer(enrolling.AccessToken))
		gone("enrolled elsewhere", weak, itemPath)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(enrolling.AccessToken)).Want(t, 200)
		refresh(enrolling).Want(t, 200).Into(t, &enrolling)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(enrolling.AccessToken)).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, another).Want(t, 200)
		s.Do(t, "POST", "/api/users/login", map[string]any{"username": "agent", "password": demo.Password}).
			Want(t, 401)
		var sessions struct{ Data []struct{ Current bool } }
		s.Do(t, "GET", "/v1/auth/sessions", nil, servertest.Bearer(enrolling.AccessToken)).Want(t, 200).
			Into(t, &sessions)
		if len(sessions.Data) != 1 || !sessions.Data[0].Current {
			t.Errorf("sessions after the enrolment: %+v", sessions)
		}
		// What was ended does not come back with the last factor gone.
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+app.ID, nil, servertest.Bearer(enrolling.AccessToken)).Want(t, 204)
		gone("without a factor again", weak, itemPath)
		app = s.EnrollApp(t, servertest.Bearer(enrolling.AccessToken))

		// Two factors are two factors, whatever is enrolled next: by app, and by a passkey alone.
		byApp, key := s.LoginWith(t, servertest.Agent, app), servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, servertest.Bearer(enrolling.AccessToken))
		var byKey servertest.Tokens
		s.PasskeyLogin(t, key).Want(t, 200).Into(t, &byKey)
		s.EnrollKey(t, servertest.NewAuthenticator(t), servertest.Bearer(byApp.AccessToken))
		for name, tokens := range map[string]servertest.Tokens{"app": byApp, "passkey": byKey, "first": enrolling} {
			if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)); r.Status != 200 {
				t.Errorf("a session by %s ended: %d %s", name, r.Status, r.Body)
			}
		}
		// Enrolled in the middle of a sign-in.
		weak, itemPath = s.Login(t, servertest.EndUser), s.ItemPath(t, "enduser")
		require := func(required bool) {
			s.Do(t, "PATCH", "/v1/users/"+s.FindUser(t, admin, servertest.EndUser)+"/mfa",
				map[string]any{"required": required}, admin).Want(t, 200)
		}
		require(true)
		s.EnrollApp(t, servertest.Bearer(s.FirstStep(t, servertest.EndUser)))
		require(false)
		gone("enrolled while signing in", weak, itemPath)

		// An exempted application signs in with its password alone, until it is exempted no more.
		id := exempt(t, s, admin)
		s.EnrollApp(t, s.As(t, program))
		weak, itemPath = s.Login(t, program), s.ItemPath(t, "program")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(weak.AccessToken)).Want(t, 200)
		s.Do(t, "GET", "/verify", nil, servertest.Bearer(itemPath.AccessToken)).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"mfaExempt": false}, admin).Want(t, 200)
		gone("exempted no more", weak, itemPath)
	})
}

// G9: every refused proof is in the audit log, and so is a first step that nobody completed.
func TestG9_RefusedProofs(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		e := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as).Want(t, 201)
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+e.String("id")+"/confirm", map[string]any{"code": "000000"}, as).
			Want(t, 401)
		s.Do(t, "PUT", "/v1/auth/password", map[string]any{"currentPassword": "wrong",
			"newPassword": "another fine passphrase"}, as).Want(t, 401)
		app := s.EnrollApp(t, as)
		s.Verify(t, s.FirstStep(t, servertest.Agent), "totp", "000000").Want(t, 401)
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "backup_codes", "code": "00000000"}, as).
			Want(t, 401)
		r := s.Do(t, "POST", "/v1/auth/reauthenticate",
			map[string]any{"method": "backup_codes", "code": app.BackupCodes[0]}, as).Want(t, 200)
		if r.Get("backupCodesRemaining") != 9.0 {
			t.Errorf("%s", r.Body)
		}
		key := servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, as)
		key.UV = false
		s.PasskeyLogin(t, key).Want(t, 401)
		var events struct {
			Data []struct{ Act, Outcome string }
		}
		s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, s.As(t, servertest.Admin)).Want(t, 200).Into(t, &events)
		seen := map[string]int{}
		for _, x := range events.Data {
			seen[x.Act+" "+x.Outcome]++
		}
		for _, want := range []string{"factor.refused failure", "user.password_change_refused failure",
			"session.mfa_refused failure", "session.reauthentication_refused failure", "session.refused failure",
			"session.second_factor_awaited success", "session.reauthenticated success", "backup_code.used success",
			"factor.added success"} {
			if seen[want] == 0 {
				t.Errorf("no event %q in %v", want, seen)
			}
		}
	})
}

// ATK44, ATK49: a full sign-in by another way forgives what failed under every name of the account, and nobody is
// locked by answers that anybody can make up.
func TestATK49_NoHairTrigger(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		body := map[string]any{"email": "agent", "organization": "acme-corp", "password": demo.Password}
		for range 7 { // mistyped once a day, under the user name, which the second step does not know
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "agent", "organization": "acme-corp",
				"password": "wrong"}).Want(t, 401)
			token := s.Do(t, "POST", "/v1/auth/login", body).Want(t, 202).String("mfaToken")
			s.Verify(t, token, "totp", app.Code(t)).Want(t, 200)
		}
		key := servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, s.As(t, servertest.Manager))
		for range 3 {
			for range 3 {
				s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Manager, "password": "wrong"}).
					Want(t, 401)
			}
			s.PasskeyLogin(t, key).Want(t, 200)
		}
		for range 6 { // whoever knows an id cannot lock its user
			forged := servertest.NewAuthenticator(t)
			answer := forged.Get(t, s.Do(t, "POST", "/v1/auth/passkey/challenge", nil))
			answer.UserHandle = []byte(s.Organization("acme-corp") + "/" + s.FindUser(t, s.As(t, servertest.Admin),
				servertest.EndUser))
			s.Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": answer.JSON(t)}).Want(t, 401)
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.EndUser, "password": demo.Password}).
			Want(t, 200)
	})
}

// ATK49: in a session on a known device its owner can prove themselves and change the password while somebody guesses;
// an administrator's unlock ends a device's own lock.
func TestATK49_KnownDeviceInASession(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent,
			"password": demo.Password, "rememberDevice": true}).Want(t, 200)
		as, device := servertest.Bearer(r.String("accessToken")), r.String("deviceToken")
		for range 6 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"})
		}
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": demo.Password}, as).Want(t, 429)
		s.Do(t, "POST", "/v1/auth/reauthenticate",
			map[string]any{"password": demo.Password, "deviceToken": device}, as).Want(t, 200)
		for range 5 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong",
				"deviceToken": device})
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password,
			"deviceToken": device}).Want(t, 429)
		s.Do(t, "POST", "/v1/users/"+s.FindUser(t, s.As(t, servertest.Admin), servertest.Agent)+"/unlock", nil,
			s.As(t, servertest.Admin)).Want(t, 204)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password,
			"deviceToken": device}).Want(t, 200)
		device = s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": demo.Password, "rememberDevice": true}).
			Want(t, 200).String("deviceToken")
		for range 6 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"})
		}
		s.Do(t, "PUT", "/v1/auth/password", map[string]any{"currentPassword": demo.Password,
			"newPassword": "another fine passphrase", "deviceToken": device}, as).Want(t, 200)
		// a stranger since the change
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent,
			"password": "another fine passphrase", "deviceToken": device}).Want(t, 429)
	})
}

// ATK49: a device is known for 180 days, twenty of a user at once; what nobody confirmed or remembers is removed.
func TestATK49_DevicesEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		remember := func() string {
			s.Clock.Advance(time.Second)
			return s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Agent, "password": demo.Password, "rememberDevice": true}).
				Want(t, 200).String("deviceToken")
		}
		known := func(device string) bool {
			for range 6 {
				s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"})
			}
			status := s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": servertest.Agent, "password": demo.Password,
					"deviceToken": device}).Status
			s.Clock.Advance(20 * time.Minute)
			return status == 200
		}
		first := remember()
		var last string
		for range 20 {
			last = remember()
		}
		if known(first) || !known(last) {
			t.Error("the twenty-first device pushes out the first, and no other")
		}
		s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, s.As(t, servertest.Agent)).
			Want(t, 201)
		s.Clock.Advance(180 * 24 * time.Hour)
		if known(last) {
			t.Error("a device is known after half a year")
		}
		if n, err := s.Factors.Purge(t.Context(), s.Clock.Now(), 1000); err != nil || n != 20 ||
			dump(t, s, "known_devices") != "" ||
			dump(t, s, "factors") != "" {
			t.Errorf("purged %d, %v; left %s %s", n, err, dump(t, s, "known_devices"), dump(t, s, "factors"))
		}
	})
}

// A29: an app can be enrolled whatever the organization is called; A30: the claims tell a key that is kept in several
// places from one that is not.
func TestA29_LongNames(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"),
			map[string]any{"name": strings.Repeat("組", 100)}, s.As(t, servertest.Operator)).Want(t, 200)
		time.Sleep(50 * time.Millisecond)
		r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, s.As(t, servertest.Agent)).
			Want(t, 201)
		if !strings.Contains(r.String("otpauthUri"), strings.Repeat("%E7%B5%84", 30)) ||
			len(r.String("otpauthUri")) > 1000 {
			t.Errorf("%s", r.String("otpauthUri"))
		}
		key := servertest.NewAuthenticator(t)
		key.Synced = true
		s.EnrollKey(t, key, s.As(t, servertest.Agent))
		_, claims := decodeToken(t, s.PasskeyLogin(t, key).Want(t, 200).String("accessToken"))
		if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["swk","user","mfa"]` {
			t.Errorf("amr %s", amr)
		}
	})
}

// FLT21: after a restore no backup code is good that may have been used since, and no device is known; the factors
// themselves stay.
func TestFLT21_BackupCodesAfterARestore(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		app := s.EnrollApp(t, s.As(t, servertest.Agent))
		if _, err := admin.Restored(t.Context(), s.Server, "a test", sqldb.Restore{KeepMachines: true}); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(3 * time.Second)
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": demo.Password}).Want(t, 202)
		if m, _ := json.Marshal(first.Get("allowedMethods")); string(m) != `["totp"]` {
			t.Errorf("methods %s", m)
		}
		s.Verify(t, first.String("mfaToken"), "backup_codes", app.BackupCodes[0]).Want(t, 401, "MFA_INVALID")
		s.Verify(t, first.String("mfaToken"), "totp", app.Code(t)).Want(t, 200)
	})
}
