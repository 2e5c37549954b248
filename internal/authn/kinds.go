package authn

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// Kind is what a request brings. Each route names those it accepts.
type Kind string

// The kinds of credential. The header and the value's own form tell most of them; which of the many sorts of JWT one
// is, its type and its verified audience say.
const (
	None             Kind = "none"
	SessionToken     Kind = "session_token"
	APIKey           Kind = "api_key"
	AccessToken      Kind = "access_token"
	SystemToken      Kind = "system_token"
	ApplicationToken Kind = "application_token"
	ClientToken      Kind = "client_token"

	// What the doors of single dialects give.
	ItemPathToken     Kind = "itempath_token"
	ItemPathRefresh   Kind = "itempath_refresh_token"
	BrokerToken       Kind = "servicebroker_token"
	SecuriThingsToken Kind = "securithings_token"

	// WaitingSignIn is the token of a sign-in that waits for its first second factor: it opens enrolment and nothing
	// else (A27).
	WaitingSignIn Kind = "mfa_token"

	// SetupLink is what a customer's technician sets company sign-in up with: it opens what it is for and nothing else.
	SetupLink Kind = "setup_link"

	// Password is user name and password with each request (RFC 7617). It proves a person and begins no session.
	Password Kind = "password"

	// ClientSecret belongs into a client's authentication. As a bearer it is told apart, and accepted nowhere.
	ClientSecret Kind = "client_secret"

	jsonWebToken Kind = "jwt" // until it is looked at
)

// kind is all that authentication knows of one kind of credential; nothing else asks which kind one is. To add a kind,
// add its row, and what it does differently to its family.
type kind struct {
	name Kind
	*family

	// How one is told. A request shows it in the header named, else in Authorization: Bearer.
	header string
	prefix string          // of the value
	typ    string          // of a JWT (its `typ`)
	door   token.Door      // that gave a JWT; of several kinds of one typ
	stored credential.Kind // of the row in domain/credential that decides
	as     principal.Kind  // what sort of caller it makes, where the family does not say
	code   string          // of a refusal; empty: what the reason says

	narrowed bool                                 // its permissions are its own list, whatever the owner's role
	rests    func(organization.Organization) bool // organizations in which it does not work at the moment

	// Where it works beside the routes that name it (G12).
	management bool // the management API, as far as its permissions go
	desk       bool // the service desk
	alone      bool // its value alone makes a principal: forward authentication and introspection take it
	enters     bool // an operator's may act in the tenant that it names
}

// family is what kinds have in common that refer to the same sort of thing.
type family struct {
	resource string // of the permission to end another's; of stored kinds domain/credential says it
	// join finds what a credential refers to and says whether that allows its use now.
	join func(a *Authenticator, ctx context.Context, s *subject) error
	// bounds are the requests a minute (0: any number) and the addresses (none: all) of one.
	bounds func(s *subject) (int, []netip.Prefix)
	// device holds it to the device it began with; nil: to none.
	device func(a *Authenticator, ctx context.Context, s *subject, r Request) error
	// present cuts what it may do to what its user's role gives now; nil: that is what it has.
	present func(a *Authenticator, ctx context.Context, s *subject) error
	// stamp notes its use.
	stamp func(a *Authenticator, s *subject, now time.Time, address string)
}

var (
	sessions = &family{resource: "sessions", join: (*Authenticator).joinSession, device: (*Authenticator).checkDevice,
		present: (*Authenticator).presentRole,
		stamp: func(a *Authenticator, s *subject, now time.Time, address string) {
			a.Sessions.Touch(s.session, now, address)
		}}
	clients = &family{resource: "clients", join: (*Authenticator).joinClient,
		bounds: func(s *subject) (int, []netip.Prefix) { return s.client.RateLimit, s.client.Addresses },
		stamp: func(a *Authenticator, s *subject, now time.Time, _ string) {
			a.Clients.Touch(s.client, now)
		}}
	machines = &family{join: (*Authenticator).joinCredential,
		bounds: func(s *subject) (int, []netip.Prefix) { return s.credential.RateLimit, s.credential.Addresses },
		stamp: func(a *Authenticator, s *subject, now time.Time, _ string) {
			a.Credentials.Touch(s.credential, now)
		}}
	setupLinks = &family{join: (*Authenticator).joinSetupLink,
		bounds: func(*subject) (int, []netip.Prefix) { return linkUses, nil }}
	passwords = &family{join: (*Authenticator).joinPassword}
	waiting   = &family{join: (*Authenticator).joinWaiting}
	refused   = &family{join: func(*Authenticator, context.Context, *subject) error { return errWrongKind() }}
)

// linkUses are how many requests a minute a set-up link may make: each may ask a provider something.
const linkUses = 60

// Resting tells whether what a door of OAuth clients gives does not work in an organization at the moment (D7).
func Resting(door token.Door, org organization.Organization) bool {
	k := ofToken(jwt.TypeAccess, door)
	return k != nil && k.rests != nil && k.rests(org)
}

func systemsUseOAuth(o organization.Organization) bool {
	return o.MachineCredential != organization.SystemTokens
}

func systemsUseTokens(o organization.Organization) bool {
	return o.MachineCredential != organization.OAuth2
}

// kinds is the one table.
var kinds = []kind{
	{name: SessionToken, family: sessions, typ: jwt.TypeAccess, door: token.Main,
		management: true, desk: true, alone: true, enters: true},
	{name: APIKey, family: machines, stored: credential.APIKey, as: principal.APIKey, header: "X-Api-Key",
		code: fault.CodeInvalidAPIKey, narrowed: true, management: true, desk: true, alone: true},
	{name: AccessToken, family: machines, stored: credential.AccessToken, as: principal.AccessToken,
		desk: true, alone: true},
	{name: SystemToken, family: machines, stored: credential.SystemToken, as: principal.SystemToken,
		rests: systemsUseOAuth, desk: true, alone: true},
	{name: ApplicationToken, family: machines, stored: credential.ApplicationToken, as: principal.ApplicationToken,
		desk: true, alone: true},
	{name: ClientToken, family: clients, typ: jwt.TypeAccess, door: token.OAuth, desk: true, alone: true},
	{name: ItemPathToken, family: sessions, typ: jwt.TypeAccess, door: token.ItemPath, alone: true},
	{name: ItemPathRefresh, family: sessions, typ: jwt.TypeRefresh, door: token.ItemPath},
	{name: BrokerToken, family: clients, typ: jwt.TypeAccess, door: token.ServiceBroker, rests: systemsUseTokens,
		desk: true, alone: true},
	{name: SecuriThingsToken, family: clients, typ: jwt.TypeAccess, door: token.SecuriThings, desk: true, alone: true},
	{name: WaitingSignIn, family: waiting, prefix: login.WaitingPrefix},
	{name: SetupLink, family: setupLinks, prefix: connection.LinkPrefix},
	{name: Password, family: passwords},
	{name: ClientSecret, family: refused, stored: credential.ClientSecret},
}

// byName finds a kind's row. What has a row in domain/credential has its form from there.
var byName = func() map[Kind]*kind {
	m := make(map[Kind]*kind, len(kinds))
	for i := range kinds {
		k := &kinds[i]
		if k.stored != "" {
			k.prefix, k.typ = k.stored.Prefix(), k.stored.Type()
		}
		m[k.name] = k
	}
	return m
}()

func named(has func(*kind) bool) []Kind {
	var list []Kind
	for i := range kinds {
		if has(&kinds[i]) {
			list = append(list, kinds[i].name)
		}
	}
	return slices.Clip(list)
}

// What routes accept that name no kind.
var (
	// Tokens are the kinds whose value alone makes a principal.
	Tokens = named(func(k *kind) bool { return k.alone })
	// Desk are those that reach the service desk.
	Desk = named(func(k *kind) bool { return k.desk })
	// Management are those that reach the management API.
	Management = named(func(k *kind) bool { return k.management })
)

// ofValue tells a kind by the beginning of a value. One without any of the prefixes may be a JWT.
func ofValue(value string) *kind {
	for i := range kinds {
		if p := kinds[i].prefix; p != "" && strings.HasPrefix(value, p) {
			return &kinds[i]
		}
	}
	return nil
}

// ofToken tells a kind by a verified JWT.
func ofToken(typ string, door token.Door) *kind {
	for i := range kinds {
		if typ != "" && kinds[i].typ == typ && kinds[i].door == door {
			return &kinds[i]
		}
	}
	return nil
}

// isStored tells whether JWTs of a typ have a row in domain/credential.
func isStored(typ string) bool {
	return typ != "" && slices.ContainsFunc(kinds, func(k kind) bool { return k.stored != "" && k.typ == typ })
}
