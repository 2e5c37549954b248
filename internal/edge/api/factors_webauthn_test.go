package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func assertion(s *servertest.Server, t *testing.T, token string, credential map[string]any) servertest.Response {
	t.Helper()
	return s.Do(t, "POST", "/v1/auth/mfa/verify", map[string]any{"mfaToken": token, "method": "webauthn",
		"credential": credential})
}

// A30: several authenticators per user, named; each completes a sign-in; the options name them and nothing of anybody
// else; the claims say how.
func TestA30_SecondFactor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		platform, roaming := servertest.NewAuthenticator(t), servertest.NewAuthenticator(t)
		roaming.UV = false
		s.EnrollKey(t, platform, as)
		second := s.EnrollKey(t, roaming, as)
		first := s.Do(t, "POST", "/v1/auth/login",
			map[string]any{"email": servertest.Agent, "password": demo.Password}).Want(t, 202)
		if m, _ := json.Marshal(first.Get("allowedMethods")); string(m) != `["backup_codes","webauthn"]` {
			t.Errorf("methods %s", m)
		}
		options := s.ChallengeOf(t, platform, first.String("mfaToken")).Want(t, 200)
		var o struct {
			PublicKey struct {
				RPID             string `json:"rpId"`
				UserVerification string
				AllowCredentials []struct{ ID, Type string }
			}
		}
		options.Into(t, &o)
		if o.PublicKey.RPID != "auth.example.com" || len(o.PublicKey.AllowCredentials) != 2 ||
			o.PublicKey.UserVerification != "preferred" {
			t.Errorf("%s", options.Body)
		}
		r := assertion(s, t, first.String("mfaToken"), platform.Get(t, options).JSON(t)).Want(t, 200)
		_, claims := decodeToken(t, r.String("accessToken"))
		if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["pwd","hwk","user","mfa"]` ||
			claims["acr"] != "aal2" {
			t.Errorf("amr %s, acr %v", amr, claims["acr"])
		}
		token := s.FirstStep(t, servertest.Agent)
		// beside a password, being there is enough
		assertion(s, t, token, roaming.Get(t, s.ChallengeOf(t, roaming, token)).JSON(t)).Want(t, 200)
		s.Do(t, "PATCH", "/v1/auth/mfa/factors/"+second, map[string]any{"name": "the blue one"}, as).Want(t, 200)
		if l := string(s.Do(t, "GET", "/v1/auth/mfa/factors", nil, as).Want(t, 200).Body); !strings.Contains(l,
			"the blue one") || strings.Count(l, `"method":"webauthn"`) != 2 {
			t.Errorf("%s", l)
		}
		s.Do(t, "DELETE", "/v1/auth/mfa/factors/"+second, nil, as).Want(t, 204)
		token = s.FirstStep(t, servertest.Agent)
		// removed
		assertion(s, t, token, roaming.Get(t, s.ChallengeOf(t, platform, token)).JSON(t)).Want(t, 401, "MFA_INVALID")
		// Registered twice, it is one too many.
		again := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn"}, as).Want(t, 201)
		if !strings.Contains(string(again.Body), `"excludeCredentials":[{`) {
			t.Errorf("%s", again.Body)
		}
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+again.String("id")+"/confirm",
			map[string]any{"credential": platform.Create(t, again).JSON(t)}, as).Want(t, 409)
		// A renewed proof in the same session.
		s.Clock.Advance(16 * time.Minute)
		var fresh servertest.Tokens
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": r.String("refreshToken")}).Want(t, 200).
			Into(t, &fresh)
		as = servertest.Bearer(fresh.AccessToken)
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, as).Want(t, 401, "STEP_UP_REQUIRED")
		options = s.Do(t, "POST", "/v1/auth/reauthenticate/challenge", nil, as).Want(t, 200)
		answer := platform.Get(t, options).JSON(t)
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "webauthn", "credential": answer}, as).
			Want(t, 200)
		s.Do(t, "POST", "/v1/auth/reauthenticate", map[string]any{"method": "webauthn", "credential": answer}, as).
			Want(t, 401, "MFA_INVALID")
		s.Do(t, "POST", "/v1/auth/mfa/backup-codes", nil, as).Want(t, 201)
		s.Do(t, "POST", "/v1/auth/reauthenticate/challenge", nil, s.As(t, servertest.Manager)).Want(t, 409) // has none
	})
}

// Passkeys as the only factor: the authenticator says who signs in and verifies them; the organization may not allow
// it.
func TestA27_PasskeyAlone(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		key := servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, as)
		options := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
		if strings.Contains(string(options.Body), "allowCredentials") ||
			options.Get("publicKey.userVerification") != "required" ||
			options.Get("publicKey.rpId") != "auth.example.com" {
			t.Errorf("%s", options.Body)
		}
		r := s.PasskeyLogin(t, key).Want(t, 200)
		if got := members(objectOf(t, r)); got != "accessToken expiresIn refreshToken tokenType user" ||
			r.String("user.email") != servertest.Agent {
			t.Errorf("%s: %s", got, r.Body)
		}
		_, claims := decodeToken(t, r.String("accessToken"))
		if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["hwk","user","mfa"]` || claims["acr"] != "aal2" {
			t.Errorf("amr %s, acr %v", amr, claims["acr"])
		}
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(r.String("accessToken"))).Want(t, 200)
		// It satisfies who demands two factors.
		admin := s.As(t, servertest.Admin)
		s.EnrollApp(t, admin)
		set := func(settings map[string]any) {
			s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": settings}, admin).Want(t, 200)
		}
		set(map[string]any{"mfa": "required"})
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(s.PasskeyLogin(t, key).Want(t, 200).
			String("accessToken"))).Want(t, 200)
		// In a session of another organization's name it is nobody.
		s.PasskeyLogin(t, key, servertest.Header("X-Tenant-Slug", "second-tenant")).Want(t, 401, "INVALID_CREDENTIALS")
		s.PasskeyLogin(t, key, servertest.Header("X-Tenant-Slug", "nowhere")).Want(t, 401, "INVALID_CREDENTIALS")
		s.PasskeyLogin(t, key, servertest.Header("X-Tenant-Slug", "acme-corp")).Want(t, 200)
		without := key.Clone()
		without.UV = false
		s.PasskeyLogin(t, without).Want(t, 401, "INVALID_CREDENTIALS")
		key.Counter = without.Counter
		set(map[string]any{"passkeySignIn": false})
		s.PasskeyLogin(t, key).Want(t, 401, "INVALID_CREDENTIALS")
		set(map[string]any{"passkeySignIn": true})
		s.PasskeyLogin(t, key).Want(t, 200)
		s.Do(t, "PATCH", "/v1/users/"+s.FindUser(t, admin, servertest.Agent), map[string]any{"state": "disabled"},
			admin).Want(t, 200)
		s.PasskeyLogin(t, key).Want(t, 401, "INVALID_CREDENTIALS")
	})
}

// ATK52: every field of an answer is judged: one that is wrong in any is refused, as a second factor and as a passkey
// alone, and the challenge is used up with it.
func TestATK52_MutatedFields(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		key, other, foreign := servertest.NewAuthenticator(t), servertest.NewAuthenticator(t),
			servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, as)
		s.EnrollKey(t, other, s.As(t, servertest.Manager))
		s.EnrollKey(t, foreign, s.As(t, servertest.Foreigner))
		stranger := servertest.NewAuthenticator(t)
		old := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
		mutations := map[string]func(n *servertest.Answer){
			"challenge of somebody else": func(n *servertest.Answer) {
				n.ClientData["challenge"] = "AAAAAAAAAAAAAAAAAAAAAA"
			},
			"challenge altered": func(n *servertest.Answer) {
				c := n.ClientData["challenge"].(string)
				first := "A"
				if c[0] == 'A' {
					first = "B"
				}
				n.ClientData["challenge"] = first + c[1:]
			},
			"challenge of another purpose": func(n *servertest.Answer) {
				n.ClientData["challenge"] = s.Do(t, "POST", "/v1/auth/mfa/challenge",
					map[string]any{"mfaToken": s.FirstStep(t, servertest.Manager)}).Want(t, 200).
					Get("publicKey.challenge")
			},
			"origin": func(n *servertest.Answer) { n.ClientData["origin"] = "https://evil.example" },
			"origin with a port": func(n *servertest.Answer) {
				n.ClientData["origin"] = "https://auth.example.com:8443"
			},
			"origin in the clear": func(n *servertest.Answer) { n.ClientData["origin"] = "http://auth.example.com" },
			"origin beside": func(n *servertest.Answer) {
				n.ClientData["origin"] = "https://auth.example.com.evil.example"
			},
			"origin below": func(n *servertest.Answer) {
				n.ClientData["origin"] = "https://x.auth.example.com"
			},
			"cross origin":           func(n *servertest.Answer) { n.ClientData["crossOrigin"] = true },
			"type":                   func(n *servertest.Answer) { n.ClientData["type"] = "webauthn.create" },
			"type of the credential": func(n *servertest.Answer) { n.Type = "password" },
			"relying party":          func(n *servertest.Answer) { n.AuthData[0] ^= 1 },
			"nobody present":         func(n *servertest.Answer) { n.AuthData[32] &^= 1 },
			"backup flag":            func(n *servertest.Answer) { n.AuthData[32] |= 8 },
			"counter back":           func(n *servertest.Answer) { copy(n.AuthData[33:], []byte{0, 0, 0, 1}) },
			"signature":              func(n *servertest.Answer) { n.JSON(t); n.Signature[len(n.Signature)-1] ^= 1 },
			"no signature":           func(n *servertest.Answer) { n.Signature = []byte{} },
			"signature of another key": func(n *servertest.Answer) {
				x := stranger.Get(t, old)
				x.ClientData, x.AuthData = n.ClientData, n.AuthData
				x.JSON(t)
				n.Signature = x.Signature
			},
			"signed before a change": func(n *servertest.Answer) { n.JSON(t); n.AuthData[36]++ },
			"id is not rawId":        func(n *servertest.Answer) { n.ID = "AAAA" },
			"id of another's": func(n *servertest.Answer) {
				x := other.Get(t, old)
				n.ID, n.RawID = x.ID, x.RawID
			},
			"id of another tenant's": func(n *servertest.Answer) {
				x := foreign.Get(t, old)
				n.ID, n.RawID = x.ID, x.RawID
			},
			"id of nobody's": func(n *servertest.Answer) {
				x := stranger.Get(t, old)
				n.ID, n.RawID = x.ID, x.RawID
			},
			"user handle of another":   func(n *servertest.Answer) { n.UserHandle = other.Get(t, old).UserHandle },
			"user handle of elsewhere": func(n *servertest.Answer) { n.UserHandle = foreign.Get(t, old).UserHandle },
			"user handle of nobody":    func(n *servertest.Answer) { n.UserHandle = []byte("org_x/usr_y") },
			"truncated data":           func(n *servertest.Answer) { n.AuthData = n.AuthData[:20] },
			"more data":                func(n *servertest.Answer) { n.AuthData = append(n.AuthData, 1, 2, 3) },
		}
		for range 3 { // so that a counter can go back
			s.PasskeyLogin(t, key).Want(t, 200)
		}
		for name, mutate := range mutations {
			s.Clock.Advance(time.Second)
			options := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
			answer := key.Get(t, options)
			mutate(answer)
			if r := s.Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": answer.JSON(t)}); r.Status != 401 {
				t.Errorf("passkey, %s: %d %s", name, r.Status, r.Body)
			}
			token := s.FirstStep(t, servertest.Agent)
			options = s.ChallengeOf(t, key, token).Want(t, 200)
			answer = key.Get(t, options)
			mutate(answer)
			r := assertion(s, t, token, answer.JSON(t))
			if r.Status != 401 || r.Code() != "MFA_INVALID" {
				t.Errorf("second factor, %s: %d %s", name, r.Status, r.Body)
			}
			if answer.ClientData["origin"] == servertest.PublicURL &&
				answer.ClientData["challenge"] == options.Get("publicKey.challenge") && answer.Type == "public-key" &&
				len(answer.AuthData) >= 37 && name != "id is not rawId" && name != "more data" &&
				name != "no signature" {
				key.Counter--
				if r := assertion(s, t, token, key.Get(t, options).JSON(t)); r.Status != 401 {
					t.Errorf("%s: the challenge was used up, and is good again: %d", name, r.Status)
				}
			}
			token = s.FirstStep(t, servertest.Agent)
			assertion(s, t, token, key.Get(t, s.ChallengeOf(t, key, token)).JSON(t)).Want(t, 200)
		}
		// The challenge of one sign-in is none of another, and of one user none of another's.
		one, two := s.FirstStep(t, servertest.Agent), s.FirstStep(t, servertest.Agent)
		options := s.ChallengeOf(t, key, one).Want(t, 200)
		assertion(s, t, two, key.Get(t, options).JSON(t)).Want(t, 401, "MFA_INVALID")
		options = s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
		assertion(s, t, two, key.Get(t, options).JSON(t)).Want(t, 401, "MFA_INVALID")
		stale := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
		s.Clock.Advance(5*time.Minute + time.Second)
		s.Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": key.Get(t, stale).JSON(t)}).Want(t, 401)
		// Malformed to the bone: a clear error, no panic.
		for _, garbage := range []any{map[string]any{}, map[string]any{"id": 5},
			map[string]any{"id": "x", "rawId": "x", "type": "public-key", "response": map[string]any{}}, "text", nil,
			[]any{}} {
			if r := s.Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": garbage}); r.Status != 400 &&
				r.Status != 401 {
				t.Errorf("%v: %d %s", garbage, r.Status, r.Body)
			}
		}
	}, manyTries)
}

// ATK52: every field of a registration is judged too.
func TestATK52_MutatedRegistration(t *testing.T) {
	if testing.Short() {
		t.Skip("one step after the other: nothing for the race detector")
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		for name, mutate := range map[string]func(n *servertest.Answer){
			"challenge": func(n *servertest.Answer) { n.ClientData["challenge"] = "AAAAAAAAAAAAAAAAAAAAAA" },
			"challenge of a passkey": func(n *servertest.Answer) {
				n.ClientData["challenge"] = s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).
					Get("publicKey.challenge")
			},
			"origin":          func(n *servertest.Answer) { n.ClientData["origin"] = "https://evil.example" },
			"type":            func(n *servertest.Answer) { n.ClientData["type"] = "webauthn.get" },
			"relying party":   func(n *servertest.Answer) { n.AuthData[0] ^= 1 },
			"nobody present":  func(n *servertest.Answer) { n.AuthData[32] &^= 1 },
			"no key":          func(n *servertest.Answer) { n.AuthData[32] &^= 64 },
			"cut off":         func(n *servertest.Answer) { n.AuthData = n.AuthData[:60] },
			"id is not rawId": func(n *servertest.Answer) { n.ID = "AAAA" },
		} {
			key := servertest.NewAuthenticator(t)
			r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn"}, as).Want(t, 201)
			answer := key.Create(t, r)
			mutate(answer)
			if r := s.Do(t, "POST", "/v1/auth/mfa/factors/"+r.String("id")+"/confirm",
				map[string]any{"credential": answer.JSON(t)}, as); r.Status != 401 || r.Code() != "MFA_INVALID" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		// The enrolment of one user is none of another's.
		key := servertest.NewAuthenticator(t)
		r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn"}, as).Want(t, 201)
		s.Do(t, "POST", "/v1/auth/mfa/factors/"+r.String("id")+"/confirm",
			map[string]any{"credential": key.Create(t, r).JSON(t)}, s.As(t, servertest.Manager)).Want(t, 404)
		if strings.Contains(dump(t, s, "users"), "webauthn") {
			t.Error("a refused authenticator counts")
		}
	}, manyTries)
}

// A30, ATK52: under a tenant host each organization is a relying party of its own: no authenticator made for one works
// at another's, nor does another's user there.
func TestA30_TenantHosts(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Agent)
		key := servertest.NewAuthenticator(t)
		key.Origin, key.RPID = "https://acme-corp.apps.example.com", "acme-corp.apps.example.com"
		s.EnrollKey(t, key, as)
		token := s.FirstStep(t, servertest.Agent)
		options := s.ChallengeOf(t, key, token).Want(t, 200)
		if options.Get("publicKey.rpId") != "acme-corp.apps.example.com" {
			t.Errorf("%s", options.Body)
		}
		assertion(s, t, token, key.Get(t, options).JSON(t)).Want(t, 200)
		s.PasskeyLogin(t, key).Want(t, 200)
		// none for that page
		s.Do(t, "POST", "/v1/auth/mfa/challenge", map[string]any{"mfaToken": s.FirstStep(t, servertest.Agent)},
			servertest.Header("Origin", servertest.PublicURL)).Want(t, 409)
		elsewhere := servertest.Header("Origin", "https://second-tenant.apps.example.com")
		s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn"}, as, elsewhere).Want(t, 403)
		moved := key.Clone()
		moved.Origin, moved.RPID = "https://second-tenant.apps.example.com", "second-tenant.apps.example.com"
		s.PasskeyLogin(t, moved).Want(t, 401)
	}, func(c *config.Config, o *server.Options) { tenantHosts(c, o) })
}

// ATK49: while somebody guesses at an account its owner gets in with a passkey.
func TestATK49_PasskeyWhileLocked(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		key := servertest.NewAuthenticator(t)
		s.EnrollKey(t, key, s.As(t, servertest.Agent))
		for range 6 {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"})
		}
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 429)
		s.PasskeyLogin(t, key).Want(t, 200)
	})
}
