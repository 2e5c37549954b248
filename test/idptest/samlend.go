package idptest

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// End is a request to end sessions. Empty parts are left out.
type End struct {
	ID, Destination, Issuer, NameID string
	Sessions                        []string
	Issued, NotOnOrAfter            time.Time
	Edit                            func(xml string) string // before it is signed
	Key                             SAMLKey                 // that signs; the provider's first if there is none
	Unsigned                        bool
}

func (p *SAMLProvider) endXML(to string, change func(*End)) (string, End) {
	p.mu.Lock()
	e := End{ID: "_" + rand.Text(), Destination: to, Issuer: p.EntityID, NameID: "agent-1", Issued: time.Now(),
		Key: p.keys[0]}
	p.mu.Unlock()
	if change != nil {
		change(&e)
	}
	text := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" `+
		`xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="2.0"%s%s%s>`, e.ID,
		at("IssueInstant", e.Issued), at("NotOnOrAfter", e.NotOnOrAfter), tag(` Destination="%s"`, e.Destination)) +
		tag(`<saml:Issuer>%s</saml:Issuer>`, e.Issuer) + tag(`<saml:NameID>%s</saml:NameID>`, e.NameID)
	for _, s := range e.Sessions {
		text += tag(`<samlp:SessionIndex>%s</samlp:SessionIndex>`, s)
	}
	text += `</samlp:LogoutRequest>`
	if e.Edit != nil {
		text = e.Edit(text)
	}
	return text, e
}

// EndByRedirect gives the address with which a browser brings a LogoutRequest to a service provider.
func (p *SAMLProvider) EndByRedirect(t testing.TB, to string, change func(*End)) string {
	t.Helper()
	text, e := p.endXML(to, change)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	query := "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes())) + "&RelayState=back"
	if !e.Unsigned {
		query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
		sum := sha256.Sum256([]byte(query))
		signature, err := rsa.SignPKCS1v15(rand.Reader, e.Key.Key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	return to + "?" + query
}

// EndByPost gives the form with which a browser brings one.
func (p *SAMLProvider) EndByPost(t testing.TB, to string, change func(*End)) url.Values {
	t.Helper()
	text, e := p.endXML(to, change)
	if !e.Unsigned {
		doc := etree.NewDocument()
		if err := doc.ReadFromString(text); err != nil {
			t.Fatal(err)
		}
		ctx, err := dsig.NewSigningContext(e.Key.Key, [][]byte{e.Key.Cert})
		if err != nil {
			t.Fatal(err)
		}
		ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		signature, err := ctx.ConstructSignature(doc.Root(), true)
		if err != nil {
			t.Fatal(err)
		}
		doc.Root().InsertChildAt(1, signature)
		if text, err = doc.WriteToString(); err != nil {
			t.Fatal(err)
		}
	}
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(text))}, "RelayState": {"back"}}
}
