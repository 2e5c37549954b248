package upstream

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The gate before the SAML library: what a response may look like at all. The library verifies signatures and
// conditions; the gate keeps from it every shape in which a second reading of the document could differ from the first.
const (
	maxResponseBytes = 256 << 10
	maxMetadataBytes = 1 << 20
	maxDepth         = 64
	maxElements      = 10_000
	maxAttributes    = 64
)

const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
)

// envelope is what the gate saw of a response. Nothing of it is believed: it says which request to look up, and is
// compared with what the library verified.
type envelope struct {
	ID           string
	InResponseTo string
	Destination  string
	Issuer       string // of the Response
	Encrypted    bool
}

// transforms are those that a signature may use (SAML core §5.4.4).
var transforms = map[string]bool{
	nsSignature + "enveloped-signature":                   true,
	"http://www.w3.org/2001/10/xml-exc-c14n#":             true,
	"http://www.w3.org/2001/10/xml-exc-c14n#WithComments": true,
}

// node is an open element.
type node struct {
	name xml.Name
	id   string
	// of a Signature: what it says it signs, and how often
	references int
	reference  string
}

// checkDocument is what holds for responses and metadata alike: UTF-8 without a mark, one root, nothing but white space
// around it, no DOCTYPE, no processing instruction, no id twice, bounds. see is called at each element.
func checkDocument(raw []byte, most int, open func(path []node, e xml.StartElement) error, text func(path []node,
	t xml.CharData) error, close func(path []node) error) error {
	switch {
	case len(raw) > most:
		return fmt.Errorf("the document has more than %d bytes", most)
	case !utf8.Valid(raw):
		return errors.New("the document is not UTF-8")
	case bytes.ContainsRune(raw, 0):
		return errors.New("the document has a character that XML does not allow")
	}
	d := xml.NewDecoder(bytes.NewReader(raw))
	ids := make(map[string]bool)
	var path []node
	elements, roots := 0, 0
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the document is not well-formed: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 0 {
				if roots++; roots > 1 {
					return errors.New("the document has a second root")
				}
			}
			if elements++; elements > maxElements || len(path) >= maxDepth || len(t.Attr) > maxAttributes {
				return errors.New("the document has too many elements or attributes, or they are nested too deep")
			}
			n := node{name: t.Name}
			for _, a := range t.Attr {
				if strings.EqualFold(a.Name.Local, "id") {
					if ids[a.Value] {
						return errors.New("the document has an ID twice")
					}
					ids[a.Value], n.id = true, a.Value
				}
			}
			path = append(path, n)
			if err := open(path, t); err != nil {
				return err
			}
		case xml.EndElement:
			if err := close(path); err != nil {
				return err
			}
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) == 0 && strings.TrimSpace(string(t)) != "" {
				return errors.New("the document has text outside of its root")
			}
			if err := text(path, t); err != nil {
				return err
			}
		case xml.Comment:
			if len(path) == 0 {
				return errors.New("the document has a comment outside of its root")
			}
		case xml.Directive:
			return errors.New("the document has a DOCTYPE")
		case xml.ProcInst:
			if t.Target != "xml" || at != 0 {
				return errors.New("the document has a processing instruction")
			}
		}
	}
	if roots != 1 {
		return errors.New("the document has no root")
	}
	return nil
}

func nothing([]node, xml.CharData) error { return nil }

// The roots of what is held to the gate: a response, and an assertion that was decrypted. The latter is looked at as if
// it still stood in its response.
var (
	responseName  = xml.Name{Space: nsProtocol, Local: "Response"}
	assertionName = xml.Name{Space: nsAssertion, Local: "Assertion"}
	signatureName = xml.Name{Space: nsSignature, Local: "Signature"}
)

// checkResponse is the gate of SAML responses: beside what holds for every document, one Assertion, plain or encrypted,
// as a child of the root; signatures only of the root or of it, each with one Reference to what it stands in.
func checkResponse(raw []byte) (envelope, error) { return checkRooted(raw, responseName) }

// checkAssertion is the gate of what was encrypted.
func checkAssertion(raw []byte) error {
	_, err := checkRooted(raw, assertionName)
	return err
}

func checkRooted(raw []byte, root xml.Name) (env envelope, err error) {
	assertions, above := 0, 0
	if root == assertionName {
		above = 1
	}
	err = checkDocument(raw, maxResponseBytes, func(path []node, e xml.StartElement) error {
		depth := len(path) + above
		switch e.Name {
		case responseName:
			if depth != 1 {
				return errors.New("a Response is inside of another element")
			}
			env.ID, env.InResponseTo, env.Destination = attribute(e, "ID"), attribute(e, "InResponseTo"),
				attribute(e, "Destination")
		case assertionName, xml.Name{Space: nsAssertion, Local: "EncryptedAssertion"}:
			if assertions++; assertions > 1 {
				return errors.New("there is more than one assertion")
			}
			if depth != 2 {
				return errors.New("the assertion is not a child of the Response")
			}
			env.Encrypted = e.Name.Local == "EncryptedAssertion"
		case signatureName:
			parent := node{}
			if len(path) > 1 {
				parent = path[len(path)-2]
			}
			isRoot := depth == 2 && parent.name == responseName
			isAssertion := depth == 3 && parent.name == assertionName
			if !isRoot && !isAssertion {
				return errors.New("there is a signature of something else than the Response or its Assertion")
			}
		}
		if len(path) == 1 && e.Name != root {
			return fmt.Errorf("the document is no SAML 2.0 %s", root.Local)
		}
		return noteReference(path, e)
	}, func(path []node, t xml.CharData) error {
		if len(path) == 2 && path[1].name == (xml.Name{Space: nsAssertion, Local: "Issuer"}) {
			env.Issuer += string(t)
		}
		return nil
	}, checkSignature)
	if err == nil && assertions == 0 {
		err = errors.New("there is no assertion")
	}
	return env, err
}

// noteReference writes down what a Signature says it signs, and refuses transforms that may change that.
func noteReference(path []node, e xml.StartElement) error {
	at := signatureOf(path)
	if at < 0 {
		return nil
	}
	switch e.Name {
	case xml.Name{Space: nsSignature, Local: "Reference"}:
		path[at].references++
		path[at].reference = attribute(e, "URI")
	case xml.Name{Space: nsSignature, Local: "Transform"}:
		if !transforms[attribute(e, "Algorithm")] {
			return errors.New("a signature uses a transform that may change what is signed")
		}
	}
	return nil
}

// checkSignature holds a Signature, at its end, to one Reference to what it stands in.
func checkSignature(path []node) error {
	n := path[len(path)-1]
	if n.name != signatureName {
		return nil
	}
	if n.references != 1 || n.reference != "#"+path[len(path)-2].id || n.reference == "#" {
		return errors.New("a signature does not have one Reference, to what it stands in")
	}
	return nil
}

// signatureOf finds the Signature around the element at the end of a path: one of the document, not of an encryption.
func signatureOf(path []node) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i].name == signatureName {
			return i
		}
	}
	return -1
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
