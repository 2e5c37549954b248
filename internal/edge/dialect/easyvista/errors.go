package easyvista

import (
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// names are the fields as this dialect calls them.
var names = map[string]string{"owner": "user", "expiresAt": "expiry_date", "organization": "account"}

func named(field string) string {
	if n, ok := names[field]; ok {
		return n
	}
	return field
}

// writeError writes {error, error_code}. What is denied and what does not exist are one answer, so that nobody learns
// what there is.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, f := web.Failure(w, r, err)
	code, text := f.Code, f.Sentence(named)
	info := web.InfoOf(r.Context())
	if code == fault.CodeInvalidCredentials {
		text = "The user name or the password is wrong."
	}
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Add("WWW-Authenticate", web.BasicChallenge)
		if code == fault.CodeUnauthorized && len(r.Header["Authorization"]) == 0 {
			text = "Authentication is required: Authorization: Bearer <access token>, or Basic."
		}
	case status == http.StatusForbidden && code == fault.CodeSuspended:
	case status == http.StatusForbidden || status == http.StatusNotFound:
		status, code, text = http.StatusForbidden, fault.CodeForbidden,
			"There is no such resource, or you have no access to it."
		w.Header()["Www-Authenticate"] = web.Challenge(info, fault.Forbiddenf(""))
	}
	web.WriteJSON(w, status, struct {
		Error string `json:"error"`
		Code  string `json:"error_code"`
	}{text, code})
}
