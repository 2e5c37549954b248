package credential

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// entry is what a credential is found by.
func (c Credential) entry() search.Entry {
	return search.Entry{Organization: c.Organization, Kind: string(c.Kind), ID: string(c.ID),
		Terms: search.Terms{}.Words(c.Name)}
}

// Search pages through those credentials of a kind that a search finds and the principal may read.
func (s *Service) Search(ctx context.Context, p principal.Principal, kind Kind, q search.Query,
	f Filter) ([]search.Hit[Credential], error) {
	if !f.own(p, kind) {
		return nil, nil
	}
	if f.State != "" || f.Owner != "" {
		few := f
		few.Past, few.Limit = "", search.Few
		list, err := s.List(ctx, p, kind, few)
		if err != nil || len(list) < search.Few {
			return search.Among(q, string(f.Past), f.Limit, list, func(c Credential) (string, search.Terms) {
				return string(c.ID), c.entry().Terms
			}), err
		}
	}
	rows, err := credentialdb.New(s.db.Tenant(p.Organization)).Search(ctx, credentialdb.SearchParams{
		OrganizationID: p.Organization, Kind: string(kind), Past: q.Past, After: string(f.Past), Beyond: q.Beyond,
		Prefix: q.Prefix, State: string(f.State), Owner: f.Owner, RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, fmt.Errorf("credential: search: %w", err)
	}
	hits := make([]search.Hit[Credential], len(rows))
	for i, r := range rows {
		c, err := fromRow(r.Credential)
		if err != nil {
			return nil, err
		}
		hits[i] = search.Hit[Credential]{V: s.withUse(c), Term: r.Term}
	}
	return hits, nil
}

// Findable walks over credentials.
func (s *Service) Findable() []search.Source {
	return []search.Source{func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Row,
		error) {
		rows, err := credentialdb.New(s.db.Platform("what has no search terms")).
			PlatformTerms(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("credential: search terms: %w", err)
		}
		out := make([]search.Row, len(rows))
		for i, r := range rows {
			c := Credential{ID: r.ID, Organization: r.OrganizationID, Kind: Kind(r.Kind), Name: r.Name}
			out[i] = search.Row{Entry: c.entry(), Found: r.Found}
		}
		return out, nil
	}}
}
