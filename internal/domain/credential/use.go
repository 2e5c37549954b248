package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// place is where the row of a digest is. It never changes: whether the digest still opens the row is the row's to say.
type place struct {
	org id.Organization
	id  id.Credential
}

// Known tells whether a digest opened a credential lately: what is looked up for it is not looked up for nothing.
func (s *Service) Known(digest string) bool {
	_, ok := s.good.Get(bounded.Key{ID: digest})
	return ok
}

// Remember makes a digest that opened a credential Known.
func (s *Service) Remember(digest string) { s.good.Set(bounded.Key{ID: digest}, struct{}{}) }

// Find gives the credential that a digest opens now, in whatever state: judging it is Live's and Holder's. None is
// NotFound.
func (s *Service) Find(ctx context.Context, digest string) (Credential, error) {
	at, err := s.places.Get(ctx, invalidation.Key{ID: digest}, func(ctx context.Context) (place, error) {
		row, err := credentialdb.New(s.db.Platform("the row of a credential's digest")).PlatformByDigest(ctx, digest)
		if errors.Is(err, sqldb.ErrNoRows) {
			return place{}, errNone()
		}
		if err != nil {
			return place{}, fmt.Errorf("credential: digest: %w", err)
		}
		return place{row.OrganizationID, row.ID}, nil
	})
	if err != nil {
		return Credential{}, err
	}
	c, err := s.Facts(ctx, at.org, at.id)
	if err == nil && !c.opens(digest, s.now()) {
		return Credential{}, errNone()
	}
	return c, err
}

// Facts gives a credential in any state, from the cache.
func (s *Service) Facts(ctx context.Context, org id.Organization, c id.Credential) (Credential, error) {
	return s.facts.Get(ctx, key(org, c), func(ctx context.Context) (Credential, error) {
		return one(credentialdb.New(s.db.Tenant(org)).Get(ctx, org, c))
	})
}

// Touch notes a use of a credential. It writes nothing itself.
func (s *Service) Touch(c Credential, now time.Time) {
	if k := key(c.Organization, c.ID); s.uses.Due(k, now) {
		s.uses.Note(k, now, now)
	}
}

// ReportFilter says what counts as old and as idle.
type ReportFilter struct {
	OlderThan time.Duration // since it was made or last rotated
	IdleFor   time.Duration // since it was made or last used
	After     id.Credential
	Limit     int
}

// Finding is a credential that deserves a look, and why.
type Finding struct {
	Credential
	NeverExpires bool
	Old          bool
	Idle         bool
}

// Report lists what never expires, is old or is idle, of the kinds that the principal may read in the whole
// organization.
func (s *Service) Report(ctx context.Context, p principal.Principal, f ReportFilter) ([]Finding, error) {
	kinds := []Kind{}
	for _, k := range Kinds {
		if p.Scope(k.Resource(), "read") == permission.All {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return nil, fault.Forbiddenf("This needs the permission to read credentials of the whole organization.")
	}
	now := s.now()
	old, idle := now.Add(-f.OlderThan), now.Add(-f.IdleFor)
	rows, err := credentialdb.New(s.db.Tenant(p.Organization)).
		Report(ctx, credentialdb.ReportParams{OrganizationID: p.Organization, After: f.After, Now: sqldb.MillisOf(now),
			Kinds:     encode(kinds),
			OldBefore: sqldb.MillisOf(old), IdleBefore: sqldb.MillisOf(idle), RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, fmt.Errorf("credential: report: %w", err)
	}
	list, err := s.fromRows(rows)
	if err != nil {
		return nil, err
	}
	out := make([]Finding, len(list))
	for i, c := range list {
		out[i] = Finding{c, c.ExpiresAt.IsZero(), later(c.CreatedAt, c.RotatedAt).Before(old),
			later(c.CreatedAt, c.LastUsedAt).Before(idle)}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Ages counts the working credentials of the whole installation that deserve a look.
type Ages struct {
	Active, NeverExpire, Old, Idle int64
}

// Ages counts over all organizations.
func (s *Service) Ages(ctx context.Context, olderThan, idleFor time.Duration) (Ages, error) {
	now := s.now()
	row, err := credentialdb.New(s.db.Platform("how old the credentials of the installation are")).
		PlatformAges(ctx, sqldb.MillisOf(now.Add(-olderThan)), sqldb.MillisOf(now.Add(-idleFor)), sqldb.MillisOf(now))
	if err != nil {
		return Ages{}, fmt.Errorf("credential: ages: %w", err)
	}
	return Ages{row.Active, row.Unending, row.Old, row.Idle}, nil
}
