package authn

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

// joinCredential finds the row of a value and joins it with its owner and organization. A garbled value does not reach
// the database; of a JWT the signature was checked, and the row decides all the same.
func (a *Authenticator) joinCredential(ctx context.Context, s *subject) error {
	k := s.kind
	var digest string
	if s.shown.token != nil {
		if err := a.Tokens.JudgeLongLived(s.shown.token.long); err != nil {
			return err
		}
		digest = s.shown.token.digest
	} else {
		if !k.stored.Matches(s.shown.value) {
			return k.errUnknown()
		}
		digest = a.Credentials.Digest(k.stored, s.shown.value)
	}
	c, err := a.LookUp(ctx, digest, s.shown.source.Address)
	if fault.Is(err, fault.NotFound) || err == nil && c.Kind != k.stored {
		return k.errUnknown()
	}
	if err != nil {
		return err
	}
	if s.organization, err = a.Organizations.Facts(ctx, c.Organization); err != nil {
		return gone(err)
	}
	switch {
	case s.organization.State == organization.Deleted || c.State != credential.Active:
		return k.errEnded(fault.CodeTokenRevoked, "The credential is revoked or switched off.")
	case !c.Live(a.Now()):
		return k.errEnded(fault.CodeTokenExpired, "The credential has expired.")
	case k.rests != nil && k.rests(s.organization):
		return errResting()
	}
	h, err := a.Credentials.Holder(ctx, c)
	if fault.Is(err, fault.Unauthenticated) {
		return k.errEnded(fault.CodeTokenRevoked, "The credential's owner is not active.")
	}
	if err != nil {
		return err
	}
	if s.organization.State == organization.Suspended {
		return errSuspended()
	}
	s.credential = c
	s.principal = principal.Principal{Kind: k.as, ID: string(c.ID), Name: c.Name, Home: c.Organization,
		Organization: c.Organization, OrganizationSlug: s.organization.Slug, Permissions: h.Permissions,
		Role: h.User.Role, Narrowed: k.narrowed || len(c.Resources) > 0, Owner: h.User.ID, ExpiresAt: c.ExpiresAt}
	return nil
}

// joinSetupLink joins a set-up link with its organization and what its maker may do now.
func (a *Authenticator) joinSetupLink(ctx context.Context, s *subject) error {
	err := a.TryLink(ctx, s.shown.source.Address, func() (err error) {
		s.principal, err = a.Connections.OpenLink(ctx, secret.New(s.shown.value))
		return err
	})
	if err != nil {
		return err
	}
	if s.organization, err = a.Organizations.Facts(ctx, s.principal.Organization); err != nil {
		return gone(err)
	}
	switch s.organization.State {
	case organization.Active:
		s.principal.OrganizationSlug = s.organization.Slug
		return nil
	case organization.Suspended:
		return errSuspended()
	}
	return gone(fault.NotFoundf("The organization is gone."))
}

// unknownLimit is how many values a minute one network may present that look right and are nobody's: each costs a
// question to the database. Credentials that are known, of whoever shares the address, go on.
const unknownLimit = 300

// LookUp finds the credential of a digest that was shown from an address; empty: by an authenticated client, which asks
// about tokens of others.
func (s *Services) LookUp(ctx context.Context, digest, address string) (c credential.Credential, err error) {
	if address == "" || s.Credentials.Known(digest) {
		return s.Credentials.Find(ctx, digest)
	}
	err = s.sparing(ctx, "credentials", address, fault.NotFound, func() error {
		if c, err = s.Credentials.Find(ctx, digest); err == nil {
			s.Credentials.Remember(digest)
		}
		return err
	})
	return c, err
}

// TryLink does what the secret of a link allows, or only tells, for a caller at an address.
func (s *Services) TryLink(ctx context.Context, address string, try func() error) error {
	return s.sparing(ctx, "links", address, fault.Unauthenticated, try)
}

// sparing asks about a value that anybody may show, unless too many of a network were nobody's. The answer to one of
// those is a failure of the kind nobodys.
func (s *Services) sparing(ctx context.Context, what, address string, nobodys fault.Kind, ask func() error) error {
	operator, err := s.Organizations.Operator(ctx)
	if fault.Is(err, fault.NotFound) { // not set up: there is nothing to guess
		return ask()
	}
	if err != nil {
		return err
	}
	k, now := ratelimit.Key(operator.ID, "unknown "+what+" from "+attempt.Network(address)), s.Now()
	if left, spent := s.Limiter.Spent(k, unknownLimit, now); spent {
		return fault.Limitedf(fault.CodeRateLimited, left, "Too many unknown %s from this address.", what)
	}
	err = ask()
	if fault.Is(err, nobodys) {
		s.Limiter.Take(ctx, k, unknownLimit, now)
	}
	return err
}
