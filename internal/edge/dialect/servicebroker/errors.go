package servicebroker

import (
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// names are the fields as this dialect calls them.
var names = map[string]string{
	"name": "Name", "profile.email": "Email", "profile.externalId": "ExtSysId", "profile.description": "Desc",
	"profile.sid": "SID", "profile.domain": "Domain",
	"machineCredential": "AuthType", "state": "Active",
}

func named(field string) string {
	if n, ok := names[field]; ok {
		return n
	}
	return field
}

// writeError writes {Code, Message} with the few statuses that clients of ServiceBroker know: 400, 401 (also for what
// is not permitted), 429, 500 and 503; and 404 and 405 for what is no endpoint at all.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, f := web.Failure(w, r, err)
	endpoint := web.InfoOf(r.Context()).Route.Pattern != ""
	switch status {
	case http.StatusForbidden:
		status = http.StatusUnauthorized
	case http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		status = http.StatusBadRequest
	case http.StatusNotFound:
		if endpoint {
			status = http.StatusBadRequest
		}
	}
	code, text := f.Code, f.Sentence(named)
	if code == fault.CodeUnauthorized {
		text = "A credential is required: Authorization: Bearer <token>."
	}
	if f.Kind == fault.NotFound && endpoint {
		code = fault.CodeValidation
	}
	web.WriteJSON(w, status, struct {
		Code    string `json:"Code"`
		Message string `json:"Message"`
	}{code, text})
}
