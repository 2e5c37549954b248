package idptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Provider is an OpenID provider that signs in whoever comes, as the person it is told, and answers as it is told. It
// speaks the protocol as the real ones do: codes are good once, PKCE and client secrets are checked.
type Provider struct {
	URL    string // also the issuer, unless Issuer says otherwise
	Issuer string

	mu     sync.Mutex
	claims map[string]any
	hooks  Hooks
	keys   []jose.JSONWebKey // private; the first signs
	codes  map[string]grant
	asked  map[string]int
}

// Hooks change single steps. A nil one changes nothing.
type Hooks struct {
	Discovery func(doc map[string]any)
	Authorize func(asked, answer url.Values) // answer is what the browser is sent back with
	Claims    func(told map[string]any)      // of the ID token, the last moment before it is signed
	Sign      func(payload []byte) string    // signs it instead
	Token     func(answer map[string]any)
	Keys      func(doc *jose.JSONWebKeySet)
	UserInfo  map[string]any
	Handle    map[string]http.HandlerFunc // answers a path instead
}

type grant struct {
	client, redirect, challenge, nonce string
	token                              string
}

// The client that every provider here knows.
const (
	ClientID     = "gatehouse"
	ClientSecret = "a-secret-of-the-provider"
)

var (
	rsaOnce sync.Once
	rsaKeys [3]*rsa.PrivateKey
)

// RSA gives one of a few keys that are made once a process.
func RSA(i int) *rsa.PrivateKey {
	rsaOnce.Do(func() {
		for i := range rsaKeys {
			rsaKeys[i], _ = rsa.GenerateKey(rand.Reader, 2048)
		}
	})
	return rsaKeys[i]
}

// NewProvider starts one on loopback.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{claims: map[string]any{}, codes: map[string]grant{}, asked: map[string]int{},
		keys: []jose.JSONWebKey{{Key: RSA(0), KeyID: "rsa-0", Algorithm: "RS256", Use: "sig"}}}
	h := httptest.NewServer(p)
	t.Cleanup(h.Close)
	p.URL, p.Issuer = h.URL, h.URL
	return p
}

// Person says who signs in from now on.
func (p *Provider) Person(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// Hook changes single steps from now on.
func (p *Provider) Hook(h Hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks = h
}

// SignWith replaces the keys: the first signs, all are published.
func (p *Provider) SignWith(keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Asked tells how often a path was.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// ECKey makes a key for ES256.
func ECKey(kid string) jose.JSONWebKey {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: "ES256", Use: "sig"}
}

// RSAKey wraps one of the few RSA keys for an algorithm.
func RSAKey(i int, kid, algorithm string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: RSA(i), KeyID: kid, Algorithm: algorithm, Use: "sig"}
}

// Sign makes a compact JWS.
func Sign(key jose.JSONWebKey, payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

// ServeHTTP is the provider.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	hooks, claims, keys := p.hooks, maps.Clone(p.claims), p.keys
	p.mu.Unlock()
	if h := hooks.Handle[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		doc := map[string]any{"issuer": p.Issuer, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "userinfo_endpoint": p.URL + "/userinfo",
			"jwks_uri":                                       p.URL + "/keys",
			"id_token_signing_alg_values_supported":          []string{"RS256"},
			"authorization_response_iss_parameter_supported": true}
		if hooks.Discovery != nil {
			hooks.Discovery(doc)
		}
		write(w, 200, doc)
	case r.URL.Path == "/keys":
		set := &jose.JSONWebKeySet{}
		for _, k := range keys {
			set.Keys = append(set.Keys, k.Public())
		}
		if hooks.Keys != nil {
			hooks.Keys(set)
		}
		write(w, 200, set)
	case r.URL.Path == "/authorize":
		p.authorize(w, r, hooks)
	case r.URL.Path == "/token":
		p.token(w, r, hooks, claims, keys[0])
	case r.URL.Path == "/userinfo":
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer at-") {
			write(w, 401, map[string]any{"error": "invalid_token"})
			return
		}
		told := hooks.UserInfo
		if told == nil {
			told = claims
		}
		write(w, 200, told)
	default:
		http.NotFound(w, r)
	}
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, hooks Hooks) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		q.Get("state") == "" || q.Get("nonce") == "" || !strings.Contains(" "+q.Get("scope")+" ", " openid ") {
		http.Error(w, "no sign-in as OpenID Connect has it: "+r.URL.RawQuery, 400)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = grant{q.Get("client_id"), q.Get("redirect_uri"), q.Get("code_challenge"), q.Get("nonce"),
		"at-" + rand.Text()}
	p.mu.Unlock()
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.Issuer}}
	if hooks.Authorize != nil {
		hooks.Authorize(q, answer)
	}
	to.RawQuery = answer.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request, hooks Hooks, claims map[string]any,
	key jose.JSONWebKey) {
	_ = r.ParseForm()
	if r.Form.Get("grant_type") == "client_credentials" {
		write(w, 200, map[string]any{"access_token": "app-" + r.Form.Get("client_id"), "token_type": "Bearer",
			"expires_in": 3600})
		return
	}
	if r.Form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		write(w, 200, map[string]any{"access_token": "grant-" + r.Form.Get("assertion"), "token_type": "Bearer",
			"expires_in": 3600})
		return
	}
	p.mu.Lock()
	g, ok := p.codes[r.Form.Get("code")]
	delete(p.codes, r.Form.Get("code"))
	p.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
	}
	sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
	switch {
	case r.Form.Get("client_assertion") == "" && secret != ClientSecret || id != ClientID:
		write(w, 401, map[string]any{"error": "invalid_client"})
		return
	case !ok || g.client != id || g.redirect != r.Form.Get("redirect_uri") ||
		g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		write(w, 400, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now().Unix()
	hash := sha256.Sum256([]byte(g.token))
	told := map[string]any{"iss": p.Issuer, "aud": g.client, "iat": now, "exp": now + 300, "nonce": g.nonce,
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:crypto.SHA256.Size()/2])}
	maps.Copy(told, claims)
	if hooks.Claims != nil {
		hooks.Claims(told)
	}
	payload, _ := json.Marshal(told)
	answer := map[string]any{"access_token": g.token, "token_type": "Bearer", "expires_in": 300}
	if hooks.Sign != nil {
		answer["id_token"] = hooks.Sign(payload)
	} else {
		answer["id_token"] = Sign(key, payload)
	}
	if hooks.Token != nil {
		hooks.Token(answer)
	}
	write(w, 200, answer)
}
