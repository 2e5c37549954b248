package connection

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Caches        *cache.Group
	Ring          *keyring.Ring
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Places        Places
	Allowed       func(address string) error // whether an address may be asked
	Generate      func(name string) (OwnKey, error)
	Resolver      Resolver
	Mails         *mail.Outbox
	OneTime       *onetime.Service
}

// Service owns connections, domains and identities.
type Service struct {
	Deps
	facts    *cache.Cache[Connection]
	homes    *cache.Cache[id.Organization]
	domains  *cache.Cache[Domain]
	enforced *cache.Cache[[]string]
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{Deps: d,
		facts:    cache.New[Connection](d.Caches, "connection", 5000), // some 10 KiB each
		homes:    cache.New[id.Organization](d.Caches, "connection_home", 20_000),
		domains:  cache.New[Domain](d.Caches, "domain", 20_000),
		enforced: cache.New[[]string](d.Caches, "enforced_domains", 20_000)}
}

func key(org id.Organization, c id.Connection) invalidation.Key {
	return invalidation.Key{Organization: org, ID: string(c)}
}

func place(org id.Organization, c id.Connection) string {
	return "connection " + string(org) + " " + string(c)
}

// stored is how secrets are written before they are sealed.
type stored struct {
	ClientSecret string      `json:"clientSecret,omitempty"`
	PrivateKey   string      `json:"privateKey,omitempty"`
	Account      string      `json:"account,omitempty"`
	Keys         []storedKey `json:"keys,omitempty"`
}

type storedKey struct {
	PrivateKey  string    `json:"privateKey"`
	Certificate string    `json:"certificate"`
	CreatedAt   time.Time `json:"createdAt"`
}

func (s *Service) seal(c Connection) string {
	v := stored{ClientSecret: c.Secrets.ClientSecret.Reveal(), PrivateKey: c.Secrets.PrivateKey.Reveal(),
		Account: c.Secrets.Account.Reveal()}
	for _, k := range c.Secrets.Keys {
		v.Keys = append(v.Keys, storedKey{k.PrivateKey.Reveal(), k.Certificate, k.CreatedAt})
	}
	return s.Ring.Seal([]byte(encode(v)), place(c.Organization, c.ID))
}

func (s *Service) open(org id.Organization, c id.Connection, sealed string) (Secrets, error) {
	plain, err := s.Ring.Open(sealed, place(org, c))
	if err != nil {
		return Secrets{}, fmt.Errorf("connection %s: %w", c, err)
	}
	var v stored
	if err := json.Unmarshal(plain, &v); err != nil {
		return Secrets{}, fmt.Errorf("connection %s: its secrets cannot be read", c)
	}
	out := Secrets{ClientSecret: secret.New(v.ClientSecret), PrivateKey: secret.New(v.PrivateKey),
		Account: secret.New(v.Account)}
	for _, k := range v.Keys {
		out.Keys = append(out.Keys, OwnKey{secret.New(k.PrivateKey), k.Certificate, k.CreatedAt})
	}
	return out, nil
}

func (s *Service) one(r connectiondb.Connection, err error) (Connection, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Connection{}, errNone()
	}
	if err != nil {
		return Connection{}, fmt.Errorf("load connection: %w", err)
	}
	c := Connection{ID: r.ID, Organization: r.OrganizationID, Kind: Kind(r.Kind), Name: r.Name, State: State(r.State),
		Ceiling: r.Ceiling, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.Time(), UpdatedAt: r.UpdatedAt.Time(),
		EndedAt: r.EndedAt.Time()}
	if err := json.Unmarshal([]byte(r.Settings), &c.Settings); err != nil {
		return Connection{}, fmt.Errorf("connection %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.Upkeep), &c.Upkeep); err != nil {
		return Connection{}, fmt.Errorf("connection %s: %w", r.ID, err)
	}
	c.Secrets, err = s.open(c.Organization, c.ID, r.Secrets)
	return c, err
}

func errNone() error { return fault.NotFoundf("There is no such connection.") }

// Facts gives a connection in any state, from the cache of this process: its secrets are in it.
func (s *Service) Facts(ctx context.Context, org id.Organization, c id.Connection) (Connection, error) {
	return s.facts.Get(ctx, key(org, c), func(ctx context.Context) (Connection, error) {
		return s.one(connectiondb.New(s.DB.Tenant(org)).Get(ctx, org, c))
	})
}

// Find gives a connection by its id alone, as an address names it.
func (s *Service) Find(ctx context.Context, c id.Connection) (Connection, error) {
	org, err := s.homes.Get(ctx, invalidation.Key{ID: string(c)}, func(ctx context.Context) (id.Organization, error) {
		org, err := connectiondb.New(s.DB.Platform("the organization of a connection")).PlatformOrganization(ctx, c)
		if errors.Is(err, sqldb.ErrNoRows) {
			return "", errNone()
		}
		return org, err
	})
	if err != nil {
		return Connection{}, err
	}
	return s.Facts(ctx, org, c)
}

// Holds tells whether what a connection let somebody in for at a moment goes on: it is active, was not off since, and
// their role is one that it may give.
func (s *Service) Holds(ctx context.Context, org id.Organization, c id.Connection, role string,
	since time.Time) (bool, error) {
	f, err := s.Facts(ctx, org, c)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil || f.State != Active || !since.After(f.EndedAt) {
		return false, err
	}
	return s.within(ctx, f, role)
}

// OnlyActive gives the one active connection of a kind, or NotFound for none and for several.
func (s *Service) OnlyActive(ctx context.Context, org id.Organization, kind Kind) (Connection, error) {
	ids, err := connectiondb.New(s.DB.Tenant(org)).ActiveOfKind(ctx, org, string(kind), 2)
	if err != nil {
		return Connection{}, fmt.Errorf("connections of a kind: %w", err)
	}
	if len(ids) != 1 {
		return Connection{}, errNone()
	}
	return s.Facts(ctx, org, ids[0])
}

// ByIssuer gives the only active connection of a kind to a provider, over all organizations, or NotFound for none and
// for several.
func (s *Service) ByIssuer(ctx context.Context, issuer string, kind Kind) (Connection, error) {
	rows, err := connectiondb.New(s.DB.Platform("whose provider answered")).
		PlatformByIssuer(ctx, issuer, string(kind))
	if err != nil {
		return Connection{}, fmt.Errorf("connections by issuer: %w", err)
	}
	if len(rows) != 1 {
		return Connection{}, errNone()
	}
	return s.Facts(ctx, rows[0].OrganizationID, rows[0].ID)
}

// ByRedirect gives the only organization that registered a redirect_uri and has an active connection of a kind.
func (s *Service) ByRedirect(ctx context.Context, uri string, kind Kind) (id.Organization, error) {
	orgs, err := connectiondb.New(s.DB.Platform("whose redirect_uri this is")).
		PlatformByRedirect(ctx, uri, string(kind))
	if err != nil {
		return "", fmt.Errorf("connections by redirect: %w", err)
	}
	if len(orgs) != 1 {
		return "", errNone()
	}
	return orgs[0], nil
}

// Get finds a connection. It needs sso:read:all.
func (s *Service) Get(ctx context.Context, p principal.Principal, c id.Connection) (Connection, error) {
	return s.one(connectiondb.New(s.DB.Tenant(p.Organization)).Get(ctx, p.Organization, c))
}

// List pages through the connections by id. It needs sso:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, after id.Connection, limit int) ([]Connection,
	error) {
	rows, err := connectiondb.New(s.DB.Tenant(p.Organization)).List(ctx, p.Organization, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	out := make([]Connection, len(rows))
	for i, r := range rows {
		if out[i], err = s.one(r, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Create makes a draft. It needs sso:create:all.
func (s *Service) Create(ctx context.Context, p principal.Principal, c Connection) (Connection, error) {
	return s.create(ctx, p, c, func(*sqldb.Tx, Connection) error { return nil })
}

// create makes a draft, with something else in the same transaction.
func (s *Service) create(ctx context.Context, p principal.Principal, c Connection,
	within func(tx *sqldb.Tx, made Connection) error) (Connection, error) {
	p, err := s.author(ctx, p)
	if err != nil {
		return Connection{}, err
	}
	org, err := s.Organizations.Facts(ctx, p.Organization)
	if err != nil {
		return Connection{}, err
	}
	c.ID, c.Organization, c.State, c.CreatedBy = id.New[id.Connection](), p.Organization, Draft, p.ID
	if p.Kind == principal.SetupLink && p.Owner != "" { // the audit log names the link
		c.CreatedBy = string(p.Owner)
	}
	c.Ceiling = ceilingOf(p, org)
	if err := c.check(s.Places, s.Now(), s.Allowed); err != nil {
		return Connection{}, err
	}
	if err := s.checkRoles(ctx, p, c); err != nil {
		return Connection{}, err
	}
	if c.Kind == SAML {
		k, err := s.Generate(string(c.ID))
		if err != nil {
			return Connection{}, fmt.Errorf("key of connection: %w", err)
		}
		c.Secrets.Keys = []OwnKey{k}
	}
	now := s.Now()
	c.CreatedAt, c.UpdatedAt = now, now
	err = s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if err := organization.Hold(ctx, tx, p.Organization); err != nil {
			return err
		}
		q := connectiondb.New(tx)
		if n, err := q.Count(ctx, p.Organization); err != nil {
			return err
		} else if n >= maxConnections {
			return fault.Conflictf("An organization has at most %d connections.", maxConnections)
		}
		err := q.Insert(ctx, connectiondb.InsertParams{OrganizationID: c.Organization, ID: c.ID, Kind: string(c.Kind),
			Name: c.Name, Issuer: c.issuer(), Settings: encode(c.Settings), Secrets: s.seal(c), Ceiling: c.Ceiling,
			CreatedBy: c.CreatedBy, CreatedAt: sqldb.MillisOf(now)})
		if err != nil {
			return fmt.Errorf("insert connection: %w", err)
		}
		if err := within(tx, c); err != nil {
			return err
		}
		return s.changed(ctx, tx, p, c, "connection.created", map[string]string{"kind": string(c.Kind),
			"name": c.Name, "issuer": c.issuer()})
	})
	return c, err
}

// issuer is what the provider calls itself, as far as the settings say.
func (c Connection) issuer() string {
	switch {
	case c.OpenID != nil:
		return c.OpenID.Issuer
	case c.Assertion != nil:
		return c.Assertion.EntityID
	}
	return ""
}

func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Connection, act string,
	details map[string]string) error {
	tx.Announce(s.facts.Message(key(c.Organization, c.ID)))
	return audit.RecordIn(ctx, tx, s.Now(), c.Organization, p,
		audit.Entry{Act: act, TargetKind: "connection", TargetID: string(c.ID), Details: details})
}

// Update changes a connection; change edits a copy. It needs sso:update:all and, but for switching off, no fewer rights
// than those who may come in.
func (s *Service) Update(ctx context.Context, p principal.Principal, c id.Connection,
	change func(c *Connection) error) (out Connection, err error) {
	err = sqldb.Retry(func() error {
		out, err = s.update(ctx, p, c, change)
		return err
	})
	return out, err
}

func (s *Service) update(ctx context.Context, p principal.Principal, c id.Connection,
	change func(c *Connection) error) (Connection, error) {
	p, err := s.author(ctx, p)
	if err != nil {
		return Connection{}, err
	}
	org, err := s.Organizations.Facts(ctx, p.Organization)
	if err != nil {
		return Connection{}, err
	}
	before, err := s.Get(ctx, p, c)
	if err != nil {
		return Connection{}, err
	}
	after, err := s.Get(ctx, p, c) // a copy that shares nothing
	if err != nil {
		return Connection{}, err
	}
	after.Secrets.ClientSecret = secret.Secret{}
	if err := change(&after); err != nil {
		return Connection{}, err
	}
	kept := after.Secrets.ClientSecret.IsZero() && !before.Secrets.ClientSecret.IsZero()
	if kept {
		after.Secrets.ClientSecret = before.Secrets.ClientSecret
	}
	if err := after.check(s.Places, s.Now(), s.Allowed); err != nil {
		return Connection{}, err
	}
	if !after.Seen.IsZero() && !after.Seen.Equal(before.UpdatedAt) {
		return Connection{}, fault.Conflictf("The connection is not as it was read. Read it again.")
	}
	if before.State == Draft && after.State == Active && after.Seen.IsZero() && !p.IsSystem() {
		made, err := connectiondb.New(s.DB.Tenant(p.Organization)).MadeByLinks(ctx, p.Organization, c)
		if err != nil {
			return Connection{}, fmt.Errorf("who made a connection: %w", err)
		}
		if made > 0 { // whoever holds the link may change it between the look and the word
			return Connection{}, fault.Invalidf("updatedAt", "is required, as it was read: this connection was made "+
				"with a set-up link, and is switched on as you have seen it")
		}
	}
	if after.State == Draft && before.State != Draft {
		return Connection{}, fault.Invalidf("state", "must be active or off: it was in use")
	}
	details := changes(before, after)
	if len(details) > 0 || after.State == Active && before.State != Active { // switching off takes nothing
		if err := s.checkCeiling(ctx, p, before); err != nil {
			return Connection{}, err
		}
	}
	if kept && !sameClient(before, after) {
		return Connection{}, fault.Invalidf("clientSecret", "must be sent again: it would go to another provider, "+
			"or is another client's")
	}
	if encode(before.Roles) != encode(after.Roles) || encode(before.Provisioning) != encode(after.Provisioning) {
		if err := s.checkRoles(ctx, p, after); err != nil {
			return Connection{}, err
		}
		after.Ceiling = ceilingOf(p, org)
	}
	after.UpdatedAt = sqldb.Version(s.Now(), before.UpdatedAt)
	if before.State == Active && after.State == Off {
		after.EndedAt = after.UpdatedAt
	}
	err = s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := connectiondb.New(tx).Update(ctx, connectiondb.UpdateParams{Name: after.Name,
			State: string(after.State), Issuer: after.issuer(), Settings: encode(after.Settings),
			Secrets: s.seal(after), Ceiling: after.Ceiling, Now: sqldb.MillisOf(after.UpdatedAt),
			EndedAt: sqldb.MillisOf(after.EndedAt), OrganizationID: p.Organization, ID: c,
			Was: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("update connection: %w", err)
		}
		if n == 0 {
			return sqldb.ErrStale
		}
		act := "connection.updated"
		if after.State != before.State {
			act = map[State]string{Active: "connection.enabled", Off: "connection.disabled"}[after.State]
		}
		return s.changed(ctx, tx, p, after, act, details)
	})
	return after, err
}

// Delete removes a connection with everybody's identity in it; what it let in is over. It needs sso:delete:all and no
// fewer rights than those who may come in.
func (s *Service) Delete(ctx context.Context, p principal.Principal, c id.Connection) error {
	p, err := s.author(ctx, p)
	if err != nil {
		return err
	}
	if p.Scope("sso", "delete") < permission.All {
		return fault.Forbiddenf("This needs sso:delete:all, which your role does not give any more.")
	}
	found, err := s.Get(ctx, p, c)
	if err == nil {
		err = s.checkCeiling(ctx, p, found)
	}
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := connectiondb.New(tx)
		names, err := q.LeaveDomains(ctx, p.Organization, c)
		if err != nil {
			return fmt.Errorf("domains of connection: %w", err)
		}
		for _, name := range names {
			s.announceDomain(tx, p.Organization, name)
		}
		if n, err := q.Delete(ctx, p.Organization, c); err != nil {
			return fmt.Errorf("delete connection: %w", err)
		} else if n == 0 {
			return errNone()
		}
		tx.Announce(s.homes.Message(invalidation.Key{ID: string(c)}))
		return s.changed(ctx, tx, p, found, "connection.deleted", map[string]string{"name": found.Name})
	})
}

// changes names what an update changes apart from the state; secrets by name alone.
func changes(before, after Connection) map[string]string {
	out := make(map[string]string)
	for _, c := range []struct {
		name     string
		from, to any
	}{
		{"name", before.Name, after.Name}, {"openId", before.OpenID, after.OpenID},
		{"saml", before.Assertion, after.Assertion}, {"mapping", before.Mapping, after.Mapping},
		{"roles", before.Roles, after.Roles}, {"provisioning", before.Provisioning, after.Provisioning},
		{"trust", before.Trust, after.Trust}, {"ownAddress", before.OwnAddress, after.OwnAddress},
	} {
		from, to := encode(c.from), encode(c.to)
		switch {
		case from == to:
		case len(from)+len(to) > maxDetail:
			out[c.name] = "changed"
		default:
			out[c.name] = from + " -> " + to
		}
	}
	if !before.Secrets.ClientSecret.Equal(after.Secrets.ClientSecret) {
		out["clientSecret"] = "changed"
	}
	if !before.Secrets.Account.Equal(after.Secrets.Account) {
		out["serviceAccount"] = "changed"
	}
	if !before.Secrets.PrivateKey.Equal(after.Secrets.PrivateKey) {
		out["privateKey"] = "changed"
	}
	if !slices.EqualFunc(before.Secrets.Keys, after.Secrets.Keys, func(a, b OwnKey) bool {
		return a.Certificate == b.Certificate
	}) {
		out["keys"] = "changed"
	}
	return out
}

// maxDetail is how long a change may be that the audit log tells in full.
const maxDetail = 1000

func encode(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("connection: %v", err)) // plain strings, numbers and lists
	}
	return string(b)
}

// ParseSigner reads a private key for private_key_jwt: RSA of at least 2048 bits, or P-256, as PKCS #8 in PEM.
func ParseSigner(key secret.Secret) (crypto.Signer, error) { return parseSigner([]byte(key.Reveal())) }

// sameClient tells whether a client secret still goes where it went, for the same client.
func sameClient(a, b Connection) bool {
	return a.OpenID != nil && b.OpenID != nil && a.OpenID.ClientID == b.OpenID.ClientID &&
		a.OpenID.Issuer == b.OpenID.Issuer && a.OpenID.TenantID == b.OpenID.TenantID &&
		a.OpenID.Authority == b.OpenID.Authority
}
