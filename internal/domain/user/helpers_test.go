package user

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

const (
	ok = faulttest.OK
	// good is a password that meets every policy.
	good = "a perfectly fine passphrase"
)

var invalid = faulttest.Invalid

// ended notes what is ended in the transactions of changes.
type ended struct{ sessions, tokens map[id.User]string }

func (e *ended) EndAll(_ context.Context, _ *sqldb.Tx, _ id.Organization, u id.User, _ id.Session,
	reason string) (int, error) {
	e.sessions[u] = reason
	return 1, nil
}

func (e *ended) EndApplicationTokens(_ context.Context, _ *sqldb.Tx, _ principal.Principal, _ id.Organization,
	u id.User, reason string) error {
	e.tokens[u] = reason
	return nil
}

func (e *ended) Works(context.Context, id.Organization, id.Credential) (bool, error) {
	return true, nil
}

// sink takes mails that nobody sends.
type sink struct{}

func (sink) Send(context.Context, mail.Mail) error { return nil }

// world is the services on one database with a tenant, the platform and users.
type world struct {
	*Service
	t              *testing.T
	later          atomic.Int64 // what the test added to the time
	acme, platform id.Organization
	system         principal.Principal
	ended          *ended
	pool           *hashing.Pool

	admin, clerk, agent, idle, app User
}

// newService makes the services. The feed does not run, so that every read asks the database.
func newService(t *testing.T, db *sqldb.DB, hasher Hasher, now func() time.Time) *Service {
	t.Helper()
	ring, err := keyring.New([]secret.Secret{keyring.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	caches := &cache.Group{Feed: invalidation.New(db, log)}
	organizations := organization.New(db, caches, organization.MFAOptional, now)
	roles := role.New(db, caches, now)
	mails := mail.NewOutbox(mail.Deps{DB: db, Now: now, Log: log, Ring: ring, Sender: sink{}, Holder: "test",
		Count:  func(context.Context, time.Duration, []mail.Bound) error { return nil },
		Public: &url.URL{Scheme: "https", Host: "auth.example.com"}})
	s := New(Deps{DB: db, Now: now, Caches: caches, Organizations: organizations, Roles: roles,
		OneTime: onetime.New(db, ring), Hasher: hasher, Mails: mails})
	return s
}

// newWorld fills a database: admin may do everything in acme, clerk changes users and holds what an end user does,
// agent and idle have the roles of that name, and app is an application.
func newWorld(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t, ended: &ended{make(map[id.User]string), make(map[id.User]string)},
		pool: hashing.New(hashing.Options{Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}})}
	w.Service = newService(t, db, w.pool, func() time.Time {
		return time.Now().UTC().Truncate(time.Millisecond).Add(time.Duration(w.later.Load()))
	})
	w.UseSessions(w.ended)
	w.UseCredentials(w.ended)
	organize := func(slug string, platform bool) id.Organization {
		o, err := w.organizations.Create(t.Context(), principal.NewSystem("test", ""),
			organization.NewOrganization{Slug: slug, Name: slug, Platform: platform})
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	w.acme, w.platform = organize("acme-corp", false), organize("platform", true)
	w.system = principal.NewSystem("test", w.acme)
	clerk := strings.Fields("users:manage:all invitations:manage:all tickets:create:own tickets:read:own")
	if _, err := w.roles.Create(t.Context(), w.system, role.Fields{Name: "clerk", Permissions: clerk}); err != nil {
		t.Fatal(err)
	}
	w.admin = w.add("admin", permission.RoleAdmin, Person)
	w.clerk = w.add("clerk", "clerk", Person)
	w.agent = w.add("agent", permission.RoleAgent, Person)
	w.idle = w.add("idle", permission.RoleEndUser, Person)
	w.app = w.add("app", permission.RoleEndUser, Application)
	return w
}

// address is where mail reaches a user of acme-corp.
func address(name string) string { return name + "@acme-corp.example" }

// add makes a user of acme whose password is good.
func (w *world) add(name, role string, kind Kind) User {
	w.t.Helper()
	hash, err := w.hasher.Hash(w.t.Context(), "test", good)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.Create(w.t.Context(), w.system, NewUser{Email: address(name), Username: name, Role: role, Kind: kind,
		PasswordHash: hash})
	if err != nil {
		w.t.Fatal(err)
	}
	return c.User
}

// as is a user with what their role gives.
func (w *world) as(u User) principal.Principal {
	w.t.Helper()
	set, err := w.roles.PermissionsOf(w.t.Context(), u.Organization, u.Role)
	if err != nil {
		w.t.Fatal(err)
	}
	return principal.Principal{Kind: principal.User, ID: string(u.ID), Home: u.Organization,
		Organization: u.Organization, Permissions: set, Role: u.Role}
}

// machine is an API key of a user, or of the organization if there is none, that holds what a user does.
func (w *world) machine(owner id.User, like User) principal.Principal {
	w.t.Helper()
	p := w.as(like)
	p.Kind, p.ID, p.Owner = principal.APIKey, "key_1", owner
	return p
}
