package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client/clientdb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// stampEvery is how exactly the last use of a client is known.
const stampEvery = 30 * time.Second

// Service owns the clients.
type Service struct {
	db            *sqldb.DB
	now           func() time.Time
	organizations *organization.Service

	facts *cache.Cache[Client]
	homes *cache.Cache[id.Organization]
	uses  *stamp.Batch[time.Time]
}

// New makes the service.
func New(db *sqldb.DB, caches *cache.Group, organizations *organization.Service,
	now func() time.Time) *Service {
	return &Service{db: db, now: now, organizations: organizations,
		facts: cache.NewShared(caches, "client", 100_000, cache.Plain[Client]()),
		homes: cache.New[id.Organization](caches, "client_home", 100_000),
		uses:  stamp.New[time.Time](stampEvery)}
}

func key(org id.Organization, c id.Client) invalidation.Key {
	return invalidation.Key{Organization: org, ID: string(c)}
}

func fromRow(r clientdb.Client) (Client, error) {
	c := Client{ID: r.ID, Organization: r.OrganizationID, Name: r.Name, Description: r.Description,
		State: State(r.State), TokenLifetime: time.Duration(r.TokenSeconds) * time.Second,
		RefreshAllowed: r.RefreshAllowed, CertificateBound: r.CertificateBound, RateLimit: int(r.RateLimit),
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.Time(),
		UpdatedAt: r.UpdatedAt.Time(), LastUsedAt: r.LastUsedAt.Time()}
	var permissions []string
	err := errors.Join(json.Unmarshal([]byte(r.Permissions), &permissions),
		json.Unmarshal([]byte(r.Authentication), &c.Authentication),
		json.Unmarshal([]byte(r.AllowedAddresses), &c.Addresses))
	if err != nil {
		return Client{}, fmt.Errorf("client %s: %w", r.ID, err)
	}
	c.Permissions = permission.ParseKnown(permissions)
	return c, nil
}

func one(r clientdb.Client, err error) (Client, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Client{}, fault.NotFoundf("There is no such client.")
	}
	if err != nil {
		return Client{}, fmt.Errorf("client: load: %w", err)
	}
	return fromRow(r)
}

// Facts gives a client in any state, from the cache.
func (s *Service) Facts(ctx context.Context, org id.Organization, c id.Client) (Client, error) {
	return s.facts.Get(ctx, key(org, c), func(ctx context.Context) (Client, error) {
		return one(clientdb.New(s.db.Tenant(org)).Get(ctx, org, c))
	})
}

// Find gives a client by its id alone, as a token request names it.
func (s *Service) Find(ctx context.Context, c id.Client) (Client, error) {
	org, err := s.homes.Get(ctx, invalidation.Key{ID: string(c)}, func(ctx context.Context) (id.Organization, error) {
		org, err := clientdb.New(s.db.Platform("the organization of a client_id")).PlatformOrganization(ctx, c)
		if errors.Is(err, sqldb.ErrNoRows) {
			return "", fault.NotFoundf("There is no such client.")
		}
		return org, err
	})
	if err != nil {
		return Client{}, err
	}
	return s.Facts(ctx, org, c)
}

// checkGrant refuses permissions that p does not hold and those that nobody but a person could use: a client is
// nobody's own, so `own` and `team` mean nothing to it.
func (s *Service) checkGrant(ctx context.Context, p principal.Principal, list []string) (permission.Set, error) {
	if len(list) > maxPermissions {
		return permission.Set{}, fault.Invalidf("permissions", "must have at most %d entries", maxPermissions)
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return permission.Set{}, err
	}
	var wrong []fault.Field
	for i, text := range list {
		q, err := permission.Parse(text)
		if err == nil && q.Resource == permission.PlatformResource && !org.Platform {
			err = fmt.Errorf("is for the platform's own clients only")
		}
		if err == nil && q.Scope != permission.All {
			err = fmt.Errorf("must have the scope all: a client belongs to no user and to no team")
		}
		if err != nil {
			wrong = append(wrong, fault.Field{Field: fmt.Sprintf("permissions[%d]", i), Message: err.Error()})
		}
	}
	if len(wrong) > 0 {
		return permission.Set{}, fault.InvalidFields(wrong)
	}
	set := permission.ParseKnown(list)
	if missing := p.Permissions.Missing(set); len(missing) > 0 {
		return permission.Set{}, fault.Forbiddenf("You do not hold %s and cannot grant it.", missing[0])
	}
	return set, nil
}

// CheckMayStrengthen refuses to a principal what would give them more than they hold: changing a client, or getting a
// secret of it.
func CheckMayStrengthen(p principal.Principal, c Client) error {
	if missing := p.Permissions.Missing(c.Permissions); len(missing) > 0 {
		return fault.Forbiddenf("This client holds %s, which you do not; only someone who does may change it.",
			missing[0])
	}
	return nil
}

// CheckPerson refuses machines: a credential that could make others would outlive its own end.
func CheckPerson(p principal.Principal) error {
	if p.Kind != principal.User && !p.IsSystem() {
		return fault.Forbiddenf("A machine credential cannot make another one of this kind.")
	}
	return nil
}

// checkScope asks again what the route asked, of what the principal holds now.
func checkScope(p principal.Principal, action string) error {
	if p.Scope("clients", action) < permission.All {
		return fault.Forbiddenf("This needs clients:%s:all, which your role does not give any more.", action)
	}
	return nil
}

// Fields are what is decided about a client. Permissions are as written; the others as in Client.
type Fields struct {
	Client
	PermissionList []string
}

// Create makes a client. It needs clients:create:all. within, if any, runs in the same transaction, as the issue of the
// first secret does.
func (s *Service) Create(ctx context.Context, p principal.Principal, f Fields,
	within func(tx *sqldb.Tx, c Client) error) (Client, error) {
	if err := CheckPerson(p); err != nil {
		return Client{}, err
	}
	c := f.Client
	c.ID, c.Organization, c.State, c.CreatedBy = id.New[id.Client](), p.Organization, Active, p.ID
	if c.TokenLifetime == 0 {
		c.TokenLifetime = DefaultTokenLifetime
	}
	if err := c.check(); err != nil {
		return Client{}, err
	}
	if err := checkScope(p, "create"); err != nil {
		return Client{}, err
	}
	var err error
	if c.Permissions, err = s.checkGrant(ctx, p, f.PermissionList); err != nil {
		return Client{}, err
	}
	now := s.now()
	c.CreatedAt, c.UpdatedAt = now, now
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if err := s.insert(ctx, tx, p, c); err != nil || within == nil {
			return err
		}
		return within(tx, c)
	})
	return c, err
}

func (s *Service) insert(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Client) error {
	err := clientdb.New(tx).Insert(ctx, clientdb.InsertParams{OrganizationID: c.Organization, ID: c.ID, Name: c.Name,
		Description: c.Description, Authentication: encode(c.Authentication),
		Permissions: encode(c.Permissions.Strings()), TokenSeconds: int64(c.TokenLifetime / time.Second),
		RefreshAllowed: c.RefreshAllowed, CertificateBound: c.CertificateBound,
		RateLimit: int64(c.RateLimit), AllowedAddresses: encode(orEmpty(c.Addresses)), CreatedBy: c.CreatedBy,
		CreatedAt: sqldb.MillisOf(c.CreatedAt)})
	if err != nil {
		return fmt.Errorf("client: insert: %w", err)
	}
	if err := search.Add(ctx, tx, c.entry()); err != nil {
		return err
	}
	return s.changed(ctx, tx, p, c, "client.created",
		map[string]string{"name": c.Name, "method": string(c.Authentication.Method),
			"permissions": strings.Join(c.Permissions.Strings(), " ")})
}

// Provision makes the first client of an organization's systems, in the transaction that decided on it. It
// authenticates with a secret.
func (s *Service) Provision(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization, name string,
	permissions permission.Set) (Client, error) {
	now := s.now()
	c := Client{ID: id.New[id.Client](), Organization: org, Name: name, State: Active,
		Authentication: Authentication{Method: Secret}, Permissions: permissions, TokenLifetime: DefaultTokenLifetime,
		CreatedBy: p.ID, CreatedAt: now, UpdatedAt: now}
	if err := c.check(); err != nil {
		return Client{}, err
	}
	return c, s.insert(ctx, tx, p, c)
}

func orEmpty(list []netip.Prefix) []netip.Prefix {
	if list == nil {
		return []netip.Prefix{}
	}
	return list
}

func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Client, act string,
	details map[string]string) error {
	tx.Announce(s.facts.Message(key(c.Organization, c.ID)))
	return audit.RecordIn(ctx, tx, s.now(), c.Organization, p,
		audit.Entry{Act: act, TargetKind: "client", TargetID: string(c.ID), Details: details})
}

// Get finds a client that is not deleted. It needs clients:read:all.
func (s *Service) Get(ctx context.Context, p principal.Principal, c id.Client) (Client, error) {
	found, err := one(clientdb.New(s.db.Tenant(p.Organization)).Get(ctx, p.Organization, c))
	if err == nil && found.State == Deleted {
		return Client{}, fault.NotFoundf("There is no such client.")
	}
	return s.withUse(found), err
}

func (s *Service) withUse(c Client) Client {
	if used, ok := s.uses.Pending(key(c.Organization, c.ID)); ok && used.After(c.LastUsedAt) {
		c.LastUsedAt = used
	}
	return c
}

// List pages through the clients by id. It needs clients:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, after id.Client, limit int) ([]Client, error) {
	rows, err := clientdb.New(s.db.Tenant(p.Organization)).List(ctx, p.Organization, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("client: list: %w", err)
	}
	out := make([]Client, len(rows))
	for i, r := range rows {
		if out[i], err = fromRow(r); err != nil {
			return nil, err
		}
		out[i] = s.withUse(out[i])
	}
	return out, nil
}

// Update changes a client; change edits a copy. It needs clients:update:all and, but for switching off, no fewer rights
// than the client has.
func (s *Service) Update(ctx context.Context, p principal.Principal, c id.Client, change func(f *Fields)) (out Client,
	err error) {
	err = sqldb.Retry(func() error {
		out, err = s.update(ctx, p, c, change, nil)
		return err
	})
	return out, err
}

// Delete ends a client for good: its secrets and tokens are refused from now on and its id is never given again. It
// needs clients:delete:all. within runs in the same transaction, as the revocation of its secrets does.
func (s *Service) Delete(ctx context.Context, p principal.Principal, c id.Client,
	within func(tx *sqldb.Tx) error) error {
	return sqldb.Retry(func() error {
		_, err := s.update(ctx, p, c, func(f *Fields) { f.State = Deleted }, within)
		return err
	})
}

var stateActs = map[State]string{Active: "client.enabled", Off: "client.disabled", Deleted: "client.deleted"}

func (s *Service) update(ctx context.Context, p principal.Principal, c id.Client, change func(f *Fields),
	within func(tx *sqldb.Tx) error) (Client, error) {
	before, err := s.Get(ctx, p, c)
	if err != nil {
		return Client{}, err
	}
	f := Fields{before, before.Permissions.Strings()}
	change(&f)
	after := f.Client
	if err := after.check(); err != nil {
		return Client{}, err
	}
	action := "update"
	if after.State == Deleted {
		action = "delete"
	}
	if err := checkScope(p, action); err != nil {
		return Client{}, err
	}
	if after.State == Active && before.State == Off {
		if err := CheckPerson(p); err != nil { // what a person switched off no machine switches on
			return Client{}, err
		}
	}
	details := changes(before, after, f.PermissionList)
	if len(details) > 0 || after.State == Active && before.State != Active {
		// switching off and deleting take nothing from anyone's rights
		if err := CheckMayStrengthen(p, before); err != nil {
			return Client{}, err
		}
		if after.Permissions, err = s.checkGrant(ctx, p, f.PermissionList); err != nil {
			return Client{}, err
		}
	}
	if len(before.Permissions.Missing(after.Permissions)) > 0 {
		// else a credential that ends, or works from one place, hands what it may do to a client that does not
		if err := CheckPerson(p); err != nil {
			return Client{}, err
		}
	}
	for name := range details { // a machine gives a client no key of its own and no wider bounds
		if name != "name" && name != "description" && name != "permissions" {
			if err := CheckPerson(p); err != nil {
				return Client{}, err
			}
		}
	}
	after.UpdatedAt = sqldb.Version(s.now(), before.UpdatedAt)
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := clientdb.New(tx).
			Update(ctx, clientdb.UpdateParams{Name: after.Name, Description: after.Description,
				State: string(after.State), Authentication: encode(after.Authentication),
				Permissions:    encode(after.Permissions.Strings()),
				TokenSeconds:   int64(after.TokenLifetime / time.Second),
				RefreshAllowed: after.RefreshAllowed, CertificateBound: after.CertificateBound,
				RateLimit: int64(after.RateLimit), AllowedAddresses: encode(orEmpty(after.Addresses)),
				Now: sqldb.MillisOf(after.UpdatedAt), OrganizationID: p.Organization, ID: c,
				Was: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("client: update: %w", err)
		}
		if n == 0 {
			return sqldb.ErrStale
		}
		if within != nil {
			if err := within(tx); err != nil {
				return err
			}
		}
		if err := search.Change(ctx, tx, before.entry(), after.entry()); err != nil {
			return err
		}
		act := "client.updated"
		if after.State != before.State {
			act = stateActs[after.State]
		}
		return s.changed(ctx, tx, p, after, act, details)
	})
	return after, err
}

// changes names what an update changes apart from the state.
func changes(before, after Client, list []string) map[string]string {
	out := make(map[string]string)
	for _, c := range []struct {
		name     string
		from, to any
	}{
		{"name", before.Name, after.Name}, {"description", before.Description, after.Description},
		{"permissions", strings.Join(before.Permissions.Strings(), " "), strings.Join(list, " ")},
		{"tokenLifetimeSeconds", before.TokenLifetime / time.Second, after.TokenLifetime / time.Second},
		{"refreshTokens", before.RefreshAllowed, after.RefreshAllowed},
		{"certificateBoundTokens", before.CertificateBound, after.CertificateBound},
		{"rateLimitPerMinute", before.RateLimit, after.RateLimit},
		{"allowedAddresses", before.Addresses, after.Addresses},
		{"authentication", encode(before.Authentication), encode(after.Authentication)},
	} {
		if from, to := fmt.Sprint(c.from), fmt.Sprint(c.to); from != to {
			out[c.name] = from + " -> " + to
		}
	}
	return out
}

// Touch notes a use of a client. It writes nothing itself.
func (s *Service) Touch(c Client, now time.Time) {
	if k := key(c.Organization, c.ID); s.uses.Due(k, now) {
		s.uses.Note(k, now, now)
	}
}
