package itempath

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// message is the body of every failure but a sign-in's.
type message struct {
	Msg string `json:"msg"`
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := describe(w, r, err)
	web.WriteJSON(w, status, message{text})
}

// writeLoginError adds what a sign-in says besides.
func writeLoginError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := describe(w, r, err)
	web.WriteJSON(w, status, struct {
		Login bool   `json:"login"`
		Msg   string `json:"msg"`
	}{false, text})
}

// describe chooses the status and the words that clients of ItemPath know: 401 for what is missing, expired or revoked,
// 422 for what is malformed, and for a token of the wrong kind.
func describe(w http.ResponseWriter, r *http.Request, err error) (int, string) {
	status, f := web.Failure(w, r, err)
	none := len(r.Header["Authorization"]) == 0 && len(r.Header["X-Api-Key"]) == 0 // a cookie is for other doors
	switch f.Code {
	case fault.CodeUnauthorized:
		if none {
			return status, "Missing Authorization Header"
		}
		return http.StatusUnprocessableEntity, "Bad Authorization header. Expected value 'Bearer <JWT>'"
	case fault.CodeTokenExpired:
		return status, "Token has expired"
	case fault.CodeTokenRevoked, fault.CodeSuspended:
		w.Header()["Www-Authenticate"] = web.Challenge(web.InfoOf(r.Context()),
			fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, ""))
		return http.StatusUnauthorized, "Token has been revoked"
	case fault.CodeInvalidCredentials:
		return status, "Bad username or password"
	case fault.CodeInvalidToken, fault.CodeInvalidAPIKey:
		if none {
			return status, "Missing Authorization Header"
		}
		return http.StatusUnprocessableEntity, wrongToken(r, err)
	}
	if f.Kind == fault.Invalid && len(f.Fields) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return status, f.Sentence(nil)
}

func wrongToken(r *http.Request, err error) string {
	value := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case errors.Is(err, authn.ErrWrongKind) && slices.Contains(web.InfoOf(r.Context()).Route.Accepts,
		authn.ItemPathRefresh):
		return "Only refresh tokens are allowed"
	case errors.Is(err, authn.ErrWrongKind):
		return "Only access tokens are allowed"
	case strings.Count(value, ".") != 2:
		return "Not enough segments"
	}
	return "Signature verification failed"
}
