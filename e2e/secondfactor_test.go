package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/itsm-automation/gatehouse/test/smtptest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A27, ASVS 6.3.3: as it is installed, whoever administers must have a second factor: the first operator's password
// opens enrolment and nothing else.
func TestA27_FirstOperatorEnrolls(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	i.env = append(i.env, "GATEHOUSE_DEFAULT_MFA=administrators")
	i.operator()
	i.start()
	status, first, err := i.post("/v1/auth/login",
		map[string]any{"email": "operator@platform.example", "password": operatorPassword}, "")
	if err != nil || status != 202 || first["enrollmentRequired"] != true {
		t.Fatalf("%d %v %v", status, first, err)
	}
	token := first["mfaToken"].(string)
	if status, _, _ := i.get("/v1/auth/me", token); status != 401 {
		t.Errorf("the token of the first step opens more: %d", status)
	}
	status, app, err := i.post("/v1/auth/mfa/factors", map[string]any{"method": "totp"}, token)
	if err != nil || status != 201 {
		t.Fatalf("%d %v %v", status, app, err)
	}
	seed := app["secret"].(string)
	// the step before: the next one is not used yet
	code, err := totp.GenerateCode(seed, time.Now().Add(-30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if status, body, err := i.post("/v1/auth/mfa/factors/"+app["id"].(string)+"/confirm", map[string]any{"code": code},
		token); err != nil || status != 200 {
		t.Fatalf("%d %v %v", status, body, err)
	}
	if code, err = totp.GenerateCode(seed, time.Now()); err != nil {
		t.Fatal(err)
	}
	status, in, err := i.post("/v1/auth/mfa/verify", map[string]any{"mfaToken": token, "method": "totp", "code": code},
		"")
	if err != nil || status != 200 {
		t.Fatalf("%d %v %v", status, in, err)
	}
	if status, _, _ := i.get("/v1/organizations", in["accessToken"].(string)); status != 200 {
		t.Errorf("signed in: %d", status)
	}
	// Phone and backup codes are lost, and there is no other operator.
	if out, errs, code := i.run("", "admin", "reset-factors", "--email", "nobody@platform.example"); code == 0 {
		t.Errorf("of nobody: %s%s", out, errs)
	}
	if out, errs, code := i.run("", "admin", "reset-factors", "--email", "operator@platform.example"); code != 0 ||
		!strings.Contains(out, "no second factor") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	waitFor(t, "the server hears of it", func() bool {
		status, _, _ := i.get("/v1/organizations", in["accessToken"].(string))
		return status == 401
	})
	status, first, err = i.post("/v1/auth/login", map[string]any{"email": "operator@platform.example",
		"password": operatorPassword}, "")
	if err != nil || status != 202 || first["enrollmentRequired"] != true {
		t.Errorf("after the reset: %d %v %v", status, first, err)
	}
}

// A12: a mail outlives kill -9 of the node that wrote it, written while the mail server was down, and comes once, also
// when two nodes wait for it.
func TestA12_MailSurvivesKill(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		server := smtptest.Start(t, smtptest.Options{Account: true})
		i := install(t, address)
		account := []string{"GATEHOUSE_MAIL_FROM=Gatehouse <no-reply@auth.example.com>",
			"GATEHOUSE_MAIL_CA_FILE=" + server.CAFile, "GATEHOUSE_MAIL_USERNAME=" + smtptest.Username,
			"GATEHOUSE_MAIL_PASSWORD=" + smtptest.Password}
		plain := i.env
		// nobody is there
		i.env = append(append(append([]string{}, plain...), account...), "GATEHOUSE_MAIL_SMTP=127.0.0.1:1")
		i.operator()
		p := i.start()
		access, _ := i.signIn()
		if status, body, err := i.post("/v1/users", map[string]any{"email": "new@platform.example", "role": "end_user"},
			access); err != nil || status != 201 {
			t.Fatalf("%d %v %v", status, body, err)
		}
		p.kill()
		i.env = append(append(append([]string{}, plain...), account...), "GATEHOUSE_MAIL_SMTP="+server.Address)
		i.start()
		second := *i
		second.at(freePort(t)).start()
		for range 300 {
			if len(server.Mails("new@platform.example")) > 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second) // and no second one
		mails := server.Mails("new@platform.example")
		if len(mails) != 1 || !strings.Contains(mails[0].Text, "/set-password#token=") {
			t.Fatalf("%d mails: %v", len(mails), mails)
		}
		_, rest, _ := strings.Cut(mails[0].Text, "#token=")
		token, _, _ := strings.Cut(rest, "\n")
		if status, body, err := i.post("/v1/auth/password/set",
			map[string]any{"token": token, "password": "another long sentence of mine"}, ""); err != nil ||
			status != 200 {
			t.Errorf("%d %v %v", status, body, err)
		}
		if _, secure := server.Counts(); secure != 1 {
			t.Errorf("%d mails over a protected connection", secure)
		}
	})
}
