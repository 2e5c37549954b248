package authn

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"

	"gatehouse/internal/core/fault"
	"gatehouse/internal/core/id"
	"gatehouse/internal/core/permission"
	"gatehouse/internal/core/principal"
	"gatehouse/internal/domain/audit"
	"gatehouse/internal/domain/organization"
	"gatehouse/internal/domain/session"
	"gatehouse/internal/domain/token"
	"gatehouse/internal/domain/user"
	"gatehouse/internal/platform/sqldb"
)

// Request is what authentication needs to know of a request beside its credential.
type Request struct {
	Source     principal.Source
	TenantSlug string // X-Tenant-Slug; a check, never a grant
	Method     string
	Path       string // the matched pattern, for the audit log
}

// Authenticator turns credentials into principals.
type Authenticator struct {
	db            *sqldb.DB
	now           func() time.Time
	organizations *organization.Service
	users         *user.Service
	sessions      *session.Service
	tokens        *token.Service

	verified *otter.Cache[[sha256.Size]byte, *token.Access]
}

// verifiedBytes bounds the cache of verified tokens: about what their claims take.
const verifiedBytes = 32 << 20

// New makes the authenticator.
func New(db *sqldb.DB, organizations *organization.Service, users *user.Service, sessions *session.Service, tokens *token.Service, now func() time.Time) *Authenticator {
	return &Authenticator{db: db, now: now, organizations: organizations, users: users, sessions: sessions, tokens: tokens,
		verified: otter.Must(&otter.Options[[sha256.Size]byte, *token.Access]{
			MaximumWeight: verifiedBytes,
			Weigher: func(_ [sha256.Size]byte, a *token.Access) uint32 {
				return uint32(600 + 120*a.Permissions.Len())
			},
		})}
}

// Authenticate verifies a credential of one of the accepted kinds. None among them makes it optional only in that its absence gives the
// error a caller may turn into "anonymous"; there is no anonymous principal.
func (a *Authenticator) Authenticate(ctx context.Context, c Credential, accepted []Kind, r Request) (principal.Principal, error) {
	if c.Kind == None {
		return principal.Principal{}, errMissing()
	}
	if !slices.Contains(accepted, c.Kind) {
		return principal.Principal{}, fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "This kind of credential does not work here.")
	}
	switch c.Kind {
	case SessionToken:
		return a.sessionToken(ctx, c.value, r)
	}
	return principal.Principal{}, errMissing()
}

func (a *Authenticator) sessionToken(ctx context.Context, value string, r Request) (principal.Principal, error) {
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(value), len(value))) // only read; a copy of each token would be the largest allocation of a request
	access, ok := a.verified.GetIfPresent(sum)
	if !ok {
		var err error
		if access, err = a.tokens.VerifyAccess(value); err != nil {
			return principal.Principal{}, err
		}
		a.verified.Set(sum, access)
	}
	if err := a.tokens.Judge(access); err != nil {
		return principal.Principal{}, err
	}
	c := &access.Claims
	home, userID, sessionID := id.Organization(c.OrganizationID), id.User(c.Subject), id.Session(c.SessionID)
	org, err := a.organizations.Facts(ctx, home)
	if err != nil {
		return principal.Principal{}, gone(err)
	}
	u, err := a.users.Facts(ctx, home, userID)
	if err != nil {
		return principal.Principal{}, gone(err)
	}
	f, err := a.sessions.Facts(ctx, home, sessionID)
	if err != nil {
		return principal.Principal{}, gone(err)
	}
	now := a.now()
	if org.State == organization.Deleted || u.State != user.Active || f.User != userID || !f.Live(now) {
		return principal.Principal{}, errRevoked()
	}
	if org.State == organization.Suspended {
		return principal.Principal{}, fault.New(fault.Forbidden, fault.CodeSuspended, "The organization is suspended.")
	}
	p := principal.Principal{Kind: principal.User, ID: c.Subject, Name: u.Name, Home: home, Organization: home, OrganizationSlug: org.Slug, Permissions: access.Permissions,
		Role: c.Role, Email: c.Email, Session: sessionID, AuthTime: f.AuthTime, ExpiresAt: time.Unix(c.Expires, 0).UTC(), Source: r.Source}
	if org.Settings.RoleChangesApplyAtOnce {
		if p.Permissions, err = a.tokens.PermissionsOf(ctx, u); err != nil {
			return principal.Principal{}, err
		}
		p.Role = u.Role
	}
	if r.TenantSlug != "" && r.TenantSlug != org.Slug {
		if p, err = a.enter(ctx, p, org, r); err != nil {
			return principal.Principal{}, err
		}
	}
	a.sessions.Touch(f, now, r.Source.Address)
	return p, nil
}

// gone turns "not found" of what a verified token refers to into a refusal; trouble stays trouble.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errRevoked()
	}
	return err
}

func errRevoked() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The session has ended.")
}

// enter lets an operator's session act in the tenant it names; for everyone else the header is only a check, and this is its failure.
func (a *Authenticator) enter(ctx context.Context, p principal.Principal, home organization.Organization, r Request) (principal.Principal, error) {
	if !home.Platform || p.Role != permission.RoleSuperUser {
		return p, fault.New(fault.Forbidden, fault.CodeTenantMismatch, "X-Tenant-Slug names another organization than the credential's.")
	}
	org, err := a.organizations.BySlug(ctx, r.TenantSlug)
	if err != nil {
		return p, err
	}
	p.Organization, p.OrganizationSlug = org.ID, org.Slug
	entry := audit.Entry{Act: "tenant.entered", TargetKind: "organization", TargetID: string(org.ID), Details: map[string]string{"request": r.Method + " " + r.Path}}
	return p, a.db.PlatformTx(ctx, "an operator acts in a tenant: recorded in both", func(tx *sqldb.Tx) error {
		if err := audit.RecordIn(ctx, tx, a.now(), home.ID, p, entry); err != nil {
			return err
		}
		return audit.RecordIn(ctx, tx, a.now(), org.ID, p, entry)
	})
}
