package idptest

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/beevik/etree"
	"github.com/crewjam/saml/xmlenc"
)

// Encrypted puts an EncryptedAssertion in the place of each assertion of a response, for a certificate in PEM. plain
// changes what is encrypted; cbc takes a block cipher that does not notice changes.
func Encrypted(t testing.TB, response, cert string, cbc bool, plain func(xml string) string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(cert))
	if block == nil {
		t.Fatal("no certificate")
	}
	key, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(response); err != nil {
		t.Fatal(err)
	}
	for _, a := range doc.Root().SelectElements("Assertion") {
		alone := etree.NewDocument()
		alone.SetRoot(a.Copy())
		alone.Root().CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol")
		text, err := alone.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		if plain != nil {
			text = plain(text)
		}
		e := xmlenc.OAEP()
		if e.BlockCipher = xmlenc.AES256GCM; cbc {
			e.BlockCipher = xmlenc.AES256CBC
		}
		e.DigestMethod = &xmlenc.SHA256
		el, err := e.Encrypt(key, []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		wrapped := etree.NewElement("saml:EncryptedAssertion")
		wrapped.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
		wrapped.AddChild(el)
		at := a.Index()
		doc.Root().RemoveChildAt(at)
		doc.Root().InsertChildAt(at, wrapped)
	}
	text, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
