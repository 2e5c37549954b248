package credential

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

const ok = faulttest.OK

var invalid = faulttest.Invalid

// world is the services on one database with an organization, roles of its own and users.
type world struct {
	*Service
	t      *testing.T
	later  atomic.Int64 // what the test added to the time
	acme   id.Organization
	other  id.Organization
	system principal.Principal

	admin, chief, issuer, maker, agent, idle, abroad, app, gone, stranger user.User
}

// noSessions stands in for the sessions, of which there are none.
type noSessions struct{}

func (noSessions) EndAll(context.Context, *sqldb.Tx, id.Organization, id.User, id.Session, string) (int, error) {
	return 0, nil
}

// noMinter makes values that are no JWTs.
type noMinter struct{}

func (noMinter) MintLongLived(Credential) (secret.Secret, error) { return secret.New(rand.Text()), nil }

// newService makes the services. The feed does not run, so that every read asks the database.
func newService(t *testing.T, db *sqldb.DB, now func() time.Time) *Service {
	t.Helper()
	ring, err := keyring.New([]secret.Secret{keyring.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	caches := &cache.Group{Feed: invalidation.New(db, slog.New(slog.DiscardHandler))}
	organizations := organization.New(db, caches, organization.MFAOptional, now)
	roles := role.New(db, caches, now)
	users := user.New(user.Deps{DB: db, Now: now, Caches: caches, Organizations: organizations, Roles: roles,
		OneTime: onetime.New(db, ring)})
	users.UseSessions(noSessions{})
	clients := client.New(db, caches, organizations, now)
	s := New(Deps{DB: db, Now: now, Caches: caches, Ring: ring, Organizations: organizations, Roles: roles,
		Users:   users,
		Clients: clients})
	users.UseCredentials(s)
	s.UseMinter(noMinter{})
	return s
}

// newWorld fills a database. The users are called by what they may do:
// admin everything, chief all API keys but only the tickets of a team, issuer all access tokens, maker own keys and
// access tokens, agent and idle nothing about credentials; app is an application, gone is disabled, abroad is an
// operator of another organization, and stranger a user of that.
func newWorld(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t}
	w.Service = newService(t, db, func() time.Time {
		return time.Now().UTC().Truncate(time.Millisecond).Add(time.Duration(w.later.Load()))
	})
	organize := func(slug string, platform bool) id.Organization {
		o, err := w.organizations.Create(t.Context(), principal.NewSystem("test", ""),
			organization.NewOrganization{Slug: slug, Name: slug, Platform: platform})
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	w.acme, w.other = organize("acme-corp", false), organize("platform", true)
	w.system = principal.NewSystem("test", w.acme)
	for name, list := range map[string]string{
		"chief":  "api_keys:manage:all tickets:read:team",
		"issuer": "access_tokens:manage:all tickets:read:team tickets:update:team tickets:create:own",
		"maker":  "api_keys:manage:own access_tokens:manage:own tickets:read:own tickets:create:own",
		"empty":  "",
	} {
		if _, err := w.roles.Create(t.Context(), w.system,
			role.Fields{Name: name, Permissions: strings.Fields(list)}); err != nil {
			t.Fatal(err)
		}
	}
	w.admin = w.add(w.acme, "admin", permission.RoleAdmin, user.Person)
	w.chief = w.add(w.acme, "chief", "chief", user.Person)
	w.issuer = w.add(w.acme, "issuer", "issuer", user.Person)
	w.maker = w.add(w.acme, "maker", "maker", user.Person)
	w.agent = w.add(w.acme, "agent", permission.RoleAgent, user.Person)
	w.idle = w.add(w.acme, "idle", permission.RoleEndUser, user.Person)
	w.app = w.add(w.acme, "app", permission.RoleEndUser, user.Application)
	w.gone = w.add(w.acme, "gone", permission.RoleEndUser, user.Person)
	w.disable(w.gone)
	w.abroad = w.add(w.other, "abroad", permission.RoleSuperUser, user.Person)
	w.stranger = w.add(w.other, "stranger", permission.RoleAdmin, user.Person)
	return w
}

// add makes a user.
func (w *world) add(org id.Organization, name, role string, kind user.Kind) user.User {
	w.t.Helper()
	c, err := w.users.Create(w.t.Context(), principal.NewSystem("test", org),
		user.NewUser{Email: name + "@acme-corp.example", Role: role, Kind: kind, PasswordHash: "none"})
	if err != nil {
		w.t.Fatal(err)
	}
	return c.User
}

func (w *world) disable(u user.User) {
	w.t.Helper()
	_, err := w.users.Update(w.t.Context(), w.system, u.ID, func(u *user.User) { u.State = user.Disabled })
	if err != nil {
		w.t.Fatal(err)
	}
}

// as is a user with what their role gives.
func (w *world) as(u user.User) principal.Principal {
	w.t.Helper()
	set, err := w.roles.PermissionsOf(w.t.Context(), u.Organization, u.Role)
	if err != nil {
		w.t.Fatal(err)
	}
	return principal.Principal{Kind: principal.User, ID: string(u.ID), Home: u.Organization,
		Organization: u.Organization, Permissions: set, Role: u.Role}
}

// with is a machine with a credential, as a request with it is joined.
func (w *world) with(c Credential) principal.Principal {
	w.t.Helper()
	h, err := w.Holder(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return principal.Principal{Kind: principal.Kind(c.Kind), ID: string(c.ID), Home: c.Organization,
		Organization: c.Organization, Permissions: h.Permissions, Owner: h.User.ID}
}

// issue makes a credential by right of the administrator.
func (w *world) issue(n Request) Issued {
	w.t.Helper()
	n.Name = "a name"
	i, err := w.Issue(w.t.Context(), w.as(w.admin), n)
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// ofUser and ofAcme are owners.
func ofUser(u user.User) *Owner { return &Owner{OwnedByUser, string(u.ID)} }

func (w *world) ofAcme() *Owner { return &Owner{OwnedByOrganization, string(w.acme)} }

// ofClient makes a client that authenticates in a way, for which there is nothing but its name.
func (w *world) ofClient(a client.Authentication, permissions ...string) *Owner {
	w.t.Helper()
	c, err := w.clients.Create(w.t.Context(), w.as(w.admin), client.Fields{
		Client: client.Client{Name: "a client", Authentication: a}, PermissionList: permissions}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &Owner{OwnedByClient, string(c.ID)}
}

// same makes a list of one text n times.
func same(n int, text string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = text
	}
	return out
}

// caller is the administrator whose present permissions are cut to a list.
func caller(w *world, list ...string) principal.Principal {
	w.t.Helper()
	p := w.as(w.admin)
	p.Permissions = permission.ParseKnown(list)
	return p
}
