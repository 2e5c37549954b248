package idptest

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// SAMLProvider is a SAML identity provider in Go whose responses can be made wrong in every part, and are signed when
// they are.
type SAMLProvider struct {
	URL, EntityID string

	mu    sync.Mutex
	keys  []SAMLKey // the first signs; all are published
	parts func(p *Parts)
	extra string // in the metadata, of the EntityDescriptor
}

// SAMLKey is a key of a provider with its certificate.
type SAMLKey struct {
	Key  *rsa.PrivateKey
	Cert []byte // DER
}

// NewSAMLKey makes the certificate of a key.
func NewSAMLKey(t testing.TB, key *rsa.PrivateKey, until time.Time) SAMLKey {
	t.Helper()
	cert := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return SAMLKey{key, der}
}

// Parts are what a response is made of. Empty ones are left out.
type Parts struct {
	Destination, ResponseIssuer, InResponseTo, Status           string
	AssertionIssuer, NameID, Format, Recipient, ConfirmedFor    string
	Method, Audience, Context, AssertionID, SessionNotOnOrAfter string
	Issued, Proven, NotBefore, NotOnOrAfter, ConfirmedUntil     time.Time
	NoConditions, NoStatement, NoConfirmation                   bool
	Conditions, Attributes, SessionIndex                        string // XML; the last is text
	Sign                                                        string // response, assertion, both, none
	Method256                                                   string // signature method; RSA with SHA-256 if empty
	KeyInfo                                                     bool   // put the certificate into the signature
	Edit                                                        func(xml string) string
	Encrypt                                                     func(xml string) string // between the signatures
}

// NewSAMLProvider starts one on loopback.
func NewSAMLProvider(t testing.TB, keys ...SAMLKey) *SAMLProvider {
	t.Helper()
	if len(keys) == 0 {
		keys = []SAMLKey{NewSAMLKey(t, RSA(0), time.Now().Add(24*time.Hour))}
	}
	p := &SAMLProvider{keys: keys}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.URL, p.EntityID = s.URL, s.URL+"/entity"
	return p
}

// Answer changes the parts of responses from now on.
func (p *SAMLProvider) Answer(change func(p *Parts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = change
}

// SignWith replaces the keys.
func (p *SAMLProvider) SignWith(keys ...SAMLKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Describe adds attributes to the metadata.
func (p *SAMLProvider) Describe(extra string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.extra = extra
}

// MetadataXML is what it says about itself. use is that of its keys: signing, or empty for none.
func (p *SAMLProvider) MetadataXML(use string, keys ...SAMLKey) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID=%q %s>`+
		`<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`, p.EntityID, p.extra)
	for _, k := range keys {
		if use != "" {
			use = fmt.Sprintf(` use=%q`, strings.Trim(strings.TrimPrefix(use, " use="), `"`))
		}
		fmt.Fprintf(
			&b,
			`<KeyDescriptor%s><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s`+
				`</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`,
			use,
			base64.StdEncoding.EncodeToString(k.Cert),
		)
	}
	fmt.Fprintf(&b, `<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location=%q `+
		`ResponseLocation=%q/><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" `+
		`Location=%q/></IDPSSODescriptor></EntityDescriptor>`, p.URL+"/slo", p.URL+"/ended", p.URL+"/sso")
	return b.String()
}

// ServeHTTP is the provider.
func (p *SAMLProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	keys, change := p.keys, p.parts
	metadata := p.MetadataXML("signing", keys...)
	p.mu.Unlock()
	switch r.URL.Path {
	case "/metadata":
		_, _ = io.WriteString(w, metadata)
	case "/sso":
		raw, err := base64.StdEncoding.DecodeString(r.URL.Query().Get("SAMLRequest"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		doc := etree.NewDocument()
		if _, err := doc.ReadFrom(flate.NewReader(bytes.NewReader(raw))); err != nil || doc.Root() == nil {
			http.Error(w, "no request", http.StatusBadRequest)
			return
		}
		asked := doc.Root()
		acs := asked.SelectAttrValue("AssertionConsumerServiceURL", "")
		issuer := ""
		if e := asked.FindElement("./Issuer"); e != nil {
			issuer = e.Text()
		}
		text, err := p.Response(keys, asked.SelectAttrValue("ID", ""), acs, issuer, change)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(
			w,
			`<form action="%s"><input name="SAMLResponse" value="%s"><input name="RelayState" value="%s"></form>`,
			html.EscapeString(acs),
			base64.StdEncoding.EncodeToString([]byte(text)),
			html.EscapeString(r.URL.Query().Get("RelayState")),
		)
	case "/ended":
		_, _ = io.WriteString(w, "the provider heard it")
	default:
		http.NotFound(w, r)
	}
}

func tag(format, value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(format, html.EscapeString(value))
}

func at(name string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf(` %s="%s"`, name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// Response makes a response to a request.
func (p *SAMLProvider) Response(keys []SAMLKey, request, acs, audience string, change func(*Parts)) (string, error) {
	now := time.Now()
	a := Parts{
		Destination:     acs,
		ResponseIssuer:  p.EntityID,
		InResponseTo:    request,
		Status:          "urn:oasis:names:tc:SAML:2.0:status:Success",
		AssertionIssuer: p.EntityID,
		NameID:          "agent-1",
		Format:          "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		Recipient:       acs,
		ConfirmedFor:    request,
		Method:          "urn:oasis:names:tc:SAML:2.0:cm:bearer",
		Audience:        audience,
		AssertionID:     "_" + rand.Text(),
		Issued:          now,
		Proven:          now,
		NotBefore:       now.Add(-time.Second),
		NotOnOrAfter:    now.Add(5 * time.Minute),
		ConfirmedUntil:  now.Add(5 * time.Minute),
		Context:         "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		SessionIndex:    "_session",
		Sign:            "assertion",
	}
	if change != nil {
		change(&a)
	}
	var b strings.Builder
	fmt.Fprintf(
		&b,
		`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" `+
			`xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_%s" Version="2.0"%s%s%s>`,
		rand.Text(),
		at("IssueInstant", a.Issued),
		tag(` Destination="%s"`, a.Destination),
		tag(` InResponseTo="%s"`, a.InResponseTo),
	)
	b.WriteString(tag(`<saml:Issuer>%s</saml:Issuer>`, a.ResponseIssuer))
	b.WriteString(tag(`<samlp:Status><samlp:StatusCode Value="%s"/></samlp:Status>`, a.Status))
	fmt.Fprintf(
		&b,
		`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="2.0"%s>`,
		a.AssertionID,
		at("IssueInstant", a.Issued),
	)
	b.WriteString(tag(`<saml:Issuer>%s</saml:Issuer>`, a.AssertionIssuer))
	b.WriteString(`<saml:Subject>` + tag(`<saml:NameID Format="`+a.Format+`">%s</saml:NameID>`, a.NameID))
	if !a.NoConfirmation {
		fmt.Fprintf(
			&b,
			`<saml:SubjectConfirmation%s><saml:SubjectConfirmationData%s%s%s/></saml:SubjectConfirmation>`,
			tag(
				` Method="%s"`,
				a.Method,
			),
			tag(` Recipient="%s"`, a.Recipient),
			tag(` InResponseTo="%s"`, a.ConfirmedFor),
			at("NotOnOrAfter", a.ConfirmedUntil),
		)
	}
	b.WriteString(`</saml:Subject>`)
	if !a.NoConditions {
		fmt.Fprintf(&b, `<saml:Conditions%s%s>%s%s</saml:Conditions>`, at("NotBefore", a.NotBefore),
			at("NotOnOrAfter", a.NotOnOrAfter),
			tag(`<saml:AudienceRestriction><saml:Audience>%s</saml:Audience></saml:AudienceRestriction>`, a.Audience),
			a.Conditions)
	}
	if !a.NoStatement {
		fmt.Fprintf(&b, `<saml:AuthnStatement%s%s%s><saml:AuthnContext>%s</saml:AuthnContext></saml:AuthnStatement>`,
			at("AuthnInstant", a.Proven), tag(` SessionIndex="%s"`, a.SessionIndex),
			tag(` SessionNotOnOrAfter="%s"`, a.SessionNotOnOrAfter),
			tag(`<saml:AuthnContextClassRef>%s</saml:AuthnContextClassRef>`, a.Context))
	}
	b.WriteString(a.Attributes + `</saml:Assertion></samlp:Response>`)
	text := b.String()
	if a.Edit != nil {
		text = a.Edit(text)
	}
	return sign(text, keys[0], a)
}

// sign puts the signatures where the schema has them: behind the Issuer.
func sign(text string, key SAMLKey, a Parts) (string, error) {
	if a.Sign == "none" {
		return text, nil
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		return "", err
	}
	ctx, err := dsig.NewSigningContext(key.Key, [][]byte{key.Cert})
	if err != nil {
		return "", err
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if a.Method256 != "" {
		if err := ctx.SetSignatureMethod(a.Method256); err != nil {
			return "", err
		}
	}
	place := func(el *etree.Element) error {
		sig, err := ctx.ConstructSignature(el, true)
		if err != nil {
			return err
		}
		if !a.KeyInfo {
			if info := sig.FindElement("./KeyInfo"); info != nil {
				sig.RemoveChild(info)
			}
		}
		index := 0
		if issuer := el.FindElement("./Issuer"); issuer != nil {
			index = issuer.Index() + 1
		}
		el.InsertChildAt(index, sig)
		return nil
	}
	if a.Sign != "response" {
		if err := place(doc.FindElement("//Assertion")); err != nil {
			return "", err
		}
	}
	if a.Encrypt != nil {
		text, err := doc.WriteToString()
		if err != nil {
			return "", err
		}
		doc = etree.NewDocument()
		if err := doc.ReadFromString(a.Encrypt(text)); err != nil {
			return "", err
		}
	}
	if a.Sign != "assertion" {
		if err := place(doc.Root()); err != nil {
			return "", err
		}
	}
	return doc.WriteToString()
}
