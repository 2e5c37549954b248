package client

import (
	"reflect"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// errBeside is what goes wrong beside a deletion.
var errBeside = fault.Conflictf("not now")

// same makes a list of one text n times.
func same(n int, text string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = text
	}
	return out
}

// A40, ATK31, ATK32: a client is given what its maker holds for all, and no machine makes one.
func TestA40_Create(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		maker := w.person("clients:create:all", "tickets:manage:all", "api_keys:manage:own")
		operator := principal.NewSystem("test", w.platform)
		operator.Permissions = permission.ParseKnown([]string{"clients:manage:all", "organizations:read:all"})
		stale := w.person("clients:create:all", "organizations:read:all", "tickets:read:all")
		one := func(list ...string) Fields { return Fields{PermissionList: list} }
		const lack = "FORBIDDEN: You do not hold "
		for _, c := range []struct {
			name string
			p    principal.Principal
			f    Fields
			want string
			held string
		}{
			{"nothing", maker, one(), ok, ""},
			{"what one holds", maker, one("tickets:read:all", "tickets:read:all"), ok, "tickets:read:all"},
			{"what one lacks", maker, one("tickets:read:all", "users:read:all"), lack + "users:read:all", ""},
			{"more than one holds", maker, one("clients:manage:all"), lack + "clients:manage:all", ""},
			{"nobody's own", maker, one("tickets:read:all", "tickets:read:own"), invalid("permissions[1]"), ""},
			{"no team's", maker, one("tickets:read:team"), invalid("permissions[0]"), ""},
			{"one's own keys", maker, one("api_keys:manage:own"), invalid("permissions[0]"), ""},
			{"a word that is none", maker, one("tickets:fly:all"), invalid("permissions[0]"), ""},
			{"the platform's in a tenant", stale, one("organizations:read:all"), invalid("permissions[0]"), ""},
			{"the platform's on the platform", operator, one("organizations:read:all"), ok, "organizations:read:all"},
			{"the most", maker, one(same(200, "tickets:read:all")...), ok, "tickets:read:all"},
			{"one too many", maker, one(same(201, "tickets:read:all")...), invalid("permissions"), ""},
			{"without the right", w.person("clients:read:all", "clients:update:all"), one(),
				"FORBIDDEN: This needs clients:create:all", ""},
			{"by a machine", w.machine("clients:manage:all"), one(), "FORBIDDEN: A machine credential cannot make", ""},
			{"a wrong field", maker, Fields{Client: Client{RateLimit: -1}}, invalid("rateLimitPerMinute"), ""},
			{"a wrong method", maker, Fields{Client: Client{Authentication: Authentication{Method: "none"}}},
				invalid("authentication.method"), ""},
			{"a lifetime", maker, Fields{Client: Client{TokenLifetime: time.Minute}}, ok, ""},
			{"deleted at once", maker, Fields{Client: Client{State: Deleted}}, ok, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.f.Name = "a client"
				if c.f.Authentication.Method == "" {
					c.f.Authentication.Method = Secret
				}
				made, err := w.Create(t.Context(), c.p, c.f, nil)
				faulttest.Check(t, err, c.want)
				if err != nil {
					return
				}
				lifetime := c.f.TokenLifetime
				if lifetime == 0 {
					lifetime = DefaultTokenLifetime
				}
				if got, err := w.Find(t.Context(), made.ID); err != nil || got.Permissions.Line() != c.held ||
					got.TokenLifetime != lifetime || got.State != Active || got.Organization != c.p.Organization {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	})
}

// A40, ATK59, G12: who may change what of a client, and what a machine may.
func TestATK59_Update(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		full := w.person("clients:manage:all", "tickets:manage:all", "users:manage:all")
		desk := w.person("clients:manage:all", "tickets:manage:all")
		machine := w.machine("clients:update:all", "tickets:manage:all", "users:manage:all")
		viewer := w.person("clients:read:all", "clients:create:all", "tickets:manage:all", "users:manage:all")
		stranger := principal.NewSystem("test", w.platform)
		stranger.Permissions = full.Permissions
		name := func(f *Fields) { f.Name = "another" }
		off := func(f *Fields) { f.State = Off }
		on := func(f *Fields) { f.State = Active }
		method := func(f *Fields) { f.Authentication = Authentication{Method: TLS, SubjectDN: "CN=a"} }
		give := func(list ...string) func(f *Fields) { return func(f *Fields) { f.PermissionList = list } }
		const holds, lack, made = "FORBIDDEN: This client holds users:read:all", "FORBIDDEN: You do not hold ",
			"FORBIDDEN: A machine credential cannot make"
		for _, c := range []struct {
			name   string
			p      principal.Principal
			begin  State
			change func(f *Fields)
			want   string
		}{
			{"a name", full, Active, name, ok},
			{"nothing", full, Active, func(*Fields) {}, ok},
			{"a method", full, Active, method, ok},
			{"other permissions", full, Active, give("tickets:read:all"), ok},
			{"more than one holds", full, Active, give("clients:read:all", "sso:read:all"), lack + "sso:read:all"},
			{"nobody's own", full, Active, give("tickets:read:own"), invalid("permissions[0]")},
			{"no lifetime", full, Active, func(f *Fields) { f.TokenLifetime = 0 }, invalid("tokenLifetimeSeconds")},
			{"no name", full, Active, func(f *Fields) { f.Name = "" }, invalid("name")},
			{"without the right", viewer, Active, name, "FORBIDDEN: This needs clients:update:all"},
			{"in another organization", stranger, Active, name, "NOT_FOUND: There is no such client."},

			{"one that holds more", desk, Active, name, holds},
			{"one that holds more, fewer permissions", desk, Active, give(), holds},
			{"one that holds more, another method", desk, Active, method, holds},
			{"one that holds more, off", desk, Active, off, ok},
			{"one that holds more, on", desk, Off, on, holds},
			{"on", full, Off, on, ok},

			{"a name by a machine", machine, Active, name, ok},
			{"a description by a machine", machine, Active, func(f *Fields) { f.Description = "d" }, ok},
			{"fewer permissions by a machine", machine, Active, give(), ok},
			{"more permissions by a machine", machine, Active, give("users:manage:all", "tickets:read:all"), made},
			{"a name that is no UTF-8", full, Active, func(f *Fields) { f.Name = "a\xff" }, invalid("name")},
			{"a description that is no UTF-8", full, Active, func(f *Fields) { f.Description = "\xff" },
				invalid("description")},
			{"off by a machine", machine, Active, off, ok},
			{"on by a machine", machine, Off, on, made},
			{"a method by a machine", machine, Active, method, made},
			{"a lifetime by a machine", machine, Active, func(f *Fields) { f.TokenLifetime = time.Minute }, made},
			{"refresh tokens by a machine", machine, Active, func(f *Fields) { f.RefreshAllowed = true }, made},
			{"a rate by a machine", machine, Active, func(f *Fields) { f.RateLimit = 1 }, made},
			{"a name with a rate by a machine", machine, Active, func(f *Fields) { f.Name, f.RateLimit = "b", 1 },
				made},
		} {
			t.Run(c.name, func(t *testing.T) {
				made := w.make("tickets:read:all", "users:read:all")
				if c.begin == Off {
					if _, err := w.Update(t.Context(), full, made.ID, off); err != nil {
						t.Fatal(err)
					}
				}
				before, _ := w.Find(t.Context(), made.ID)
				_, err := w.Update(t.Context(), c.p, made.ID, c.change)
				faulttest.Check(t, err, c.want)
				after, _ := w.Find(t.Context(), made.ID)
				if wrote := !reflect.DeepEqual(after, before); wrote != (c.want == ok) {
					t.Errorf("wrote: %v", wrote)
				}
			})
		}
	})
}

// A55, E6: deleting needs the right for it and no more, is for good, and undoes itself with what must happen beside.
func TestE6_Delete(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		c := w.make("users:read:all")
		deleter, nothing := w.person("clients:delete:all"), func(*sqldb.Tx) error { return nil }
		const gone = "NOT_FOUND: There is no such client."
		faulttest.Check(t, w.Delete(t.Context(), w.person("clients:update:all"), c.ID, nothing),
			"FORBIDDEN: This needs clients:delete:all")
		faulttest.Check(t, w.Delete(t.Context(), deleter, c.ID, func(*sqldb.Tx) error { return errBeside }),
			faulttest.Outcome(errBeside))
		if got, err := w.Find(t.Context(), c.ID); err != nil || got.State != Active {
			t.Errorf("what could not be done beside did not undo it: %q, %v", got.State, err)
		}
		faulttest.Check(t, w.Delete(t.Context(), deleter, c.ID, nothing), ok)
		faulttest.Check(t, w.Delete(t.Context(), deleter, c.ID, nothing), gone)
		_, err := w.Get(t.Context(), deleter, c.ID)
		faulttest.Check(t, err, gone)
		_, err = w.Update(t.Context(), w.person("clients:manage:all", "users:manage:all"), c.ID,
			func(f *Fields) { f.State = Active })
		faulttest.Check(t, err, gone)
		if got, err := w.Find(t.Context(), c.ID); err != nil || got.State != Deleted {
			t.Errorf("who judges its tokens sees %q, %v", got.State, err)
		}
		_, err = w.Find(t.Context(), id.New[id.Client]())
		faulttest.Check(t, err, gone)
	})
}
