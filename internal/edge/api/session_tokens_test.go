package api_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

var b64 = base64.RawURLEncoding.EncodeToString

// ATK33, ATK36–ATK39, ATK42, G2: tokens that are almost ours are refused, each for what is wrong with it.
func TestATK36_ForgedTokens(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		tokens := s.Login(t, servertest.Admin)
		good := strings.Split(tokens.AccessToken, ".")
		header, claims := decodeToken(t, tokens.AccessToken)
		kid := header["kid"].(string)
		own, _ := s.Keys.Signing(signingkey.Session)
		stranger, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		public := &own.Signer.(*rsa.PrivateKey).PublicKey
		der, _ := x509.MarshalPKIXPublicKey(public)
		publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

		// sign makes a token with any header and claims.
		sign := func(alg jose.SignatureAlgorithm, key any, head map[string]any, body map[string]any) string {
			o := (&jose.SignerOptions{})
			for k, v := range head {
				o = o.WithHeader(jose.HeaderKey(k), v)
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := json.Marshal(body)
			jws, err := signer.Sign(raw)
			if err != nil {
				t.Fatal(err)
			}
			out, err := jws.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		with := func(changes map[string]any) map[string]any {
			out := map[string]any{}
			for k, v := range claims {
				out[k] = v
			}
			for k, v := range changes {
				if v == nil {
					delete(out, k)
				} else {
					out[k] = v
				}
			}
			return out
		}
		head := map[string]any{"kid": kid, "typ": "at+jwt"}
		rs := func(changes map[string]any) string { return sign(jose.RS256, own.Signer, head, with(changes)) }
		if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(rs(nil))); r.Status != 200 {
			t.Fatalf("the forging tool does not make good tokens: %s", r.Body)
		}
		unsigned := func(alg string) string {
			h, _ := json.Marshal(map[string]any{"alg": alg, "kid": kid, "typ": "at+jwt"})
			return b64(h) + "." + good[1] + "."
		}
		hs := func() string {
			h := b64([]byte(`{"alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`))
			mac := hmac.New(sha256.New, publicPEM)
			mac.Write([]byte(h + "." + good[1]))
			return h + "." + good[1] + "." + b64(mac.Sum(nil))
		}
		raw := func(h string) string { return b64([]byte(h)) + "." + good[1] + "." + good[2] }
		now := time.Now().Unix()
		foreign := s.Organization("second-tenant")
		cases := map[string]string{
			"none": unsigned("none"), "None": unsigned("None"), "NONE": unsigned("NONE"), "nOnE": unsigned("nOnE"),
			"empty alg":                 unsigned(""),
			"alg none with a signature": raw(`{"alg":"none","kid":"` + kid + `","typ":"at+jwt"}`),
			"HS256 with the public key": hs(),
			"RS512":                     sign(jose.RS512, own.Signer, head, claims),
			"PS256":                     sign(jose.PS256, own.Signer, head, claims),
			"another key under our kid": sign(jose.RS256, stranger, head, claims),
			"unknown kid": sign(jose.RS256, own.Signer, map[string]any{"kid": "kid_x", "typ": "at+jwt"},
				claims),
			"kid as a path": sign(jose.RS256, own.Signer,
				map[string]any{"kid": "../../etc/passwd", "typ": "at+jwt"}, claims),
			"kid as SQL": sign(jose.RS256, own.Signer,
				map[string]any{"kid": "' OR 1=1 --", "typ": "at+jwt"}, claims),
			"kid with NUL": sign(jose.RS256, own.Signer,
				map[string]any{"kid": kid + "\x00", "typ": "at+jwt"}, claims),
			"huge kid": sign(jose.RS256, own.Signer,
				map[string]any{"kid": strings.Repeat("k", 10_000), "typ": "at+jwt"}, claims),
			"kid that is no string": raw(`{"alg":"RS256","kid":7,"typ":"at+jwt"}`),
			"no kid":                sign(jose.RS256, own.Signer, map[string]any{"typ": "at+jwt"}, claims),
			"jku": sign(jose.RS256, own.Signer,
				map[string]any{"kid": kid, "typ": "at+jwt", "jku": "https://evil.example/jwks"}, claims),
			"x5u": sign(jose.RS256, own.Signer,
				map[string]any{"kid": kid, "typ": "at+jwt", "x5u": "https://evil.example/x"}, claims),
			"embedded jwk": sign(jose.RS256, stranger,
				map[string]any{"kid": kid, "typ": "at+jwt", "jwk": jose.JSONWebKey{Key: &stranger.PublicKey}}, claims),
			"crit": raw(`{"alg":"RS256","kid":"` + kid +
				`","typ":"at+jwt","crit":["b64"],"b64":false}`),
			"zip":             raw(`{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt","zip":"DEF"}`),
			"repeated member": raw(`{"alg":"RS256","alg":"RS256","kid":"` + kid + `","typ":"at+jwt"}`),
			"no typ":          sign(jose.RS256, own.Signer, map[string]any{"kid": kid}, claims),
			"typ JWT": sign(jose.RS256, own.Signer, map[string]any{"kid": kid, "typ": "JWT"},
				claims),
			"typ of a refresh token": sign(jose.RS256, own.Signer, map[string]any{"kid": kid, "typ": "rt+jwt"},
				claims),
			"refresh token":       tokens.RefreshToken,
			"no exp":              rs(map[string]any{"exp": nil}),
			"exp 0":               rs(map[string]any{"exp": 0}),
			"exp as text":         rs(map[string]any{"exp": "99999999999"}),
			"exp as a fraction":   rs(map[string]any{"exp": 1e10 + 0.5}),
			"exp huge":            rs(map[string]any{"exp": json.Number("1e400")}),
			"expired":             rs(map[string]any{"exp": now}),
			"not yet":             rs(map[string]any{"nbf": now + 60}),
			"issued later":        rs(map[string]any{"iat": now + 60}),
			"no iss":              rs(map[string]any{"iss": nil}),
			"other iss":           rs(map[string]any{"iss": "https://evil.example"}),
			"no aud":              rs(map[string]any{"aud": nil}),
			"other aud":           rs(map[string]any{"aud": "https://evil.example"}),
			"aud in another case": rs(map[string]any{"aud": strings.ToUpper(servertest.PublicURL)}),
			"aud as a list": rs(map[string]any{
				"aud": []string{servertest.PublicURL, "https://evil.example"}}),
			"no jti":                      rs(map[string]any{"jti": nil}),
			"no sub":                      rs(map[string]any{"sub": nil}),
			"no session":                  rs(map[string]any{"sessionId": nil}),
			"ATK42: another tenant":       rs(map[string]any{"organizationId": foreign}),
			"ATK42: no tenant":            rs(map[string]any{"organizationId": nil}),
			"another user of the session": rs(map[string]any{"sub": string(id.New[id.User]())}),
			"JWE":                         strings.Join(append(good, "a", "b"), "."),
			"two parts":                   good[0] + "." + good[1],
			"padding":                     good[0] + "=." + good[1] + "." + good[2],
			"JSON serialization": `{"payload":"` + good[1] + `","protected":"` + good[0] + `","signature":"` +
				good[2] + `"}`,
			"dots":              strings.Repeat(".", 15_000),
			"huge":              tokens.AccessToken + strings.Repeat("A", 20_000),
			"header not JSON":   b64([]byte("x")) + "." + good[1] + "." + good[2],
			"signature cut":     tokens.AccessToken[:len(tokens.AccessToken)-2],
			"without signature": good[0] + "." + good[1] + ".",
		}
		for name, token := range cases {
			r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(token))
			if r.Status != 401 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		// Every character counts: flip one at a time through the whole token.
		step := max(1, len(tokens.AccessToken)/150)
		for i := 0; i < len(tokens.AccessToken)-1; i += step {
			b := []byte(tokens.AccessToken)
			switch b[i] {
			case '.':
				continue
			case 'A':
				b[i] = 'B'
			default:
				b[i] = 'A'
			}
			if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(string(b))); r.Status != 401 {
				t.Errorf("changed at %d: %d", i, r.Status)
			}
		}
		for i := range 40 { // ATK33: no prefix and no suffix of a token is a token
			cut := len(tokens.AccessToken) * (i + 1) / 41
			for _, part := range []string{tokens.AccessToken[:cut], tokens.AccessToken[cut:]} {
				if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(part)); r.Status != 401 {
					t.Errorf("a part of %d characters: %d", len(part), r.Status)
				}
			}
		}
		// And the same for refresh tokens.
		for name, token := range map[string]string{"access token": tokens.AccessToken,
			"cut": tokens.RefreshToken[:len(tokens.RefreshToken)-3], "empty parts": "..", "text": "refresh"} {
			if r := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token}); r.Status != 401 ||
				r.Code() != "INVALID_TOKEN" {
				t.Errorf("refresh with %s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 200)
	})
}

// G2: keys rotate without a break: published before they sign, verifying until their tokens have expired, revoked at
// once in an emergency; the long-lived set is never published.
func TestG2_KeyRotation(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		if err := s.Keys.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		published := func(node *servertest.Server) []string {
			r := node.Do(t, "GET", "/.well-known/jwks.json", nil).Want(t, 200)
			var set struct {
				Keys []map[string]any `json:"keys"`
			}
			r.Into(t, &set)
			var kids []string
			for _, k := range set.Keys {
				if k["kty"] != "RSA" || k["use"] != "sig" || k["alg"] != "RS256" || k["d"] != nil || k["p"] != nil {
					t.Errorf("published %v", k)
				}
				kids = append(kids, k["kid"].(string))
			}
			if r.Header.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("Cache-Control %q", r.Header.Get("Cache-Control"))
			}
			return kids
		}
		if n := len(published(s)); n != 2 {
			t.Fatalf("%d keys published, want active and next", n)
		}
		for _, k := range s.Keys.List() {
			if k.Purpose == signingkey.LongLived && strings.Contains(strings.Join(published(s), " "), string(k.ID)) {
				t.Error("a long-lived key is published")
			}
		}
		p := principal.NewSystem("test", id.Organization(s.Organization("platform")))
		before := s.Login(t, servertest.Agent)
		if err := s.Keys.Rotate(t.Context(), p, signingkey.Session, false); !fault.Is(err, fault.Conflict) {
			t.Fatalf("rotated to a key that nobody can have seen: %v", err)
		}
		s.Clock.Advance(11 * time.Minute)
		other.Clock.Advance(11 * time.Minute)
		if err := s.Keys.Rotate(t.Context(), p, signingkey.Session, false); err != nil {
			t.Fatal(err)
		}
		after := s.Login(t, servertest.Agent)
		h1, _ := decodeToken(t, before.AccessToken)
		h2, _ := decodeToken(t, after.AccessToken)
		if h1["kid"] == h2["kid"] {
			t.Error("the former key still signs")
		}
		if n := len(published(s)); n != 3 {
			t.Errorf("%d keys published after the rotation, want retired, active, next", n)
		}
		eventually(t, "the other node knows the keys", func() bool { return len(published(other)) == 3 })
		for _, tokens := range []servertest.Tokens{before, after} {
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
			other.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": before.RefreshToken}).Want(t, 200)

		if err := s.Keys.Revoke(t.Context(), p, id.SigningKey(h2["kid"].(string))); err != nil {
			t.Fatal(err)
		}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(after.AccessToken)).Want(t, 401, "INVALID_TOKEN")
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": after.RefreshToken}).Want(t, 401)
		eventually(t, "the other node refuses the revoked key", func() bool {
			r, err := other.Try("GET", "/v1/auth/me", nil, servertest.Bearer(after.AccessToken))
			return err == nil && r.Status == 401
		})
		s.Do(t, "GET", "/v1/auth/me", nil, s.As(t, servertest.Agent)).Want(t, 200) // the next key took over
		s.Clock.Advance(32 * 24 * time.Hour)
		for _, k := range published(s) {
			if k == h1["kid"] {
				t.Error("a key whose tokens have all expired is still published")
			}
		}
	})
}

// ATK54: links, issuer and tokens come from the configuration, whatever the request says about hosts.
func TestATK54_HostHeaders(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		poison := []servertest.Change{admin, servertest.Host("evil.example"),
			servertest.Header("X-Forwarded-Host", "evil.example"), servertest.Header("X-Forwarded-Proto", "http"),
			servertest.Header("X-Forwarded-Port", "81"), servertest.Header("X-Forwarded-Prefix", "/evil"),
			servertest.Header("Forwarded", "host=evil.example;proto=http")}
		r := s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "link@acme-corp.example", "role": "end_user"},
			poison...).Want(t, 201)
		if !strings.HasPrefix(r.String("url"), servertest.PublicURL+"/accept-invitation#token=") {
			t.Errorf("link %s", r.String("url"))
		}
		r = s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw, "cookie": true},
			poison[1:]...).Want(t, 200)
		_, claims := decodeToken(t, r.String("accessToken"))
		if claims["iss"] != servertest.PublicURL ||
			strings.Contains(strings.Join(r.Header["Set-Cookie"], " "), "evil") ||
			!strings.Contains(r.Header["Set-Cookie"][0], "Secure") {
			t.Errorf("%v %v", claims["iss"], r.Header["Set-Cookie"])
		}
		for _, changes := range [][]servertest.Change{poison} {
			r := s.Do(t, "POST", "/v1/teams", map[string]any{"name": "hosted"}, changes...).Want(t, 201)
			if r.Header.Get("Location") != "/v1/teams/"+r.String("id") {
				t.Errorf("Location %s", r.Header.Get("Location"))
			}
		}
	})
}

// WEB12, G4: canaries of every secret that passes through appear neither in the log nor in the database as they are.
func TestWEB12_NoSecretsInLogs(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		tokens := s.Login(t, servertest.Agent)
		canaries := map[string]string{"password": pw, "access token": tokens.AccessToken,
			"refresh token": tokens.RefreshToken, "encryption key": servertest.EncryptionKey.Reveal()}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
		inv := s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "canary@acme-corp.example",
			"role": "end_user"}, s.As(t, servertest.Admin)).Want(t, 201)
		_, link, _ := strings.Cut(inv.String("url"), "#token=")
		canaries["link"] = link
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": "canary-password-in-the-wrong-field",
			"password": "canary-wrong-password"}).Want(t, 401)
		canaries["wrong password"], canaries["password as name"] = "canary-wrong-password",
			"canary-password-in-the-wrong-field"
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": "canary-refresh"}).Want(t, 401)
		canaries["bad refresh token"] = "canary-refresh"
		s.Do(t, "POST", "/v1/auth/login", `{"email":"canary-broken-json`).Want(t, 400)
		canaries["broken body"] = "canary-broken-json"
		s.Do(t, "GET", "/v1/users?email=canary-denied", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 403)
		canaries["denied query"] = "canary-denied"
		if logs := s.Logs.String(); !strings.Contains(logs, "msg=denied") || !strings.Contains(logs, "GET /v1/users") {
			t.Error("a denied request leaves no line in the log")
		}
		s.Do(t, "GET", "/v1/nothing?token=canary-query", nil).Want(t, 404)
		canaries["query"] = "canary-query"
		logs := s.Logs.String()
		if !strings.Contains(logs, "/v1/auth/login") {
			t.Fatal("the log is not looked at in debug")
		}
		var rows []string
		for _, table := range []string{"audit_events", "sessions", "refresh_families", "onetime", "users",
			"signing_keys", "login_attempts", "invitations"} {
			rows = append(rows, dump(t, s, table))
		}
		stored := strings.Join(rows, "\n")
		for name, canary := range canaries {
			if strings.Contains(logs, canary) {
				t.Errorf("%s is in the log", name)
			}
			if strings.Contains(stored, canary) {
				t.Errorf("G4: %s is in the database", name)
			}
		}
		if strings.Contains(stored, "PRIVATE KEY") || strings.Contains(stored, "MIIEv") {
			t.Error("a private key is in the database as it is")
		}
	})
}
