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

// entry is what a team is found by.
func (t Team) entry(org id.Organization) search.Entry {
	return search.Entry{Organization: org, Kind: "team", ID: string(t.ID), Terms: search.Terms{}.Words(t.Name)}
}

// Search pages through those users whom a search finds. It needs users:read:all.
func (s *Service) Search(ctx context.Context, p principal.Principal, q search.Query, f Filter) ([]search.Hit[User],
	error) {
	if f.State != "" || f.Role != "" || f.Email != "" {
		few := f
		few.After, few.Limit = "", search.Few
		users, err := s.List(ctx, p, few)
		if err != nil || len(users) < search.Few {
			return search.Among(q, string(f.After), f.Limit, users, func(u User) (string, search.Terms) {
				return string(u.ID), u.Terms()
			}), err
		}
	}
	rows, err := userdb.New(s.db.Tenant(p.Organization)).
		Search(ctx, userdb.SearchParams{OrganizationID: p.Organization, Past: q.Past, After: string(f.After),
			Beyond: q.Beyond, Prefix: q.Prefix, State: string(f.State), Role: f.Role,
			EmailKey: CanonicalName(f.Email), RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, fmt.Errorf("user: search: %w", err)
	}
	hits := make([]search.Hit[User], len(rows))
	for i, r := range rows {
		hits[i] = search.Hit[User]{V: fromRow(r.User), Term: r.Term}
	}
	return hits, nil
}

// SearchTeams pages through those teams that a search finds. It needs teams:read:all.
func (s *Service) SearchTeams(ctx context.Context, p principal.Principal, q search.Query, after id.Team,
	limit int) ([]search.Hit[Team], error) {
	rows, err := userdb.New(s.db.Tenant(p.Organization)).SearchTeams(ctx, userdb.SearchTeamsParams{
		OrganizationID: p.Organization, Past: q.Past, After: string(after), Beyond: q.Beyond, Prefix: q.Prefix,
		RowLimit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("team: search: %w", err)
	}
	hits := make([]search.Hit[Team], len(rows))
	for i, r := range rows {
		hits[i] = search.Hit[Team]{V: teamFromRow(r.Team), Term: r.Term}
	}
	return hits, nil
}

// Findable walks over users and teams.
func (s *Service) Findable() []search.Source {
	q := func() *userdb.Queries { return userdb.New(s.db.Platform("what has no search terms")) }
	users := func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Row, error) {
		rows, err := q().PlatformTerms(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("user: search terms: %w", err)
		}
		out := make([]search.Row, len(rows))
		for i, r := range rows {
			u := User{ID: r.ID, Organization: r.OrganizationID, Email: r.Email, Username: r.Username, Name: r.Name}
			out[i] = search.Row{Entry: u.entry(), Found: r.Found}
		}
		return out, nil
	}
	teams := func(ctx context.Context, org id.Organization, after string, limit int) ([]search.Row, error) {
		rows, err := q().PlatformTeamTerms(ctx, string(org), after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("team: search terms: %w", err)
		}
		out := make([]search.Row, len(rows))
		for i, r := range rows {
			out[i] = search.Row{Entry: Team{ID: r.ID, Name: r.Name}.entry(r.OrganizationID), Found: r.Found}
		}
		return out, nil
	}
	return []search.Source{users, teams}
}
