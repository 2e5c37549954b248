package sso

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// setupLink makes a link and gives its id and who holds it.
func (h *house) setupLink(intent, connection string) (id string, holder servertest.Change) {
	h.t.Helper()
	body := object{"intent": intent, "note": "for the technician"}
	if connection != "" {
		body["connectionId"] = connection
	}
	r := h.Do(h.t, "POST", "/v1/setup-links", body, h.admin).Want(h.t, 201)
	return r.String("id"), servertest.Bearer(r.String("token"))
}

const setUp = "/v1/connection-setup"

// SSO43, G12: with a link whoever has no account here describes the provider and tries it; an administrator decides
// whether it is used, and about roles.
func TestSSO43_Connection(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		id, link := h.setupLink("sso", "")
		r := h.Do(t, "GET", setUp, nil, link).Want(t, 200)
		if r.String("intent") != "sso" || r.String("organization") == "" || r.String("callbackUrls.saml") !=
			servertest.PublicURL+"/v1/auth/sso/saml/callback" || r.String("serviceProviderEntityId") == "" {
			t.Errorf("%s", r.Body)
		}
		h.Do(t, "POST", setUp+"/test", nil, link).Want(t, 409)
		// a mistake first: only an administrator takes it away, who may have decided something about it
		wrong := h.Do(t, "PUT", setUp+"/connection", object{"kind": "azure-ad", "name": "Entra", "clientSecret": "x",
			"openId": object{"tenantId": "aaaabbbb-0000-cccc-1111-dddd2222eeee", "clientId": "x"}}, link).Want(t, 200)
		body := object{"kind": "oidc", "name": "The company", "clientSecret": "wrong",
			"openId": object{"issuer": h.idp.Issuer, "clientId": idptest.ClientID}}
		h.Do(t, "PUT", setUp+"/connection", body, link).Want(t, 409)
		h.Do(t, "DELETE", "/v1/connections/"+wrong.String("id"), nil, h.admin).Want(t, 204)
		made := h.Do(t, "PUT", setUp+"/connection", body, link).Want(t, 200)
		if made.String("state") != "draft" || made.String("callbackUrl") == "" ||
			strings.Contains(string(made.Body), "wrong") || strings.Contains(string(made.Body), "ceiling") {
			t.Errorf("%s", made.Body)
		}
		list := h.Do(t, "GET", "/v1/connections", nil, h.admin).Want(t, 200)
		if n := strings.Count(string(list.Body), `"con_`); n != 1 {
			t.Errorf("%d connections: %s", n, list.Body)
		}
		body["clientSecret"] = idptest.ClientSecret
		c := h.Do(t, "PUT", setUp+"/connection", body, link).Want(t, 200).String("id")
		if c != made.String("id") {
			t.Errorf("%s, and %s", c, made.String("id"))
		}
		for _, field := range []string{"roles", "provisioning", "trust"} {
			with := object{field: object{}}
			for k, v := range body {
				with[k] = v
			}
			h.Do(t, "PUT", setUp+"/connection", with, link).Want(t, 400)
		}
		h.Do(t, "PUT", setUp+"/connection", object{"kind": "oidc", "name": "", "openId": object{}}, link).Want(t, 400)

		h.person("agent", servertest.Agent, nil)
		test := h.Do(t, "POST", setUp+"/test", nil, link).Want(t, 201)
		page := idptest.NewBrowser(t, h.Server).Open(test.String("url"))
		if strings.Contains(page.Body, "usr_") || strings.Contains(page.Body, "service_desk") {
			t.Errorf("%s", page.Body)
		}
		found := h.Do(t, "GET", setUp+"/tests/"+test.String("handle"), nil, link).Want(t, 200)
		if found.String("state") != "passed" || found.String("subject") != "agent" || found.String("userId") != "" ||
			found.String("account") != "" || found.String("role") != "" {
			t.Errorf("%s", found.Body)
		}
		// it opens nothing else
		for _, at := range []string{"GET /v1/connections", "GET /v1/users", "GET /v1/auth/me", "GET /v1/setup-links",
			"POST /v1/setup-links", "PATCH /v1/connections/" + c, "GET /v1/domains"} {
			method, path, _ := strings.Cut(at, " ")
			r := h.Do(t, method, path, object{"intent": "sso"}, link)
			if r.Status != 401 || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %s", at, r.Status, r.Body)
			}
		}
		h.Do(t, "PUT", setUp+"/domain", object{"name": "other.example"}, link).Want(t, 403)
		h.Do(t, "POST", setUp+"/domain/verify", nil, link).Want(t, 403)
		h.Do(t, "GET", setUp, nil, h.admin).Want(t, 401)
		h.Do(t, "GET", setUp, nil).Want(t, 401)
		// it is switched on as an administrator has seen it, and then only administrators change it
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, h.admin).Want(t, 400)
		seen := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200).String("updatedAt")
		h.Do(t, "PUT", setUp+"/connection", body, link).Want(t, 200)
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active", "updatedAt": seen}, h.admin).Want(t, 409)
		seen = h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200).String("updatedAt")
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"state": "active", "updatedAt": seen}, h.admin).Want(t, 200)
		h.Do(t, "PUT", setUp+"/connection", body, link).Want(t, 409)
		if r := h.Do(t, "GET", setUp, nil, link).Want(t, 200); r.String("connection.state") != "active" {
			t.Errorf("%s", r.Body)
		}
		h.signIn()
		events := h.Do(t, "GET", "/v1/audit-events?target="+c, nil, h.admin).Want(t, 200)
		if !strings.Contains(string(events.Body), id) {
			t.Errorf("the audit log does not name the link: %s", events.Body)
		}
	})
}

// SSO43: a domain by a link; of two that were named the former is gone.
func TestSSO43_Domain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, link := h.setupLink("domain", "")
		h.Do(t, "POST", setUp+"/domain/verify", nil, link).Want(t, 409)
		h.Do(t, "PUT", setUp+"/domain", object{"name": "co.uk"}, link).Want(t, 400)
		h.Do(t, "PUT", setUp+"/domain", object{"name": "mistake.example"}, link).Want(t, 200)
		d := h.Do(t, "PUT", setUp+"/domain", object{"name": domain}, link).Want(t, 200)
		h.Do(t, "POST", setUp+"/domain/verify", nil, link).Want(t, 409)
		h.dns.set(d.String("recordName"), d.String("recordValue"))
		if r := h.Do(t, "POST", setUp+"/domain/verify", nil, link).Want(t, 200); r.String("state") != "verified" {
			t.Errorf("%s", r.Body)
		}
		list := h.Do(t, "GET", "/v1/domains", nil, h.admin).Want(t, 200)
		if strings.Contains(string(list.Body), "mistake.example") {
			t.Errorf("%s", list.Body)
		}
		h.Do(t, "PUT", setUp+"/domain", object{"name": "another.example"}, link).Want(t, 409) // one
		_, other := h.setupLink("domain", "")
		h.Do(t, "PUT", setUp+"/domain", object{"name": domain}, other).Want(t, 409) // it leads somewhere
		h.Do(t, "POST", "/v1/domains", object{"name": "waits.example"}, h.admin).Want(t, 201)
		h.Do(t, "PUT", setUp+"/domain", object{"name": "waits.example"}, other).Want(t, 200)
		h.Do(t, "PUT", setUp+"/connection", object{"kind": "oidc", "name": "x"}, link).Want(t, 403)
		h.Do(t, "POST", setUp+"/test", nil, link).Want(t, 403)
	})
}

// SSO43: a link for certificates renews what a connection proves itself with, and nothing else of it.
func TestSSO43_Certificate(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		first, second := idptest.NewSAMLKey(t, idptest.RSA(0), time.Now().AddDate(1, 0, 0)),
			idptest.NewSAMLKey(t, idptest.RSA(1), time.Now().AddDate(1, 0, 0))
		idp, c := h.goSAML(func(b object) { b["saml"].(object)["signRequests"] = true }, first)
		h.known(idp)
		h.Do(t, "POST", "/v1/setup-links", object{"intent": "certificate"}, h.admin).Want(t, 400)
		h.Do(t, "POST", "/v1/setup-links", object{"intent": "certificate",
			"connectionId": "con_01BX5ZZKBKACTAV9WEVGEMMVRZ"}, h.admin).Want(t, 400)
		h.Do(t, "POST", "/v1/setup-links", object{"intent": "sso", "connectionId": c}, h.admin).Want(t, 400)
		_, link := h.setupLink("certificate", c)
		idp.SignWith(second)
		if p := h.samlRound(nil); p.Get("code") != "" {
			t.Fatal("an unknown key signs somebody in")
		}
		h.Do(t, "PUT", setUp+"/connection", object{"saml": object{"metadata": idp.MetadataXML("signing", second)}},
			link).Want(t, 400) // none of the former keys: it could be anybody's who takes the provider's name
		address := idp.URL
		idp.URL = "https://evil.example"
		h.Do(t, "PUT", setUp+"/connection", object{"saml": object{"metadata": idp.MetadataXML("signing", first,
			second)}}, link).Want(t, 400)
		idp.URL = address
		entity := idp.EntityID
		idp.EntityID = "https://evil.example"
		h.Do(t, "PUT", setUp+"/connection", object{"saml": object{"metadata": idp.MetadataXML("signing", second)}},
			link).Want(t, 400)
		idp.EntityID = entity
		r := h.Do(t, "PUT", setUp+"/connection", object{"name": "Mine", "mapping": object{"email": []string{"evil"}},
			"saml": object{"metadata": idp.MetadataXML("signing", second, first), "startUrl": "https://evil.example/"}},
			link).Want(t, 200)
		if r.String("name") != "SAML" || r.String("saml.metadataUrl") != idp.URL+"/metadata" ||
			r.String("saml.startUrl") != "" || r.Get("saml.signRequests") != true ||
			strings.Contains(string(r.Body), "evil") {
			t.Errorf("%s", r.Body)
		}
		if p := h.samlRound(nil); p.Get("code") == "" {
			t.Errorf("%s %s", p.URL, h.why())
		}

		o := h.provider(nil)
		_, link = h.setupLink("certificate", o)
		h.Do(t, "PUT", setUp+"/connection", object{"clientSecret": "another", "openId": object{
			"issuer": "https://evil.example", "clientId": "evil", "clientSecretExpires": "2031-01-31"}}, link).
			Want(t, 200)
		shown := h.Do(t, "GET", "/v1/connections/"+o, nil, h.admin).Want(t, 200)
		if shown.String("openId.issuer") != h.idp.Issuer || shown.String("openId.clientId") != idptest.ClientID ||
			shown.String("openId.clientSecretExpires") != "2031-01-31" {
			t.Errorf("%s", shown.Body)
		}
		h.person("agent", servertest.Agent, nil)
		h.refused(h.start("connection", o), "access_denied") // the secret is another
	})
}

// SSO43: a link ends after a day, when it is revoked, and with what its maker may do; it is of one organization.
func TestSSO43_Ends(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ends := func(what string, link servertest.Change) {
			t.Helper()
			for _, at := range []string{"GET " + setUp, "PUT " + setUp + "/connection"} {
				method, path, _ := strings.Cut(at, " ")
				if r := h.Do(t, method, path, object{"kind": "oidc"}, link); r.Status != 401 {
					t.Errorf("%s: %d %s", what, r.Status, r.Body)
				}
			}
		}
		id, link := h.setupLink("sso", "")
		h.Do(t, "DELETE", "/v1/setup-links/"+id, nil, h.admin).Want(t, 204)
		ends("revoked", link)
		if r := h.Do(t, "GET", "/v1/setup-links/"+id, nil, h.admin).Want(t, 200); r.String("state") != "revoked" {
			t.Errorf("%s", r.Body)
		}
		ends("unknown", servertest.Bearer("gth_sl_nobody"))

		h.Do(t, "POST", "/v1/roles", object{"name": "it_department", "permissions": []string{"sso:manage:all",
			"tickets:create:own", "tickets:read:own"}}, h.admin).Want(t, 201)
		for _, c := range []struct {
			name   string
			change object
		}{{"demoted", object{"role": "end_user"}}, {"disabled", object{"state": "disabled"}}} {
			maker := h.PersonWithPassword(t, h.admin, c.name, "it_department")
			admin := h.admin
			h.admin = servertest.Bearer(h.Do(t, "POST", "/v1/auth/login", object{"email": c.name + "@" + domain,
				"password": servertest.TestPassword}).Want(t, 200).String("accessToken"))
			_, theirs := h.setupLink("sso", "")
			h.Do(t, "GET", setUp, nil, theirs).Want(t, 200)
			made := h.Do(t, "PUT", setUp+"/connection", object{"kind": "oidc", "name": "x", "clientSecret": "x",
				"openId": object{"issuer": h.idp.Issuer, "clientId": "x"}}, theirs).Want(t, 200)
			h.admin = admin
			shown := h.Do(t, "GET", "/v1/connections/"+made.String("id"), nil, h.admin).Want(t, 200)
			if shown.String("ceiling") != "it_department" { // no more than whoever made the link
				t.Errorf("%s", shown.Body)
			}
			h.Do(t, "PATCH", "/v1/users/"+maker, c.change, h.admin).Want(t, 200)
			ends(c.name, theirs)
		}

		other := h.As(t, servertest.Foreigner)
		_, link = h.setupLink("sso", "")
		h.Do(t, "GET", "/v1/setup-links/"+id, nil, other).Want(t, 404)
		h.Do(t, "DELETE", "/v1/setup-links/"+id, nil, other).Want(t, 404)
		h.Do(t, "GET", setUp, nil, link, servertest.Header("X-Tenant-Slug", "second-tenant")).Want(t, 403)
		h.Do(t, "POST", "/v1/setup-links", object{"intent": "sso"}, h.As(t, servertest.Manager)).Want(t, 403)
		h.Do(t, "POST", "/v1/setup-links", object{"intent": "everything"}, h.admin).Want(t, 400)
		h.Clock.Advance(24*time.Hour + time.Second)
		ends("old", link)
		h.admin = h.As(t, servertest.Admin)
		list := h.Do(t, "GET", "/v1/setup-links?limit=1", nil, h.admin).Want(t, 200)
		if list.Get("hasMore") != true {
			t.Errorf("%s", list.Body)
		}
	})
}

// A19: keys of this server toward a SAML provider are renewed without an interruption: the next one is published and
// decrypts before it signs, the former one until it is removed.
func TestA19_OwnKeys(t *testing.T) {
	samlp := idptest.StartSamlp(t, idptest.RSA(0), time.Now().Add(time.Hour))
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		how := idptest.How{Sign: "both", Encrypt: "aes256-gcm", User: agentOf("agent-1")}
		c := h.saml(samlp.Metadata(t, idptest.How{Sign: "both", User: agentOf("agent-1")}), nil)
		at := "/v1/connections/" + c + "/keys"
		prints := func(r servertest.Response) (list []string) {
			t.Helper()
			for _, k := range r.Get("serviceProviderKeys").([]any) {
				list = append(list, k.(object)["fingerprint"].(string))
			}
			return list
		}
		published := func() int {
			m := h.Do(t, "GET", "/v1/auth/sso/connections/"+c+"/metadata", nil).Want(t, 200)
			return strings.Count(string(m.Body), `use="encryption"`)
		}
		encrypted := func() string {
			t.Helper()
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadataUrl": samlp.Metadata(t, how)}},
				h.admin).Want(t, 200)
			return h.samlRound(nil).Get("code")
		}
		former := h.ownCertificate(c)
		how.Cert = former
		two := prints(h.Do(t, "POST", at, nil, h.admin).Want(t, 201))
		if len(two) != 2 || published() != 2 || h.ownCertificate(c) != former {
			t.Errorf("%v, %d published", two, published())
		}
		h.Do(t, "DELETE", at+"/"+two[0], nil, h.admin).Want(t, 409) // it signs
		r := h.Do(t, "POST", at+"/"+two[1]+"/use", nil, h.admin).Want(t, 200)
		if now := prints(r); now[0] != two[1] || now[1] != two[0] {
			t.Errorf("%v", now)
		}
		if encrypted() == "" {
			t.Errorf("for the former key: %s", h.why())
		}
		how.Cert = h.ownCertificate(c)
		if how.Cert == former || encrypted() == "" {
			t.Errorf("for the new key: %s", h.why())
		}
		h.Do(t, "POST", at, nil, h.admin).Want(t, 201)
		h.Do(t, "POST", at, nil, h.admin).Want(t, 409) // three are enough
		h.Do(t, "DELETE", at+"/"+two[0], nil, h.admin).Want(t, 204)
		h.Do(t, "DELETE", at+"/"+two[0], nil, h.admin).Want(t, 404)
		how.Cert = former
		if encrypted() != "" || h.why() != "decryption" {
			t.Errorf("a key that is gone decrypts: %s", h.why())
		}
		h.Do(t, "POST", "/v1/connections/"+h.provider(nil)+"/keys", nil, h.admin).Want(t, 409)
		h.Do(t, "POST", at, nil, h.As(t, servertest.Manager)).Want(t, 403)
	})
}
