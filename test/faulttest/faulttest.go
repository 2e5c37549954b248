// Package faulttest compares errors with what a table of cases wants: the exact code, and the exact fields or how the
// sentence begins.
package faulttest

import (
	"slices"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// OK is the outcome of no error.
const OK = "ok"

// Outcome writes an error in one line: "ok", "CODE field field" with the fields in order, or "CODE: sentence".
func Outcome(err error) string {
	if err == nil {
		return OK
	}
	f := fault.Of(err)
	if f.Kind == fault.Internal {
		return "unclassified: " + err.Error()
	}
	if len(f.Fields) == 0 {
		return f.Code + ": " + f.Message
	}
	names := make([]string, len(f.Fields))
	for i, field := range f.Fields {
		names[i] = field.Field
	}
	slices.Sort(names)
	return f.Code + " " + strings.Join(names, " ")
}

// Invalid is the outcome of wrong fields, to be given in order.
func Invalid(fields ...string) string { return fault.CodeValidation + " " + strings.Join(fields, " ") }

// Check fails the test unless the error is as wanted: an Outcome, whose sentence may be cut.
func Check(t testing.TB, err error, want string) {
	t.Helper()
	got := Outcome(err)
	if got == want || strings.Contains(want, ": ") && strings.HasPrefix(got, want) {
		return
	}
	t.Errorf("got  %s\nwant %s", got, want)
}
