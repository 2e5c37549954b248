package user

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A27: who must have a second factor.
func TestA27_MustHaveSecondFactor(t *testing.T) {
	t.Parallel()
	const optional, administrators, required = organization.MFAOptional, organization.MFAAdministrators,
		organization.MFARequired
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		for _, c := range []struct {
			name   string
			policy organization.MFAPolicy
			u      User
			want   bool
		}{
			{"optional", optional, User{Role: permission.RoleAdmin}, false},
			{"optional but for this one", optional, User{Role: permission.RoleEndUser, MFARequired: true}, true},
			{"administrators, an administrator", administrators, User{Role: permission.RoleAdmin}, true},
			{"administrators, one who changes users", administrators, User{Role: "clerk"}, true},
			{"administrators, a manager", administrators, User{Role: permission.RoleManager}, false},
			{"administrators, a role that is gone", administrators, User{Role: "nothing"}, false},
			{"administrators, this one too", administrators, User{Role: permission.RoleAgent, MFARequired: true}, true},
			{"required", required, User{Role: permission.RoleEndUser}, true},
			{"required, an application", required, User{Kind: Application}, true},
			{"required, an exempt application", required, User{Kind: Application, MFAExempt: true}, false},
			{"an exempt application that must", required, User{Kind: Application, MFAExempt: true, MFARequired: true},
				false},
			{"required, a person with the mark of an exemption", required, User{Kind: Person, MFAExempt: true}, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				org := organization.Organization{ID: w.acme}
				org.Settings.MFA = c.policy
				c.u.Organization = w.acme
				if got, err := w.MustHaveSecondFactor(t.Context(), org, c.u); got != c.want || err != nil {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
	})
}

// A40, ATK57: whom one may invite as what.
func TestATK57_Invite(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, clerk := w.as(w.admin), w.as(w.clerk)
		for _, c := range []struct {
			name string
			p    principal.Principal
			n    NewUser
			want string
		}{
			{"an end user", clerk, NewUser{Role: permission.RoleEndUser}, ok},
			{"one who may do more", clerk, NewUser{Role: permission.RoleAgent},
				"FORBIDDEN: The role service_desk_agent"},
			{"an operator", w.system, NewUser{Role: permission.RoleSuperUser}, "FORBIDDEN: The role super_admin"},
			{"a role that is none", admin, NewUser{Role: "nothing"}, invalid("role")},
			{"a team that is none", admin, NewUser{Role: permission.RoleEndUser, Teams: []id.Team{"team_1"}},
				invalid("teams[0]")},
			{"no address", admin, NewUser{Email: "x", Role: permission.RoleEndUser}, invalid("email")},
			{"a user", admin, NewUser{Email: address("IDLE"), Role: permission.RoleEndUser},
				"CONFLICT: There is a user with this e-mail address already."},
			{"a longer name", admin, NewUser{Name: strings.Repeat("a", 201), Role: permission.RoleEndUser},
				invalid("name")},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.n.Email == "" {
					c.n.Email = address("new")
				}
				_, _, err := w.Invite(t.Context(), c.p, c.n)
				faulttest.Check(t, err, c.want)
			})
		}
	})
}

// ATK57: an invitation is accepted once and in time, and its role can only be lowered.
func TestATK57_Invitation(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, clerk, source := w.as(w.admin), w.as(w.clerk), principal.Source{Address: "192.0.2.7"}
		become := func(role string) func(i id.Invitation) error {
			return func(i id.Invitation) error {
				_, err := w.UpdateInvitation(t.Context(), admin, i, nil, &role)
				return err
			}
		}
		revoke := func(i id.Invitation) error { return w.RevokeInvitation(t.Context(), admin, i) }
		suspend := func(id.Invitation) error {
			_, err := w.organizations.Update(t.Context(), w.system, w.acme, func(o *organization.Organization) error {
				o.State = organization.Suspended
				return nil
			})
			return err
		}
		const dead = "INVALID_TOKEN: "
		for i, c := range []struct {
			name   string
			change func(i id.Invitation) error
			then   string
			after  time.Duration
			plain  string
			want   string
			role   string
		}{
			{"as it is", nil, ok, 0, good, ok, permission.RoleManager},
			{"a lower role", become(permission.RoleEndUser), ok, 0, good, ok, permission.RoleEndUser},
			{"a higher role", become(permission.RoleAdmin), "CONFLICT: The role of an invitation can only be lowered.",
				0,
				good, ok, permission.RoleManager},
			{"a role that is none", become("nothing"), invalid("role"), 0, good, ok, permission.RoleManager},
			{"a name by who may do less", func(i id.Invitation) error {
				name := "another"
				_, err := w.UpdateInvitation(t.Context(), clerk, i, &name, nil)
				return err
			}, "FORBIDDEN: The role service_desk_manager gives", 0, good, ok, permission.RoleManager},
			{"revoked", revoke, ok, 0, good, dead, ""},
			{"late", nil, ok, LinkLifetime, good, dead, ""},
			{"just in time", nil, ok, LinkLifetime - time.Minute, good, ok, permission.RoleManager},
			{"a weak password", nil, ok, 0, "weak", invalid("password"), ""},
			{"to an organization that is suspended", suspend, ok, 0, good, "FORBIDDEN: The organization is not active.",
				""},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.later.Store(0)
				inv, link, err := w.Invite(t.Context(), admin, NewUser{Email: address("invited" + string(rune('a'+i))),
					Role: permission.RoleManager})
				if err != nil {
					t.Fatal(err)
				}
				if c.change != nil {
					faulttest.Check(t, c.change(inv.ID), c.then)
				}
				w.later.Store(int64(c.after))
				state := map[string]InvitationState{"revoked": Revoked, "late": Expired}[c.name]
				if state == "" {
					state = Pending
				}
				if got, err := w.GetInvitation(t.Context(), admin, inv.ID); err != nil || got.State != state {
					t.Errorf("it is %s, %v", got.State, err)
				}
				u, err := w.Accept(t.Context(), source, link, "", c.plain)
				faulttest.Check(t, err, c.want)
				if err != nil {
					return
				}
				if u.Role != c.role || u.Email != inv.Email {
					t.Errorf("%s of %s", u.Role, u.Email)
				}
				_, err = w.Accept(t.Context(), source, link, "", good)
				faulttest.Check(t, err, dead)
				_, err = w.UpdateInvitation(t.Context(), admin, inv.ID, nil, nil)
				faulttest.Check(t, err, "CONFLICT: The invitation was accepted or revoked.")
			})
		}
	})
}
