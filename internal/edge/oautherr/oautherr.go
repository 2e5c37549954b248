package oautherr

import (
	"net/http"
	"strconv"

	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/grant"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// errorWords are the codes of RFC 6749 §5.2 and its companions.
var errorWords = map[string]string{
	clientauth.CodeInvalidClient: "invalid_client", token.CodeInvalidGrant: "invalid_grant",
	token.CodeInvalidScope: "invalid_scope", token.CodeUnauthorizedClient: "unauthorized_client",
	grant.CodeUnsupportedGrant: "unsupported_grant_type", grant.CodeInvalidTarget: "invalid_target",
}

// Write writes a failure as RFC 6749 §5.2 has it.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	p := web.NewProblem(r.Context(), err)
	status, word := p.Status, errorWords[p.Code]
	switch {
	case word != "" && word != "invalid_client":
		status = http.StatusBadRequest
	case word == "invalid_client":
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", web.BasicChallenge) // RFC 6749 §5.2: the scheme a client may use
	case status == http.StatusUnauthorized: // a caller with a token of their own, where that is a way too
		word = "invalid_token"
		w.Header()["WWW-Authenticate"] = web.Challenge(web.InfoOf(r.Context()), fault.Of(err))
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		word = "temporarily_unavailable"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed: // no endpoint at all
		word = "invalid_request"
	case status >= 500:
		word = "server_error"
	case status == http.StatusForbidden:
		word = "access_denied"
	default:
		word, status = "invalid_request", http.StatusBadRequest
	}
	if retry := web.RetryAfter(fault.Of(err)); retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	web.EncodeJSON(w, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		RequestID   string `json:"request_id"`
	}{word, ascii(p.Detail), p.RequestID})
}

// ascii keeps to the characters that error_description may have (RFC 6749 §5.2).
func ascii(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b[i] = '\''
		}
	}
	return string(b)
}
