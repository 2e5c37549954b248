package sso

import (
	"encoding/base64"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

const (
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	transient  = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	emailName  = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
)

// saml connects the organization with a SAML provider whose metadata is at an address.
func (h *house) saml(metadata string, change func(body object)) string {
	h.t.Helper()
	body := object{
		"kind":  "saml",
		"name":  "SAML",
		"saml":  object{"metadataUrl": metadata},
		"trust": object{"email": true},
	}
	if change != nil {
		change(body)
	}
	c := h.Do(h.t, "POST", "/v1/connections", body, h.admin).Want(h.t, 201).String("id")
	h.Do(h.t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, h.admin).Want(h.t, 200)
	return c
}

// ownCertificate is that of this server for a connection, in PEM.
func (h *house) ownCertificate(c string) string {
	h.t.Helper()
	r := h.Do(h.t, "GET", "/v1/auth/sso/connections/"+c+"/metadata", nil).Want(h.t, 200)
	var m struct {
		SP struct {
			Keys []struct {
				Use  string `xml:"use,attr"`
				Cert string `xml:"KeyInfo>X509Data>X509Certificate"`
			} `xml:"KeyDescriptor"`
		} `xml:"SPSSODescriptor"`
	}
	if err := xml.Unmarshal(r.Body, &m); err != nil || len(m.SP.Keys) == 0 {
		h.t.Fatalf("%v %s", err, r.Body)
	}
	der := strings.Join(strings.Fields(m.SP.Keys[0].Cert), "")
	var b strings.Builder
	b.WriteString("-----BEGIN CERTIFICATE-----\n")
	for i := 0; i < len(der); i += 64 {
		b.WriteString(der[i:min(i+64, len(der))] + "\n")
	}
	b.WriteString("-----END CERTIFICATE-----\n")
	return b.String()
}

// samlRound walks to the provider, has its response changed, and posts it.
func (h *house) samlRound(edit func(xml string) string, more ...string) idptest.Page {
	h.t.Helper()
	b := idptest.NewBrowser(h.t, h.Server)
	p := b.Open(idptest.Start("saml", append([]string{"organization", "acme-corp"}, more...)...))
	return h.post(b, p, edit)
}

func (h *house) post(b *idptest.Browser, p idptest.Page, edit func(xml string) string) idptest.Page {
	h.t.Helper()
	action, form := p.Form()
	if form.Get("SAMLResponse") == "" {
		h.t.Fatalf("no response: %d %s %.2000s", p.Status, p.URL, p.Body)
	}
	if edit != nil {
		raw, err := base64.StdEncoding.DecodeString(form.Get("SAMLResponse"))
		if err != nil {
			h.t.Fatal(err)
		}
		form.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(edit(string(raw)))))
	}
	return b.Submit(action, form)
}

func (h *house) redeemSAML(p idptest.Page) servertest.Response {
	h.t.Helper()
	return h.Do(h.t, "POST", "/v1/auth/sso/saml/token",
		object{"code": p.Get("code"), "codeVerifier": idptest.Verifier, "redirectUri": idptest.App})
}

func agentOf(id string) idptest.SAMLUser {
	return idptest.SAMLUser{ID: id, Format: persistent, Attributes: map[string]any{"email": servertest.Agent,
		"name": "An Agent", "groups": []string{"a", "b"}}}
}

// SSO02, A25: what samlp makes, signed and encrypted in each way, signs in; CBC only under a signed response.
func TestSSO02_A25_Samlp(t *testing.T) {
	idp := idptest.StartSamlp(t, idptest.RSA(0), time.Now().Add(time.Hour))
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		how := idptest.How{Sign: "both", User: agentOf("agent-1")}
		c := h.saml(idp.Metadata(t, how), nil)
		cert := h.ownCertificate(c)
		for _, sign := range []string{"response", "assertion", "both"} {
			for _, encrypt := range []string{"", "aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc"} {
				how := idptest.How{Sign: sign, Encrypt: encrypt, User: agentOf("agent-1")}
				if encrypt != "" {
					how.Cert = cert
				}
				h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadataUrl": idp.Metadata(t, how)}},
					h.admin).
					Want(t, 200)
				p := h.samlRound(nil)
				if sign == "assertion" && strings.HasSuffix(encrypt, "cbc") {
					h.refused(p, "access_denied")
					if h.why() != "signature" {
						t.Errorf("%s %s: %s", sign, encrypt, h.why())
					}
					continue
				}
				if p.Get("code") == "" || p.Get("state") != "of the application" {
					t.Errorf("%s %s: %d %s %s", sign, encrypt, p.Status, p.URL, h.why())
					continue
				}
				r := h.redeemSAML(p).Want(t, 200)
				if r.String("user.email") != servertest.Agent || r.String("user.ssoProvider") != "saml" {
					t.Errorf("%s", r.Body)
				}
			}
		}
		ids := h.Do(t, "GET", "/v1/users/"+h.UserID(t, servertest.Agent)+"/identities", nil, h.admin).Want(t, 200)
		if strings.Count(string(ids.Body), "agent-1") != 1 {
			t.Errorf("%s", ids.Body)
		}
	})
}

// goSAML connects the organization with a provider whose responses can be made wrong.
func (h *house) goSAML(change func(body object), keys ...idptest.SAMLKey) (*idptest.SAMLProvider, string) {
	h.t.Helper()
	idp := idptest.NewSAMLProvider(h.t, keys...)
	return idp, h.saml(idp.URL+"/metadata", func(b object) {
		b["mapping"] = object{"email": []string{"mail"}}
		if change != nil {
			change(b)
		}
	})
}

func mailAttribute(address string) string {
	return `<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>` + address +
		`</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`
}

// known signs the agent in once, so that only the NameID counts from then on.
func (h *house) known(idp *idptest.SAMLProvider) {
	h.t.Helper()
	idp.Answer(func(p *idptest.Parts) { p.Attributes = mailAttribute(servertest.Agent) })
	if p := h.samlRound(nil); p.Get("code") == "" {
		h.t.Fatalf("%d %s %s %s", p.Status, p.URL, p.Body, h.why())
	}
}

// nobodyIn fails the test if a round came to a code.
func (h *house) nobodyIn(what string, p idptest.Page) {
	h.t.Helper()
	if p.Get("code") != "" || p.Status == 500 {
		h.t.Errorf("%s: %d %s %.300s", what, p.Status, p.URL, p.Body)
	}
}

// SSO20, ATK01, ATK04: signature wrapping, made from genuine responses of a real provider: refused in every form.
func TestSSO20_Wrapping(t *testing.T) {
	samlp := idptest.StartSamlp(t, idptest.RSA(0), time.Now().Add(time.Hour))
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		own, c := h.goSAML(nil)
		forms := 0
		wrap := func(what string) {
			var genuine string
			if p := h.samlRound(func(xml string) string { genuine = xml; return xml }); p.Get("code") == "" {
				t.Fatalf("%s: %d %s %s", what, p.Status, p.URL, h.why())
			}
			for name := range idptest.Wrapped(genuine, servertest.Agent, servertest.Admin) {
				forms++
				h.nobodyIn(what+", "+name, h.samlRound(func(xml string) string {
					return idptest.Wrapped(xml, servertest.Agent, servertest.Admin)[name]
				}))
			}
		}
		for _, sign := range []string{"assertion", "response", "both"} {
			own.Answer(func(p *idptest.Parts) { p.Sign, p.Attributes = sign, mailAttribute(servertest.Agent) })
			wrap("own, " + sign)
		}
		for _, sign := range []string{"assertion", "response", "both"} {
			how := idptest.How{Sign: sign, User: agentOf("agent-1")}
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"mapping": object{"email": []string{"email"}},
				"saml": object{"metadataUrl": samlp.Metadata(t, how)}}, h.admin).Want(t, 200)
			wrap("samlp, " + sign)
		}
		if forms < 50 {
			t.Errorf("only %d forms", forms)
		}
		ids := h.Do(t, "GET", "/v1/users/"+h.UserID(t, servertest.Admin)+"/identities", nil, h.admin).Want(t, 200)
		if strings.Contains(string(ids.Body), c) {
			t.Errorf("the administrator is linked: %s", ids.Body)
		}
	})
}

// SSO21, ATK02, ATK03, ATK08: what could be read in two ways, or is too much, is refused before the library.
func TestSSO21_Gate(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		in := func(xml, what, with string) string { return strings.Replace(xml, what, with, 1) }
		for name, edit := range map[string]func(xml string) string{
			"DOCTYPE":           func(x string) string { return `<!DOCTYPE r>` + x },
			"an entity":         func(x string) string { return `<!DOCTYPE r [<!ENTITY e "x">]>` + x },
			"an instruction":    func(x string) string { return `<?php x?>` + x },
			"one inside":        func(x string) string { return in(x, "<saml:Subject>", "<saml:Subject><?x y?>") },
			"an element behind": func(x string) string { return x + `<x/>` },
			"text behind":       func(x string) string { return x + `x` },
			"a comment before":  func(x string) string { return `<!-- x -->` + x },
			"two roots":         func(x string) string { return x + x },
			"a mark":            func(x string) string { return "\ufeff" + x },
			"UTF-16":            func(string) string { return "\xff\xfe<\x00" },
			"not UTF-8":         func(x string) string { return in(x, "agent-1", "agent-1\xff") },
			"another encoding":  func(x string) string { return `<?xml version="1.0" encoding="ISO-8859-1"?>` + x },
			"an ID twice": func(x string) string {
				return in(x, "<saml:Subject>", `<saml:Subject xmlns:x="urn:x" x:ID="`+idOf(x)+`">`)
			},
			"depth": func(x string) string {
				return in(x, "<saml:Subject>", "<saml:Subject>"+strings.Repeat("<x>", 20_000)+strings.Repeat("</x>",
					20_000))
			},
			"many elements": func(x string) string {
				return in(x, "<saml:Subject>", "<saml:Subject>"+strings.Repeat("<x/>", 11_000))
			},
			"many attributes": func(x string) string {
				var b strings.Builder
				for i := range 100 {
					b.WriteString(` a` + strings.Repeat("b", i) + `="x"`)
				}
				return in(x, "<saml:Subject>", "<saml:Subject"+b.String()+">")
			},
			"300 KiB": func(x string) string {
				return in(x, "<saml:Subject>", "<saml:Subject>"+
					strings.Repeat(" ", 300<<10))
			},
			"no XML":       func(string) string { return "hello" },
			"nothing":      func(string) string { return "" },
			"cut":          func(x string) string { return x[:len(x)/2] },
			"another root": func(string) string { return `<a xmlns="urn:x"/>` },
			"no assertion": func(x string) string {
				return x[:strings.Index(x, "<saml:Assertion")] +
					"</samlp:Response>"
			},
			"a NUL": func(x string) string { return in(x, "agent-1", "agent-1\x00") },
			"a transform": func(x string) string {
				return in(x, "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
					"http://www.w3.org/TR/1999/REC-xpath-19991116")
			},
			"two references": func(x string) string {
				i, j := strings.Index(x, "<ds:Reference"), strings.Index(x, "</ds:Reference>")+len("</ds:Reference>")
				return x[:j] + x[i:j] + x[j:]
			},
			"a reference to the root": func(x string) string { return in(x, `URI="#`, `URI="" x="#`) },
		} {
			p := h.samlRound(edit)
			if p.Status != 400 || p.AtApp() {
				t.Errorf("%s: %d %s %.300s", name, p.Status, p.URL, p.Body)
			}
		}
		b := idptest.NewBrowser(t, h.Server)
		acs := servertest.PublicURL + "/v1/auth/sso/saml/callback"
		for name, text := range map[string]string{"no base64": "<xml>", "padding inside": "AAA=AAAA",
			"5 MB": strings.Repeat("A",
				5<<20), "URL-safe": "_-__"} {
			if p := b.Submit(acs, map[string][]string{"SAMLResponse": {text}}); p.Status != 400 && p.Status != 413 {
				t.Errorf("%s: %d", name, p.Status)
			}
		}
		if p := b.Submit(acs, map[string][]string{"SAMLResponse": {"AAAA", "AAAA"}}); p.Status != 400 {
			t.Errorf("twice: %d", p.Status)
		}
		if p := h.samlRound(func(x string) string { return x + "\n \n" }); p.Get("code") == "" {
			t.Errorf("white space behind: %d %s", p.Status, p.URL)
		}
	})
}

func idOf(xml string) string {
	_, rest, _ := strings.Cut(xml, `ID="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// SSO22, ATK05: the name is all of its text, or none: a comment or a section inside cuts nothing off.
func TestSSO22_Names(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		for _, name := range []string{"agent-1<!-- x -->.evil", "agent-1<![CDATA[.evil]]>", "agent-1<!---->x",
			"<!-- -->agent-1x",
			"Agent-1", "agent-1 ", " agent-1", "agent-1\n", "agent&#45;1x", "agent-1&#0;"} {
			idp.Answer(func(p *idptest.Parts) {
				p.Edit = func(x string) string { return strings.Replace(x, ">agent-1<", ">"+name+"<", 1) }
			})
			if strings.Contains(name, "&#0;") {
				continue // no XML document can say so
			}
			h.nobodyIn(name, h.samlRound(nil))
		}
		// and after it was signed
		idp.Answer(nil)
		for _, name := range []string{"agent-1<!-- x -->", "agent-<!-- x -->1"} {
			if p := h.samlRound(
				func(x string) string { return strings.Replace(x, ">agent-1<", ">"+name+"<", 1) },
			); p.Get("code") != "" {
				// exclusive canonicalisation leaves comments out: the same text, and so the same person
				if r := h.redeemSAML(p); r.String("user.email") != servertest.Agent {
					t.Errorf("%q: %s", name, r.Body)
				}
			}
		}
	})
}

// SSO23, ATK06: keys are those of the metadata, all of them and no others; unsigned is refused whatever is set; a
// certificate that ran out is still its key.
func TestSSO23_Keys(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		day := time.Now().Add(24 * time.Hour)
		first, second := idptest.NewSAMLKey(t, idptest.RSA(0), day), idptest.NewSAMLKey(t, idptest.RSA(1), day)
		old := idptest.NewSAMLKey(t, idptest.RSA(2), time.Now().Add(-time.Hour))
		idp, c := h.goSAML(nil, first)
		h.known(idp)
		idp.Answer(nil)
		signedBy := func(signer idptest.SAMLKey, published ...idptest.SAMLKey) idptest.Page {
			t.Helper()
			for _, use := range []string{"signing", ""} { // a key without a use is for both
				h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadata": idp.MetadataXML(use,
					published...)}},
					h.admin).
					Want(t, 200)
				idp.SignWith(signer)
				if p := h.samlRound(nil); p.Get("code") == "" {
					return p
				}
			}
			return h.samlRound(nil)
		}
		good := func(what string, p idptest.Page) {
			t.Helper()
			if p.Get("code") == "" {
				t.Errorf("%s: %s %s", what, p.URL, h.why())
			}
		}
		bad := func(what string, p idptest.Page) {
			t.Helper()
			h.nobodyIn(what, p)
			if h.why() != "signature" {
				t.Errorf("%s: %s", what, h.why())
			}
		}
		good("the first of two", signedBy(first, first, second))
		good("the second of two", signedBy(second, first, second))
		bad("a removed key", signedBy(first, second))
		good("a certificate that ran out", signedBy(old, old))
		idp.Answer(func(p *idptest.Parts) { p.KeyInfo = true })
		bad("a key in the response", signedBy(second, first))
		good("our key in the response", signedBy(first, first))
		for _, sign := range []string{"none"} {
			idp.Answer(func(p *idptest.Parts) { p.Sign = sign })
			bad("unsigned", signedBy(first, first))
		}
		for name, metadata := range map[string]string{
			"no key":                    idp.MetadataXML("signing"),
			"a key for encryption only": idp.MetadataXML("encryption", first),
			"no " +
				"descriptor": `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"/>`,
			"DOCTYPE": `<!DOCTYPE x>` + idp.MetadataXML("signing", first),
			"no XML":  "{}",
			"a page":  "<html><body>Sign in</body></html>",
		} {
			r := h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadata": metadata}}, h.admin)
			if r.Status != 400 || !strings.Contains(string(r.Body), "saml.metadata") {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		shown := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
		if shown.String("saml.entityId") != idp.EntityID || !strings.Contains(string(shown.Body), `"notAfter"`) {
			t.Errorf("%s", shown.Body)
		}
	})
}

// SSO25, SSO26, ATK07, A22: each part of a response missing, wrong, too early and too late.
func TestSSO25_SSO26_Parts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		for _, c := range []struct {
			name, check string
			change      func(p *idptest.Parts)
		}{
			{"good", "", func(*idptest.Parts) {}},
			{"no Destination", "destination", func(p *idptest.Parts) { p.Destination = "" }},
			{"another Destination", "destination", func(p *idptest.Parts) { p.Destination += "/" }},
			{"no Issuer", "issuer", func(p *idptest.Parts) { p.ResponseIssuer = "" }},
			{"another Issuer", "issuer", func(p *idptest.Parts) { p.ResponseIssuer += "x" }},
			{"another Issuer inside", "issuer", func(p *idptest.Parts) { p.AssertionIssuer += "x" }},
			{"no Issuer inside", "issuer", func(p *idptest.Parts) { p.AssertionIssuer = "" }},
			{"no Recipient", "recipient", func(p *idptest.Parts) { p.Recipient = "" }},
			{"another Recipient", "recipient", func(p *idptest.Parts) { p.Recipient += "x" }},
			{"no Audience", "audience", func(p *idptest.Parts) { p.Audience = "" }},
			{"another Audience", "audience", func(p *idptest.Parts) { p.Audience += "/" }},
			{"nothing answered inside", "in_response_to", func(p *idptest.Parts) { p.ConfirmedFor = "" }},
			{"another answered inside", "in_response_to", func(p *idptest.Parts) { p.ConfirmedFor = "id-x" }},
			{"no confirmation", "form", func(p *idptest.Parts) { p.NoConfirmation = true }},
			{"holder of key", "form",
				func(p *idptest.Parts) { p.Method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key" }},
			{"no conditions", "form", func(p *idptest.Parts) { p.NoConditions = true }},
			{"unknown condition", "form", func(p *idptest.Parts) { p.Conditions = `<x:Weather xmlns:x="urn:x"/>` }},
			{"no statement", "form", func(p *idptest.Parts) { p.NoStatement = true }},
			{"no NameID", "form", func(p *idptest.Parts) { p.NameID = "" }},
			{"transient", "subject", func(p *idptest.Parts) { p.Format = transient }},
			{"a long name", "subject", func(p *idptest.Parts) { p.NameID = strings.Repeat("x", 256) }},
			{"refused there", "status",
				func(p *idptest.Parts) { p.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }},
			{"issued long ago", "time", func(p *idptest.Parts) { p.Issued = ago(6 * time.Minute) }},
			{"issued a while ago", "", func(p *idptest.Parts) { p.Issued = ago(time.Minute) }},
			{"issued in the future", "time", func(p *idptest.Parts) { p.Issued = ago(-4 * time.Minute) }},
			{"over", "time", func(p *idptest.Parts) { p.NotOnOrAfter = ago(4 * time.Minute) }},
			{"just over", "", func(p *idptest.Parts) { p.NotOnOrAfter = ago(2 * time.Minute) }},
			{"not yet", "time", func(p *idptest.Parts) { p.NotBefore = ago(-4 * time.Minute) }},
			{"soon", "", func(p *idptest.Parts) { p.NotBefore = ago(-2 * time.Minute) }},
			{"confirmation over", "time", func(p *idptest.Parts) { p.ConfirmedUntil = ago(4 * time.Minute) }},
			{"confirmation without end", "time", func(p *idptest.Parts) { p.ConfirmedUntil = time.Time{} }},
			{"session over", "session", func(p *idptest.Parts) {
				p.SessionNotOnOrAfter = ago(4 * time.Minute).UTC().Format(time.RFC3339)
			}},
			{"SHA-1", "form", func(p *idptest.Parts) { p.Method256 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1" }},
		} {
			for _, sign := range []string{"assertion", "response"} {
				idp.Answer(func(p *idptest.Parts) { p.Sign = sign; c.change(p) })
				p := h.samlRound(nil)
				if (p.Get("code") != "") != (c.check == "") {
					t.Errorf("%s, %s signed: %d %s %s", c.name, sign, p.Status, p.URL, h.why())
					continue
				}
				if got := h.why(); c.check != "" && got != c.check {
					t.Errorf("%s, %s signed: refused for %s, want %s", c.name, sign, got, c.check)
				}
			}
		}
		// what was not asked for, or by another browser, or twice
		idp.Answer(nil)
		h.nobodyIn("another request", h.samlRound(func(x string) string {
			return strings.ReplaceAll(x, `InResponseTo="id-`, `InResponseTo="id-x`)
		}))
		b := idptest.NewBrowser(t, h.Server)
		p := b.Open(idptest.Start("saml", "organization", "acme-corp"))
		action, form := p.Form()
		if other := idptest.NewBrowser(t, h.Server).Submit(action, form); other.Status != 401 {
			t.Errorf("another browser: %d", other.Status)
		}
		if p := b.Submit(action, form); p.Get("code") == "" {
			t.Errorf("%d %s", p.Status, p.URL)
		}
		// SSO27: once, on this node and on another
		if p := b.Submit(action, form); p.Status != 401 {
			t.Errorf("again: %d %s", p.Status, p.URL)
		}
		node := servertest.Join(t, h.Config.Database.Reveal(), reaching)
		if p := b.On(node).Submit(action, form); p.Status != 401 {
			t.Errorf("again at another node: %d %s", p.Status, p.URL)
		}
		// SSO30: RelayState is not read
		for _, relay := range []string{"", "https://evil.example/", "javascript:alert(1)", strings.Repeat("x", 5000)} {
			p := b.Open(idptest.Start("saml", "organization", "acme-corp"))
			action, form := p.Form()
			if n := len(form.Get("RelayState")); n == 0 || n > 80 {
				t.Errorf("a RelayState of %d bytes", n)
			}
			form.Set("RelayState", relay)
			if p := b.Submit(action, form); p.Get("code") == "" || strings.Contains(p.URL.String(), "evil") {
				t.Errorf("%s: %d %s", relay, p.Status, p.URL)
			}
		}
		// an assertion in another response of the same request
		if p := h.samlRound(nil, "prompt", "login"); p.Get("code") == "" {
			t.Errorf("%s", h.why())
		}
	})
}

// SSO24: SHA-1 by exception, until a day; short keys never.
func TestSSO24_WeakSignatures(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		h.known(idp)
		idp.Answer(func(p *idptest.Parts) { p.Method256 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1" })
		h.nobodyIn("SHA-1", h.samlRound(nil))
		until := func(day string, status int) {
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadataUrl": idp.URL + "/metadata",
				"allowSha1Until": day}}, h.admin).Want(t, status)
		}
		until("soon", 400)
		until(time.Now().AddDate(0, 0, 100).Format(time.DateOnly), 400) // for a change, not for ever
		until(time.Now().AddDate(0, 0, 1).Format(time.DateOnly), 200)
		if p := h.samlRound(nil); p.Get("code") == "" {
			t.Errorf("%s", h.why())
		}
		until(time.Now().AddDate(0, 0, -2).Format(time.DateOnly), 200)
		h.nobodyIn("after the day", h.samlRound(nil))
	})
}

// SSO29: an answer that nobody asked for signs nobody in. Where the connection has an address for it, a good one leads
// there, to a round that is asked for.
func TestSSO29_Unsolicited(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		h.known(idp)
		idp.Answer(func(p *idptest.Parts) { p.InResponseTo, p.ConfirmedFor = "", "" })
		post := func() idptest.Page {
			b := idptest.NewBrowser(t, h.Server)
			p := b.Open(idptest.Start("saml", "organization", "acme-corp"))
			action, form := p.Form()
			return idptest.NewBrowser(t, h.Server).Submit(action, form)
		}
		if p := post(); p.Status != 404 {
			t.Errorf("switched off: %d %s", p.Status, p.URL)
		}
		start := "https://app.example.com/sign-in?x=1"
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadataUrl": idp.URL + "/metadata",
			"startUrl": start}}, h.admin).Want(t, 200)
		p := post()
		if p.Get("code") != "" || p.Get("organization") != "acme-corp" || p.Get("connection") != c ||
			p.Get("x") != "1" {
			t.Errorf("%d %s", p.Status, p.URL)
		}
		idp.Answer(func(p *idptest.Parts) { p.InResponseTo, p.ConfirmedFor, p.Sign = "", "", "none" })
		if p := post(); p.Status != 404 {
			t.Errorf("unsigned: %d %s", p.Status, p.URL)
		}
		// one provider of two organizations
		idp.Answer(func(p *idptest.Parts) { p.InResponseTo, p.ConfirmedFor = "", "" })
		foreigner := h.As(t, servertest.Foreigner)
		other := h.Do(t, "POST", "/v1/connections", object{
			"kind": "saml",
			"name": "x",
			"saml": object{
				"metadataUrl": idp.URL + "/metadata",
				"startUrl":    start,
			},
		}, foreigner).Want(t, 201).String("id")
		h.Do(t, "PATCH", "/v1/connections/"+other, object{"state": "active"}, foreigner).Want(t, 200)
		if p := post(); p.Status != 404 {
			t.Errorf("of two: %d %s", p.Status, p.URL)
		}
	})
}

// A25: this server's own metadata, for all and for one connection; answers at a connection's own address; signed
// requests.
func TestA25_OwnMetadata(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(func(b object) {
			b["ownAddress"] = true
			b["saml"].(object)["ownEntityId"], b["saml"].(object)["signRequests"] = true, true
		})
		shown := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
		entity := servertest.PublicURL + "/v1/auth/sso/connections/" + c + "/metadata"
		if shown.String("serviceProviderEntityId") != entity || shown.String("serviceProviderMetadataUrl") != entity {
			t.Errorf("%s", shown.Body)
		}
		own := h.Do(t, "GET", "/v1/auth/sso/connections/"+c+"/metadata", nil).Want(t, 200)
		if body := string(own.Body); !strings.Contains(body, `entityID="`+entity+`"`) || !strings.Contains(body,
			`AuthnRequestsSigned="true"`) || !strings.Contains(body, "/v1/auth/sso/connections/"+c+"/callback") ||
			strings.Contains(body, "Artifact") || !strings.HasPrefix(own.Header.Get("Content-Type"),
			"application/samlmetadata+xml") {
			t.Errorf("%s", body)
		}
		shared := h.Do(t, "GET", "/v1/auth/sso/saml/metadata", nil).Want(t, 200)
		if body := string(shared.Body); !strings.Contains(body, servertest.PublicURL+"/v1/auth/sso/saml/callback") ||
			strings.Contains(body, "X509Certificate") {
			t.Errorf("%s", body)
		}
		h.Do(t, "GET", "/v1/auth/sso/connections/con_01BX5ZZKBKACTAV9WEVGEMMVRZ/metadata", nil).Want(t, 404)
		idp.Answer(func(p *idptest.Parts) { p.Attributes = mailAttribute(servertest.Agent) })
		b := idptest.NewBrowser(t, h.Server)
		b.Stop(idp.URL)
		to := b.Open(idptest.Start("saml", "organization", "acme-corp")).URL
		if to.Query().Get("Signature") == "" ||
			to.Query().Get("SigAlg") != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" {
			t.Errorf("%s", to)
		}
		if p := h.samlRound(nil); p.Get("code") == "" {
			t.Errorf("%d %s %s", p.Status, p.URL, h.why())
		}
	})
}
