package login_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// try proves a password in acme from a new address.
func (w *world) try(name, plain string, change func(in *login.Password)) error {
	w.t.Helper()
	_, address := w.next()
	in := login.Password{Name: name, Password: plain, Tenant: login.Tenant{ID: w.acme},
		Source: principal.Source{Address: address}, Door: login.Main}
	if change != nil {
		change(&in)
	}
	_, err := w.Prove(w.t.Context(), in)
	return err
}

const locked = "ACCOUNT_LOCKED: Too many failed sign-ins for this account. Wait and try again."

// A5, ATK44, ATK55: a name locks after five failures whether anybody has it or not, also for the right password, and
// each further failure after a lock locks for longer.
func TestA5_LockedName(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		strong, off, plain := "strong", "off", "plain"
		w.add(strong, account{org: w.acme, password: &cheap, factor: true})
		w.add(off, account{org: w.acme, password: &cheap, disabled: true})
		w.add(plain, account{org: w.acme, password: &cheap})
		answers := make(map[string][]*fault.Error)
		for _, name := range []string{strong, off, plain, "nobody"} {
			w.later.Store(0)
			for range limits.AccountFailures {
				alike(t, w.try(mailOf(name), "a wrong one", nil))
			}
			for i, wait := range []time.Duration{1, 2, 4, 8, 15, 15} {
				wait *= limits.LockUnit
				before, hashes := w.counters(), w.Hasher.Done()
				err := w.try(mailOf(name), good, nil)
				if at := fault.Of(err).RetryAfter; at <= wait-10*time.Second || at > wait {
					t.Errorf("%s, lock %d: it lasts %s, want %s", name, i, at, wait)
				}
				faulttest.Check(t, err, locked)
				if !reflect.DeepEqual(w.counters(), before) || w.Hasher.Done() != hashes {
					t.Errorf("%s: a try at a locked name was counted, or looked at", name)
				}
				f := *fault.Of(err)
				f.RetryAfter = 0
				answers[name] = append(answers[name], &f)
				w.later.Add(int64(wait + time.Second)) // it is over
				alike(t, w.try(mailOf(name), "a wrong one", nil))
			}
			w.later.Add(int64(15*limits.LockUnit + time.Second))
			err := w.try(mailOf(name), good, nil)
			if name == plain || name == strong {
				faulttest.Check(t, err, faulttest.OK)
			} else {
				alike(t, err)
			}
		}
		for name, list := range answers {
			if !reflect.DeepEqual(list, answers["nobody"]) {
				t.Errorf("%s is told something else than nobody", name)
			}
		}
	})
}

// A5, ATK46: the names of an account share its few tries, and whoever has used them up is told nothing else than that
// the password is wrong.
func TestATK46_LockedAccount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		w.add("ana", account{org: w.acme, password: &cheap})
		for i := range limits.AccountFailures {
			name := "ana"
			if i%2 == 1 {
				name = mailOf("ana")
			}
			alike(t, w.try(name, "a wrong one", nil))
		}
		for _, name := range []string{"ana", mailOf("ana"), mailOf("ANA")} {
			before, hashes := w.counters(), w.Hasher.Done()
			alike(t, w.try(name, good, nil))
			if n := w.Hasher.Done() - hashes; n != 1 {
				t.Errorf("%d hashes", n)
			}
			if c := w.since(before); c != "1" { // a new address; the account is left as it is
				t.Errorf("counted %q", c)
			}
		}
		w.later.Add(int64(2 * limits.LockUnit))
		faulttest.Check(t, w.try("ana", good, nil), faulttest.OK)
	})
}

// A5, A42, ATK46: the tries at an address count together, whatever tenant is named, and those at a user name in each
// tenant apart, there or not.
func TestATK46_Hints(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		w.add("ana", account{org: w.acme, password: &cheap})
		tenants := []login.Tenant{{}, {ID: w.acme}, {ID: w.strict}, {Unknown: true, Named: "x"},
			{Unknown: true, Named: "y"}}
		at := func(tenant login.Tenant) func(in *login.Password) {
			return func(in *login.Password) { in.Tenant = tenant }
		}
		for _, name := range []string{mailOf("ana"), mailOf("nobody"), "ana", "nobody"} {
			for _, tenant := range tenants {
				alike(t, w.try(name, "a wrong one", at(tenant)))
			}
			for i, tenant := range tenants {
				err := w.try(name, "a wrong one", at(tenant))
				if strings.Contains(name, "@") {
					faulttest.Check(t, err, locked)
				} else if alike(t, err); i == 0 {
					for range limits.AccountFailures - 2 {
						alike(t, w.try(name, "a wrong one", at(tenant)))
					}
					faulttest.Check(t, w.try(name, "a wrong one", at(tenant)), locked)
				}
			}
		}
	})
}

// A27, ATK44, ATK47: what a right password forgives, which is nothing where it is not all that is asked for.
func TestATK44_Forgiven(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		once := func(in *login.Password) { in.Once, in.Door = true, login.EasyVista }
		for _, c := range []struct {
			name   string
			factor bool
			change func(in *login.Password)
			locks  bool // right passwords between wrong ones do not keep it from locking
		}{
			{"plain", false, nil, false},
			{"once", false, once, true},
			{"factor", true, nil, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.add(c.name, account{org: w.acme, password: &cheap, factor: c.factor})
				for range limits.AccountFailures {
					alike(t, w.try(c.name, "a wrong one", nil))
					err := w.try(c.name, good, c.change)
					if faulttest.Outcome(err) == locked {
						break
					}
					faulttest.Check(t, err, faulttest.OK)
				}
				want := faulttest.OK
				if c.locks {
					want = locked
				}
				faulttest.Check(t, w.try(c.name, good, c.change), want)
			})
		}
	})
}

// A5: an address that failed too often is refused for every name, and one that did not is not.
func TestA5_LockedAddress(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		w.add("ana", account{org: w.acme, password: &cheap})
		from := func(address string) func(in *login.Password) {
			return func(in *login.Password) { in.Source.Address = address }
		}
		for range limits.AddressFailures {
			name, _ := w.next()
			alike(t, w.try(mailOf(name), "a wrong one", from("2001:db8::1")))
		}
		const refused = "RATE_LIMIT_EXCEEDED: Too many failed sign-ins from this address."
		for _, c := range []struct{ address, want string }{{"2001:db8::1", refused}, {"2001:db8::2", refused},
			{"2001:db8:0:1::1", faulttest.OK}, {"192.0.2.7", faulttest.OK}} {
			faulttest.Check(t, w.try(mailOf("ana"), good, from(c.address)), c.want)
		}
	})
}

// ATK49: a device that is known has a line and a count of its own: who guesses at the name locks its owner out nowhere,
// and whoever has the device has few tries. A device that is another's is none.
func TestATK49_KnownDevice(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		know := func(u user.User) func(in *login.Password) {
			var device secret.Secret
			err := w.DB.Tx(t.Context(), u.Organization, func(tx *sqldb.Tx) (err error) {
				device, err = w.Factors.KnowDevice(context.Background(), tx, u.Organization, u.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return func(in *login.Password) { in.Device = device }
		}
		owner := know(w.add("ana", account{org: w.acme, password: &cheap}))
		other := know(w.add("bo", account{org: w.acme, password: &cheap}))
		for range limits.AccountFailures {
			alike(t, w.try("ana", "a wrong one", nil))
		}
		faulttest.Check(t, w.try("ana", good, nil), locked)
		faulttest.Check(t, w.try("ana", good, other), locked)
		faulttest.Check(t, w.try("ana", good, owner), faulttest.OK)
		for range limits.AccountFailures {
			alike(t, w.try("ana", "a wrong one", owner))
		}
		faulttest.Check(t, w.try("ana", good, owner), locked)
	})
}

// A5, ATK47, ATK49: who is sent away because the server is busy, or gives up while waiting, has tried nothing.
func TestATK49_Busy(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{Slots: 1, MaxWaiting: 1, PerClient: 10})
		w.add("ana", account{org: w.acme, password: &cheap})
		places := make([]*hashing.Place, 2)
		for i := range places {
			var err error
			if places[i], err = w.Hasher.Enter("test"); err != nil {
				t.Fatal(err)
			}
		}
		before := w.counters()
		faulttest.Check(t, w.try("ana", good, nil), "UNAVAILABLE: The server is busy checking passwords.")
		if c := w.since(before); c != "" {
			t.Errorf("counted %q", c)
		}
		for _, place := range places {
			place.Leave()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, address := w.next()
		_, err := w.Prove(ctx, login.Password{Name: "ana", Password: "a wrong one", Door: login.Main,
			Tenant: login.Tenant{ID: w.acme}, Source: principal.Source{Address: address}})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if c := w.since(before); strings.Trim(c, "0 ") != "" {
			t.Errorf("who gave up counted %q", c)
		}
		faulttest.Check(t, w.try("ana", good, nil), faulttest.OK)
	})
}

// ATK49: the places of one network are its own: who fills them keeps nobody else out.
func TestATK49_PlacesOfNetwork(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{Slots: 1, MaxWaiting: 10, PerClient: 1})
		w.add("ana", account{org: w.acme, password: &cheap})
		for range 2 {
			place, err := w.Hasher.Enter(attempt.Network("2001:db8::1"))
			if err != nil {
				t.Fatal(err)
			}
			defer place.Leave()
		}
		for _, c := range []struct{ address, want string }{{"2001:db8::2", "UNAVAILABLE: The server is busy"},
			{"2001:db8:0:1::1", faulttest.OK}, {"192.0.2.7", faulttest.OK}} {
			faulttest.Check(t, w.try("ana", good, func(in *login.Password) { in.Source.Address = c.address }), c.want)
		}
	})
}

// A12: a right password whose hash is outdated is hashed again, and a wrong one is not.
func TestA12_Rehash(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		u := w.add("ana", account{org: w.acme, password: &cheaper})
		var hashes []string
		note := func() {
			now, err := w.Users.Read(t.Context(), w.acme, u.ID)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, now.PasswordHash())
		}
		note()
		alike(t, w.try("ana", "a wrong one", nil))
		note()
		for range 2 {
			faulttest.Check(t, w.try("ana", good, nil), faulttest.OK)
			note()
		}
		if hashes[0] != hashes[1] || hashes[1] == hashes[2] || hashes[2] != hashes[3] ||
			!strings.Contains(hashes[2], "m=128,") {
			t.Errorf("the hashes %q", slices.Compact(hashes))
		}
	})
}

// The limits that these tests shorten nothing of are the usual ones.
func TestA5_UsualLimits(t *testing.T) {
	t.Parallel()
	usual := attempt.DefaultLimits
	usual.AddressFailures = limits.AddressFailures
	if usual != limits {
		t.Errorf("%+v", usual)
	}
}
