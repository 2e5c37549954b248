package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func eachAddress(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	sqldbtest.EachAddress(t, fn)
}

const issuer = servertest.PublicURL

// authority signs certificates; the whole process trusts it as a public one, as it would trust a real one.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

var publicCA = newAuthority("Public CA of the tests")

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatehouse-ca-")
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(path, publicCA.pem, 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", path)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func newAuthority(name string) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return authority{c, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate; edit changes its template.
func (a authority) issue(t *testing.T, edit func(c *x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(12 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	edit(tpl)
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func named(name string) func(c *x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name, Organization: []string{"Acme Corp"}}
	}
}

// key is a client's key pair.
type key struct {
	signer crypto.Signer
	alg    jose.SignatureAlgorithm
	kid    string
}

func newKey(t *testing.T, alg jose.SignatureAlgorithm, kid string) key {
	t.Helper()
	var signer crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, e := ed25519.GenerateKey(rand.Reader)
		signer, err = private, e
	default:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key{signer, alg, kid}
}

// public is the key as a client registers it.
func (k key) public(t *testing.T) map[string]any {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKey{Key: k.signer.Public(), KeyID: k.kid, Algorithm: string(k.alg),
		Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sign makes a JWT of any claims.
func (k key) sign(t *testing.T, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	for name, v := range header {
		o = o.WithHeader(name, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.signer, KeyID: k.kid}}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are those of a good assertion.
func claims(s *servertest.Server, client string) map[string]any {
	now := s.Clock.Now().Unix()
	return map[string]any{"iss": client, "sub": client, "aud": issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertion gives the form of a token request with an assertion.
func assertion(value string) []string {
	return []string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion",
		value}
}

// decode reads the claims of a JWT without verifying it.
func decode(t *testing.T, token string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", servertest.Shorten(token))
	}
	for i, v := range []*map[string]any{&header, &payload} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// overTLS serves the same handler over TLS and asks for client certificates, as the listener mtls.listen does.
func overTLS(t *testing.T, s *servertest.Server) string {
	t.Helper()
	h := httptest.NewUnstartedServer(s.Handler)
	h.TLS = &tls.Config{ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{publicCA.issue(t, func(c *x509.Certificate) {
			c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		})}}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h.URL
}

// withCertificate asks over TLS, with a certificate or (none given) without.
func withCertificate(t *testing.T, method, address string, form []string, header http.Header,
	certificates ...tls.Certificate) servertest.Response {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(publicCA.certificate)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: roots,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certificates) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certificates[0], nil
			}}}}
	body := ""
	if form != nil {
		values := url.Values{}
		for i := 0; i < len(form); i += 2 {
			values.Add(form[i], form[i+1])
		}
		body = values.Encode()
	}
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range header {
		req.Header[name] = v
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var raw []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := res.Body.Read(buf)
		raw = append(raw, buf[:n]...)
		if err != nil {
			break
		}
	}
	return servertest.Response{Status: res.StatusCode, Header: res.Header, Body: raw}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// count tells how many rows a table has.
func count(t *testing.T, s *servertest.Server, table string) (n int) {
	t.Helper()
	if err := s.DB.Platform("test").QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*) FROM %s`, table)).
		Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var grant = []string{"grant_type", "client_credentials"}
