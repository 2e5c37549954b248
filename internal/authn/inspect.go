package authn

import (
	"context"
	"net/netip"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// RefreshToken is the kind of an inspected value that no route accepts as a credential.
const RefreshToken Kind = "refresh_token"

// Inspection is what a live token says and to whom it belongs.
type Inspection struct {
	Kind       Kind
	Principal  principal.Principal // of a session's refresh token: what its user may do now
	Access     *token.Access       // of sessions' and clients' access tokens
	Refresh    token.Refresh       // of refresh tokens
	Credential credential.Credential
	Client     id.Client // the OAuth client it was issued to; empty for none
	Resource   string    // of the permission with which somebody ends another's
	JTI        string
	Audience   string
	Thumbprint string
	Addresses  []netip.Prefix // from which it may be used; none: all
	IssuedAt   time.Time
	ExpiresAt  time.Time // zero: never
}

// Inspect tells about a token for introspection and revocation. It judges what Authenticate judges but nothing about
// the present request, counts no use, and refuses with Unauthenticated or Forbidden whatever does not work now.
func (a *Authenticator) Inspect(ctx context.Context, value string) (Inspection, error) {
	c := FromValue(value)
	if h, err := jwt.ReadHeader(value); c.Kind == jsonWebToken && err == nil && h.Type == jwt.TypeRefresh {
		return a.inspectRefresh(ctx, value)
	}
	s := subject{shown: shown{value: value}}
	if err := a.resolve(ctx, c, Tokens, &s); err != nil {
		return Inspection{}, err
	}
	i := Inspection{Kind: s.kind.name, Resource: s.kind.resource, Principal: s.principal, Access: s.access,
		Credential: s.credential,
		Client:     s.client.ID, Thumbprint: s.thumbprint, IssuedAt: s.credential.CreatedAt,
		ExpiresAt: s.principal.ExpiresAt}
	if s.kind.bounds != nil {
		_, i.Addresses = s.kind.bounds(&s)
	}
	if s.access != nil {
		r := s.access.Registered()
		i.JTI, i.Audience, i.IssuedAt = r.ID, r.Audience, time.Unix(r.IssuedAt, 0).UTC()
	}
	return i, nil
}

// inspectRefresh tells about a refresh token. With a refusal it gives the inspection too where the session is there but
// its user must prove more: it gives nothing, and whoever shows it may end it.
func (a *Authenticator) inspectRefresh(ctx context.Context, value string) (_ Inspection, refused error) {
	r, err := a.Tokens.VerifyRefresh(value)
	if err != nil {
		return Inspection{}, err
	}
	current, err := a.Tokens.Current(ctx, r)
	if err != nil {
		return Inspection{}, err
	}
	org, err := a.Organizations.Facts(ctx, r.Organization)
	if err != nil {
		return Inspection{}, gone(err)
	}
	if !current || org.State != organization.Active {
		return Inspection{}, errRevoked()
	}
	p := principal.Principal{Kind: principal.Client, ID: r.Subject, Home: r.Organization, Organization: r.Organization,
		OrganizationSlug: org.Slug, ExpiresAt: r.ExpiresAt}
	resource := clients.resource
	var addresses []netip.Prefix
	if r.Client != "" {
		c, err := a.Clients.Facts(ctx, r.Organization, r.Client)
		if err != nil {
			return Inspection{}, gone(err)
		}
		if c.State != "active" || !c.RefreshAllowed {
			return Inspection{}, errRevoked()
		}
		p.Name, addresses = c.Name, c.Addresses
	} else {
		st, err := a.Sessions.Standing(ctx, r.Organization, id.User(r.Subject), r.Session)
		if err != nil && !st.Session.Live(a.Now()) || err != nil && fault.Of(err).Code != fault.CodeReauthentication {
			return Inspection{}, err
		}
		refused = err // a session that must be proven anew is there, and may be ended
		if p.Permissions, err = a.Tokens.PermissionsOf(ctx, st.User); err != nil {
			return Inspection{}, err
		}
		p.Kind, p.Name, p.Email, p.Role = principal.User, st.User.Name, st.User.Email, st.User.Role
		p.Session = r.Session
		resource = sessions.resource
	}
	return Inspection{Kind: RefreshToken, Resource: resource, Principal: p, Refresh: r, Client: r.Client, JTI: r.JTI,
		Addresses: addresses, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt}, refused
}

// Held finds the long-lived credential that a value opens, in whatever state it or its owner is: who gives a value back
// may end it for good though it does not work at the moment. Client secrets are among them. None is NotFound.
func (a *Authenticator) Held(ctx context.Context, value string) (credential.Credential, error) {
	for _, kind := range credential.Kinds {
		switch {
		case kind.Matches(value):
			return a.Credentials.Find(ctx, a.Credentials.Digest(kind, value))
		case kind.Type() != "":
			if h, err := jwt.ReadHeader(value); err == nil && h.Type == kind.Type() {
				return a.Credentials.Find(ctx, a.Credentials.Digest(kind, value))
			}
		}
	}
	return credential.Credential{}, fault.NotFoundf("There is no such credential.")
}

// Refused tells whether an error of Inspect says that the token does not work, and not that it could not be judged.
func Refused(err error) bool {
	return fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Forbidden) || fault.Is(err, fault.NotFound)
}
