package scim

import "fmt"

// The error types of RFC 7644 §3.12.
const (
	InvalidFilter = "invalidFilter"
	InvalidPath   = "invalidPath"
	InvalidSyntax = "invalidSyntax"
	InvalidValue  = "invalidValue"
	NoTarget      = "noTarget"
	Mutability    = "mutability"
	Uniqueness    = "uniqueness"
	TooMany       = "tooMany"
)

// Error is a request that SCIM does not allow. Its detail is for whoever sent it, and has nothing of theirs that is
// secret.
type Error struct{ Type, Detail string }

// Error is the detail.
func (e *Error) Error() string { return e.Type + ": " + e.Detail }

func errorf(typ, format string, args ...any) *Error { return &Error{typ, fmt.Sprintf(format, args...)} }
