// Package fault holds the one error type that crosses layers: what kind of failure, a stable code for programs, a
// sentence for people. Domains return it and know no HTTP; each protocol at the edge maps kinds to its own wire form.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the class of a failure. The zero value is Internal, so an error that nobody classified shows nothing to the
// caller.
type Kind uint8

// The kinds of failure, in the words of the domains.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Forbidden
	NotFound
	MethodNotAllowed
	Conflict
	TooLarge
	UnsupportedMedia
	Limited
	Unavailable
)

// The stable codes. They are part of the public contract: never renamed, only added to.
const (
	CodeValidation         = "VALIDATION_ERROR"
	CodeUnauthorized       = "UNAUTHORIZED"
	CodeInvalidCredentials = "INVALID_CREDENTIALS"
	CodeInvalidToken       = "INVALID_TOKEN"
	CodeTokenExpired       = "TOKEN_EXPIRED"
	CodeTokenRevoked       = "TOKEN_REVOKED"
	CodeInvalidAPIKey      = "INVALID_API_KEY"
	CodeMFAInvalid         = "MFA_INVALID"
	CodeReauthentication   = "REAUTHENTICATION_REQUIRED"
	CodeStepUp             = "STEP_UP_REQUIRED"
	CodeForbidden          = "FORBIDDEN"
	CodeTenantMismatch     = "TENANT_MISMATCH"
	CodeSuspended          = "ORGANIZATION_SUSPENDED"
	CodeNotFound           = "NOT_FOUND"
	CodeMethodNotAllowed   = "METHOD_NOT_ALLOWED"
	CodeConflict           = "CONFLICT"
	CodeTooLarge           = "PAYLOAD_TOO_LARGE"
	CodeUnsupportedMedia   = "UNSUPPORTED_MEDIA_TYPE"
	CodeRateLimited        = "RATE_LIMIT_EXCEEDED"
	CodeAccountLocked      = "ACCOUNT_LOCKED"
	CodeInternal           = "INTERNAL_ERROR"
	CodeUnavailable        = "UNAVAILABLE"
)

// Field names one offending member of the input: where it is, what is wrong, and what would be right.
type Field struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a classified failure. Message and Fields may be shown to the caller and hold no secret; the cause is for the
// log only.
type Error struct {
	Kind       Kind
	Code       string
	Message    string
	Fields     []Field
	RetryAfter time.Duration // Limited and Unavailable: when trying again makes sense
	MaxAge     time.Duration // STEP_UP_REQUIRED: how long ago the last proof may be
	Configured bool          // Unavailable by the configuration: nothing that somebody must look after
	cause      error
}

func (e *Error) Error() string {
	if e.cause != nil {
		cause := strings.TrimPrefix(e.cause.Error(), e.Code+": ") // of the same class: the code is said once
		return e.Code + ": " + e.Message + ": " + cause
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives the cause, for errors.Is and the log.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy that carries the cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// New makes a classified error.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Invalidf says that one field of the input is wrong.
func Invalidf(field, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return &Error{Kind: Invalid, Code: CodeValidation, Message: field + ": " + message,
		Fields: []Field{{Field: field, Message: message}}}
}

// InvalidFields reports several wrong fields at once.
func InvalidFields(fields []Field) *Error {
	return &Error{Kind: Invalid, Code: CodeValidation, Message: "The request has invalid fields.", Fields: fields}
}

// Sentence is everything that is wrong in one line, for protocols that have no place for a list. name, if any, gives
// fields the names that the caller knows.
func (e *Error) Sentence(name func(field string) string) string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		if name != nil {
			f.Field = name(f.Field)
		}
		parts[i] = f.Field + ": " + f.Message
	}
	return strings.Join(parts, "; ")
}

// Plain is what a person at the command line is told: the sentence of a classified failure without its code, with every
// wrong field, and why the server cannot do it now; the whole of any other.
func Plain(err error) string {
	var f *Error
	if !errors.As(err, &f) || f.Kind == Internal {
		return err.Error()
	}
	text := strings.TrimSuffix(f.Message, ".")
	if len(f.Fields) > 1 || len(f.Fields) == 1 && !strings.HasPrefix(f.Message, f.Fields[0].Field) {
		for _, field := range f.Fields {
			text += "\n  " + field.Field + ": " + field.Message
		}
	}
	if f.Kind == Unavailable && f.cause != nil {
		text += ": " + Plain(f.cause)
	}
	return text
}

// NotFoundf says that there is no such thing, or none this caller may know of.
func NotFoundf(format string, args ...any) *Error {
	return New(NotFound, CodeNotFound, fmt.Sprintf(format, args...))
}

// Forbiddenf says that the caller is known and may not.
func Forbiddenf(format string, args ...any) *Error {
	return New(Forbidden, CodeForbidden, fmt.Sprintf(format, args...))
}

// Conflictf says that the request does not fit the present state.
func Conflictf(format string, args ...any) *Error {
	return New(Conflict, CodeConflict, fmt.Sprintf(format, args...))
}

// Limitedf says that there were too many attempts, and when to come back.
func Limitedf(code string, retryAfter time.Duration, format string, args ...any) *Error {
	return &Error{Kind: Limited, Code: code, Message: fmt.Sprintf(format, args...), RetryAfter: retryAfter}
}

// Unavailablef says that the server cannot do it now.
func Unavailablef(retryAfter time.Duration, format string, args ...any) *Error {
	return &Error{Kind: Unavailable, Code: CodeUnavailable, Message: fmt.Sprintf(format, args...),
		RetryAfter: retryAfter}
}

// Of finds the classified error in a chain; anything unclassified becomes Internal with err as its cause.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: CodeInternal, Message: "Something went wrong on our side.", cause: err}
}

// Is tells whether err is of the kind.
func Is(err error, kind Kind) bool {
	return err != nil && Of(err).Kind == kind
}
