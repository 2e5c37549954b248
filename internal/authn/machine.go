package authn

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
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

// unknownLimit is how many values a minute one network may present that look right and are nobody's: each costs a
// question to the database. Values that are known, of whoever shares the address, go on.
const unknownLimit = 300

// LookUp finds the credential of a digest that was shown from an address; empty: by an authenticated client, which asks
// about tokens of others.
func (s *Services) LookUp(ctx context.Context, digest, address string) (credential.Credential, error) {
	if address == "" || s.Credentials.Known(digest) {
		return s.Credentials.Find(ctx, digest)
	}
	operator, err := s.Organizations.Operator(ctx)
	if fault.Is(err, fault.NotFound) { // not set up: there are no credentials
		return s.Credentials.Find(ctx, digest)
	}
	if err != nil {
		return credential.Credential{}, err
	}
	k, now := ratelimit.Key(operator.ID, "unknown credentials from "+attempt.Network(address)), s.Now()
	if left, spent := s.Limiter.Spent(k, unknownLimit, now); spent {
		return credential.Credential{}, fault.Limitedf(fault.CodeRateLimited, left,
			"Too many unknown credentials from this address.")
	}
	c, err := s.Credentials.Find(ctx, digest)
	switch {
	case err == nil:
		s.Credentials.Remember(digest)
	case fault.Is(err, fault.NotFound):
		s.Limiter.Take(ctx, k, unknownLimit, now)
	}
	return c, err
}
