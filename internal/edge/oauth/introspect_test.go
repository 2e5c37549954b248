package oauth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A11, E8, RFC 7662, RFC 9701, R7662-01–06: what a client is told about every kind of token, plainly and signed.
func TestE8_Introspection(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		asker := s.Client(t, admin, nil, "introspection:read:all")
		basic := servertest.Basic(asker.Client, asker.Secret)
		ask := func(token string, changes ...servertest.Change) servertest.Response {
			return s.PostForm(t, "/oauth2/introspect", []string{"token", token, "token_type_hint", "refresh_token"},
				append(changes, basic)...)
		}
		for _, m := range s.Seeded(t) {
			r := ask(m.Value).Want(t, 200)
			if r.Get("active") != true || r.String("organization") != "acme-corp" || r.String("iss") != issuer ||
				r.Header.Get("Cache-Control") != "no-store" || r.Get("iat").(float64) == 0 {
				t.Errorf("%s: %s", m.Kind, r.Body)
			}
			if !strings.Contains(r.String("scope"), "tickets:manage:all") || len(r.Get("permissions").([]any)) == 0 {
				t.Errorf("%s: %s", m.Kind, r.Body)
			}
			me := s.Do(t, "GET", "/v1/auth/me", nil, m.Send()).Want(t, 200)
			if r.String("sub") != me.String("id") || r.String("kind") != me.String("kind") ||
				fmt.Sprint(r.Get("permissions")) != fmt.Sprint(me.Get("permissions")) {
				t.Errorf("%s: introspection %s, me %s", m.Kind, r.Body, me.Body)
			}
			if lives := m.Kind == "session_token" || m.Kind == "client_token"; (r.Get("exp") != nil) != lives ||
				(r.Get("jti") != nil) != lives {
				t.Errorf("%s: exp %v jti %v", m.Kind, r.Get("exp"), r.Get("jti"))
			}
			if (m.Kind == "client_token") != (r.String("client_id") == m.Client && m.Client != "") {
				t.Errorf("%s: client_id %v", m.Kind, r.Get("client_id"))
			}
			// The same, signed for the one who asked.
			signed := ask(m.Value, servertest.Header("Accept", "application/token-introspection+jwt")).Want(t, 200)
			if signed.Header.Get("Content-Type") != "application/token-introspection+jwt" {
				t.Errorf("%s: %v", m.Kind, signed.Header)
			}
			header, _ := decode(t, string(signed.Body))
			payload := verified(t, s, string(signed.Body))
			if header["typ"] != "token-introspection+jwt" || payload["aud"] != asker.Client ||
				payload["iss"] != issuer || payload["sub"] != nil || payload["exp"] != nil {
				t.Errorf("%s: %v %v", m.Kind, header, payload)
			}
			if inner := payload["token_introspection"].(map[string]any); inner["active"] != true ||
				inner["sub"] != me.String("id") {
				t.Errorf("%s: %v", m.Kind, inner)
			}
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(string(signed.Body))).Want(t, 401)
		}
		// Refresh tokens are active too, and say nothing of permissions.
		session := s.Login(t, servertest.Agent)
		r := ask(session.RefreshToken).Want(t, 200)
		if r.Get("active") != true || r.String("token_type") != "refresh_token" || r.Get("permissions") != nil ||
			r.String("username") != servertest.Agent {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": session.RefreshToken}).Want(t, 200)
		if r := ask(session.RefreshToken).Want(t, 200); string(r.Body) != `{"active":false}` {
			t.Errorf("a used refresh token: %s", r.Body)
		}
		// A count of uses is not touched, nor a limit taken from.
		key := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{},
			"rateLimitPerMinute": 1}, admin).Want(t, 201)
		for range 3 {
			if r := ask(key.String("key")).Want(t, 200); r.Get("active") != true {
				t.Errorf("%s", r.Body)
			}
		}
		if got := s.Do(t, "GET", "/v1/api-keys/"+key.String("id"), nil, admin).
			Want(t, 200); got.Get("lastUsedAt") != nil {
			t.Errorf("asking about a key counts as its use: %s", got.Body)
		}
		// Who asks proves who they are.
		s.PostForm(t, "/oauth2/introspect", []string{"token", asker.Value}).Want(t, 401)
		s.PostForm(t, "/oauth2/introspect", []string{"token", asker.Value}, servertest.Bearer(asker.Value)).Want(t, 401)
		s.PostForm(t, "/oauth2/introspect", nil, basic).Want(t, 400)
		s.PostForm(t, "/oauth2/introspect?token="+asker.Value, nil, basic).Want(t, 400)
		s.Do(t, "GET", "/oauth2/introspect", nil, basic).Want(t, 405)
	})
}

// A43, ATK34, RFC 7662 §2.2: a client without introspection:read:all is told all about its own tokens only. Of every
// other live token of its organization it learns that it is active, plainly and signed.
func TestATK34_OwnTokensOnly(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		asker := s.Client(t, admin, map[string]any{"refreshTokens": true}, "tickets:read:all", "clients:read:all")
		basic := servertest.Basic(asker.Client, asker.Secret)
		values := map[string]string{"refresh": s.Login(t, servertest.Admin).RefreshToken}
		for _, m := range s.Seeded(t) {
			values[m.Kind] = m.Value
		}
		for name, value := range values {
			if r := s.PostForm(t, "/oauth2/introspect", []string{"token", value}, basic).
				Want(t, 200); string(r.Body) != `{"active":true}` {
				t.Errorf("%s: %s", name, r.Body)
			}
			r := s.PostForm(t, "/oauth2/introspect", []string{"token", value}, basic,
				servertest.Header("Accept", "application/token-introspection+jwt")).Want(t, 200)
			if inner := verified(t, s, string(r.Body))["token_introspection"]; fmt.Sprint(inner) != "map[active:true]" {
				t.Errorf("%s, signed: %v", name, inner)
			}
		}
		own := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"}, basic).Want(t, 200)
		for _, member := range []string{"access_token", "refresh_token"} {
			r := s.PostForm(t, "/oauth2/introspect", []string{"token", own.String(member)}, basic).Want(t, 200)
			if r.String("client_id") != asker.Client || r.String("organization") != "acme-corp" {
				t.Errorf("its own %s: %s", member, r.Body)
			}
		}
	})
}

// A14, E8: the answer names the networks from which a key or a client may work, so that whoever asks can hold to them
// as /verify does. One that works from everywhere has none.
func TestA14_IntrospectionNamesAddresses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		asker := s.Seeds.Clients[0]
		ask := func(token string) servertest.Response {
			r := s.PostForm(t, "/oauth2/introspect", []string{"token", token},
				servertest.Basic(asker.ClientID, asker.ClientSecret)).Want(t, 200)
			if r.Get("active") != true {
				t.Errorf("%s", r.Body)
			}
			return r
		}
		networks := []string{"127.0.0.1", "::1", "192.0.2.0/24"}
		const want = "[127.0.0.1/32 ::1/128 192.0.2.0/24]"
		key := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{},
			"allowedAddresses": networks}, admin).Want(t, 201).String("key")
		token := s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "x", "allowedAddresses": networks}, admin).
			Want(t, 201).String("token")
		client := s.Client(t, admin, map[string]any{"refreshTokens": true, "allowedAddresses": networks})
		granted := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
			servertest.Basic(client.Client, client.Secret)).Want(t, 200)
		for name, value := range map[string]string{"a key": key, "an access token": token,
			"a client's token": granted.String("access_token"), "its refresh token": granted.String("refresh_token")} {
			if r := ask(value); fmt.Sprint(r.Get("allowedAddresses")) != want {
				t.Errorf("%s: %s", name, r.Body)
			}
		}
		if r := ask(s.Seeds.APIKeys[0].Key); r.Get("allowedAddresses") != nil {
			t.Errorf("a key for everywhere: %s", r.Body)
		}
	})
}

// verified checks a JWT with the published keys.
func verified(t *testing.T, s *servertest.Server, token string) map[string]any {
	t.Helper()
	var set jose.JSONWebKeySet
	s.Do(t, "GET", "/.well-known/jwks.json", nil).Want(t, 200).Into(t, &set)
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	header, payload := decode(t, token)
	keys := set.Key(header["kid"].(string))
	if len(keys) != 1 {
		t.Fatalf("the key %v is not published", header["kid"])
	}
	if _, err := jws.Verify(keys[0].Key); err != nil {
		t.Fatal(err)
	}
	return payload
}

// ATK34, R7662-02, R7662-03, G2: another tenant's token is a bare inactive, exactly like nonsense, in both forms; only
// a client of the platform that may read all organizations is told.
func TestATK34_ForeignTokens(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		foreign := s.Client(t, s.As(t, servertest.Foreigner), nil, "clients:manage:all",
			"introspection:manage:all", "users:manage:all")
		operator := s.As(t, servertest.Operator)
		made := func(permissions ...string) servertest.Change {
			r := s.Do(t, "POST", "/v1/clients", map[string]any{"name": "x", "permissions": permissions}, operator).
				Want(t, 201)
			return servertest.Basic(r.String("id"), r.String("clientSecret"))
		}
		everywhere := made("organizations:read:all", "introspection:read:all")
		powerless := made("introspection:read:all")
		values := map[string]string{"nonsense": "nonsense", "three parts": "a.b.c",
			"an unknown key":  "tnt_0000000000" + strings.Repeat("0", 48) + "_00000000",
			"a client secret": foreign.Secret, "our own secret": s.Seeds.Clients[0].ClientSecret}
		for _, m := range s.Seeded(t) {
			values[m.Kind] = m.Value
		}
		values["refresh"] = s.Login(t, servertest.Admin).RefreshToken
		for name, value := range values {
			for asker, basic := range map[string]servertest.Change{"the other tenant": servertest.Basic(foreign.Client,
				foreign.Secret), "the platform without the permission": powerless} {
				if r := s.PostForm(t, "/oauth2/introspect", []string{"token", value}, basic).
					Want(t, 200); string(r.Body) != `{"active":false}` {
					t.Errorf("%s is told about %s: %s", asker, name, r.Body)
				}
				r := s.PostForm(t, "/oauth2/introspect", []string{"token", value}, basic,
					servertest.Header("Accept", "application/token-introspection+jwt")).Want(t, 200)
				if inner := verified(t, s, string(r.Body))["token_introspection"]; fmt.Sprint(
					inner) != "map[active:false]" {
					t.Errorf("%s is told about %s: %v", asker, name, inner)
				}
			}
			live := strings.Contains(name, "_") || name == "refresh"
			if r := s.PostForm(t, "/oauth2/introspect", []string{"token", value}, everywhere).
				Want(t, 200); (r.Get("active") == true) != live {
				t.Errorf("the platform's gateway is told about %s: %s", name, r.Body)
			}
		}
	})
}

// A11, RFC 7009, R7009-01–06, G9: who may end which token; what is not theirs stays, and the answer is the same.
func TestA11_Revocation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		a, b := s.Client(t, admin, map[string]any{"refreshTokens": true}, "tickets:read:all"), s.Client(t, admin, nil,
			"tickets:read:all")
		basic := func(m servertest.Machine) servertest.Change { return servertest.Basic(m.Client, m.Secret) }
		revoke := func(token string, by servertest.Change) {
			t.Helper()
			if r := s.PostForm(t, "/oauth2/revoke", []string{"token", token, "token_type_hint", "access_token"}, by).
				Want(t, 200); len(r.Body) != 0 {
				t.Errorf("it tells %s", r.Body)
			}
		}
		status := func(m servertest.Machine) int { return s.Do(t, "GET", "/v1/tickets", nil, m.Send()).Status }
		expect := func(name string, m servertest.Machine, want int) {
			t.Helper()
			if got := status(m); got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
		// A client's own, and no other client's.
		revoke(b.Value, basic(a))
		expect("another client's token", b, 200)
		revoke(a.Value, basic(a))
		expect("its own token", a, 401)
		revoke(a.Value, basic(a)) // again
		more := servertest.Machine{Kind: "client_token", Value: s.PostForm(t, "/oauth2/token", grant, basic(a)).
			Want(t, 200).String("access_token")}
		expect("another token of the same client", more, 200)
		// The refresh token takes its access tokens with it, whatever the hint says.
		pair := s.PostForm(t, "/oauth2/token", grant, basic(a)).Want(t, 200)
		revoke(pair.String("refresh_token"), basic(a))
		expect("the access token beside a revoked refresh token",
			servertest.Machine{Kind: "client_token", Value: pair.String("access_token")}, 401)
		s.PostForm(t, "/oauth2/token", []string{"grant_type", "refresh_token", "refresh_token",
			pair.String("refresh_token")}, basic(a)).Want(t, 400)
		// A person's: by themselves, one token or the whole session; a colleague's only with the permission; never a
		// stranger's.
		login := func(email string) (servertest.Machine, string) {
			tokens := s.Login(t, email)
			return servertest.Machine{Kind: "session_token", Value: tokens.AccessToken}, tokens.RefreshToken
		}
		agent, refresh := login(servertest.Agent)
		colleague, _ := login(servertest.Manager)
		stranger, _ := login(servertest.Foreigner)
		for name, by := range map[string]servertest.Change{"a colleague": colleague.Send(),
			"another tenant's administrator": stranger.Send(), "a client": basic(a),
			"an API key that may manage sessions": s.Key(t, admin, s.Organization("acme-corp"), "sessions:manage:all").
				Send()} {
			revoke(agent.Value, by)
			revoke(refresh, by)
			expect("revoked by "+name, agent, 200)
		}
		revoke(agent.Value, agent.Send())
		expect("revoked by oneself", agent, 401)
		// one token, not the session
		again := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": refresh}).Want(t, 200)
		agent.Value = again.String("accessToken")
		revoke(again.String("refreshToken"), agent.Send())
		expect("the session of a revoked refresh token", agent, 401)
		agent, _ = login(servertest.Agent)
		revoke(agent.Value, admin)
		expect("revoked by an administrator", agent, 401)
		// The long-lived: by their owner, by who may delete them, by themselves.
		manager := s.UserID(t, servertest.Manager)
		key := s.Key(t, admin, manager, "tickets:read:all")
		revoke(key.Value, stranger.Send())
		revoke(key.Value, basic(a))
		expect("a key revoked by others", key, 200)
		revoke(key.Value, colleague.Send())
		expect("a key revoked by its owner", key, 401)
		for _, m := range []servertest.Machine{s.Key(t, admin, manager, "tickets:read:all"),
			s.AccessToken(t, admin, manager), s.SystemToken(t, admin)} {
			revoke(m.Value, m.Send())
			expect(m.Kind+" revoked by itself", m, 401)
		}
		sat := s.SystemToken(t, admin)
		revoke(sat.Value, admin)
		expect("a system access token revoked by an administrator", sat, 401)
		revoke("nonsense", basic(b))
		s.PostForm(t, "/oauth2/revoke", []string{"token", b.Value}).Want(t, 401)
		s.PostForm(t, "/oauth2/revoke", []string{"token", b.Value}, servertest.Bearer("a.b.c")).Want(t, 401)
		s.PostForm(t, "/oauth2/revoke", nil, basic(b)).Want(t, 400)
		s.Do(t, "GET", "/oauth2/revoke?token="+b.Value, nil, basic(b)).Want(t, 405)
		expect("after all of it", b, 200)
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, admin).Want(t, 200).Body)
		for _, act := range []string{"token.revoked", "client.grant_ended", "session.ended", "api_key.revoked",
			"access_token.revoked", "system_token.revoked"} {
			if !strings.Contains(events, `"`+act+`"`) {
				t.Errorf("%s is not in the audit log", act)
			}
		}
	})
}

// R7009-06, ATK26: a revocation against refreshes in flight: once it has answered, nothing of the family lives,
// whatever the others got.
func TestATK26_RevokeAgainstRefresh(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Client(t, s.As(t, servertest.Admin), map[string]any{"refreshTokens": true}, "tickets:read:all")
		basic := servertest.Basic(c.Client, c.Secret)
		for range 10 {
			pair := s.PostForm(t, "/oauth2/token", grant, basic).Want(t, 200)
			refresh := pair.String("refresh_token")
			var wg sync.WaitGroup
			var next servertest.Response
			wg.Go(func() {
				next, _ = s.Try("POST", "/oauth2/token", "grant_type=refresh_token&refresh_token="+refresh,
					servertest.Form(), basic)
			})
			wg.Go(func() {
				if _, err := s.Try("POST", "/oauth2/revoke", "token="+refresh, servertest.Form(), basic); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if next.Status == 200 {
				// it was quicker, so the revoked token was not in force any more: revoke the one that is
				s.PostForm(t, "/oauth2/revoke", []string{"token", next.String("refresh_token")}, basic).Want(t, 200)
				s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(next.String("access_token"))).Want(t, 401)
				s.PostForm(t, "/oauth2/token", []string{"grant_type", "refresh_token", "refresh_token",
					next.String("refresh_token")}, basic).Want(t, 400)
			}
			s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(pair.String("access_token"))).Want(t, 401)
		}
	})
}

// ATK29, R7009-04: while the database is gone no revocation is claimed.
func TestATK29_RevocationThatFails(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Client(t, s.As(t, servertest.Admin), nil, "tickets:read:all")
		basic := servertest.Basic(c.Client, c.Secret)
		s.PostForm(t, "/oauth2/introspect", []string{"token", c.Value}, basic).Want(t, 200)
		s.Broken = true
		s.DB.Close()
		deadline := time.Now().Add(3 * time.Second)
		for time.Now().Before(deadline) {
			r, err := s.Try("POST", "/oauth2/revoke", "token="+c.Value, servertest.Form(), basic)
			if err != nil || r.Status < 500 {
				t.Fatalf("with the database gone: %v %d %s", err, r.Status, r.Body)
			}
			if r, err := s.Try("POST", "/oauth2/introspect", "token="+c.Value, servertest.Form(), basic); err == nil &&
				r.Status == 200 && !s.Feed.Trusted() {
				t.Fatalf("introspection answers from what nobody knows to be so: %s", r.Body)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if s.Feed.Trusted() { // SQLite's file may still be read by who had it open: then what is cached is surely so
			return
		}
		if r := s.Do(t, "GET", "/verify", nil, c.Send()); r.Status != 403 ||
			r.Header.Get("X-Auth-Error") != "unavailable" {
			t.Errorf("forward authentication: %d %v", r.Status, r.Header)
		}
		if r := s.Do(t, "GET", "/verify?status=native", nil, c.Send()); r.Status != 503 {
			t.Errorf("forward authentication, native: %d", r.Status)
		}
	})
}

// RFC 8414, R8414-01–03: the metadata says where everything is, and lists what truly works and nothing else. Clients
// that know OpenID Connect alone find the same.
func TestE8_Metadata(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "GET", "/.well-known/oauth-authorization-server", nil, servertest.Host("evil.example"),
			servertest.Header("X-Forwarded-Host", "evil.example")).Want(t, 200)
		if r.String("issuer") != issuer || strings.Contains(string(r.Body), "evil") ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %v", r.Body, r.Header)
		}
		for _, name := range []string{"token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"} {
			path, ok := strings.CutPrefix(r.String(name), issuer)
			if got := s.Do(t, "GET", path, nil); !ok || got.Status == 404 {
				t.Errorf("%s is %s", name, r.String(name))
			}
		}
		if got := fmt.Sprint(r.Get("grant_types_supported")); got != "[client_credentials refresh_token]" {
			t.Errorf("grants %s", got)
		}
		if got := fmt.Sprint(r.Get("token_endpoint_auth_methods_supported")); got != "[client_secret_basic "+
			"client_secret_post private_key_jwt]" {
			t.Errorf("methods %s", got)
		}
		if r.Get("mtls_endpoint_aliases") != nil || r.Get("tls_client_certificate_bound_access_tokens") != nil {
			t.Errorf("it claims mutual TLS, which is not set up: %s", r.Body)
		}
		for _, name := range []string{"authorization_endpoint", "userinfo_endpoint",
			"id_token_signing_alg_values_supported", "scopes_supported", "subject_types_supported"} {
			if r.Get(name) != nil {
				t.Errorf("it claims what an OpenID provider does: %s", name)
			}
		}
		twin := s.Do(t, "GET", "/.well-known/openid-configuration", nil).Want(t, 200)
		if string(twin.Body) != string(r.Body) || twin.Header.Get("Content-Type") != "application/json" ||
			twin.Header.Get("Cache-Control") != r.Header.Get("Cache-Control") ||
			twin.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %v", twin.Body, twin.Header)
		}
	})
}

// A11, A27: a session that must be proven anew gives nothing any more, and its refresh token ends it all the same: else
// it would work again where the demand is lifted.
func TestA11_RevokedThoughMoreIsDemanded(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		weak := s.Login(t, servertest.Agent)
		admin := s.As(t, servertest.Admin)
		s.EnrollApp(t, admin)
		demand := func(policy string) {
			t.Helper()
			s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": policy}}, admin).
				Want(t, 200)
		}
		demand("required")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(weak.AccessToken)).
			Want(t, 401, "REAUTHENTICATION_REQUIRED")
		s.PostForm(t, "/oauth2/revoke", []string{"token", weak.RefreshToken}, admin).Want(t, 200)
		demand("optional")
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": weak.RefreshToken}).
			Want(t, 401, "TOKEN_REVOKED")
	})
}
