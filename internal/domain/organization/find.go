package organization

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization/organizationdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// entry is what an organization is found by.
func (o Organization) entry() search.Entry {
	e := search.Entry{Organization: o.ID, Kind: "organization", ID: string(o.ID)}
	if o.State != Deleted {
		e.Terms = search.Terms{}.Words(o.Name, o.Slug)
	}
	return e
}

// Search pages through those organizations that a search finds. It needs organizations:read:all.
func (s *Service) Search(ctx context.Context, p principal.Principal, q search.Query, state State,
	after id.Organization, limit int) ([]search.Hit[Organization], error) {
	if state != "" {
		few, err := s.List(ctx, p, state, "", search.Few)
		if err != nil || len(few) < search.Few {
			return search.Among(q, string(after), limit, few, func(o Organization) (string, search.Terms) {
				return string(o.ID), o.entry().Terms
			}), err
		}
	}
	rows, err := organizationdb.New(s.db.Platform("an operator searches the organizations")).PlatformSearch(ctx,
		organizationdb.PlatformSearchParams{Past: q.Past, After: string(after), Beyond: q.Beyond, Prefix: q.Prefix,
			State: string(state), RowLimit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("organization: search: %w", err)
	}
	hits := make([]search.Hit[Organization], len(rows))
	for i, r := range rows {
		o, err := fromRow(r.Organization)
		if err != nil {
			return nil, err
		}
		hits[i] = search.Hit[Organization]{V: o, Term: r.Term}
	}
	return hits, nil
}

// Findable walks over organizations.
func (s *Service) Findable() []search.Source {
	return []search.Source{func(ctx context.Context, after id.Organization, _ string, limit int) ([]search.Row,
		error) {
		rows, err := organizationdb.New(s.db.Platform("what has no search terms")).
			PlatformTerms(ctx, after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("organization: search terms: %w", err)
		}
		out := make([]search.Row, len(rows))
		for i, r := range rows {
			out[i] = search.Row{Entry: Organization{ID: r.ID, Name: r.Name, Slug: r.Slug}.entry(), Found: r.Found}
		}
		return out, nil
	}}
}
