package client

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client/clientdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// entry is what a client is found by.
func (c Client) entry() search.Entry {
	e := search.Entry{Organization: c.Organization, Kind: "client", ID: string(c.ID)}
	if c.State != Deleted {
		e.Terms = search.Terms{}.Words(c.Name)
	}
	return e
}

// Search pages through those clients that a search finds. It needs clients:read:all.
func (s *Service) Search(ctx context.Context, p principal.Principal, q search.Query, after id.Client,
	limit int) ([]search.Hit[Client], error) {
	rows, err := clientdb.New(s.db.Tenant(p.Organization)).Search(ctx, clientdb.SearchParams{
		OrganizationID: p.Organization, Past: q.Past, After: string(after), Beyond: q.Beyond, Prefix: q.Prefix,
		RowLimit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("client: search: %w", err)
	}
	hits := make([]search.Hit[Client], len(rows))
	for i, r := range rows {
		c, err := fromRow(r.Client)
		if err != nil {
			return nil, err
		}
		hits[i] = search.Hit[Client]{V: s.withUse(c), Term: r.Term}
	}
	return hits, nil
}

// Findable walks over clients.
func (s *Service) Findable() []search.Source {
	return []search.Source{func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Row,
		error) {
		rows, err := clientdb.New(s.db.Platform("what has no search terms")).
			PlatformTerms(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("client: search terms: %w", err)
		}
		out := make([]search.Row, len(rows))
		for i, r := range rows {
			c := Client{ID: r.ID, Organization: r.OrganizationID, Name: r.Name}
			out[i] = search.Row{Entry: c.entry(), Found: r.Found}
		}
		return out, nil
	}}
}
