// Package credential owns every long-lived secret of machines: API keys, access tokens, system access tokens,
// application tokens and client secrets. A kind states its form, who may own it, what limits it and which states it
// knows; issuing, finding, rotating, switching off, last use and age are written once for all of them. A secret is
// stored as a keyed digest only and found by it; where the value is a JWT there is a row too, and the row decides. It
// knows nothing of requests: who finds a credential judges where and from where it may be used.
package credential

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Kind of credential.
type Kind string

// The kinds.
const (
	APIKey           Kind = "api_key"
	AccessToken      Kind = "access_token"
	SystemToken      Kind = "system_token"
	ApplicationToken Kind = "application_token"
	ClientSecret     Kind = "client_secret"
)

// OwnerKind is what a credential belongs to.
type OwnerKind string

// The owners. A user's credential never gives more than the user holds now and stops with them; an organization's and a
// client's outlive their maker.
const (
	OwnedByUser         OwnerKind = "user"
	OwnedByOrganization OwnerKind = "organization"
	OwnedByClient       OwnerKind = "client"
)

// Owner is whose a credential is. ID is a user's, the organization's or a client's.
type Owner struct {
	Kind OwnerKind
	ID   string
}

// State of a credential.
type State string

// One that is off may be switched on again where the kind allows; a revoked one stays listed and never comes back.
const (
	Active  State = "active"
	Off     State = "off"
	Revoked State = "revoked"
)

// DefaultRateLimit is the requests a minute of an API key for which nothing else is said.
const (
	DefaultRateLimit = 600
	maxRateLimit     = 100_000
	maxAddresses     = 100
	maxPermissions   = 200
	maxResources     = 50
	maxLifetime      = 100 * 365 * 24 * time.Hour
	// MaxOverlap is how long a rotated value may go on working.
	MaxOverlap = 30 * 24 * time.Hour
)

// rules are what a kind is. To add a kind, add its row; nothing else in this package asks which kind one is.
type rules struct {
	kind     Kind
	Resource string       // of the permissions that manage it
	Mark     *secret.Mark // the value's form; nil: a JWT
	Type     string       // the JWT's typ
	Value    string       // under which name the API shows a value; empty: "token"
	Owners   []OwnerKind
	OfType   user.Kind // its owner, if a user, must be of this type; empty: of any
	Stored   bool      // has permissions of its own; else it gives what its owner's role gives
	Expires  bool      // may have an expiry
	Switch   bool      // may be switched off and on
	Moves    bool      // may be given to another owner
	Narrows  bool      // may be narrowed to some resources of its owner's role
	Limited  bool      // always has a limit of requests
	Rate     int       // requests a minute if nothing is said; 0: no limit
	// how many an owner may have that are not revoked; 0: any number. For what machines make and what never expires
	Most int

	// MadeBy tells which machines may make others of the kind; nil: none (G12).
	MadeBy func(p principal.Principal) bool
	// Revives tells that such a machine may also switch on what was switched off.
	Revives bool
	// Holds bounds the resources that it may have permissions on; nil: any.
	Holds func(resource string, platform bool) bool
	// Default is what it holds if nothing is said; nil: it must be said.
	Default func() []string

	ids ids
}

// ids makes and reads the ids of a kind: each has a prefix of its own.
type ids struct {
	make func() id.Credential
	read func(string) (id.Credential, error)
}

func idsOf[T id.ID]() ids {
	return ids{func() id.Credential { return id.Credential(id.New[T]()) }, func(s string) (id.Credential, error) {
		v, err := id.Parse[T](s)
		return id.Credential(v), err
	}}
}

var kinds = []rules{
	{kind: APIKey, Resource: "api_keys", ids: idsOf[id.APIKey](), Value: "key",
		Mark:   &secret.Mark{Prefix: "tnt_", Stamped: true},
		Owners: []OwnerKind{OwnedByUser, OwnedByOrganization}, Stored: true, Expires: true, Switch: true, Moves: true,
		Limited: true, Rate: DefaultRateLimit,
		MadeBy: func(p principal.Principal) bool {
			return p.Kind == principal.APIKey && p.Scope("api_keys", permission.Manage) != permission.None
		}},
	{kind: AccessToken, Resource: "access_tokens", ids: idsOf[id.AccessToken](), Mark: &secret.Mark{Prefix: "gth_at_"},
		Owners: []OwnerKind{OwnedByUser}, Expires: true, Narrows: true},
	{kind: SystemToken, Resource: "system_tokens", ids: idsOf[id.SystemToken](), Type: jwt.TypeSystem,
		Owners: []OwnerKind{OwnedByOrganization}, Stored: true, Switch: true, Most: 1000, Revives: true, // D3
		Holds: systemResource, Default: systemDefault,
		MadeBy: func(p principal.Principal) bool { // at ServiceBroker's door and where the permission is this one
			return p.Kind == principal.SystemToken && p.Scope("system_tokens", "create") == permission.All
		}},
	{kind: ApplicationToken, Resource: "application_tokens", ids: idsOf[id.ApplicationToken](),
		Type: jwt.TypeApplication, Owners: []OwnerKind{OwnedByUser}, OfType: user.Application, Most: 100},
	{kind: ClientSecret, Resource: "clients", ids: idsOf[id.ClientSecret](), Value: "secret",
		Mark:   &secret.Mark{Prefix: "gth_cs_"},
		Owners: []OwnerKind{OwnedByClient}, Expires: true, Switch: true},
}

// table finds a kind's row. Kinds lists all of them in order.
var (
	table = func() map[Kind]rules {
		t := make(map[Kind]rules, len(kinds))
		for _, r := range kinds {
			t[r.kind] = r
		}
		return t
	}()
	Kinds = func() (list []Kind) {
		for _, r := range kinds {
			list = append(list, r.kind)
		}
		return list
	}()
)

// Matches tells whether a value has the form of the kind, checksum included, before any database is asked. JWT kinds
// have no mark.
func (k Kind) Matches(value string) bool {
	m := table[k].Mark
	return m != nil && m.Matches(value)
}

// Prefix is what values of the kind begin with; empty for JWTs.
func (k Kind) Prefix() string {
	if m := table[k].Mark; m != nil {
		return m.Prefix
	}
	return ""
}

// Type is the `typ` of the kind's JWTs; empty if its values are none.
func (k Kind) Type() string { return table[k].Type }

// KindOfType finds the kind whose values are JWTs of a typ.
func KindOfType(typ string) (Kind, bool) {
	for _, r := range kinds {
		if typ != "" && r.Type == typ {
			return r.kind, true
		}
	}
	return "", false
}

// ValueName is the name under which the API shows a value of the kind.
func (k Kind) ValueName() string { return cmp.Or(table[k].Value, "token") }

// Resource is the resource of the permissions that manage the kind.
func (k Kind) Resource() string { return table[k].Resource }

// ParseID reads an id of the kind.
func (k Kind) ParseID(s string) (id.Credential, error) { return table[k].ids.read(s) }

// Credential is one long-lived secret without its value.
type Credential struct {
	ID           id.Credential
	Organization id.Organization
	Kind         Kind
	Name         string
	Purpose      string
	Owner        Owner
	Permissions  permission.Set // as stored; what they amount to now is Holder's to say
	Resources    []string       // access tokens: the role's permissions on these only; empty: all
	State        State
	RateLimit    int // requests a minute; 0: none
	Addresses    []netip.Prefix
	CreatedBy    string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	ExpiresAt    time.Time // zero: never
	LastUsedAt   time.Time // zero: never used
	RotatedAt    time.Time
	OverlapUntil time.Time // until when the value before the last rotation works
	RevokedAt    time.Time

	digest   string
	previous string
}

// opens tells whether a value with the digest is this credential's at a moment.
func (c Credential) opens(digest string, now time.Time) bool {
	current := subtle.ConstantTimeCompare([]byte(digest), []byte(c.digest)) == 1
	former := c.previous != "" && subtle.ConstantTimeCompare([]byte(digest), []byte(c.previous)) == 1 &&
		now.Before(c.OverlapUntil)
	return current || former
}

// Live tells whether the credential itself allows its use at a moment; its owner may still not.
func (c Credential) Live(now time.Time) bool {
	return c.State == Active && (c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt))
}

func fromRow(r credentialdb.Credential) (Credential, error) {
	c := Credential{ID: r.ID, Organization: r.OrganizationID, Kind: Kind(r.Kind), Name: r.Name, Purpose: r.Purpose,
		Owner: Owner{OwnerKind(r.OwnerKind), r.OwnerID},
		State: State(r.State), RateLimit: int(r.RateLimit), CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.Time(),
		UpdatedAt: r.UpdatedAt.Time(), ExpiresAt: r.ExpiresAt.Time(),
		LastUsedAt: r.LastUsedAt.Time(), RotatedAt: r.RotatedAt.Time(), OverlapUntil: r.OverlapUntil.Time(),
		RevokedAt: r.RevokedAt.Time(), digest: r.Digest, previous: r.PreviousDigest}
	var permissions []string
	err := errors.Join(json.Unmarshal([]byte(r.Permissions), &permissions),
		json.Unmarshal([]byte(r.Resources), &c.Resources), json.Unmarshal([]byte(r.AllowedAddresses), &c.Addresses))
	if err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w", r.ID, err)
	}
	c.Permissions = permission.ParseKnown(permissions)
	return c, nil
}

// shared is how nodes tell each other a credential: the digests too, which are worth nothing without the value.
type shared struct {
	Credential
	Digest   string
	Previous string
}

func toShared(c Credential) shared { return shared{c, c.digest, c.previous} }

func fromShared(w shared) Credential {
	w.digest, w.previous = w.Digest, w.Previous
	return w.Credential
}

func one(r credentialdb.Credential, err error) (Credential, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Credential{}, errNone()
	}
	if err != nil {
		return Credential{}, fmt.Errorf("credential: load: %w", err)
	}
	return fromRow(r)
}

func errNone() error { return fault.NotFoundf("There is no such credential.") }

// ParseAddresses reads the entries of an allow-list: addresses or networks.
func ParseAddresses(list []string) ([]netip.Prefix, error) {
	if len(list) > maxAddresses {
		return nil, fault.Invalidf("allowedAddresses", "must have at most %d entries", maxAddresses)
	}
	out := make([]netip.Prefix, len(list))
	for i, text := range list {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out[i] = netip.PrefixFrom(a, a.BitLen())
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fault.Invalidf(fmt.Sprintf("allowedAddresses[%d]", i),
				"must be an address such as 192.0.2.7 or a network such as 192.0.2.0/24")
		}
		out[i] = p.Masked()
	}
	return out, nil
}

// Allowed tells whether an address is on a list; an empty list allows all.
func Allowed(list []netip.Prefix, address string) bool {
	if len(list) == 0 {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// checkText trims and bounds what people write.
func checkText(field, s string, least, most int) (string, error) {
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n < least || n > most || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, unicode.IsControl) {
		return "", fault.Invalidf(field, "must have %d to %d characters and no control characters", least, most)
	}
	return s, nil
}

func encode(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("credential: %v", err)) // lists of plain strings and networks
	}
	return string(b)
}
