//go:build faults

package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/platform/failpoint"
	"gatehouse/internal/platform/sqldb"
	"gatehouse/internal/server"
	"gatehouse/test/servertest"
	"gatehouse/test/sqldbtest"
)

// try is one request of the sweep: each call of make gives a fresh one that would succeed.
type try struct {
	name   string
	method string
	path   string
	body   any
	as     servertest.Change
	good   int
	form   bool
	table  string // a row of this is made by a success
	act    string // and one event of this

	probe func() string // what is wrong after a success; for what leaves no new row
}

// FLT20: for each kind of request the first, second, … statement, and the commit before and after it is done, fails, or the handler panics there. What is answered is
// never a success that did not happen, never a half: each row has its event (I7), and the same request succeeds right after (I6, I9). Nothing leaks.
func TestFLT20_Sweep(t *testing.T) {
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		var planned *failpoint.Plan
		s := servertest.New(t, address, servertest.WithoutRedis)
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Faulty") != "" {
				r = r.WithContext(failpoint.With(r.Context(), planned))
			}
			s.Handler.ServeHTTP(w, r)
		}))
		t.Cleanup(h.Close)
		s.URL = h.URL
		admin, operator := s.As(t, servertest.Admin), s.As(t, servertest.Operator)
		s.Do(t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"sessionsPerUser": 0}}, admin).Want(t, 200)
		client := s.Seeds.Clients[0]
		n := 0
		fresh := func(what string) string { n++; return fmt.Sprintf("%s-%d", what, n) }
		post := func(name, path string, body map[string]any, table, act string) func() try {
			return func() try {
				b := make(map[string]any)
				for k, v := range body {
					b[k] = v
				}
				for _, k := range []string{"name", "title", "email"} {
					if v, ok := b[k].(string); ok {
						b[k] = fresh(v)
						if k == "email" {
							b[k] = fresh("user") + "@acme-corp.example"
						}
					}
				}
				return try{name: name, method: "POST", path: path, body: b, as: admin, good: 201, table: table, act: act}
			}
		}
		get := func(path string) func() try {
			return func() try { return try{name: path, method: "GET", path: path, as: admin, good: 200} }
		}
		made := func(path string, body map[string]any) string {
			return s.Do(t, "POST", path, body, admin).Want(t, 201).String("id")
		}
		makes := []func() try{
			func() try {
				return try{name: "sign in", method: "POST", path: "/v1/auth/login", body: map[string]any{"email": servertest.Agent, "password": server.DemoPassword}, good: 200, table: "sessions", act: "session.created"}
			},
			func() try {
				token := s.Login(t, servertest.Agent).RefreshToken
				return try{name: "refresh", method: "POST", path: "/v1/auth/refresh", body: map[string]any{"refreshToken": token}, good: 200, probe: func() string {
					if s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token}).Status == 200 {
						return "the used token works"
					}
					return ""
				}}
			},
			func() try {
				as := servertest.Bearer(s.Login(t, servertest.EndUser).AccessToken)
				return try{name: "sign out", method: "POST", path: "/v1/auth/logout", as: as, good: 200, probe: ended(t, s, as)}
			},
			func() try {
				return try{name: "client credentials", method: "POST", path: "/oauth2/token", form: true, good: 200,
					body: url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ClientID}, "client_secret": {client.ClientSecret}}.Encode()}
			},
			func() try {
				return try{name: "item path sign in", method: "POST", path: "/api/users/login", body: map[string]any{"username": "agent", "password": server.DemoPassword}, good: 200, table: "sessions", act: "session.created"}
			},
			post("user", "/v1/users", map[string]any{"email": "u", "role": "end_user"}, "users", "user.created"),
			post("team", "/v1/teams", map[string]any{"name": "team"}, "teams", "team.created"),
			post("api key", "/v1/api-keys", map[string]any{"name": "key", "permissions": []string{"tickets:read:all"}}, "credentials", "api_key.created"),
			post("system token", "/v1/system-tokens", map[string]any{"name": "sat"}, "credentials", "system_token.created"),
			post("client", "/v1/clients", map[string]any{"name": "client", "permissions": []string{"tickets:read:all"}}, "clients", "client.created"),
			post("ticket", "/v1/tickets", map[string]any{"title": "ticket", "type": "incident", "priority": "low"}, "tickets", ""),
			post("invitation", "/v1/invitations", map[string]any{"email": "u", "role": "end_user"}, "invitations", "invitation.created"),
			func() try {
				r := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "gone", "permissions": []string{"tickets:read:all"}}, admin).Want(t, 201)
				return try{name: "revoke a key", method: "DELETE", path: "/v1/api-keys/" + r.String("id"), as: admin, good: 204, probe: ended(t, s, servertest.Header("X-API-Key", r.String("key")))}
			},
			func() try {
				r := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "turned", "permissions": []string{"tickets:read:all"}}, admin).Want(t, 201)
				return try{name: "rotate a key", method: "POST", path: "/v1/api-keys/" + r.String("id") + "/rotate", body: map[string]any{}, as: admin, good: 200, probe: ended(t, s, servertest.Header("X-API-Key", r.String("key")))}
			},
			func() try {
				id := made("/v1/users", map[string]any{"email": fresh("left") + "@acme-corp.example", "role": "end_user"})
				return try{name: "disable a user", method: "PATCH", path: "/v1/users/" + id, body: map[string]any{"state": "disabled"}, as: admin, good: 200, probe: func() string {
					if s.Do(t, "GET", "/v1/users/"+id, nil, admin).String("state") != "disabled" {
						return "the user is active"
					}
					return ""
				}}
			},
			func() try {
				return try{name: "an operator abroad", method: "GET", path: "/v1/users", as: both(operator, servertest.Header("X-Tenant-Slug", server.DemoTenant)), good: 200}
			},
			get("/v1/users"), get("/v1/tickets"), get("/v1/audit-events"), get("/v1/organization"), get("/v1/auth/sessions"), get("/v1/api-keys"), get("/verify?permission=tickets:read"),
			get("/.well-known/jwks.json"),
		}
		rows := func(sql string, args ...any) (n int) {
			t.Helper()
			if err := s.DB.Platform("what a sweep left behind").QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := runtime.NumGoroutine()
		points, violations, rounds := 0, 0, 0
		bad := func(format string, args ...any) {
			violations++
			if violations < 20 {
				t.Errorf(format, args...)
			}
		}
		for _, make := range makes {
			for _, point := range []string{"statement", "tx.before_commit", "tx.committed"} {
				for _, action := range []string{"error", "panic"} {
					if action == "panic" && point == "tx.committed" {
						continue // the same as killed: FLT01
					}
					for nth := int64(1); nth < 60; nth++ {
						s.Clock.Advance(2 * time.Minute) // no lock or limit of the round before
						if rounds++; rounds%5 == 0 {
							admin, operator = s.As(t, servertest.Admin), s.As(t, servertest.Operator)
						}
						c := make()
						events, rowsBefore := 0, 0
						if c.act != "" {
							events, rowsBefore = rows(`SELECT count(*) FROM audit_events WHERE act = $1`, c.act), rows(`SELECT count(*) FROM `+c.table)
						}
						planned = failpoint.NewPlan(point, action, nth)
						r, err := send(s, c, servertest.Header("X-Faulty", "1"))
						if err != nil && action != "panic" {
							bad("%s, %s %d of %s: no answer: %v", c.name, action, nth, point, err)
						}
						hit := planned.Hits() >= nth
						if hit {
							points++
						}
						if hit && err == nil && r.Status < 500 && r.Status != c.good && r.Status != 401 && !(r.Status == 403 && r.Code() == "UNAVAILABLE") { // what a proxy is told
							bad("%s, %s %d of %s: %d %s", c.name, action, nth, point, r.Status, r.Body)
						}
						if hit && err == nil && r.Status == 500 && action == "error" {
							bad("I9: %s, %s %d of %s: a database that does not answer is 500: %s", c.name, action, nth, point, r.Body)
						}
						if strings.Contains(string(r.Body), "failpoint") || strings.Contains(string(r.Body), "SELECT") {
							bad("I9: %s tells internals: %s", c.name, r.Body)
						}
						if hit && err == nil && r.Status == c.good && c.probe != nil {
							if wrong := c.probe(); wrong != "" {
								bad("I9: %s, %s %d of %s: answered %d, and %s", c.name, action, nth, point, r.Status, wrong)
							}
						}
						if hit && err == nil && r.Status == c.good && c.table != "" && rows(`SELECT count(*) FROM `+c.table) == rowsBefore {
							bad("I9: %s, %s %d of %s: answered %d, and there is no row", c.name, action, nth, point, r.Status)
						}
						if c.act != "" {
							if de, dr := rows(`SELECT count(*) FROM audit_events WHERE act = $1`, c.act)-events, rows(`SELECT count(*) FROM `+c.table)-rowsBefore; (dr > 0) != (de > 0) || dr > 1 && c.table != "credentials" {
								bad("I7: %s, %s %d of %s: %d rows and %d events", c.name, action, nth, point, dr, de)
							}
						}
						if !hit {
							if err != nil || r.Status != c.good {
								bad("%s without a fault: %v %d %s", c.name, err, r.Status, r.Body)
							}
							break
						}
						again := make()
						if r, err := send(s, again); err != nil || r.Status != again.good {
							bad("I6: %s after %s %d of %s: %v %d %s", c.name, action, nth, point, err, r.Status, r.Body)
						}
					}
				}
			}
		}
		waitFor(t, "goroutines to end", 10*time.Second, func() bool {
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			return runtime.NumGoroutine() <= before+30
		})
		err := s.DB.PlatformTx(context.Background(), "the pool is whole after a sweep", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(context.Background(), `SELECT 1`)
			return err
		})
		if err != nil {
			t.Errorf("I8: %v", err)
		}
		(&lab{T: t}).report("FLT20", "%s endpoints=%d fault_points=%d violations=%d goroutines=%d→%d", s.DB.Engine(), len(makes), points, violations, before, runtime.NumGoroutine())
	})
}

// ended tells whether a credential still works.
func ended(t *testing.T, s *servertest.Server, as servertest.Change) func() string {
	return func() string {
		if s.Do(t, "GET", "/v1/auth/me", nil, as).Status == 200 {
			return "what was ended works"
		}
		return ""
	}
}

func both(a, b servertest.Change) servertest.Change {
	return func(r *http.Request) { a(r); b(r) }
}

func send(s *servertest.Server, c try, more ...servertest.Change) (servertest.Response, error) {
	changes := more
	if c.as != nil {
		changes = append(changes, c.as)
	}
	if c.form {
		changes = append(changes, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") })
	}
	return s.Try(c.method, c.path, c.body, changes...)
}
