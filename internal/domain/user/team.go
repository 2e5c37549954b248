package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Team is a group of users of one organization; the scope "team" means its members' things.
type Team struct {
	ID          id.Team
	Name        string
	Description string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

func teamFromRow(r userdb.Team) Team {
	return Team{ID: r.ID, Name: r.Name, Description: r.Description, CreatedAt: r.CreatedAt.Time(),
		UpdatedAt: r.UpdatedAt.Time()}
}

func oneTeam(r userdb.Team, err error) (Team, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Team{}, fault.NotFoundf("There is no such team.")
	}
	if err != nil {
		return Team{}, fmt.Errorf("team: load: %w", err)
	}
	return teamFromRow(r), nil
}

func (t *Team) check() (err error) {
	if t.Name, err = checkText("name", t.Name, 1, 100); err != nil {
		return err
	}
	t.Description, err = checkText("description", t.Description, 0, 500)
	return err
}

func (s *Service) recordTeam(ctx context.Context, tx *sqldb.Tx, p principal.Principal, team id.Team, act string,
	details map[string]string) error {
	return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: act, TargetKind: "team", TargetID: string(team),
		Details: details})
}

// CreateTeam adds a team. It needs teams:create:all.
func (s *Service) CreateTeam(ctx context.Context, p principal.Principal, t Team) (Team, error) {
	if err := t.check(); err != nil {
		return Team{}, err
	}
	t.ID, t.CreatedAt = id.New[id.Team](), s.now()
	t.UpdatedAt = t.CreatedAt
	err := s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		err := userdb.New(tx).
			InsertTeam(ctx, userdb.InsertTeamParams{OrganizationID: p.Organization, ID: t.ID, Name: t.Name,
				NameKey: CanonicalName(t.Name), Description: t.Description, CreatedAt: sqldb.MillisOf(t.CreatedAt)})
		if err != nil {
			return err
		}
		if err := search.Add(ctx, tx, t.entry(p.Organization)); err != nil {
			return err
		}
		return s.recordTeam(ctx, tx, p, t.ID, "team.created", map[string]string{"name": t.Name})
	})
	return t, teamConflict(err)
}

func teamConflict(err error) error {
	if sqldb.IsUnique(err) {
		return fault.Conflictf("There is a team of that name already.")
	}
	return err
}

// GetTeam finds a team. It needs teams:read:all.
func (s *Service) GetTeam(ctx context.Context, p principal.Principal, team id.Team) (Team, error) {
	return oneTeam(userdb.New(s.db.Tenant(p.Organization)).GetTeam(ctx, p.Organization, team))
}

// ListTeams pages through the teams by id. It needs teams:read:all.
func (s *Service) ListTeams(ctx context.Context, p principal.Principal, after id.Team, limit int) ([]Team, error) {
	rows, err := userdb.New(s.db.Tenant(p.Organization)).ListTeams(ctx, p.Organization, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("team: list: %w", err)
	}
	out := make([]Team, len(rows))
	for i, r := range rows {
		out[i] = teamFromRow(r)
	}
	return out, nil
}

// UpdateTeam renames or describes a team. It needs teams:update:all.
func (s *Service) UpdateTeam(ctx context.Context, p principal.Principal, team id.Team, change func(t *Team)) (Team,
	error) {
	var t Team
	err := sqldb.Retry(func() error {
		return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
			return s.updateTeam(ctx, tx, p, team, change, &t)
		})
	})
	return t, teamConflict(err)
}

func (s *Service) updateTeam(ctx context.Context, tx *sqldb.Tx, p principal.Principal, team id.Team,
	change func(t *Team), t *Team) error {
	q := userdb.New(tx)
	before, err := oneTeam(q.GetTeam(ctx, p.Organization, team))
	if err != nil {
		return err
	}
	*t = before
	change(t)
	if err := t.check(); err != nil {
		return err
	}
	t.UpdatedAt = sqldb.Version(s.now(), before.UpdatedAt)
	n, err := q.UpdateTeam(ctx, userdb.UpdateTeamParams{Name: t.Name, NameKey: CanonicalName(t.Name),
		Description: t.Description, Now: sqldb.MillisOf(t.UpdatedAt),
		OrganizationID: p.Organization, ID: team, Was: sqldb.MillisOf(before.UpdatedAt)})
	if err != nil {
		return err
	}
	if n == 0 {
		return sqldb.ErrStale
	}
	if err := search.Change(ctx, tx, before.entry(p.Organization), t.entry(p.Organization)); err != nil {
		return err
	}
	return s.recordTeam(ctx, tx, p, team, "team.updated", map[string]string{"name": t.Name})
}

// DeleteTeam removes a team and its memberships; its tickets belong to no team afterwards. It needs teams:delete:all.
func (s *Service) DeleteTeam(ctx context.Context, p principal.Principal, team id.Team) error {
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := userdb.New(tx)
		if err := q.ReleaseTeamTickets(ctx, p.Organization, team); err != nil {
			return fmt.Errorf("team: release tickets: %w", err)
		}
		n, err := q.DeleteTeam(ctx, p.Organization, team)
		if err != nil {
			return fmt.Errorf("team: delete: %w", err)
		}
		if n == 0 {
			return fault.NotFoundf("There is no such team.")
		}
		if err := search.Drop(ctx, tx, Team{ID: team}.entry(p.Organization)); err != nil {
			return err
		}
		return s.recordTeam(ctx, tx, p, team, "team.deleted", nil)
	})
}

// checkJoin tells whether p may bring a holder of a role into a team: by what the team brings to them, and by what
// they bring to those who are in it, who see what is assigned to them.
func (s *Service) checkJoin(ctx context.Context, p principal.Principal, team id.Team, role string) error {
	roles, err := userdb.New(s.db.Tenant(p.Organization)).RolesInTeam(ctx, p.Organization, team)
	if err != nil {
		return fmt.Errorf("team: roles: %w", err)
	}
	for _, name := range append(roles, role) {
		if err := s.roles.CheckMembership(ctx, p, name); err != nil {
			return err
		}
	}
	return nil
}

// AddMember puts a user into a team; doing it twice is no error. It needs teams:update:all and, with the scope all,
// what membership brings.
func (s *Service) AddMember(ctx context.Context, p principal.Principal, team id.Team, user id.User) error {
	return sqldb.Retry(func() error { return s.addMember(ctx, p, team, user) })
}

func (s *Service) addMember(ctx context.Context, p principal.Principal, team id.Team, user id.User) error {
	p, err := s.Present(ctx, p)
	if err != nil {
		return err
	}
	if _, err := s.GetTeam(ctx, p, team); err != nil {
		return err
	}
	u, err := s.Get(ctx, p, user)
	if err != nil {
		return err
	}
	if err := s.checkJoin(ctx, p, team, u.Role); err != nil {
		return err
	}
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		held, err := userdb.New(tx).HoldAsRead(ctx, p.Organization, user, sqldb.MillisOf(u.UpdatedAt))
		if err != nil {
			return fmt.Errorf("user: hold: %w", err)
		}
		if held == 0 { // promoted meanwhile, perhaps: judge again
			return sqldb.ErrStale
		}
		n, err := userdb.New(tx).AddMember(ctx, p.Organization, team, user)
		if sqldb.IsForeignKey(err) {
			return fault.NotFoundf("There is no such team or user.")
		}
		if err != nil || n == 0 {
			return err
		}
		return s.recordTeam(ctx, tx, p, team, "team.member_added", map[string]string{"user": string(user)})
	})
}

// RemoveMember takes a user out of a team. It needs teams:update:all.
func (s *Service) RemoveMember(ctx context.Context, p principal.Principal, team id.Team, user id.User) error {
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := userdb.New(tx).RemoveMember(ctx, p.Organization, team, user)
		if err != nil {
			return fmt.Errorf("team: remove member: %w", err)
		}
		if n == 0 {
			return fault.NotFoundf("There is no such membership.")
		}
		return s.recordTeam(ctx, tx, p, team, "team.member_removed", map[string]string{"user": string(user)})
	})
}

// ListMembers pages through a team's users by id. It needs teams:read:all.
func (s *Service) ListMembers(ctx context.Context, p principal.Principal, team id.Team, after id.User,
	limit int) ([]User, error) {
	if _, err := s.GetTeam(ctx, p, team); err != nil {
		return nil, err
	}
	rows, err := userdb.New(s.db.Tenant(p.Organization)).ListMembers(ctx, p.Organization, team, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("team: members: %w", err)
	}
	return fromRows(rows), nil
}

// TeamsOf lists the teams of a user.
func (s *Service) TeamsOf(ctx context.Context, org id.Organization, user id.User) ([]id.Team, error) {
	teams, err := userdb.New(s.db.Tenant(org)).TeamsOf(ctx, org, user)
	if err != nil {
		return nil, fmt.Errorf("team: of user: %w", err)
	}
	return teams, nil
}
