package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

const pw = demo.Password

func decodeToken(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWS: %q", token)
	}
	for i, v := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func members(m map[string]any) string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// A1, A2, A3, G2, G3: the shape of a sign-in, to the letter, and the claims in its tokens.
func TestA1_Login(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw}).Want(t, 200)
		var body map[string]any
		r.Into(t, &body)
		if got := members(body); got != "accessToken expiresIn refreshToken tokenType user" {
			t.Errorf("members %q", got)
		}
		user := body["user"].(map[string]any)
		if got := members(user); got != "email id organizationId role" {
			t.Errorf("user members %q", got)
		}
		if left, _ := body["expiresIn"].(float64); left > 900 || left < 898 {
			// what is left of 15 minutes when it is told
			t.Errorf("expiresIn %v", body["expiresIn"])
		}
		if body["tokenType"] != "Bearer" || user["email"] != servertest.Agent || user["role"] != "service_desk_agent" ||
			user["organizationId"] != s.Organization("acme-corp") {
			t.Errorf("values: %v", body)
		}
		if len(r.Header["Set-Cookie"]) != 0 {
			t.Errorf("A4: a caller that is no browser got %v", r.Header["Set-Cookie"])
		}
		if !strings.HasPrefix(r.Header.Get("X-Request-Id"), "req_") || len(r.Header.Get("X-Request-Id")) != 30 {
			t.Errorf("G3: X-Request-Id %q", r.Header.Get("X-Request-Id"))
		}
		header, claims := decodeToken(t, body["accessToken"].(string))
		if header["alg"] != "RS256" || header["typ"] != "at+jwt" ||
			!strings.HasPrefix(header["kid"].(string), "kid_") || len(header) != 3 {
			t.Errorf("access header %v", header)
		}
		for _, c := range []string{"iss", "aud", "iat", "nbf", "exp", "jti", "sub", "email", "organizationId", "role",
			"sessionId", "permissions"} {
			if claims[c] == nil {
				t.Errorf("A3: no claim %s", c)
			}
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life != 900 {
			t.Errorf("A2: access token lives %v s", life)
		}
		if claims["sub"] != user["id"] || claims["iss"] != servertest.PublicURL {
			t.Errorf("claims %v", claims)
		}
		header, claims = decodeToken(t, body["refreshToken"].(string))
		if life := claims["exp"].(float64) - claims["iat"].(float64); header["typ"] != "rt+jwt" || life != 7*24*3600 {
			t.Errorf("A2: refresh token %v lives %v s", header, life)
		}
	})
}

// A5, ATK55: everything that is wrong about a sign-in gives the same answer, byte for byte but for the request id.
func TestA5_SameAnswer(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "DELETE", "/v1/users/"+s.UserID(t, servertest.Manager), nil, admin).Want(t, 204)
		operator := s.As(t, servertest.Operator)
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("second-tenant"), map[string]any{"state": "suspended"},
			operator).Want(t, 200)
		var passwordless struct{ Email string }
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "new@acme-corp.example", "role": "end_user"}, admin).
			Want(t, 201).Into(t, &passwordless)
		for _, c := range []struct{ name, email, password, slug string }{
			{"wrong password", servertest.Agent, "wrong password here", ""},
			{"unknown address", "nobody@acme-corp.example", pw, ""},
			{"disabled user", servertest.Manager, pw, ""},
			{"suspended organization", servertest.Foreigner, pw, ""},
			{"no password yet", passwordless.Email, pw, ""},
			{"another tenant", servertest.Agent, pw, "second-tenant"},
			{"unknown tenant", servertest.Agent, pw, "no-such-tenant"},
		} {
			var changes []servertest.Change
			if c.slug != "" {
				changes = append(changes, servertest.Header("X-Tenant-Slug", c.slug))
			}
			r := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": c.email, "password": c.password}, changes...)
			want :=
				`{"type":"urn:gatehouse:problem:invalid-credentials","title":"Unauthorized","status":401,"detail":"The e-mail address or the password is wrong.","instance":"/v1/auth/login","code":"INVALID_CREDENTIALS","requestId":"` + r.Header.Get("X-Request-Id") + `"}`
			if r.Status != 401 || string(r.Body) != want ||
				r.Header.Get("WWW-Authenticate") != `Bearer realm="gatehouse"` {
				t.Errorf("%s: %d %s", c.name, r.Status, r.Body)
			}
		}
	})
}

// A1: an address proven in two organizations needs a hint; without one the answer is A5's. One that was made in a
// tenant and never proven leaves its holder elsewhere alone, however its maker signs in.
func TestA1_AddressInTwoOrganizations(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		foreign := s.As(t, servertest.Foreigner)
		login := func(email, password, organization string) servertest.Response {
			body := map[string]any{"email": email, "password": password}
			if organization != "" {
				body["organization"] = organization
			}
			return s.Do(t, "POST", "/v1/auth/login", body)
		}
		verified := func(id string, want bool) {
			t.Helper()
			if got := s.Do(t, "GET", "/v1/users/"+id, nil, foreign).Want(t, 200).Get("emailVerified"); got != want {
				t.Errorf("%s: emailVerified %v, want %v", id, got, want)
			}
		}
		const theirs, again = "another long passphrase", "an otter under violet stairs"
		r := s.Do(t, "POST", "/v1/users", map[string]any{"email": strings.ToUpper(servertest.Agent),
			"role": "end_user"}, foreign).Want(t, 201)
		id := r.String("id")
		login(servertest.Agent, pw, "").Want(t, 200) // who has no password yet is in nobody's way either
		mailed := servertest.Token(t, s.Mail(t, strings.ToUpper(servertest.Agent), "Choose your password", 1))
		_, handed, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
		choose := func(link, password string, want int) {
			t.Helper()
			s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": password}).Want(t, want)
		}
		choose(handed, theirs, 200)
		choose(mailed, theirs, 401) // one act, two links
		verified(id, false)
		login(servertest.Agent, theirs, "").Want(t, 401, "INVALID_CREDENTIALS")
		login(servertest.Agent, theirs, "second-tenant").Want(t, 200)
		if r := login(servertest.Agent, pw, "").Want(t, 200); r.String("user.organizationId") !=
			s.Organization("acme-corp") {
			t.Errorf("signed in to %s", r.Body)
		}
		// An invitation that was handed on proves nothing either.
		r = s.Do(t, "POST", "/v1/invitations", map[string]any{"email": servertest.EndUser, "role": "end_user"},
			foreign).Want(t, 201)
		_, handed, _ = strings.Cut(r.String("url"), "#token=")
		invited := s.Do(t, "POST", "/v1/auth/invitations/accept", map[string]any{"token": handed, "password": theirs}).
			Want(t, 201)
		verified(invited.String("id"), false)
		login(servertest.EndUser, pw, "").Want(t, 200)
		// Nor does a proven one stay so at another address, unless an operator gives it.
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"email": "ours@second-tenant.example"}, foreign).Want(t, 200)
		s.Do(t, "POST", "/v1/users/"+id+"/password-link", nil, foreign).Want(t, 200)
		choose(servertest.Token(t, s.Mail(t, "ours@second-tenant.example", "Choose your password", 1)), again, 200)
		verified(id, true)
		s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"email": servertest.Manager}, foreign).Want(t, 200)
		verified(id, false)
		login(servertest.Manager, pw, "").Want(t, 200)
		// Who reads the mail is somebody: then both need a hint.
		s.Do(t, "POST", "/v1/users/"+id+"/password-link", nil, foreign).Want(t, 200)
		choose(servertest.Token(t, s.Mail(t, servertest.Manager, "Choose your password", 1)), theirs, 200)
		verified(id, true)
		login(servertest.Manager, pw, "").Want(t, 401, "INVALID_CREDENTIALS")
		login(servertest.Manager, theirs, "").Want(t, 401, "INVALID_CREDENTIALS")
		login(servertest.Manager, pw, "acme-corp").Want(t, 200)
		login(servertest.Manager, theirs, "second-tenant").Want(t, 200)
		r = s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Manager, "password": pw},
			servertest.Header("X-Tenant-Slug", "acme-corp")).Want(t, 200)
		if r.String("user.organizationId") != s.Organization("acme-corp") {
			t.Errorf("signed in to %s", r.Body)
		}
	})
}

// A42: the subdomain of Origin, then of Host under a configured tenant host, narrow the look-up; any other Host says
// nothing.
func TestA42_TenantHints(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		login := map[string]any{"email": servertest.Agent, "password": pw}
		for _, c := range []struct {
			name   string
			change servertest.Change
			status int
		}{
			{"origin of the tenant", servertest.Header("Origin", "https://acme-corp.apps.example.com"), 200},
			{"origin of another tenant", servertest.Header("Origin", "https://second-tenant.apps.example.com"), 401},
			{"tenant's own domain", servertest.Header("Origin", "https://acme-corp.example.org"), 200},
			{"another tenant's own domain", servertest.Header("Origin", "https://second-tenant.example.org"), 401},
			{"a domain that names nobody", servertest.Header("Origin", "https://www.example.org"), 200},
			{"unknown tenant under a tenant host", servertest.Header("Origin", "https://nobody.apps.example.com"), 401},
			{"the server's own origin", servertest.Header("Origin", servertest.PublicURL), 200},
			{"tenant host", servertest.Host("second-tenant.apps.example.com"), 401},
			{"tenant host in another spelling", servertest.Host("Second-Tenant.APPS.example.com.:443"), 401},
			{"other host", servertest.Host("second-tenant.evil.example"), 200},
			{"unknown tenant host", servertest.Host("nobody.apps.example.com"), 401},
			{"a domain that names nobody, at another tenant's host", func(r *httpRequest) {
				r.Header.Set("Origin", "https://www.example.org")
				r.Host = "second-tenant.apps.example.com"
			}, 401},
		} {
			if r := s.Do(t, "POST", "/v1/auth/login", login, c.change); r.Status != c.status {
				t.Errorf("%s: %d, want %d: %s", c.name, r.Status, c.status, r.Body)
			}
		}
	}, tenantHosts)
}

// A9: who am I, exactly.
func TestA9_Me(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "GET", "/v1/auth/me", nil, s.As(t, servertest.EndUser)).Want(t, 200)
		var body map[string]any
		r.Into(t, &body)
		if got := members(body); got != "email expiresAt id kind organizationId organizationSlug permissions role "+
			"sessionId" {
			t.Errorf("members %q", got)
		}
		if body["kind"] != "user" || body["organizationSlug"] != "acme-corp" ||
			fmt.Sprint(body["permissions"]) != "[tickets:create:own tickets:read:own]" {
			t.Errorf("values %v", body)
		}
		expires, err := time.Parse(time.RFC3339, body["expiresAt"].(string))
		if err != nil || !strings.HasSuffix(body["expiresAt"].(string), "Z") || time.Until(expires) > 15*time.Minute {
			t.Errorf("G10: expiresAt %v, %v", body["expiresAt"], err)
		}
	})
}

// A6, A7, A8, A11: a refresh gives a new pair without a user; the old token is dead; using it again ends the whole
// session.
func TestA8_SingleUse(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		first := s.Login(t, servertest.Agent)
		r := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": first.RefreshToken}).Want(t, 200)
		var body map[string]any
		r.Into(t, &body)
		left, _ := body["expiresIn"].(float64) // what is left, and a second may turn on the way
		if got := members(body); got != "accessToken expiresIn refreshToken tokenType" || left > 900 || left < 898 {
			t.Errorf("A6: %v", body)
		}
		second := r.String("refreshToken")
		access := r.String("accessToken")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(access)).Want(t, 200)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": first.RefreshToken}).
			Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(access)).Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(first.AccessToken)).Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": second}).Want(t, 401, "TOKEN_REVOKED")
		r = s.Do(t, "GET", "/v1/audit-events?act=session.ended", nil, s.As(t, servertest.Admin)).Want(t, 200)
		if !strings.Contains(string(r.Body), "refresh_token_reused") {
			t.Errorf("G9: no event of the reuse: %s", r.Body)
		}
	})
}

// A8, ATK26: of 200 simultaneous uses one wins, and the session is then ended. The uses go through two nodes.
func TestATK26_RefreshRace(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		nodes := []*servertest.Server{s, servertest.Join(t, address)}
		tokens := s.Login(t, servertest.Agent)
		const n = 200
		status := make([]int, n)
		var winner string
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range n {
			wg.Go(func() {
				<-start
				r, err := nodes[i%2].Try("POST", "/v1/auth/refresh",
					map[string]any{"refreshToken": tokens.RefreshToken})
				if err != nil {
					t.Error(err)
					return
				}
				if status[i] = r.Status; r.Status == 200 {
					mu.Lock()
					winner = r.String("refreshToken")
					mu.Unlock()
				}
			})
		}
		close(start)
		wg.Wait()
		won, refused := 0, 0
		for _, st := range status {
			switch st {
			case 200:
				won++
			case 401:
				refused++
			}
		}
		if won != 1 || refused != n-1 {
			t.Fatalf("A8: %d won and %d were refused of %d", won, refused, n)
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": winner}).Want(t, 401)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 401)
	})
}

// A8, ATK26: a refresh against a sign-out: whatever comes first, nothing is alive afterwards.
func TestATK26_RefreshAgainstLogout(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for range 10 {
			tokens := s.Login(t, servertest.Agent)
			var wg sync.WaitGroup
			var next servertest.Response
			wg.Go(func() {
				next, _ = s.Try("POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken})
			})
			wg.Go(func() { s.Try("POST", "/v1/auth/logout", nil, servertest.Bearer(tokens.AccessToken)) })
			wg.Wait()
			if next.Status == 200 {
				s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": next.String("refreshToken")}).
					Want(t, 401)
				s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(next.String("accessToken"))).Want(t, 401)
			}
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 401)
		}
	})
}

// A8: within an organization's overlap the immediate predecessor gets the very same successor, also from a node started
// since; anything older, or later, ends the session.
func TestA8_Overlap(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"refreshOverlapSeconds": 30}},
			s.As(t, servertest.Admin)).Want(t, 200)
		refresh := func(node *servertest.Server, token string) servertest.Response {
			return node.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token})
		}
		zero := s.Login(t, servertest.Agent).RefreshToken
		one := refresh(s, zero).Want(t, 200)
		again := refresh(s, zero).Want(t, 200)
		restarted := refresh(servertest.Join(t, address), zero).Want(t, 200)
		for name, r := range map[string]servertest.Response{"again": again, "after a restart": restarted} {
			if r.String("refreshToken") != one.String("refreshToken") ||
				r.String("accessToken") != one.String("accessToken") {
				t.Errorf("%s: another successor", name)
			}
		}
		two := refresh(s, one.String("refreshToken")).Want(t, 200)
		refresh(s, zero).Want(t, 401, "TOKEN_REVOKED") // the grandparent
		refresh(s, two.String("refreshToken")).Want(t, 401, "TOKEN_REVOKED")

		late := s.Login(t, servertest.Agent).RefreshToken
		leaf := refresh(s, late).Want(t, 200).String("refreshToken")
		s.Clock.Advance(31 * time.Second)
		refresh(s, late).Want(t, 401, "TOKEN_REVOKED")
		refresh(s, leaf).Want(t, 401, "TOKEN_REVOKED")
	})
}

// A7: each refresh begins the seven days again, up to thirty days in all; without a limit for ever.
func TestA7_SlidingAndAbsolute(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		refreshFor := func(token string, days int) (lasted int) {
			for day := 6; day <= days; day += 6 {
				s.Clock.Advance(6 * 24 * time.Hour)
				r := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token})
				if r.Status != 200 {
					if r.Code() != "TOKEN_EXPIRED" && r.Code() != "TOKEN_REVOKED" {
						t.Fatalf("refused with %s", r.Body)
					}
					return day
				}
				token = r.String("refreshToken")
			}
			return 0
		}
		if at := refreshFor(s.Login(t, servertest.Agent).RefreshToken, 60); at != 30 {
			t.Errorf("the session ended at day %d of refreshing each six days, want 30", at)
		}
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"sessionLifetimeSeconds": 0}},
			s.As(t, servertest.Admin)).Want(t, 200)
		if at := refreshFor(s.Login(t, servertest.Agent).RefreshToken, 90); at != 0 {
			t.Errorf("a session without limit ended at day %d", at)
		}
		token := s.Login(t, servertest.Agent).RefreshToken
		s.Clock.Advance(7*24*time.Hour + time.Second)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token}).Want(t, 401, "TOKEN_EXPIRED")
	})
}

// A48: requests extend a session by default; a super_admin's keeps its first deadline, at refreshes too.
func TestA48_SlidingExpiration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		deadline := func(token string) time.Time {
			t.Helper()
			if err := s.Sessions.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			var list struct {
				Data []struct {
					ExpiresAt time.Time
					Current   bool
				}
			}
			s.Do(t, "GET", "/v1/auth/sessions", nil, servertest.Bearer(token)).Want(t, 200).Into(t, &list)
			for _, e := range list.Data {
				if e.Current {
					return e.ExpiresAt
				}
			}
			t.Fatal("no current session")
			return time.Time{}
		}
		for _, c := range []struct {
			email  string
			slides bool
		}{{servertest.Agent, true}, {servertest.Operator, false}} {
			tokens := s.Login(t, c.email)
			first := deadline(tokens.AccessToken)
			s.Clock.Advance(10 * time.Minute)
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
			moved := deadline(tokens.AccessToken).Sub(first)
			if c.slides != (moved > 9*time.Minute) || (!c.slides && moved != 0) {
				t.Errorf("%s: a request moved the deadline by %v", c.email, moved)
			}
			s.Clock.Advance(10 * time.Minute)
			next := s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).
				Want(t, 200)
			moved = deadline(next.String("accessToken")).Sub(first)
			if c.slides != (moved > 19*time.Minute) || (!c.slides && moved != 0) {
				t.Errorf("%s: a refresh moved the deadline by %v", c.email, moved)
			}
			_, claims := decodeToken(t, next.String("refreshToken"))
			if !c.slides && int64(claims["exp"].(float64)) != first.Unix() {
				t.Errorf("the operator's refresh token outlives the session: %v, %v", claims["exp"], first.Unix())
			}
		}
	})
}

// A10, ATK27: signing out ends all sessions, or one; what it ended is dead at once and stays dead.
func TestA10_Logout(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a, b, c := s.Login(t, servertest.Agent), s.Login(t, servertest.Agent), s.Login(t, servertest.Agent)
		_, claims := decodeToken(t, b.AccessToken)
		r := s.Do(t, "POST", "/v1/auth/logout", map[string]any{"sessionId": claims["sessionId"]},
			servertest.Bearer(a.AccessToken)).Want(t, 200)
		if r.Get("revoked") != true || r.Get("sessionsTerminated") != 1.0 ||
			r.String("message") != "The session has been revoked." {
			t.Errorf("answer %s", r.Body)
		}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(b.AccessToken)).Want(t, 401, "TOKEN_REVOKED")
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(c.AccessToken)).Want(t, 200)
		_, claims = decodeToken(t, s.Login(t, servertest.Manager).AccessToken)
		s.Do(t, "POST", "/v1/auth/logout", map[string]any{"sessionId": claims["sessionId"]},
			servertest.Bearer(a.AccessToken)).Want(t, 404)
		r = s.Do(t, "POST", "/v1/auth/logout", nil, servertest.Bearer(a.AccessToken)).Want(t, 200)
		if r.Get("sessionsTerminated") != 2.0 || r.String("message") != "All active sessions have been revoked." {
			t.Errorf("ended %v sessions, want the two that were left", r.Get("sessionsTerminated"))
		}
		for _, tokens := range []servertest.Tokens{a, b, c} {
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 401)
			s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 401)
		}
	})
}

// A12: a password is changed with the current one; the other sessions end, this one stays, and the policy holds.
func TestA12_ChangePassword(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		mine, other := s.Login(t, servertest.Agent), s.Login(t, servertest.Agent)
		change := func(current, next string) servertest.Response {
			return s.Do(t, "PUT", "/v1/auth/password", map[string]any{"currentPassword": current, "newPassword": next},
				servertest.Bearer(mine.AccessToken))
		}
		change("not the password", "a perfectly fine passphrase").Want(t, 401, "INVALID_CREDENTIALS")
		for name, bad := range map[string]string{"short": "fourteen chars", "common": "password1234567890",
			"one character": "aaaaaaaaaaaaaaaaaaa", "repeated": "abcabcabcabcabcabc",
			"row": "abcdefghijklmnopqrst", "product": "gatehouse!!!!!!2026",
			"long": strings.Repeat("long enough ", 30)} {
			if r := change(pw, bad); r.Status != 400 || r.Code() != "VALIDATION_ERROR" ||
				!strings.Contains(string(r.Body), `"field":"newPassword"`) {
				t.Errorf("%s password: %d %s", name, r.Status, r.Body)
			}
		}
		r := change(pw, "a perfectly fine passphrase").Want(t, 200)
		if r.Get("sessionsTerminated") != 1.0 {
			t.Errorf("ended %s", r.Body)
		}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(mine.AccessToken)).Want(t, 200)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(other.AccessToken)).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": other.RefreshToken}).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw}).Want(t, 401)
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent,
			"password": "a perfectly fine passphrase"}).Want(t, 200)
	})
}

// G1: one explicit credential, which beats the cookie and is never replaced by it.
func TestG1_OneCredential(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		good := s.Login(t, servertest.Agent).AccessToken
		h, cookie := servertest.Header, servertest.Header("Cookie", "itsm_auth_token="+good)
		for _, c := range []struct {
			name    string
			changes []servertest.Change
			status  int
			code    string
		}{
			{"nothing", nil, 401, "UNAUTHORIZED"},
			{"bearer", []servertest.Change{servertest.Bearer(good)}, 200, ""},
			{"lower case scheme", []servertest.Change{h("Authorization", "bearer "+good)}, 200, ""},
			{"cookie", []servertest.Change{cookie}, 200, ""},
			{"two credentials", []servertest.Change{servertest.Bearer(good), h("X-API-Key", "tnt_x")}, 400,
				"VALIDATION_ERROR"},
			{"repeated authorization", []servertest.Change{servertest.Bearer(good), servertest.Bearer(good)}, 400,
				"VALIDATION_ERROR"},
			{"repeated key", []servertest.Change{h("X-API-Key", "a"), h("X-API-Key", "b")}, 400, "VALIDATION_ERROR"},
			{"invalid bearer beside a good cookie", []servertest.Change{servertest.Bearer("x.y.z"), cookie}, 401,
				"INVALID_TOKEN"},
			{"empty bearer beside a good cookie", []servertest.Change{h("Authorization", ""), cookie}, 401,
				"UNAUTHORIZED"},
			{"basic beside a good cookie", []servertest.Change{h("Authorization", "Basic YTpi"), cookie}, 401,
				"UNAUTHORIZED"},
			{"key beside a good cookie", []servertest.Change{h("X-API-Key", "tnt_x"), cookie}, 401, ""},
			{"two tokens in one header", []servertest.Change{h("Authorization", "Bearer "+good+" "+good)}, 401,
				"UNAUTHORIZED"},
			{"cookie twice", []servertest.Change{h("Cookie", "itsm_auth_token="+good+"; itsm_auth_token="+good)}, 401,
				"INVALID_TOKEN"},
			{"cookie twice in two lines", []servertest.Change{cookie, cookie}, 401, "INVALID_TOKEN"},
			{"cookie in another case", []servertest.Change{h("Cookie", "itsm_auth_token="+good+"; ITSM_AUTH_TOKEN=x")},
				401, "INVALID_TOKEN"},
			{"cookie with a legacy prefix", []servertest.Change{h("Cookie", "$itsm_auth_token="+good)}, 401,
				"INVALID_TOKEN"},
			{"token in the query", nil, 401, "UNAUTHORIZED"},
		} {
			path := "/v1/auth/sessions"
			if c.name == "token in the query" {
				path += "?access_token=" + good
			}
			r := s.Do(t, "GET", path, nil, c.changes...)
			if r.Status != c.status || (c.code != "" && r.Code() != c.code) {
				t.Errorf("%s: %d %s, want %d %s", c.name, r.Status, r.Code(), c.status, c.code)
			}
			if challenge := r.Header.Get("WWW-Authenticate"); (r.Status == 401) != (challenge != "") {
				t.Errorf("G5: %s: %d with WWW-Authenticate %q", c.name, r.Status, challenge)
			}
		}
		// Public routes do not look at credentials they do not take.
		s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw},
			servertest.Bearer("rubbish"), h("X-API-Key", "rubbish")).Want(t, 200)
		s.Do(t, "GET", "/healthz", nil, servertest.Bearer("rubbish")).Want(t, 200)
	})
}

// A4, WEB01, WEB03, WEB06: cookies for browsers only, from listed origins only, and CORS for the same.
func TestA4_Cookies(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const listed, unlisted = "https://app.acme-corp.example", "https://app.second-tenant.example"
		origin := func(o string) servertest.Change { return servertest.Header("Origin", o) }
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"allowedOrigins": []string{listed}}}, s.As(t, servertest.Admin)).
			Want(t, 200)
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"allowedOrigins": []string{unlisted}}},
			s.As(t, servertest.Foreigner)).Want(t, 200)
		login := map[string]any{"email": servertest.Agent, "password": pw}
		withCookie := map[string]any{"email": servertest.Agent, "password": pw, "cookie": true}

		for _, c := range []struct {
			name    string
			body    any
			changes []servertest.Change
			status  int
			cookies int
		}{
			{"plain", login, nil, 200, 0},
			{"asked for", withCookie, nil, 200, 2},
			{"listed origin", login, []servertest.Change{origin(listed)}, 200, 2},
			{"own origin", login, []servertest.Change{origin(servertest.PublicURL)}, 200, 2},
			{"unknown origin", login, []servertest.Change{origin("https://evil.example")}, 200, 0},
			{"origin of another tenant", login, []servertest.Change{origin(unlisted)}, 200, 0},
			{"null origin", login, []servertest.Change{origin("null")}, 200, 0},
			{"login CSRF", withCookie, []servertest.Change{origin("https://evil.example")}, 403, 0},
			{"login CSRF without origin", withCookie,
				[]servertest.Change{servertest.Header("Sec-Fetch-Site", "cross-site")}, 403, 0},
			{"asked for from another tenant's origin", withCookie, []servertest.Change{origin(unlisted)}, 200, 0},
		} {
			r := s.Do(t, "POST", "/v1/auth/login", c.body, c.changes...)
			if r.Status != c.status || len(r.Header["Set-Cookie"]) != c.cookies {
				t.Errorf("%s: %d with %d cookies, want %d with %d", c.name, r.Status, len(r.Header["Set-Cookie"]),
					c.status, c.cookies)
			}
		}

		r := s.Do(t, "POST", "/v1/auth/login", withCookie).Want(t, 200)
		access, refresh := r.Header["Set-Cookie"][0], r.Header["Set-Cookie"][1]
		value := func(line string) string { v, _, _ := strings.Cut(line, ";"); return v }
		if want := "itsm_auth_token=" + r.String("accessToken") +
			"; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"; access != want {
			t.Errorf("access cookie %q", access)
		}
		if !strings.HasPrefix(refresh, "itsm_refresh_token=") ||
			!strings.Contains(refresh, "; Path=/v1/auth/refresh; ") || !strings.Contains(refresh, "HttpOnly; Secure") ||
			strings.Contains(refresh, "Domain") {
			t.Errorf("refresh cookie %q", refresh)
		}
		jar := servertest.Header("Cookie", value(access))
		ticket := map[string]any{"type": "incident", "title": "by cookie"}
		for _, c := range []struct {
			name   string
			origin []string
			status int
		}{
			{"absent", nil, 403}, {"null", []string{"null"}, 403}, {"own", []string{servertest.PublicURL}, 201},
			{"listed", []string{listed}, 201},
			{"other tenant's", []string{unlisted}, 403}, {"same site", []string{"https://www.example.com"}, 403},
			{"suffix", []string{servertest.PublicURL + ".evil.example"}, 403},
			{"prefix", []string{"https://auth.example.co"}, 403},
			{"upper case", []string{"HTTPS://AUTH.EXAMPLE.COM"}, 403},
			{"port", []string{servertest.PublicURL + ":8443"}, 403},
			{"two", []string{servertest.PublicURL, servertest.PublicURL}, 403},
		} {
			changes := []servertest.Change{jar}
			for _, o := range c.origin {
				changes = append(changes, origin(o))
			}
			if r := s.Do(t, "POST", "/v1/tickets", ticket, changes...); r.Status != c.status {
				t.Errorf("unsafe by cookie, origin %s: %d, want %d", c.name, r.Status, c.status)
			}
		}
		s.Do(t, "GET", "/v1/auth/me", nil, jar).Want(t, 200)
		// no cookie, no CSRF
		s.Do(t, "POST", "/v1/tickets", ticket, servertest.Bearer(r.String("accessToken")),
			origin("https://evil.example")).Want(t, 201)

		// Refresh by cookie: no body, an origin, both cookies again.
		rjar := servertest.Header("Cookie", value(refresh))
		s.Do(t, "POST", "/v1/auth/refresh", nil, rjar).Want(t, 403)
		s.Do(t, "POST", "/v1/auth/refresh", nil, rjar, origin("https://evil.example")).Want(t, 403)
		s.Do(t, "POST", "/v1/auth/refresh", nil).Want(t, 401, "UNAUTHORIZED")
		next := s.Do(t, "POST", "/v1/auth/refresh", nil, rjar, origin(listed)).Want(t, 200)
		if len(next.Header["Set-Cookie"]) != 2 {
			t.Fatalf("refresh set %v", next.Header["Set-Cookie"])
		}
		out := s.Do(t, "POST", "/v1/auth/logout", nil, servertest.Header("Cookie", value(next.Header["Set-Cookie"][0])),
			origin(listed)).Want(t, 200)
		if len(out.Header["Set-Cookie"]) != 2 || !strings.Contains(out.Header["Set-Cookie"][0], "Max-Age=0") ||
			!strings.Contains(out.Header["Set-Cookie"][1], "Path=/v1/auth/refresh; Max-Age=0") {
			t.Errorf("logout: %v", out.Header["Set-Cookie"])
		}

		// CORS: listed origins by name, with credentials; never "*"; another tenant's origin may not read this caller's
		// answers.
		bearer := s.As(t, servertest.Agent)
		for o, allowed := range map[string]bool{listed: true, unlisted: false, "https://evil.example": false,
			"null": false} {
			r := s.Do(t, "GET", "/v1/auth/me", nil, bearer, origin(o)).Want(t, 200)
			got := r.Header.Get("Access-Control-Allow-Origin")
			if (got == o) != allowed || (!allowed && got != "") || !strings.Contains(r.Header.Get("Vary"), "Origin") {
				t.Errorf("CORS for %s: %q, Vary %q", o, got, r.Header.Get("Vary"))
			}
		}
		pre := s.Do(t, "OPTIONS", "/v1/tickets", nil, origin(listed),
			servertest.Header("Access-Control-Request-Method", "POST")).Want(t, 204)
		if pre.Header.Get("Access-Control-Allow-Origin") != listed ||
			pre.Header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("preflight: %v", pre.Header)
		}
		pre = s.Do(t, "OPTIONS", "/v1/tickets", nil, origin("https://evil.example"),
			servertest.Header("Access-Control-Request-Method", "POST"))
		if pre.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of a foreign origin: %v", pre.Header)
		}
	})
}
