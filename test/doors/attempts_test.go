package doors

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// passwordDoors are all doors that take a password, each with how it says that the password is wrong.
var passwordDoors = []struct {
	name  string
	try   func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response
	wrong refusal
}{
	{"v1", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("POST", "/v1/auth/login", map[string]any{"email": name, "password": password,
			"organization": "acme-corp"}, changes...)
		return r
	}, refusal{401, "code", "INVALID_CREDENTIALS"}},
	{"itempath", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("POST", "/api/users/login", map[string]any{"username": name, "password": password}, changes...)
		return r
	}, refusal{401, "msg", "Bad username or password"}},
	{"easyvista", func(s *servertest.Server, name, password string, changes ...servertest.Change) servertest.Response {
		r, _ := s.Try("GET", "/api/v1/acme-corp/requests", nil,
			append([]servertest.Change{servertest.Password(name, password)}, changes...)...)
		return r
	}, refusal{401, "error_code", "INVALID_CREDENTIALS"}},
}

// A5, A27, B2, C7, ATK44, ATK46: an account has five guesses over all doors and all of its names, however spelled; then
// it is locked at every door, by each of its names, and the right password does not help. A name that was tried five
// times says so with Retry-After, and an unknown one just so.
func TestATK44_FiveGuessesAtAllDoors(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		spell := func(name string, i int) string {
			return []string{name, strings.ToUpper(name), " " + name + " ", "ａ" + name[1:],
				strings.ToUpper(name[:1]) + name[1:]}[i]
		}
		for d, name := range []string{"agent", "a-nobody", "admin@acme-corp.example"} {
			// a user name, one that nobody has, an address
			for i := range 5 {
				via := passwordDoors[(d+i)%len(passwordDoors)]
				if r := via.try(s, spell(name, i), "wrong"); !via.wrong.matches(r) {
					t.Fatalf("%s as %q via %s, failure %d: %d %s", name, spell(name, i), via.name, i+1, r.Status,
						r.Body)
				}
			}
			for _, via := range passwordDoors {
				for _, password := range []string{"wrong", demo.Password} {
					r := via.try(s, name, password)
					wait, _ := strconv.Atoi(r.Header.Get("Retry-After"))
					if r.Status != 429 || wait < 50 || wait > 60 {
						t.Errorf("%s asked at %s: %d, Retry-After %d, %s", name, via.name, r.Status, wait, r.Body)
					}
				}
			}
		}
		// By its other name the account is locked too, and says no more than that the password is wrong.
		for _, other := range []string{"agent@acme-corp.example", "admin"} {
			for _, via := range passwordDoors {
				if r := via.try(s, other, demo.Password); !via.wrong.matches(r) {
					t.Errorf("%s at %s with the right password: %d %s", other, via.name, r.Status, r.Body)
				}
			}
		}
		// Guesses by turns of both names are counted together.
		for i := range 5 {
			passwordDoors[i%3].try(s, []string{"enduser", "enduser@acme-corp.example"}[i%2], "wrong")
		}
		for _, via := range passwordDoors {
			for _, name := range []string{"enduser", servertest.EndUser} {
				if r := via.try(s, name, demo.Password); r.Status == 200 {
					t.Errorf("%s at %s after five guesses: %d", name, via.name, r.Status)
				}
			}
		}
		s.Clock.Advance(61 * time.Second)
		if r := passwordDoors[1].try(s, "agent", demo.Password); r.Status != 200 {
			t.Errorf("after the lock: %d %s", r.Status, r.Body)
		}
		// A sign-in forgives; a password with each request does not: a program that calls all day would forgive what
		// somebody else guesses.
		for i := range 4 {
			passwordDoors[0].try(s, "manager", "wrong")
			if r := passwordDoors[2].try(s, "manager", demo.Password); r.Status != 200 {
				t.Fatalf("between guesses: %d %s", r.Status, r.Body)
			}
			if i == 1 {
				passwordDoors[1].try(s, "manager", demo.Password).Want(t, 200)
			}
		}
		for i, want := range []int{401, 401, 401, 429} {
			if r := passwordDoors[0].try(s, "manager", "wrong"); r.Status != want {
				t.Errorf("guess %d after two that were not forgiven: %d, want %d", i+1, r.Status, want)
			}
		}
	})
}

// ATK46, ATK55: whether there is such a user, or such a tenant, is not to be had from the counters: five wrong tries at
// a name in one tenant, then one in another, in one that does not exist and by another name, for a name that there is
// and for one that there is not.
func TestATK55_CountersTellNothing(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		at := func(slug, name string) string {
			r := s.Do(t, "POST", "/api/users/login", map[string]any{"username": name, "password": "wrong"},
				servertest.Header("X-Tenant-Slug", slug))
			b := s.Do(t, "GET", "/api/v1/"+slug+"/requests", nil, servertest.Password(name, "wrong"))
			return fmt.Sprint(r.Status, r.String("msg"), b.Status, b.String("error_code"))
		}
		probe := func(name string) (seen []string) {
			for range 5 {
				passwordDoors[1].try(s, name, "wrong")
			}
			for _, slug := range []string{"acme-corp", "second-tenant", "nowhere", "nowhere-else"} {
				seen = append(seen, at(slug, name))
			}
			return append(seen, at("acme-corp", name+"@acme-corp.example"), at("acme-corp", "other-"+name))
		}
		there, not := probe("agent"), probe("nobody")
		if fmt.Sprint(there) != fmt.Sprint(not) {
			t.Errorf("a user that there is:\n%q\none that there is not:\n%q", there, not)
		}
		// Tries at a user name in one tenant lock nobody of that name in another (ATK49).
		if r := s.Do(t, "POST", "/api/users/login",
			map[string]any{"username": "agent", "password": demo.Password},
			servertest.Header("X-Tenant-Slug", "second-tenant")); r.Status != 200 {
			t.Errorf("the other tenant's agent: %d %s", r.Status, r.Body)
		}
	})
}

// ATK47: five hundred guesses at once, over all doors and names: no more than five a name get an answer other than 429,
// and no more than five of the account are looked at, so that the right password after them is none.
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
				// two names
				name := []string{"agent", "AGENT", "agent@acme-corp.example", " Agent@acme-corp.example"}[i%4]
				r := passwordDoors[i%3].try(s, name, fmt.Sprintf("guess %d", i))
				<-gate
				mu.Lock()
				counts[r.Status]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if hashes := s.Hasher.Done() - before; hashes > 10 || counts[401] > 10 ||
			counts[401]+counts[429]+counts[503] != 500 {
			// 503: too many wait for the one name
			t.Errorf("%d hashes, answers %v: want at most 10 looked at and the rest 429 or 503", hashes, counts)
		}
		for _, name := range []string{"agent", servertest.Agent} {
			if r := passwordDoors[1].try(s, name, demo.Password); r.Status == 200 {
				t.Errorf("the right password after them, as %s: %d", name, r.Status)
			}
		}
	})
}

// ATK48: what a lock is not for: it stops guessing and nothing else. Sessions, their refresh tokens and all machines'
// credentials of a locked account go on.
func TestATK48_LockedAccountGoesOn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people := s.ItemPath(t, "integration")
		for range 6 {
			passwordDoors[1].try(s, "integration", "wrong")
			passwordDoors[1].try(s, "manager", "wrong")
		}
		if r := passwordDoors[2].try(s, "integration", demo.Password); r.Status != 429 {
			t.Fatalf("not locked: %d", r.Status)
		}
		s.Do(t, "GET", "/api/users/refresh", nil, servertest.Bearer(people.RefreshToken)).Want(t, 200)
		s.Do(t, "GET", "/api/users/application-tokens", nil, servertest.Bearer(people.AccessToken)).Want(t, 200)
		s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(people.RefreshToken)).Want(t, 200)
		// the manager's, who is locked too
		s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, servertest.Bearer(s.Seeds.AccessTokens[0].Token)).Want(t, 200)
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
		for name, node := range map[string]*servertest.Server{"after a flood": s,
			"after a restart": servertest.Join(t, address, many)} {
			for _, door := range passwordDoors {
				if r := door.try(node, "agent", demo.Password); r.Status != 429 {
					t.Errorf("%s, %s: %d", name, door.name, r.Status)
				}
			}
		}
		s.Clock.Advance(61 * time.Second)
		if r := passwordDoors[1].try(s, "agent", demo.Password); r.Status != 200 {
			t.Errorf("when the lock has passed: %d %s", r.Status, r.Body)
		}
	})
}

var requestID = regexp.MustCompile(`req_[0-9A-HJKMNP-TV-Z]{26}`)

// plain is what a client sees of an answer, without what differs from one to the next.
func plain(r servertest.Response) string {
	h := r.Header.Clone()
	h.Del("Date")
	return requestID.ReplaceAllString(fmt.Sprint(r.Status, h, string(r.Body)), "")
}

// A27: no door that has no second step lets in an account that has or needs one: the same answer as for a wrong
// password, counted as one, with the same work, and audited as mfa_required. Only an application that somebody exempted
// passes, and that is audited too.
func TestA27_DoorsWithoutASecondStep(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		user := func(username string) string {
			var l struct{ Data []struct{ ID string } }
			s.Do(t, "GET", "/v1/users?email="+username+"@acme-corp.example", nil, admin).Want(t, 200).Into(t, &l)
			return l.Data[0].ID
		}
		integration := user("integration")
		before := map[string]servertest.Change{}
		for _, username := range []string{"agent", "integration"} {
			before[username] = servertest.Bearer(s.ItemPath(t, username).RefreshToken)
			s.Do(t, "GET", "/api/users/refresh", nil, before[username]).Want(t, 200)
		}
		// has one
		s.EnrollApp(t, s.As(t, servertest.Agent))
		// needs one
		s.Do(t, "PATCH", "/v1/users/"+integration+"/mfa", map[string]any{"required": true}, s.As(t, servertest.Admin)).
			Want(t, 200)
		events := func() string {
			return string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, s.As(t, servertest.Admin)).
				Want(t, 200).Body)
		}
		for _, door := range passwordDoors[1:] {
			for _, username := range []string{"agent", "integration"} {
				hashes := s.Hasher.Done()
				right := door.try(s, username, demo.Password)
				hashes = s.Hasher.Done() - hashes
				if !door.wrong.matches(right) || hashes != 1 {
					t.Errorf("%s at %s: %d %s, %d hashes", username, door.name, right.Status, right.Body, hashes)
				}
				wrong := door.try(s, "nobody-"+door.name+username, "wrong")
				if plain(right) != plain(wrong) {
					t.Errorf("%s tells:\n%s\na wrong password:\n%s", door.name, plain(right), plain(wrong))
				}
			}
		}
		for _, username := range []string{"agent", "integration"} { // the door that has one
			r := passwordDoors[0].try(s, username, demo.Password)
			if r.Status != 202 || r.Get("mfaRequired") != true ||
				(r.Get("enrollmentRequired") == true) != (username == "integration") {
				t.Errorf("%s at /v1: %d %s", username, r.Status, r.Body)
			}
		}
		if n := strings.Count(events(), `"reason":"mfa_required"`); n != 4 {
			t.Errorf("%d events say mfa_required, want 4", n)
		}
		// Counted as a wrong one: two tries above, three more and the account is locked, also where a second step would
		// follow.
		for range 3 {
			passwordDoors[1].try(s, "agent", demo.Password)
		}
		if r := passwordDoors[1].try(s, "agent", demo.Password); r.Status != 429 {
			t.Errorf("the sixth try with the right password: %d", r.Status)
		}
		if r := passwordDoors[0].try(s, "agent", demo.Password); r.Status != 429 {
			t.Errorf("the main door of a locked account: %d %s", r.Status, r.Body)
		}
		for username, session := range before { // begun when the password was enough
			if r := s.Do(t, "GET", "/api/users/refresh", nil, session); r.Status != 401 {
				t.Errorf("a session of %s goes on: %d %s", username, r.Status, r.Body)
			}
		}

		admin = s.As(t, servertest.Admin)
		exempt := func(id string, on bool) servertest.Response {
			return s.Do(t, "PATCH", "/v1/users/"+id, map[string]any{"mfaExempt": on}, admin)
		}
		if r := exempt(s.UserID(t, servertest.Manager), true); r.Status != 400 {
			t.Errorf("a person was exempted: %d %s", r.Status, r.Body)
		}
		key := s.Key(t, admin, s.Organization("acme-corp"), "users:manage:all", "tickets:manage:all",
			"reports:read:all", "sla_policies:manage:all")
		if r := s.Do(t, "PATCH", "/v1/users/"+integration, map[string]any{"mfaExempt": true},
			key.Send()); r.Status != 403 {
			t.Errorf("a machine exempted one: %d %s", r.Status, r.Body)
		}
		for name, body := range map[string]map[string]any{"oneself": {"mfaExempt": true},
			"oneself, as an application":  {"type": "application", "mfaExempt": true},
			"oneself into an application": {"type": "application"}} {
			if r := s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Admin), body, admin); r.Status != 403 {
				t.Errorf("exempting %s: %d %s", name, r.Status, r.Body)
			}
		}
		if r := s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Manager),
			map[string]any{"type": "application", "mfaExempt": true}, admin); r.Status != 400 {
			t.Errorf("a person made an application and exempted at once: %d %s", r.Status, r.Body)
		}
		if r := s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Manager), map[string]any{"type": "application"},
			key.Send()); r.Status != 403 {
			t.Errorf("a machine made a person an application: %d %s", r.Status, r.Body)
		}
		exempt(integration, true).Want(t, 200)
		for _, door := range passwordDoors {
			if r := door.try(s, "integration", demo.Password); r.Status != 200 {
				t.Errorf("exempted at %s: %d %s", door.name, r.Status, r.Body)
			}
		}
		if e := events(); !strings.Contains(e, `"mfaExempt":"false -\u003e true"`) &&
			!strings.Contains(e, `"mfaExempt":"false -> true"`) {
			t.Error("the exemption is not in the audit log")
		}
		// Who is no application any more is exempt no more, and stays so.
		for _, kind := range []string{"person", "application"} {
			s.Do(t, "PATCH", "/v1/users/"+integration, map[string]any{"type": kind}, admin).Want(t, 200)
			if r := passwordDoors[1].try(s, "integration", demo.Password); r.Status != 401 {
				t.Errorf("as %s: %d %s", kind, r.Status, r.Body)
			}
		}
	})
}

// A5, B2, C7: a disabled user, a suspended organization and an unknown account are a wrong password, after the same one
// hash.
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
			check("disabled at "+door.name, func() servertest.Response {
				return door.try(s, "leaver", servertest.TestPassword)
			}, door.wrong)
			check("unknown at "+door.name, func() servertest.Response {
				return door.try(s, "nobody", servertest.TestPassword)
			}, door.wrong)
		}
		item, easy := passwordDoors[1], passwordDoors[2]
		check("unknown tenant at itempath", func() servertest.Response {
			return item.try(s, "manager", demo.Password, servertest.Header("X-Tenant-Slug", "nowhere"))
		}, item.wrong)
		check("unknown account", func() servertest.Response {
			return s.Do(t, "GET", "/api/v1/nowhere/requests", nil, servertest.Demo("manager"))
		}, easy.wrong)
		check("another's account", func() servertest.Response {
			return s.Do(t, "GET", "/api/v1/second-tenant/requests", nil, servertest.Demo(servertest.Manager))
		}, easy.wrong)
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), map[string]any{"state": "suspended"},
			s.As(t, servertest.Operator)).Want(t, 200)
		for _, door := range passwordDoors {
			check("suspended at "+door.name, func() servertest.Response {
				return door.try(s, "manager", demo.Password)
			}, door.wrong)
		}
	})
}
