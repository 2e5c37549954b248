package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
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

func (a *API) registerTeams() {
	register(a, route(http.MethodGet, "/v1/teams", "teams:read"), op("List teams"), a.listTeams)
	register(a, route(http.MethodPost, "/v1/teams", "teams:create"), created("Create a team"), a.createTeam)
	register(a, route(http.MethodGet, "/v1/teams/{id}", "teams:read"), op("Get a team"), a.getTeam)
	register(a, route(http.MethodPatch, "/v1/teams/{id}", "teams:update"), op("Change a team", http.StatusConflict),
		a.updateTeam)
	register(a, route(http.MethodDelete, "/v1/teams/{id}", "teams:delete"), deleted("Delete a team"), a.deleteTeam)
	register(a, route(http.MethodGet, "/v1/teams/{id}/members", "teams:read"), op("List a team's members"),
		a.listMembers)
	register(a, route(http.MethodPut, "/v1/teams/{id}/members/{userId}", "teams:update"),
		deleted("Put a user into a team"), a.addMember)
	register(a, route(http.MethodDelete, "/v1/teams/{id}/members/{userId}", "teams:update"),
		deleted("Take a user out of a team"), a.removeMember)
}

func (a *API) listTeams(ctx context.Context, c call, in *Page) (*listOutput[teamBody], error) {
	after, err := a.position(*in, c, "teams")
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.ListTeams(ctx, c.Principal, id.Team(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return page(a, *in, c, "teams", nil, rows, func(t user.Team) string { return string(t.ID) }, showTeam), nil
}

type createTeamInput struct {
	Body struct {
		Name        string `json:"name" maxLength:"100"`
		Description string `json:"description,omitempty" maxLength:"500"`
	}
}

func (a *API) createTeam(ctx context.Context, c call, in *createTeamInput) (*createdOutput[teamBody], error) {
	t, err := a.Users.CreateTeam(ctx, c.Principal, user.Team{Name: in.Body.Name, Description: in.Body.Description})
	if err != nil {
		return nil, err
	}
	return &createdOutput[teamBody]{"/v1/teams/" + string(t.ID), showTeam(t)}, nil
}

func (a *API) getTeam(ctx context.Context, c call, in *IDInput) (*output[teamBody], error) {
	team, err := pathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Users.GetTeam(ctx, c.Principal, team)
	if err != nil {
		return nil, err
	}
	return out(showTeam(t)), nil
}

type updateTeamInput struct {
	IDInput
	Body struct {
		Name        *string `json:"name,omitempty" maxLength:"100"`
		Description *string `json:"description,omitempty" maxLength:"500"`
	}
}

func (a *API) updateTeam(ctx context.Context, c call, in *updateTeamInput) (*output[teamBody], error) {
	team, err := pathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Users.UpdateTeam(ctx, c.Principal, team, func(t *user.Team) {
		set(&t.Name, in.Body.Name)
		set(&t.Description, in.Body.Description)
	})
	if err != nil {
		return nil, err
	}
	return out(showTeam(t)), nil
}

func (a *API) deleteTeam(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	team, err := pathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Users.DeleteTeam(ctx, c.Principal, team)
}

type membersInput struct {
	Page
	IDInput
}

func (a *API) listMembers(ctx context.Context, c call, in *membersInput) (*listOutput[UserBody], error) {
	team, err := pathID[id.Team](in.ID)
	if err != nil {
		return nil, err
	}
	after, err := a.position(in.Page, c, "members", in.ID)
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.ListMembers(ctx, c.Principal, team, id.User(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return page(a, in.Page, c, "members", []string{in.ID}, rows, func(u user.User) string { return string(u.ID) },
		showUser), nil
}

type memberInput struct {
	IDInput
	UserID string `path:"userId" maxLength:"40"`
}

func (in memberInput) ids() (id.Team, id.User, error) {
	team, err := pathID[id.Team](in.ID)
	if err != nil {
		return "", "", err
	}
	u, err := pathID[id.User](in.UserID)
	return team, u, err
}

func (a *API) addMember(ctx context.Context, c call, in *memberInput) (*nothing, error) {
	team, u, err := in.ids()
	if err != nil {
		return nil, err
	}
	return nil, a.Users.AddMember(ctx, c.Principal, team, u)
}

func (a *API) removeMember(ctx context.Context, c call, in *memberInput) (*nothing, error) {
	team, u, err := in.ids()
	if err != nil {
		return nil, err
	}
	return nil, a.Users.RemoveMember(ctx, c.Principal, team, u)
}
