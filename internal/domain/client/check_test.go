package client

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/faulttest"
)

// E3, G8: each field's smallest and largest value and one past each.
func TestE3_Check(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(c *Client)
		want   string
	}{
		{"the least", func(*Client) {}, ok},
		{"the longest name", func(c *Client) { c.Name = strings.Repeat("é", 200) }, ok},
		{"a longer name", func(c *Client) { c.Name = strings.Repeat("a", 201) }, invalid("name")},
		{"no name", func(c *Client) { c.Name = " \n " }, invalid("name")},
		{"a name of two lines", func(c *Client) { c.Name = "a\nb" }, invalid("name")},
		{"the longest description", func(c *Client) { c.Description = strings.Repeat("é", 500) }, ok},
		{"a longer description", func(c *Client) { c.Description = strings.Repeat("a", 501) }, invalid("description")},
		{"a description with a NUL", func(c *Client) { c.Description = "a\x00" }, invalid("description")},

		{"the shortest lifetime", func(c *Client) { c.TokenLifetime = time.Minute }, ok},
		{"the longest lifetime", func(c *Client) { c.TokenLifetime = 24 * time.Hour }, ok},
		{"a shorter lifetime", func(c *Client) { c.TokenLifetime = time.Minute - 1 }, invalid("tokenLifetimeSeconds")},
		{"a longer lifetime", func(c *Client) { c.TokenLifetime = 24*time.Hour + 1 }, invalid("tokenLifetimeSeconds")},
		{"no lifetime", func(c *Client) { c.TokenLifetime = 0 }, invalid("tokenLifetimeSeconds")},
		{"a negative lifetime", func(c *Client) { c.TokenLifetime = -time.Hour }, invalid("tokenLifetimeSeconds")},

		{"no rate", func(c *Client) { c.RateLimit = 0 }, ok},
		{"the smallest rate", func(c *Client) { c.RateLimit = 1 }, ok},
		{"the largest rate", func(c *Client) { c.RateLimit = 100_000 }, ok},
		{"a larger rate", func(c *Client) { c.RateLimit = 100_001 }, invalid("rateLimitPerMinute")},
		{"a negative rate", func(c *Client) { c.RateLimit = -1 }, invalid("rateLimitPerMinute")},

		{"the most addresses", func(c *Client) { c.Addresses = make([]netip.Prefix, 100) }, ok},
		{"one address too many", func(c *Client) { c.Addresses = make([]netip.Prefix, 101) },
			invalid("allowedAddresses")},

		{"off", func(c *Client) { c.State = Off }, ok},
		{"no state", func(c *Client) { c.State = "" }, invalid("state")},
		{"another state", func(c *Client) { c.State = "revoked" }, invalid("state")},

		{"tokens bound to no certificate", func(c *Client) { c.CertificateBound = true },
			invalid("certificateBoundTokens")},
		{"tokens bound to a certificate", func(c *Client) {
			c.CertificateBound, c.Authentication = true, Authentication{Method: TLS, SubjectDN: "CN=a"}
		}, ok},
		{"tokens bound to a certificate of its own", func(c *Client) {
			c.CertificateBound = true
			c.Authentication = Authentication{Method: SelfSignedTLS, Thumbprints: []string{strings.Repeat("a", 43)}}
		}, ok},
		{"several at once", func(c *Client) { c.Name, c.State, c.Authentication.Method = "", "", "" },
			invalid("authentication.method", "name", "state")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cl := Client{Name: " a name ", Description: " d ", State: Active, TokenLifetime: time.Hour,
				Authentication: Authentication{Method: Secret}}
			c.change(&cl)
			faulttest.Check(t, cl.check(), c.want)
			if cl.Name != strings.TrimSpace(cl.Name) || cl.Description != strings.TrimSpace(cl.Description) {
				t.Errorf("%q, %q", cl.Name, cl.Description)
			}
		})
	}
}

// E8, ATK30: each way of authenticating takes what it needs and nothing else.
func TestE8_Authentication(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("aZ0-_", 8) + "abc"
	thumbprints := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = good
		}
		return out
	}
	jwks := set(public("p256", "a", "sig", ""))
	const method, key, name, prints = "authentication.method", "authentication.jwks", "authentication.subjectDn",
		"authentication.thumbprints"
	type auth = Authentication
	for _, c := range []struct {
		name  string
		a     auth
		wrong []string
	}{
		{"a secret", auth{Method: Secret}, nil},
		{"a secret with keys", auth{Method: Secret, JWKS: jwks}, []string{method}},
		{"a secret with the address of keys", auth{Method: Secret, JWKSURI: "https://a.example/k"}, []string{method}},
		{"a secret with a name", auth{Method: Secret, SANDNS: "a.example"}, []string{method}},
		{"a secret with a thumbprint", auth{Method: Secret, Thumbprints: thumbprints(1)}, []string{method}},

		{"keys", auth{Method: PrivateKeyJWT, JWKS: jwks}, nil},
		{"the address of keys", auth{Method: PrivateKeyJWT, JWKSURI: "https://a.example/keys?v=1"}, nil},
		{"neither", auth{Method: PrivateKeyJWT}, []string{key}},
		{"both", auth{Method: PrivateKeyJWT, JWKS: jwks, JWKSURI: "https://a.example/k"}, []string{key}},
		{"no key in the set", auth{Method: PrivateKeyJWT, JWKS: set()}, []string{key}},
		{"keys and a name", auth{Method: PrivateKeyJWT, JWKS: jwks, SubjectDN: "CN=a"}, []string{method}},
		{"keys and a thumbprint", auth{Method: PrivateKeyJWT, JWKS: jwks, Thumbprints: thumbprints(1)},
			[]string{method}},
		{"an address of keys without TLS", auth{Method: PrivateKeyJWT, JWKSURI: "http://a.example/k"},
			[]string{"authentication.jwksUri"}},
		{"an address of keys with a user", auth{Method: PrivateKeyJWT, JWKSURI: "https://u:p@a.example/k"},
			[]string{"authentication.jwksUri"}},
		{"an address of keys with a fragment", auth{Method: PrivateKeyJWT, JWKSURI: "https://a.example/k#a"},
			[]string{"authentication.jwksUri"}},
		{"a file of keys", auth{Method: PrivateKeyJWT, JWKSURI: "file:///etc/passwd"},
			[]string{"authentication.jwksUri"}},

		{"a subject", auth{Method: TLS, SubjectDN: "CN=a,O=acme-corp"}, nil},
		{"a host", auth{Method: TLS, SANDNS: "a.acme-corp.example"}, nil},
		{"a URI", auth{Method: TLS, SANURI: "spiffe://acme-corp.example/a"}, nil},
		{"no name", auth{Method: TLS}, []string{name}},
		{"two names", auth{Method: TLS, SubjectDN: "CN=a", SANDNS: "a.example"}, []string{name}},
		{"three names", auth{Method: TLS, SubjectDN: "CN=a", SANDNS: "a.example", SANURI: "a://a"}, []string{name}},
		{"a name and keys", auth{Method: TLS, SubjectDN: "CN=a", JWKS: jwks}, []string{name}},
		{"a name and a thumbprint", auth{Method: TLS, SubjectDN: "CN=a", Thumbprints: thumbprints(1)}, []string{name}},
		{"the longest name", auth{Method: TLS, SubjectDN: "CN=" + strings.Repeat("a", 497)}, nil},
		{"a longer name", auth{Method: TLS, SubjectDN: "CN=" + strings.Repeat("a", 498)}, []string{name}},
		{"a name of two lines", auth{Method: TLS, SubjectDN: "CN=a\nO=b"}, []string{name}},
		{"a URI without a scheme", auth{Method: TLS, SANURI: "acme-corp.example/a"}, []string{"authentication.sanUri"}},

		{"a thumbprint", auth{Method: SelfSignedTLS, Thumbprints: thumbprints(1)}, nil},
		{"the most thumbprints", auth{Method: SelfSignedTLS, Thumbprints: thumbprints(10)}, nil},
		{"no thumbprint", auth{Method: SelfSignedTLS}, []string{prints}},
		{"one thumbprint too many", auth{Method: SelfSignedTLS, Thumbprints: thumbprints(11)}, []string{prints}},
		{"a thumbprint and a name", auth{Method: SelfSignedTLS, Thumbprints: thumbprints(1), SubjectDN: "CN=a"},
			[]string{prints}},
		{"a thumbprint and keys", auth{Method: SelfSignedTLS, Thumbprints: thumbprints(1), JWKS: jwks},
			[]string{prints}},
		{"a shorter thumbprint", auth{Method: SelfSignedTLS, Thumbprints: []string{good, good[1:]}},
			[]string{prints + "[1]"}},
		{"a longer thumbprint", auth{Method: SelfSignedTLS, Thumbprints: []string{good + "a"}},
			[]string{prints + "[0]"}},
		{"a thumbprint in base64", auth{Method: SelfSignedTLS, Thumbprints: []string{"+" + good[1:]}},
			[]string{prints + "[0]"}},
		{"a thumbprint with padding", auth{Method: SelfSignedTLS, Thumbprints: []string{good[1:] + "="}},
			[]string{prints + "[0]"}},

		{"no method", auth{}, []string{method}},
		{"none", auth{Method: "none"}, []string{method}},
		{"a method of the form", auth{Method: "client_secret_post"}, []string{method}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := []string{}
			for _, f := range c.a.check() {
				got = append(got, f.Field)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.wrong) {
				t.Errorf("got %v, want %v", got, c.wrong)
			}
		})
	}
}

// E8, ATK36, ATK37: the keys of client assertions are public, for signatures, of an algorithm that is accepted, and
// told apart by their kid.
func TestATK37_Keys(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int) *jose.JSONWebKeySet {
		s := set()
		for i := range n {
			s.Keys = append(s.Keys, public("p256", fmt.Sprint(i), "", ""))
		}
		return s
	}
	const none, count, kid = "for none of RS256", "must have 1 to 10 keys", "needs a kid of its own"
	for _, c := range []struct {
		name string
		set  *jose.JSONWebKeySet
		want string
	}{
		{"RSA", set(public("rsa", "a", "sig", "RS256")), ""},
		{"RSA with padding of its own", set(public("rsa", "a", "", "PS256")), ""},
		{"P-256", set(public("p256", "a", "sig", "ES256")), ""},
		{"Ed25519", set(public("ed25519", "a", "", "EdDSA")), ""},
		{"one without a kid", set(public("p256", "", "", "")), ""},
		{"several", set(public("p256", "a", "", ""), public("rsa", "b", "", "")), ""},
		{"the most", many(10), ""},
		{"one too many", many(11), count},
		{"none", set(), count},
		{"a private key", set(jose.JSONWebKey{Key: keys()["p256"], KeyID: "a"}), "not a public key"},
		{"a shared key", set(jose.JSONWebKey{Key: []byte("a shared secret of some length"), KeyID: "a"}),
			"not a public key"},
		{"for encryption", set(public("rsa", "a", "enc", "")), "not for signatures"},
		{"two without a kid", set(public("p256", "", "", ""), public("rsa", "b", "", "")), kid},
		{"two with one kid", set(public("p256", "a", "", ""), public("rsa", "a", "", "")), kid},
		{"another curve", set(public("p384", "a", "", "")), none},
		{"a weak key", set(jose.JSONWebKey{Key: &weak.PublicKey, KeyID: "a"}), none},
		{"an algorithm of another key", set(public("rsa", "a", "", "ES256")), none},
		{"an algorithm of shared keys", set(public("rsa", "a", "", "HS256")), none},
		{"no algorithm", set(public("rsa", "a", "", "none")), none},
		{"a stronger hash", set(public("rsa", "a", "", "RS512")), none},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := CheckKeys(c.set); err != nil {
				got = err.Error()
			}
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
