package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
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
	return InvitationBody{string(i.ID), i.Email, i.Name, i.Role, teams, string(i.State), i.InvitedBy, v1.Text(i.User),
		i.CreatedAt, i.ExpiresAt}
}

// link is where a person uses a single-use secret. It is built from the public URL only, and the secret stands in the
// fragment, which browsers send to no server.
func (a *routes) link(page string, token secret.Secret) string {
	return a.PublicURL.JoinPath(page).String() + "#token=" + token.Reveal()
}

func (a *routes) registerInvitations() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/invitations", "invitations:read"), v1.Op("List invitations"),
		a.listInvitations)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/invitations", "invitations:create")),
		v1.Created("Invite someone"),
		a.createInvitation)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/invitations/{id}", "invitations:read"),
		v1.Op("Get an invitation"),
		a.getInvitation)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/invitations/{id}", "invitations:update")),
		v1.Op("Change a pending invitation", http.StatusConflict), a.updateInvitation)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/invitations/{id}", "invitations:delete"),
		v1.Deleted("Revoke an invitation"),
		a.revokeInvitation)
}

type listInvitationsInput struct {
	v1.Page
	State string `query:"state" enum:"pending,accepted,revoked" doc:"pending includes those past their time"`
}

func (a *routes) listInvitations(ctx context.Context, c v1.Call,
	in *listInvitationsInput) (*v1.ListOutput[InvitationBody],
	error) {
	after, err := a.Position(in.Page, c, "invitations", in.State)
	if err != nil {
		return nil, err
	}
	rows, err := a.Users.ListInvitations(ctx, c.Principal, user.InvitationState(in.State), id.Invitation(after),
		in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "invitations", []string{in.State}, rows, func(i user.Invitation) string {
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

func (a *routes) createInvitation(ctx context.Context, c v1.Call,
	in *createInvitationInput) (*v1.CreatedOutput[createdInvitation], error) {
	teams, err := v1.BodyIDs[id.Team]("teams", in.Body.Teams)
	if err != nil {
		return nil, err
	}
	i, token, err := a.Users.Invite(ctx, c.Principal,
		user.NewUser{Email: in.Body.Email, Name: in.Body.Name, Role: in.Body.Role, Teams: teams})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/invitations/"+string(i.ID),
		createdInvitation{showInvitation(i), a.link("accept-invitation", token)}), nil
}

func (a *routes) getInvitation(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[InvitationBody], error) {
	i, err := v1.PathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	inv, err := a.Users.GetInvitation(ctx, c.Principal, i)
	if err != nil {
		return nil, err
	}
	return v1.Out(showInvitation(inv)), nil
}

type updateInvitationInput struct {
	v1.IDInput
	Body struct {
		Name *string `json:"name,omitempty" maxLength:"200"`
		Role *string `json:"role,omitempty" maxLength:"50"`
	}
}

func (a *routes) updateInvitation(ctx context.Context, c v1.Call,
	in *updateInvitationInput) (*v1.Output[InvitationBody],
	error) {
	i, err := v1.PathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	inv, err := a.Users.UpdateInvitation(ctx, c.Principal, i, in.Body.Name, in.Body.Role)
	if err != nil {
		return nil, err
	}
	return v1.Out(showInvitation(inv)), nil
}

func (a *routes) revokeInvitation(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	i, err := v1.PathID[id.Invitation](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Users.RevokeInvitation(ctx, c.Principal, i)
}
