package doors

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/domain/organization"
	"gatehouse/internal/domain/user"
	"gatehouse/internal/platform/config"
	"gatehouse/internal/server"
	"gatehouse/test/servertest"
	"gatehouse/test/sqldbtest"
)

// passwordDoors are all doors that take a password, each with how it says that the password is wrong.
var passwordDoors = []struct {
	name  string
	try   func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response
	wrong refusal
}{
	{"v1", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("POST", "/v1/auth/login", map[string]any{"email": name, "password": password, "organization": "acme-corp"}, changes...)
		return r
	}, refusal{401, "code", "INVALID_CREDENTIALS"}},
	{"itempath", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("POST", "/api/users/login", map[string]any{"username": name, "password": password}, changes...)
		return r
	}, refusal{401, "msg", "Bad username or password"}},
	{"easyvista", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("GET", "/api/v1/acme-corp/requests", nil, append([]servertest.Change{servertest.Password(name, password)}, changes...)...)
		return r
	}, refusal{401, "error_code", "INVALID_CREDENTIALS"}},
}

// A5, A27, B2, C7, ATK44, ATK46: one counter for an account over all doors and all of its names, however spelled; it locks at every door, with
// Retry-After, and an unknown name locks just so. A success at one door forgives at all.
func TestATK44_OneCounterForAllDoors(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		spell := func(name string, i int) string {
			return []string{name, strings.ToUpper(name), name + "@acme-corp.example", " " + name + " ", "ａ" + name[1:], strings.ToUpper(name) + "@Acme-Corp.example"}[i]
		}
		for d, door := range passwordDoors {
			name := []string{"agent", "admin", "a-nobody"}[d]
			for i := range 5 {
				via := passwordDoors[(d+i)%len(passwordDoors)]
				spelled := spell(name, i)
				if name == "a-nobody" {
					spelled = []string{"a-nobody", "A-nobody", "A-NOBODY ", " a-nobody", "ａ-nobody"}[i] // an unknown name has no other
				}
				if r := via.try(s, spelled, "wrong"); !via.wrong.matches(r) {
					t.Fatalf("%s as %q via %s, failure %d: %d %s", name, spelled, via.name, i+1, r.Status, r.Body)
				}
			}
			for _, via := range passwordDoors {
				for _, password := range []string{"wrong", server.DemoPassword} {
					r := via.try(s, name, password)
					wait, _ := strconv.Atoi(r.Header.Get("Retry-After"))
					if r.Status != 429 || wait < 50 || wait > 60 {
						t.Errorf("%s locked via %s, asked at %s: %d, Retry-After %d, %s", name, door.name, via.name, r.Status, wait, r.Body)
					}
				}
			}
		}
		// What is forgiven at one door is forgiven at all.
		for range 4 {
			passwordDoors[1].try(s, "manager", "wrong")
		}
		if r := passwordDoors[2].try(s, "manager@acme-corp.example", server.DemoPassword); r.Status != 200 {
			t.Fatalf("the right password: %d %s", r.Status, r.Body)
		}
		for i := range 4 {
			if r := passwordDoors[0].try(s, "manager", "wrong"); r.Status != 401 {
				t.Errorf("failure %d after a success: %d", i+1, r.Status)
			}
		}
		if r := passwordDoors[0].try(s, servertest.Manager, server.DemoPassword); r.Status != 200 {
			t.Errorf("after four failures: %d", r.Status)
		}
	})
}

// ATK47: five hundred guesses at once, over all doors and names: no more than five are looked at.
func TestATK47_ParallelOverAllDoors(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.Hasher.Done()
		counts := make(map[int]int)
		var mu sync.Mutex
		var wg sync.WaitGroup
		gate := make(chan struct{}, 64)
		for i := range 500 {
			wg.Go(func() {
				gate <- struct{}{}
				name := []string{"agent", "AGENT", "agent@acme-corp.example", " Agent@acme-corp.example"}[i%4]
				r := passwordDoors[i%3].try(s, name, fmt.Sprintf("guess %d", i))
				<-gate
				mu.Lock()
				counts[r.Status]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if hashes := s.Hasher.Done() - before; hashes > 5 || counts[401] > 5 || counts[401]+counts[429] != 500 {
			t.Errorf("%d hashes, answers %v: want at most 5 looked at and the rest 429", hashes, counts)
		}
	})
}

// ATK48: what a lock is not for: it stops guessing and nothing else. Sessions, their refresh tokens and all machines' credentials of a locked account go on.
func TestATK48_LockedAccountGoesOn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people := s.ItemPath(t, "integration")
		for range 6 {
			passwordDoors[1].try(s, "integration", "wrong")
			passwordDoors[1].try(s, "manager", "wrong")
		}
		if r := passwordDoors[2].try(s, "integration", server.DemoPassword); r.Status != 429 {
			t.Fatalf("not locked: %d", r.Status)
		}
		s.Do(t, "GET", "/api/users/refresh", nil, servertest.Bearer(people.RefreshToken)).Want(t, 200)
		s.Do(t, "GET", "/api/users/application-tokens", nil, servertest.Bearer(people.AccessToken)).Want(t, 200)
		s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(people.RefreshToken)).Want(t, 200)
		s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Bearer(s.Seeds.AccessTokens[0].Token)).Want(t, 200) // the manager's, who is locked too
	})
}

// ATK49: counters are rows: no flood of names at any door pushes one out, and a new start forgets none.
func TestATK49_CountersStay(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		many := func(c *config.Config, o *server.Options) { o.Limits.AddressFailures = 1 << 30 }
		s := servertest.New(t, address, many)
		for range 5 {
			passwordDoors[1].try(s, "agent", "wrong")
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 50 {
					passwordDoors[n%3].try(s, fmt.Sprintf("flood-%d-%d", i, n), "wrong")
				}
			})
		}
		wg.Wait()
		for name, node := range map[string]*servertest.Server{"after a flood": s, "after a restart": servertest.Join(t, address, many)} {
			for _, door := range passwordDoors {
				if r := door.try(node, "agent", server.DemoPassword); r.Status != 429 {
					t.Errorf("%s, %s: %d", name, door.name, r.Status)
				}
			}
		}
		s.Clock.Advance(61 * time.Second)
		if r := passwordDoors[1].try(s, "agent", server.DemoPassword); r.Status != 200 {
			t.Errorf("when the lock has passed: %d %s", r.Status, r.Body)
		}
	})
}

// A27: no door that has no second step lets in an account that has or needs one: the same answer as for a wrong password, counted as one, with the same
// work, and audited as mfa_required. Only an application that somebody exempted passes, and that is audited too.
func TestA27_DoorsWithoutASecondStep(t *testing.T) {
	var mu sync.Mutex
	needs := map[string]bool{}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		integration := s.Do(t, "GET", "/v1/users?email=integration@acme-corp.example", nil, admin).Want(t, 200)
		var l struct{ Data []struct{ ID string } }
		integration.Into(t, &l)
		set := func(username string, on bool) {
			mu.Lock()
			defer mu.Unlock()
			needs[s.Organization("acme-corp")+username] = on
		}
		open := servertest.Bearer(s.ItemPath(t, "agent").RefreshToken)
		set("agent", true)
		set("integration", true)
		for _, door := range passwordDoors {
			for _, username := range []string{"agent", "integration"} {
				hashes := s.Hasher.Done()
				right := door.try(s, username, server.DemoPassword)
				hashes = s.Hasher.Done() - hashes
				if !door.wrong.matches(right) || hashes != 1 {
					t.Errorf("%s at %s: %d %s, %d hashes", username, door.name, right.Status, right.Body, hashes)
				}
				if wrong := door.try(s, "nobody-"+door.name+username, "wrong"); string(wrong.Body) == "" || wrong.Status != right.Status || len(wrong.Header) != len(right.Header) {
					t.Errorf("%s tells: %d %v, a wrong password %d %v", door.name, right.Status, right.Header, wrong.Status, wrong.Header)
				}
			}
		}
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, admin).Want(t, 200).Body)
		for _, door := range passwordDoors {
			if n := strings.Count(events, `"door":"`+door.name+`"`); n < 2 {
				t.Errorf("%d events of %s", n, door.name)
			}
		}
		if n := strings.Count(events, `"reason":"mfa_required"`); n != 6 {
			t.Errorf("%d events say mfa_required, want 6", n)
		}
		// Counted as a wrong one: three tries above, two more and the account is locked.
		for range 2 {
			passwordDoors[1].try(s, "agent", server.DemoPassword)
		}
		if r := passwordDoors[1].try(s, "agent", server.DemoPassword); r.Status != 429 {
			t.Errorf("the sixth try with the right password: %d", r.Status)
		}
		s.Do(t, "GET", "/api/users/refresh", nil, open).Want(t, 200) // a session that was begun before goes on

		exempt := func(id string, on bool) servertest.Response {
			return s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"mfaExempt": on}, admin)
		}
		if r := exempt(s.UserID(t, servertest.Manager), true); r.Status != 400 {
			t.Errorf("a person was exempted: %d %s", r.Status, r.Body)
		}
		key := s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:manage:all", "reports:read:all", "sla_policies:manage:all")
		if r := s.Do(t, "PATCH", "/v1/users/"+l.Data[0].ID, map[string]any{"mfaExempt": true}, key.Send()); r.Status != 403 {
			t.Errorf("a machine exempted one: %d %s", r.Status, r.Body)
		}
		exempt(l.Data[0].ID, true).Want(t, 200)
		for _, door := range passwordDoors {
			if r := door.try(s, "integration", server.DemoPassword); r.Status != 200 {
				t.Errorf("exempted at %s: %d %s", door.name, r.Status, r.Body)
			}
		}
		if events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, admin).Want(t, 200).Body); !strings.Contains(events, `"mfaExempt":"false -\u003e true"`) && !strings.Contains(events, `"mfaExempt":"false -> true"`) {
			t.Error("the exemption is not in the audit log")
		}
		// Who is no application any more is exempt no more, and stays so.
		for _, kind := range []string{"person", "application"} {
			s.Do(t, "PATCH", "/v1/users/"+l.Data[0].ID, map[string]any{"type": kind}, admin).Want(t, 200)
			if r := passwordDoors[1].try(s, "integration", server.DemoPassword); r.Status != 401 {
				t.Errorf("as %s: %d %s", kind, r.Status, r.Body)
			}
		}
	}, func(c *config.Config, o *server.Options) {
		o.SecondStep = func(_ context.Context, _ organization.Organization, u user.User) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return needs[string(u.Organization)+u.Username], nil
		}
	})
}

// A5, B2, C7: a disabled user, a suspended organization and an unknown account are a wrong password, after the same one hash.
func TestA5_SameAnswerAtEveryDoor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.PersonWithPassword(t, admin, "leaver", "end_user")
		id := s.Do(t, "GET", "/v1/users?email=leaver@acme-corp.example", nil, admin).Want(t, 200)
		var l struct{ Data []struct{ ID string } }
		id.Into(t, &l)
		s.Do(t, "PATCH", "/v1/users/"+l.Data[0].ID, map[string]any{"state": "disabled"}, admin).Want(t, 200)
		check := func(what string, try func() servertest.Response, wrong refusal) {
			t.Helper()
			before := s.Hasher.Done()
			r := try()
			if n := s.Hasher.Done() - before; !wrong.matches(r) || n != 1 {
				t.Errorf("%s: %d %s, %d hashes", what, r.Status, r.Body, n)
			}
		}
		for _, door := range passwordDoors {
			check("disabled at "+door.name, func() servertest.Response { return door.try(s, "leaver", servertest.TestPassword) }, door.wrong)
			check("unknown at "+door.name, func() servertest.Response { return door.try(s, "nobody", servertest.TestPassword) }, door.wrong)
		}
		item, easy := passwordDoors[1], passwordDoors[2]
		check("unknown tenant at itempath", func() servertest.Response {
			return item.try(s, "manager", server.DemoPassword, servertest.Header("X-Tenant-Slug", "nowhere"))
		}, item.wrong)
		check("unknown account", func() servertest.Response {
			return s.Do(t, "GET", "/api/v1/nowhere/requests", nil, servertest.Demo("manager"))
		}, easy.wrong)
		check("another's account", func() servertest.Response {
			return s.Do(t, "GET", "/api/v1/second-tenant/requests", nil, servertest.Demo(servertest.Manager))
		}, easy.wrong)
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), map[string]any{"state": "suspended"}, s.As(t, servertest.Operator)).Want(t, 200)
		for _, door := range passwordDoors {
			check("suspended at "+door.name, func() servertest.Response { return door.try(s, "manager", server.DemoPassword) }, door.wrong)
		}
	})
}
