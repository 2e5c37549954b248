package upstream

import (
	"crypto/rsa"
	"errors"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/crewjam/saml/xmlenc"
)

const nsEncryption = "http://www.w3.org/2001/04/xmlenc#"

// maxEncryptedKeys is how many keys of an assertion are tried: one of them is for this server.
const maxEncryptedKeys = 8

// checkDecrypted holds an assertion that the library decrypted to the gate: until then nobody had seen it.
func checkDecrypted(raw []byte, sp *saml.ServiceProvider) error {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return errors.New("the response cannot be read")
	}
	for _, el := range doc.Root().ChildElements() {
		if el.Tag != "EncryptedAssertion" || el.NamespaceURI() != nsAssertion {
			continue
		}
		keys := sp.DecryptionKeys
		if k, ok := sp.Key.(*rsa.PrivateKey); ok {
			keys = append([]*rsa.PrivateKey{k}, keys...)
		}
		plain, err := decrypt(el, keys)
		if err != nil {
			return err
		}
		return checkAssertion(plain)
	}
	return errors.New("there is no encrypted assertion")
}

// decrypt gives what an EncryptedAssertion holds, with the first of the keys that opens it.
func decrypt(el *etree.Element, keys []*rsa.PrivateKey) ([]byte, error) {
	var data *etree.Element
	var wrapped []*etree.Element
	for _, e := range el.FindElements(".//EncryptedKey") {
		if e.NamespaceURI() == nsEncryption {
			wrapped = append(wrapped, e)
		}
	}
	for _, e := range el.ChildElements() {
		if e.Tag == "EncryptedData" && e.NamespaceURI() == nsEncryption {
			data = e
		}
	}
	if data == nil {
		return nil, errors.New("the assertion has no EncryptedData")
	}
	bare := data.Copy() // the library would unwrap a key beside it by itself
	for _, e := range bare.FindElements("./KeyInfo/EncryptedKey") {
		e.Parent().RemoveChild(e)
	}
	for _, w := range wrapped[:min(len(wrapped), maxEncryptedKeys)] {
		for _, k := range keys {
			content, err := xmlenc.Decrypt(k, w)
			if err != nil {
				continue
			}
			if plain, err := xmlenc.Decrypt(content, bare); err == nil {
				return plain, nil
			}
		}
	}
	return nil, errors.New("the assertion cannot be decrypted again")
}
