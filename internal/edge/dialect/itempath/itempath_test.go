package itempath_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const pw = demo.Password

type object = map[string]any

func login(s *servertest.Server, t *testing.T, body any, changes ...servertest.Change) servertest.Response {
	t.Helper()
	return s.Do(t, "POST", "/api/users/login", body, changes...)
}

// claims reads a token without verifying it.
func claims(t *testing.T, token string) (h, c object) {
	t.Helper()
	parts := strings.Split(token, ".")
	for i, into := range []*object{&h, &c} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return h, c
}

func date(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("01/02/2006, 15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// B1–B9: every answer, good and bad, is as its golden file says: status, headers, wording, members and their order.
func TestB1_Golden(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people, program := s.ItemPath(t, "admin"), s.ItemPath(t, "integration")
		bearer := servertest.Bearer
		expired := s.ItemPath(t, "manager")
		ended := s.ItemPath(t, "manager")
		s.Do(t, "DELETE", "/v1/users/"+s.UserID(t, servertest.Manager)+"/sessions", nil, s.As(t, servertest.Admin)).
			Want(t, 204)
		get := func(path, token string) servertest.Response { return s.Do(t, "GET", path, nil, bearer(token)) }
		const list, refresh, token = "/api/users/application-tokens", "/api/users/refresh",
			"/api/users/application-token"
		s.Do(t, "POST", token, nil, bearer(program.RefreshToken)).Want(t, 200)
		for _, g := range []struct {
			name string
			r    servertest.Response
		}{
			{"login", login(s, t, object{"username": "enduser", "password": pw})},
			{"login_admin", login(s, t, object{"username": "admin", "password": pw})},
			{"login_wrong_password", login(s, t, object{"username": "enduser", "password": "wrong"})},
			{"login_no_password", login(s, t, object{"username": "enduser"})},
			{"login_not_json", login(s, t, "username=enduser")},
			{"login_wrong_type", login(s, t, object{"username": 7, "password": pw})},
			{"login_no_body", login(s, t, nil)},
			{"login_form", s.PostForm(t, "/api/users/login", []string{"username", "enduser", "password", pw})},
			{"login_two_tenants", login(s, t, object{"username": "enduser", "password": pw},
				servertest.Header("X-Tenant-Slug", "a"), servertest.Header("X-Tenant-Slug", "b"))},
			{"refresh", s.Do(t, "POST", refresh, nil, bearer(people.RefreshToken))},
			{"refresh_get", get(refresh, people.RefreshToken)},
			{"refresh_missing", s.Do(t, "POST", refresh, nil)},
			{"refresh_with_cookie", s.Do(t, "POST", refresh, nil,
				servertest.Header("Cookie", "itsm_auth_token="+people.AccessToken),
				servertest.Header("Origin", servertest.PublicURL))},
			{"refresh_with_access_token", get(refresh, people.AccessToken)},
			{"refresh_revoked", get(refresh, ended.RefreshToken)},
			{"refresh_malformed", get(refresh, "nonsense")},
			{"refresh_forged", get(refresh, "aaaa.bbbb.cccc")},
			{"refresh_bad_header", s.Do(t, "GET", refresh, nil,
				servertest.Header("Authorization", "Token "+people.RefreshToken))},
			{"refresh_basic", s.Do(t, "GET", refresh, nil, servertest.Demo("admin"))},
			{"refresh_two_headers", s.Do(t, "GET", refresh, nil, bearer("a"), bearer("b"))},
			{"refresh_v1_token", get(refresh, s.Login(t, servertest.Admin).RefreshToken)},
			{"application_token", s.Do(t, "POST", token, nil, bearer(program.RefreshToken))},
			{"application_token_of_a_person", s.Do(t, "POST", token, nil, bearer(people.RefreshToken))},
			{"application_token_with_access_token", s.Do(t, "POST", token, nil, bearer(program.AccessToken))},
			{"list", get(list+"?limit=2", program.AccessToken)},
			{"list_of_a_person", get(list, people.AccessToken)},
			{"list_with_refresh_token", get(list, program.RefreshToken)},
			{"list_with_api_key", s.Do(t, "GET", list, nil, servertest.Header("X-API-Key", s.Seeds.APIKeys[0].Key))},
			{"list_revoked", get(list, ended.AccessToken)},
			{"list_bad_limit", get(list+"?limit=0", program.AccessToken)},
			{"list_bad_cursor", get(list+"?cursor=abc", program.AccessToken)},
			{"list_limit_twice", get(list+"?limit=1&limit=2", program.AccessToken)},
			{"list_unknown_parameter", get(list+"?revoked=false", program.AccessToken)},
			{"refresh_unknown_parameter", get("/api/users/refresh?expires=60", program.RefreshToken)},
			{"login_unknown_parameter", s.Do(t, "POST", "/api/users/login?organization=second-tenant", object{
				"username": "admin", "password": demo.Password})},
			{"revoke", s.Do(t, "DELETE", list+"/"+s.Seeds.ApplicationTokens[0].ID, nil, bearer(program.AccessToken))},
			{"revoke_unknown", s.Do(t, "DELETE", list+"/app_01BX5ZZKBKACTAV9WEVGEMMVRZ", nil,
				bearer(program.AccessToken))},
			{"revoked_application_token", get(list, s.Seeds.ApplicationTokens[0].Token)},
			{"unknown_path", get("/api/users/nothing", program.AccessToken)},
			{"wrong_method", s.Do(t, "PUT", "/api/users/login", nil)},
		} {
			g.r.Golden(t, g.name)
		}
		for range 5 {
			login(s, t, object{"username": "agent", "password": "wrong"})
		}
		login(s, t, object{"username": "agent", "password": pw}).Golden(t, "login_locked")
		s.Clock.Advance(16 * time.Minute)
		get(list, expired.AccessToken).Golden(t, "expired")
	})
}

// B1, B4, B8, A42: what a sign-in gives, how long it works, what its tokens say, and which organization a user name is
// looked for in.
func TestB4_Tokens(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.Clock.Now().Truncate(time.Second)
		r := login(s, t, object{"username": "integration", "password": pw}).Want(t, 200)
		if a, f := date(t, r.String("accessExpiryDate")),
			date(t, r.String("refreshExpiryDate")); a.Sub(before) < 15*time.Minute ||
			a.Sub(before) > 15*time.Minute+5*time.Second || f.Sub(before) < 720*time.Hour ||
			f.Sub(before) > 720*time.Hour+5*time.Second {
			t.Errorf("access until %s, refresh until %s, now %s", a, f, before)
		}
		for name, want := range map[string]object{
			"accessToken": {"typ": "at+jwt", "type": "access", "fresh": true, "until": "accessExpiryDate",
				"at": "/api/users"},
			"refreshToken": {"typ": "rt+jwt", "type": "refresh", "fresh": false, "until": "refreshExpiryDate",
				"at": "/api/users/refresh"},
		} {
			h, c := claims(t, r.String(name))
			if h["typ"] != want["typ"] || h["alg"] != "RS256" || h["kid"] == "" || c["identity"] != "integration" ||
				c["type"] != want["type"] || c["fresh"] != want["fresh"] || c["sub"] != r.String("id") ||
				c["jti"] == "" ||
				c["aud"] != servertest.PublicURL+want["at"].(string) || c["iss"] != servertest.PublicURL ||
				int64(c["exp"].(float64)) != date(t, r.String(want["until"].(string))).Unix() {
				t.Errorf("%s: %v %v", name, h, c)
			}
		}
		// The refresh token works again and again, and stays the same; its access tokens are not fresh.
		seen := map[string]bool{}
		for range 3 {
			n := s.Do(t, "POST", "/api/users/refresh", nil, servertest.Bearer(r.String("refreshToken"))).Want(t, 200)
			if _, c := claims(t, n.String("accessToken")); c["fresh"] != false || c["type"] != "access" ||
				seen[n.String("accessToken")] || n.Get("refreshToken") != nil {
				t.Errorf("refreshed: %v %s", c, n.Body)
			}
			seen[n.String("accessToken")] = true
		}
		// Fixed: use prolongs nothing. A minute before thirty days it works, at thirty it has expired; and so has an
		// access token after a quarter of an hour.
		last := ""
		for day := range 30 {
			if day == 29 {
				s.Clock.Advance(24*time.Hour - time.Minute)
			} else {
				s.Clock.Advance(24 * time.Hour)
			}
			last = s.Do(t, "GET", "/api/users/refresh", nil, servertest.Bearer(r.String("refreshToken"))).Want(t, 200).
				String("accessToken")
		}
		s.Do(t, "GET", "/api/users/application-tokens", nil, servertest.Bearer(last)).Want(t, 200)
		s.Clock.Advance(time.Minute + time.Second)
		if n := s.Do(t, "GET", "/api/users/refresh", nil,
			servertest.Bearer(r.String("refreshToken"))); n.Status != 401 || n.String("msg") != "Token has expired" {
			t.Errorf("after thirty days: %d %s", n.Status, n.Body)
		}

		// The organization: named by X-Tenant-Slug, else by the subdomain of Origin, else the dialect's own. The same
		// user name is somebody else there.
		home := login(s, t, object{"username": "manager", "password": pw}).Want(t, 200).String("id")
		there := login(s, t, object{"username": "manager", "password": pw},
			servertest.Header("X-Tenant-Slug", "second-tenant")).Want(t, 200).String("id")
		origin := login(s, t, object{"username": "manager", "password": pw},
			servertest.Header("Origin", "https://second-tenant.app.example.com")).Want(t, 200).String("id")
		loose := login(s, t, object{"username": "manager", "password": pw},
			servertest.Header("Origin", "https://www.app.example.com")).Want(t, 200).String("id")
		if home == there || origin != there || loose != home {
			t.Errorf("manager is %s at home, %s by header, %s by a tenant's origin, %s by another", home, there, origin,
				loose)
		}
		login(s, t, object{"username": "manager", "password": pw}, servertest.Header("X-Tenant-Slug", "nowhere")).
			Want(t, 401)
		login(s, t, object{"username": "manager@acme-corp.example", "password": pw}).Want(t, 200)
		login(s, t, object{"username": "manager@acme-corp.example", "password": pw},
			servertest.Header("X-Tenant-Slug", "second-tenant")).Want(t, 401)
		res := login(s, t, object{"username": "operator", "password": pw},
			servertest.Header("X-Tenant-Slug", "platform"))
		if res.Status != 200 || res.String("isAdmin") != "true" {
			t.Errorf("operator: %d %s", res.Status, res.Body)
		}
		// A43: only a session of /v1 names another tenant.
		operator := servertest.Bearer(res.String("accessToken"))
		s.Do(t, "GET", "/verify", nil, operator).Want(t, 200)
		s.Do(t, "GET", "/verify", nil, operator, servertest.Header("X-Tenant-Slug", "acme-corp")).Want(t, 403)
		for name, value := range map[string]string{"not UTF-8": "a\xff", "long": strings.Repeat("a", 513)} {
			if r := login(s, t, object{"username": "manager", "password": pw},
				servertest.Header("X-Device-Fingerprint", value)); r.Status != 422 {
				t.Errorf("a fingerprint that is %s: %d %s", name, r.Status, r.Body)
			}
		}
		login(s, t, object{"username": "manager", "password": pw}, servertest.Header("X-Device-Fingerprint", "a1")).
			Want(t, 200)
	})
}

// B1: without a default organization a user name alone means nobody.
func TestB1_NoDefault(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		login(s, t, object{"username": "manager", "password": pw}).Want(t, 401)
		login(s, t, object{"username": "manager@acme-corp.example", "password": pw}).Want(t, 401)
		login(s, t, object{"username": "manager", "password": pw}, servertest.Header("X-Tenant-Slug", "acme-corp")).
			Want(t, 200)
	}, func(c *config.Config, _ *server.Options) { c.ItemPath.DefaultOrganization = "" })
}

// B4, A7: an organization whose sessions end sooner ends these sooner too, and the answer says so.
func TestB4_AbsoluteLifetime(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"sessionLifetimeSeconds": 3600}},
			s.As(t, servertest.Admin)).Want(t, 200)
		r := login(s, t, object{"username": "manager", "password": pw}).Want(t, 200)
		if left := date(t, r.String("refreshExpiryDate")).Sub(s.Clock.Now()); left > time.Hour ||
			left < time.Hour-5*time.Second {
			t.Errorf("refresh token for %s", left)
		}
		s.Clock.Advance(time.Hour)
		s.Do(t, "GET", "/api/users/refresh", nil, servertest.Bearer(r.String("refreshToken"))).Want(t, 401)
	})
}

// B6, B7: an application's token has no expiry, gives what the user's role gives, is listed with its use, and ends when
// it is revoked, when its user is deactivated and when its user is no application any more; on another node too.
func TestB7_ApplicationTokens(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		var l struct{ Data []struct{ ID string } }
		s.Do(t, "GET", "/v1/users?email=integration@acme-corp.example", nil, admin).Want(t, 200).Into(t, &l)
		user := l.Data[0].ID
		session := s.ItemPath(t, "integration")
		issue := func() string {
			return s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(session.RefreshToken),
				servertest.Header("Content-Type", "application/json")).Want(t, 200).String("token")
		}
		works := func(token string) [2]int {
			return [2]int{s.Do(t, "GET", "/verify?permission=tickets:read", nil, servertest.Bearer(token)).Status,
				s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Status}
		}
		gone := func(why, token string) {
			t.Helper()
			if got := works(token); got != [2]int{401, 401} {
				t.Errorf("%s: %v", why, got)
			}
			deadline := time.Now().Add(5 * time.Second)
			for other.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Status != 401 {
				if time.Now().After(deadline) {
					t.Fatalf("%s: it still works on another node", why)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		token := issue()
		if _, c := claims(t, token); c["exp"] != nil || c["sub"] != user {
			t.Errorf("claims %v", c)
		}
		if got := works(token); got != [2]int{200, 200} {
			t.Fatalf("a new one: %v", got)
		}
		other.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Want(t, 200)
		s.Clock.Advance(400 * 24 * time.Hour)
		other.Clock.Advance(400 * 24 * time.Hour)
		if got := works(token); got != [2]int{200, 200} {
			t.Errorf("after more than a year: %v", got)
		}
		admin, session = s.As(t, servertest.Admin), s.ItemPath(t, "integration")

		// Listed by pages, with the last use.
		issue()
		var page struct {
			Tokens []struct {
				ID           string  `json:"id"`
				LastUsedDate *string `json:"lastUsedDate"`
				Revoked      bool    `json:"revoked"`
			} `json:"applicationTokens"`
			Cursor *string `json:"cursor"`
		}
		ids, used, path := []string{}, 0, "/api/users/application-tokens?limit=1"
		for range 5 {
			page.Tokens, page.Cursor = nil, nil
			s.Do(t, "GET", path, nil, servertest.Bearer(session.AccessToken)).Want(t, 200).Into(t, &page)
			for _, row := range page.Tokens {
				ids = append(ids, row.ID)
				if row.LastUsedDate != nil {
					used++
				}
			}
			if page.Cursor == nil {
				break
			}
			path = "/api/users/application-tokens?limit=1&cursor=" + *page.Cursor
		}
		if len(ids) != 3 || used != 1 {
			t.Fatalf("listed %v, %d of them used", ids, used)
		}
		// Another application's token is not there for this one.
		s.Do(t, "POST", "/v1/roles", object{"name": "tokens", "permissions": []string{"application_tokens:manage:all"}},
			admin).Want(t, 201)
		second := s.PersonWithPassword(t, admin, "second", "tokens") // who may end anyone's at /v1, and here their own
		s.Do(t, "PATCH", "/v1/users/"+second, object{"type": "application"}, admin).Want(t, 200)
		theirs := login(s, t, object{"username": "second@acme-corp.example", "password": servertest.TestPassword}).
			Want(t, 200).String("accessToken")
		s.Do(t, "DELETE", "/api/users/application-tokens/"+ids[1], nil, servertest.Bearer(theirs)).Want(t, 404)
		if r := s.Do(t, "GET", "/api/users/application-tokens", nil, servertest.Bearer(theirs)).
			Want(t, 200); len(r.Get("applicationTokens").([]any)) != 0 {
			t.Errorf("another's list: %s", r.Body)
		}
		// Its list and end at its own door, and at /v1.
		s.Do(t, "DELETE", "/api/users/application-tokens/"+ids[1], nil, servertest.Bearer(session.AccessToken)).
			Want(t, 200)
		gone("revoked", token)
		s.Do(t, "GET", "/v1/application-tokens/"+ids[1], nil, admin).Want(t, 200)
		// an application token ends none, not even itself
		s.Do(t, "DELETE", "/api/users/application-tokens/"+ids[1], nil, servertest.Bearer(token)).Want(t, 422)
		token = issue()
		s.Do(t, "PATCH", "/v1/users/"+user, object{"type": "person"}, admin).Want(t, 200)
		gone("no application any more", token)
		s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(session.RefreshToken)).Want(t, 403)
		s.Do(t, "PATCH", "/v1/users/"+user, object{"type": "application"}, admin).Want(t, 200)
		gone("an application again", token)
		token = issue()
		s.Do(t, "DELETE", "/v1/users/"+user, nil, admin).Want(t, 204)
		gone("deactivated", token)
		s.Do(t, "GET", "/api/users/refresh", nil, servertest.Bearer(session.RefreshToken)).Want(t, 401)
		s.Do(t, "PATCH", "/v1/users/"+user, object{"state": "active"}, admin).Want(t, 200)
		gone("active again", token)
	})
}

// B3, B5, G7, A10, A11, A41, A49: a session of this door is a session: its user and an administrator see and end it, it
// stops with its user and its organization, and a refresh gives what the role gives now.
func TestB5_SessionsEnd(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin, operator := s.As(t, servertest.Admin), s.As(t, servertest.Operator)
		manager := s.UserID(t, servertest.Manager)
		bearer := servertest.Bearer
		refresh := func(token string) servertest.Response {
			return s.Do(t, "GET", "/api/users/refresh", nil, bearer(token))
		}
		verify := func(token string) int { return s.Do(t, "GET", "/verify", nil, bearer(token)).Status }
		sessionOf := func(token string) string {
			_, c := claims(t, token)
			return c["sessionId"].(string)
		}
		client := s.Client(t, admin, nil, "introspection:read:all")
		for name, end := range map[string]func(p servertest.Tokens){
			"its user signs out everywhere": func(servertest.Tokens) {
				s.Do(t, "POST", "/v1/auth/logout", nil, s.As(t, servertest.Manager)).Want(t, 200)
			},
			"its user ends it": func(p servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/auth/sessions/"+sessionOf(p.AccessToken), nil, s.As(t, servertest.Manager)).
					Want(t, 204)
			},
			"an administrator ends all": func(servertest.Tokens) {
				s.Do(t, "DELETE", "/v1/users/"+manager+"/sessions", nil, admin).Want(t, 204)
			},
			"its refresh token is revoked": func(p servertest.Tokens) {
				s.PostForm(t, "/oauth2/revoke", []string{"token", p.RefreshToken}, s.As(t, servertest.Manager)).
					Want(t, 200)
			},
			"its user changes the password": func(servertest.Tokens) {
				for _, change := range [][2]string{{pw, "another passphrase of mine"},
					{"another passphrase of mine", pw}} {
					token := s.Do(t, "POST", "/v1/auth/login",
						object{"email": servertest.Manager, "password": change[0]}).Want(t, 200).String("accessToken")
					s.Do(t, "PUT", "/v1/auth/password", object{"currentPassword": change[0], "newPassword": change[1]},
						bearer(token)).Want(t, 200)
				}
			},
			"its user is disabled": func(servertest.Tokens) {
				s.Do(t, "PATCH", "/v1/users/"+manager, object{"state": "disabled"}, admin).Want(t, 200)
				s.Do(t, "PATCH", "/v1/users/"+manager, object{"state": "active"}, admin).Want(t, 200)
			},
		} {
			p := s.ItemPath(t, "manager")
			if refresh(p.RefreshToken).Status != 200 || verify(p.AccessToken) != 200 {
				t.Fatalf("%s: a new session does not work", name)
			}
			if in := s.PostForm(t, "/oauth2/introspect", []string{"token", p.RefreshToken},
				servertest.Basic(client.Client, client.Secret)); in.Get("active") != true ||
				in.String("token_type") != "refresh_token" {
				t.Errorf("introspection of a refresh token: %s", in.Body)
			}
			end(p)
			if r := refresh(p.RefreshToken); r.Status != 401 || r.String("msg") != "Token has been revoked" {
				t.Errorf("%s: refresh %d %s", name, r.Status, r.Body)
			}
			if got := verify(p.AccessToken); got != 401 {
				t.Errorf("%s: verify %d", name, got)
			}
			for _, token := range []string{p.AccessToken, p.RefreshToken} {
				if in := s.PostForm(t, "/oauth2/introspect", []string{"token", token},
					servertest.Basic(client.Client, client.Secret)); string(in.Body) != `{"active":false}` {
					t.Errorf("%s: introspection %s", name, in.Body)
				}
			}
		}
		// One access token alone; its session goes on.
		p := s.ItemPath(t, "manager")
		s.PostForm(t, "/oauth2/revoke", []string{"token", p.AccessToken}, s.As(t, servertest.Manager)).Want(t, 200)
		if verify(p.AccessToken) != 401 || refresh(p.RefreshToken).Status != 200 {
			t.Error("revoking one access token")
		}
		// A refresh gives what the role gives now.
		s.Do(t, "PATCH", "/v1/users/"+manager, object{"role": permission.RoleEndUser}, admin).Want(t, 200)
		_, c := claims(t, refresh(p.RefreshToken).Want(t, 200).String("accessToken"))
		if c["role"] != permission.RoleEndUser || len(c["permissions"].([]any)) != 2 {
			t.Errorf("after a change of role: %v", c)
		}
		// A suspended organization: the words of this door for it are those of a revoked token.
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), object{"state": "suspended"}, operator).
			Want(t, 200)
		if r := refresh(p.RefreshToken); r.Status != 401 || r.String("msg") != "Token has been revoked" ||
			!strings.Contains(r.Header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("suspended: %d %s", r.Status, r.Body)
		}
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), object{"state": "active"}, operator).
			Want(t, 200)
		refresh(p.RefreshToken).Want(t, 200)
		// The refresh token of /v1 and of this door are two things.
		if r := s.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": p.RefreshToken}); r.Status != 401 {
			t.Errorf("at /v1: %d %s", r.Status, r.Body)
		}
	})
}

// B11, F1: an API that is not our own, behind the gateway: stations may be read by whose role says so, with a session
// of this door and with an application token.
func TestB11_Stations(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", object{"name": "warehouse", "permissions": []string{"stations:read:all"}}, admin).
			Want(t, 201)
		id := s.PersonWithPassword(t, admin, "warehouse", "warehouse")
		s.Do(t, "PATCH", "/v1/users/"+id, object{"type": "application"}, admin).Want(t, 200)
		p := login(s, t, object{"username": "warehouse@acme-corp.example", "password": servertest.TestPassword}).
			Want(t, 200)
		token := s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(p.String("refreshToken"))).
			Want(t, 200).String("token")
		for name, value := range map[string]string{"access token": p.String("accessToken"),
			"application token": token} {
			r := s.Do(t, "GET", "/verify?permission=stations:read", nil, servertest.Bearer(value)).Want(t, 200)
			if r.Header.Get("X-Auth-Organization") == "" ||
				!strings.Contains(r.Header.Get("X-Auth-Permissions"), "stations:read:all") {
				t.Errorf("%s: %v", name, r.Header)
			}
			s.Do(t, "GET", "/verify?permission=stations:update", nil, servertest.Bearer(value)).Want(t, 403)
		}
		s.Do(t, "GET", "/verify?permission=stations:read", nil, servertest.Bearer(p.String("refreshToken"))).
			Want(t, 401)
		s.Do(t, "GET", "/verify?permission=stations:read", nil,
			servertest.Bearer(s.ItemPath(t, "manager").AccessToken)).Want(t, 403)
	}, func(c *config.Config, _ *server.Options) { c.Resources = []string{"stations"} })
}

// B7, ATK28: a token that is asked for while its user is deactivated is either refused or ended with the others: none
// comes back with the user. And an application has a hundred at most.
func TestB7_IssueAgainstDeactivation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		var l struct{ Data []struct{ ID string } }
		s.Do(t, "GET", "/v1/users?email=integration@acme-corp.example", nil, admin).Want(t, 200).Into(t, &l)
		user, issued := "/v1/users/"+l.Data[0].ID, 0
		for range 5 {
			session := servertest.Bearer(s.ItemPath(t, "integration").RefreshToken)
			var mu sync.Mutex
			var tokens []string
			var wg sync.WaitGroup
			first := make(chan struct{})
			once := sync.OnceFunc(func() { close(first) })
			for range 4 {
				wg.Go(func() {
					defer once()
					for range 4 {
						if r, err := s.Try("POST", "/api/users/application-token", nil, session); err == nil &&
							r.Status == 200 {
							mu.Lock()
							tokens = append(tokens, r.String("token"))
							mu.Unlock()
							once()
						}
					}
				})
			}
			<-first // some come before
			s.Do(t, "PATCH", user, object{"state": "disabled"}, admin).Want(t, 200)
			wg.Wait()
			s.Do(t, "PATCH", user, object{"state": "active"}, admin).Want(t, 200)
			issued += len(tokens)
			for _, token := range tokens {
				if r := s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)); r.Status != 401 {
					t.Fatalf("a token came back with its user: %d", r.Status)
				}
			}
		}
		if issued == 0 {
			t.Error("no token was ever issued")
		}
		session := servertest.Bearer(s.ItemPath(t, "integration").RefreshToken)
		for n := 1; ; n++ {
			r := s.Do(t, "POST", "/api/users/application-token", nil, session)
			if r.Status == 409 && n == 101 {
				break
			}
			if r.Status != 200 || n > 100 {
				t.Fatalf("token %d: %d %s", n, r.Status, r.Body)
			}
		}
	})
}
