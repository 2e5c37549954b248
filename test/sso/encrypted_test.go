package sso

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO28, ATK03: one assertion, encrypted or plain. Whatever is wrong with what was encrypted has one answer.
func TestSSO28_Encrypted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		h.known(idp)
		cert := h.ownCertificate(c)
		plain := func(x string) string { return idptest.Encrypted(t, x, cert, false, nil) }
		if p := h.samlRound(plain); p.Get("code") == "" {
			t.Fatalf("%d %s %s", p.Status, p.URL, h.why())
		}
		beside := func(x, with string) string {
			return strings.Replace(x, "</samlp:Response>", with+"</samlp:Response>", 1)
		}
		assertion := func(x string) string {
			i := strings.Index(x, "<saml:Assertion")
			return x[i : strings.Index(x, "</saml:Assertion>")+len("</saml:Assertion>")]
		}
		encrypted := func(x string) string {
			e := plain(x)
			i := strings.Index(e, "<saml:EncryptedAssertion")
			return e[i : strings.Index(e, "</saml:EncryptedAssertion>")+len("</saml:EncryptedAssertion>")]
		}
		for name, edit := range map[string]func(x string) string{
			"encrypted and plain": func(x string) string { return beside(plain(x), assertion(x)) },
			"plain and encrypted": func(x string) string { return beside(x, encrypted(x)) },
			"two encrypted":       func(x string) string { return beside(plain(x), encrypted(x)) },
			"one inside": func(x string) string {
				return strings.Replace(x, "</saml:Assertion>", encrypted(x)+"</saml:Assertion>", 1)
			},
		} {
			if p := h.samlRound(edit); p.Status != 400 {
				t.Errorf("%s: %d %s %s", name, p.Status, p.URL, h.why())
			}
		}
		// what only decryption shows: the library's reading, and then the gate
		in := func(what, with string) func(x string) string {
			return func(x string) string {
				return idptest.Encrypted(t, x, cert, false, func(p string) string {
					return strings.Replace(p, what, with, 1)
				})
			}
		}
		instead := func(with func(plain string) string) func(x string) string {
			return func(x string) string { return idptest.Encrypted(t, x, cert, false, with) }
		}
		for name, edit := range map[string]func(x string) string{
			"a DOCTYPE":      in("<saml:Assertion", "<!DOCTYPE r><saml:Assertion"),
			"an instruction": in("<saml:Assertion", "<?x y?><saml:Assertion"),
			"a second root":  in("</saml:Assertion>", "</saml:Assertion><x/>"),
			"a comment":      in("<saml:Assertion", "<!-- x --><saml:Assertion"),
			"nothing":        instead(func(string) string { return "" }),
			"no XML":         instead(func(string) string { return "x" }),
			"a response":     func(x string) string { return instead(func(string) string { return x })(x) },
			"somebody else":  in("agent-1", "agent-2"),
		} {
			h.nobodyIn(name, h.samlRound(edit))
		}

		// CBC under no signature is not even tried; under one, every damage has the same answer
		idp.Answer(func(p *idptest.Parts) { p.Sign = "assertion" })
		h.nobodyIn("CBC", h.samlRound(func(x string) string { return idptest.Encrypted(t, x, cert, true, nil) }))
		if h.why() != "signature" {
			t.Errorf("CBC: %s", h.why())
		}
		damaged := map[string]string{}
		for _, at := range []int{20, 200, 1000, -30, -2} {
			idp.Answer(func(p *idptest.Parts) {
				p.Sign = "both"
				p.Encrypt = func(x string) string {
					e := idptest.Encrypted(t, x, cert, true, nil)
					i := strings.LastIndex(e, "CipherValue>")
					i = strings.LastIndex(e[:i], "CipherValue>") + len("CipherValue>")
					n := at
					if end := strings.LastIndex(e, "</xenc:CipherValue>"); n < 0 {
						n += end - i
					}
					with := byte('A')
					if e[i+n] == with {
						with = 'B'
					}
					return e[:i+n] + string(with) + e[i+n+1:]
				}
			})
			p := h.samlRound(nil)
			h.nobodyIn("damaged CBC", p)
			damaged[h.why()+" "+p.Get("error")] = p.URL.String()
		}
		if len(damaged) != 1 {
			t.Errorf("%v", damaged)
		}
	})
}

// SSO20, ATK01: wrapping inside of what is encrypted: anybody can encrypt for this server.
func TestSSO20_EncryptedWrapping(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		h.known(idp)
		cert := h.ownCertificate(c)
		forms := 0
		for _, sign := range []string{"assertion", "both"} {
			idp.Answer(func(p *idptest.Parts) { p.Sign, p.Attributes = sign, mailAttribute(servertest.Agent) })
			var genuine string
			h.samlRound(func(x string) string { genuine = x; return x })
			for _, to := range [][2]string{{servertest.Agent, servertest.Admin}, {"agent-1", "admin-1"}} {
				for name := range idptest.Wrapped(genuine, to[0], to[1]) {
					forms++
					h.nobodyIn(sign+", "+name, h.samlRound(func(x string) string {
						return idptest.Encrypted(t, idptest.Wrapped(x, to[0], to[1])[name], cert, false, nil)
					}))
				}
			}
		}
		if forms < 20 {
			t.Errorf("only %d forms", forms)
		}
	})
}

// SSO27, ATK07: a response is good once, on this node, on another, and after the first is gone.
func TestSSO27_Replay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		b := idptest.NewBrowser(t, h.Server)
		var action string
		var form url.Values
		again := func(where string, on *servertest.Server) {
			t.Helper()
			if p := b.On(on).Submit(action, form); p.Status != 401 {
				t.Errorf("%s: %d %s", where, p.Status, p.URL)
			}
		}
		t.Run("a node", func(t *testing.T) { // which is gone after it
			node := servertest.Join(t, h.Config.Database.Reveal(), reaching)
			action, form = b.On(node).Open(idptest.Start("saml", "organization", "acme-corp")).Form()
			if p := b.On(node).Submit(action, form); p.Get("code") == "" {
				t.Fatalf("%d %s", p.Status, p.URL)
			}
			again("on the same node", node)
			again("on another", h.Server)
		})
		again("after a restart", servertest.Join(t, h.Config.Database.Reveal(), reaching))
	})
}

// SSO30, ATK09, ATK20: RelayState is a random handle that nothing is read from.
func TestSSO30_RelayState(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		b := idptest.NewBrowser(t, h.Server)
		seen := map[string]bool{}
		for _, relay := range []string{"", "https://evil.example/", "//evil.example", "javascript:alert(1)",
			"<script>alert(1)</script>", strings.Repeat("x", 5000)} {
			action, form := b.Open(idptest.Start("saml", "organization", "acme-corp")).Form()
			if n := len(form.Get("RelayState")); n < 20 || n > 80 || seen[form.Get("RelayState")] {
				t.Errorf("the RelayState %q", form.Get("RelayState"))
			}
			seen[form.Get("RelayState")] = true
			form.Set("RelayState", relay)
			p := b.Submit(action, form)
			if p.Get("code") == "" || strings.Contains(p.URL.String()+p.Body, "evil") || strings.Contains(p.Body,
				"script") {
				t.Errorf("%.40s: %d %s", relay, p.Status, p.URL)
			}
		}
	})
}

// A32, check 25: who was asked for a new proof must have given one; control characters are in nothing that is told.
func TestA32_SAMLProof(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, _ := h.goSAML(nil)
		h.known(idp)
		idp.Answer(func(p *idptest.Parts) { p.Proven = time.Now().Add(-time.Hour) })
		if p := h.samlRound(nil); p.Get("code") == "" {
			t.Errorf("%d %s %s", p.Status, p.URL, h.why())
		}
		if p := h.samlRound(nil, "prompt", "login"); p.Get("code") != "" || h.why() != "auth_time" {
			t.Errorf("%d %s %s", p.Status, p.URL, h.why())
		}
		idp.Answer(nil)
		if p := h.samlRound(nil, "prompt", "login"); p.Get("code") == "" {
			t.Errorf("%d %s %s", p.Status, p.URL, h.why())
		}
		idp.Answer(func(p *idptest.Parts) { p.Attributes = mailAttribute("agent\u0085@evil.example") })
		if p := h.samlRound(nil); p.Get("code") != "" || h.why() != "characters" {
			t.Errorf("%d %s %s", p.Status, p.URL, h.why())
		}
	})
}
