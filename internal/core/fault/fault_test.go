package fault

import (
	"errors"
	"fmt"
	"testing"
)

// The log has each code once; a person at the command line has the sentence, what is wrong with each field and why the
// server cannot do it now, and no code.
func TestPlain(t *testing.T) {
	t.Parallel()
	down := Unavailablef(0, "The database does not answer.")
	for _, c := range []struct {
		err         error
		text, plain string
	}{
		{errors.New("disk full"), "disk full", "disk full"},
		{Invalidf("slug", "is short"), "VALIDATION_ERROR: slug: is short", "slug: is short"},
		{fmt.Errorf("user: load: %w", NotFoundf("There is no such user.")),
			"user: load: NOT_FOUND: There is no such user.", "There is no such user"},
		{down.Because(errors.New("too many clients")), "UNAVAILABLE: The database does not answer.: too many clients",
			"The database does not answer: too many clients"},
		{down.Because(down.Because(errors.New("x"))),
			"UNAVAILABLE: The database does not answer.: The database does not answer.: x",
			"The database does not answer: The database does not answer: x"},
		{InvalidFields([]Field{{"a", "is long"}, {"b", "is short"}}),
			"VALIDATION_ERROR: The request has invalid fields.",
			"The request has invalid fields\n  a: is long\n  b: is short"},
		{NotFoundf("There is no such user.").Because(errors.New("row 7")), "NOT_FOUND: There is no such user.: row 7",
			"There is no such user"},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
		if got := Plain(c.err); got != c.plain {
			t.Errorf("%q, want %q", got, c.plain)
		}
	}
}
