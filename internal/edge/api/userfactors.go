package api

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/id"
)

type userFactors struct {
	FactorList
	RequiredOfAccount bool `json:"requiredOfAccount" doc:"Required of this one user, whatever the organization demands"`
}

func (a *API) userFactors(ctx context.Context, c call, in *IDInput) (*output[userFactors], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return a.showUserFactors(ctx, c, u)
}

func (a *API) showUserFactors(ctx context.Context, c call, u id.User) (*output[userFactors], error) {
	o, err := a.Factors.Of(ctx, c.Principal, u)
	if err != nil {
		return nil, err
	}
	return out(userFactors{showOverview(o), o.Account}), nil
}

type requireInput struct {
	IDInput
	Body struct {
		Required bool `json:"required" doc:"Whatever the organization demands, this user must have a second factor"`
	}
}

func (a *API) requireFactor(ctx context.Context, c call, in *requireInput) (*output[userFactors], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.Users.RequireSecondFactor(ctx, c.Principal, u, in.Body.Required); err != nil {
		return nil, err
	}
	return a.showUserFactors(ctx, c, u)
}

func (a *API) resetFactors(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.Reset(ctx, c.Principal, u)
}

type userFactorInput struct {
	IDInput
	Factor string `path:"factor" maxLength:"40"`
}

func (a *API) removeUserFactor(ctx context.Context, c call, in *userFactorInput) (*nothing, error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	factor, err := pathID[id.Factor](in.Factor)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.RemoveOf(ctx, c.Principal, u, factor)
}

func (a *API) unlockUser(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Login.Unlock(ctx, c.Principal, u)
}
