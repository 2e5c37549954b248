package oauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// E8, RFC 8705: authentication by a certificate of a trusted issuer, and by a registered one; tokens bound to it, at
// every place.
func TestE8_MutualTLS(t *testing.T) {
	clientCA, strangerCA := newAuthority("Client CA"), newAuthority("Another CA")
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, clientCA.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		address := overTLS(t, s)
		register := func(authentication map[string]any, more ...any) string {
			body := map[string]any{"name": "x", "permissions": []string{"tickets:read:all"},
				"authentication": authentication}
			for i := 0; i < len(more); i += 2 {
				body[more[i].(string)] = more[i+1]
			}
			r := s.Do(t, "POST", "/v1/clients", body, admin).Want(t, 201)
			if r.Get("clientSecret") != nil {
				t.Errorf("a client with a certificate has a secret: %s", r.Body)
			}
			return r.String("id")
		}
		ask := func(client string, certificates ...tls.Certificate) servertest.Response {
			return withCertificate(t, "POST", address+"/oauth2/token", append(slices.Clone(grant), "client_id", client),
				nil, certificates...)
		}
		good := clientCA.issue(t, named("billing"))
		uri, _ := url.Parse("spiffe://acme-corp.example/billing")
		san := clientCA.issue(t, func(c *x509.Certificate) {
			c.DNSNames, c.URIs = []string{"billing.acme-corp.example"}, []*url.URL{uri}
		})
		byName := register(map[string]any{"method": "tls_client_auth", "subjectDn": "CN=billing,O=Acme Corp"})
		byDNS := register(map[string]any{"method": "tls_client_auth", "sanDns": "billing.acme-corp.example"})
		byURI := register(map[string]any{"method": "tls_client_auth", "sanUri": uri.String()})
		own := newAuthority("self").issue(t, named("whoever"))
		selfSigned := register(map[string]any{"method": "self_signed_tls_client_auth",
			"thumbprints": []string{authn.Thumbprint(own.Certificate[0])}})
		unbound := register(map[string]any{"method": "tls_client_auth", "subjectDn": "CN=billing,O=Acme Corp"},
			"certificateBoundTokens", false)
		for name, c := range map[string]struct {
			client string
			with   tls.Certificate
		}{"by name": {byName, good}, "by DNS name": {byDNS, san}, "by URI": {byURI, san},
			"self-signed": {selfSigned, own}} {
			r := ask(c.client, c.with).Want(t, 200)
			token := r.String("access_token")
			_, claims := decode(t, token)
			if got := claims["cnf"].(map[string]any)["x5t#S256"]; got != authn.Thumbprint(c.with.Certificate[0]) {
				t.Errorf("%s: bound to %v", name, got)
			}
			for _, place := range []string{"/v1/tickets", "/v1/auth/me", "/verify"} {
				if got := withCertificate(t, "GET", address+place, nil, bearer(token), c.with); got.Status != 200 {
					t.Errorf("%s: %s with the certificate: %d %s", name, place, got.Status, got.Body)
				}
				if got := withCertificate(t, "GET", address+place, nil, bearer(token)); got.Status != 401 {
					t.Errorf("%s: %s without the certificate: %d", name, place, got.Status)
				}
				if got := withCertificate(t, "GET", address+place, nil, bearer(token),
					clientCA.issue(t, named("billing"))); got.Status != 401 {
					t.Errorf("%s: %s with another certificate of the same name: %d", name, place, got.Status)
				}
				s.Do(t, "GET", place, nil, servertest.Bearer(token)).Want(t, 401)
			}
			asker := s.Seeds.Clients[0]
			if i := s.PostForm(t, "/oauth2/introspect", []string{"token", token},
				servertest.Basic(asker.ClientID, asker.ClientSecret)).Want(t, 200); i.Get("active") != true ||
				i.Get("cnf") == nil {
				t.Errorf("%s: %s", name, i.Body)
			}
		}
		free := ask(unbound, good).Want(t, 200).String("access_token")
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(free)).Want(t, 200)
		s.Do(t, "PATCH", "/v1/clients/"+unbound, map[string]any{"certificateBoundTokens": true}, admin).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(free)).Want(t, 401) // from then on none that is not bound

		for name, c := range map[string]struct {
			client string
			with   []tls.Certificate
		}{
			"no certificate": {byName, nil}, "another name": {byName,
				[]tls.Certificate{clientCA.issue(t, named("other"))}},
			"another issuer": {byName, []tls.Certificate{strangerCA.issue(t, named("billing"))}},
			"expired": {byName,
				[]tls.Certificate{clientCA.issue(t, func(c *x509.Certificate) {
					named("billing")(c)
					c.NotAfter = time.Now().Add(-time.Minute)
				})}},
			"not yet valid": {byName,
				[]tls.Certificate{clientCA.issue(t, func(c *x509.Certificate) {
					named("billing")(c)
					c.NotBefore = time.Now().Add(time.Minute)
				})}},
			"for servers": {byName, []tls.Certificate{clientCA.issue(t, func(c *x509.Certificate) {
				named("billing")(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			})}},
			"an unregistered one": {selfSigned, []tls.Certificate{good}},
			"the DNS name as common name": {byDNS,
				[]tls.Certificate{clientCA.issue(t, named("billing.acme-corp.example"))}},
			"a client with a secret": {s.Seeds.Clients[0].ClientID, []tls.Certificate{good}},
			"an unknown client":      {"cli_01BX5ZZKBKACTAV9WEVGEMMVRZ", []tls.Certificate{good}},
		} {
			if r := ask(c.client, c.with...); r.Status != 401 || r.String("error") != "invalid_client" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		// A refresh token is bound as well.
		s.Do(t, "PATCH", "/v1/clients/"+byName, map[string]any{"refreshTokens": true}, admin).Want(t, 200)
		refresh := ask(byName, good).Want(t, 200).String("refresh_token")
		again := func(with tls.Certificate) servertest.Response {
			return withCertificate(t, "POST", address+"/oauth2/token",
				[]string{"grant_type", "refresh_token", "refresh_token", refresh, "client_id", byName}, nil, with)
		}
		again(clientCA.issue(t, named("billing"))).Want(t, 400)
		again(good).Want(t, 200)

		meta := s.Do(t, "GET", "/.well-known/oauth-authorization-server", nil).Want(t, 200)
		if meta.String("mtls_endpoint_aliases.token_endpoint") != "https://mtls.example.com/oauth2/token" ||
			meta.Get("tls_client_certificate_bound_access_tokens") != true ||
			!strings.Contains(string(meta.Body), "self_signed_tls_client_auth") {
			t.Errorf("%s", meta.Body)
		}
	}, func(c *config.Config, _ *server.Options) {
		c.MTLS.CAFile, c.MTLS.PublicURL = path, "https://mtls.example.com"
	})
}

// WEB07, WEB13: a proxy that ends TLS tells the certificate in a header, in either form; from anyone else, or unless
// configured, the header is nothing.
func TestWEB07_CertificateHeader(t *testing.T) {
	certificate := newAuthority("self").issue(t, named("whoever"))
	encoded := map[string]string{
		"URL-encoded PEM": url.PathEscape(
			string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))),
		"RFC 9440": ":" + base64.StdEncoding.EncodeToString(certificate.Certificate[0]) + ":",
	}
	run := func(t *testing.T, believed bool, options ...servertest.Option) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			client := s.Do(t, "POST", "/v1/clients",
				map[string]any{"name": "x", "permissions": []string{"tickets:read:all"},
					"authentication": map[string]any{"method": "self_signed_tls_client_auth",
						"thumbprints": []string{authn.Thumbprint(certificate.Certificate[0])}}},
				s.As(t, servertest.Admin)).
				Want(t, 201).String("id")
			ask := func(header string) servertest.Response {
				return s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "client_id", client),
					servertest.Header("X-Client-Cert", header))
			}
			for name, header := range encoded {
				r := ask(header)
				if (r.Status == 200) != believed {
					t.Errorf("%s: %d %s", name, r.Status, r.Body)
				}
				if r.Status == 200 {
					s.Do(t, "GET", "/verify", nil, servertest.Bearer(r.String("access_token")),
						servertest.Header("X-Client-Cert", header)).Want(t, 200)
					s.Do(t, "GET", "/verify", nil, servertest.Bearer(r.String("access_token"))).Want(t, 401)
				}
			}
			for _, header := range []string{"nonsense", ":AAAA:", "", strings.Repeat("A", 20_000),
				encoded["RFC 9440"] + ", " + encoded["RFC 9440"]} {
				ask(header).Want(t, 401)
			}
		}, options...)
	}
	proxy := func(c *config.Config, _ *server.Options) { c.TrustedProxies = []string{"127.0.0.1"} }
	header := func(c *config.Config, _ *server.Options) { c.MTLS.CertificateHeader = "X-Client-Cert" }
	t.Run("trusted", func(t *testing.T) { run(t, true, proxy, header) })
	t.Run("not configured", func(t *testing.T) { run(t, false, proxy) })
	t.Run("not a proxy", func(t *testing.T) { run(t, false, header) })
}

// E8, ATK43, R8725-10: keys at the client's own address are fetched, kept for a while and asked for again when a new
// kid appears; only where the operator allows the network, without following anyone elsewhere.
func TestATK43_KeysByAddress(t *testing.T) {
	allowed := func(c *config.Config, _ *server.Options) { c.Outbound.AllowedNetworks = []string{"127.0.0.1"} }
	serve := func(t *testing.T, h http.HandlerFunc) string {
		srv := httptest.NewUnstartedServer(h)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{
			publicCA.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })}}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.URL
	}
	one, two := newKey(t, jose.ES256, "one"), newKey(t, jose.ES256, "two")
	document := func(t *testing.T, keys ...key) []byte {
		list := []any{map[string]any{"kty": "XYZ", "kid": "unknown"}} // others stand beside ours
		for _, k := range keys {
			list = append(list, k.public(t))
		}
		raw, _ := json.Marshal(map[string]any{"keys": list})
		return raw
	}
	client := func(t *testing.T, s *servertest.Server, address string) string {
		return s.Do(t, "POST", "/v1/clients", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"},
			"authentication": map[string]any{"method": "private_key_jwt", "jwksUri": address}},
			s.As(t, servertest.Admin)).Want(t, 201).String("id")
	}
	t.Run("allowed", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			var asked atomic.Int32
			var published atomic.Pointer[[]byte]
			set := func(raw []byte) { published.Store(&raw) }
			set(document(t, one))
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.Write(*published.Load())
			})
			c := client(t, s, address)
			use := func(k key, want int) {
				t.Helper()
				s.PostForm(t, "/oauth2/token", assertion(k.sign(t, nil, claims(s, c)))).Want(t, want)
			}
			use(one, 200)
			use(one, 200)
			if asked.Load() != 1 {
				t.Errorf("asked %d times for two assertions", asked.Load())
			}
			use(two, 401) // not published, and not asked for again at once
			use(two, 401)
			if asked.Load() != 1 {
				t.Errorf("an unknown kid makes the server ask %d times", asked.Load())
			}
			set(document(t, one, two))
			s.Clock.Advance(31 * time.Second)
			use(two, 200)
			set(document(t, two))
			use(one, 200) // kept
			s.Clock.Advance(6 * time.Minute)
			use(one, 401)
			set([]byte(`{"keys":[]}`))
			s.Clock.Advance(6 * time.Minute)
			use(two, 401)

			elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(document(t, one)) })
			for name, h := range map[string]http.HandlerFunc{
				"a redirect": func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere, http.StatusFound)
				},
				"too much": func(w http.ResponseWriter, r *http.Request) {
					w.Write(append(document(t, one), []byte(strings.Repeat(" ", 70_000))...))
				},
				"an error": func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(500)
					w.Write(document(t, one))
				},
				"no JSON": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) },
			} {
				c := client(t, s, serve(t, h))
				if r := s.PostForm(t, "/oauth2/token", assertion(one.sign(t, nil, claims(s, c)))); r.Status != 401 {
					t.Errorf("%s: %d %s", name, r.Status, r.Body)
				}
			}
		}, allowed)
	})
	t.Run("refused", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			var asked atomic.Int32
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.Write(document(t, one))
			})
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
			for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1",
				"0x7f000001", "2130706433", "0.0.0.0", "[::]", "169.254.169.254", "10.0.0.1"} {
				r := s.Do(t, "POST", "/v1/clients",
					map[string]any{"name": "x", "permissions": []string{},
						"authentication": map[string]any{"method": "private_key_jwt",
							"jwksUri": "https://" + host + ":" + port + "/"}}, s.As(t, servertest.Admin))
				if r.Status != 201 {
					continue // not even an address
				}
				s.PostForm(t, "/oauth2/token", assertion(one.sign(t, nil, claims(s, r.String("id"))))).Want(t, 401)
			}
			if asked.Load() != 0 {
				t.Errorf("the server talked to itself %d times", asked.Load())
			}
		})
	})
}
