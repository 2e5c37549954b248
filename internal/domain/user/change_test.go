package user

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A27: a person decides what another user is and exempts applications from the second factor, one by one.
func TestA27_Kind(t *testing.T) {
	t.Parallel()
	const self, machine, has = "FORBIDDEN: Nobody changes their own type", "FORBIDDEN: A machine credential changes",
		"CONFLICT: This user has a second factor."
	person, exempt := User{Kind: Person}, User{Kind: Application, MFAExempt: true}
	app, strong := User{Kind: Application}, User{Kind: Application, SecondFactors: []string{TOTP}}
	codes := User{Kind: Application, SecondFactors: []string{BackupCodes}}
	for _, c := range []struct {
		name   string
		by     principal.Kind
		self   bool
		before User
		change func(u *User)
		want   string
		exempt bool // afterwards
	}{
		{"nothing", principal.User, true, person, func(*User) {}, ok, false},
		{"a person becomes an application", principal.User, false, person, func(u *User) { u.Kind = Application }, ok,
			false},
		{"an application becomes a person", principal.User, false, app, func(u *User) { u.Kind = Person }, ok, false},
		{"an exempt one becomes a person", principal.User, false, exempt, func(u *User) { u.Kind = Person }, ok, false},
		{"an application is exempted", principal.User, false, app, func(u *User) { u.MFAExempt = true }, ok, true},
		{"an application is exempted by the server", principal.System, false, app,
			func(u *User) { u.MFAExempt = true }, ok, true},
		{"an exemption ends", principal.User, false, exempt, func(u *User) { u.MFAExempt = false }, ok, false},
		{"an exemption ends by a machine", principal.APIKey, false, exempt, func(u *User) { u.MFAExempt = false }, ok,
			false},
		{"an exemption ends by oneself", principal.User, true, exempt, func(u *User) { u.MFAExempt = false }, ok,
			false},
		{"one with backup codes alone is exempted", principal.User, false, codes,
			func(u *User) { u.MFAExempt = true }, ok, true},
		{"one with a factor is exempted", principal.User, false, strong, func(u *User) { u.MFAExempt = true }, has,
			true},
		{"a person is exempted", principal.User, false, person, func(u *User) { u.MFAExempt = true },
			invalid("mfaExempt"), true},
		{"a person becomes an exempt application", principal.User, false, person,
			func(u *User) { u.Kind, u.MFAExempt = Application, true }, invalid("mfaExempt"), true},
		{"oneself is exempted", principal.User, true, app, func(u *User) { u.MFAExempt = true }, self, true},
		{"one's own type", principal.User, true, person, func(u *User) { u.Kind = Application }, self, false},
		{"a type by a machine", principal.APIKey, false, person, func(u *User) { u.Kind = Application }, machine,
			false},
		{"an exemption by a machine", principal.SystemToken, false, app, func(u *User) { u.MFAExempt = true }, machine,
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := principal.Principal{Kind: c.by, ID: "usr_other"}
			before := c.before
			before.ID = "usr_1"
			if c.self {
				p.ID = "usr_1"
			}
			after := before
			c.change(&after)
			faulttest.Check(t, checkKind(p, before, &after), c.want)
			if after.MFAExempt != c.exempt {
				t.Errorf("exempt: %v", after.MFAExempt)
			}
		})
	}
}

// A40, ATK57, ATK59: what a new user may be, and nobody makes one who may do more than they may.
func TestA40_Create(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, clerk := w.as(w.admin), w.as(w.clerk)
		stale := clerk
		stale.Permissions = admin.Permissions
		const taken = "CONFLICT: The e-mail address or the user name is taken"
		n := 0
		for _, c := range []struct {
			name string
			p    principal.Principal
			n    NewUser
			want string
		}{
			{"a person", clerk, NewUser{Role: permission.RoleEndUser}, ok},
			{"an application", clerk, NewUser{Role: permission.RoleEndUser, Kind: Application}, ok},
			{"one as oneself", clerk, NewUser{Role: "clerk"}, ok},
			{"one who may do more", clerk, NewUser{Role: permission.RoleAgent},
				"FORBIDDEN: The role service_desk_agent gives tickets:read:team"},
			{"one who may do more, from better days", stale, NewUser{Role: permission.RoleAgent},
				"FORBIDDEN: The role "},
			{"no role", admin, NewUser{}, invalid("role")},
			{"a role that is none", admin, NewUser{Role: "nothing"}, invalid("role")},
			{"an operator in a tenant", w.system, NewUser{Role: permission.RoleSuperUser},
				"FORBIDDEN: The role super_admin is for the platform's operators only."},
			{"an operator on the platform", principal.NewSystem("test", w.platform),
				NewUser{Role: permission.RoleSuperUser}, ok},
			{"no address", admin, NewUser{Email: "-", Role: permission.RoleEndUser}, invalid("email")},
			{"an address that is taken", admin, NewUser{Email: address("idle"), Role: permission.RoleEndUser}, taken},
			{"an address that is taken, spelt otherwise", admin, NewUser{Email: "ＩDLE@acme-corp.example",
				Username: "new", Role: permission.RoleEndUser}, taken},
			{"a user name that is taken", admin, NewUser{Username: "Idle", Role: permission.RoleEndUser}, taken},
			{"a user name that is another's address", admin, NewUser{Username: address("idle"),
				Role: permission.RoleEndUser}, invalid("username")},
			{"another kind", admin, NewUser{Role: permission.RoleEndUser, Kind: "robot"}, invalid("type")},
			{"the longest name", admin, NewUser{Role: permission.RoleEndUser, Name: strings.Repeat("é", 200)}, ok},
			{"a longer name", admin, NewUser{Role: permission.RoleEndUser, Name: strings.Repeat("a", 201)},
				invalid("name")},
			{"a team that is none", admin, NewUser{Role: permission.RoleEndUser,
				Teams: []id.Team{"team_00000000000000000000000000"}}, invalid("teams[0]")},
		} {
			t.Run(c.name, func(t *testing.T) {
				n++
				switch c.n.Email {
				case "":
					c.n.Email = address(fmt.Sprintf("user%d", n))
				case "-":
					c.n.Email = ""
				}
				made, err := w.Create(t.Context(), c.p, c.n)
				faulttest.Check(t, err, c.want)
				if err != nil {
					return
				}
				got, found, err := w.ForSignIn(t.Context(), c.p.Organization, c.n.Email)
				if err != nil || !found || got.ID != made.ID || got.HasPassword || made.Link.IsZero() ||
					got.State != Active {
					t.Errorf("%+v, %v, %v", got, found, err)
				}
			})
		}
	})
}

// A40, A55, ATK59, ATK60: who may change what of whom.
func TestATK59_Update(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, clerk := w.as(w.admin), w.as(w.clerk)
		machine, clerks := w.machine("", w.admin), w.machine(w.clerk.ID, w.clerk)
		stranger := principal.NewSystem("test", w.platform)
		stale := clerk
		stale.Permissions = admin.Permissions
		name := func(u *User) { u.Name = "another" }
		off := func(u *User) { u.State = Disabled }
		become := func(role string) func(u *User) { return func(u *User) { u.Role = role } }
		mail := func(to string) func(u *User) { return func(u *User) { u.Email = to } }
		const holds, own = "FORBIDDEN: This user holds ", "FORBIDDEN: Nobody changes their own role."
		taken := "CONFLICT: The e-mail address or the user name is taken"
		for _, c := range []struct {
			name   string
			p      principal.Principal
			of     User
			change func(u *User)
			want   string
		}{
			{"a name", admin, w.idle, name, ok},
			{"a name by one who holds as much", clerk, w.idle, name, ok},
			{"a name of one's equal", clerk, w.clerk, name, ok},
			{"a name of one who holds more", clerk, w.agent, name, holds + "tickets:read:team"},
			{"one who holds more, from better days", stale, w.agent, name, holds},
			{"a name of an administrator", clerk, w.admin, name, holds},
			{"an administrator off", clerk, w.admin, off, holds},
			{"a longer name", admin, w.idle, func(u *User) { u.Name = strings.Repeat("a", 201) }, invalid("name")},
			{"in another organization", stranger, w.idle, name, "NOT_FOUND: There is no such user."},

			{"a role", admin, w.idle, become(permission.RoleAgent), ok},
			{"a role that gives more", clerk, w.app, become(permission.RoleAgent),
				"FORBIDDEN: The role service_desk_agent"},
			{"a role that is none", admin, w.idle, become("nothing"), invalid("role")},
			{"an operator in a tenant", w.system, w.idle, become(permission.RoleSuperUser),
				"FORBIDDEN: The role super_admin"},
			{"one's own role", admin, w.admin, become(permission.RoleEndUser), own},
			{"one's own role by one's own key", clerks, w.clerk, become(permission.RoleEndUser), own},

			{"off", admin, w.idle, off, ok},
			{"on", admin, w.idle, func(u *User) { u.State = Active }, ok},
			{"oneself off", admin, w.admin, off, "FORBIDDEN: Nobody deactivates themselves."},
			{"oneself off by one's own key", clerks, w.clerk, off, "FORBIDDEN: Nobody deactivates themselves."},
			{"another state", admin, w.idle, func(u *User) { u.State = "deleted" }, invalid("state")},
			{"another kind", admin, w.idle, func(u *User) { u.Kind = "robot" }, invalid("type")},

			{"an address", admin, w.idle, mail(address("idle2")), ok},
			{"one's own address", admin, w.admin, mail(address("admin2")), ok},
			{"no address", admin, w.idle, mail("idle"), invalid("email")},
			{"an address that is taken", admin, w.idle, mail(address("AGENT")), taken},
			{"an address by a machine", machine, w.idle, mail(address("idle3")),
				"FORBIDDEN: A machine credential changes nobody's e-mail address"},
			{"a name by a machine", machine, w.idle, func(u *User) { u.Name = "by a machine" }, ok},
			{"a role by a machine", machine, w.idle, become(permission.RoleManager), ok},
			{"a user name", admin, w.idle, func(u *User) { u.Username = "idle4" }, ok},
			{"a user name that is taken", admin, w.idle, func(u *User) { u.Username = "Agent" }, taken},
			{"a user name that is another's address", admin, w.idle, func(u *User) { u.Username = address("agent") },
				invalid("username")},
			{"no user name", admin, w.idle, func(u *User) { u.Username = "" }, invalid("username")},
		} {
			t.Run(c.name, func(t *testing.T) {
				before, _ := w.Read(t.Context(), w.acme, c.of.ID)
				_, err := w.Update(t.Context(), c.p, c.of.ID, c.change)
				faulttest.Check(t, err, c.want)
				after, _ := w.Read(t.Context(), w.acme, c.of.ID)
				if wrote := !reflect.DeepEqual(after, before); wrote != (c.want == ok) {
					t.Errorf("wrote: %v", wrote)
				}
			})
		}
		bare, bareKey := w.as(w.app), w.machine(w.app.ID, w.app) // that may do nothing
		bare.Permissions, bareKey.Permissions = permission.Set{}, permission.Set{}
		for _, c := range []struct {
			name string
			err  error
			want string
		}{
			{"sessions of one's own", w.CheckMayEndSessions(t.Context(), bare, w.app.ID), ok},
			{"sessions of one's owner", w.CheckMayEndSessions(t.Context(), bareKey, w.app.ID), holds},
			{"sessions of one who holds more", w.CheckMayEndSessions(t.Context(), clerk, w.agent.ID), holds},
			{"sessions of one who does not", w.CheckMayEndSessions(t.Context(), clerk, w.app.ID), ok},
			{"sessions of nobody", w.CheckMayEndSessions(t.Context(), admin, "usr_1"), "NOT_FOUND: "},
			{"one's own second factor", w.RequireSecondFactor(t.Context(), admin, w.admin.ID, true),
				"FORBIDDEN: Nobody decides whether they must"},
			{"a second factor of one who holds more", w.RequireSecondFactor(t.Context(), clerk, w.agent.ID, true),
				holds},
			{"a second factor", w.RequireSecondFactor(t.Context(), admin, w.agent.ID, true), ok},
		} {
			t.Run(c.name, func(t *testing.T) { faulttest.Check(t, c.err, c.want) })
		}
	})
}

// A24, ATK19, B7, ATK53: what ends with a change, and where mail of it goes.
func TestB7_EndsWithAChange(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		for i, c := range []struct {
			name                    string
			kind                    Kind
			change                  func(u *User)
			sessions, tokens        string
			links, followed, mailed bool
		}{
			{"a name", Application, func(u *User) { u.Name = "b" }, "", "", true, false, false},
			{"a person off", Person, func(u *User) { u.State = Disabled }, "user_disabled", "", true, false, false},
			{"an application off", Application, func(u *User) { u.State = Disabled }, "user_disabled",
				"user.disabled", true, false, false},
			{"an application becomes a person", Application, func(u *User) { u.Kind = Person }, "", "user.updated",
				true, false, false},
			{"a person becomes an application", Person, func(u *User) { u.Kind = Application }, "", "", true, false,
				false},
			{"a role", Person, func(u *User) { u.Role = permission.RoleAgent }, "", "", false, false, false},
			{"an address", Person, func(u *User) { u.Email = "new-" + u.Email }, "", "", false, true, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				made, err := w.Create(t.Context(), w.system, NewUser{Email: address(fmt.Sprintf("user%d", i)),
					Role: permission.RoleEndUser, Kind: c.kind})
				if err != nil {
					t.Fatal(err)
				}
				u, err := w.Update(t.Context(), w.as(w.admin), made.ID, c.change)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.ended.sessions[u.ID]; got != c.sessions {
					t.Errorf("sessions ended: %q", got)
				}
				if got := w.ended.tokens[u.ID]; got != c.tokens {
					t.Errorf("tokens ended: %q", got)
				}
				_, err = w.onetime.Look(t.Context(), purposeSetPassword, made.Link, w.now())
				if (err == nil) != c.links {
					t.Errorf("the link: %v", err)
				}
				if followed := u.Username != made.Username; followed != c.followed || u.Username != u.Email {
					t.Errorf("the user name is %q", u.Username)
				}
				n, err := w.mails.Written(t.Context(), w.acme, string(u.ID), "email_changed", made.CreatedAt.Add(-1e9))
				if want := map[bool]int64{true: 2}[c.mailed]; n != want || err != nil {
					t.Errorf("%d mails, want %d, %v", n, want, err)
				}
			})
		}
	})
}
