package oauth

import (
	"net/http"
	"net/url"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// revoke ends one token (RFC 7009). A client ends tokens that were issued to it. Tokens that were issued to no client
// (of sessions, API keys and the like) are ended by a caller who shows a credential of the same owner, or one that may
// end such things in the organization. A token that is unknown, ended already or somebody else's changes nothing and is
// no error.
func (o *server) revoke(w http.ResponseWriter, r *http.Request, form url.Values) error {
	value := form.Get("token")
	by, err := o.revoker(w, r, form)
	if err != nil {
		return err
	}
	if value == "" {
		return fault.New(fault.Invalid, fault.CodeValidation, "token is missing.")
	}
	end, err := o.ending(r, by, value)
	if err != nil {
		return err
	}
	if end != nil {
		if err := end(); err != nil {
			if fault.Is(err, fault.Limited) {
				return err
			}
			// never 200 for what is not done
			return fault.Unavailablef(0, "The token could not be revoked. Try again.").Because(err)
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// ending gives what ends a token, or nothing if there is nothing the one who asks may end.
func (o *server) ending(r *http.Request, by principal.Principal, value string) (func() error, error) {
	held, err := o.Authenticator.Held(r.Context(), value)
	if err == nil {
		if !mayEnd(by, held) {
			return nil, nil
		}
		return func() error { return o.Credentials.RevokeHeld(r.Context(), by, held) }, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	i, err := o.Authenticator.Inspect(r.Context(), value)
	switch {
	case err != nil && !authn.Refused(err):
		return nil, err
	case i.Kind == "" || !mayRevoke(by, i): // nothing is there
		return nil, nil
	}
	return func() error { return o.end(r, by, i) }, nil
}

// mayEnd tells whether somebody may end a long-lived credential whose value they show: their own, their client's, or
// one of the organization if they may delete such and hold no less.
func mayEnd(by principal.Principal, c credential.Credential) bool {
	if c.Organization != by.Home || by.Abroad() {
		return false
	}
	switch {
	case by.ID == string(c.ID), by.Kind == principal.Client && c.Owner.ID == by.ID, by.Kind == principal.User &&
		c.Owner.ID == by.ID:
		return true
	}
	return by.Scope(c.Kind.Resource(), "delete") == permission.All && by.Permissions.Covers(c.Permissions)
}

// revoker is who asks: an OAuth client, or any caller by Bearer token or API key.
func (o *server) revoker(w http.ResponseWriter, r *http.Request, form url.Values) (principal.Principal, error) {
	info := web.InfoOf(r.Context())
	c, err := authn.Read(r)
	if err == nil && c.Kind != authn.None && c.Kind != authn.Password && !c.FromCookie {
		res, err := o.Authenticator.Authenticate(r.Context(), c, web.Everyone,
			authn.Request{Source: info.Source, Method: r.Method, Path: revokePath, HTTP: r})
		web.WriteLimit(w.Header(), res.Limit)
		return res.Principal, err
	}
	proof, err := o.client(w, r, form)
	return proof.Principal(info.Source), err
}

// mayRevoke tells whether somebody may end a token that they show.
func mayRevoke(by principal.Principal, i authn.Inspection) bool {
	p := i.Principal
	if p.Home != by.Home || by.Abroad() {
		return false
	}
	if i.Client != "" && by.Kind == principal.Client { // RFC 7009 §2.1: issued to this client
		return by.ID == string(i.Client)
	}
	if by.Kind == p.Kind && by.ID == p.ID {
		return true
	}
	if user := by.UserID(); by.Kind == principal.User && p.UserID() == user {
		return true
	}
	// An API key never touches the sessions of people (G12).
	return (by.Kind == principal.User || i.Resource != "sessions") &&
		by.Scope(i.Resource, "delete") == permission.All &&
		by.Permissions.Covers(p.Permissions)
}

func (o *server) end(r *http.Request, by principal.Principal, i authn.Inspection) error {
	ctx, p := r.Context(), i.Principal
	switch {
	case i.Access != nil:
		return o.Tokens.Revoke(ctx, by, i.Access)
	case i.Kind == authn.RefreshToken && i.Client != "":
		return o.Tokens.EndGrant(ctx, by, p.Home, i.Refresh.Family, "token_revocation")
	}
	// with the refresh token goes the session it prolongs, and every token of that
	return o.Sessions.EndHeld(ctx, by, p.Home, p.Session, session.ReasonRevoked)
}
