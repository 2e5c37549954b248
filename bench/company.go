package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/idptest"
)

// The variables with which the parent tells the server where its provider is.
const (
	benchIssuer   = "GATEHOUSE_BENCH_ISSUER"
	benchMetadata = "GATEHOUSE_BENCH_METADATA"

	benchApp      = "https://app.example.com/callback"
	benchVerifier = "a-verifier-of-forty-three-characters-or-more"
	benchClient   = "gatehouse"
)

// provider is a company's identity provider, of both protocols. What it answers was signed before it is measured.
type provider struct {
	URL  string
	key  *rsa.PrivateKey
	saml idptest.SAMLProvider
	pair idptest.SAMLKey

	mu      sync.Mutex
	answers map[string][]byte // of the token endpoint, by code
}

func startProvider() (*provider, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{URL: "http://" + l.Addr().String(), answers: map[string][]byte{}}
	if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &p.key.PublicKey, p.key)
	if err != nil {
		return nil, err
	}
	p.pair = idptest.SAMLKey{Key: p.key, Cert: der}
	p.saml.URL, p.saml.EntityID = p.URL, p.URL+"/entity"
	go http.Serve(l, p)
	return p, nil
}

// ServeHTTP is what the server asks while it is measured.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys"})
	case "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "bench",
			Algorithm: "RS256", Use: "sig"}}})
	case "/token":
		code := r.PostFormValue("code")
		p.mu.Lock()
		answer := p.answers[code]
		delete(p.answers, code)
		p.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusBadRequest)
			answer = []byte(`{"error":"invalid_grant"}`)
		}
		w.Write(answer)
	default:
		http.NotFound(w, r)
	}
}

// connect makes the demo's tenant one whose people come in through the provider.
func connect(s *server.Server, d demo.Seeds) error {
	issuer := os.Getenv(benchIssuer)
	if issuer == "" {
		return nil
	}
	ctx, org := context.Background(), id.Organization(d.Organizations[0].ID)
	p := principal.NewSystem("bench", org)
	if _, err := s.Organizations.Update(ctx, p, org, func(o *organization.Organization) error {
		o.Settings.RedirectURIs = []string{benchApp}
		return nil
	}); err != nil {
		return err
	}
	if _, err := s.Connections.VouchDomain(ctx, p, "acme-corp.example"); err != nil {
		return err
	}
	a := &connection.Assertion{Metadata: os.Getenv(benchMetadata)}
	if err := s.SSO.Describe(ctx, a); err != nil {
		return err
	}
	for _, c := range []connection.Connection{
		{Kind: connection.OIDC, Name: "OpenID", Secrets: connection.Secrets{ClientSecret: secret.New("x")},
			Settings: connection.Settings{OpenID: &connection.OpenID{Issuer: issuer, ClientID: benchClient}}},
		{Kind: connection.SAML, Name: "SAML", Settings: connection.Settings{Assertion: a,
			Mapping: connection.Mapping{Email: []string{"mail"}}, Trust: connection.Trust{Email: true}}},
	} {
		made, err := s.Connections.Create(ctx, p, c)
		if err != nil {
			return err
		}
		if _, err := s.Connections.Update(ctx, p, made.ID, func(c *connection.Connection) error {
			c.State = connection.Active
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// companyCases sign in through a provider whose keys are known: the callback and the exchange of the code. What the
// limit does not have is the way to the provider and back, the state, the code and the identity.
func companyCases(p *provider, server, limit *process) []benchCase {
	least := inTurn(prepare("POST", limit.URL+"/company", "", []byte("{}")))
	return []benchCase{
		{"oidc", "an OpenID callback and the code's exchange against an RS256 check, two signatures and one commit",
			0.7, p.rounds(server, "oidc", p.openID), least},
		{"saml", "a SAML response and the code's exchange against the same", 0.7, p.rounds(server, "saml", p.response),
			least},
	}
}

// rounds begins as many rounds as a measurement may take, and gives what brings one answer and exchanges its code.
func (p *provider) rounds(server *process, kind string,
	answer func(server, person string, to *url.URL) (method, at, body string, err error)) start {
	return func(w *worker) (func() error, error) {
		c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		people := strings.Fields(server.Data["emails"])
		person := people[w.number%len(people)]
		sum := sha256.Sum256([]byte(benchVerifier))
		begin := server.URL + "/v1/auth/sso/" + kind + "?" + url.Values{"organization": {demo.Tenant},
			"redirect_uri": {benchApp}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
			"code_challenge_method": {"S256"}}.Encode()
		exchange, _ := json.Marshal(map[string]string{"codeVerifier": benchVerifier, "redirectUri": benchApp,
			"code": "X"})
		type round struct{ method, at, body, cookie string }
		var ready []round
		number := 0
		send := func(method, at, cookie, kind, body string) (*http.Response, []byte, error) {
			req, err := http.NewRequest(method, at, strings.NewReader(body))
			if err != nil {
				return nil, nil, err
			}
			number++
			req.Header = http.Header{"Cookie": {cookie}, "Content-Type": {kind}, "X-Forwarded-For": {fmt.Sprintf(
				"10.%d.%d.%d", w.number, number>>8&255, number&255)}} // its network would run into a limit
			res, err := c.Do(req)
			if err != nil {
				return nil, nil, err
			}
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			return res, raw, err
		}
		one := func() error {
			res, raw, err := send("GET", begin, "", "", "")
			if err != nil {
				return err
			}
			to, err := url.Parse(res.Header.Get("Location"))
			if err != nil || res.StatusCode != http.StatusSeeOther {
				return fmt.Errorf("begin %s: %d %s", kind, res.StatusCode, raw)
			}
			cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
			r := round{cookie: cookie}
			r.method, r.at, r.body, err = answer(server.URL, person, to)
			ready = append(ready, r)
			return err
		}
		for range max(2, int(duration.Seconds()*40)) {
			if err := one(); err != nil {
				return nil, err
			}
		}
		return func() error {
			if len(ready) == 0 { // quicker than was foreseen
				if err := one(); err != nil {
					return err
				}
			}
			r := ready[len(ready)-1]
			ready = ready[:len(ready)-1]
			res, raw, err := send(r.method, r.at, r.cookie, form, r.body)
			if err != nil {
				return err
			}
			back, err := url.Parse(res.Header.Get("Location"))
			if err != nil || back.Query().Get("code") == "" {
				return fmt.Errorf("callback of %s: %d %s %s", kind, res.StatusCode, res.Header.Get("Location"), raw)
			}
			body := bytes.Replace(exchange, []byte(`"X"`), []byte(`"`+back.Query().Get("code")+`"`), 1)
			res, raw, err = send("POST", server.URL+"/v1/auth/sso/"+kind+"/token", "", "application/json", string(body))
			if err == nil && res.StatusCode != http.StatusOK {
				err = fmt.Errorf("exchange of %s: %d %s", kind, res.StatusCode, raw)
			}
			return err
		}, nil
	}
}

// openID signs the ID token of a round, for its code.
func (p *provider) openID(server, person string, to *url.URL) (method, at, body string, err error) {
	now := time.Now().Unix()
	payload, err := json.Marshal(map[string]any{"iss": p.URL, "aud": benchClient, "iat": now, "exp": now + 300,
		"nonce": to.Query().Get("nonce"), "sub": "sub of " + person, "email": person, "email_verified": true,
		"name": "Somebody", "sid": rand.Text()})
	if err != nil {
		return "", "", "", err
	}
	token := idptest.Sign(jose.JSONWebKey{Key: p.key, KeyID: "bench", Algorithm: "RS256"}, payload)
	answer, err := json.Marshal(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": token})
	code := rand.Text()
	p.mu.Lock()
	p.answers[code] = answer
	p.mu.Unlock()
	return "GET", server + "/v1/auth/sso/oidc/callback?" + url.Values{"code": {code},
		"state": {to.Query().Get("state")}}.Encode(), "", err
}

var (
	requestID = regexp.MustCompile(` ID="([^"]+)"`)
	requestTo = regexp.MustCompile(` AssertionConsumerServiceURL="([^"]+)"`)
	issuedBy  = regexp.MustCompile(`Issuer[^>]*>([^<]+)<`)
)

// response signs the assertion that answers a round.
func (p *provider) response(server, person string, to *url.URL) (method, at, body string, err error) {
	packed, err := base64.StdEncoding.DecodeString(to.Query().Get("SAMLRequest"))
	if err != nil {
		return "", "", "", err
	}
	asked, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return "", "", "", err
	}
	found := make([]string, 0, 3)
	for _, what := range []*regexp.Regexp{requestID, requestTo, issuedBy} {
		m := what.FindSubmatch(asked)
		if m == nil {
			return "", "", "", fmt.Errorf("a request without %v: %s", what, asked)
		}
		found = append(found, string(m[1]))
	}
	text, err := p.saml.Response([]idptest.SAMLKey{p.pair}, found[0], found[1], found[2], func(a *idptest.Parts) {
		a.NameID, a.SessionIndex = "sub of "+person, rand.Text()
		a.Attributes = `<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>` + person +
			`</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`
	})
	return "POST", server + "/v1/auth/sso/saml/callback",
		url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(text))}}.Encode(), err
}
