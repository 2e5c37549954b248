package user

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
)

// Terms are what a user is found by.
func (u User) Terms() search.Terms { return search.Terms{}.Whole(u.Email, u.Username).Words(u.Name) }

func (u User) entry() search.Entry {
	return search.Entry{Organization: u.Organization, Kind: "user", ID: string(u.ID), Terms: u.Terms()}
}

// Terms are what a team is found by.
func (t Team) Terms() search.Terms { return search.Terms{}.Words(t.Name) }

func (t Team) entry(org id.Organization) search.Entry {
	return search.Entry{Organization: org, Kind: "team", ID: string(t.ID), Terms: t.Terms()}
}

// find pages through those users whom a search finds.
func (s *Service) find(ctx context.Context, p principal.Principal, f Filter) ([]User, error) {
	rows, err := userdb.New(s.db.Tenant(p.Organization)).
		Search(ctx, userdb.SearchParams{OrganizationID: p.Organization, Past: f.Search.Past, After: string(f.After),
			Beyond: f.Search.Beyond, Prefix: f.Search.Prefix, State: string(f.State), Role: f.Role,
			EmailKey: CanonicalName(f.Email), RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, fmt.Errorf("user: search: %w", err)
	}
	return fromRows(rows), nil
}

// Unfound gives users and teams without terms.
func (s *Service) Unfound() []search.Source {
	users := func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Entry, error) {
		rows, err := userdb.New(s.db.Platform("what has no terms yet")).
			PlatformUnfound(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("user: without terms: %w", err)
		}
		out := make([]search.Entry, len(rows))
		for i, r := range rows {
			out[i] = fromRow(r).entry()
		}
		return out, nil
	}
	teams := func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Entry, error) {
		rows, err := userdb.New(s.db.Platform("what has no terms yet")).
			PlatformUnfoundTeams(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("team: without terms: %w", err)
		}
		out := make([]search.Entry, len(rows))
		for i, r := range rows {
			out[i] = teamFromRow(r).entry(r.OrganizationID)
		}
		return out, nil
	}
	return []search.Source{users, teams}
}
