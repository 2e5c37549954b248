package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

const ok = faulttest.OK

var invalid = faulttest.Invalid

// world is the services on one database with a tenant and the platform.
type world struct {
	*Service
	t              *testing.T
	users          *user.Service
	acme, platform id.Organization
	admin          user.User // of acme
}

// newService makes the services. The feed does not run, so that every read asks the database.
func newService(db *sqldb.DB) (*Service, *user.Service) {
	caches := &cache.Group{Feed: invalidation.New(db, slog.New(slog.DiscardHandler))}
	organizations := organization.New(db, caches, organization.MFAOptional, time.Now)
	roles := role.New(db, caches, time.Now)
	users := user.New(user.Deps{DB: db, Now: time.Now, Caches: caches, Organizations: organizations, Roles: roles})
	return New(db, caches, organizations, time.Now), users
}

func newWorld(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t}
	w.Service, w.users = newService(db)
	organize := func(slug string, platform bool) id.Organization {
		o, err := w.organizations.Create(t.Context(), principal.NewSystem("test", ""),
			organization.NewOrganization{Slug: slug, Name: slug, Platform: platform})
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	w.acme, w.platform = organize("acme-corp", false), organize("platform", true)
	c, err := w.users.Create(t.Context(), principal.NewSystem("test", w.acme), user.NewUser{
		Email: "admin@acme-corp.example", Role: permission.RoleAdmin, PasswordHash: "none"})
	if err != nil {
		t.Fatal(err)
	}
	w.admin = c.User
	return w
}

// person is the administrator of acme in a session that holds a list; machine a key that does.
func (w *world) person(list ...string) principal.Principal {
	return principal.Principal{Kind: principal.User, ID: string(w.admin.ID), Home: w.acme, Organization: w.acme,
		Permissions: permission.ParseKnown(list)}
}

func (w *world) machine(list ...string) principal.Principal {
	return principal.Principal{Kind: principal.APIKey, ID: "key_1", Home: w.acme, Organization: w.acme,
		Permissions: permission.ParseKnown(list)}
}

// make makes a client with a secret.
func (w *world) make(list ...string) Client {
	w.t.Helper()
	p := w.person()
	p.Permissions = permission.ParseKnown([]string{"clients:manage:all", "tickets:manage:all", "users:manage:all"})
	c, err := w.Create(w.t.Context(), p, Fields{Client: Client{Name: "a client",
		Authentication: Authentication{Method: Secret}}, PermissionList: list}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// keys are one key pair of each sort, made once.
var keys = sync.OnceValue(func() map[string]any {
	made := func(k any, err error) any {
		if err != nil {
			panic(err)
		}
		return k
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	return map[string]any{
		"rsa":     made(rsa.GenerateKey(rand.Reader, 2048)),
		"p256":    made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384":    made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"ed25519": made(edwards, err),
	}
})

// public is the public half of a key in a set.
func public(sort, kid, use, algorithm string) jose.JSONWebKey {
	private := jose.JSONWebKey{Key: keys()[sort], KeyID: kid}
	k := private.Public()
	k.Use, k.Algorithm = use, algorithm
	return k
}

// set is a set of keys.
func set(list ...jose.JSONWebKey) *jose.JSONWebKeySet { return &jose.JSONWebKeySet{Keys: list} }
