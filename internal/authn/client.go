package authn

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
)

// joinClient joins a client's token with its client, and with the secret and the refresh token it was got with: it
// stops with any of them.
func (a *Authenticator) joinClient(ctx context.Context, s *subject) (err error) {
	access := s.shown.token.access
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
	if s.kind.rests != nil && s.kind.rests(s.organization) {
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
	return nil
}
