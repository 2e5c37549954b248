package sso

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// live tells whether a session goes on.
func (h *house) live(r servertest.Response) bool {
	h.t.Helper()
	return h.Do(h.t, "GET", "/v1/auth/me", nil, servertest.Bearer(r.String("accessToken"))).Status == 200
}

// logoutToken sends one to a connection.
func (h *house) logoutToken(c, token string) servertest.Response {
	h.t.Helper()
	return h.PostForm(h.t, "/v1/auth/sso/connections/"+c+"/backchannel-logout", []string{"logout_token", token})
}

// SSO39: a logout token ends exactly the sessions it names, once; whatever is wrong with one, it ends none.
func TestSSO39_Backchannel(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		c := h.provider(nil)
		key := idptest.RSAKey(0, "rsa-0", "RS256")
		n := 0
		token := func(change func(told object)) string {
			t.Helper()
			n++
			now := time.Now().Unix()
			told := object{"iss": h.idp.Issuer, "aud": idptest.ClientID, "iat": now, "exp": now + 120,
				"jti": fmt.Sprint("logout-", n), "events": object{logoutEvent: object{}}, "sub": "agent"}
			change(told)
			payload, err := json.Marshal(told)
			if err != nil {
				t.Fatal(err)
			}
			return idptest.Sign(key, payload)
		}
		in := func(sid string) servertest.Response {
			t.Helper()
			h.person("agent", servertest.Agent, object{"sid": sid})
			return h.signIn()
		}
		one, two := in("one"), in("two")
		h.person("manager", servertest.Manager, object{"sid": "three"})
		other := h.signIn()

		good := token(func(told object) { told["sid"] = "one" })
		for name, change := range map[string]func(told object){
			"another issuer":   func(m object) { m["iss"] = "https://evil.example" },
			"no issuer":        func(m object) { delete(m, "iss") },
			"another audience": func(m object) { m["aud"] = "another" },
			"no event":         func(m object) { delete(m, "events") },
			"another event":    func(m object) { m["events"] = object{"x": object{}} },
			"event as text":    func(m object) { m["events"] = object{logoutEvent: "x"} },
			"a nonce":          func(m object) { m["nonce"] = "x" },
			"no jti":           func(m object) { delete(m, "jti") },
			"nobody named":     func(m object) { delete(m, "sub") },
			"sid as number":    func(m object) { m["sid"] = 1 },
			"empty sid":        func(m object) { m["sid"] = "" },
			"sub as list":      func(m object) { m["sub"] = []string{"agent"} },
			"expired":          func(m object) { m["exp"] = time.Now().Unix() - 300 },
			"old":              func(m object) { m["iat"] = time.Now().Unix() - 3600 },
			"of the future":    func(m object) { m["iat"] = time.Now().Unix() + 600 },
			"no iat":           func(m object) { delete(m, "iat") },
		} {
			if r := h.logoutToken(c, token(change)); r.Status != 400 || r.String("error") != "invalid_request" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		for name, text := range map[string]string{"nothing": "", "no JWT": "x", "another key": idptest.Sign(
			idptest.RSAKey(1, "rsa-0", "RS256"), []byte(`{}`)), "cut": good[:len(good)-9]} {
			if r := h.logoutToken(c, text); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		// an ID token is none
		var id string
		h.idp.Hook(idptest.Hooks{Token: func(answer map[string]any) { id = answer["id_token"].(string) }})
		in("four")
		h.idp.Hook(idptest.Hooks{})
		h.logoutToken(c, id).Want(t, 400)
		// nor is another connection's provider heard
		elsewhere := h.provider(func(b object) { b["name"] = "Another" })
		h.logoutToken(elsewhere, good).Want(t, 200) // the same provider: nobody of this connection is named
		if !h.live(one) || !h.live(two) || !h.live(other) {
			t.Fatal("a session has ended")
		}
		h.logoutToken("con_01BX5ZZKBKACTAV9WEVGEMMVRZ", good).Want(t, 404)

		if r := h.logoutToken(c, good).Want(t, 200); r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", r.Header)
		}
		if h.live(one) || !h.live(two) || !h.live(other) {
			t.Errorf("sid and sub: %t %t %t", h.live(one), h.live(two), h.live(other))
		}
		h.logoutToken(c, good).Want(t, 400) // twice
		// a name of a session that is another person's
		h.logoutToken(c, token(func(told object) { told["sid"] = "three" })).Want(t, 200)
		if !h.live(other) {
			t.Error("somebody else's session has ended")
		}
		h.logoutToken(c, token(func(told object) { told["sid"] = "three"; delete(told, "sub") })).Want(t, 200)
		if h.live(other) || !h.live(two) {
			t.Error("by sid alone")
		}
		h.logoutToken(c, token(func(told object) { told["sub"] = "nobody" })).Want(t, 200)
		// a sign-in whose code was not used yet is over too
		h.person("agent", servertest.Agent, object{"sid": "five"})
		p := h.start("connection", c)
		h.logoutToken(c, token(func(object) {})).Want(t, 200)
		if h.live(two) {
			t.Error("by sub alone")
		}
		h.redeem(p.Get("code"), nil).Want(t, 401)
		// by the name of the session alone: what was proven before is over, a later proof of the same name is not
		h.person("agent", servertest.Agent, object{"sid": "six"})
		p = h.start("connection", c)
		h.logoutToken(c, token(func(told object) { told["sid"] = "six"; delete(told, "sub") })).Want(t, 200)
		h.redeem(p.Get("code"), nil).Want(t, 401)
		time.Sleep(2 * time.Millisecond)
		p = h.start("connection", c)
		h.redeem(p.Get("code"), nil).Want(t, 200)
		refused := h.Do(t, "GET", "/v1/audit-events?act=identity.logout_refused", nil, h.admin).Want(t, 200)
		if strings.Contains(string(refused.Body), `"signature"`) || !strings.Contains(string(refused.Body), "replay") {
			t.Errorf("what anybody can send is not worth a row: %s", refused.Body)
		}
		events := h.Do(t, "GET", "/v1/audit-events?act=identity.logged_out", nil, h.admin).Want(t, 200)
		if strings.Count(string(events.Body), `"evt_`) < 4 {
			t.Errorf("%s", events.Body)
		}
	})
}

// SSO39: oidc-provider says that somebody has left, and their session ends.
func TestSSO39_OidcProvider(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		var path atomic.Value // of the connection, which is made when the provider is there
		heard := make(chan int, 4)
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			to := path.Load().(string)
			res, err := http.Post(h.URL+to, r.Header.Get("Content-Type"), strings.NewReader(string(body)))
			if err != nil {
				w.WriteHeader(500)
				return
			}
			defer res.Body.Close()
			w.WriteHeader(res.StatusCode)
			heard <- res.StatusCode
		}))
		t.Cleanup(hook.Close)
		issuer := idptest.StartOpenID(t, idptest.OpenID{
			Redirects: []string{servertest.PublicURL + "/v1/auth/sso/oidc/callback"}, Method: "client_secret_basic",
			Keys: []jose.JSONWebKey{idptest.RSAKey(0, "rsa", "RS256")}, Logout: hook.URL,
			Accounts: map[string]map[string]any{"agent": {"email": servertest.Agent, "email_verified": true}}})
		c := h.connect(issuer, nil)
		shown := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200).String("logoutUrl")
		path.Store(strings.TrimPrefix(shown, servertest.PublicURL))
		b := idptest.NewBrowser(t, h.Server)
		r := h.redeem(walk(b, "agent").Get("code"), nil).Want(t, 200)
		another := h.As(t, servertest.Manager)

		p := b.Open(issuer + "/session/end")
		action, form := p.Form()
		form.Set("logout", "yes")
		b.Submit(action, form)
		select {
		case status := <-heard:
			if status != 200 {
				t.Errorf("%d", status)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the provider says nothing")
		}
		if h.live(r) {
			t.Error("the session goes on")
		}
		h.Do(t, "GET", "/v1/auth/me", nil, another).Want(t, 200)
	})
}

// SSO39: a SAML provider's signed request ends exactly the sessions it names, over both bindings; the answer is signed.
// What is unsigned, wrong or about somebody else ends nothing.
func TestSSO39_SAML(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		h.known(idp)
		to := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200).String("logoutUrl")
		in := func(index string) servertest.Response {
			t.Helper()
			idp.Answer(func(p *idptest.Parts) { p.SessionIndex = index })
			return h.redeemSAML(h.samlRound(nil)).Want(t, 200)
		}
		one, two := in("_one"), in("_two")
		b := idptest.NewBrowser(t, h.Server)
		evil := idptest.NewSAMLKey(t, idptest.RSA(2), time.Now().Add(time.Hour))
		for name, change := range map[string]func(e *idptest.End){
			"unsigned":            func(e *idptest.End) { e.Unsigned = true },
			"another key":         func(e *idptest.End) { e.Key = evil },
			"another destination": func(e *idptest.End) { e.Destination += "x" },
			"no destination":      func(e *idptest.End) { e.Destination = "" },
			"another issuer":      func(e *idptest.End) { e.Issuer = "https://evil.example" },
			"no issuer":           func(e *idptest.End) { e.Issuer = "" },
			"nobody":              func(e *idptest.End) { e.NameID = "" },
			"old":                 func(e *idptest.End) { e.Issued = time.Now().Add(-time.Hour) },
			"expired":             func(e *idptest.End) { e.NotOnOrAfter = time.Now().Add(-time.Hour) },
			"an empty session":    func(e *idptest.End) { e.Edit = func(x string) string { return withIndex(x, "") } },
			"another document": func(e *idptest.End) {
				e.Edit = func(x string) string { return strings.ReplaceAll(x, "LogoutRequest", "AuthnRequest") }
			},
			"an instruction": func(e *idptest.End) {
				e.Edit = func(x string) string { return strings.Replace(x, "<saml:Issuer>", "<?x y?><saml:Issuer>", 1) }
			},
		} {
			if p := b.Open(idp.EndByRedirect(t, to, change)); p.Status != 400 {
				t.Errorf("%s by redirect: %d %s", name, p.Status, p.URL)
			}
			if p := b.Submit(to, idp.EndByPost(t, to, change)); p.Status != 400 {
				t.Errorf("%s by form: %d %s", name, p.Status, p.URL)
			}
		}
		good := idp.EndByRedirect(t, to, func(e *idptest.End) { e.Sessions = []string{"_one"} })
		unsigned, _, _ := strings.Cut(good, "&Signature=")
		for name, address := range map[string]string{"twice": good + "&SAMLRequest=x", "no signature": unsigned,
			"another relay": strings.Replace(good, "RelayState=back", "RelayState=away", 1),
			"nothing":       to, "no base64": to + "?SAMLRequest=*", "not packed": to + "?SAMLRequest=AAAA"} {
			if p := b.Open(address); p.Status != 400 {
				t.Errorf("%s: %d %s", name, p.Status, p.URL)
			}
		}
		// an unknown person, and a session that is nobody's: as asked
		for _, change := range []func(e *idptest.End){
			func(e *idptest.End) { e.NameID = "somebody else" },
			func(e *idptest.End) { e.Sessions = []string{"_none"} },
		} {
			if p := b.Open(idp.EndByRedirect(t, to, change)); p.Status != 200 {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		}
		if !h.live(one) || !h.live(two) {
			t.Fatal("a session has ended")
		}
		p := b.Open(good)
		if p.URL.Path != "/ended" || p.Get("SAMLResponse") == "" || p.Get("Signature") == "" ||
			p.Get("RelayState") != "back" {
			t.Errorf("%d %s", p.Status, p.URL)
		}
		if h.live(one) || !h.live(two) {
			t.Errorf("%t %t", h.live(one), h.live(two))
		}
		if p := b.Open(good); p.Status != 400 { // again
			t.Errorf("%d %s", p.Status, p.URL)
		}
		three := in("_three")
		if p := b.Submit(to, idp.EndByPost(t, to, nil)); p.Status != 200 || p.Get("SAMLResponse") == "" {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		if h.live(two) || h.live(three) {
			t.Error("all of the person's sessions")
		}
		// where people are known by an attribute, NameID and SessionIndex together name a session
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"mapping": object{"email": []string{"mail"},
			"subject": []string{"uid"}}}, h.admin).Want(t, 200)
		idp.Answer(func(p *idptest.Parts) {
			p.NameID, p.SessionIndex = "changes-1", "1"
			p.Attributes = strings.Replace(mailAttribute(servertest.Manager), `"mail"`, `"uid"`, 1) +
				mailAttribute(servertest.Manager)
		})
		four := h.redeemSAML(h.samlRound(nil)).Want(t, 200)
		for name, change := range map[string]func(e *idptest.End){
			"another's NameID": func(e *idptest.End) { e.NameID, e.Sessions = "changes-2", []string{"1"} },
			"many":             func(e *idptest.End) { e.NameID, e.Sessions = "changes-1", make([]string, 60) },
			"NameID alone":     func(e *idptest.End) { e.NameID = "changes-1" },
		} {
			b.Open(idp.EndByRedirect(t, to, change))
			if !h.live(four) {
				t.Fatalf("%s ends it", name)
			}
		}
		b.Open(idp.EndByRedirect(t, to, func(e *idptest.End) { e.NameID, e.Sessions = "changes-1", []string{"1"} }))
		if h.live(four) {
			t.Error("NameID and SessionIndex do not end it")
		}
		// wrapped: the signature is of something else
		form := idp.EndByPost(t, to, nil)
		for name, edit := range map[string]func(x string) string{
			"inside": func(x string) string {
				return `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_x">` + x +
					`</samlp:LogoutRequest>`
			},
			"edited": func(x string) string { return strings.Replace(x, "agent-1", "agent-2", 1) },
		} {
			if p := b.Submit(to, edited(form, edit)); p.Status != 400 {
				t.Errorf("%s: %d %s", name, p.Status, p.URL)
			}
		}
	})
}

func withIndex(xml, index string) string {
	return strings.Replace(xml, "</samlp:LogoutRequest>",
		"<samlp:SessionIndex>"+index+"</samlp:SessionIndex></samlp:LogoutRequest>", 1)
}

// edited changes the document of a form.
func edited(form url.Values, edit func(x string) string) url.Values {
	raw, _ := base64.StdEncoding.DecodeString(form.Get("SAMLRequest"))
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(edit(string(raw))))}}
}
