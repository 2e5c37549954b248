package api_test

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func device(values ...string) servertest.Change {
	return func(r *http.Request) { r.Header["X-Device-Fingerprint"] = values }
}

// A47: a session that began with a device fingerprint wants the same wherever one is shown, and at a refresh always;
// anything else ends it until a new sign-in, and is in the audit log. A session without one takes no notice.
func TestA47_DeviceFingerprint(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		begin := func(fingerprint string, inBody bool) (access, refresh string) {
			body := map[string]any{"email": servertest.Agent, "password": pw}
			var changes []servertest.Change
			switch {
			case fingerprint == "":
			case inBody:
				body["deviceFingerprint"] = fingerprint
			default:
				changes = append(changes, device(fingerprint))
			}
			r := s.Do(t, "POST", "/v1/auth/login", body, changes...).Want(t, 200)
			return r.String("accessToken"), r.String("refreshToken")
		}
		refresh := func(token string, body map[string]any, changes ...servertest.Change) servertest.Response {
			if body == nil {
				body = map[string]any{}
			}
			body["refreshToken"] = token
			return s.Do(t, "POST", "/v1/auth/refresh", body, changes...)
		}
		me := func(token string, changes ...servertest.Change) servertest.Response {
			return s.Do(t, "GET", "/v1/auth/me", nil, append(changes, servertest.Bearer(token))...)
		}
		for _, inBody := range []bool{true, false} {
			access, again := begin("laptop-1", inBody)
			me(access).Want(t, 200)
			me(access, device("laptop-1")).Want(t, 200)
			r := refresh(again, nil, device("laptop-1")).Want(t, 200)
			r = refresh(r.String("refreshToken"), map[string]any{"deviceFingerprint": "laptop-1"}).Want(t, 200)
			refresh(r.String("refreshToken"), map[string]any{"deviceFingerprint": "laptop-1"}, device("laptop-1")).
				Want(t, 200)
		}
		for name, offend := range map[string]func(access, again string) servertest.Response{
			"another, with a request": func(access, _ string) servertest.Response {
				return me(access, device("laptop-2"))
			},
			"empty, with a request": func(access, _ string) servertest.Response { return me(access, device("")) },
			"twice, with a request": func(access, _ string) servertest.Response {
				return me(access, device("laptop-1", "laptop-1"))
			},
			"a prefix": func(access, _ string) servertest.Response {
				return me(access, device("laptop-"))
			},
			"at forward authentication": func(access, _ string) servertest.Response {
				r := s.Do(t, "GET", "/verify", nil, servertest.Bearer(access), device("laptop-2"),
					servertest.Header("X-Forwarded-Method", "GET"), servertest.Header("X-Forwarded-Uri", "/"))
				if r.Status != 401 {
					t.Errorf("/verify: %d %s", r.Status, r.Body)
				}
				return me(access)
			},
			"none at a refresh": func(_, again string) servertest.Response { return refresh(again, nil) },
			"another at a refresh": func(_, again string) servertest.Response {
				return refresh(again, nil, device("laptop-2"))
			},
			"two minds at a refresh": func(_, again string) servertest.Response {
				return refresh(again, map[string]any{"deviceFingerprint": "laptop-1"}, device("laptop-2"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				access, again := begin("laptop-1", true)
				offend(access, again).Want(t, 401, "REAUTHENTICATION_REQUIRED")
				me(access).Want(t, 401, "REAUTHENTICATION_REQUIRED")
				me(access, device("laptop-1")).Want(t, 401, "REAUTHENTICATION_REQUIRED")
				refresh(again, nil, device("laptop-1")).Want(t, 401, "REAUTHENTICATION_REQUIRED")
				access, _ = begin("laptop-2", true)
				me(access, device("laptop-2")).Want(t, 200)
			})
		}
		access, again := begin("", true)
		me(access, device("anything")).Want(t, 200)
		refresh(again, nil, device("anything else")).Want(t, 200)
		log := s.Do(t, "GET", "/v1/audit-events?act=session.ended&limit=100", nil, s.As(t, servertest.Admin)).
			Want(t, 200)
		if n := strings.Count(string(log.Body), "device_fingerprint"); n != 8 {
			t.Errorf("%d sessions ended for their device in the audit log, want 8", n)
		}
	})
}

// A47: the reusable refresh token of ItemPath's door is held to the device, too.
func TestA47_ItemPath(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		in := map[string]any{"username": "agent", "password": pw}
		for _, c := range []struct {
			shown  []string
			status int
		}{{[]string{"scanner-1"}, 200}, {nil, 401}, {[]string{"scanner-2"}, 401}} {
			r := s.Do(t, "POST", "/api/users/login", in, device("scanner-1")).Want(t, 200)
			var changes []servertest.Change
			if c.shown != nil {
				changes = append(changes, device(c.shown...))
			}
			s.Do(t, "POST", "/api/users/refresh", nil, append(changes, servertest.Bearer(r.String("refreshToken")))...).
				Want(t, c.status)
		}
	})
}

// A48: an organization's idle and absolute limits, and those of a role, hold for the sessions that are there as for new
// ones; use on either node keeps a session alive, and a limit is not outlived by use on the other.
func TestA48_Limits(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		advance := func(d time.Duration) { s.Clock.Advance(d); other.Clock.Advance(d) }
		admin := s.As(t, servertest.Admin)
		settings := func(v map[string]any) servertest.Response {
			return s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": v}, admin)
		}
		for field, v := range map[string]any{"sessionIdleSeconds": 299, "sessionsPerUser": 1001,
			"sessionLimitsByRole": map[string]any{"service_desk_agent": map[string]any{"idleSeconds": 1}}} {
			if r := settings(map[string]any{field: v}).
				Want(t, 400, "VALIDATION_ERROR"); !strings.Contains(string(r.Body), field) {
				t.Errorf("%s: %s", field, r.Body)
			}
		}
		before := s.Login(t, servertest.Agent)
		manager := s.Login(t, servertest.Manager)
		settings(map[string]any{"sessionIdleSeconds": 3600,
			"sessionLimitsByRole": map[string]any{"service_desk_agent": map[string]any{"idleSeconds": 600,
				"lifetimeSeconds": 3000}}}).Want(t, 200)

		// Use on one node, each time after nearly the idle limit, keeps the session alive on the other, which sees no
		// use itself.
		for range 2 {
			advance(9 * time.Minute)
			s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(before.AccessToken)).Want(t, 200)
			if err := s.Sessions.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			other.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": before.RefreshToken}).Want(t, 200).
				Into(t, &before)
		}
		advance(11 * time.Minute) // idle for an agent, not for a manager
		other.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": before.RefreshToken}).
			Want(t, 401, "TOKEN_REVOKED")
		other.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": manager.RefreshToken}).Want(t, 200).
			Into(t, &manager)
		list := s.Do(t, "GET", "/v1/users/"+s.UserID(t, servertest.Agent)+"/sessions", nil,
			servertest.Bearer(s.Login(t, servertest.Admin).AccessToken)).Want(t, 200)
		if n := strings.Count(string(list.Body), `"userId"`); n != 1 { // the one that asked for the id
			t.Errorf("%d sessions listed: %s", n, list.Body)
		}

		// The absolute limit of the role ends a session that is used all the time.
		used := s.Login(t, servertest.Agent)
		for range 6 {
			s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": used.RefreshToken}).Want(t, 200).
				Into(t, &used)
			advance(8 * time.Minute)
		}
		advance(3 * time.Minute)
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": used.RefreshToken}).Want(t, 401)
	})
}

// A48, FLT19: a user has at most as many sessions as the organization allows; a further sign-in ends the oldest, not
// the newest.
func TestA48_SessionsPerUser(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"sessionsPerUser": 3}},
			s.As(t, servertest.Admin)).Want(t, 200)
		var all []servertest.Tokens
		for range 5 {
			all = append(all, s.Login(t, servertest.Agent))
		}
		got := ""
		for _, tokens := range all {
			got += fmt.Sprint(s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Status, " ")
		}
		if got != "401 401 200 200 200 " {
			t.Errorf("five sign-ins, three allowed: %s", got)
		}
		s.Login(t, servertest.Manager)
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(all[4].AccessToken)).Want(t, 200)

		var wg sync.WaitGroup // all at once, they are no more
		for range 12 {
			wg.Go(func() {
				if r, err := s.Try("POST", "/v1/auth/login",
					map[string]any{"email": servertest.Agent, "password": pw}); err != nil || r.Status != 200 {
					t.Errorf("%d %s %v", r.Status, r.Body, err)
				}
			})
		}
		wg.Wait()
		var list struct{ Data []any }
		s.Do(t, "GET", "/v1/users/"+s.UserID(t, servertest.Agent)+"/sessions", nil, s.As(t, servertest.Admin)).
			Want(t, 200).Into(t, &list)
		if len(list.Data) != 3 {
			t.Errorf("%d sessions after many sign-ins at once", len(list.Data))
		}
	})
}

// G7, A46: what was issued before a restore is void on every node at once, whatever its kind of token; a new sign-in
// works.
func TestA46_VoidTokens(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		tokens := s.Login(t, servertest.Agent)
		item := s.Do(t, "POST", "/api/users/login", map[string]any{"username": "agent", "password": pw}).Want(t, 200)
		for _, n := range []*servertest.Server{s, other} {
			n.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
			n.Clock.Advance(2 * time.Second)
		}
		if _, err := admin.Restored(t.Context(), s.Server, "a test", sqldb.Restore{KeepMachines: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		for _, n := range []*servertest.Server{s, other} {
			n.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 401)
			n.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 401)
			// its keys are trusted no more
			n.Do(t, "POST", "/api/users/refresh", nil, servertest.Bearer(item.String("refreshToken"))).Want(t, 422)
			n.Clock.Advance(2 * time.Second)
			fresh := n.Login(t, servertest.Agent)
			n.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": fresh.RefreshToken}).Want(t, 200)
			list := n.Do(t, "GET", "/v1/auth/sessions", nil, servertest.Bearer(fresh.AccessToken)).Want(t, 200)
			if strings.Contains(string(list.Body), sessionOf(t, tokens.AccessToken)) {
				t.Error("a void session is listed")
			}
		}
	})
}

func sessionOf(t *testing.T, access string) string {
	t.Helper()
	_, claims := decodeToken(t, access)
	return claims["sessionId"].(string)
}

// FLT19, ATK45: whoever tries keys that are nobody's is told to wait before the database is asked for each; keys that
// are known work on, from the same address too.
func TestG8_UnknownCredentials(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		key := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "known",
			"permissions": []string{"tickets:read:all"}}, s.As(t, servertest.Admin)).Want(t, 201).String("key")
		me := func(key string) servertest.Response {
			return s.Do(t, "GET", "/v1/auth/me", nil, servertest.Header("X-API-Key", key))
		}
		me(key).Want(t, 200)
		s.Clock.NextMinute() // else its end may fall between the four hundred
		limited := 0
		for i := range 400 {
			body := key[:len(key)-13] + fmt.Sprintf("%04x", i)
			r := me(body + fmt.Sprintf("_%08x", crc32.ChecksumIEEE([]byte(body))))
			if r.Status == 429 {
				if limited++; r.Header.Get("Retry-After") == "" || r.Code() != "RATE_LIMIT_EXCEEDED" {
					t.Fatalf("%s %v", r.Body, r.Header)
				}
			}
		}
		if limited < 50 || limited > 150 {
			t.Errorf("%d of 400 unknown keys were told to wait, want about 100", limited)
		}
		me(key).Want(t, 200)
	})
}

// FLT06, FLT21, I2: a node that has not heard yet that tokens are void rotates none of them: the statement that decides
// looks for itself.
func TestFLT06_RotationAsksTheDatabase(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		user := s.Login(t, servertest.Agent)
		client := s.Client(t, s.As(t, servertest.Admin), map[string]any{"refreshTokens": true}, "tickets:read:all")
		grant := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
			servertest.Basic(client.Client, client.Secret)).Want(t, 200).String("refresh_token")
		void := s.Clock.Now().Add(time.Minute)
		err := s.DB.PlatformTx(t.Context(), "as after a failover, and nobody says so", func(tx *sqldb.Tx) error {
			tag, err := tx.Exec(t.Context(), `UPDATE installation SET not_before = $1`, void.UnixMilli())
			if err == nil && tag.RowsAffected() != 1 {
				t.Errorf("%d rows", tag.RowsAffected())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(user.AccessToken)); r.Status != 200 {
			t.Log("the node has read everything anew, as a busy one may: what follows holds, and shows less")
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": user.RefreshToken}).Want(t, 401)
		s.PostForm(t, "/oauth2/token", []string{"grant_type", "refresh_token", "refresh_token", grant},
			servertest.Basic(client.Client, client.Secret)).Want(t, 400)
	})
}
