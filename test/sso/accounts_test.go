package sso

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO31, A26, ATK11, ATK56, checks 15 and 16: an account that exists is claimed by a verified address in the
// organization's own verified domain, once, and never one that may do more than the connection's ceiling.
func TestSSO31_A26_Claims(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		try := func(sub, email string, more object) idptest.Page {
			h.person(sub, email, more)
			return h.start()
		}
		refused := func(what string, p idptest.Page) {
			t.Helper()
			h.refused(p, "access_denied")
			if h.why() != "account" {
				t.Errorf("%s: %s", what, h.why())
			}
		}
		refused("the domain is not verified", try("s1", servertest.Agent, nil))
		h.verify(domain)
		for name, more := range map[string]object{"false": {"email_verified": false},
			"text":   {"email_verified": "true"},
			"number": {"email_verified": 1}, "null": {"email_verified": nil}, "list": {"email_verified": []bool{true}},
			"object": {"email_verified": object{"x": true}}} {
			refused("email_verified is "+name, try("s1", servertest.Agent, more))
		}
		for _, email := range []string{"", "agent", "agent@acme-corp.example@evil.example", "agent@evil.example",
			"agent@sub.acme-corp.example", "agent@acme-corp.example.", "agent@ACME‑CORP.example",
			"agent\u200b@acme-corp.example", "nobody@acme-corp.example", "Agent <agent@acme-corp.example>"} {
			refused(email, try("s1", email, nil))
		}
		// in other spellings it is the same address
		if p := try("s1", "  AGENT@Acme-Corp.Example ", nil); p.Get("code") == "" {
			t.Fatalf("%s %s", p.URL, h.why())
		}
		refused("the account is another identity's", try("s2", servertest.Agent, nil))
		refused("byte by byte", try("S1", servertest.Agent, nil))
		// whoever is of another organization is nobody here
		refused("another organization's", try("s3", servertest.Foreigner, nil))
		// the connection was made by an administrator: another may come in through it
		if p := try("s4", servertest.Admin, nil); p.Get("code") == "" {
			t.Errorf("%s %s", p.URL, h.why())
		}
	})
}

// A26, A40: whoever may change connections and little else lets in nobody who may do more than they.
func TestA26_Ceiling(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		h.Do(t, "POST", "/v1/roles", object{
			"name": "it_department",
			"permissions": []string{
				"sso:manage:all",
				"tickets:create:own",
				"tickets:read:own",
			},
		}, h.admin).Want(t, 201)
		h.PersonWithPassword(t, h.admin, "it", "it_department")
		admin := h.admin
		h.admin = servertest.Bearer(h.Do(t, "POST", "/v1/auth/login", object{"email": "it@" + domain,
			"password": servertest.TestPassword}).Want(t, 200).String("accessToken"))
		for name, b := range map[string]object{
			"a rule above": {"roles": object{"rules": []object{{"group": "g",
				"role": "service_desk_manager"}}}},
			"a default above": {"roles": object{"rules": []object{{"group": "g", "role": "end_user"}},
				"default": "tenant_admin"}},
			"new users above":      {"provisioning": object{"enabled": true, "role": "tenant_admin"}},
			"operators":            {"provisioning": object{"enabled": true, "role": "super_admin"}},
			"a role that is not":   {"provisioning": object{"enabled": true, "role": "no_such_role"}},
			"operators by a group": {"roles": object{"rules": []object{{"group": "g", "role": "super_admin"}}}},
		} {
			b["kind"], b["name"], b["clientSecret"] = "oidc", name, "x"
			b["openId"] = object{"issuer": h.idp.Issuer, "clientId": "x"}
			if r := h.Do(t, "POST", "/v1/connections", b, h.admin); r.Status != 400 && r.Status != 403 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		c := h.provider(nil)
		for _, email := range []string{servertest.Admin, servertest.Manager, servertest.Agent} {
			h.person("sub "+email, email, nil)
			h.refused(h.start(), "access_denied")
		}
		h.person("sub-user", servertest.EndUser, nil)
		h.signIn()
		// an administrator's connection is not theirs to change, but to switch off
		it := h.admin
		h.admin = admin
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "off"}, h.admin).Want(t, 200)
		theirs := h.provider(nil)
		for _, change := range []object{{"clientSecret": "y"}, {"openId": object{"issuer": "https://evil.example",
			"clientId": "x"}}, {"name": "x"}, {"trust": object{"amr": []string{"pwd"}}}} {
			h.Do(t, "PATCH", "/v1/connections/"+theirs, change, it).Want(t, 403)
		}
		h.Do(t, "PATCH", "/v1/connections/"+theirs, object{"state": "off"}, it).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+theirs, object{"state": "active"}, it).Want(t, 403)
		// nobody is made an operator, at the platform neither
		operator := h.As(t, servertest.Operator)
		h.Do(t, "POST", "/v1/connections", object{"kind": "oidc", "name": "x", "clientSecret": "x", "openId": object{
			"issuer": h.idp.Issuer, "clientId": "x"}, "provisioning": object{"enabled": true, "role": "super_admin"}},
			operator).Want(t, 400)
	})
}

// SSO32, check 17: somebody unknown becomes a user only where that is switched on, in a verified domain, with the role
// that was chosen; two of them at once become one.
func TestSSO32_Provisioning(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("new-1", "new@"+domain, object{"name": "New\x01 Person"})
		h.refused(h.start(), "access_denied")
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"provisioning": object{"enabled": true}}, h.admin).Want(t, 200)
		h.person("new-0", "new@elsewhere.example", nil)
		h.refused(h.start(), "access_denied")
		h.person("new-0", "new@"+domain, object{"email_verified": false})
		h.refused(h.start(), "access_denied")
		h.person("new-1", "new@"+domain, object{"name": "New\x01 Person"})
		r := h.signIn()
		if r.String("user.role") != "end_user" || r.String("user.email") != "new@"+domain {
			t.Errorf("%s", r.Body)
		}
		u := h.Do(t, "GET", "/v1/users/"+r.String("user.id"), nil, h.admin).Want(t, 200)
		if u.String("name") != "New Person" || u.Get("hasPassword") != false || u.Get("emailVerified") != true {
			t.Errorf("%s", u.Body)
		}
		ids := h.Do(t, "GET", "/v1/users/"+r.String("user.id")+"/identities", nil, h.admin).Want(t, 200)
		if !strings.Contains(string(ids.Body), `"new-1"`) || !strings.Contains(string(ids.Body), c) {
			t.Errorf("%s", ids.Body)
		}
		// they have no password to forget
		h.Do(t, "POST", "/v1/auth/password/forgot", object{"email": "new@" + domain})
		h.NoMail(t, "new@"+domain, "password")
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"provisioning": object{"enabled": true,
			"role": "service_desk_agent"}}, h.admin).Want(t, 200)
		h.person("new-2", "second@"+domain, nil)
		if r := h.signIn(); r.String("user.role") != "service_desk_agent" {
			t.Errorf("%s", r.Body)
		}
		if r := h.signIn(); r.String("user.role") != "service_desk_agent" {
			t.Errorf("%s", r.Body)
		}
		h.person("new-3", "third@"+domain, nil)
		pages := make(chan idptest.Page, 8)
		for range 8 {
			go func() { pages <- h.start() }()
		}
		for range 8 {
			if p := <-pages; p.Get("code") == "" {
				t.Errorf("%s %s", p.URL, h.why())
			}
		}
		list := h.Do(t, "GET", "/v1/users?email=third@"+domain, nil, h.admin).Want(t, 200)
		if n := strings.Count(string(list.Body), `"usr_`); n != 1 {
			t.Errorf("%d users", n)
		}
	})
}

// SSO19: the first rule whose group somebody is in gives the role; a lost group lowers at the next sign-in.
func TestSSO19_Rules(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(func(b object) {
			b["roles"] = object{"rules": []object{{"group": "Managers", "role": "service_desk_manager"},
				{"group": "agents/eu", "role": "service_desk_agent"}}}
			b["mapping"] = object{"groups": []string{"realm_access", "https://acme-corp.example/roles"}}
		})
		h.verify(domain)
		in := func(groups any) string {
			t.Helper()
			h.person("sub", servertest.EndUser,
				object{"realm_access": object{"https://acme-corp.example/roles": groups}})
			p := h.start()
			if p.Get("code") == "" {
				return p.Get("error")
			}
			return h.redeem(p.Get("code"), nil).Want(t, 200).String("user.role")
		}
		for _, step := range []struct {
			groups any
			want   string
		}{
			{[]string{"x"}, "access_denied"}, {[]string{"agents/eu"}, "service_desk_agent"},
			{[]string{"agents/eu", "Managers"}, "service_desk_manager"}, {"agents/eu", "service_desk_agent"},
			{[]object{{"name": "Managers"}}, "service_desk_manager"}, {[]string{"managers"}, "access_denied"},
			{[]string{"agents/eu"}, "service_desk_agent"}, {object{"Managers": true}, "access_denied"},
			{7, "access_denied"}, {[]string{}, "access_denied"}, {nil, "access_denied"},
		} {
			if got := in(step.groups); got != step.want {
				t.Errorf("%v: %s, want %s", step.groups, got, step.want)
			}
		}
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"roles": object{"rules": []object{{"group": "Managers",
			"role": "service_desk_manager"}}, "default": "end_user"}}, h.admin).Want(t, 200)
		if got := in([]string{"Managers"}); got != "service_desk_manager" {
			t.Errorf("%s", got)
		}
		before := h.As(t, servertest.EndUser) // a session of the manager
		h.Do(t, "GET", "/v1/reports/tickets", nil, before)
		if got := in([]string{"Others"}); got != "end_user" {
			t.Errorf("%s", got)
		}
		me := h.Do(t, "GET", "/v1/users/"+h.UserID(t, servertest.EndUser), nil, h.admin).Want(t, 200)
		if me.String("role") != "end_user" {
			t.Errorf("%s", me.Body)
		}
		// a role that got more than whoever made the rule may give, since
		h.Do(t, "POST", "/v1/roles", object{"name": "growing", "permissions": []string{"tickets:read:own"}}, h.admin).
			Want(t, 201)
	})
}

// SSO33, ATK10, ATK19, G7, check 18: whatever is switched off in the middle of a round lets nobody in, and what was let
// in is over at once; nothing is switched on by a sign-in.
func TestSSO33_SwitchedOff(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		agent := h.UserID(t, servertest.Agent)
		operator := h.As(t, servertest.Operator)
		org := h.Organization("acme-corp")
		begun := func() (*idptest.Browser, string) {
			b := idptest.NewBrowser(t, h.Server)
			b.Stop(servertest.PublicURL + "/v1/auth/sso/oidc/callback")
			at := b.Open(idptest.Start("oidc", "organization", "acme-corp")).URL.String()
			b.Go()
			return b, at
		}
		for _, off := range []struct {
			what, path, state string
			as                servertest.Change
			untouched         bool // a session goes on when it is switched on again
		}{
			{"the user", "/v1/users/" + agent, "disabled", h.admin, false},
			{"the connection", "/v1/connections/" + c, "off", h.admin, false},
			{"the organization", "/v1/organizations/" + org, "suspended", operator, true},
		} {
			session := servertest.Bearer(h.signIn().String("accessToken"))
			refresh := h.signIn()
			b, at := begun()
			code := h.start().Get("code")
			h.Do(t, "PATCH", off.path, object{"state": off.state}, off.as).Want(t, 200)
			if r := h.Do(t, "GET", "/v1/auth/me", nil, session); r.Status != 401 && r.Status != 403 {
				t.Errorf("%s: a session goes on: %d %s", off.what, r.Status, r.Body)
			}
			if r := h.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": refresh.String("refreshToken")}); r.
				Status != 401 && r.Status != 403 {
				t.Errorf("%s: a refresh goes on: %d %s", off.what, r.Status, r.Body)
			}
			h.redeem(code, nil).Want(t, 401)
			h.refused(b.Open(at), "access_denied")
			if p := h.start(); p.Get("code") != "" {
				t.Errorf("%s: %s", off.what, p.URL)
			}
			h.Do(t, "PATCH", off.path, object{"state": "active"}, off.as).Want(t, 200)
			r := h.Do(t, "GET", "/v1/auth/me", nil, session)
			if (r.Status == 200) != off.untouched {
				t.Errorf("%s, on again: %d %s", off.what, r.Status, r.Body)
			}
			h.redeem(code, nil) // too late in any case, or not
			h.signIn()
		}
		// a code that was issued before it was off and on again opens nothing
		code := h.start().Get("code")
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "off"}, h.admin).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, h.admin).Want(t, 200)
		h.redeem(code, nil).Want(t, 401)
		// unlinked
		session := servertest.Bearer(h.signIn().String("accessToken"))
		h.Do(t, "DELETE", "/v1/users/"+agent+"/identities/"+c, nil, h.admin).Want(t, 204)
		h.Do(t, "GET", "/v1/auth/me", nil, session).Want(t, 401, "TOKEN_REVOKED")
		h.Do(t, "DELETE", "/v1/users/"+agent+"/identities/"+c, nil, h.admin).Want(t, 404)
		// deleted
		session = servertest.Bearer(h.signIn().String("accessToken"))
		b, at := begun()
		h.Do(t, "DELETE", "/v1/connections/"+c, nil, h.admin).Want(t, 204)
		h.Do(t, "GET", "/v1/auth/me", nil, session).Want(t, 401, "TOKEN_REVOKED")
		h.refused(b.Open(at), "access_denied")
		h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 404)
		h.Login(t, servertest.Agent) // their password is their own
	})
}

// SSO34, ATK18, A27, check 19: the second factor is asked for after a company sign-in as after a password, unless the
// connection is trusted for it and the answer proves it.
func TestSSO34_A27_SecondFactor(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		agent := h.UserID(t, servertest.Agent)
		h.signIn()
		h.Do(t, "PATCH", "/v1/users/"+agent+"/mfa", object{"required": true}, h.admin).Want(t, 200)
		trust := func(v object) {
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"trust": v}, h.admin).Want(t, 200)
		}
		status := func(more object) servertest.Response {
			t.Helper()
			h.person("sub-agent", servertest.Agent, more)
			return h.redeem(h.start().Get("code"), nil)
		}
		strong := object{"amr": []string{"pwd", "mfa"}, "acr": "urn:two"}
		r := status(strong).Want(t, 202)
		if r.Get("enrollmentRequired") != true || r.String("mfaToken") == "" || r.Get("accessToken") != nil {
			t.Errorf("%s", r.Body)
		}
		trust(object{"amr": []string{"mfa", "hwk"}, "acr": []string{"urn:two"}})
		status(nil).Want(t, 202)
		status(object{"amr": []string{"pwd"}}).Want(t, 202)
		status(object{"amr": object{"mfa": true}, "acr": []object{}}).Want(t, 202)
		status(object{"amr": []string{"MFA"}, "acr": "urn:twO"}).Want(t, 202)
		for _, proof := range []object{strong, {"amr": []string{"hwk"}}, {"acr": "urn:two"}, {"amr": "mfa"}} {
			got := status(proof).Want(t, 200)
			as := servertest.Bearer(got.String("accessToken"))
			h.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		}
		trust(object{})
		status(strong).Want(t, 202)

		// with a factor: the sign-in ends at the second step, and the session is the connection's
		h.Do(t, "PATCH", "/v1/users/"+agent+"/mfa", object{"required": false}, h.admin).Want(t, 200)
		as := h.As(t, servertest.Agent)
		app := h.EnrollApp(t, as)
		code := h.start().Get("code")
		waiting := h.redeem(code, nil).Want(t, 202)
		done := h.Verify(t, waiting.String("mfaToken"), "totp", app.Code(t)).Want(t, 200)
		session := servertest.Bearer(done.String("accessToken"))
		h.Do(t, "GET", "/v1/auth/me", nil, session).Want(t, 200)
		// the code a second time ends what the second step made of it
		h.redeem(code, nil).Want(t, 401)
		h.Do(t, "GET", "/v1/auth/me", nil, session).Want(t, 401, "TOKEN_REVOKED")
		code = h.start().Get("code")
		waiting = h.redeem(code, nil).Want(t, 202)
		h.redeem(code, nil).Want(t, 401)
		h.Verify(t, waiting.String("mfaToken"), "totp", app.Code(t)).Want(t, 401)
		// a connection that is off lets the second step finish nothing
		waiting = h.redeem(h.start().Get("code"), nil).Want(t, 202)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "off"}, h.admin).Want(t, 200)
		r = h.Verify(t, waiting.String("mfaToken"), "totp", app.Code(t))
		if r.Status == 200 {
			h.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(r.String("accessToken"))).Want(t, 401)
		}
	})
}

// A32: the moment of the last proof is the provider's only where the connection takes its word.
func TestA32_AuthTime(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		old := time.Now().Add(-time.Hour).Unix()
		h.person("sub-admin", servertest.Admin, object{"auth_time": old})
		change := func() servertest.Response {
			as := servertest.Bearer(h.signIn().String("accessToken"))
			return h.Do(t, "PATCH", "/v1/organization", object{"name": "Acme"}, as)
		}
		change().Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"trust": object{"authTime": true}}, h.admin).Want(t, 200)
		change().Want(t, 401, "STEP_UP_REQUIRED")
		h.person("sub-admin", servertest.Admin, object{"auth_time": time.Now().Unix()})
		change().Want(t, 200)
		// prompt=login asks for a new proof, and an old one is none
		h.person("sub-admin", servertest.Admin, object{"auth_time": old})
		h.refused(h.start("prompt", "login"), "access_denied")
		if h.why() != "auth_time" {
			t.Errorf("%s", h.why())
		}
		h.person("sub-admin", servertest.Admin, nil)
		h.refused(h.start("prompt", "login"), "access_denied")
	})
}

// A26, ATK15: somebody who is signed in here links their identity by proving it in the same round.
func TestA26_HolderLinks(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil) // no domain is verified
		h.person("sub-agent", "whatever@nowhere.example", object{"email_verified": false})
		h.refused(h.start(), "access_denied")
		agent := h.As(t, servertest.Agent)
		link := func(as servertest.Change) servertest.Response {
			return h.Do(t, "POST", "/v1/auth/sso/oidc/link", object{"redirectUri": idptest.App, "state": "x",
				"codeChallenge": idptest.Challenge(idptest.Verifier)}, as)
		}
		url := link(agent).Want(t, 200).String("url")
		b := idptest.NewBrowser(t, h.Server)
		p := b.Open(url)
		if p.Get("code") == "" {
			t.Fatalf("%d %s %s %s", p.Status, p.URL, p.Body, h.why())
		}
		if r := h.redeem(p.Get("code"), nil).Want(t, 200); r.String("user.email") != servertest.Agent {
			t.Errorf("%s", r.Body)
		}
		if p := b.Open(url); p.AtApp() { // the address works once
			t.Errorf("%s", p.URL)
		}
		if r := h.signIn(); r.String("user.email") != servertest.Agent {
			t.Errorf("%s", r.Body)
		}
		// the identity of one is not taken over by another
		url = link(h.As(t, servertest.Manager)).Want(t, 200).String("url")
		h.refused(idptest.NewBrowser(t, h.Server).Open(url), "access_denied")
		if r := h.signIn(); r.String("user.email") != servertest.Agent {
			t.Errorf("%s", r.Body)
		}
		h.Do(t, "POST", "/v1/auth/sso/oidc/link", object{}, agent).Want(t, 400)
		link(servertest.Bearer("aaaa.bbbb.cccc")).Want(t, 401)
		h.Clock.Advance(16 * time.Minute)
		h.Do(t, "POST", "/v1/auth/sso/oidc/link", object{"redirectUri": idptest.App,
			"codeChallenge": idptest.Challenge(idptest.Verifier)}, agent).Want(t, 401)
	})
}
