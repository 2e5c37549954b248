package api

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// Setup makes the first operator of an installation.
type Setup interface {
	CompleteSetup(ctx context.Context, source principal.Source, token secret.Secret, email, name,
		password string) (user.User, error)
}

func (a *API) registerSetup() {
	register(a, public(http.MethodPost, "/v1/setup", "the link is the credential"),
		created("Make the first operator", http.StatusUnauthorized), a.completeSetup)
}

type setupInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the link that the server printed at its first start"`
		Email    string `json:"email" maxLength:"320"`
		Name     string `json:"name,omitempty" maxLength:"200"`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) completeSetup(ctx context.Context, c call, in *setupInput) (*createdOutput[UserBody], error) {
	u, err := a.Setup.CompleteSetup(ctx, c.info.Source, secret.New(in.Body.Token), in.Body.Email, in.Body.Name,
		in.Body.Password)
	if err != nil {
		return nil, err
	}
	return &createdOutput[UserBody]{"/v1/users/" + string(u.ID), showUser(u)}, nil
}
