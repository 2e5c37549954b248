package servertest

import (
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// App is an authenticator app that a user enrolled.
type App struct {
	ID          string
	Secret      string
	BackupCodes []string
	s           *Server
}

// Code gives a code that was not used before: it sets the clock forward to the next time step.
func (a *App) Code(t testing.TB) string {
	t.Helper()
	a.s.Clock.Advance(30 * time.Second)
	return a.Now(t)
}

// Now gives the code of this moment, used or not.
func (a *App) Now(t testing.TB) string {
	t.Helper()
	return CodeAt(t, a.Secret, a.s.Clock.Now())
}

// CodeAt gives the code of a moment.
func CodeAt(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// EnrollApp gives whoever as is an authenticator app.
func (s *Server) EnrollApp(t testing.TB, as Change) *App {
	t.Helper()
	r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp", "name": "phone"}, as).Want(t, 201)
	a := &App{ID: r.String("id"), Secret: r.String("secret"), s: s}
	var confirmed struct{ BackupCodes []string }
	s.Do(t, "POST", "/v1/auth/mfa/factors/"+a.ID+"/confirm", map[string]any{"code": a.Code(t)}, as).Want(t, 200).
		Into(t, &confirmed)
	a.BackupCodes = confirmed.BackupCodes
	return a
}

// FirstStep gives the token of a sign-in that waits for its second factor.
func (s *Server) FirstStep(t testing.TB, email string) string {
	t.Helper()
	return s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": email, "password": demo.Password}).
		Want(t, 202).String("mfaToken")
}

// Verify completes a sign-in that waits.
func (s *Server) Verify(t testing.TB, mfaToken, method, code string) Response {
	t.Helper()
	return s.Do(t, "POST", "/v1/auth/mfa/verify", map[string]any{"mfaToken": mfaToken, "method": method, "code": code})
}

// LoginWith signs a demo user in with password and app.
func (s *Server) LoginWith(t testing.TB, email string, app *App) Tokens {
	t.Helper()
	var tokens Tokens
	s.Verify(t, s.FirstStep(t, email), "totp", app.Code(t)).Want(t, 200).Into(t, &tokens)
	return tokens
}

// MustEnroll demands a second factor of a demo user who has none, and gives the token of a sign-in that waits for it.
func (s *Server) MustEnroll(t testing.TB, email string) string {
	t.Helper()
	s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, email)+"/mfa", map[string]any{"required": true}, s.As(t, Admin)).
		Want(t, 200)
	return s.FirstStep(t, email)
}

// FindUser gives the id of a user by an administrator's list.
func (s *Server) FindUser(t testing.TB, as Change, email string) string {
	t.Helper()
	var l struct{ Data []struct{ ID string } }
	s.Do(t, "GET", "/v1/users?email="+email, nil, as).Want(t, 200).Into(t, &l)
	if len(l.Data) != 1 {
		t.Fatalf("%d users %s", len(l.Data), email)
	}
	return l.Data[0].ID
}
