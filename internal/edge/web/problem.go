package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// Problem is an error of /v1 (RFC 9457).
type Problem struct {
	Type      string        `json:"type" doc:"URI that names the kind of problem"`
	Title     string        `json:"title" doc:"The HTTP status in words"`
	Status    int           `json:"status" doc:"The HTTP status"`
	Detail    string        `json:"detail" doc:"What went wrong, for people"`
	Instance  string        `json:"instance" doc:"The path of the request"`
	Code      string        `json:"code" doc:"Stable upper-case word for programs" example:"VALIDATION_ERROR"`
	RequestID string        `json:"requestId" doc:"Quote it when you ask for help"`
	Errors    []fault.Field `json:"errors,omitempty" doc:"The fields that are wrong"`

	headers http.Header
}

func (p *Problem) Error() string             { return p.Code + ": " + p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) GetHeaders() http.Header   { return p.headers }
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// CodeInvalidQuestion is what a proxy is told that asks what cannot be answered.
const CodeInvalidQuestion = "INVALID_QUESTION"

var statuses = map[fault.Kind]int{
	fault.Internal: 500, fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404,
	fault.MethodNotAllowed: 405,
	fault.Conflict:         409, fault.TooLarge: 413, fault.UnsupportedMedia: 415, fault.Limited: 429,
	fault.Unavailable: 503,
}

// Status maps a kind of failure to HTTP.
func Status(k fault.Kind) int { return statuses[k] }

// NewProblem describes a failure to a client of /v1. What nobody classified is logged here, once, and shows nothing.
func NewProblem(ctx context.Context, err error) *Problem {
	info := InfoOf(ctx)
	f := fault.Of(err)
	if f.Kind == fault.Internal {
		switch {
		case errors.Is(err, context.Canceled) && ctx.Err() != nil: // the client hung up
			f = fault.Unavailablef(0, "The request was cancelled.")
		case errors.Is(err, context.DeadlineExceeded):
			f = fault.Unavailablef(0, "The request took too long.")
		}
	}
	if (f.Kind == fault.Internal || f.Kind == fault.Unavailable) && !f.Configured {
		info.log().LogAttrs(ctx, slog.LevelError, "request failed",
			slog.String("requestId", string(info.Source.Request)),
			slog.String("route", info.Route.Method+" "+info.Route.Pattern), slog.Any("error", err))
	}
	status := Status(f.Kind)
	p := &Problem{Type: "urn:gatehouse:problem:" + strings.ToLower(strings.ReplaceAll(f.Code, "_", "-")),
		Title: http.StatusText(status), Status: status,
		Detail: f.Message, Instance: info.path, Code: f.Code, RequestID: string(info.Source.Request), Errors: f.Fields,
		headers: http.Header{}}
	for _, h := range Challenge(info, f) {
		p.headers.Add("WWW-Authenticate", h)
	}
	if seconds := RetryAfter(f); seconds > 0 {
		p.headers.Set("Retry-After", strconv.Itoa(seconds))
	}
	return p
}

// RetryAfter is the whole seconds to wait, rounded up; 0: not said.
func RetryAfter(f *fault.Error) int { return int(math.Ceil(f.RetryAfter.Seconds())) }

// BasicChallenge asks for a user name and a password, or a client's id and secret, in UTF-8 (RFC 7617 §2.1): else some
// clients send them in Latin-1.
const BasicChallenge = `Basic realm="gatehouse", charset="UTF-8"`

// Challenge is the WWW-Authenticate of a refusal (RFC 6750 §3): plain where no token was shown, invalid_token where one
// was, insufficient_scope where the caller is known and may not.
func Challenge(info *Info, f *fault.Error) []string {
	const realm = `Bearer realm="gatehouse"`
	switch {
	case f.Kind == fault.Forbidden &&
		(f.Code == fault.CodeRateLimited || f.Code == fault.CodeUnavailable || f.Code == CodeInvalidQuestion):
		// said to a proxy; no scope would help
		return nil
	case f.Kind == fault.Forbidden && info.Route.Permission != "":
		return []string{realm + `, error="insufficient_scope", scope="` + strings.ReplaceAll(info.Route.Permission, "|",
			" ") + `"`}
	case f.Kind == fault.Forbidden:
		return []string{realm + `, error="insufficient_scope"`}
	case f.Kind != fault.Unauthenticated:
		return nil
	case f.Code == fault.CodeStepUp:
		return []string{
			realm +
				`, error="insufficient_user_authentication", error_description="A newer proof of the user is needed.", max_age=` + strconv.Itoa(int(f.MaxAge.Seconds()))}
	case f.Code == fault.CodeUnauthorized || f.Code == fault.CodeInvalidCredentials ||
		f.Code == fault.CodeInvalidAPIKey || f.Code == fault.CodeMFAInvalid:
		return []string{realm}
	}
	return []string{realm + `, error="invalid_token"`}
}

// Failure describes a failure to a dialect, which writes its body: it logs what is ours, and sets the headers that
// every protocol has.
func Failure(w http.ResponseWriter, r *http.Request, err error) (status int, f *fault.Error) {
	p := NewProblem(r.Context(), err)
	for k, v := range p.headers {
		w.Header()[k] = v
	}
	f = fault.Of(err)
	if p.Code != f.Code { // what NewProblem knew better
		f = fault.New(fault.Unavailable, p.Code, p.Detail)
	}
	return p.Status, f
}

// WriteProblem writes a failure as a problem document.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	NewProblem(r.Context(), err).Write(w)
}

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	for k, v := range p.headers {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	w.Write(p.Text())
}

// Text is the document.
func (p *Problem) Text() []byte {
	body, err := json.Marshal(p)
	if err != nil {
		return []byte(`{"code":"INTERNAL_ERROR"}`)
	}
	return body
}
