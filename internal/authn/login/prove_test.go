package login_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// alike fails the test unless an answer is exactly the one to a wrong password: kind, code, sentence and all.
func alike(t *testing.T, err error) {
	t.Helper()
	if got, want := fault.Of(err), fault.Of(login.ErrCredentials()); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// event is a refused sign-in as world.refused gives it.
func event(org id.Organization, u id.User, reason string, locked bool) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s locked:%v", org, u, reason, locked)), " ")
}

// truth is a row of the truth table: everything that decides about a sign-in with a password.
type truth struct {
	found, has, right, active, resting bool
	second                             string // none, factor, policy, exempt, exempt+factor
	door                               string
	once                               bool
}

func (r truth) String() string {
	words := []string{map[bool]string{true: "known", false: "unknown"}[r.found]}
	for word, holds := range map[string]bool{"no password": !r.has, "right": r.right, "disabled": !r.active,
		"suspended": r.resting, "once": r.once} {
		if holds {
			words = append(words, word)
		}
	}
	return strings.Join(append(words, r.second, r.door), ",")
}

// truths are all combinations that can be.
func truths() (out []truth) {
	both := []bool{true, false}
	for _, right := range both {
		for _, door := range []string{login.Main, login.ItemPath, login.EasyVista} {
			once := door == login.EasyVista
			out = append(out, truth{right: right, has: true, active: true, second: "none", door: door, once: once})
			for _, has := range both {
				for _, active := range both {
					for _, resting := range both {
						for _, second := range []string{"none", "factor", "policy", "exempt", "exempt+factor"} {
							out = append(out, truth{true, has, right, active, resting, second, door, once})
						}
					}
				}
			}
		}
	}
	return out
}

// A5, A27, ATK44, ATK48, ATK50, ATK55: a password proves an account where everything is right, and whatever else is the
// case the answer, the work and the count are those of a wrong password.
func TestATK55_TruthTable(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		proven := 0
		for _, r := range truths() {
			t.Run(r.String(), func(t *testing.T) {
				name, address := w.next()
				a := account{org: w.acme, disabled: !r.active, factor: strings.HasSuffix(r.second, "factor"),
					exempt: strings.HasPrefix(r.second, "exempt")}
				strict := r.second == "policy" || a.exempt
				switch {
				case strict && r.resting:
					a.org = w.restingStrict
				case strict:
					a.org = w.strict
				case r.resting:
					a.org = w.resting
				}
				if r.has {
					a.password = &cheap
				}
				var u user.User
				if r.found {
					u = w.add(name, a)
				}
				in := login.Password{Name: mailOf(name), Password: "a wrong one", Tenant: login.Tenant{ID: a.org},
					Source: principal.Source{Address: address}, Door: r.door, Once: r.once}
				before := w.counters()
				_, err := w.Prove(t.Context(), in) // so that there is something to forgive
				alike(t, err)
				if r.right {
					in.Password = good
				}
				hashes := w.Hasher.Done()
				got, err := w.Prove(t.Context(), in)
				if n := w.Hasher.Done() - hashes; n != 1 {
					t.Errorf("%d hashes", n)
				}

				second := r.second == "factor" || r.second == "policy"
				good := r.found && r.has && r.right && r.active && !r.resting
				counted, events := "1 1 1", []string{event(a.org, u.ID, "", false)}
				switch passes := !second || r.door == login.Main; {
				case good && passes && (second || r.once): // forgives nothing
				case good && passes:
					counted = "0 1" // only what failed at the address stays
				case good:
					counted, events = "2 2 2", append(events, event(a.org, u.ID, "mfa_required", false))
				default:
					counted, events = "2 2 2", append(events, events[0])
				}
				if len(events) == 2 {
					alike(t, err)
				} else if proven++; err != nil || got.User.ID != u.ID || got.Organization.ID != a.org {
					t.Errorf("%s of %s, %v", got.User.ID, got.Organization.ID, err)
				}
				if c := w.since(before); c != counted {
					t.Errorf("counted %q, want %q", c, counted)
				}
				slices.Sort(events)
				if list := w.refused(address); !slices.Equal(list, events) {
					t.Errorf("recorded %q, want %q", list, events)
				}
			})
		}
		if proven != 3+3+3+1+1 { // each door with none or an exemption, and the main one with a second step
			t.Errorf("%d combinations are proven", proven)
		}
	})
}

// A5, A42, ATK46, ATK55: whatever a name means in whatever organization, a wrong try looks and counts alike.
func TestATK46_Names(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		name, _ := w.next()
		u := w.add(name, account{org: w.acme, password: &cheap})
		twice, _ := w.next()
		w.add(twice, account{org: w.acme, password: &cheap})
		w.add(twice, account{org: w.strict, password: &cheap})
		for _, c := range []struct {
			name   string
			typed  string
			tenant login.Tenant
			found  bool
			event  id.Organization
		}{
			{"its address", mailOf(name), login.Tenant{ID: w.acme}, true, w.acme},
			{"its address without a tenant", mailOf(name), login.Tenant{}, true, w.acme},
			{"its address in other letters", " " + strings.ToUpper(mailOf(name)), login.Tenant{}, true, w.acme},
			{"its address in full width", strings.Replace(mailOf(name), "u", "ｕ", 1), login.Tenant{}, true, w.acme},
			{"its user name", name, login.Tenant{ID: w.acme}, true, w.acme},
			{"its user name in capitals", strings.ToUpper(name), login.Tenant{ID: w.acme}, true, w.acme},
			{"its user name without a tenant", name, login.Tenant{}, false, w.platform},
			{"its address in another tenant", mailOf(name), login.Tenant{ID: w.strict}, false, w.strict},
			{"its address in a tenant that is none", mailOf(name), login.Tenant{Unknown: true, Named: "x"}, false,
				w.platform},
			{"its user name in a tenant that is none", name, login.Tenant{Unknown: true, Named: "x"}, false,
				w.platform},
			{"an address of two", mailOf(twice), login.Tenant{}, false, w.platform},
			{"an address of nobody", mailOf("nobody"), login.Tenant{}, false, w.platform},
			{"a name of nobody", "nobody", login.Tenant{ID: w.acme}, false, w.acme},
			{"no name", "", login.Tenant{ID: w.acme}, false, w.acme},
			{"no UTF-8", "\xff@", login.Tenant{}, false, w.platform},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, address := w.next()
				in := login.Password{Name: c.typed, Password: good, Tenant: c.tenant, Door: login.Main,
					Source: principal.Source{Address: address}}
				hashes := w.Hasher.Done()
				got, err := w.Prove(t.Context(), in)
				if c.found {
					if err != nil || got.User.ID != u.ID {
						t.Errorf("%v, %v", got.User.ID, err)
					}
				} else {
					alike(t, err)
				}
				in.Password = "a wrong one"
				_, err = w.Prove(t.Context(), in)
				alike(t, err)
				if n := w.Hasher.Done() - hashes; n != 2 {
					t.Errorf("%d hashes of 2", n)
				}
				want := []string{event(c.event, "", "", false), event(c.event, "", "", false)}
				if c.found {
					want = []string{event(c.event, u.ID, "", false)}
				}
				if list := w.refused(address); !slices.Equal(list, want) {
					t.Errorf("recorded %q, want %q", list, want)
				}
				w.later.Add(int64(25 * time.Hour)) // all is forgotten
			})
		}
	})
}

// ATK58: what is too long to be looked at is refused before anything is asked or counted.
func TestATK58_LongPassword(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		name, address := w.next()
		w.add(name, account{org: w.acme, password: &cheap})
		for _, n := range []int{4096, 4097} {
			before, hashes := w.counters(), w.Hasher.Done()
			_, err := w.Prove(t.Context(), login.Password{Name: mailOf(name), Password: strings.Repeat("a", n),
				Source: principal.Source{Address: address}, Door: login.Main})
			if n == 4096 {
				alike(t, err)
				continue
			}
			faulttest.Check(t, err, faulttest.Invalid("password"))
			if !reflect.DeepEqual(w.counters(), before) || w.Hasher.Done() != hashes {
				t.Error("it was counted, or hashed")
			}
		}
	})
}
