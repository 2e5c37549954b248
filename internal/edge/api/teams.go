package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

type teamBody struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

func showTeam(t user.Team) teamBody {
	return teamBody{string(t.ID), t.Name, t.Description, t.CreatedAt, t.UpdatedAt}
}

func (a *routes) registerTeams() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/teams", "teams:read"), v1.Op("List teams"), a.listTeams)
	v1.Register(a.API, v1.Managed(http.MethodPost, "/v1/teams", "teams:create"), v1.Created("Create a team"),
		a.createTeam)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/teams/{id}", "teams:read"), v1.Op("Get a team"), a.getTeam)
	v1.Register(a.API, v1.Managed(http.MethodPatch, "/v1/teams/{id}", "teams:update"),
		v1.Op("Change a team", http.StatusConflict),
		a.updateTeam)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/teams/{id}", "teams:delete"), v1.Deleted("Delete a team"),
		a.deleteTeam)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/teams/{id}/members", "teams:read"),
		v1.Op("List a team's members"),
		a.listMembers)
	v1.Register(a.API, v1.Managed(http.MethodPut, "/v1/teams/{id}/members/{userId}", "teams:update"),
		v1.Deleted("Put a user into a team"), a.addMember)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/teams/{id}/members/{userId}", "teams:update"),
		v1.Deleted("Take a user out of a team"), a.removeMember)
}

type searchInput struct {
	v1.Page
	v1.Search
}

func (a *routes) listTeams(ctx context.Context, c v1.Call, in *searchInput) (*v1.ListOutput[teamBody], error) {
	return v1.Searched(a.API, in.Search, in.Page, c, "teams", nil,
		func(after string) ([]user.Team, error) {
			return a.Users.ListTeams(ctx, c.Principal, id.Team(after), in.Limit+1)
		},
		func(q search.Query, after string) ([]search.Hit[user.Team], error) {
			return a.Users.SearchTeams(ctx, c.Principal, q, id.Team(after), in.Limit+1)
		},
		func(t user.Team) string { return string(t.ID) }, showTeam)
}

type createTeamInput struct {
	Body struct {
		Name        string `json:"name" maxLength:"100"`
		Description string `json:"description,omitempty" maxLength:"500"`
	}
}

func (a *routes) createTeam(ctx context.Context, c v1.Call, in *createTeamInput) (*v1.CreatedOutput[teamBody], error) {
	t, err := a.Users.CreateTeam(ctx, c.Principal, user.Team{Name: in.Body.Name, Description: in.Body.Description})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/teams/"+string(t.ID), showTeam(t)), nil
}

func (a *routes) getTeam(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[teamBody], error) {
	team, err := v1.PathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Users.GetTeam(ctx, c.Principal, team)
	if err != nil {
		return nil, err
	}
	return v1.Out(showTeam(t)), nil
}

type updateTeamInput struct {
	v1.IDInput
	Body struct {
		Name        *string `json:"name,omitempty" maxLength:"100"`
		Description *string `json:"description,omitempty" maxLength:"500"`
	}
}

func (a *routes) updateTeam(ctx context.Context, c v1.Call, in *updateTeamInput) (*v1.Output[teamBody], error) {
	team, err := v1.PathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Users.UpdateTeam(ctx, c.Principal, team, func(t *user.Team) {
		v1.Set(&t.Name, in.Body.Name)
		v1.Set(&t.Description, in.Body.Description)
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showTeam(t)), nil
}

func (a *routes) deleteTeam(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	team, err := v1.PathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Users.DeleteTeam(ctx, c.Principal, team)
}

type membersInput struct {
	v1.Page
	v1.IDInput
}

func (a *routes) listMembers(ctx context.Context, c v1.Call, in *membersInput) (*v1.ListOutput[v1.UserBody], error) {
	team, err := v1.PathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	after, err := a.Position(in.Page, c, "members", in.ID)
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.ListMembers(ctx, c.Principal, team, id.User(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "members", []string{in.ID}, rows, func(u user.User) string {
		return string(u.ID)
	},
		v1.ShowUser), nil
}

type memberInput struct {
	v1.IDInput
	UserID string `path:"userId" maxLength:"40"`
}

func (in memberInput) ids() (id.Team, id.User, error) {
	team, err := v1.PathID[id.Team](in.ID)
	if err != nil {
		return "", "", err
	}
	u, err := v1.PathID[id.User](in.UserID)
	return team, u, err
}

func (a *routes) addMember(ctx context.Context, c v1.Call, in *memberInput) (*v1.Nothing, error) {
	team, u, err := in.ids()
	if err != nil {
		return nil, err
	}
	return nil, a.Users.AddMember(ctx, c.Principal, team, u)
}

func (a *routes) removeMember(ctx context.Context, c v1.Call, in *memberInput) (*v1.Nothing, error) {
	team, u, err := in.ids()
	if err != nil {
		return nil, err
	}
	return nil, a.Users.RemoveMember(ctx, c.Principal, team, u)
}
