package sso

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO31, check 16, ATK11, ATK12: a provider's word that an address is verified is about the claim `email` of the same
// document, and about no other address.
func TestSSO31_AnotherAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		c := h.provider(func(b object) { b["mapping"] = object{"email": []string{"preferred_username"}} })
		h.person("mallory", "mallory@evil.example", object{"preferred_username": servertest.Admin})
		h.refused(h.start(), "access_denied")
		// the connection's own word is about whichever address it names
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"trust": object{"email": true}}, h.admin).Want(t, 200)
		h.person("agent", "x@evil.example", object{"preferred_username": servertest.Agent})
		h.signIn()

		h.Do(t, "PATCH", "/v1/connections/"+c, object{"trust": object{}, "mapping": object{}, "openId": object{
			"issuer": h.idp.Issuer, "clientId": idptest.ClientID, "userInfo": true}}, h.admin).Want(t, 200)
		for name, v := range map[string][2]object{
			"the token's address, the endpoint's word": {{"email": servertest.Manager},
				{"email": "mallory@evil.example", "email_verified": true}},
			"the endpoint's address, the token's word": {{"email_verified": true}, {"email": servertest.Manager}},
		} {
			told := object{"sub": "mallory", "name": "Mallory"}
			for k, x := range v[0] {
				told[k] = x
			}
			v[1]["sub"] = "mallory"
			h.idp.Person(told)
			h.idp.Hook(idptest.Hooks{UserInfo: v[1]})
			if p := h.start(); p.Get("code") != "" {
				t.Errorf("%s: %s", name, p.URL)
			}
		}
		h.idp.Person(object{"sub": "manager"})
		h.idp.Hook(
			idptest.Hooks{UserInfo: object{"sub": "manager", "email": servertest.Manager, "email_verified": true}})
		h.signIn()
		h.idp.Hook(idptest.Hooks{})
	})
}

// A26, A40: a domain is led away from, and to, a connection only by who may change that connection; every other way in
// is closed only by an administrator.
func TestA26_WhoLeadsADomain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		h.Do(t, "POST", "/v1/roles", object{"name": "it_department", "permissions": []string{"sso:manage:all",
			"tickets:create:own", "tickets:read:own"}}, h.admin).Want(t, 201)
		h.PersonWithPassword(t, h.admin, "it", "it_department")
		theirs := h.provider(nil)
		at := "/v1/domains/" + domain
		h.Do(t, "PATCH", at, object{"connectionId": theirs}, h.admin).Want(t, 200)

		admin := h.admin
		h.admin = servertest.Bearer(h.Do(t, "POST", "/v1/auth/login", object{"email": "it@" + domain,
			"password": servertest.TestPassword}).Want(t, 200).String("accessToken"))
		own := h.provider(nil)
		h.Do(t, "PATCH", at, object{"connectionId": own}, h.admin).Want(t, 403)
		h.Do(t, "PATCH", at, object{"connectionId": nil}, h.admin).Want(t, 403)
		h.Do(t, "PATCH", at, object{"connectionId": nil}, admin).Want(t, 200)
		h.Do(t, "PATCH", at, object{"connectionId": theirs}, h.admin).Want(t, 403)
		h.Do(t, "PATCH", at, object{"connectionId": own}, h.admin).Want(t, 200)
		h.person("it", "it@"+domain, nil)
		made := h.Do(t, "POST", "/v1/connections/"+own+"/test", nil, h.admin).Want(t, 201)
		idptest.NewBrowser(t, h.Server).Open(made.String("url"))
		h.Do(t, "PATCH", at, object{"enforced": true}, h.admin).Want(t, 403)
		// neither by taking the domain or the connection away, which opens the other ways in again
		h.Do(t, "PATCH", at, object{"connectionId": theirs}, admin).Want(t, 200)
		h.Do(t, "DELETE", at, nil, h.admin).Want(t, 403)
		h.Do(t, "DELETE", "/v1/connections/"+theirs, nil, h.admin).Want(t, 403)
		h.Do(t, "DELETE", "/v1/connections/"+own, nil, h.admin).Want(t, 204)
		h.Do(t, "DELETE", at, nil, admin).Want(t, 204)
		h.Do(t, "DELETE", "/v1/connections/"+theirs, nil, admin).Want(t, 204)
	})
}

// A26, A40: a session ends when its holder may do more than the connection's ceiling: whoever controls the provider
// keeps no session that they could not open.
func TestA26_Promoted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		h.Do(t, "POST", "/v1/roles", object{"name": "it_department", "permissions": []string{"sso:manage:all",
			"tickets:create:own", "tickets:read:own"}}, h.admin).Want(t, 201)
		h.PersonWithPassword(t, h.admin, "it", "it_department")
		admin := h.admin
		h.admin = servertest.Bearer(h.Do(t, "POST", "/v1/auth/login", object{"email": "it@" + domain,
			"password": servertest.TestPassword}).Want(t, 200).String("accessToken"))
		h.provider(nil)
		h.person("user", servertest.EndUser, nil)
		r := h.signIn()
		as, refresh := servertest.Bearer(r.String("accessToken")), object{"refreshToken": r.String("refreshToken")}
		h.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		code := h.start().Get("code")
		user := h.UserID(t, servertest.EndUser)
		h.Do(t, "PATCH", "/v1/users/"+user, object{"role": "service_desk_manager"}, admin).Want(t, 200)
		h.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 401)
		h.Do(t, "POST", "/v1/auth/refresh", refresh).Want(t, 401)
		h.redeem(code, nil).Want(t, 401)
	})
}

// SSO31, ATK15, check 16: a link is made only while the session stands that began it: what a thief began ends with it.
func TestSSO31_LinkOfAnEndedSession(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		agent := h.UserID(t, servertest.Agent)
		begin := func() (servertest.Change, string) {
			t.Helper()
			as := h.As(t, servertest.Agent)
			r := h.Do(t, "POST", "/v1/auth/sso/oidc/link", object{"redirectUri": idptest.App,
				"codeChallenge": idptest.Challenge(idptest.Verifier)}, as).Want(t, 200)
			h.person("thief", "thief@evil.example", nil)
			return as, idptest.NewBrowser(t, h.Server).Open(r.String("url")).Get("code")
		}
		as, code := begin()
		h.Do(t, "POST", "/v1/auth/logout", nil, as).Want(t, 200)
		h.redeem(code, nil).Want(t, 401)
		r := h.Do(t, "GET", "/v1/users/"+agent+"/identities", nil, h.admin).Want(t, 200)
		if strings.Contains(string(r.Body), "thief") {
			t.Errorf("%s", r.Body)
		}
		_, code = begin()
		h.redeem(code, nil).Want(t, 200)
	})
}

// ATK10, check 18: what waits for a second factor, and a code that was not exchanged, end with the connection and with
// the link, even if the connection comes back.
func TestATK10_Waiting(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		agent := h.UserID(t, servertest.Agent)
		app := h.EnrollApp(t, h.As(t, servertest.Agent))
		state := func(s string) {
			t.Helper()
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": s}, h.admin).Want(t, 200)
		}
		wait := func() string {
			t.Helper()
			return h.redeem(h.start().Get("code"), nil).Want(t, 202).String("mfaToken")
		}
		waiting := wait()
		state("off")
		h.Verify(t, waiting, "totp", app.Code(t)).Want(t, 401)
		state("active")
		h.Verify(t, waiting, "totp", app.Code(t)).Want(t, 401)

		waiting = wait()
		code := h.start().Get("code")
		h.Do(t, "DELETE", "/v1/users/"+agent+"/identities/"+c, nil, h.admin).Want(t, 204)
		h.Verify(t, waiting, "totp", app.Code(t)).Want(t, 401)
		h.redeem(code, nil).Want(t, 401)
		h.Verify(t, wait(), "totp", app.Code(t)).Want(t, 200) // anew
	})
}

// ATK11, checks 13 and 14: Google and Entra ID are no generic providers: their own kinds check hd, tid and xms_edov.
func TestSSO14_KindsAreNotEvaded(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for issuer, kind := range map[string]string{"https://accounts.google.com": "google",
			"https://ACCOUNTS.google.com:443":                       "google",
			"https://login.microsoftonline.com/" + tenant + "/v2.0": "azure-ad",
			"https://sts.windows.net/" + tenant + "/":               "azure-ad",
			"https://login.microsoftonline.us/" + tenant + "/v2.0":  "azure-ad",
			"https://sts.chinacloudapi.cn/" + tenant + "/":          "azure-ad"} {
			r := h.Do(t, "POST", "/v1/connections", object{"kind": "oidc", "name": "x", "clientSecret": "x",
				"openId": object{"issuer": issuer, "clientId": "x"}}, h.admin).Want(t, 400)
			if !strings.Contains(string(r.Body), "the kind "+kind) {
				t.Errorf("%s: %s", issuer, r.Body)
			}
		}
	})
}

// A26: where company sign-ins lead is not said by somebody who could not change the connections: the codes go there.
func TestA26_WhoSaysWhereTo(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		for name, c := range map[string]struct {
			permissions []string
			status      int
		}{"facilities": {[]string{"organization:manage:all"}, 403},
			"it_department": {[]string{"organization:manage:all", "sso:manage:all"}, 403}} {
			h.Do(t, "POST", "/v1/roles", object{"name": name, "permissions": c.permissions}, h.admin).Want(t, 201)
			h.PersonWithPassword(t, h.admin, name, name)
			as := servertest.Bearer(h.Do(t, "POST", "/v1/auth/login", object{"email": name + "@" + domain,
				"password": servertest.TestPassword}).Want(t, 200).String("accessToken"))
			h.Do(t, "PATCH", "/v1/organization", object{"settings": object{"redirectUris": []string{idptest.App,
				"https://evil.example/"}}}, as).Want(t, c.status)
			h.Do(t, "PATCH", "/v1/organization", object{"name": "Acme"}, as).Want(t, 200)
		}
	})
}

// Check 20: keys that cannot be read are an outage and no bad signature, and what the network said is nobody's to read.
func TestSSO12_KeysThatCannotBeRead(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		h.idp.Hook(idptest.Hooks{Discovery: func(doc map[string]any) {
			doc["jwks_uri"] = "https://192.168.77.5:8443/keys"
		}})
		made := h.Do(t, "POST", "/v1/connections/"+c+"/test", nil, h.admin).Want(t, 201)
		p := idptest.NewBrowser(t, h.Server).Open(made.String("url"))
		r := h.Do(t, "GET", "/v1/connections/"+c+"/tests/"+made.String("handle"), nil, h.admin).Want(t, 200)
		for _, text := range []string{p.Body, string(r.Body)} {
			if strings.Contains(text, "dial") || strings.Contains(text, "not a public") {
				t.Errorf("%s", text)
			}
		}
		if r.String("state") != "failed" {
			t.Errorf("%s", r.Body)
		}
		h.refused(h.start(), "temporarily_unavailable")
	})
}

// G4: a client secret goes to no other provider than the one that it was entered for.
func TestG4_SecretStaysWithItsProvider(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		elsewhere := object{"openId": object{"issuer": "https://evil.example", "clientId": idptest.ClientID}}
		r := h.Do(t, "PATCH", "/v1/connections/"+c, elsewhere, h.admin).Want(t, 400)
		if !strings.Contains(string(r.Body), "clientSecret") {
			t.Errorf("%s", r.Body)
		}
		elsewhere["clientSecret"] = idptest.ClientSecret // somebody who has it may say so
		h.Do(t, "PATCH", "/v1/connections/"+c, elsewhere, h.admin).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"name": "another"}, h.admin).Want(t, 200)
		r = h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
		if r.Get("hasClientSecret") != true {
			t.Errorf("%s", r.Body)
		}
	})
}

// Whatever a provider writes into sub and sid has one answer on both engines, and none of them is 500.
func TestSSO_StrangeSessions(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		for name, sid := range map[string]string{"long": strings.Repeat("s", 6000), "NUL": "a\x00b", "lines": "a\nb"} {
			h.person("sub-agent", servertest.Agent, object{"sid": sid})
			if r := h.redeem(h.start().Get("code"), nil); r.Status != 200 {
				t.Errorf("sid %s: %d %s", name, r.Status, r.Body)
			}
		}
		for _, sub := range []string{"a\x00b", "a\nb", strings.Repeat("s", 256)} {
			h.person(sub, servertest.Manager, nil)
			h.refused(h.start(), "access_denied")
		}
	})
}

// ATK56, check 16: an account that somebody made, and gave a password, for an address that is not theirs is not opened
// by the address's holder: they would work in it beside its maker. One without a password is, and is proven by it.
func TestATK56_PlantedPassword(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.PersonWithPassword(t, h.admin, "boss", "end_user")
		h.person("boss", "boss@"+domain, nil)
		h.refused(h.start(), "access_denied")
		r := h.Do(t, "POST", "/v1/users", object{"email": "new@" + domain, "role": "end_user"}, h.admin).Want(t, 201)
		h.person("new", "new@"+domain, nil)
		h.signIn()
		got := h.Do(t, "GET", "/v1/users/"+r.String("id"), nil, h.admin).Want(t, 200)
		if got.Get("emailVerified") != true {
			t.Errorf("%s", got.Body)
		}
	})
}
