package api_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func try(s *servertest.Server, email, password string, changes ...servertest.Change) servertest.Response {
	r, _ := s.Try("POST", "/v1/auth/login", map[string]any{"email": email, "password": password}, changes...)
	return r
}

// A5, ATK44, ATK46: five failures lock an account, whatever the spelling, tenant hint or session; an unknown name locks
// exactly as a known one; the right password does not help while locked; the lock outlives a restart and grows.
func TestATK46_Lockout(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		spellings := func(local, domain string) []string {
			return []string{local + "@" + domain, strings.ToUpper(local) + "@" + domain,
				"  " + local + "@" + domain + " ", local + "@" + strings.ToUpper(domain), local + "＠" + domain}
		}
		for _, who := range []string{"agent", "nobody"} {
			for i, name := range spellings(who, "acme-corp.example") {
				hint := []servertest.Change{}
				if i%2 == 1 {
					hint = append(hint, tenant([]string{"acme-corp", "second-tenant"}[i/2%2]))
				}
				if r := try(s, name, "wrong", hint...); r.Status != 401 {
					t.Fatalf("%s, failure %d: %d %s", who, i+1, r.Status, r.Body)
				}
			}
			for _, pass := range []string{"wrong", pw} {
				r := try(s, who+"@acme-corp.example", pass)
				wait, _ := strconv.Atoi(r.Header.Get("Retry-After"))
				if r.Status != 429 || r.Code() != "ACCOUNT_LOCKED" || wait < 50 || wait > 60 {
					t.Errorf("%s locked: %d %s, Retry-After %d", who, r.Status, r.Body, wait)
				}
			}
		}
		restarted := servertest.Join(t, address)
		if r := try(restarted, servertest.Agent, pw); r.Status != 429 {
			t.Errorf("ATK49: after a restart: %d", r.Status)
		}
		s.Clock.Advance(61 * time.Second)
		if r := try(s, servertest.Agent, "wrong"); r.Status != 401 {
			t.Errorf("after the lock: %d", r.Status)
		}
		r := try(s, servertest.Agent, pw)
		if wait, _ := strconv.Atoi(r.Header.Get("Retry-After")); r.Status != 429 || wait < 110 || wait > 120 {
			t.Errorf("the second lock: %d, Retry-After %d, want twice as long", r.Status, wait)
		}
		s.Clock.Advance(121 * time.Second)
		if r := try(s, servertest.Agent, pw); r.Status != 200 {
			t.Errorf("the right password after the lock: %d", r.Status)
		}
		for i := range 4 {
			if r := try(s, servertest.Agent, "wrong"); r.Status != 401 {
				t.Errorf("failure %d after a success: %d", i+1, r.Status)
			}
		}
		if r := try(s, servertest.Agent, pw); r.Status != 200 {
			t.Errorf("a success did not clear the count: %d", r.Status)
		}
		// A locked account's sessions go on: the lock is for guessing (ATK48).
		tokens := s.Login(t, servertest.Manager)
		for range 6 {
			try(s, servertest.Manager, "wrong")
		}
		s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 200)
	})
}

// ATK47: of five hundred simultaneous guesses no more than five are looked at.
func TestATK47_ParallelGuesses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const n = 500
		counts := make(map[int]int)
		var mu sync.Mutex
		var wg sync.WaitGroup
		gate := make(chan struct{}, 64)
		for i := range n {
			wg.Go(func() {
				gate <- struct{}{}
				r := try(s, servertest.Agent, fmt.Sprintf("guess %d", i))
				<-gate
				mu.Lock()
				counts[r.Status]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if counts[401] > 5 || counts[401]+counts[429]+counts[503] != n { // 503: too many wait for the one name
			t.Errorf("answers %v: want at most 5 × 401 and the rest 429 or 503", counts)
		}
	})
}

// A5, G8: many names from one address lock the address; another address is not concerned; IPv6 counts by /64.
func TestA5_AddressLock(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		from := func(ip string) servertest.Change { return servertest.Header("X-Forwarded-For", ip) }
		for i := range 10 {
			if r := try(s, fmt.Sprintf("nobody%d@acme-corp.example", i), "wrong",
				from(fmt.Sprintf("2001:db8::%d", i))); r.Status != 401 {
				t.Fatalf("failure %d: %d", i, r.Status)
			}
		}
		r := try(s, servertest.Agent, pw, from("2001:db8::ffff"))
		if r.Status != 429 || r.Code() != "RATE_LIMIT_EXCEEDED" || r.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if r := try(s, servertest.Agent, pw, from("2001:db8:0:1::1")); r.Status != 200 {
			t.Errorf("another network: %d", r.Status)
		}
	}, func(c *config.Config, o *server.Options) {
		o.Limits = attempt.DefaultLimits
		o.Limits.AddressFailures = 10
		c.TrustedProxies = []string{"127.0.0.1"}
	})
}

// WEB07, A5: who is told by a proxy and cannot be read has limits of their own, whatever the port. The proxy's address
// is not locked by them, nor is anybody else. The audit log shows what was told, and a counter that there is such.
func TestWEB07_UnreadableForwards(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		from := func(text string) servertest.Change { return servertest.Header("Forwarded", "for="+text) }
		for i := range 10 {
			if r := try(s, fmt.Sprintf("nobody%d@acme-corp.example", i), "wrong",
				from(fmt.Sprintf("_hidden:%d", 17085+i))); r.Status != 401 {
				t.Fatalf("failure %d: %d", i, r.Status)
			}
		}
		for who, want := range map[string]int{"_hidden:1": 429, "_hidden": 429, "_other": 200, "unknown": 200,
			"127.0.0.1": 200, "203.0.113.9:17085": 200} {
			if r := try(s, servertest.Agent, pw, from(who)); r.Status != want {
				t.Errorf("from %s: %d, want %d", who, r.Status, want)
			}
		}
		if r := try(s, servertest.Agent, pw); r.Status != 200 {
			t.Errorf("the proxy itself: %d", r.Status)
		}
		as := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/teams", map[string]any{"name": "x"}, as, from("_other:1")).Want(t, 201)
		s.Do(t, "POST", "/v1/teams", map[string]any{"name": "y"}, as, from("203.0.113.9:17085"),
			servertest.Header("X-Forwarded-For", "198.51.100.1")).Want(t, 201)
		events := string(s.Do(t, "GET", "/v1/audit-events?act=team.created", nil, as).Body)
		for _, want := range []string{`"address":"unreadable: _other"`, `"address":"203.0.113.9"`} {
			if !strings.Contains(events, want) {
				t.Errorf("no %s in %s", want, events)
			}
		}
		families, err := s.Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "gatehouse_forwarded_unreadable_total" && f.GetMetric()[0].GetCounter().GetValue() == 15 {
				return
			}
		}
		t.Error("what could not be read is not counted, or is not 15")
	}, func(c *config.Config, o *server.Options) {
		o.Limits = attempt.DefaultLimits
		o.Limits.AddressFailures = 10
		c.TrustedProxies, c.Forwarded = []string{"127.0.0.1"}, "Forwarded"
	})
}

// WEB07: X-Forwarded-For counts from a trusted proxy only, and then its right-most untrusted entry.
func TestWEB07_ForwardedFor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		as := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/teams", map[string]any{"name": "x"}, as,
			servertest.Header("X-Forwarded-For", "203.0.113.9"), servertest.Header("Forwarded", "for=203.0.113.9"),
			servertest.Header("X-Real-IP", "203.0.113.9")).Want(t, 201)
		if r := s.Do(t, "GET", "/v1/audit-events?act=team.created", nil, as); !strings.Contains(string(r.Body),
			`"address":"127.0.0.1","userAgent":"Go-http-client/1.1"`) {
			t.Errorf("%s", r.Body)
		}
	})
}

// A12, ATK58: one test with the real cost: 19 MiB, two passes; too long a password is refused before any work; a stored
// hash of lower cost is made anew at the next sign-in.
func TestATK58_RealHashes(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Login(t, servertest.Agent)
		var hash string
		read := func() string {
			if err := s.DB.Platform("test").QueryRow(t.Context(),
				`SELECT password_hash FROM users WHERE email_key = $1`, servertest.Agent).Scan(&hash); err != nil {
				t.Fatal(err)
			}
			return hash
		}
		if !strings.HasPrefix(read(), "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("hash %s", hash)
		}
		for _, n := range []int{1025, 60 << 10} {
			s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent,
				"password": strings.Repeat("x", n)}).Want(t, 400, "VALIDATION_ERROR")
		}
	}, func(_ *config.Config, o *server.Options) { o.Hashing = hashing.Options{Params: password.Default} })
}

// A12: parameters that rose reach a user's hash at the next sign-in.
func TestA12_Rehash(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		stronger := servertest.Join(t, address, func(_ *config.Config, o *server.Options) {
			o.Hashing.Params = password.Params{MemoryKiB: 128, Iterations: 2, Parallelism: 1}
		})
		stronger.Login(t, servertest.Agent)
		var hash string
		if err := s.DB.Platform("test").QueryRow(t.Context(), `SELECT password_hash FROM users WHERE email_key = $1`,
			servertest.Agent).Scan(&hash); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(hash, "$m=128,t=2,p=1$") {
			t.Errorf("hash %s", hash)
		}
		stronger.Login(t, servertest.Agent)
	})
}

// A5, ATK58: when more sign-ins wait than may, the rest is sent away with 503 and Retry-After before anything is
// counted.
func TestATK58_Shedding(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var mu sync.Mutex
		counts := map[string]int{}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				r := try(s, fmt.Sprintf("nobody%d@acme-corp.example", i), "wrong")
				outcome := "looked at"
				switch {
				case r.Status == 503 && r.Code() == "UNAVAILABLE" && r.Header.Get("Retry-After") != "" &&
					strings.Contains(string(r.Body), "busy checking passwords"):
					outcome = "shed"
				case r.Status == 503 && r.Code() == "UNAVAILABLE" && r.Header.Get("Retry-After") != "":
					// a slow database: looked at or not
					outcome = "unknown"
				case r.Status != 401:
					t.Errorf("%d %s", r.Status, r.Body)
				}
				mu.Lock()
				counts[outcome]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if counts["shed"] < 10 || counts["looked at"] == 0 {
			t.Errorf("answers %v", counts)
		}
		var failures int
		if err := s.DB.Platform("test").QueryRow(t.Context(),
			`SELECT CAST(COALESCE(SUM(failures), 0) AS BIGINT) FROM login_attempts WHERE failures <= 1`).
			Scan(&failures); err != nil {
			t.Fatal(err)
		}
		// The name's and the account's share of each.
		if least, most := 2*counts["looked at"], 2*(counts["looked at"]+counts["unknown"]); failures < least ||
			failures > most {
			t.Errorf("%d account failures counted, want two for each that was looked at: %v", failures, counts)
		}
	}, func(_ *config.Config, o *server.Options) {
		o.Hashing = hashing.Options{Params: password.Params{MemoryKiB: 32 << 10, Iterations: 2, Parallelism: 1},
			Slots: 1, MaxWaiting: 3, PerClient: 3}
	})
}

// A5, ATK55: every way of failing computes exactly one hash, as a success does. The times are printed, not judged.
func TestATK55_SameWork(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "DELETE", "/v1/users/"+s.UserID(t, servertest.Manager), nil, admin).Want(t, 204)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "passwordless@acme-corp.example", "role": "end_user"},
			admin).Want(t, 201)
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("second-tenant"), map[string]any{"state": "suspended"},
			s.As(t, servertest.Operator)).Want(t, 200)
		for _, c := range []struct {
			name, email, password, hint string
			status                      int
		}{
			{"right", servertest.Agent, pw, "", 200},
			{"wrong password", servertest.Agent, "wrong", "", 401},
			{"unknown name", "nobody@acme-corp.example", pw, "", 401},
			{"no address at all", "x", pw, "", 401},
			{"disabled", servertest.Manager, pw, "", 401},
			{"no password", "passwordless@acme-corp.example", pw, "", 401},
			{"suspended", servertest.Foreigner, pw, "", 401},
			{"another tenant", servertest.Agent, pw, "second-tenant", 401},
			{"unknown tenant", servertest.Agent, pw, "nobody", 401},
		} {
			var changes []servertest.Change
			if c.hint != "" {
				changes = append(changes, tenant(c.hint))
			}
			var times []time.Duration
			for range 3 {
				before, begin := s.Hasher.Done(), time.Now()
				r := try(s, c.email, c.password, changes...)
				times = append(times, time.Since(begin))
				if n := s.Hasher.Done() - before; r.Status != c.status || n != 1 {
					t.Errorf("%s: %d after %d hashes, want %d after one", c.name, r.Status, n, c.status)
				}
			}
			slices.Sort(times)
			t.Logf("%-18s %v", c.name, times[1])
		}
	}, func(_ *config.Config, o *server.Options) {
		o.Hashing = hashing.Options{Params: password.Default}
		o.Limits = attempt.DefaultLimits
		o.Limits.AccountFailures = 1000
	})
}

// ATK28: a sign-in under way while the password changes, or the user is disabled, leaves no session of the former
// password behind.
func TestATK28_SignInAgainstPasswordChange(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		current, next := pw, "the next long passphrase 1"
		for round := range 8 {
			tokens := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": current}).
				Want(t, 200).String("accessToken")
			var begun []servertest.Response
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if r := try(s, servertest.Agent, current); r.Status == 200 {
						mu.Lock()
						begun = append(begun, r)
						mu.Unlock()
					}
				})
			}
			wg.Go(func() {
				r, err := s.Try("PUT", "/v1/auth/password",
					map[string]any{"currentPassword": current, "newPassword": next}, servertest.Bearer(tokens))
				if err != nil || r.Status != 200 {
					t.Errorf("round %d: %v %s", round, err, r.Body)
				}
			})
			wg.Wait()
			for _, r := range begun {
				if me := s.Do(t, "GET", "/v1/auth/me", nil,
					servertest.Bearer(r.String("accessToken"))); me.Status != 401 {
					t.Errorf("round %d: a session of the former password lives", round)
				}
			}
			current, next = next, fmt.Sprintf("the next long passphrase %d", round+2)
			s.Clock.Advance(49 * time.Hour) // forgets the failures of those who came too late
		}
	})
}

// ATK44, ATK49: a success elsewhere buys no further tries: whoever owns an account of the same name in another
// organization cannot clear the count of this one's.
func TestATK44_SuccessElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "POST", "/v1/users", map[string]any{"email": servertest.Admin, "role": "end_user"},
			s.As(t, servertest.Foreigner)).Want(t, 201)
		_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
		s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": "the attacker's own words"}).
			Want(t, 200)
		guesses := 0
		for range 6 {
			for range 2 {
				if r := try(s, servertest.Admin, "wrong", tenant("acme-corp")); r.Status == 401 {
					guesses++
				}
			}
			try(s, servertest.Admin, "the attacker's own words", tenant("second-tenant"))
		}
		if guesses > 5 {
			t.Errorf("%d guesses were looked at", guesses)
		}
	})
}

// ATK49: an address that many share is not locked for what was mistyped over days, nor by who hammers at a locked name.
func TestATK49_SharedAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i := range 30 { // three mistyped an hour, for ten hours
			if r := try(s, fmt.Sprintf("person%d@acme-corp.example", i), "wrong"); r.Status != 401 {
				t.Fatalf("%d: %d %s", i, r.Status, r.Body)
			}
			s.Clock.Advance(20 * time.Minute)
		}
		for range 60 {
			if r := try(s, servertest.EndUser, "wrong"); r.Status != 401 && r.Code() != "ACCOUNT_LOCKED" {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		if r := try(s, servertest.Agent, pw); r.Status != 200 {
			t.Errorf("somebody else of the address: %d %s", r.Status, r.Body)
		}
	}, func(_ *config.Config, o *server.Options) {
		o.Limits = attempt.DefaultLimits
		o.Limits.AddressFailures = 10
	})
}

// ATK44: a try that is taken back after a success forgave it takes nothing else with it: the victim's count does not
// move, whatever the owner of another account of the same name does at the same time.
func TestATK44_TakenBackTwice(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		reserve := func(account string) attempt.Reservation {
			r, err := s.Attempts.Reserve(t.Context(), "same@name.example", account, "203.0.113.5")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		for range 3 {
			reserve("victim") // fails
		}
		first, second := reserve("own"), reserve("own")
		if err := s.Attempts.Succeeded(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if err := s.Attempts.NotMade(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		reserve("victim")
		if r := reserve("victim"); !r.Locks {
			t.Error("the victim's fifth failure does not lock: earlier ones were forgotten")
		}
		if _, err := s.Attempts.Reserve(t.Context(), "same@name.example", "victim", "203.0.113.5"); !fault.Is(err,
			fault.Limited) {
			t.Errorf("a sixth try is let through: %v", err)
		}
	})
}

// ATK58, A5: who is locked out takes no place of those who are not: a try from a locked address, and one at a locked
// name, is refused though no place is left, and others wait for theirs; the lock is believed for a second only.
func TestATK58_LockedTakeNoPlace(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		from := func(address string) servertest.Change { return servertest.Header("X-Forwarded-For", address) }
		for i := range 11 {
			try(s, fmt.Sprintf("nobody%d@acme-corp.example", i), "wrong", from("203.0.113.1"))
		}
		for range 6 {
			try(s, servertest.Manager, "wrong", from("203.0.113.2"))
		}
		var places []*hashing.Place
		for i := 0; ; i++ {
			place, err := s.Hasher.Enter(fmt.Sprint(i))
			if err != nil {
				break
			}
			places = append(places, place)
		}
		expect := func(name, email, address string, status int) {
			t.Helper()
			if r := try(s, email, pw, from(address)); r.Status != status {
				t.Errorf("%s: %d %s, want %d", name, r.Status, r.Body, status)
			}
		}
		expect("a locked address", servertest.Agent, "203.0.113.1", 429)
		expect("a locked name", servertest.Manager, "203.0.113.3", 429)
		expect("anybody else", servertest.Agent, "203.0.113.3", 503)
		s.Clock.Advance(2 * time.Second)
		expect("a locked address, which is not believed unasked", servertest.Agent, "203.0.113.1", 503)
		for _, place := range places {
			place.Leave()
		}
		expect("a locked address", servertest.Agent, "203.0.113.1", 429)
		expect("anybody else", servertest.Agent, "203.0.113.3", 200)
	}, func(c *config.Config, o *server.Options) {
		o.Limits = attempt.DefaultLimits
		o.Limits.AddressFailures = 10
		c.TrustedProxies = []string{"127.0.0.1"}
	})
}
