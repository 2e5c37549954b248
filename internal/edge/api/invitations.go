package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

type InvitationBody struct {
	ID        string    `json:"id"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Teams     []string  `json:"teams" nullable:"false"`
	State     string    `json:"state" enum:"pending,accepted,revoked,expired"`
	InvitedBy string    `json:"invitedBy"`
	UserID    *string   `json:"userId" doc:"Who accepted; null until then"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func showInvitation(i user.Invitation) InvitationBody {
	teams := make([]string, len(i.Teams))
	for k, t := range i.Teams {
		teams[k] = string(t)
	}
	return InvitationBody{string(i.ID), i.Email, i.Name, i.Role, teams, string(i.State), i.InvitedBy, text(i.User),
		i.CreatedAt, i.ExpiresAt}
}

// link is where a person uses a single-use secret. It is built from the public URL only, and the secret stands in the
// fragment, which browsers send to no server.
func (a *API) link(page string, token secret.Secret) string {
	return a.PublicURL.JoinPath(page).String() + "#token=" + token.Reveal()
}

func (a *API) registerInvitations() {
	register(a, route(http.MethodGet, "/v1/invitations", "invitations:read"), op("List invitations"), a.listInvitations)
	register(a, stepUp(people(http.MethodPost, "/v1/invitations", "invitations:create")), created("Invite someone"),
		a.createInvitation)
	register(a, route(http.MethodGet, "/v1/invitations/{id}", "invitations:read"), op("Get an invitation"),
		a.getInvitation)
	register(a, stepUp(route(http.MethodPatch, "/v1/invitations/{id}", "invitations:update")),
		op("Change a pending invitation", http.StatusConflict), a.updateInvitation)
	register(a, route(http.MethodDelete, "/v1/invitations/{id}", "invitations:delete"), deleted("Revoke an invitation"),
		a.revokeInvitation)
	register(a, public(http.MethodPost, "/v1/auth/invitations/accept", "the link is the credential"),
		created("Accept an invitation", http.StatusUnauthorized, http.StatusForbidden), a.acceptInvitation)
}

type listInvitationsInput struct {
	Page
	State string `query:"state" enum:"pending,accepted,revoked" doc:"pending includes those past their time"`
}

func (a *API) listInvitations(ctx context.Context, c call, in *listInvitationsInput) (*listOutput[InvitationBody],
	error) {
	after, err := a.position(in.Page, c, "invitations", in.State)
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.ListInvitations(ctx, c.Principal, user.InvitationState(in.State), id.Invitation(after),
		in.Limit+1)
	if err != nil {
		return nil, err
	}
	return page(a, in.Page, c, "invitations", []string{in.State}, rows, func(i user.Invitation) string {
		return string(i.ID)
	}, showInvitation), nil
}

type createInvitationInput struct {
	Body struct {
		Email string   `json:"email" maxLength:"320"`
		Name  string   `json:"name,omitempty" maxLength:"200"`
		Role  string   `json:"role" maxLength:"50"`
		Teams []string `json:"teams,omitempty" maxItems:"50"`
	}
}

type createdInvitation struct {
	InvitationBody
	URL string `json:"url" doc:"Where the invitation is accepted, once; shown only now"`
}

func (a *API) createInvitation(ctx context.Context, c call,
	in *createInvitationInput) (*createdOutput[createdInvitation], error) {
	teams, err := bodyIDs[id.Team]("teams", in.Body.Teams)
	if err != nil {
		return nil, err
	}
	i, token, err := a.Users.Invite(ctx, c.Principal,
		user.NewUser{Email: in.Body.Email, Name: in.Body.Name, Role: in.Body.Role, Teams: teams})
	if err != nil {
		return nil, err
	}
	return &createdOutput[createdInvitation]{"/v1/invitations/" + string(i.ID),
		createdInvitation{showInvitation(i), a.link("accept-invitation", token)}}, nil
}

func (a *API) getInvitation(ctx context.Context, c call, in *IDInput) (*output[InvitationBody], error) {
	i, err := pathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	inv, err := a.Users.GetInvitation(ctx, c.Principal, i)
	if err != nil {
		return nil, err
	}
	return out(showInvitation(inv)), nil
}

type updateInvitationInput struct {
	IDInput
	Body struct {
		Name *string `json:"name,omitempty" maxLength:"200"`
		Role *string `json:"role,omitempty" maxLength:"50"`
	}
}

func (a *API) updateInvitation(ctx context.Context, c call, in *updateInvitationInput) (*output[InvitationBody],
	error) {
	i, err := pathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	inv, err := a.Users.UpdateInvitation(ctx, c.Principal, i, in.Body.Name, in.Body.Role)
	if err != nil {
		return nil, err
	}
	return out(showInvitation(inv)), nil
}

func (a *API) revokeInvitation(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	i, err := pathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Users.RevokeInvitation(ctx, c.Principal, i)
}

type acceptInvitationInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the link"`
		Name     string `json:"name,omitempty" maxLength:"200"`
		Password string `json:"password" minLength:"1" maxLength:"1024" doc:"15 to 256 characters, none of the common ones"`
	}
}

func (a *API) acceptInvitation(ctx context.Context, c call, in *acceptInvitationInput) (*createdOutput[UserBody],
	error) {
	u, err := a.Users.Accept(ctx, c.info.Source, secret.New(in.Body.Token), in.Body.Name, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return &createdOutput[UserBody]{"/v1/users/" + string(u.ID), showUser(u)}, nil
}
