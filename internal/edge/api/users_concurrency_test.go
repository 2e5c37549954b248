package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// both runs two requests at once and wants neither to fail.
func both(t *testing.T, a, b func() (servertest.Response, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for _, fn := range []func() (servertest.Response, error){a, b} {
		wg.Go(func() {
			if r, err := fn(); err != nil || r.Status >= 300 {
				t.Errorf("%v %d %s", err, r.Status, r.Body)
			}
		})
	}
	wg.Wait()
}

// ATK28, ATK59: of two administrators' changes at once neither undoes the other: a deactivation stays, an origin taken
// off stays off, a role lowered stays low.
func TestATK59_ConcurrentChanges(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for i := range 12 {
			u := s.Do(t, "POST", "/v1/users", map[string]any{"email": fmt.Sprintf("c%d@acme-corp.example", i),
				"role": "end_user"}, as).Want(t, 201).String("id")
			both(t, func() (servertest.Response, error) { return s.Try("DELETE", "/v1/users/"+u, nil, as) },
				func() (servertest.Response, error) {
					return s.Try("PATCH", "/v1/users/"+u, map[string]any{"name": "renamed"}, as)
				})
			if r := s.Do(t, "GET", "/v1/users/"+u, nil, as); r.String("state") != "disabled" ||
				r.String("name") != "renamed" {
				t.Errorf("round %d: %s", i, r.Body)
			}
			settings := func(v map[string]any) func() (servertest.Response, error) {
				return func() (servertest.Response, error) {
					return s.Try("PATCH", "/v1/organization", map[string]any{"settings": v}, as)
				}
			}
			settings(map[string]any{"allowedOrigins": []string{"https://old.example"}, "timeZone": "UTC"})()
			both(t, settings(map[string]any{"allowedOrigins": []string{}}),
				settings(map[string]any{"timeZone": "Asia/Tokyo"}))
			if r := s.Do(t, "GET", "/v1/organization", nil, as); strings.Contains(string(r.Body), "old.example") ||
				r.String("settings.timeZone") != "Asia/Tokyo" {
				t.Errorf("round %d: %s", i, r.Body)
			}
			inv := s.Do(t, "POST", "/v1/invitations",
				map[string]any{"email": fmt.Sprintf("i%d@acme-corp.example", i), "role": "tenant_admin"}, as).
				Want(t, 201)
			_, token, _ := strings.Cut(inv.String("url"), "#token=")
			var lowered, accepted servertest.Response
			var wg sync.WaitGroup
			wg.Go(func() {
				accepted, _ = s.Try("POST", "/v1/auth/invitations/accept",
					map[string]any{"token": token, "password": "a sentence for joining"})
			})
			wg.Go(func() {
				lowered, _ = s.Try("PATCH", "/v1/invitations/"+inv.String("id"), map[string]any{"role": "end_user"}, as)
			})
			wg.Wait()
			if lowered.Status == 200 && accepted.String("role") == "tenant_admin" {
				t.Errorf("round %d: accepted with the role it had before", i)
			}
		}
	})
}

// G9, G5: whatever bytes a client calls itself by, the audit log can be written and read, and nothing is a server
// error.
func TestG9_OddBytes(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for _, agent := range []string{"bad\xff", strings.Repeat("é", 400), "tab\tand\u202e", ""} {
			header := servertest.Header("User-Agent", agent)
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "wrong"}, header).
				Want(t, 401)
			in := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": pw}, header).
				Want(t, 200)
			s.Do(t, "GET", "/v1/auth/sessions", nil, servertest.Bearer(in.String("accessToken"))).Want(t, 200)
		}
		var list struct{ Data []struct{ Act string } }
		s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, as).Want(t, 200).Into(t, &list)
		if len(list.Data) < 8 {
			t.Errorf("only %d events", len(list.Data))
		}
		for name, r := range map[string]servertest.Response{
			"NUL in an address": s.Do(t, "POST", "/v1/auth/login",
				`{"email":"a\u0000@b.example","password":"x"}`),
			"NUL in a fingerprint": s.Do(t, "POST", "/v1/auth/login",
				`{"email":"a@b.example","password":"x","deviceFingerprint":"\u0000"}`),
			"bytes in a fingerprint": s.Do(t, "POST", "/v1/auth/login", `{"email":"a@b.example","password":"x"}`,
				servertest.Header("X-Device-Fingerprint", "\xff")),
			"NUL in a role": s.Do(t, "POST", "/v1/users", `{"email":"a@b.example","role":"\u0000"}`, as),
			"NUL in a description": s.Do(t, "POST", "/v1/roles",
				`{"name":"nul","description":"\u0000","permissions":[]}`, as),
			"NUL in a name":           s.Do(t, "PATCH", "/v1/organization", `{"name":"\u0000"}`, as),
			"NUL in a filter":         s.Do(t, "GET", "/v1/users?email=%00", nil, as),
			"NUL in another":          s.Do(t, "GET", "/v1/audit-events?actor=%00", nil, as),
			"bytes in a filter":       s.Do(t, "GET", "/v1/tickets?assigneeId=%ff", nil, as),
			"a broken percent escape": s.Do(t, "GET", "/v1/users?email=%zz", nil, as),
		} {
			if r.Status != 400 || r.Code() != "VALIDATION_ERROR" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/teams", `{"name":"a backslash \\u0000 is text"}`, as).Want(t, 201)
		s.Do(t, "GET", "/%ff", nil).Want(t, 404, "NOT_FOUND")
	})
}

// G2, G7: a node that could not read a change of the keys trusts no key until it can, and then the new set.
func TestG7_KeysThatCannotBeRead(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		if err := s.Keys.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		tokens := s.Login(t, servertest.Agent)
		header, _ := decodeToken(t, tokens.AccessToken)
		other.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken)).Want(t, 200)
		rename := func(from, to string) {
			t.Helper()
			err := s.DB.PlatformTx(t.Context(), "break a table in a test", func(tx *sqldb.Tx) error {
				if s.DB.Engine() == sqldb.Postgres {
					if _, err := tx.Exec(t.Context(), `RESET ROLE`); err != nil {
						return err
					}
				}
				tx.Announce("keys||") // as the revocation will; the other node looks, and finds nothing to read
				_, err := tx.Exec(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		rename("signing_keys", "signing_keys_gone")
		eventually(t, "the node trusts no key it cannot read", func() bool {
			r, err := other.Try("GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken))
			return err == nil && r.Status == 503
		})
		rename("signing_keys_gone", "signing_keys")
		p := principal.NewSystem("test", id.Organization(s.Organization("platform")))
		if err := s.Keys.Revoke(t.Context(), p, id.SigningKey(header["kid"].(string))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the node knows of the revocation", func() bool {
			r, err := other.Try("GET", "/v1/auth/me", nil, servertest.Bearer(tokens.AccessToken))
			return err == nil && r.Status == 401
		})
	})
}

// WEB05: nothing here redirects, wherever a request would like to be sent.
func TestWEB05_NoRedirects(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		for _, target := range []string{"//evil.example", "/\\evil.example", "https://evil.example",
			"/%09/evil.example", "/v1/users@evil.example"} {
			for _, path := range []string{"/v1/auth/me?return_to=" + target, "/set-password?next=" + target, target} {
				if !strings.HasPrefix(path, "/") {
					continue
				}
				r, err := s.Try("GET", path, nil, as)
				if err == nil && (r.Status/100 == 3 || r.Header.Get("Location") != "") {
					t.Errorf("%s: %d to %q", path, r.Status, r.Header.Get("Location"))
				}
			}
		}
	})
}

// A55: a link that has expired can be made again; the former one stops working; nobody makes one for who holds more.
func TestA55_PasswordLink(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := s.Do(t, "POST", "/v1/users", map[string]any{"email": "late@acme-corp.example", "role": "end_user"},
			s.As(t, servertest.Admin)).Want(t, 201)
		s.Clock.Advance(8 * 24 * time.Hour)
		as := s.As(t, servertest.Admin)
		set := func(link string) servertest.Response {
			_, token, _ := strings.Cut(link, "#token=")
			return s.Do(t, "POST", "/v1/auth/password/set",
				map[string]any{"token": token, "password": "better late than never"})
		}
		set(u.String("setPasswordUrl")).Want(t, 401)
		first := s.Do(t, "POST", "/v1/users/"+u.String("id")+"/password-link", nil, as).Want(t, 200).
			String("setPasswordUrl")
		second := s.Do(t, "POST", "/v1/users/"+u.String("id")+"/password-link", nil, as).Want(t, 200).
			String("setPasswordUrl")
		set(first).Want(t, 401)
		set(second).Want(t, 200)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "helper", "permissions": []string{"users:update:all"}}, as).
			Want(t, 201)
		_, helper := newUser(t, s, "helper@acme-corp.example", "helper")
		s.Do(t, "POST", "/v1/users/"+s.UserID(t, servertest.Admin)+"/password-link", nil,
			servertest.Bearer(helper.AccessToken)).Want(t, 403)
	})
}

// ATK59: a link made for a weak user gives nothing of what the user was promoted to since, and an invitation is never
// raised.
func TestATK59_LinksDoNotGrow(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		u := s.Do(t, "POST", "/v1/users", map[string]any{"email": "climber@acme-corp.example", "role": "end_user"}, as).
			Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+u.String("id"), map[string]any{"role": "tenant_admin"}, as).Want(t, 200)
		_, token, _ := strings.Cut(u.String("setPasswordUrl"), "#token=")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": token,
			"password": "a sentence of somebody else"}).Want(t, 401)
		inv := s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "invited@acme-corp.example",
			"role": "service_desk_agent"}, as).Want(t, 201).String("id")
		s.Do(t, "PATCH", "/v1/invitations/"+inv, map[string]any{"role": "tenant_admin"}, as).Want(t, 409)
		s.Do(t, "PATCH", "/v1/invitations/"+inv, map[string]any{"role": "end_user"}, as).Want(t, 200)
		strong := s.Do(t, "POST", "/v1/invitations",
			map[string]any{"email": "strong@acme-corp.example", "role": "tenant_admin"}, as).Want(t, 201).String("id")
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "inviter",
			"permissions": []string{"invitations:manage:all", "tickets:create:own", "tickets:read:own"}}, as).
			Want(t, 201)
		_, weak := newUser(t, s, "inviter@acme-corp.example", "inviter")
		s.Do(t, "PATCH", "/v1/invitations/"+strong, map[string]any{"role": "end_user"},
			servertest.Bearer(weak.AccessToken)).Want(t, 403)
	})
}
