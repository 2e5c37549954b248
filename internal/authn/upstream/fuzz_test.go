package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/beevik/etree"
	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

const seedResponse = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="r" InResponseTo="q"
	Destination="https://auth.example.com/acs"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">idp</saml:Issuer>
	<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="a"><ds:Signature
	xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:Reference URI="#a"><ds:Transforms><ds:Transform
	Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms></ds:Reference></ds:SignedInfo></ds:Signature>
	<saml:Subject><saml:NameID>who<!-- -->ever</saml:NameID></saml:Subject></saml:Assertion></samlp:Response>`

// SSO52, ATK01: whatever the gate lets through, the library's parser sees as the gate did: one Response, one assertion
// below it, no ID twice, and the same request.
func FuzzSSO52_Response(f *testing.F) {
	f.Add(seedResponse)
	f.Add(strings.ReplaceAll(seedResponse, "saml:Assertion", "saml:EncryptedAssertion"))
	f.Add(strings.Replace(seedResponse, "<saml:Subject>", `<saml:Advice><saml:Assertion ID="b"/></saml:Advice><saml:Subject>`, 1))
	f.Add(`<?xml version="1.0"?>` + strings.ReplaceAll(seedResponse, "samlp", "x"))
	f.Add(`<!DOCTYPE r [<!ENTITY e "x">]>` + seedResponse)
	f.Fuzz(func(t *testing.T, text string) {
		res, err := ReadResponse(base64.StdEncoding.EncodeToString([]byte(text)))
		if err != nil {
			return
		}
		doc := etree.NewDocument()
		if err := doc.ReadFromString(text); err != nil {
			return // refused there
		}
		root := doc.Root()
		if root.Tag != "Response" || root.NamespaceURI() != nsProtocol {
			t.Fatalf("the root is %s of %q", root.Tag, root.NamespaceURI())
		}
		if got := root.SelectAttrValue("InResponseTo", ""); got != res.InResponseTo {
			t.Errorf("it answers %q, the gate saw %q", got, res.InResponseTo)
		}
		assertions, ids := 0, map[string]bool{}
		var walk func(e *etree.Element)
		walk = func(e *etree.Element) {
			if e.NamespaceURI() == nsAssertion && (e.Tag == "Assertion" || e.Tag == "EncryptedAssertion") {
				if assertions++; e.Parent() != root || (e.Tag == "EncryptedAssertion") != res.Encrypted {
					t.Errorf("an assertion that the gate did not see: %s", text)
				}
			}
			if a := e.SelectAttr("ID"); a != nil {
				if ids[a.Value] {
					t.Errorf("the ID %q is there twice", a.Value)
				}
				ids[a.Value] = true
			}
			for _, child := range e.ChildElements() {
				walk(child)
			}
		}
		walk(root)
		if assertions != 1 {
			t.Errorf("%d assertions: %s", assertions, text)
		}
	})
}

// SSO52: metadata that is taken names a provider, has a key, and leads only where it is allowed.
func FuzzSSO52_Metadata(f *testing.F) {
	f.Add(seedMetadata(f))
	f.Add(strings.Replace(seedMetadata(f), "https://idp.example.com/sso", "http://10.0.0.1/", 1))
	f.Fuzz(func(t *testing.T, text string) {
		asked := map[string]bool{}
		m, err := ParseMetadata([]byte(text), func(at string) error {
			asked[at] = true
			if !strings.HasPrefix(at, "https://") {
				return fmt.Errorf("%q is not allowed", at)
			}
			return nil
		})
		if err != nil {
			return
		}
		if m.EntityID == "" || len(m.Keys) == 0 || m.Redirect == "" && m.Post == "" {
			t.Errorf("taken: %+v", m)
		}
		for _, at := range []string{m.Redirect, m.Post} {
			if at != "" && (!asked[at] || !strings.HasPrefix(at, "https://")) {
				t.Errorf("leads to %q unasked", at)
			}
		}
		kept, err := m.reduced() // what is kept of it says the same
		if err != nil {
			return
		}
		again, err := ParseMetadata(kept, func(string) error { return nil })
		if err != nil {
			t.Fatalf("what is kept of %s cannot be read: %v", text, err)
		}
		if again.EntityID != m.EntityID || !slices.Equal(again.Keys, m.Keys) || again.Redirect != m.Redirect ||
			again.Post != m.Post || again.WantsSigned != m.WantsSigned {
			t.Errorf("%+v of %s, and %+v of %s", m, text, again, kept)
		}
	})
}

func seedMetadata(f *testing.F) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="idp"><IDPSSODescriptor
		protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo
		xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(der) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService
		Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>
		</IDPSSODescriptor></EntityDescriptor>`
}

// SSO52: a provider's keys are public ones, whatever it publishes.
func FuzzSSO52_Keys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
		`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"2"},{"kty":"unheard of"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := parseKeys(raw)
		if err != nil {
			return
		}
		for _, k := range set.Keys {
			if _, symmetric := k.Key.([]byte); symmetric || !k.IsPublic() || !k.Valid() {
				t.Errorf("the key %q of %s is taken", k.KeyID, raw)
			}
		}
	})
}

// SSO52, A22: of ID tokens whose signature is good only those pass that say exactly what they must, as another reader
// of JSON sees them.
func FuzzSSO52_IDToken(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	o := &OpenID{now: func() time.Time { return now }}
	round := Round{Nonce: "the-nonce"}
	const client, tenant = "the-client", "aaaabbbb-0000-cccc-1111-dddd2222eeee"
	connections := []connection.Connection{
		{Kind: connection.OIDC, Settings: connection.Settings{OpenID: &connection.OpenID{ClientID: client,
			Issuer: "https://idp.example.com"}}},
		{Kind: connection.Google, Settings: connection.Settings{OpenID: &connection.OpenID{ClientID: client,
			Issuer: "https://accounts.google.com", HostedDomains: []string{"acme-corp.example"}}}},
		{Kind: connection.Entra, Settings: connection.Settings{OpenID: &connection.OpenID{ClientID: client,
			Issuer: "https://login.microsoftonline.com/" + tenant + "/v2.0", TenantID: tenant}}},
	}
	good := `"aud":"the-client","exp":1800000300,"iat":1800000000,"nonce":"the-nonce","sub":"s"`
	f.Add(uint8(0), `{"iss":"https://idp.example.com",`+good+`,"groups":[{"name":"a"},"b",1]}`)
	f.Add(uint8(1), `{"iss":"accounts.google.com",`+good+`,"hd":"acme-corp.example","email":"a@b","email_verified":true}`)
	f.Add(uint8(2), `{"iss":"https://login.microsoftonline.com/`+tenant+`/v2.0",`+good+`,"tid":"`+tenant+`","oid":"o",`+
		`"xms_edov":1,"_claim_names":{"groups":"x"}}`)
	f.Add(uint8(0), `{"iss":"https://idp.example.com","iss":"x",`+good+`}`)
	f.Add(uint8(0), `{"iss":"https://idp.example.com","aud":["x","the-client"],"azp":"the-client","exp":1e10,"iat":1.8e9,`+
		`"nonce":"the-nonce","sub":"s","auth_time":-1,"amr":"mfa","sid":7}`)
	f.Fuzz(func(t *testing.T, which uint8, payload string) {
		c := connections[int(which)%len(connections)]
		var told claims
		if json.Unmarshal([]byte(payload), &told) != nil || told == nil {
			return
		}
		r := &report{}
		o.checkClaims(r, c, told, round)
		a := o.person(c, r, told)
		if r.err() != nil {
			return
		}
		var seen map[string]any
		if err := stdjson.Unmarshal([]byte(payload), &seen); err != nil {
			t.Fatalf("another reader refuses %s: %v", payload, err)
		}
		within := func(name string, from, to time.Duration) {
			n, ok := seen[name].(float64)
			at := time.Unix(int64(n), 0)
			if !ok || at.Before(now.Add(from)) || to != 0 && at.After(now.Add(to)) {
				t.Errorf("%s is %v: %s", name, seen[name], payload)
			}
		}
		within("exp", -skew, 0)
		within("iat", -stale, skew)
		if seen["nonce"] != round.Nonce || seen["sub"] == "" || a.Subject == "" || len(a.Subject) > 600 {
			t.Errorf("%s passed as %q", payload, a.Subject)
		}
		issuer, _ := seen["iss"].(string)
		if issuer != c.OpenID.Issuer && (c.Kind != connection.Google || issuer != "accounts.google.com") {
			t.Errorf("the issuer %q", issuer)
		}
		one := seen["aud"] == client
		list, _ := seen["aud"].([]any)
		if !one && !slices.Contains(list, any(client)) || len(list) > 1 && seen["azp"] != client {
			t.Errorf("the audience %v", seen["aud"])
		}
		if c.Kind == connection.Entra && (seen["tid"] != tenant || a.Subject != tenant+":"+fmt.Sprint(seen["oid"]) ||
			a.EmailVerified && seen["xms_edov"] != true && seen["xms_edov"] != 1.0) {
			t.Errorf("%s passed as %q", payload, a.Subject)
		}
		if c.Kind != connection.Entra && (a.Subject != seen["sub"] ||
			a.EmailVerified && seen["email_verified"] != true) {
			t.Errorf("%s passed as %q", payload, a.Subject)
		}
		for _, g := range a.Groups {
			if g == "" || strings.ContainsFunc(g, unicode.IsControl) {
				t.Errorf("the group %q", g)
			}
		}
	})
}

// SSO52: a discovery document that is taken is the issuer's own, and leads only where it is allowed.
func FuzzSSO52_Discovery(f *testing.F) {
	const issuer = "https://idp.example.com"
	f.Add([]byte(`{"issuer":"https://idp.example.com","authorization_endpoint":"https://idp.example.com/a",` +
		`"token_endpoint":"https://idp.example.com/t","jwks_uri":"https://idp.example.com/k","userinfo_endpoint":"http://x"}`))
	f.Add([]byte("\ufeff" + `{"issuer":"https://idp.example.com/"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parseDocument(raw, issuer, func(at string) error {
			if !strings.HasPrefix(at, "https://") {
				return fmt.Errorf("%q is not allowed", at)
			}
			return nil
		})
		if err != nil {
			return
		}
		for _, at := range []string{d.AuthorizationEndpoint, d.TokenEndpoint, d.JWKSURI, d.UserInfoEndpoint} {
			if !strings.HasPrefix(at, "https://") && (at != "" || d.UserInfoEndpoint != "") || d.Issuer != issuer {
				t.Errorf("%s leads to %q of %q", raw, at, d.Issuer)
			}
		}
	})
}
