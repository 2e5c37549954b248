package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerUsers() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/users", "users:read"), v1.Op("List users"), a.listUsers)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPost, "/v1/users", "users:create")), v1.Created("Create a user"),
		a.createUser)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/users/{id}", "users:read"), v1.Op("Get a user"), a.getUser)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/users/{id}", "users:update")),
		v1.Op("Change a user", http.StatusConflict), a.updateUser)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/users/{id}/password-link", "users:update")),
		v1.Op("Make a link at which a user chooses a password", http.StatusConflict), a.passwordLink)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/users/{id}", "users:delete"), v1.Deleted("Deactivate a user"),
		a.deactivateUser)
}

type listUsersInput struct {
	v1.Page
	v1.Search
	State string `query:"state" enum:"active,disabled"`
	Role  string `query:"role" maxLength:"50"`
	Email string `query:"email" maxLength:"320" doc:"Exactly this address"`
}

func (a *routes) listUsers(ctx context.Context, c v1.Call, in *listUsersInput) (*v1.ListOutput[v1.UserBody], error) {
	filter := func(after string) user.Filter {
		return user.Filter{State: user.State(in.State), Role: in.Role, Email: in.Email, After: id.User(after),
			Limit: in.Limit + 1}
	}
	return v1.Searched(a.API, in.Search, in.Page, c, "users", []string{in.State, in.Role, in.Email},
		func(after string) ([]user.User, error) { return a.Users.List(ctx, c.Principal, filter(after)) },
		func(q search.Query, after string) ([]search.Hit[user.User], error) {
			return a.Users.Search(ctx, c.Principal, q, filter(after))
		},
		func(u user.User) string { return string(u.ID) }, v1.ShowUser)
}

type createUserInput struct {
	Body struct {
		Email    string   `json:"email" maxLength:"320"`
		Username string   `json:"username,omitempty" maxLength:"320" doc:"Unique in the organization; without one the e-mail address"`
		Name     string   `json:"name,omitempty" maxLength:"200"`
		Type     string   `json:"type,omitempty" enum:"person,application" doc:"application: a program of yours"`
		Role     string   `json:"role" maxLength:"50" example:"end_user"`
		Teams    []string `json:"teams,omitempty" maxItems:"50"`
	}
}

type createdUser struct {
	v1.UserBody
	SetPasswordURL       *string    `json:"setPasswordUrl" doc:"Where the user chooses a password, once; shown only now, and null to machines, which get no hold of people's passwords"`
	SetPasswordExpiresAt *time.Time `json:"setPasswordExpiresAt"`
}

func (a *routes) createUser(ctx context.Context, c v1.Call, in *createUserInput) (*v1.CreatedOutput[createdUser],
	error) {
	teams, err := v1.BodyIDs[id.Team]("teams", in.Body.Teams)
	if err != nil {
		return nil, err
	}
	b := in.Body
	u, err := a.Users.Create(ctx, c.Principal, user.NewUser{Email: b.Email, Username: b.Username, Name: b.Name,
		Kind: user.Kind(b.Type), Role: b.Role, Teams: teams})
	if err != nil {
		return nil, err
	}
	body := createdUser{UserBody: v1.ShowUser(u.User)}
	if c.Kind == principal.User {
		link := a.link("set-password", u.Link)
		body.SetPasswordURL, body.SetPasswordExpiresAt = &link, v1.Moment(u.LinkExpires)
	}
	return v1.CreatedAt("/v1/users/"+string(u.ID), body), nil
}

type passwordLink struct {
	SetPasswordURL       string    `json:"setPasswordUrl" doc:"Works once; shown only now"`
	SetPasswordExpiresAt time.Time `json:"setPasswordExpiresAt"`
}

func (a *routes) passwordLink(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[passwordLink], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	link, expires, err := a.Users.PasswordLink(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return v1.Out(passwordLink{a.link("set-password", link), expires}), nil
}

func (a *routes) getUser(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[v1.UserBody], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	found, err := a.Users.Get(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return v1.Out(v1.ShowUser(found)), nil
}

type updateUserInput struct {
	v1.IDInput
	Body struct {
		Email    *string `json:"email,omitempty" maxLength:"320"`
		Username *string `json:"username,omitempty" maxLength:"320"`
		Name     *string `json:"name,omitempty" maxLength:"200"`
		Type     *string `json:"type,omitempty" enum:"person,application"`
		Role     *string `json:"role,omitempty" maxLength:"50"`
		State    *string `json:"state,omitempty" enum:"active,disabled"`

		BreakGlass *bool `json:"breakGlass,omitempty" doc:"May sign in here although their domain's people sign in through their company alone; needs a second factor, and each use is mailed"`
		MFAExempt  *bool `json:"mfaExempt,omitempty" doc:"Users of the type application only; every change is audited"`
	}
}

func (a *routes) updateUser(ctx context.Context, c v1.Call, in *updateUserInput) (*v1.Output[v1.UserBody], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	changed, err := a.Users.Update(ctx, c.Principal, u, func(u *user.User) {
		v1.Set(&u.Email, in.Body.Email)
		v1.Set(&u.Username, in.Body.Username)
		v1.Set(&u.Name, in.Body.Name)
		v1.Set(&u.Role, in.Body.Role)
		v1.Set(&u.MFAExempt, in.Body.MFAExempt)
		v1.Set(&u.BreakGlass, in.Body.BreakGlass)
		if in.Body.Type != nil {
			u.Kind = user.Kind(*in.Body.Type)
		}
		if in.Body.State != nil {
			u.State = user.State(*in.Body.State)
		}
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(v1.ShowUser(changed)), nil
}

func (a *routes) deactivateUser(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.Users.Update(ctx, c.Principal, u, func(u *user.User) { u.State = user.Disabled })
	return nil, err
}
