package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

type UserBody struct {
	ID          string    `json:"id"`
	Email       string    `json:"email"`
	Username    string    `json:"username"`
	Name        string    `json:"name"`
	Type        string    `json:"type" enum:"person,application"`
	Role        string    `json:"role"`
	State       string    `json:"state" enum:"active,disabled"`
	HasPassword bool      `json:"hasPassword"`
	MFAExempt   bool      `json:"mfaExempt" doc:"An application that may pass doors without a second step, whatever the organization demands"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

func showUser(u user.User) UserBody {
	return UserBody{ID: string(u.ID), Email: u.Email, Username: u.Username, Name: u.Name, Type: string(u.Kind),
		Role: u.Role, State: string(u.State), HasPassword: u.HasPassword, MFAExempt: u.MFAExempt,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
}

func (a *API) registerUsers() {
	register(a, route(http.MethodGet, "/v1/users", "users:read"), op("List users"), a.listUsers)
	register(a, stepUp(route(http.MethodPost, "/v1/users", "users:create")), created("Create a user"), a.createUser)
	register(a, route(http.MethodGet, "/v1/users/{id}", "users:read"), op("Get a user"), a.getUser)
	register(a, stepUp(route(http.MethodPatch, "/v1/users/{id}", "users:update")),
		op("Change a user", http.StatusConflict), a.updateUser)
	register(a, stepUp(people(http.MethodPost, "/v1/users/{id}/password-link", "users:update")),
		op("Make a link at which a user chooses a password", http.StatusConflict), a.passwordLink)
	register(a, route(http.MethodDelete, "/v1/users/{id}", "users:delete"), deleted("Deactivate a user"),
		a.deactivateUser)
}

type listUsersInput struct {
	Page
	State string `query:"state" enum:"active,disabled"`
	Role  string `query:"role" maxLength:"50"`
	Email string `query:"email" maxLength:"320" doc:"Exactly this address"`
}

func (a *API) listUsers(ctx context.Context, c call, in *listUsersInput) (*listOutput[UserBody], error) {
	filters := []string{in.State, in.Role, in.Email}
	after, err := a.position(in.Page, c, "users", filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.List(ctx, c.Principal, user.Filter{State: user.State(in.State), Role: in.Role, Email: in.Email,
		After: id.User(after), Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return page(a, in.Page, c, "users", filters, rows, func(u user.User) string { return string(u.ID) }, showUser), nil
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
	UserBody
	SetPasswordURL       *string    `json:"setPasswordUrl" doc:"Where the user chooses a password, once; shown only now, and null to machines, which get no hold of people's passwords"`
	SetPasswordExpiresAt *time.Time `json:"setPasswordExpiresAt"`
}

func (a *API) createUser(ctx context.Context, c call, in *createUserInput) (*createdOutput[createdUser], error) {
	teams, err := bodyIDs[id.Team]("teams", in.Body.Teams)
	if err != nil {
		return nil, err
	}
	b := in.Body
	u, err := a.Users.Create(ctx, c.Principal, user.NewUser{Email: b.Email, Username: b.Username, Name: b.Name,
		Kind: user.Kind(b.Type), Role: b.Role, Teams: teams})
	if err != nil {
		return nil, err
	}
	body := createdUser{UserBody: showUser(u.User)}
	if c.Kind == principal.User {
		link := a.link("set-password", u.Link)
		body.SetPasswordURL, body.SetPasswordExpiresAt = &link, moment(u.LinkExpires)
	}
	return &createdOutput[createdUser]{"/v1/users/" + string(u.ID), body}, nil
}

type passwordLink struct {
	SetPasswordURL       string    `json:"setPasswordUrl" doc:"Works once; shown only now"`
	SetPasswordExpiresAt time.Time `json:"setPasswordExpiresAt"`
}

func (a *API) passwordLink(ctx context.Context, c call, in *IDInput) (*output[passwordLink], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	link, expires, err := a.Users.PasswordLink(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return out(passwordLink{a.link("set-password", link), expires}), nil
}

func (a *API) getUser(ctx context.Context, c call, in *IDInput) (*output[UserBody], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	found, err := a.Users.Get(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return out(showUser(found)), nil
}

type updateUserInput struct {
	IDInput
	Body struct {
		Email    *string `json:"email,omitempty" maxLength:"320"`
		Username *string `json:"username,omitempty" maxLength:"320"`
		Name     *string `json:"name,omitempty" maxLength:"200"`
		Type     *string `json:"type,omitempty" enum:"person,application"`
		Role     *string `json:"role,omitempty" maxLength:"50"`
		State    *string `json:"state,omitempty" enum:"active,disabled"`

		MFAExempt *bool `json:"mfaExempt,omitempty" doc:"Users of the type application only; every change is audited"`
	}
}

func (a *API) updateUser(ctx context.Context, c call, in *updateUserInput) (*output[UserBody], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	changed, err := a.Users.Update(ctx, c.Principal, u, func(u *user.User) {
		set(&u.Email, in.Body.Email)
		set(&u.Username, in.Body.Username)
		set(&u.Name, in.Body.Name)
		set(&u.Role, in.Body.Role)
		set(&u.MFAExempt, in.Body.MFAExempt)
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
	return out(showUser(changed)), nil
}

func (a *API) deactivateUser(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.Users.Update(ctx, c.Principal, u, func(u *user.User) { u.State = user.Disabled })
	return nil, err
}
