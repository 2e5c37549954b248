package authn

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
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
	// Account is the organization in the path, its slug or its account number: a check too, and where a user name is
	// looked for.
	Account string
	Method  string
	Path    string        // the matched pattern, for the audit log
	Lags    bool          // what a session's role has lost may count until its token expires (A41)
	Counted bool          // it was let in before, and counts no second time against the credential's limit
	HTTP    *http.Request // asked for a client certificate only by credentials that are bound to one
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
	Connections   *connection.Service
}

// Authenticator turns credentials into principals.
type Authenticator struct {
	Services
	verified *bounded.Cache[bounded.Digest, *verified]
}

// New makes the authenticator.
func New(s Services) *Authenticator {
	return &Authenticator{Services: s, verified: bounded.ByDigest(verifiedBytes, (*verified).weight)}
}

// Result is an authenticated caller and, if one holds for the credential, where its limit stands.
type Result struct {
	Principal principal.Principal
	Limit     ratelimit.Decision // Limit 0: none
}

// shown is a credential, with what it takes to find out what it refers to.
type shown struct {
	value   string
	token   *verified // of a JWT
	account string    // where a user name is looked for
	source  principal.Source
}

// subject is what a credential turned out to be, before the request is looked at.
type subject struct {
	shown        shown
	kind         *kind
	principal    principal.Principal
	organization organization.Organization
	session      session.Session
	user         user.User             // of sessions
	credential   credential.Credential // of machines but clients
	client       client.Client
	access       *token.Access // of sessions and clients
	thumbprint   string        // of the certificate the credential is bound to
}

// subjects are used again: they are large, and every request needs one.
var subjects = sync.Pool{New: func() any { return new(subject) }}

// Authenticate verifies a credential of one of the accepted kinds. There is no anonymous principal: no credential is an
// error. A refusal for the limit's sake carries the limit too.
func (a *Authenticator) Authenticate(ctx context.Context, c Credential, accepted []Kind, r Request) (Result, error) {
	s := subjects.Get().(*subject)
	defer func() {
		*s = subject{} // a secret need not stay here
		subjects.Put(s)
	}()
	s.shown = shown{value: c.value, account: r.Account, source: r.Source}
	if err := a.resolve(ctx, c, accepted, s); err != nil {
		return Result{}, err
	}
	return a.admit(ctx, s, r)
}

// resolve finds the kind of a credential, asks that kind's one verifier and joins what it refers to.
func (a *Authenticator) resolve(ctx context.Context, c Credential, accepted []Kind, s *subject) error {
	switch c.Kind {
	case None:
		return errMissing()
	case jsonWebToken:
		v, err := a.verify(c.value)
		if err != nil {
			return err
		}
		s.shown.token, s.kind = v, v.kind
	default:
		s.kind = byName[c.Kind]
	}
	if s.kind == nil || !slices.Contains(accepted, s.kind.name) {
		if c.Kind == Password {
			return errScheme()
		}
		return errWrongKind()
	}
	if err := s.kind.join(a, ctx, s); err != nil {
		return err
	}
	if !s.organization.Platform { // behind those who grant: no tenant's machine reaches the platform
		s.principal.Permissions = s.principal.Permissions.WithoutPlatform()
	}
	return nil
}

// admit judges what depends on the request: from where, over which connection, for which tenant, how often. Then the
// use is noted.
func (a *Authenticator) admit(ctx context.Context, s *subject, r Request) (res Result, err error) {
	now := a.Now()
	p := &s.principal
	p.Source = r.Source
	perMinute := 0
	if s.kind.bounds != nil {
		limit, addresses := s.kind.bounds(s)
		if perMinute = limit; !credential.Allowed(addresses, r.Source.Address) {
			return res, fault.Forbiddenf("This credential may not be used from this address.")
		}
	}
	if s.kind.device != nil {
		if err := s.kind.device(a, ctx, s, r); err != nil {
			return res, err
		}
	}
	if s.thumbprint != "" {
		if err := a.checkCertificate(r.HTTP, s.thumbprint); err != nil {
			return res, err
		}
	}
	if s.kind.present != nil && !r.Lags && !safe(r.Method) {
		if err := s.kind.present(a, ctx, s); err != nil {
			return res, err
		}
	}
	if r.TenantSlug != "" && r.TenantSlug != s.organization.Slug {
		if err := a.enter(ctx, s, r); err != nil {
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
	if perMinute > 0 && !r.Counted {
		res.Limit = a.Limiter.Take(ctx, invalidation.Key{Organization: p.Home, ID: p.ID}, perMinute, now)
		if !res.Limit.Allowed {
			return res, fault.Limitedf(fault.CodeRateLimited, res.Limit.Reset,
				"The credential's limit of %d requests a minute is used up.", perMinute)
		}
	}
	if s.kind.stamp != nil {
		s.kind.stamp(a, s, now, r.Source.Address)
	}
	res.Principal = *p
	return res, nil
}

// safe tells which requests change nothing (RFC 9110 §9.2.1). A method that is not known may change something.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// enter lets an operator's session, of /v1 and no other door, act in the tenant it names; for everyone else the header
// is only a check, and this is its failure. Who is no operator any more stays out, whatever their token says.
func (a *Authenticator) enter(ctx context.Context, s *subject, r Request) error {
	p, home := &s.principal, s.organization
	if !s.kind.enters || !home.Platform || p.Role != permission.RoleSuperUser ||
		s.user.Role != permission.RoleSuperUser {
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
