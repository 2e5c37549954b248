package api

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerSessions() {
	v1.Register(a.API, v1.People(http.MethodGet, "/v1/users/{id}/sessions", "sessions:read"),
		v1.Op("A user's sessions"),
		a.listUserSessions)
	v1.Register(a.API, v1.People(http.MethodDelete, "/v1/users/{id}/sessions", "sessions:delete"),
		v1.Deleted("End all sessions of a user"), a.endUserSessions)
}

type userSessionsInput struct {
	v1.Page
	v1.IDInput
}

func (a *routes) listUserSessions(ctx context.Context, c v1.Call,
	in *userSessionsInput) (*v1.ListOutput[v1.SessionBody], error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	after, err := a.Position(in.Page, c, "sessions", string(u))
	if err != nil {
		return nil, err
	}
	if _, err := a.Users.Get(ctx, c.Principal, u); err != nil {
		return nil, err
	}
	rows, err := a.Sessions.List(ctx, c.Principal, u, id.Session(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return a.ShowSessions(in.Page, c, "sessions", u, rows), nil
}

func (a *routes) endUserSessions(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.Sessions.EndAllOf(ctx, c.Principal, u, session.ReasonRevoked)
	return nil, err
}
