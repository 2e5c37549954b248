package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Request is what authentication needs to know of a request beside its credential.
type Request struct {
	Source     principal.Source
	TenantSlug string // X-Tenant-Slug; a check, never a grant
	// the organization in the path: its slug or its account number; a check too, and where a user name is looked for
	Account string
	Method  string
	Path    string        // the matched pattern, for the audit log
	HTTP    *http.Request // asked for a client certificate only by credentials that are bound to one
}

// Authenticator turns credentials into principals.
type Authenticator struct {
	Services
	verified *bounded.Cache[bounded.Digest, *verified]
}

// Services are what credentials refer to.
type Services struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Organizations *organization.Service
	Users         *user.Service
	Sessions      *session.Service
	Tokens        *token.Service
	Credentials   *credential.Service
	Clients       *client.Service
	Limiter       *ratelimit.Limiter
	Certificates  Certificates
	Login         *login.Service
}

// verified is a JWT whose signature was checked: immutable. Exactly one of access and long is there.
type verified struct {
	kind   Kind
	access *token.Access
	long   *token.LongLived
	digest string // of long
}

// verifiedBytes bounds the cache of verified tokens: about what their claims take.
const verifiedBytes = 32 << 20

// New makes the authenticator.
func New(s Services) *Authenticator {
	return &Authenticator{Services: s, verified: bounded.ByDigest(verifiedBytes, func(v *verified) uint32 {
		if v.access == nil {
			return 500
		}
		return uint32(700 + 120*v.access.Permissions.Len())
	})}
}

// Result is an authenticated caller and, if one holds for the credential, where its limit stands.
type Result struct {
	Principal principal.Principal
	Limit     ratelimit.Decision // Limit 0: none
}

// subject is what a credential turned out to be, before the request is looked at.
type subject struct {
	kind         Kind
	principal    principal.Principal
	organization organization.Organization
	session      session.Session
	credential   credential.Credential // of machines but clients
	client       client.Client
	access       *token.Access // of sessions and clients
	thumbprint   string        // of the certificate the credential is bound to
}

// Authenticate verifies a credential of one of the accepted kinds. There is no anonymous principal: no credential is an
// error. A refusal for the limit's sake carries the limit too.
func (a *Authenticator) Authenticate(ctx context.Context, c Credential, accepted []Kind, r Request) (Result, error) {
	if c.Kind == None {
		return Result{}, errMissing()
	}
	var s subject
	if c.Kind == Password {
		if !slices.Contains(accepted, Password) {
			return Result{}, errScheme()
		}
		if err := a.joinPassword(ctx, c.value, r, &s); err != nil {
			return Result{}, err
		}
	} else if c.Kind == WaitingSignIn {
		if !slices.Contains(accepted, WaitingSignIn) {
			return Result{}, errWrongKind()
		}
		var err error
		s.kind = WaitingSignIn
		if s.principal, s.organization, err = a.Login.Enrolling(ctx, secret.New(c.value), r.Source); err != nil {
			return Result{}, err
		}
	} else if err := a.resolve(ctx, c, accepted, r.Source.Address, &s); err != nil {
		return Result{}, err
	}
	return a.admit(ctx, &s, r)
}

// resolve finds the kind of a credential, asks that kind's one verifier and joins what it refers to.
func (a *Authenticator) resolve(ctx context.Context, c Credential, accepted []Kind, address string, s *subject) error {
	s.kind = c.Kind
	var v *verified
	if c.Kind == jsonWebToken {
		var err error
		if v, err = a.verify(c.value); err != nil {
			return err
		}
		s.kind = v.kind
	}
	if !slices.Contains(accepted, s.kind) {
		return errWrongKind()
	}
	switch s.kind {
	case SessionToken, ItemPathToken, ItemPathRefresh:
		return a.joinSession(ctx, v.access, s)
	case ClientToken, BrokerToken, SecuriThingsToken:
		return a.joinClient(ctx, v.access, s)
	case SystemToken, ApplicationToken:
		if err := a.Tokens.JudgeLongLived(v.long); err != nil {
			return err
		}
		return a.joinCredential(ctx, v.long.Kind, v.digest, address, s)
	case APIKey:
		return a.joinValue(ctx, credential.APIKey, c.value, address, s)
	case AccessToken:
		return a.joinValue(ctx, credential.AccessToken, c.value, address, s)
	}
	return errMissing()
}

// kindOf tells an access token by the door that gave it.
var kindOf = map[token.Door]Kind{token.Main: SessionToken, token.ItemPath: ItemPathToken, token.OAuth: ClientToken,
	token.ServiceBroker: BrokerToken, token.SecuriThings: SecuriThingsToken}

// verify checks what does not change about a JWT, once: its type names the verifier.
func (a *Authenticator) verify(value string) (*verified, error) {
	// only read; a copy of each token would be the largest allocation of a request
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(value), len(value)))
	if v, ok := a.verified.Get(sum); ok {
		return v, nil
	}
	h, err := jwt.ReadHeader(value)
	if err != nil {
		return nil, errInvalidToken()
	}
	v := &verified{}
	switch h.Type {
	case jwt.TypeAccess:
		if v.access, err = a.Tokens.VerifyAccess(value); err != nil {
			return nil, err
		}
		v.kind = kindOf[v.access.Door]
	case jwt.TypeRefresh: // of those that rotate none is a credential
		if v.access, err = a.Tokens.VerifyReusable(value); errors.Is(err, token.ErrElsewhere) {
			return nil, errWrongKind()
		} else if err != nil {
			return nil, err
		}
		v.kind = ItemPathRefresh
	case jwt.TypeSystem, jwt.TypeApplication:
		if v.long, err = a.Tokens.VerifyLongLived(value); err != nil {
			return nil, err
		}
		if v.kind = SystemToken; v.long.Kind == credential.ApplicationToken {
			v.kind = ApplicationToken
		}
		v.digest = a.Credentials.Digest(v.long.Kind, value)
	default:
		return nil, errInvalidToken()
	}
	a.verified.Set(sum, v)
	return v, nil
}

func (a *Authenticator) joinSession(ctx context.Context, access *token.Access, s *subject) (err error) {
	if err := a.Tokens.Judge(ctx, access); err != nil {
		return err
	}
	c := access.Session
	home, userID, sessionID := id.Organization(c.OrganizationID), id.User(c.Subject), id.Session(c.SessionID)
	if s.organization, err = a.Organizations.Facts(ctx, home); err != nil {
		return gone(err)
	}
	u, err := a.Users.Facts(ctx, home, userID)
	if err != nil {
		return gone(err)
	}
	if s.session, err = a.Sessions.Facts(ctx, s.organization, u.Role, sessionID); err != nil {
		return gone(err)
	}
	if s.session.Waiting() && s.session.User == userID {
		return session.ErrWaiting()
	}
	if s.organization.State == organization.Deleted || u.State != user.Active || s.session.User != userID ||
		!s.session.Live(a.Now()) {
		return errRevoked()
	}
	if s.organization.State == organization.Suspended {
		return errSuspended()
	}
	if err := a.Sessions.Proven(ctx, s.organization, u, s.session); err != nil {
		return err
	}
	s.access = access
	s.principal = principal.Principal{Kind: principal.User, ID: c.Subject, Name: u.Name, Home: home, Organization: home,
		OrganizationSlug: s.organization.Slug, Permissions: access.Permissions,
		Role: c.Role, Email: c.Email, Session: sessionID, AuthTime: s.session.AuthTime,
		Weak: u.HasSecondFactor() && !s.session.MultiFactor(), ExpiresAt: time.Unix(c.Expires, 0).UTC()}
	if s.organization.Settings.RoleChangesApplyAtOnce || access.Refresh {
		if s.principal.Permissions, err = a.Tokens.PermissionsOf(ctx, u); err != nil {
			return err
		}
		s.principal.Role, s.principal.Email = u.Role, u.Email
	}
	return nil
}

// joinClient joins a client's token with its client, and with the secret and the refresh token it was got with: it
// stops with any of them.
func (a *Authenticator) joinClient(ctx context.Context, access *token.Access, s *subject) (err error) {
	if err := a.Tokens.Judge(ctx, access); err != nil {
		return err
	}
	c := access.Client
	home := id.Organization(c.OrganizationID)
	if s.organization, err = a.Organizations.Facts(ctx, home); err != nil {
		return gone(err)
	}
	if s.client, err = a.Clients.Facts(ctx, home, id.Client(c.ClientID)); err != nil {
		return gone(err)
	}
	if s.organization.State == organization.Deleted || s.client.State != client.Active {
		return errRevoked()
	}
	if access.Door == token.ServiceBroker && s.organization.MachineCredential != organization.OAuth2 {
		return errResting()
	}
	if c.Credential != "" {
		secret, err := a.Credentials.Facts(ctx, home, id.Credential(c.Credential))
		if err != nil {
			return gone(err)
		}
		if !secret.Live(a.Now()) || secret.Owner.ID != c.ClientID {
			return errRevoked()
		}
	}
	if c.Family != "" {
		grant, err := a.Tokens.Grant(ctx, home, id.Family(c.Family))
		if err != nil {
			return gone(err)
		}
		if !grant.Live(a.Now()) {
			return errRevoked()
		}
	}
	if s.organization.State == organization.Suspended {
		return errSuspended()
	}
	s.access = access
	if c.Confirmation != nil {
		s.thumbprint = c.Confirmation.Thumbprint
	} else if s.client.CertificateBound {
		return errRevoked() // minted before its client wanted them bound
	}
	s.principal = principal.Principal{Kind: principal.Client, ID: c.ClientID, Name: s.client.Name, Home: home,
		Organization: home, OrganizationSlug: s.organization.Slug,
		Permissions: access.Permissions.Within(s.client.Permissions), ExpiresAt: time.Unix(c.Expires, 0).UTC()}
	s.dropPlatform()
	return nil
}

// joinValue looks for a value whose form was already told by its prefix; a garbled one does not reach the database.
func (a *Authenticator) joinValue(ctx context.Context, kind credential.Kind, value, address string, s *subject) error {
	if !kind.Matches(value) {
		return errUnknown(kind)
	}
	return a.joinCredential(ctx, kind, a.Credentials.Digest(kind, value), address, s)
}

var principalKinds = map[credential.Kind]principal.Kind{credential.APIKey: principal.APIKey,
	credential.AccessToken: principal.AccessToken,
	credential.SystemToken: principal.SystemToken, credential.ApplicationToken: principal.ApplicationToken}

// joinCredential finds the row of a digest and joins it with its owner and organization.
func (a *Authenticator) joinCredential(ctx context.Context, kind credential.Kind, digest, address string,
	s *subject) (err error) {
	if s.credential, err = a.lookUp(ctx, digest, address); err != nil {
		if fault.Is(err, fault.NotFound) {
			return errUnknown(kind)
		}
		return err
	}
	c := &s.credential
	if c.Kind != kind {
		return errUnknown(kind)
	}
	if s.organization, err = a.Organizations.Facts(ctx, c.Organization); err != nil {
		return gone(err)
	}
	switch {
	case s.organization.State == organization.Deleted || c.State != credential.Active:
		return errEnded(kind, fault.CodeTokenRevoked, "The credential is revoked or switched off.")
	case !c.Live(a.Now()):
		return errEnded(kind, fault.CodeTokenExpired, "The credential has expired.")
	case kind == credential.SystemToken && s.organization.MachineCredential != organization.SystemTokens:
		return errResting()
	}
	h, err := a.Credentials.Holder(ctx, *c)
	if fault.Is(err, fault.Unauthenticated) {
		return errEnded(kind, fault.CodeTokenRevoked, "The credential's owner is not active.")
	}
	if err != nil {
		return err
	}
	if s.organization.State == organization.Suspended {
		return errSuspended()
	}
	s.principal = principal.Principal{Kind: principalKinds[kind], ID: string(c.ID), Name: c.Name, Home: c.Organization,
		Organization: c.Organization, OrganizationSlug: s.organization.Slug,
		Permissions: h.Permissions, Role: h.User.Role, Narrowed: kind == credential.APIKey || len(c.Resources) > 0,
		Owner: h.User.ID, ExpiresAt: c.ExpiresAt}
	s.dropPlatform()
	return nil
}

// dropPlatform makes sure, behind those who grant, that no tenant's credential reaches the platform.
func (s *subject) dropPlatform() {
	if !s.organization.Platform {
		s.principal.Permissions = s.principal.Permissions.WithoutPlatform()
	}
}

// admit judges what depends on the request: from where, over which connection, for which tenant, how often. Then the
// use is noted.
func (a *Authenticator) admit(ctx context.Context, s *subject, r Request) (res Result, err error) {
	now := a.Now()
	p := &s.principal
	p.Source = r.Source
	var limit int
	var addresses []netip.Prefix
	switch s.kind {
	case SessionToken, ItemPathToken, ItemPathRefresh, Password, WaitingSignIn:
	case ClientToken, BrokerToken, SecuriThingsToken:
		limit, addresses = s.client.RateLimit, s.client.Addresses
	default:
		limit, addresses = s.credential.RateLimit, s.credential.Addresses
	}
	if !credential.Allowed(addresses, r.Source.Address) {
		return res, fault.Forbiddenf("This credential may not be used from this address.")
	}
	switch s.kind {
	case SessionToken, ItemPathToken, ItemPathRefresh:
		if err := a.Sessions.CheckDevice(ctx, s.session, r.HTTP.Header[fingerprintHeader], s.kind == ItemPathRefresh,
			r.Source); err != nil {
			return res, err
		}
	}
	if s.thumbprint != "" {
		if err := a.checkCertificate(r.HTTP, s.thumbprint); err != nil {
			return res, err
		}
	}
	if r.TenantSlug != "" && r.TenantSlug != s.organization.Slug {
		if err := a.enter(ctx, s.kind, p, s.organization, r); err != nil {
			return res, err
		}
	}
	if r.Account != "" {
		if org, err := a.Organizations.ByAccount(ctx, r.Account); err != nil && !fault.Is(err, fault.NotFound) {
			return res, err
		} else if err != nil || org.ID != p.Organization {
			return res, fault.New(fault.Forbidden, fault.CodeTenantMismatch,
				"The path names another account than the credential's.")
		}
	}
	if limit > 0 {
		res.Limit = a.Limiter.Take(ctx, invalidation.Key{Organization: p.Home, ID: p.ID}, limit, now)
		if !res.Limit.Allowed {
			return res, fault.Limitedf(fault.CodeRateLimited, res.Limit.Reset,
				"The credential's limit of %d requests a minute is used up.", limit)
		}
	}
	switch s.kind {
	case Password, WaitingSignIn:
	case SessionToken, ItemPathToken, ItemPathRefresh:
		a.Sessions.Touch(s.session, now, r.Source.Address)
	case ClientToken, BrokerToken, SecuriThingsToken:
		a.Clients.Touch(s.client, now)
	default:
		a.Credentials.Touch(s.credential, now)
	}
	res.Principal = *p
	return res, nil
}

// fingerprintHeader tells which device a session is used from.
const fingerprintHeader = "X-Device-Fingerprint"

// Thumbprint is the x5t#S256 of a certificate in DER (RFC 8705 §3.1).
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// gone turns "not found" of what a verified token refers to into a refusal; trouble stays trouble.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errRevoked()
	}
	return err
}

func errRevoked() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked,
		"The token's session, client or credential has ended.")
}

func errInvalidToken() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The token is not valid here.")
}

// errResting refuses the kind of ServiceBroker credential that the organization does not use (D7).
func errResting() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked,
		"The organization's systems use the other kind of credential.")
}

func errSuspended() error {
	return fault.New(fault.Forbidden, fault.CodeSuspended, "The organization is suspended.")
}

// errUnknown is the one answer to a value that is garbled, unknown or rotated away.
func errUnknown(kind credential.Kind) error {
	return errEnded(kind, fault.CodeInvalidToken, "The credential is not known.")
}

func errEnded(kind credential.Kind, code, message string) error {
	if kind == credential.APIKey {
		code = fault.CodeInvalidAPIKey
	}
	return fault.New(fault.Unauthenticated, code, message)
}

// enter lets an operator's session, of /v1 and no other door, act in the tenant it names; for everyone else the header
// is only a check, and this is its failure.
func (a *Authenticator) enter(ctx context.Context, kind Kind, p *principal.Principal, home organization.Organization,
	r Request) error {
	if kind != SessionToken || !home.Platform || p.Role != permission.RoleSuperUser {
		return fault.New(fault.Forbidden, fault.CodeTenantMismatch,
			"X-Tenant-Slug names another organization than the credential's.")
	}
	org, err := a.Organizations.BySlug(ctx, r.TenantSlug)
	if err != nil {
		return err
	}
	p.Organization, p.OrganizationSlug = org.ID, org.Slug
	entry := audit.Entry{Act: "tenant.entered", TargetKind: "organization", TargetID: string(org.ID),
		Details: map[string]string{"request": r.Method + " " + r.Path}}
	return a.DB.PlatformTx(ctx, "an operator acts in a tenant: recorded in both", func(tx *sqldb.Tx) error {
		if err := audit.RecordIn(ctx, tx, a.Now(), home.ID, *p, entry); err != nil {
			return err
		}
		return audit.RecordIn(ctx, tx, a.Now(), org.ID, *p, entry)
	})
}
