package sso

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// enforce makes the company sign-in the only one, after a test that passed.
func (h *house) enforce(c string) {
	h.t.Helper()
	body := object{"connectionId": c, "enforced": true}
	h.Do(h.t, "PATCH", "/v1/domains/"+domain, body, h.admin).Want(h.t, 409) // nobody has tried it
	made := h.Do(h.t, "POST", "/v1/connections/"+c+"/test", nil, h.admin).Want(h.t, 201)
	idptest.NewBrowser(h.t, h.Server).Open(made.String("url"))
	h.Do(h.t, "PATCH", "/v1/domains/"+domain, body, h.admin).Want(h.t, 200)
}

// SSO41: where the company sign-in is enforced every door for passwords is closed, with the usual answer; an account
// that was named for emergencies gets in, with its second factor, and that is mailed.
func TestSSO41_Enforced(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-admin", servertest.Admin, nil)
		agent := h.UserID(t, servertest.Agent)
		app := h.EnrollApp(t, h.As(t, servertest.Agent))
		h.Do(t, "PATCH", "/v1/users/"+h.UserID(t, servertest.EndUser), object{"breakGlass": true}, h.admin).Want(t, 409)
		h.Do(t, "PATCH", "/v1/users/"+h.UserID(t, servertest.Admin), object{"breakGlass": true}, h.admin).Want(t, 403)
		login := func(email, password string) servertest.Response {
			return h.Do(t, "POST", "/v1/auth/login", object{"email": email, "password": password})
		}
		wrong := login(servertest.Manager, "wrong-password-of-nobody").Want(t, 401)
		basic := h.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Basic("manager",
			"wrong-password-of-nobody"))
		h.enforce(c)
		if r := login(servertest.Manager, demo.Password); r.Status != 401 || r.Code() != wrong.Code() ||
			r.String("detail") != wrong.String("detail") {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		login(servertest.Agent, demo.Password).Want(t, 401)
		login(servertest.Operator, demo.Password).Want(t, 200) // of another organization
		if r := h.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Basic("manager", demo.Password)); r.
			Status != basic.Status || string(r.Body) != string(basic.Body) {
			t.Errorf("Basic: %d %s, not %s", r.Status, r.Body, basic.Body)
		}
		if r := h.Do(t, "POST", "/api/users/login", object{"username": "manager",
			"password": demo.Password}); r.Status == 200 {
			t.Errorf("ItemPath: %s", r.Body)
		}
		h.Do(t, "POST", "/v1/auth/password/forgot", object{"email": servertest.Manager}).Want(t, 202)
		h.NoMail(t, servertest.Manager, "Reset")
		if r := h.Do(t, "GET", "/v1/auth/sso/discover?email=anybody@"+domain, nil).Want(t,
			200); r.Get("required") != true {
			t.Errorf("%s", r.Body)
		}
		// a password renews no proof either
		h.person("sub-manager", servertest.Manager, nil)
		session := h.signIn()
		h.Do(t, "POST", "/v1/auth/reauthenticate", object{"password": demo.Password},
			servertest.Bearer(session.String("accessToken"))).Want(t, 401, "STEP_UP_REQUIRED")

		// for emergencies
		h.Do(t, "PATCH", "/v1/users/"+agent, object{"breakGlass": true}, h.admin).Want(t, 200)
		waiting := login(servertest.Agent, demo.Password).Want(t, 202)
		h.Verify(t, waiting.String("mfaToken"), "totp", app.Code(t)).Want(t, 200)
		m := h.Mail(t, servertest.Agent, "emergencies", 1)
		if !strings.Contains(m.Text, servertest.Agent) {
			t.Errorf("%s", m.Text)
		}
		h.admin = servertest.Bearer(func() string {
			h.person("sub-admin", servertest.Admin,
				nil)
			return h.signIn().String("accessToken")
		}())
		events := h.Do(t, "GET", "/v1/audit-events?act=session.break_glass", nil, h.admin).Want(t, 200)
		if !strings.Contains(string(events.Body), agent) {
			t.Errorf("%s", events.Body)
		}
		h.Do(t, "PATCH", "/v1/users/"+agent, object{"breakGlass": false}, h.admin).Want(t, 200)
		login(servertest.Agent, demo.Password).Want(t, 401)

		// the domain lapses: the doors open again
		h.dns.set("_gatehouse-challenge." + domain)
		for range 9 {
			h.Clock.Advance(25 * time.Hour)
			if err := h.Connections.Recheck(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		login(servertest.Manager, demo.Password).Want(t, 200)
	})
}

// A26: a company sign-in that is switched off opens no password; whoever asks is told so.
func TestA26_EnforcedAndOff(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		c := h.provider(nil)
		h.person("admin", servertest.Admin, nil)
		made := h.Do(t, "POST", "/v1/connections/"+c+"/test", nil, h.admin).Want(t, 201)
		idptest.NewBrowser(t, h.Server).Open(made.String("url"))
		h.Do(t, "PATCH", "/v1/domains/"+domain, object{"connectionId": c, "enforced": true}, h.admin).Want(t, 200)
		realm := func(company, required bool) {
			t.Helper()
			r := h.Do(t, "GET", "/v1/auth/sso/discover?email=anybody@"+domain, nil).Want(t, 200)
			if said, _ := r.Get("required").(bool); r.Get("company") != company || said != required {
				t.Errorf("%s", r.Body)
			}
		}
		realm(true, true)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "off"}, h.admin).Want(t, 200)
		realm(false, true)
		h.Do(t, "POST", "/v1/auth/login", object{"email": servertest.Agent, "password": demo.Password}).Want(t, 401)
		h.Do(t, "DELETE", "/v1/connections/"+c, nil, h.admin).Want(t, 204)
		realm(false, false)
		h.Do(t, "POST", "/v1/auth/login", object{"email": servertest.Agent, "password": demo.Password}).Want(t, 200)
	})
}
