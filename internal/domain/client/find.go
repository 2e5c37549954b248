package client

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client/clientdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// Terms are what a client is found by.
func (c Client) Terms() search.Terms { return search.Terms{}.Words(c.Name) }

const found = "client" // as queries.sql names it

func (c Client) entry() search.Entry {
	if c.State == Deleted {
		return search.Entry{Organization: c.Organization, Kind: found, ID: string(c.ID)}
	}
	return search.Entry{Organization: c.Organization, Kind: found, ID: string(c.ID), Terms: c.Terms()}
}

// find pages through those clients that a search finds.
func (s *Service) find(ctx context.Context, p principal.Principal, q search.Query, after id.Client,
	limit int) ([]clientdb.Client, error) {
	return clientdb.New(s.db.Tenant(p.Organization)).Search(ctx, clientdb.SearchParams{OrganizationID: p.Organization,
		Past: q.Past, After: string(after), Beyond: q.Beyond, Prefix: q.Prefix, RowLimit: int64(limit)})
}

// Unfound gives clients without terms.
func (s *Service) Unfound() []search.Source {
	return []search.Source{func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Entry,
		error) {
		rows, err := clientdb.New(s.db.Platform("what has no terms yet, of all organizations")).
			PlatformUnfound(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("client: without terms: %w", err)
		}
		out := make([]search.Entry, len(rows))
		for i, r := range rows {
			out[i] = Client{ID: r.ID, Organization: r.OrganizationID, Name: r.Name}.entry()
		}
		return out, nil
	}}
}
