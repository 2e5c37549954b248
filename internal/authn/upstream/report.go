package upstream

import (
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// Check is one rule that an answer was held to.
type Check struct {
	Name   string `json:"name" doc:"What was checked, as signature, issuer, audience"`
	Passed bool   `json:"passed"`
	Found  string `json:"found,omitempty" doc:"What there was instead"`
	Remedy string `json:"remedy,omitempty" doc:"What to change, and where"`
}

// Answer is what a provider said. It is worth something only where no error came with it.
type Answer struct {
	connection.Person
	AMR      []string // as told
	ACR      string
	AuthTime time.Time // zero: not told
	Session  string    // what the provider calls the session; empty: it does not say
	Claims   map[string]any
	Checks   []Check
}

// Failure is an answer that did not pass. Its text is for logs and administrators; nobody who signs in sees it.
type Failure struct{ Checks []Check }

// Error names what failed.
func (f *Failure) Error() string {
	var out []string
	for _, c := range f.Checks {
		if !c.Passed {
			out = append(out, strings.TrimSuffix(c.Name+": "+c.Found, ": "))
		}
	}
	return strings.Join(out, "; ")
}

// First is the name of the first check that failed, for the audit log.
func (f *Failure) First() string {
	for _, c := range f.Checks {
		if !c.Passed {
			return c.Name
		}
	}
	return ""
}

// report collects checks. What fails does not stop the next: an administrator who tries a connection sees all of it.
type report struct{ checks []Check }

// want notes a check.
func (r *report) want(name string, passed bool, found any, remedy string) bool {
	c := Check{Name: name, Passed: passed}
	if !passed {
		c.Found, c.Remedy = printable(found), remedy
	}
	r.checks = append(r.checks, c)
	return passed
}

// err is the failure, or nil.
func (r *report) err() error {
	for _, c := range r.checks {
		if !c.Passed {
			return &Failure{r.checks}
		}
	}
	return nil
}

// printable shows a value of a stranger: on one line, and not much of it.
func printable(v any) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(fmt.Sprint(v), "?"))
	if v == nil {
		text = "nothing"
	}
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text
}
