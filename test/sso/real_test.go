package sso

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// walk signs somebody in at oidc-provider.
func walk(b *idptest.Browser, who string) idptest.Page {
	p := b.Open(idptest.Start("oidc", "organization", "acme-corp"))
	action, form := p.Form()
	if action == "" {
		return p
	}
	form.Set("login", who)
	form.Set("password", "whatever")
	action, form = b.Submit(action, form).Form()
	return b.Submit(action, form) // consent
}

// SSO01, A20–A23: oidc-provider signs in with each family of signatures, and with each way for this server to
// authenticate.
func TestSSO01_OidcProvider(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	own := idptest.ECKey("own")
	private, err := x509.MarshalPKCS8PrivateKey(own.Key)
	if err != nil {
		t.Fatal(err)
	}
	own = own.Public()
	accounts := map[string]map[string]any{"agent": {"email": servertest.Agent, "email_verified": true,
		"name": "An Agent", "groups": []string{"a"}}}
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		for _, how := range []struct {
			key    jose.JSONWebKey
			method string
		}{
			{idptest.RSAKey(0, "rsa", "RS256"), "client_secret_basic"},
			{idptest.ECKey("ec"), "client_secret_post"},
			{idptest.RSAKey(0, "pss", "PS256"), "private_key_jwt"},
			{jose.JSONWebKey{Key: ed, KeyID: "ed", Algorithm: "EdDSA", Use: "sig"}, "client_secret_basic"},
		} {
			client := (*jose.JSONWebKey)(nil)
			if how.method == "private_key_jwt" {
				client = &own
			}
			issuer := idptest.StartOpenID(t, idptest.OpenID{
				Redirects: []string{servertest.PublicURL + "/v1/auth/sso/oidc/callback"}, Method: how.method,
				Client: client, Keys: []jose.JSONWebKey{how.key, idptest.RSAKey(1, "other", "RS256")},
				Accounts: accounts})
			c := h.connect(issuer, func(b object) {
				b["openId"].(object)["tokenEndpointAuthMethod"] = how.method
				b["openId"].(object)["signingAlgorithms"] = []string{how.key.Algorithm}
				if client != nil {
					b["openId"].(object)["keyId"] = client.KeyID
					b["privateKey"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
				}
			})
			p := walk(idptest.NewBrowser(t, h.Server), "agent")
			if p.Get("code") == "" {
				t.Fatalf("%s: %d %s %s %.2000s", how.key.Algorithm, p.Status, p.URL, h.why(), p.Body)
			}
			if r := h.redeem(p.Get("code"), nil).Want(t, 200); r.String("user.email") != servertest.Agent {
				t.Errorf("%s", r.Body)
			}
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "off"}, h.admin).Want(t, 200)
			h.Do(t, "DELETE", "/v1/connections/"+c, nil, h.admin).Want(t, 204)
		}
	})
}

// SSO02: Lasso signs in, signed in each way, plain and encrypted; its CBC only under a signed response. SSO20: what is
// wrapped around its responses is refused.
func TestSSO02_SSO20_Lasso(t *testing.T) {
	idp := idptest.StartLasso(t, idptest.RSA(0), "agent-of-lasso", servertest.Agent)
	turn := make(chan struct{}, 1) // it answers in one way at a time
	each(t, func(t *testing.T, h *house) {
		turn <- struct{}{}
		defer func() { <-turn }()
		h.verify(domain)
		c := h.saml(idp.URL+"/metadata", func(b object) { b["saml"].(object)["ownEntityId"] = true })
		own := h.Do(t, "GET", "/v1/auth/sso/connections/"+c+"/metadata", nil).Want(t, 200)
		entity := servertest.PublicURL + "/v1/auth/sso/connections/" + c + "/metadata"
		for _, how := range [][2]string{{"assertion", ""}, {"response", ""}, {"assertion", "aes128"}, {"response",
			"aes256"}} {
			idp.Answer(t, string(own.Body), entity, how[0], how[1])
			var genuine string
			p := h.samlRound(func(xml string) string { genuine = xml; return xml })
			if p.Get("code") == "" {
				if how[0] == "assertion" && how[1] != "" && h.why() == "signature" {
					continue // CBC, and nothing around it is signed
				}
				t.Fatalf("%s: %d %s %s\n%s", how, p.Status, p.URL, h.why(), genuine)
			}
			if r := h.redeemSAML(p).Want(t, 200); r.String("user.email") != servertest.Agent {
				t.Errorf("%s", r.Body)
			}
			for name := range idptest.Wrapped(genuine, servertest.Agent, servertest.Admin) {
				h.nobodyIn(name, h.samlRound(func(xml string) string {
					return idptest.Wrapped(xml, servertest.Agent, servertest.Admin)[name]
				}))
			}
		}
	})
}

// SSO02, SSO39: SimpleSAMLphp signs in and out, signed in each way, plain and encrypted (CBC). SSO20: what is wrapped
// around its responses is refused.
func TestSSO02_SSO20_SSO39_SimpleSAMLphp(t *testing.T) {
	idp := idptest.StartSimpleSAML(t, idptest.RSA(0), "agent-of-simplesaml", servertest.Agent)
	turn := make(chan struct{}, 1) // it answers in one way at a time
	each(t, func(t *testing.T, h *house) {
		turn <- struct{}{}
		defer func() { <-turn }()
		h.verify(domain)
		c := h.saml(idp.URL+"/saml2/idp/metadata.php", func(b object) { b["saml"].(object)["ownEntityId"] = true })
		entity := servertest.PublicURL + "/v1/auth/sso/connections/" + c + "/metadata"
		b := idptest.NewBrowser(t, h.Server)
		cert := strings.Join(strings.Split(h.ownCertificate(c), "\n")[1:], "")
		cert = strings.TrimSuffix(cert, "-----END CERTIFICATE-----")
		for _, how := range [][2]string{{"assertion", ""}, {"response", ""}, {"both", ""}, {"both", cert},
			{"response", cert}, {"assertion", cert}} {
			idp.Answer(t, entity, servertest.PublicURL+"/v1/auth/sso/saml/callback", how[0], how[1])
			round := func(edit func(xml string) string) idptest.Page {
				t.Helper()
				b = idptest.NewBrowser(t, h.Server)
				p := b.Open(idptest.Start("saml", "organization", "acme-corp"))
				action, form := p.Form()
				if form == nil {
					t.Fatalf("%d %s %.2000s", p.Status, p.URL, p.Body)
				}
				form.Set("username", "agent-of-simplesaml")
				form.Set("password", "password")
				return h.post(b, b.Submit(action, form), edit)
			}
			var genuine string
			p := round(func(xml string) string { genuine = xml; return xml })
			if p.Get("code") == "" {
				if how[0] == "assertion" && how[1] != "" && h.why() == "signature" {
					continue // CBC, and nothing around it is signed
				}
				t.Fatalf("%s: %d %s %s\n%s", how[0], p.Status, p.URL, h.why(), genuine)
			}
			r := h.redeemSAML(p).Want(t, 200)
			if r.String("user.email") != servertest.Agent {
				t.Errorf("%s", r.Body)
			}
			if how[1] == "" { // SSO39: the provider ends its session, and with it the one here
				p := b.Open(idp.URL + "/saml2/idp/initSLO.php?RelayState=/")
				if h.live(r) || !strings.HasPrefix(p.URL.String(), idp.URL) {
					t.Errorf("after the logout there: %d %s %.1000s", p.Status, p.URL, p.Body)
				}
			}
			for name := range idptest.Wrapped(genuine, servertest.Agent, servertest.Admin) {
				h.nobodyIn(name, round(func(xml string) string {
					return idptest.Wrapped(xml, servertest.Agent, servertest.Admin)[name]
				}))
			}
		}
	})
}
