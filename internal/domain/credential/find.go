package credential

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
)

// Terms are what a credential is found by.
func (c Credential) Terms() search.Terms { return search.Terms{}.Words(c.Name) }

func (c Credential) entry() search.Entry {
	return search.Entry{Organization: c.Organization, Kind: string(c.Kind), ID: string(c.ID), Terms: c.Terms()}
}

// find pages through those credentials of a kind that a search finds; an owner's are found in the order of their ids.
func (s *Service) find(ctx context.Context, p principal.Principal, kind Kind, f Filter) ([]credentialdb.Credential,
	error) {
	q := credentialdb.New(s.db.Tenant(p.Organization))
	if f.Owner != "" {
		return q.SearchOwned(ctx, credentialdb.SearchOwnedParams{OrganizationID: p.Organization, Kind: string(kind),
			Owner: f.Owner, After: f.Past, State: string(f.State), Prefix: f.Search.Prefix, Beyond: f.Search.Beyond,
			RowLimit: int64(f.Limit)})
	}
	return q.Search(ctx, credentialdb.SearchParams{OrganizationID: p.Organization, Kind: string(kind),
		Past: f.Search.Past, After: string(f.Past), Beyond: f.Search.Beyond, Prefix: f.Search.Prefix,
		State: string(f.State), RowLimit: int64(f.Limit)})
}

// Unfound gives credentials without terms.
func (s *Service) Unfound() []search.Source {
	return []search.Source{func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Entry,
		error) {
		rows, err := credentialdb.New(s.db.Platform("what has no terms yet, of all organizations")).
			PlatformUnfound(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("credential: without terms: %w", err)
		}
		out := make([]search.Entry, len(rows))
		for i, r := range rows {
			out[i] = Credential{ID: r.ID, Organization: r.OrganizationID, Kind: Kind(r.Kind), Name: r.Name}.entry()
		}
		return out, nil
	}}
}
