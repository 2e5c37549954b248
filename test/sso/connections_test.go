package sso

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A19: connections of all kinds, made as drafts, changed part by part, switched on and off, deleted; what is wrong is
// named by its field.
func TestA19_Connections(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		made := map[string]string{}
		for kind, part := range map[string]object{
			"oidc":     {"openId": object{"issuer": "https://idp.example.com", "clientId": "x"}},
			"azure-ad": {"openId": object{"tenantId": tenant, "clientId": "x"}},
			"google":   {"openId": object{"hostedDomains": []string{"Acme-Corp.example"}, "clientId": "x"}},
		} {
			part["kind"], part["name"], part["clientSecret"] = kind, "A "+kind, "the-secret-itself"
			r := h.Do(t, "POST", "/v1/connections", part, h.admin).Want(t, 201)
			if r.String("state") != "draft" || r.String("kind") != kind || r.Get("hasClientSecret") != true ||
				r.String(
					"ceiling") != "tenant_admin" || r.Header.Get("Location") != "/v1/connections/"+r.String("id") ||
				r.String("callbackUrl") != servertest.PublicURL+"/v1/auth/sso/"+kind+"/callback" {
				t.Errorf("%s", r.Body)
			}
			made[kind] = r.String("id")
		}
		if r := h.Do(t, "GET", "/v1/connections/"+made["azure-ad"], nil, h.admin).
			Want(t, 200); r.String(
			"openId.issuer",
		) !=
			"https://login.microsoftonline.com/"+tenant+"/v2.0" {
			t.Errorf("%s", r.Body)
		}
		if r := h.Do(t, "GET", "/v1/connections/"+made["google"], nil, h.admin).Want(t, 200); !strings.Contains(
			string(r.Body), `"acme-corp.example"`) || r.String("openId.issuer") != h.idp.URL {
			t.Errorf("%s", r.Body)
		}
		openID := func(name string, v any) object {
			return object{"openId": object{"issuer": "https://idp.example.com", "clientId": "x", name: v}}
		}
		for field, body := range map[string]object{
			"kind":                           {"kind": "myspace"},
			"name":                           {"name": " "},
			"openId":                         {"openId": nil},
			"saml":                           {"saml": object{"metadataUrl": "https://idp.example.com/metadata"}},
			"openId.issuer":                  {"openId": object{"issuer": "http://idp.example.com", "clientId": "x"}},
			"openId.clientId":                {"openId": object{"issuer": "https://idp.example.com", "clientId": " x"}},
			"openId.scopes":                  openID("scopes", []string{"email"}),
			"openId.tokenEndpointAuthMethod": openID("tokenEndpointAuthMethod", "none"),
			"openId.signingAlgorithms[0]":    openID("signingAlgorithms", []string{"HS256"}),
			"openId.tenantId":                openID("tenantId", tenant),
			"openId.hostedDomains":           openID("hostedDomains", []string{"x.example"}),
			"clientSecret":                   {"clientSecret": "with\na line"},
			"privateKey":                     openID("tokenEndpointAuthMethod", "private_key_jwt"),
			"mapping.groups":                 {"mapping": object{"groups": []string{""}}},
			"mapping.subject":                {"mapping": object{"subject": []string{"x"}}},
			"roles.rules[0].role": {"roles": object{"rules": []object{{"group": "g",
				"role": "no_such_role"}}}},
			"roles.default":     {"roles": object{"default": "end_user"}},
			"provisioning.role": {"provisioning": object{"enabled": true, "role": "no_such_role"}},
			"trust.amr[0]":      {"trust": object{"amr": []string{"a b"}}},
		} {
			b := object{"kind": "oidc", "name": "x", "clientSecret": "x",
				"openId": object{"issuer": "https://idp.example.com", "clientId": "x"}}
			for k, v := range body {
				if b[k] = v; v == nil {
					delete(b, k)
				}
			}
			r := h.Do(t, "POST", "/v1/connections", b, h.admin)
			if r.Status != 400 || !strings.Contains(string(r.Body), `"`+field+`"`) {
				t.Errorf("%s: %d %s", field, r.Status, r.Body)
			}
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		h.Do(t, "PATCH", "/v1/connections/"+made["oidc"], object{"privateKey": string(pem.EncodeToMemory(
			&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "openId": object{"issuer": "https://idp.example.com",
			"clientId": "x", "tokenEndpointAuthMethod": "private_key_jwt"}}, h.admin).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+made["oidc"], object{"state": "active"}, h.admin).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+made["oidc"], object{"state": "draft"}, h.admin).Want(t, 400)
		if r := h.Do(t, "PATCH", "/v1/connections/"+made["oidc"], object{"ownAddress": true}, h.admin).
			Want(t, 200); r.
			String("callbackUrl") != servertest.PublicURL+"/v1/auth/sso/connections/"+made["oidc"]+"/callback" {
			t.Errorf("%s", r.Body)
		}
		list := h.Do(t, "GET", "/v1/connections?limit=2", nil, h.admin).Want(t, 200)
		if list.Get("hasMore") != true {
			t.Errorf("%s", list.Body)
		}
		h.Do(t, "GET", "/v1/connections?cursor="+list.String("cursor"), nil, h.admin).Want(t, 200)
		h.Do(t, "DELETE", "/v1/connections/"+made["google"], nil, h.admin).Want(t, 204)
		h.Do(t, "DELETE", "/v1/connections/"+made["google"], nil, h.admin).Want(t, 404)
	})
}

// A22: a connection may have an address of its own, at which no other's answers are taken.
func TestA22_OwnAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(func(b object) { b["ownAddress"] = true })
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		h.signIn()
		own := servertest.PublicURL + "/v1/auth/sso/connections/" + c + "/callback"
		b := idptest.NewBrowser(t, h.Server)
		b.Stop(own)
		at := b.Open(idptest.Start("oidc", "organization", "acme-corp")).URL.String()
		if !strings.HasPrefix(at, own+"?") {
			t.Fatalf("%s", at)
		}
		b.Go()
		for _, other := range []string{"/v1/auth/sso/oidc/callback",
			"/v1/auth/sso/connections/con_01BX5ZZKBKACTAV9WEVGEMMVRZ/callback"} {
			if p := b.Open(strings.Replace(at, own, servertest.PublicURL+other, 1)); p.Status != 401 {
				t.Errorf("%s: %d", other, p.Status)
			}
		}
		if p := b.Open(at); p.Get("code") == "" {
			t.Errorf("%d %s", p.Status, p.URL)
		}
	})
}

// SSO35, A32: changing connections and domains needs a proof of the last quarter of an hour, and a person.
func TestSSO35_StepUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.Do(t, "POST", "/v1/domains", object{"name": domain}, h.admin).Want(t, 201)
		key := h.Key(t, h.admin, h.Organization("acme-corp"), "sso:manage:all")
		h.Do(t, "GET", "/v1/connections", nil, key.Send()).Want(t, 200)
		unsafe := []struct {
			method, path string
			body         any
		}{
			{"POST", "/v1/connections", object{"kind": "oidc", "name": "x", "clientSecret": "x", "openId": object{
				"issuer": "https://idp.example.com", "clientId": "x"}}},
			{"PATCH", "/v1/connections/" + c, object{"name": "y"}},
			{"POST", "/v1/connections/" + c + "/test", nil},
			{"DELETE", "/v1/connections/" + c, nil},
			{"POST", "/v1/domains", object{"name": "other.example"}},
			{
				"POST",
				"/v1/domains/" + domain + "/verify",
				nil,
			},
			{"PATCH", "/v1/domains/" + domain, object{"enforced": false}},
			{"DELETE", "/v1/domains/" + domain, nil},
			{"DELETE", "/v1/users/usr_01BX5ZZKBKACTAV9WEVGEMMVRZ/identities/" + c, nil},
		}
		for _, r := range unsafe {
			h.Do(t, r.method, r.path, r.body, key.Send()).Want(t, 401)
		}
		login := h.Login(t, servertest.Admin)
		h.Clock.Advance(14 * time.Minute)
		var fresh servertest.Tokens
		h.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": login.RefreshToken}).Want(t, 200).Into(t, &fresh)
		h.Clock.Advance(2 * time.Minute)
		for _, r := range unsafe {
			h.Do(t, r.method, r.path, r.body, servertest.Bearer(fresh.AccessToken)).Want(t, 401, "STEP_UP_REQUIRED")
		}
		h.Do(t, "GET", "/v1/connections/"+c, nil, servertest.Bearer(fresh.AccessToken)).Want(t, 200)
	})
}

// SSO36, check 20: what a customer names by address reaches nothing inside, neither when it is written down nor when it
// is asked, by no redirect and no other spelling; a large or slow answer is none.
func TestSSO36_Addresses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"redirectUris": []string{idptest.App}}}, admin).
			Want(t, 200)
		idp := idptest.NewProvider(t)
		create := func(issuer string) servertest.Response {
			return s.Do(t, "POST", "/v1/connections", object{"kind": "oidc", "name": "x", "clientSecret": "x",
				"openId": object{"issuer": issuer, "clientId": "x"}}, admin)
		}
		for _, issuer := range []string{idp.URL, "http://127.0.0.1", "http://localhost:8080", "http://[::1]",
			"http://0.0.0.0", "ftp://idp.example.com", "file:///etc/passwd", "https://u:p@idp.example.com",
			"https://idp.example.com/?x=1", "https://idp.example.com/#x", "https://", "idp.example.com", "gopher://x",
			"https://idp.example.com/\n"} {
			create(issuer).Want(t, 400)
		}
		for _, issuer := range []string{"https://127.0.0.1", "https://localhost", "https://10.0.0.1",
			"https://169.254.169.254",
			"https://[::1]", "https://[::ffff:127.0.0.1]", "https://0x7f000001", "https://2130706433", "https://127.1",
			"https://metadata.google.internal", "https://[fd00::1]", "https://100.64.0.1"} {
			r := create(issuer)
			if r.Status == 400 {
				continue
			}
			c := r.Want(t, 201).String("id")
			s.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, admin).Want(t, 200)
			p := idptest.NewBrowser(t, s).Open(idptest.Start("oidc", "organization", "acme-corp"))
			if p.Status != 503 || strings.Contains(p.Body, "127.0.0.1") || strings.Contains(p.Body, "refused") {
				t.Errorf("%s: %d %s", issuer, p.Status, p.Body)
			}
			s.Do(t, "DELETE", "/v1/connections/"+c, nil, admin).Want(t, 204)
		}
		if n := idp.Asked("/.well-known/openid-configuration"); n != 0 {
			t.Errorf("a provider on loopback was asked %d times", n)
		}
	})
}

// SSO36: what a provider answers is held to the same rules.
func TestSSO36_Documents(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.person("sub", servertest.Agent, nil)
		answers := func(text []byte) idptest.Hooks {
			return idptest.Hooks{Handle: map[string]http.HandlerFunc{
				"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }}}
		}
		says := func(name string, v any) idptest.Hooks {
			return idptest.Hooks{Discovery: func(d map[string]any) { d[name] = v }}
		}
		for name, hooks := range map[string]idptest.Hooks{
			"a redirect": {Handle: map[string]http.HandlerFunc{
				"/.well-known/openid-configuration": func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "/elsewhere", http.StatusFound)
				}}},
			"another issuer":    says("issuer", h.idp.Issuer+"/"),
			"no issuer":         says("issuer", nil),
			"an inner endpoint": says("token_endpoint", "http://10.0.0.1/token"),
			"a script":          says("authorization_endpoint", "javascript:alert(1)"),
			"no key address":    says("jwks_uri", nil),
			"keys from a file":  says("jwks_uri", "file:///etc/passwd"),
			"no JSON":           answers([]byte("<html>")),
			"two megabytes":     answers(make([]byte, 2<<20)),
			"the issuer twice":  answers([]byte(`{"issuer":"x","issuer":"y"}`)),
			"five hundred": {Handle: map[string]http.HandlerFunc{
				"/.well-known/openid-configuration": func(w http.ResponseWriter,
					_ *http.Request) {
					w.WriteHeader(500)
				}}},
		} {
			h.idp.Hook(hooks)
			h.Clock.Advance(25 * time.Hour) // nothing is kept
			p := idptest.NewBrowser(t, h.Server).Open(idptest.Start("oidc", "organization", "acme-corp"))
			if p.Status != 503 || p.Header.Get("Location") != "" || !strings.Contains(p.Body, "does not answer") {
				t.Errorf("%s: %d %s %s", name, p.Status, p.URL, p.Body)
			}
		}
		if n := h.idp.Asked("/elsewhere"); n != 0 {
			t.Error("a redirect was followed")
		}
	})
}

// SSO40: secrets are in no answer, no audit event and no log.
func TestSSO40_Secrets(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const hidden = "an-upstream-secret-that-nobody-sees"
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": hidden}, h.admin).Want(t, 200)
		h.refused(h.start(), "access_denied")
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": idptest.ClientSecret}, h.admin).Want(t, 200)
		code := h.start().Get("code")
		h.redeem(code, nil).Want(t, 200)
		seen := string(h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Body) +
			string(h.Do(t, "GET", "/v1/connections", nil, h.admin).Body) +
			string(h.Do(t, "GET", "/v1/audit-events?limit=1000", nil, h.admin).Body) + h.Logs.String()
		for _, s := range []string{hidden, idptest.ClientSecret, code, idptest.Verifier, "PRIVATE KEY"} {
			if strings.Contains(seen, s) {
				t.Errorf("%s… is shown", s[:8])
			}
		}
		var sealed string
		if err := h.DB.Platform("look at a connection's row").QueryRow(t.Context(),
			`SELECT secrets || settings FROM connections WHERE id = $1`, c).
			Scan(&sealed); err != nil || strings.Contains(
			sealed, idptest.ClientSecret) {
			t.Errorf("stored in clear: %v", err)
		}
	})
}

// SSO42: a domain is verified by a TXT record at a name of its own; it belongs to one organization, until its record
// was gone for seven days; nobody verifies a public suffix or a mail provider.
func TestSSO42_Domains(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		foreigner := h.As(t, servertest.Foreigner)
		add := func(as servertest.Change, name string) servertest.Response {
			return h.Do(t, "POST", "/v1/domains", object{"name": name}, as)
		}
		for _, name := range []string{"com", "co.uk", "gmail.com", "Outlook.com", "web.de", "github.io", "localhost",
			"127.0.0.1", "a b.example", "acme..example", "-a.example", "x@acme.example", "https://acme.example",
			"acme.example/x", "", "contoso.onmicrosoft.com", strings.Repeat("a", 64) + ".example"} {
			if r := add(h.admin, name); r.Status != 400 {
				t.Errorf("%q: %d %s", name, r.Status, r.Body)
			}
		}
		mine := add(h.admin, "ACME-Corp.Example.").Want(t, 201)
		if mine.String("name") != domain || mine.String("recordName") != "_gatehouse-challenge."+domain ||
			mine.String("state") != "pending" {
			t.Errorf("%s", mine.Body)
		}
		add(h.admin, domain).Want(t, 409)
		theirs := add(foreigner, domain).Want(t, 201)
		if theirs.String("recordValue") == mine.String("recordValue") {
			t.Error("two organizations have one record")
		}
		verify := func(as servertest.Change) servertest.Response {
			return h.Do(t, "POST", "/v1/domains/"+domain+"/verify", nil, as)
		}
		verify(h.admin).Want(t, 409)
		h.dns.set(mine.String("recordName"), "v=spf1 -all", theirs.String("recordValue"))
		verify(h.admin).Want(t, 409)
		h.dns.down = true
		verify(h.admin).Want(t, 503)
		h.dns.down = false
		both := []string{theirs.String("recordValue"), " " + mine.String("recordValue") + " "}
		h.dns.set(mine.String("recordName"), both...)
		if r := verify(h.admin).Want(t, 200); r.String("state") != "verified" {
			t.Errorf("%s", r.Body)
		}
		verify(foreigner).Want(t, 409) // it has a holder
		// sub-domains are others
		h.provider(nil)
		h.person("s", "x@sub."+domain, nil)
		h.refused(h.start(), "access_denied")

		// the record goes: seven days of grace
		state := func() string {
			t.Helper()
			h.admin = h.As(t, servertest.Admin)
			return h.Do(t, "GET", "/v1/domains/"+domain, nil, h.admin).Want(t, 200).String("state")
		}
		recheck := func() {
			t.Helper()
			h.Clock.Advance(25 * time.Hour)
			if err := h.Connections.Recheck(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		h.dns.set(mine.String("recordName"), theirs.String("recordValue"))
		recheck()
		for range 3 {
			recheck()
		}
		h.dns.set(mine.String("recordName"), both...) // back in time
		recheck()
		h.dns.set(mine.String("recordName"), theirs.String("recordValue"))
		h.dns.down = true // nobody knows: that counts for nothing
		for range 9 {
			recheck()
		}
		h.dns.down = false
		for range 7 {
			recheck()
		}
		if got := state(); got != "verified" {
			t.Errorf("within the grace: %s", got)
		}
		recheck()
		if got := state(); got != "lapsed" {
			t.Errorf("after it: %s", got)
		}
		foreigner = h.As(t, servertest.Foreigner)
		verify(foreigner).Want(t, 200)
		h.dns.set(mine.String("recordName"), both...)
		verify(h.admin).Want(t, 409)
		h.Do(t, "DELETE", "/v1/domains/"+domain, nil, foreigner).Want(t, 204)
		verify(h.admin).Want(t, 200)
	})
}

// SSO44, check 34: a test sign-in shows every check and what it would do, names what failed and how to mend it, and
// creates nothing.
func TestSSO44_Test(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.Do(t, "POST", "/v1/connections", object{"kind": "oidc", "name": "A draft",
			"clientSecret": idptest.ClientSecret, "openId": object{"issuer": h.idp.Issuer, "clientId": "gatehouse"},
			"provisioning": object{"enabled": true, "role": "service_desk_agent"}}, h.admin).Want(t, 201).String("id")
		h.verify(domain)
		count := func() (n int) {
			t.Helper()
			if err := h.DB.Platform("count what there is").
				QueryRow(t.Context(), `SELECT (SELECT count(*) FROM users) +
				(SELECT count(*) FROM identities) + (SELECT count(*) FROM sessions)`).
				Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := count()
		test := func() (idptest.Page, servertest.Response) {
			t.Helper()
			made := h.Do(t, "POST", "/v1/connections/"+c+"/test", nil, h.admin).Want(t, 201)
			result := "/v1/connections/" + c + "/tests/" + made.String("handle")
			if r := h.Do(t, "GET", result, nil, h.admin).Want(t, 200); r.String("state") != "waiting" {
				t.Errorf("%s", r.Body)
			}
			p := idptest.NewBrowser(t, h.Server).Open(made.String("url"))
			return p, h.Do(t, "GET", result, nil, h.admin).Want(t, 200)
		}
		h.person("new", "new@"+domain, object{"groups": []string{"<b>g</b>"}, "department": "x"})
		p, r := test()
		if p.Status != 200 || !strings.Contains(p.Body, "The test sign-in worked") ||
			strings.Contains(p.Body, "<b>g") ||
			r.String("state") != "passed" ||
			r.String("account") != "created" ||
			r.String("role") != "service_desk_agent" ||
			r.String("claims.department") != "x" {
			t.Errorf("%d %s\n%s", p.Status, p.Body, r.Body)
		}
		h.person("agent", servertest.Agent, nil)
		if _, r := test(); r.String("account") != "claimed" || r.String("role") != "service_desk_agent" ||
			r.String("userId") == "" {
			t.Errorf("%s", r.Body)
		}
		h.person("nobody", "x@elsewhere.example", nil)
		if _, r := test(); r.String("state") != "failed" || !strings.Contains(r.String("account"), "not linked") {
			t.Errorf("%s", r.Body)
		}
		h.person("new", "new@"+domain, nil)
		h.idp.Hook(idptest.Hooks{Claims: func(told map[string]any) { told["aud"], told["nonce"] = "other", "x" }})
		p, r = test()
		if r.String("state") != "failed" || !strings.Contains(p.Body, "clientId") ||
			!strings.Contains(string(r.Body), `"name":"audience","passed":false`) ||
			!strings.Contains(string(r.Body), `"name":"nonce","passed":false`) ||
			!strings.Contains(string(r.Body), `"name":"signature","passed":true`) || r.String("claims.sub") != "new" {
			t.Errorf("%s", r.Body)
		}
		h.idp.Hook(idptest.Hooks{})
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": "wrong"}, h.admin).Want(t, 200)
		if _, r := test(); !strings.Contains(string(r.Body), "client secret is wrong") {
			t.Errorf("%s", r.Body)
		}
		if after := count(); after != before {
			t.Errorf("%d rows more", after-before)
		}
		// the result is the organization's alone
		made := h.Do(t, "POST", "/v1/connections/"+c+"/test", nil, h.admin).Want(t, 201)
		h.Do(t, "GET", "/v1/connections/"+c+"/tests/"+made.String("handle"), nil, h.As(t, servertest.Foreigner)).
			Want(t, 404)
		// a draft lets nobody in
		if p := h.start(); p.Status != 404 {
			t.Errorf("%d", p.Status)
		}
	})
}
