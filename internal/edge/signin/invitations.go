package signin

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerInvitations() {
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/invitations/accept", "the link is the credential"),
		v1.Created("Accept an invitation", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests), a.acceptInvitation)
}

type acceptInvitationInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the link"`
		Name     string `json:"name,omitempty" maxLength:"200"`
		Password string `json:"password" minLength:"1" maxLength:"1024" doc:"15 to 256 characters, none of the common ones"`
	}
}

func (a *routes) acceptInvitation(ctx context.Context, c v1.Call,
	in *acceptInvitationInput) (*v1.CreatedOutput[v1.UserBody],
	error) {
	var u user.User
	err := a.Kit.TryLink(ctx, func() (err error) {
		u, err = a.Users.Accept(ctx, c.Info.Source, secret.New(in.Body.Token), in.Body.Name, in.Body.Password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/users/"+string(u.ID), v1.ShowUser(u)), nil
}
