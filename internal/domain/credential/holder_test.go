package credential

import (
	"fmt"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A15, B7, C1, ATK28: a user's credential follows its owner, and an organization's outlives its maker.
func TestA15_Holder(t *testing.T) {
	t.Parallel()
	const gone = "TOKEN_REVOKED: The owner of the credential is not active."
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		team := Request{Kind: APIKey, Permissions: []string{"tickets:read:team"}}
		reports := Request{Kind: AccessToken, Resources: []string{"reports"}}
		become := func(role string) func(u *user.User) { return func(u *user.User) { u.Role = role } }
		disable := func(u *user.User) { u.State = user.Disabled }
		for i, c := range []struct {
			name   string
			of     Request
			change func(u *user.User) // of the owner, or of the maker
			want   string
			held   string
		}{
			{"a user's", team, nil, ok, "tickets:read:team"},
			{"a user's whose role is cut", team, become(permission.RoleEndUser), ok, "tickets:read:own"},
			{"a user's whose role is widened", team, become(permission.RoleAdmin), ok, "tickets:read:team"},
			{"a user's whose role gives nothing of it", team, become("empty"), ok, ""},
			{"a user's who is disabled", team, disable, gone, ""},
			{"an access token", Request{Kind: AccessToken}, nil, ok,
				"tickets:create:own tickets:read:team tickets:update:team"},
			{"an access token whose user rises", Request{Kind: AccessToken}, become("maker"), ok,
				"access_tokens:manage:own api_keys:manage:own tickets:create:own tickets:read:own"},
			{"a narrow access token whose user rises", reports, become(permission.RoleManager), ok, "reports:read:all"},
			{"a narrow access token that gives nothing", reports, nil, ok, ""},
			{"an access token whose user is disabled", Request{Kind: AccessToken}, disable, gone, ""},
			{"an application's", Request{Kind: ApplicationToken}, nil, ok,
				"tickets:create:own tickets:read:team tickets:update:team"},
			{"an application's that is none any more", Request{Kind: ApplicationToken},
				func(u *user.User) { u.Kind = user.Person }, gone, ""},
			{"the organization's whose maker is disabled", Request{Kind: APIKey, Owner: w.ofAcme(),
				Permissions: []string{"users:read:all"}}, disable, ok, "users:read:all"},
		} {
			t.Run(c.name, func(t *testing.T) {
				u := w.add(w.acme, fmt.Sprintf("user%d", i), permission.RoleAgent, user.Application)
				maker := w.as(w.admin)
				if c.of.Owner == nil {
					c.of.Owner = ofUser(u)
				} else {
					maker.ID = string(w.add(w.acme, "maker-of-it", permission.RoleAdmin, user.Person).ID)
				}
				c.of.Name = c.name
				cr, err := w.Issue(t.Context(), maker, c.of)
				if err != nil {
					t.Fatal(err)
				}
				if c.change != nil {
					if c.of.Owner.Kind == OwnedByOrganization {
						u.ID = id.User(maker.ID)
					}
					if _, err := w.users.Update(t.Context(), w.system, u.ID, c.change); err != nil {
						t.Fatal(err)
					}
				}
				h, err := w.Holder(t.Context(), cr.Credential)
				faulttest.Check(t, err, c.want)
				if h.Permissions.Line() != c.held {
					t.Errorf("it gives %q, want %q", h.Permissions.Line(), c.held)
				}
			})
		}
		_, err := w.Holder(t.Context(), Credential{Kind: APIKey, Organization: w.acme, State: Active,
			Owner: *ofUser(w.stranger)})
		faulttest.Check(t, err, gone)
	})
}

// ATK35: a secret is no credential to act with, whatever its client may do.
func TestATK35_SecretHasNoHolder(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		secret := w.issue(Request{Kind: ClientSecret,
			Owner: w.ofClient(client.Authentication{Method: client.Secret}, "tickets:read:all")})
		h, err := w.Holder(t.Context(), secret.Credential)
		faulttest.Check(t, err, "unclassified: credential "+string(secret.ID)+": a client_secret has no holder")
		if h.Permissions.Len() > 0 {
			t.Errorf("it gives %q", h.Permissions.Line())
		}
	})
}
