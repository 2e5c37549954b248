package credential

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// Minter signs the values of JWT kinds.
type Minter interface {
	MintLongLived(c Credential) (secret.Secret, error)
}

// Service owns the credentials.
type Service struct {
	db      *sqldb.DB
	now     func() time.Time
	digests sync.Pool

	organizations *organization.Service

	roles   *role.Service
	users   *user.Service
	clients *client.Service
	minter  Minter
	facts   *cache.Cache[Credential]
	places  *cache.Cache[place]
	uses    *stamp.Batch[time.Time]
	good    *bounded.Cache[bounded.Key, struct{}] // digests that opened a credential lately
}

// stampEvery is how exactly the last use is known.
const stampEvery = 30 * time.Second

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Caches        *cache.Group
	Ring          *keyring.Ring
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Clients       *client.Service
}

// New makes the service. The minter is named later (UseMinter), since tokens build on credentials.
func New(d Deps) *Service {
	key := d.Ring.Subkey("credentials")
	return &Service{db: d.DB, now: d.Now, digests: sync.Pool{New: func() any { return newDigester(key) }},
		organizations: d.Organizations, roles: d.Roles, users: d.Users, clients: d.Clients,
		facts: cache.NewShared(d.Caches, "credential", 200_000, cache.As(toShared, fromShared)),
		places: cache.NewShared(d.Caches, "credential_place", 200_000,
			cache.As(func(p place) [2]string { return [2]string{string(p.org), string(p.id)} },
				func(w [2]string) place { return place{id.Organization(w[0]), id.Credential(w[1])} })),
		uses: stamp.New[time.Time](stampEvery),
		good: bounded.New[struct{}](200_000)}
}

// UseMinter names who signs.
func (s *Service) UseMinter(m Minter) { s.minter = m }

func key(org id.Organization, c id.Credential) invalidation.Key {
	return invalidation.Key{Organization: org, ID: string(c)}
}

// Request describes a credential to issue.
type Request struct {
	Kind        Kind
	Name        string
	Purpose     string    // empty: the name
	Owner       *Owner    // nil: the maker, or the organization where only it can own one
	Permissions []string  // stored kinds; nil: the kind's own default
	Resources   []string  // access tokens
	ExpiresAt   time.Time // zero: never
	RateLimit   *int      // nil: the kind's own default; 0: none
	Addresses   []netip.Prefix
}

// Issued is a new credential with its value, which exists nowhere else.
type Issued struct {
	Credential
	Value secret.Secret
}

// Issue makes a credential. It needs <resource>:create in the scope that the owner demands: own for oneself, all for
// anyone else and for the organization.
func (s *Service) Issue(ctx context.Context, p principal.Principal, n Request) (Issued, error) {
	c, err := s.prepare(ctx, p, n)
	if err != nil {
		return Issued{}, err
	}
	value, err := s.mint(&c)
	if err != nil {
		return Issued{}, err
	}
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error { return s.insert(ctx, tx, p, c) })
	return Issued{c, value}, err
}

// CreateClient makes an OAuth client and, if it authenticates with a secret, the first one, in one transaction. It
// needs clients:create:all.
func (s *Service) CreateClient(ctx context.Context, p principal.Principal, f client.Fields) (made client.Client,
	value secret.Secret, err error) {
	made, err = s.clients.Create(ctx, p, f, func(tx *sqldb.Tx, owner client.Client) (err error) {
		if owner.Authentication.Method != client.Secret {
			return nil
		}
		now := s.now()
		c := Credential{ID: table[ClientSecret].ids.make(), Organization: p.Organization, Kind: ClientSecret,
			Name: owner.Name, Purpose: owner.Name, Owner: Owner{OwnedByClient, string(owner.ID)},
			State: Active, CreatedBy: p.ID, CreatedAt: now, UpdatedAt: now}
		if value, err = s.mint(&c); err != nil {
			return err
		}
		return s.insert(ctx, tx, p, c)
	})
	return made, value, err
}

// DeleteClient ends an OAuth client with its secrets, for good. It needs clients:delete:all.
func (s *Service) DeleteClient(ctx context.Context, p principal.Principal, c id.Client) error {
	return s.clients.Delete(ctx, p, c, func(tx *sqldb.Tx) error {
		return s.endOf(ctx, tx, p, p.Organization, string(c), ClientSecret, "client_deleted")
	})
}

// IssueClientSecret makes another secret for a client. It needs clients:update:all and no fewer rights than the client
// has.
func (s *Service) IssueClientSecret(ctx context.Context, p principal.Principal, owner client.Client, name,
	purpose string, expires time.Time) (Issued, error) {
	if err := client.CheckPerson(p); err != nil {
		return Issued{}, err
	}
	return s.Issue(ctx, p, Request{Kind: ClientSecret, Name: name, Purpose: purpose,
		Owner: &Owner{OwnedByClient, string(owner.ID)}, ExpiresAt: expires})
}

// prepare validates and judges.
func (s *Service) prepare(ctx context.Context, p principal.Principal, n Request) (c Credential, err error) {
	r := table[n.Kind]
	if p.Kind != principal.User && !p.IsSystem() && !mayMint(p, n.Kind) {
		// else it could outlive its own end through a child
		return c, fault.Forbiddenf("This kind of machine credential cannot make another one of that kind.")
	}
	now := s.now()
	c = Credential{ID: r.ids.make(), Organization: p.Organization, Kind: n.Kind, State: Active, CreatedBy: p.ID,
		CreatedAt: now, UpdatedAt: now, RateLimit: r.Rate, ExpiresAt: n.ExpiresAt,
		Resources: n.Resources, Addresses: n.Addresses}
	if n.RateLimit != nil {
		c.RateLimit = *n.RateLimit
	}
	if c.Owner, err = s.ownerOf(p, n); err != nil {
		return c, err
	}
	if slices.Contains(r.Owners, OwnedByClient) {
		owner, err := s.clients.Get(ctx, p, id.Client(c.Owner.ID))
		if err != nil {
			return c, err
		}
		if owner.Authentication.Method != client.Secret {
			return c, fault.Conflictf("The client authenticates with %s and has no secrets.",
				owner.Authentication.Method)
		}
	}
	if mayMint(p, n.Kind) {
		if err := s.inherit(ctx, p, n, &c); err != nil {
			return c, err
		}
	}
	if c.Name, err = checkText("name", n.Name, 1, 200); err != nil {
		return c, err
	}
	c.Purpose = n.Purpose
	ceiling, err := s.ceiling(ctx, p, n.Kind, c.Owner)
	if err != nil {
		return c, err
	}
	switch {
	case r.Stored:
		list := n.Permissions
		if r.Default != nil && list == nil {
			list = permission.ParseKnown(r.Default()).Within(p.Permissions).Strings()
		}
		if c.Permissions, err = s.checkPermissions(ctx, p, n.Kind, c.Owner, list, ceiling); err != nil {
			return c, err
		}
	case n.Permissions != nil:
		return c, fault.Invalidf("permissions", "come from the owner's role and cannot be given")
	default: // the issuer holds whatever the credential will give
		if missing := p.Permissions.Missing(ceiling); len(missing) > 0 {
			return c, fault.Forbiddenf("The owner holds %s, which you do not.", missing[0])
		}
	}
	if err := s.check(&c); err != nil || r.Most == 0 {
		return c, err
	}
	kept, err := credentialdb.New(s.db.Tenant(p.Organization)).
		CountKept(ctx, p.Organization, c.Owner.ID, string(c.Kind))
	if err != nil {
		return c, fmt.Errorf("credential: count: %w", err)
	}
	if kept >= int64(r.Most) {
		return c, fault.Conflictf("There are %d of these already, which is the most; revoke some first.", r.Most)
	}
	return c, nil
}

// mayMint tells whether a machine may make others of a kind (G12).
func mayMint(p principal.Principal, kind Kind) bool {
	by := table[kind].MadeBy
	return by != nil && by(p)
}

// inherit holds what a machine makes to its maker's bounds: what is not said is the maker's, what is said is no wider.
func (s *Service) inherit(ctx context.Context, p principal.Principal, n Request, c *Credential) error {
	parent, err := s.Facts(ctx, p.Home, id.Credential(p.ID))
	if err != nil {
		return err
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = parent.ExpiresAt
	}
	if len(c.Addresses) == 0 {
		c.Addresses = parent.Addresses
	}
	if n.RateLimit == nil {
		c.RateLimit = parent.RateLimit
	}
	return withinBounds(*c, parent)
}

// isMachine tells whether it is a credential that asks.
func isMachine(p principal.Principal) bool { return p.Kind != principal.User && !p.IsSystem() }

// checkBounds holds a credential to the bounds of the one that asks.
func (s *Service) checkBounds(ctx context.Context, p principal.Principal, c Credential) error {
	by, err := s.Facts(ctx, p.Home, id.Credential(p.ID))
	if fault.Is(err, fault.NotFound) { // a client: its bounds are of another sort
		return fault.Forbiddenf("Only a person, or a credential with the same bounds, may do this.")
	}
	if err != nil {
		return err
	}
	return withinBounds(c, by)
}

// withinBounds refuses a credential whose value a machine gets, unless it is bounded as that one at least.
func withinBounds(c, by Credential) error {
	switch {
	case !by.ExpiresAt.IsZero() && (c.ExpiresAt.IsZero() || c.ExpiresAt.After(by.ExpiresAt)):
		return fault.Forbiddenf("What a credential makes, rotates or gives more to expires no later than itself.")
	case by.RateLimit > 0 && (c.RateLimit == 0 || c.RateLimit > by.RateLimit):
		return fault.Forbiddenf("What a credential makes, rotates or gives more to has no higher limit than itself.")
	case !covered(c.Addresses, by.Addresses):
		return fault.Forbiddenf("What a credential makes, rotates or gives more to works from no other addresses " +
			"than itself.")
	}
	return nil
}

// covered tells whether every network lies in one of the outer ones; none at all is everywhere.
func covered(inner, outer []netip.Prefix) bool {
	if len(outer) == 0 {
		return true
	}
	for _, p := range inner {
		if !slices.ContainsFunc(outer, func(o netip.Prefix) bool {
			return o.Bits() <= p.Bits() && o.Contains(p.Addr())
		}) {
			return false
		}
	}
	return len(inner) > 0
}

// ownerOf chooses the owner and asks whether p may make a credential for them.
func (s *Service) ownerOf(p principal.Principal, n Request) (Owner, error) {
	r := table[n.Kind]
	self := p.UserID()
	if p.Abroad() {
		self = ""
	}
	owner := Owner{}
	switch {
	case n.Owner != nil:
		owner = *n.Owner
	case self != "" && slices.Contains(r.Owners, OwnedByUser):
		owner = Owner{OwnedByUser, string(self)}
	case slices.Contains(r.Owners, OwnedByOrganization):
		owner = Owner{OwnedByOrganization, string(p.Organization)}
	default:
		return owner, fault.Invalidf("owner", "is needed: name the user it shall belong to")
	}
	action := "create"
	if slices.Contains(r.Owners, OwnedByClient) { // part of changing the client
		action = "update"
	}
	if own := owner.Kind == OwnedByUser && self != "" && owner.ID == string(self); !own &&
		p.Scope(r.Resource, action) < permission.All {
		return owner, fault.Forbiddenf("You may make these for yourself only.")
	} else if p.Scope(r.Resource, action) == permission.None { // the route asked a session's token, this asks its role
		return owner, fault.Forbiddenf("This needs %s:%s, which your role does not give any more.", r.Resource, action)
	}
	return owner, nil
}

// check validates what does not depend on who asks.
func (s *Service) check(c *Credential) (err error) {
	r := table[c.Kind]
	if c.Name, err = checkText("name", c.Name, 1, 200); err != nil {
		return err
	}
	if c.Purpose, err = checkText("purpose", c.Purpose, 0, 500); err != nil {
		return err
	}
	if c.Purpose == "" {
		c.Purpose = c.Name
	}
	switch {
	case !c.ExpiresAt.IsZero() && !r.Expires:
		return fault.Invalidf("expiresAt", "cannot be set: this kind never expires")
	case !c.ExpiresAt.IsZero() && c.ExpiresAt.After(s.now().Add(maxLifetime)):
		return fault.Invalidf("expiresAt", "is more than a hundred years away")
	case c.RateLimit < 0 || c.RateLimit > maxRateLimit || r.Limited && c.RateLimit == 0:
		return fault.Invalidf("rateLimitPerMinute", "must be from 1 to %d", maxRateLimit)
	case len(c.Addresses) > maxAddresses:
		return fault.Invalidf("allowedAddresses", "must have at most %d entries", maxAddresses)
	case len(c.Resources) > 0 && !r.Narrows:
		return fault.Invalidf("resources", "are for access tokens only")
	case len(c.Resources) > maxResources:
		return fault.Invalidf("resources", "must have at most %d entries", maxResources)
	}
	for i, name := range c.Resources {
		if !permission.IsResource(name) {
			return fault.Invalidf(fmt.Sprintf("resources[%d]", i), "there is no resource %q", name)
		}
	}
	return nil
}

// mint makes a fresh value and its digest.
func (s *Service) mint(c *Credential) (value secret.Secret, err error) {
	if m := table[c.Kind].Mark; m != nil {
		value = m.New(s.now())
	} else if value, err = s.minter.MintLongLived(*c); err != nil {
		return value, err
	}
	c.digest = s.Digest(c.Kind, value.Reveal())
	return value, nil
}

// Digest is what a value of a kind is stored and found by: as secret.Digest of the kind, a NUL and the value. The kind
// is part of it: a value of one kind is none of another.
func (s *Service) Digest(kind Kind, value string) string {
	d := s.digests.Get().(*digester)
	defer s.digests.Put(d)
	return d.of(kind, value)
}

// digester is an HMAC that is used again, with room for what goes in and comes out: every request of a machine needs
// one.
type digester struct {
	mac  hash.Hash
	text []byte
	sum  [sha256.Size]byte
	hex  [2 * sha256.Size]byte
}

func newDigester(key []byte) *digester { return &digester{mac: hmac.New(sha256.New, key)} }

func (d *digester) of(kind Kind, value string) string {
	d.text = append(append(append(d.text[:0], kind...), 0), value...)
	d.mac.Reset()
	d.mac.Write(d.text)
	clear(d.text) // a secret need not stay here
	hex.Encode(d.hex[:], d.mac.Sum(d.sum[:0]))
	return string(d.hex[:])
}

func (s *Service) insert(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Credential) error {
	if !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(s.now()) {
		return fault.Invalidf("expiresAt", "must be in the future")
	}
	if table[c.Kind].OfType != "" { // its end comes with the user's change, which waits for this or was first
		if err := s.users.HoldApplication(ctx, tx, c.Organization, id.User(c.Owner.ID)); err != nil {
			return err
		}
	}
	err := credentialdb.New(tx).
		Insert(ctx, credentialdb.InsertParams{OrganizationID: c.Organization, ID: c.ID, Kind: string(c.Kind),
			Digest: c.digest, Name: c.Name, Purpose: c.Purpose,
			OwnerKind: string(c.Owner.Kind), OwnerID: c.Owner.ID, Permissions: encode(c.Permissions.Strings()),
			Resources: encode(orEmpty(c.Resources)), RateLimit: int64(c.RateLimit),
			AllowedAddresses: encode(orEmpty(c.Addresses)), CreatedBy: c.CreatedBy,
			CreatedAt: sqldb.MillisOf(c.CreatedAt),
			ExpiresAt: sqldb.MillisOf(c.ExpiresAt)})
	if err != nil {
		return fmt.Errorf("credential: insert: %w", err)
	}
	if err := search.Add(ctx, tx, c.entry()); err != nil {
		return err
	}
	return s.changed(ctx, tx, p, c, "created", map[string]string{"name": c.Name, "owner": c.Owner.ID,
		"permissions": strings.Join(c.Permissions.Strings(), " ")})
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// changed announces and records, as "api_key.created".
func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Credential, act string,
	details map[string]string) error {
	tx.Announce(s.facts.Message(key(c.Organization, c.ID)))
	return audit.RecordIn(ctx, tx, s.now(), c.Organization, p,
		audit.Entry{Act: string(c.Kind) + "." + act, TargetKind: string(c.Kind), TargetID: string(c.ID),
			Details: details})
}

// Get finds one that the principal may see: their own with scope own, any of the organization with all.
func (s *Service) Get(ctx context.Context, p principal.Principal, kind Kind, c id.Credential) (Credential, error) {
	found, err := one(credentialdb.New(s.db.Tenant(p.Organization)).Get(ctx, p.Organization, c))
	if err != nil {
		return Credential{}, err
	}
	if found.Kind != kind || !s.within(p, found, "read") {
		return Credential{}, errNone()
	}
	return s.withUse(found), nil
}

// within tells whether a credential lies in the scope in which p may do something to its kind.
func (s *Service) within(p principal.Principal, c Credential, action string) bool {
	switch p.Scope(c.Kind.Resource(), action) {
	case permission.All:
		return true
	case permission.None:
		return false
	}
	return isSelf(p, c.Owner)
}

func (s *Service) withUse(c Credential) Credential {
	if used, ok := s.uses.Pending(key(c.Organization, c.ID)); ok && used.After(c.LastUsedAt) {
		c.LastUsedAt = used
	}
	return c
}

// Filter narrows a listing; zero fields do not.
type Filter struct {
	State       State
	Owner       string
	NewestFirst bool
	Past        id.Credential // the last one that was listed already, in that order
	Offset      int           // how many to leave out
	Limit       int
}

// last sorts behind every id.
const last = id.Credential("~")

// own narrows a listing to what the principal may read; false: that is nothing.
func (f *Filter) own(p principal.Principal, kind Kind) bool {
	if p.Scope(kind.Resource(), "read") == permission.All {
		return true
	}
	if p.UserID() == "" || p.Abroad() || f.Owner != "" && f.Owner != string(p.UserID()) {
		return false
	}
	f.Owner = string(p.UserID())
	return true
}

// List pages through the credentials of a kind that the principal may read, by id.
func (s *Service) List(ctx context.Context, p principal.Principal, kind Kind, f Filter) ([]Credential, error) {
	if !f.own(p, kind) {
		return nil, nil
	}
	q := credentialdb.New(s.db.Tenant(p.Organization))
	var rows []credentialdb.Credential
	var err error
	params := credentialdb.ListParams{OrganizationID: p.Organization, Kind: string(kind), Past: f.Past,
		State: string(f.State), Owner: f.Owner, RowLimit: int64(f.Limit), RowOffset: int64(f.Offset)}
	if !f.NewestFirst {
		rows, err = q.List(ctx, params)
	} else {
		if f.Past == "" {
			params.Past = last
		}
		rows, err = q.ListNewestFirst(ctx, credentialdb.ListNewestFirstParams(params))
	}
	if err != nil {
		return nil, fmt.Errorf("credential: list: %w", err)
	}
	return s.fromRows(rows)
}

// Count is how many of an owner, or of all, List gives in all.
func (s *Service) Count(ctx context.Context, p principal.Principal, kind Kind, owner string) (int64, error) {
	f := Filter{Owner: owner}
	if !f.own(p, kind) {
		return 0, nil
	}
	n, err := credentialdb.New(s.db.Tenant(p.Organization)).Count(ctx, p.Organization, string(kind), f.Owner)
	if err != nil {
		return 0, fmt.Errorf("credential: count: %w", err)
	}
	return n, nil
}

func (s *Service) fromRows(rows []credentialdb.Credential) ([]Credential, error) {
	out := make([]Credential, len(rows))
	for i, r := range rows {
		c, err := fromRow(r)
		if err != nil {
			return nil, err
		}
		out[i] = s.withUse(c)
	}
	return out, nil
}
