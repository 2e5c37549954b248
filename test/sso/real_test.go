package sso

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO01, A20–A23: oidc-provider signs in with each family of signatures, by Basic and by post.
func TestSSO01_OidcProvider(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		accounts := map[string]map[string]any{"agent": {"email": servertest.Agent, "email_verified": true,
			"name":   "An Agent",
			"groups": []string{"a"}}}
		for i, key := range []jose.JSONWebKey{idptest.RSAKey(0, "rsa", "RS256"), idptest.ECKey("ec")} {
			method := []string{"client_secret_basic", "client_secret_post"}[i]
			issuer := idptest.StartOpenID(t, []string{servertest.PublicURL + "/v1/auth/sso/oidc/callback"}, method,
				[]jose.JSONWebKey{key, idptest.RSAKey(1, "other", "RS256")}, accounts)
			c := h.connect(issuer, func(b object) {
				b["openId"].(object)["tokenEndpointAuthMethod"] = method
				b["openId"].(object)["signingAlgorithms"] = []string{key.Algorithm}
			})
			b := idptest.NewBrowser(t, h.Server)
			p := b.Open(idptest.Start("oidc", "organization", "acme-corp"))
			action, form := p.Form()
			if action == "" {
				t.Fatalf("%d %s %.2000s", p.Status, p.URL, p.Body)
			}
			form.Set("login", "agent")
			form.Set("password", "whatever")
			p = b.Submit(action, form)
			action, form = p.Form()
			p = b.Submit(action, form) // consent
			if p.Get("code") == "" {
				t.Fatalf("%d %s %s %.2000s", p.Status, p.URL, h.why(), p.Body)
			}
			if r := h.redeem(p.Get("code"), nil).Want(t, 200); r.String("user.email") != servertest.Agent {
				t.Errorf("%s", r.Body)
			}
			// whoever says no comes back with that
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

// SSO02: SimpleSAMLphp signs in, signed in each way, plain and encrypted (CBC). SSO20: what is wrapped around its
// responses is refused.
func TestSSO02_SSO20_SimpleSAMLphp(t *testing.T) {
	idp := idptest.StartSimpleSAML(t, idptest.RSA(0), "agent-of-simplesaml", servertest.Agent)
	turn := make(chan struct{}, 1) // it answers in one way at a time
	each(t, func(t *testing.T, h *house) {
		turn <- struct{}{}
		defer func() { <-turn }()
		h.verify(domain)
		c := h.saml(idp.URL+"/saml2/idp/metadata.php", func(b object) { b["saml"].(object)["ownEntityId"] = true })
		entity := servertest.PublicURL + "/v1/auth/sso/connections/" + c + "/metadata"
		cert := strings.Join(strings.Split(h.ownCertificate(c), "\n")[1:], "")
		cert = strings.TrimSuffix(cert, "-----END CERTIFICATE-----")
		for _, how := range [][2]string{{"assertion", ""}, {"response", ""}, {"both", ""}, {"both", cert},
			{"response", cert}, {"assertion", cert}} {
			idp.Answer(t, entity, servertest.PublicURL+"/v1/auth/sso/saml/callback", how[0], how[1])
			round := func(edit func(xml string) string) idptest.Page {
				t.Helper()
				b := idptest.NewBrowser(t, h.Server)
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
			if r := h.redeemSAML(p).Want(t, 200); r.String("user.email") != servertest.Agent {
				t.Errorf("%s", r.Body)
			}
			for name := range idptest.Wrapped(genuine, servertest.Agent, servertest.Admin) {
				h.nobodyIn(name, round(func(xml string) string {
					return idptest.Wrapped(xml, servertest.Agent, servertest.Admin)[name]
				}))
			}
		}
	})
}
