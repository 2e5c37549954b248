package organization

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/organization/organizationdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// Terms are what an organization is found by.
func (o Organization) Terms() search.Terms { return search.Terms{}.Words(o.Name, o.Slug) }

const found = "organization" // as queries.sql names it

func (o Organization) entry() search.Entry {
	if o.State == Deleted {
		return search.Entry{Organization: o.ID, Kind: found, ID: string(o.ID)}
	}
	return search.Entry{Organization: o.ID, Kind: found, ID: string(o.ID), Terms: o.Terms()}
}

// Filter narrows a listing; zero fields do not.
type Filter struct {
	State  State
	Search search.Query
	After  id.Organization
	Limit  int
}

// rows gives the rows of a page.
func (f Filter) rows(ctx context.Context, q *organizationdb.Queries) ([]organizationdb.Organization, error) {
	if f.Search.Any() {
		return q.PlatformSearch(ctx, organizationdb.PlatformSearchParams{Past: f.Search.Past, After: string(f.After),
			Beyond: f.Search.Beyond, Prefix: f.Search.Prefix, State: string(f.State), RowLimit: int64(f.Limit)})
	}
	return q.PlatformList(ctx, f.After, string(f.State), int64(f.Limit))
}

// Unfound gives organizations without terms.
func (s *Service) Unfound() []search.Source {
	return []search.Source{func(ctx context.Context, after id.Organization, _ string, limit int) ([]search.Entry,
		error) {
		rows, err := organizationdb.New(s.db.Platform("what has no terms yet, of all organizations")).
			PlatformUnfound(ctx, after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("organization: without terms: %w", err)
		}
		out := make([]search.Entry, len(rows))
		for i, r := range rows {
			out[i] = Organization{ID: r.ID, Name: r.Name, Slug: r.Slug}.entry()
		}
		return out, nil
	}}
}
