package sso

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO01, A20–A23: from the address that begins it to a session that works.
func TestSSO01_A20_A23_Round(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		p := h.start()
		if !p.AtApp() || p.Get("state") != "of the application" {
			t.Fatalf("%d %s %s", p.Status, p.URL, p.Body)
		}
		r := h.redeem(p.Get("code"), nil).Want(t, 200)
		if r.String("user.ssoProvider") != "oidc" || r.String("user.email") != servertest.Agent ||
			r.String("tokenType") != "Bearer" || r.Get("expiresIn") != 900.0 || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s", r.Body)
		}
		me := h.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(r.String("accessToken"))).Want(t, 200)
		if me.String("email") != servertest.Agent || me.String("role") != "service_desk_agent" {
			t.Errorf("%s", me.Body)
		}
		h.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": r.String("refreshToken")}).Want(t, 200)
		// the second time it is linked, whatever the address says by then
		h.person("sub-agent", "somebody-else@acme-corp.example", object{"email_verified": false})
		if again := h.signIn(); again.String("user.email") != servertest.Agent {
			t.Errorf("%s", again.Body)
		}
		// a sign-in here has no provider
		if r := h.Do(t, "POST", "/v1/auth/login", object{"email": servertest.Agent, "password": demo.Password}); r.
			Get("user.ssoProvider") != nil {
			t.Errorf("%s", r.Body)
		}
	})
}

// A20: a browser may have its session in cookies.
func TestA20_Cookies(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		r := h.redeem(h.start("cookie", "true").Get("code"), nil).Want(t, 200)
		if cookies := strings.Join(r.Header["Set-Cookie"], "\n"); !strings.Contains(cookies, "itsm_refresh_token=") {
			t.Errorf("no cookies: %q", cookies)
		}
		if r := h.redeem(h.start().Get("code"), object{"cookie": true}).
			Want(t, 200); len(
			r.Header["Set-Cookie"],
		) < 2 {
			t.Errorf("no cookies: %v", r.Header)
		}
		if p := h.start("cookie", "yes"); p.Status != 400 {
			t.Errorf("%d", p.Status)
		}
	})
}

// SSO03, ATK16, ATK24, check 1: another browser, a second time, too late, at another connection's address: refused, and
// nothing is created.
func TestSSO03_State(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(func(b object) { b["provisioning"] = object{"enabled": true} })
		h.verify(domain)
		h.person("sub-new", "new@"+domain, nil)
		begin := func() (*idptest.Browser, string) {
			b := idptest.NewBrowser(t, h.Server)
			b.Stop(servertest.PublicURL + "/v1/auth/sso/oidc/callback")
			p := b.Open(idptest.Start("oidc", "organization", "acme-corp"))
			if p.Get("code") == "" {
				t.Fatalf("%d %s", p.Status, p.URL)
			}
			return idptest.NewBrowser(t, h.Server), p.URL.String()
		}
		page := func(what string, p idptest.Page) {
			t.Helper()
			if p.AtApp() || p.Status != 401 || !strings.Contains(p.Body, "Begin again") ||
				strings.Contains(p.Body, "<script") {
				t.Errorf("%s: %d %s %s", what, p.Status, p.URL, p.Body)
			}
		}
		other, at := begin()
		page("another browser", other.Open(at))
		own := idptest.NewBrowser(t, h.Server)
		own.Stop(servertest.PublicURL + "/v1/auth/sso/oidc/callback")
		mine := own.Open(idptest.Start("oidc", "organization", "acme-corp")).URL.String()
		own.Go()
		page("a browser with a round of its own", own.Open(at))
		page("another kind's address", own.Open(strings.Replace(mine, "/oidc/callback", "/google/callback", 1)))
		page("an unknown state", own.Open(strings.Replace(mine, "state=", "state=x", 1)))
		page("no state", own.Open(servertest.PublicURL+"/v1/auth/sso/oidc/callback?code=x"))
		users := h.Do(t, "GET", "/v1/users?email=new@"+domain, nil, h.admin).Want(t, 200)
		if strings.Contains(string(users.Body), "usr_") {
			t.Errorf("somebody was made: %s", users.Body)
		}
		if p := own.Open(mine); !p.AtApp() || p.Get("code") == "" { // none of this used it up
			t.Errorf("%d %s %s", p.Status, p.URL, p.Body)
		}
		page("a second time", own.Open(mine))
		late := idptest.NewBrowser(t, h.Server)
		late.Stop(servertest.PublicURL + "/v1/auth/sso/oidc/callback")
		at = late.Open(idptest.Start("oidc", "organization", "acme-corp")).URL.String()
		late.Go()
		h.Clock.Advance(10 * time.Minute)
		page("after ten minutes", late.Open(at))
	})
}

// SSO06, ATK23: PKCE toward the application cannot be left out, weakened or guessed.
func TestSSO06_ClientPKCE(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		for name, change := range map[string][]string{
			"no challenge": {"code_challenge", ""}, "no method": {"code_challenge_method", ""},
			"plain":            {"code_challenge_method", "plain"},
			"short challenge":  {"code_challenge", idptest.Challenge("x")[:42]},
			"padded challenge": {"code_challenge", idptest.Challenge("x") + "="},
			"base64":           {"code_challenge", strings.Repeat("+", 43)},
			"no redirect":      {"redirect_uri", ""},
		} {
			if p := h.start(change...); p.Status != 400 || p.AtApp() {
				t.Errorf("%s: %d %s", name, p.Status, p.URL)
			}
		}
		code := h.start().Get("code")
		for name, verifier := range map[string]string{"none": "", "31": strings.Repeat("a", 31),
			"129": strings.Repeat("a", 129), "odd": strings.Repeat("a", 31) + " b"} {
			if r := h.redeem(code, object{"codeVerifier": verifier}); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		h.redeem(code, object{"codeVerifier": strings.Repeat("b", 43)}).Want(t, 401, "INVALID_TOKEN")
		h.redeem(code, object{"codeVerifier": idptest.Challenge(idptest.Verifier)}).Want(t, 401, "INVALID_TOKEN")
		h.redeem(code, nil).Want(t, 200) // a wrong verifier uses nothing up
		for _, n := range []int{32, 128} {
			v := strings.Repeat("v", n)
			h.redeem(h.start("code_challenge", idptest.Challenge(v)).Get("code"), object{"codeVerifier": v}).
				Want(t, 200)
		}
	})
}

// SSO07, ATK22: a code is good once, for a minute, with all that it was issued for.
func TestSSO07_Code(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		code := h.start().Get("code")
		wrong := object{"code": code, "codeVerifier": idptest.Verifier, "redirectUri": idptest.App}
		h.redeem(code, object{"redirectUri": idptest.App + "/"}).Want(t, 401)
		h.Do(t, "POST", "/v1/auth/sso/google/token", wrong).Want(t, 401)
		h.Do(t, "POST", "/v1/auth/sso/oidc/token", wrong, servertest.Header("X-Tenant-Slug", "second-tenant")).
			Want(t, 401)
		h.Do(t, "POST", "/v1/auth/sso/oidc/token", wrong, servertest.Header("X-Tenant-Slug", "nobody")).Want(t, 401)
		first := h.redeem(code, nil).Want(t, 200)
		as := servertest.Bearer(first.String("accessToken"))
		h.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200)
		h.redeem(code, nil).Want(t, 401, "INVALID_TOKEN")
		h.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 401, "TOKEN_REVOKED")
		h.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": first.String("refreshToken")}).Want(t, 401)

		late := h.start().Get("code")
		h.Clock.Advance(60 * time.Second)
		h.redeem(late, nil).Want(t, 401, "INVALID_TOKEN")

		raced := h.start().Get("code")
		var wg sync.WaitGroup
		var good atomic.Int32
		for range 50 {
			wg.Go(func() {
				r, err := h.Try("POST", "/v1/auth/sso/oidc/token",
					object{"code": raced, "codeVerifier": idptest.Verifier, "redirectUri": idptest.App})
				if err != nil || (r.Status != 200 && r.Status != 401) {
					t.Errorf("%d %s %v", r.Status, r.Body, err)
				}
				if r.Status == 200 {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Errorf("%d of 50 uses at once", good.Load())
		}
	})
}

// SSO08, ATK21: a redirect_uri is one of the list, byte by byte; any other is a page and never a redirect.
func TestSSO08_Redirects(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		for _, uri := range []string{"https://app.example.com/callback/", "https://app.example.com/callback/x",
			"https://app.example.com/callbackx", "https://app.example.com/Callback", "HTTPS://app.example.com/callback",
			"https://APP.example.com/callback", "https://app.example.com:443/callback",
			"https://app.example.com:8443/callback", "https://app.example.com@evil.example/callback",
			"https://evil.example@app.example.com/callback", "https://app.example.com/callback#x",
			"https://app.example.com/callback?x=1", "https://app.example.com%2fcallback",
			"https://app.example.com./callback", "https://app.example.com/a/../callback",
			"https://app.example.com/a/..;/callback", "https://app.example.com//callback",
			"http://app.example.com/callback",
			"//app.example.com/callback", "/callback", "javascript:alert(1)//https://app.example.com/callback",
			"https://app.example.com/callback\n", " https://app.example.com/callback",
			"https://app.example.com/call%62ack",
			"https://app.example.com\\callback", "data:text/html,x",
			"https://evil.example/?https://app.example.com/callback"} {
			b := idptest.NewBrowser(t, h.Server)
			p := b.Open(idptest.Start("oidc", "organization", "acme-corp", "redirect_uri", uri))
			if p.Status != 400 || p.Header.Get("Location") != "" || strings.Contains(p.Body, "evil.example") {
				t.Errorf("%q: %d %s %s", uri, p.Status, p.Header.Get("Location"), p.Body)
			}
		}
		for uri, good := range map[string]bool{"com.example.app:/cb": true, "http://127.0.0.1:7777/cb": true,
			"https://app.example.com/cb?x=1": true, "javascript:alert(1)": false, "http://app.example.com/cb": false,
			"https://app.example.com/#x": false, "https://u@app.example.com/": false, "data:text/html,x": false,
			"file:///etc/passwd": false, "https://app.example.com/\\": false, "https://*.example.com/": true} {
			status := 400
			if good {
				status = 200
			}
			h.Do(t, "PATCH", "/v1/organization", object{"settings": object{"redirectUris": []string{uri}}}, h.admin).
				Want(t, status)
		}
		// an asterisk is a character like others
		if p := h.start("redirect_uri", "https://app.example.com/"); p.Status != 400 {
			t.Errorf("%d", p.Status)
		}
	})
}

// SSO09, A21: the organization is found in four ways; what could mean several is as unknown as what is nobody's.
func TestSSO09_A21_Organizations(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		open := func(more ...string) idptest.Page {
			return idptest.NewBrowser(t, h.Server).Open(idptest.Start("oidc", more...))
		}
		good := func(what string, p idptest.Page) {
			t.Helper()
			if !p.AtApp() || p.Get("code") == "" {
				t.Errorf("%s: %d %s %s", what, p.Status, p.URL, p.Body)
			}
		}
		const nothing = "There is no company sign-in"
		unknown := func(what string, p idptest.Page) {
			t.Helper()
			if p.Status != 404 || !strings.Contains(p.Body, nothing) {
				t.Errorf("%s: %d %s", what, p.Status, p.Body)
			}
		}
		good("slug", open("organization", "acme-corp"))
		good("redirect_uri", open())
		good("login_hint, though nothing else tells", open("login_hint", servertest.Agent))
		unknown("an unknown slug", open("organization", "nobody"))
		unknown("another organization", open("organization", "second-tenant"))
		unknown("an unknown kind", idptest.NewBrowser(t, h.Server).Open(idptest.Start("myspace", "organization",
			"acme-corp")))
		unknown("another kind",
			idptest.NewBrowser(t, h.Server).Open(idptest.Start("google", "organization", "acme-corp")))
		unknown("a connection of nobody", open("connection", "con_01BX5ZZKBKACTAV9WEVGEMMVRZ"))

		// another organization registers the same address for the same kind
		foreigner := h.As(t, servertest.Foreigner)
		h.Do(t, "PATCH", "/v1/organization", object{"settings": object{"redirectUris": []string{idptest.App}}},
			foreigner).Want(t, 200)
		good("the other has no connection yet", open())
		c := h.Do(t, "POST", "/v1/connections", object{"kind": "oidc", "name": "Theirs",
			"clientSecret": idptest.ClientSecret, "openId": object{"issuer": h.idp.Issuer, "clientId": "gatehouse"}},
			foreigner).Want(t, 201).String("id")
		good("it is a draft", open())
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, foreigner).Want(t, 200)
		unknown("two could be meant", open())
		unknown("a connection of another organization", open("organization", "acme-corp", "connection", c))
		good("the hint's domain decides", open("login_hint", servertest.Agent))
		good("named", open("organization", "acme-corp"))
		// a hint of another's domain does not lead out of the organization that is named
		unknownOrOwn := open("organization", "second-tenant", "login_hint", servertest.Agent)
		if unknownOrOwn.AtApp() && unknownOrOwn.Get("code") != "" {
			t.Errorf("%s", unknownOrOwn.URL)
		}

		// several of a kind: named by id, or by the domain
		second := h.connect(h.idp.Issuer, func(b object) { b["name"] = "Another" })
		unknown("two of a kind", open("organization", "acme-corp"))
		good("by id", open("organization", "acme-corp", "connection", first))
		h.Do(t, "PATCH", "/v1/domains/"+domain, object{"connectionId": first}, h.admin).Want(t, 200)
		good("by the domain", open("organization", "acme-corp", "login_hint", servertest.Agent))
		h.Do(t, "PATCH", "/v1/connections/"+second, object{"state": "off"}, h.admin).Want(t, 200)
		good("the other is off", open("organization", "acme-corp"))

		realm := func(email string) servertest.Response {
			return h.Do(t, "GET", "/v1/auth/sso/discover?email="+url.QueryEscape(email), nil).Want(t, 200)
		}
		known, nobody := realm(servertest.Agent), realm("nobody-at-all@"+domain)
		if string(known.Body) != string(nobody.Body) || known.String("connectionId") != first ||
			known.String("organization") != "acme-corp" || known.String("provider") != "oidc" {
			t.Errorf("%s\n%s", known.Body, nobody.Body)
		}
		if r := realm("x@elsewhere.example"); r.Get("company") != false || r.String("organization") != "" {
			t.Errorf("%s", r.Body)
		}
		h.Do(t, "PATCH", "/v1/connections/"+first, object{"state": "off"}, h.admin).Want(t, 200)
		if r := realm(servertest.Agent); string(r.Body) != string(realm("x@elsewhere.example").Body) {
			t.Errorf("a connection that is off: %s", r.Body)
		}
		unknown("all are off", open("organization", "acme-corp"))
		h.Do(t, "GET", "/v1/auth/sso/discover", nil).Want(t, 400)
		h.Do(t, "GET", "/v1/auth/sso/discover?email=nonsense", nil).Want(t, 400)
	})
}

// SSO49: another node finishes what one began, also after it is gone.
func TestSSO49_AnotherNode(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		b := idptest.NewBrowser(t, h.Server)
		b.Stop(servertest.PublicURL + "/v1/auth/sso/oidc/callback")
		at := b.Open(idptest.Start("oidc", "organization", "acme-corp")).URL.String()
		node := servertest.Join(t, h.Config.Database.Reveal(), reaching)
		again := b.On(node)
		again.Stop("https://nobody.example.com")
		again.Go()
		p := again.Open(at)
		if !p.AtApp() || p.Get("code") == "" {
			t.Fatalf("%d %s %s", p.Status, p.URL, p.Body)
		}
		h.redeem(p.Get("code"), nil).Want(t, 200) // at the first node again
		node.Do(t, "POST", "/v1/auth/sso/oidc/token", object{"code": p.Get("code"), "codeVerifier": idptest.Verifier,
			"redirectUri": idptest.App}).Want(t, 401)
	})
}
