package api

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerUserFactors() {
	administer := func(method, pattern, permission string) web.Route {
		r := v1.People(method, pattern, permission)
		r.StepUp = method != http.MethodGet
		return r
	}
	v1.Register(a.API, administer(http.MethodGet, "/v1/users/{id}/mfa", "users:read"), v1.Op("A user's factors"),
		a.userFactors)
	v1.Register(a.API, administer(http.MethodPatch, "/v1/users/{id}/mfa", "users:update"),
		v1.Op("Require a second factor of a user"), a.requireFactor)
	v1.Register(a.API, administer(http.MethodDelete, "/v1/users/{id}/mfa", "users:update"),
		v1.Deleted("Reset a user's factors, backup codes and known devices, and end their sessions"), a.resetFactors)
	v1.Register(a.API, administer(http.MethodDelete, "/v1/users/{id}/mfa/{factor}", "users:update"),
		v1.Deleted("Remove one of a user's factors"), a.removeUserFactor)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/users/{id}/unlock", "users:update")),
		v1.Deleted("Forgive the failed sign-ins of a user"), a.unlockUser)
}

type userFactors struct {
	v1.FactorList
	RequiredOfAccount bool `json:"requiredOfAccount" doc:"Required of this one user, whatever the organization demands"`
}

func (a *routes) userFactors(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[userFactors], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return a.showUserFactors(ctx, c, u)
}

func (a *routes) showUserFactors(ctx context.Context, c v1.Call, u id.User) (*v1.Output[userFactors], error) {
	o, err := a.Factors.Of(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return v1.Out(userFactors{v1.ShowFactors(o), o.Account}), nil
}

type requireInput struct {
	v1.IDInput
	Body struct {
		Required bool `json:"required" doc:"Whatever the organization demands, this user must have a second factor"`
	}
}

func (a *routes) requireFactor(ctx context.Context, c v1.Call, in *requireInput) (*v1.Output[userFactors], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.Users.RequireSecondFactor(ctx, c.Principal, u, in.Body.Required); err != nil {
		return nil, err
	}
	return a.showUserFactors(ctx, c, u)
}

func (a *routes) resetFactors(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.Reset(ctx, c.Principal, u)
}

type userFactorInput struct {
	v1.IDInput
	Factor string `path:"factor" maxLength:"40"`
}

func (a *routes) removeUserFactor(ctx context.Context, c v1.Call, in *userFactorInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	factor, err := v1.PathID[id.Factor](in.Factor)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.RemoveOf(ctx, c.Principal, u, factor)
}

func (a *routes) unlockUser(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Login.Unlock(ctx, c.Principal, u)
}
