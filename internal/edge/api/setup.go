package api

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// Setup makes the first operator of an installation.
type Setup interface {
	CompleteSetup(ctx context.Context, source principal.Source, token secret.Secret, email, name,
		password string) (user.User, error)
	AtSetup(ctx context.Context, token secret.Secret) (organization.Organization, error)
}

func (a *routes) registerSetup() {
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/setup", "the link is the credential"),
		v1.Created("Make the first operator", http.StatusUnauthorized, http.StatusTooManyRequests), a.completeSetup)
}

type setupInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the link that the server printed at its first start"`
		Email    string `json:"email" maxLength:"320"`
		Name     string `json:"name,omitempty" maxLength:"200"`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *routes) completeSetup(ctx context.Context, c v1.Call, in *setupInput) (*v1.CreatedOutput[v1.UserBody], error) {
	var u user.User
	err := a.Kit.TryLink(ctx, func() (err error) {
		u, err = a.Setup.CompleteSetup(ctx, c.Info.Source, secret.New(in.Body.Token), in.Body.Email, in.Body.Name,
			in.Body.Password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/users/"+string(u.ID), v1.ShowUser(u)), nil
}
