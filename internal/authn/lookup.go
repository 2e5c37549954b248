package authn

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

// unknownLimit is how many values a minute one network may present that look right and are nobody's: each costs a
// question to the database. Values that are known, of whoever shares the address, go on.
const unknownLimit = 300

// lookUp finds the credential of a digest that was shown from an address; empty: by an authenticated client, which asks
// about tokens of others.
func (s *Services) lookUp(ctx context.Context, digest, address string) (credential.Credential, error) {
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
