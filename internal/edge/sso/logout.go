package sso

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/edge/oautherr"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// maxLogout holds a LogoutRequest or a logout token.
const maxLogout = 64 << 10

func (s *routes) registerLogout(to *v1.API) {
	const signed = "what the provider signed is the proof"
	form := []string{"application/x-www-form-urlencoded"}
	token := web.Route{Method: http.MethodPost, Pattern: "/v1/auth/sso/connections/{id}/backchannel-logout",
		Public: signed, WriteError: oautherr.Write, MaxBody: maxLogout, BodyTypes: form}
	to.Kit.HandleFunc(token, s.answered(s.endByToken))
	to.Describe(token, huma.Operation{Summary: "Where an OpenID provider says that sessions have ended",
		Description: "OpenID Connect Back-Channel Logout 1.0: a form with logout_token. What ends nothing is " +
			"answered 400 with error and error_description.",
		Responses: map[string]*huma.Response{"200": {Description: "What it names has ended"}}})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		route := web.Route{Method: method, Pattern: "/v1/auth/sso/connections/{id}/logout", Public: signed,
			WriteError: writeError, MaxBody: maxLogout}
		if method == http.MethodPost {
			route.BodyTypes = form
		}
		to.Kit.HandleFunc(route, s.answered(s.endByRequest))
		to.Describe(route, huma.Operation{Summary: "Where a SAML provider has the browser bring a LogoutRequest",
			Description: "For browsers, not for programs.", Responses: map[string]*huma.Response{"303": {
				Description: "Back to the provider, with the answer"}, "200": {Description: "A page or a form that " +
				"posts the answer"}}})
	}
}

func (s *routes) endByToken(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	c, tokens, err := s.logoutOf(r, "logout_token")
	if err != nil {
		return err
	}
	if len(tokens) != 1 {
		return fault.Invalidf("logout_token", "is required, once")
	}
	if err := s.SSO.EndByToken(r.Context(), c, tokens[0], web.InfoOf(r.Context()).Source); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// logoutOf gives the connection of a request to end sessions, and a value of its form.
func (s *routes) logoutOf(r *http.Request, name string) (id.Connection, []string, error) {
	c, err := optional[id.Connection]("connection", r.PathValue("id"))
	if err != nil {
		return "", nil, fault.NotFoundf("There is no such connection.")
	}
	if err := r.ParseForm(); err != nil {
		return "", nil, fault.Invalidf("body", "must be a form")
	}
	return c, r.PostForm[name], nil
}

func (s *routes) endByRequest(w http.ResponseWriter, r *http.Request) error {
	c, posted, err := s.logoutOf(r, "SAMLRequest")
	if len(posted)+len(r.URL.Query()["SAMLRequest"]) == 0 {
		return fault.Invalidf("SAMLRequest", "is required, once")
	}
	if err != nil {
		return err
	}
	sent, err := s.SSO.EndByRequest(r.Context(), c, r, r.Form.Get("RelayState"), web.InfoOf(r.Context()).Source)
	switch {
	case err != nil:
		return err
	case sent.Form != nil:
		writeForm(w, sent.Form)
	case sent.URL != "":
		redirect(w, r, sent.URL)
	default:
		write(w, http.StatusOK, "ended.html", nil)
	}
	return nil
}
