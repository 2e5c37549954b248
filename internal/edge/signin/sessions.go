package signin

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerSessions() {
	v1.Register(a.API, v1.Self(http.MethodGet, "/v1/auth/sessions", "the caller's own sessions"), v1.Op("My sessions"),
		a.listMySessions)
	v1.Register(a.API, v1.Self(http.MethodDelete, "/v1/auth/sessions/{id}",
		"one's own; another's needs sessions:delete, which the service asks"), v1.Deleted("End a session"),
		a.endSession)
}

func (a *routes) listMySessions(ctx context.Context, c v1.Call, in *v1.Page) (*v1.ListOutput[v1.SessionBody], error) {
	after, err := a.Position(*in, c, "my-sessions", c.ID)
	if err != nil {
		return nil, err
	}
	rows, err := a.Sessions.List(ctx, c.Principal, id.User(c.ID), id.Session(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return a.ShowSessions(*in, c, "my-sessions", id.User(c.ID), rows), nil
}

func (a *routes) endSession(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	s, err := v1.PathID[id.Session](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Sessions.End(ctx, c.Principal, s, session.ReasonRevoked)
}
