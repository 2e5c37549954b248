package oauth_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// E5, E8, RFC 6749 §4.4 and §5.1, RFC 9068 §2: what a client gets, by the Basic header and by the form.
func TestE8_ClientCredentials(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		c := s.Client(t, admin, map[string]any{"tokenLifetimeSeconds": 900}, "tickets:read:all", "reports:read:all")
		basic := servertest.Basic(c.Client, c.Secret)
		for name, r := range map[string]servertest.Response{
			"basic": s.PostForm(t, "/oauth2/token", grant, basic),
			"post": s.PostForm(t, "/oauth2/token",
				append(slices.Clone(grant), "client_id", c.Client, "client_secret", c.Secret)),
			"both, as Apache APISIX": s.PostForm(t, "/oauth2/token",
				append(slices.Clone(grant), "client_id", c.Client, "client_secret", c.Secret), basic),
			"both, without the id": s.PostForm(t, "/oauth2/token",
				append(slices.Clone(grant), "client_secret", c.Secret), basic),
			"our resource and audience": s.PostForm(t, "/oauth2/token",
				append(slices.Clone(grant), "resource", issuer+"/api", "audience", issuer+"/api"), basic),
		} {
			r.Want(t, 200)
			if r.String("token_type") != "Bearer" || r.Get("expires_in") != 900.0 ||
				r.String("scope") != "reports:read:all tickets:read:all" || r.Get("refresh_token") != nil {
				t.Errorf("%s: %s", name, r.Body)
			}
			if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Pragma") != "no-cache" ||
				r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v", name, r.Header)
			}
			header, claims := decode(t, r.String("access_token"))
			if header["typ"] != "at+jwt" || header["alg"] != "RS256" {
				t.Errorf("%s: %v", name, header)
			}
			for claim, want := range map[string]any{"iss": issuer, "aud": issuer + "/api", "sub": c.Client,
				"client_id": c.Client, "organizationId": s.Organization("acme-corp"),
				"scope":       "reports:read:all tickets:read:all",
				"permissions": []any{"reports:read:all", "tickets:read:all"}} {
				if fmt.Sprint(claims[claim]) != fmt.Sprint(want) {
					t.Errorf("%s: %s is %v, want %v", name, claim, claims[claim], want)
				}
			}
			if claims["exp"].(float64)-claims["iat"].(float64) != 900 || claims["jti"] == "" ||
				claims["nbf"] != claims["iat"] {
				t.Errorf("%s: %v", name, claims)
			}
			me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(r.String("access_token"))).Want(t, 200)
			if me.String("kind") != "client" || me.String("id") != c.Client || me.Get("ownerId") != nil ||
				me.String("organizationSlug") != "acme-corp" {
				t.Errorf("%s: %s", name, me.Body)
			}
		}
		// A narrower scope, and none that the client does not have (empty: all).
		narrow := s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "scope", "tickets:read:own"), basic).
			Want(t, 200)
		if narrow.String("scope") != "tickets:read:own" {
			t.Errorf("%s", narrow.Body)
		}
		s.Do(t, "GET", "/v1/reports/tickets", nil, servertest.Bearer(narrow.String("access_token"))).Want(t, 403)
		if all := s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "scope", ""), basic).
			Want(t, 200); all.String("scope") != "reports:read:all tickets:read:all" {
			t.Errorf("%s", all.Body)
		}
		for _, scope := range []string{"tickets:manage:all", "users:read:all", "openid",
			"tickets:read:all users:read:all"} {
			if r := s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "scope", scope),
				basic); r.Status != 400 || r.String("error") != "invalid_scope" {
				t.Errorf("scope %q: %d %s", scope, r.Status, r.Body)
			}
		}
		// No row is written for a token that needs none.
		before := count(t, s, "audit_events") + count(t, s, "client_grants") + count(t, s, "onetime")
		for range 5 {
			s.PostForm(t, "/oauth2/token", grant, basic).Want(t, 200)
		}
		if after := count(t, s, "audit_events") + count(t, s, "client_grants") +
			count(t, s, "onetime"); after != before {
			t.Errorf("%d rows for five tokens", after-before)
		}
	})
}

// E6, ATK55, RFC 6749 §5.2: every failed authentication is the same 401.
func TestE6_InvalidClient(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		a, b := s.Client(t, admin, nil, "tickets:read:all"), s.Client(t, admin, nil, "tickets:read:all")
		off := s.Client(t, admin, nil, "tickets:read:all")
		s.Do(t, "PATCH", "/v1/clients/"+off.Client, map[string]any{"state": "off"}, admin).Want(t, 200)
		expired := s.Do(t, "POST", "/v1/clients/"+a.Client+"/secrets",
			map[string]any{"name": "short", "expiresAt": s.Clock.Now().Add(time.Minute)}, admin).Want(t, 201).
			String("secret")
		s.PostForm(t, "/oauth2/token", grant, servertest.Basic(a.Client, expired)).Want(t, 200)
		s.Clock.Advance(2 * time.Minute)
		elsewhere := s.Do(t, "POST", "/v1/clients",
			map[string]any{"name": "x", "permissions": []string{}, "allowedAddresses": []string{"192.0.2.1"}},
			s.As(t, servertest.Admin)).Want(t, 201)
		key := s.Seeds.APIKeys[0].Key
		var first string
		for name, change := range map[string]servertest.Change{
			"another's secret":     servertest.Basic(a.Client, b.Secret),
			"an unknown client":    servertest.Basic("cli_01BX5ZZKBKACTAV9WEVGEMMVRZ", a.Secret),
			"no such id":           servertest.Basic("nobody", a.Secret),
			"a wrong secret":       servertest.Basic(a.Client, servertest.Altered(a.Secret)),
			"an unknown secret":    servertest.Basic(a.Client, "gth_cs_"+strings.Repeat("0", 48)+"_00000000"),
			"no secret":            servertest.Basic(a.Client, ""),
			"an expired secret":    servertest.Basic(a.Client, expired),
			"switched off":         servertest.Basic(off.Client, off.Secret),
			"an API key":           servertest.Basic(a.Client, key),
			"from a wrong address": servertest.Basic(elsewhere.String("id"), elsewhere.String("clientSecret")),
			"garbage":              servertest.Header("Authorization", "Basic !!"),
			"another scheme":       servertest.Header("Authorization", "Digest x"),
			"a token":              servertest.Bearer(a.Value),
			"no colon":             servertest.Header("Authorization", "Basic bm9ib2R5"),
			"not UTF-8":            servertest.Password(a.Client, "gr\xfcn"),
		} {
			r := s.PostForm(t, "/oauth2/token", grant, change)
			if r.Status != 401 || r.String("error") != "invalid_client" ||
				r.Header.Get("WWW-Authenticate") != `Basic realm="gatehouse", charset="UTF-8"` ||
				r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s %v", name, r.Status, r.Body, r.Header)
			}
			if first == "" {
				first = r.String("error_description")
			}
			if r.String("error_description") != first {
				t.Errorf("%s is told apart: %s", name, r.String("error_description"))
			}
		}
		s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "client_id", a.Client)).Want(t, 401)
		s.PostForm(t, "/oauth2/token", grant).Want(t, 401)
		if strings.Contains(s.Logs.String(), a.Secret[7:55]) {
			t.Error("a secret is in the log")
		}
	})
}

// A secret that was read from a file with its line end is refused, and the log says why, without the secret; a
// byte-order mark before a form is skipped.
func TestSecretsFromFiles(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Client(t, s.As(t, servertest.Admin), nil, "tickets:read:all")
		for id, value := range map[string]string{c.Client: c.Secret + "\n", c.Client + "\r\n": c.Secret,
			c.Client + "x": "\ufeff" + c.Secret} {
			before := len(s.Logs.String())
			s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"}, servertest.Basic(id, value)).
				Want(t, 401)
			s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials", "client_id", id,
				"client_secret", value}).Want(t, 401)
			said := s.Logs.String()[before:]
			if strings.Count(said, "white space or a line end around it") != 2 || strings.Contains(said, c.Secret) {
				t.Errorf("%q: %s", id, said)
			}
		}
		s.Do(t, "POST", "/oauth2/token", "\ufeffgrant_type=client_credentials", servertest.Form(),
			servertest.Basic(c.Client, c.Secret)).Want(t, 200)
	})
}

// RFC 6749 §2.3, §3.1, §3.2, RFC 6750 §2, R9700-20, ATK35, ATK41: what is not a proper token request.
func TestATK35_BadRequests(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Client(t, s.As(t, servertest.Admin), nil, "tickets:read:all")
		basic := servertest.Basic(c.Client, c.Secret)
		form := func(pairs ...string) []string { return pairs }
		for _, r := range []struct {
			name  string
			form  []string
			auth  servertest.Change
			error string
		}{
			{"no grant", form(), basic, "invalid_request"},
			{"password", form("grant_type", "password", "username", "x", "password", "y"), basic,
				"unsupported_grant_type"},
			{"authorization code", form("grant_type", "authorization_code", "code", "x"), basic,
				"unsupported_grant_type"},
			{"token exchange", form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token",
				c.Value), basic, "unsupported_grant_type"},
			{"JWT bearer grant", form("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
				c.Value), basic, "unsupported_grant_type"},
			{"another case", form("grant_type", "Client_Credentials"), basic, "unsupported_grant_type"},
			{"a refresh token where none is allowed", form("grant_type", "refresh_token", "refresh_token", "x"), basic,
				"unauthorized_client"},
			{"no refresh token", form("grant_type", "refresh_token"), basic, "invalid_request"},
			{"twice the same", form("grant_type", "client_credentials", "grant_type", "client_credentials"), basic,
				"invalid_request"},
			{"two scopes", form("grant_type", "client_credentials", "scope", "a", "scope", "b"), basic,
				"invalid_request"},
			{"another secret", form("grant_type", "client_credentials", "client_id", c.Client, "client_secret",
				servertest.Altered(c.Secret)), basic, "invalid_request"},
			{"another secret and no client_id", form("grant_type", "client_credentials", "client_secret",
				servertest.Altered(c.Secret)), basic, "invalid_request"},
			{"another client_id and the secret", form("grant_type", "client_credentials", "client_id",
				"cli_01BX5ZZKBKACTAV9WEVGEMMVRZ", "client_secret", c.Secret), basic, "invalid_request"},
			{"Basic and an assertion", form("grant_type", "client_credentials", "client_assertion", "x"), basic,
				"invalid_request"},
			{"another client_id", form("grant_type", "client_credentials", "client_id",
				"cli_01BX5ZZKBKACTAV9WEVGEMMVRZ"), basic, "invalid_request"},
			{"a secret and an assertion", form("grant_type", "client_credentials", "client_id", c.Client,
				"client_secret", c.Secret, "client_assertion", "x"), nil, "invalid_request"},
			{"another resource", form("grant_type", "client_credentials", "resource", "https://other.example"), basic,
				"invalid_target"},
			{"another audience", form("grant_type", "client_credentials", "audience", "https://other.example"), basic,
				"invalid_target"},
			{"our resource and another audience", form("grant_type", "client_credentials", "resource", issuer+"/api",
				"audience", "https://other.example"), basic, "invalid_target"},
			{"another resource and our audience", form("grant_type", "client_credentials", "resource",
				"https://other.example", "audience", issuer+"/api"), basic, "invalid_target"},
		} {
			changes := []servertest.Change{}
			if r.auth != nil {
				changes = append(changes, r.auth)
			}
			if got := s.PostForm(t, "/oauth2/token", r.form, changes...); got.Status != 400 ||
				got.String("error") != r.error {
				t.Errorf("%s: %d %s, want %s", r.name, got.Status, got.Body, r.error)
			}
		}
		s.PostForm(t, "/oauth2/token?client_id="+c.Client, grant, basic).Want(t, 400)
		s.Do(t, "POST", "/oauth2/token", `{"grant_type":"client_credentials"}`, basic).Want(t, 400)
		s.Do(t, "POST", "/oauth2/token", strings.Repeat("a", 40_000), servertest.Form(), basic).Want(t, 400)
		s.Do(t, "POST", "/oauth2/token", "grant_type=%zz", servertest.Form(), basic).Want(t, 400)
		s.Do(t, "GET", "/oauth2/token", nil, basic).Want(t, 405)
		// What the client adds changes nothing that is ours to say.
		r := s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "iss", "x", "sub", "usr_1", "aud", "x", "exp",
			"9999999999", "organizationId", "org_1", "permissions", "users:manage:all", "role", "super_admin",
			"client_assertion_x", "y"), basic).Want(t, 200)
		_, claims := decode(t, r.String("access_token"))
		if claims["sub"] != c.Client || claims["iss"] != issuer || claims["role"] != nil ||
			fmt.Sprint(claims["permissions"]) != "[tickets:read:all]" ||
			claims["organizationId"] != s.Organization("acme-corp") {
			t.Errorf("%v", claims)
		}
	})
}

// E4, ATK22, ATK26, R9700-10–12: refresh tokens only for clients allowed one, bound to their client, each once; used
// again the family ends with every token of it, over two nodes too.
func TestE4_RefreshTokens(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		allowed := map[string]any{"refreshTokens": true}
		c, b := s.Client(t, admin, allowed, "tickets:read:all", "reports:read:all"), s.Client(t, admin, allowed,
			"tickets:read:all")
		basic := servertest.Basic(c.Client, c.Secret)
		start := func(scope string) (access, refresh string) {
			r := s.PostForm(t, "/oauth2/token", append(slices.Clone(grant), "scope", scope), basic).Want(t, 200)
			return r.String("access_token"), r.String("refresh_token")
		}
		refresh := func(node *servertest.Server, token string, auth servertest.Change,
			more ...string) servertest.Response {
			return node.PostForm(t, "/oauth2/token",
				append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...), auth)
		}
		access, first := start("")
		header, _ := decode(t, first)
		if header["typ"] != "rt+jwt" {
			t.Errorf("%v", header)
		}
		// no access token
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(first)).Want(t, 401)
		// nor a session's
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": first}).Want(t, 401)
		// and back
		refresh(s, s.Login(t, servertest.Admin).RefreshToken, basic).Want(t, 400)
		// an access token is none
		refresh(s, access, basic).Want(t, 400)
		if r := refresh(s, first, servertest.Basic(b.Client, b.Secret)); r.String("error") != "invalid_grant" {
			// another client's
			t.Errorf("%d %s", r.Status, r.Body)
		}
		r := refresh(other, first, basic).Want(t, 200)
		second := r.String("refresh_token")
		if second == "" || second == first || r.String("scope") != "reports:read:all tickets:read:all" {
			t.Errorf("%s", r.Body)
		}
		next := r.String("access_token")
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(next)).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(access)).Want(t, 200)
		if r := refresh(s, first, basic); r.Status != 400 || r.String("error") != "invalid_grant" {
			// the family is stolen
			t.Errorf("%d %s", r.Status, r.Body)
		}
		refresh(s, second, basic).Want(t, 400)
		for _, token := range []string{access, next} {
			s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Want(t, 401, "TOKEN_REVOKED")
		}
		// A scope may be narrowed, never widened; what the client lost is gone.
		_, narrow := start("tickets:read:all")
		if r := refresh(s, narrow, basic, "scope", "reports:read:all"); r.String("error") != "invalid_scope" {
			t.Errorf("%s", r.Body)
		}
		r = refresh(s, narrow, basic, "scope", "tickets:read:own").Want(t, 200)
		if r.String("scope") != "tickets:read:own" {
			t.Errorf("%s", r.Body)
		}
		// Many at once: one succeeds, and nothing lives on.
		_, token := start("")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []servertest.Response
		for i := range 20 {
			wg.Go(func() {
				r, err := []*servertest.Server{s, other}[i%2].Try("POST", "/oauth2/token",
					"grant_type=refresh_token&refresh_token="+token, servertest.Form(), basic)
				if err == nil && r.Status == 200 {
					mu.Lock()
					won = append(won, r)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of 20 uses of one token succeeded", len(won))
		}
		refresh(s, won[0].String("refresh_token"), basic).Want(t, 400)
		soon(t, func() string {
			return fmt.Sprint(other.Do(t, "GET", "/v1/tickets", nil,
				servertest.Bearer(won[0].String("access_token"))).Status)
		}, "401")
		// It ends after thirty days, however often it was turned; and with the permission to have one.
		_, token = start("")
		s.Do(t, "PATCH", "/v1/clients/"+c.Client, map[string]any{"refreshTokens": false}, admin).Want(t, 200)
		if r := refresh(s, token, basic); r.String("error") != "unauthorized_client" {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "PATCH", "/v1/clients/"+c.Client, map[string]any{"refreshTokens": true}, admin).Want(t, 200)
		s.Clock.Advance(20 * 24 * time.Hour)
		token = refresh(s, token, basic).Want(t, 200).String("refresh_token")
		s.Clock.Advance(11 * 24 * time.Hour)
		if r := refresh(s, token, basic); r.Status != 400 || r.String("error") != "invalid_grant" {
			t.Errorf("after 31 days: %d %s", r.Status, r.Body)
		}
	})
}

func soon(t *testing.T, get func() string, want string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for got := get(); got != want; got = get() {
		if time.Now().After(deadline) {
			t.Errorf("got %s, want %s", got, want)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// E8, RFC 7523, ATK30, ATK36, ATK37: assertions of each algorithm, by registered keys; and everything an assertion must
// not be.
func TestATK30_PrivateKeyJWT(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		register := func(keys ...key) string {
			var list []any
			for _, k := range keys {
				list = append(list, k.public(t))
			}
			return s.Client(t, admin,
				map[string]any{"authentication": map[string]any{"method": "private_key_jwt",
					"jwks": map[string]any{"keys": list}}}, "tickets:read:all").Client
		}
		for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA} {
			k := newKey(t, alg, "one")
			c := register(k)
			r := s.PostForm(t, "/oauth2/token", assertion(k.sign(t, nil, claims(s, c)))).Want(t, 200)
			s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(r.String("access_token"))).Want(t, 200)
			s.PostForm(t, "/oauth2/token",
				append(assertion(k.sign(t, map[jose.HeaderKey]any{"typ": "client-authentication+jwt"}, claims(s, c))),
					"client_id", c)).Want(t, 200)
		}
		k, second := newKey(t, jose.ES256, "one"), newKey(t, jose.ES256, "two")
		c := register(k, second)
		s.PostForm(t, "/oauth2/token", assertion(second.sign(t, nil, claims(s, c)))).Want(t, 200)
		now := s.Clock.Now().Unix()
		edit := func(name string, v any) map[string]any {
			m := claims(s, c)
			if m[name] = v; v == nil {
				delete(m, name)
			}
			return m
		}
		stranger := newKey(t, jose.ES256, "one")
		nameless := key{k.signer, k.alg, ""}
		unknown := key{k.signer, k.alg, "three"}
		for name, value := range map[string]string{
			"a stranger's key": stranger.sign(t, nil, claims(s, c)),
			"an unknown kid":   unknown.sign(t, nil, claims(s, c)),
			"no kid of two":    nameless.sign(t, nil, claims(s, c)),
			"no exp":           k.sign(t, nil, edit("exp", nil)), "expired": k.sign(t, nil, edit("exp", now-1)),
			"exp in an hour": k.sign(t, nil, edit("exp", now+3600)), "not yet": k.sign(t, nil, edit("nbf", now+100)),
			"from the future": k.sign(t, nil, edit("iat", now+100)), "no jti": k.sign(t, nil, edit("jti", nil)),
			"a long jti":            k.sign(t, nil, edit("jti", strings.Repeat("j", 257))),
			"another iss":           k.sign(t, nil, edit("iss", "cli_x")),
			"another sub":           k.sign(t, nil, edit("sub", s.Seeds.Clients[0].ClientID)),
			"no sub":                k.sign(t, nil, edit("sub", nil)),
			"no aud":                k.sign(t, nil, edit("aud", nil)),
			"the endpoint as aud":   k.sign(t, nil, edit("aud", issuer+"/oauth2/token")),
			"another aud":           k.sign(t, nil, edit("aud", "https://other.example")),
			"aud of several":        k.sign(t, nil, edit("aud", []string{issuer, "https://other.example"})),
			"an access token's typ": k.sign(t, map[jose.HeaderKey]any{"typ": "at+jwt"}, claims(s, c)),
			"no signature":          strings.Join(strings.Split(k.sign(t, nil, claims(s, c)), ".")[:2], ".") + ".",
			"our own token":         s.Login(t, servertest.Admin).AccessToken, "nonsense": "a.b.c", "empty": "..",
		} {
			if r := s.PostForm(t, "/oauth2/token", assertion(value)); r.Status != 401 ||
				r.String("error") != "invalid_client" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		if r := s.PostForm(t, "/oauth2/token",
			assertion(k.sign(t, nil, edit("aud", []string{issuer})))); r.Status != 200 {
			// a list of one is one
			t.Errorf("aud as a list of one: %d %s", r.Status, r.Body)
		}
		// A client that has keys has no secret and takes none.
		s.PostForm(t, "/oauth2/token", grant, servertest.Basic(c, s.Seeds.Clients[0].ClientSecret)).Want(t, 401)
		s.Do(t, "POST", "/v1/clients/"+c+"/secrets", map[string]any{"name": "x"}, admin).Want(t, 409)
		s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials", "client_assertion",
			k.sign(t, nil, claims(s, c)), "client_assertion_type", "urn:other"}).Want(t, 400)
		// Once, of many at once on two nodes.
		value := k.sign(t, nil, claims(s, c))
		var wg sync.WaitGroup
		var mu sync.Mutex
		good := 0
		for i := range 16 {
			wg.Go(func() {
				r, err := []*servertest.Server{s, other}[i%2].Try("POST", "/oauth2/token",
					"grant_type=client_credentials&client_assertion_type="+assertionType+"&client_assertion="+value,
					servertest.Form())
				if err == nil && r.Status == 200 {
					mu.Lock()
					good++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if good != 1 {
			t.Errorf("one assertion was accepted %d times", good)
		}
		// Another client may use the same jti.
		again := claims(s, c)
		twin := register(k)
		copied := claims(s, twin)
		copied["jti"] = again["jti"]
		s.PostForm(t, "/oauth2/token", assertion(k.sign(t, nil, again))).Want(t, 200)
		s.PostForm(t, "/oauth2/token", assertion(k.sign(t, nil, copied))).Want(t, 200)
	})
}

// RFC 7517, R8725-05, ATK36: which keys a client may register.
func TestClientKeys(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		es := newKey(t, jose.ES256, "a").public(t)
		private := map[string]any{}
		for k, v := range es {
			private[k] = v
		}
		private["d"] = private["x"]
		wrongAlg := map[string]any{}
		for k, v := range es {
			wrongAlg[k] = v
		}
		wrongAlg["alg"] = "RS256"
		set := func(keys ...any) map[string]any {
			return map[string]any{"method": "private_key_jwt", "jwks": map[string]any{"keys": keys}}
		}
		for name, authentication := range map[string]map[string]any{
			"no keys": set(), "a private key": set(private),
			"a secret":      set(map[string]any{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}),
			"twice the kid": set(es, es), "an algorithm of another type": set(wrongAlg),
			"an unknown type":          set(map[string]any{"kty": "XYZ"}),
			"neither keys nor address": {"method": "private_key_jwt"},
			"both": {"method": "private_key_jwt", "jwks": map[string]any{"keys": []any{es}},
				"jwksUri": "https://keys.example/jwks"},
			"an address without TLS": {"method": "private_key_jwt", "jwksUri": "http://keys.example/jwks"},
			"an address with a user": {"method": "private_key_jwt", "jwksUri": "https://u:p@keys.example/jwks"},
			"keys with a secret":     {"method": "client_secret", "jwks": map[string]any{"keys": []any{es}}},
			"no name":                {"method": "tls_client_auth"},
			"two names":              {"method": "tls_client_auth", "subjectDn": "CN=a", "sanDns": "a"},
			"no thumbprint":          {"method": "self_signed_tls_client_auth"},
			"a short thumbprint":     {"method": "self_signed_tls_client_auth", "thumbprints": []string{"abc"}},
			"no such method":         {"method": "none"},
		} {
			if r := s.Do(t, "POST", "/v1/clients",
				map[string]any{"name": "x", "permissions": []string{}, "authentication": authentication},
				admin); r.Status != 400 || r.Code() != "VALIDATION_ERROR" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		if jwt.AssertionAlgorithms[0] != "RS256" || slices.Contains(jwt.AssertionAlgorithms, "HS256") ||
			slices.Contains(jwt.AssertionAlgorithms, "none") {
			t.Error(jwt.AssertionAlgorithms)
		}
	})
}
