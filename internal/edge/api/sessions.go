package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
)

type sessionBody struct {
	ID         string    `json:"id"`
	UserID     string    `json:"userId"`
	Current    bool      `json:"current" doc:"The session of this very request"`
	Device     string    `json:"device" doc:"User agent of the sign-in"`
	Address    string    `json:"address" doc:"Address of the last use"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

func (a *API) registerSessions() {
	register(a, self(http.MethodGet, "/v1/auth/sessions", "the caller's own sessions"), op("My sessions"),
		a.listMySessions)
	register(a, self(http.MethodDelete, "/v1/auth/sessions/{id}",
		"one's own; another's needs sessions:delete, which the service asks"), deleted("End a session"), a.endSession)
	register(a, people(http.MethodGet, "/v1/users/{id}/sessions", "sessions:read"), op("A user's sessions"),
		a.listUserSessions)
	register(a, people(http.MethodDelete, "/v1/users/{id}/sessions", "sessions:delete"),
		deleted("End all sessions of a user"), a.endUserSessions)
}

func (a *API) showSessions(p Page, c call, list string, u id.User, rows []session.Session) *listOutput[sessionBody] {
	return page(a, p, c, list, []string{string(u)}, rows, func(s session.Session) string { return string(s.ID) },
		func(s session.Session) sessionBody {
			return sessionBody{ID: string(s.ID), UserID: string(s.User), Current: s.ID == c.Session, Device: s.Device,
				Address: s.Address, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt}
		})
}

func (a *API) listMySessions(ctx context.Context, c call, in *Page) (*listOutput[sessionBody], error) {
	after, err := a.position(*in, c, "my-sessions", c.ID)
	if err != nil {
		return nil, err
	}
	rows, err := a.Sessions.List(ctx, c.Principal, id.User(c.ID), id.Session(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return a.showSessions(*in, c, "my-sessions", id.User(c.ID), rows), nil
}

type userSessionsInput struct {
	Page
	IDInput
}

func (a *API) listUserSessions(ctx context.Context, c call, in *userSessionsInput) (*listOutput[sessionBody], error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	after, err := a.position(in.Page, c, "sessions", string(u))
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
	return a.showSessions(in.Page, c, "sessions", u, rows), nil
}

func (a *API) endSession(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	s, err := pathID[id.Session](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Sessions.End(ctx, c.Principal, s, session.ReasonRevoked)
}

func (a *API) endUserSessions(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	u, err := pathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.Sessions.EndAllOf(ctx, c.Principal, u, session.ReasonRevoked)
	return nil, err
}
