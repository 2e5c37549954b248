package moment_test

import (
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/moment"
)

// G10: times are RFC 3339 and of the years 1970 to 9999, counted in UTC. None of them is the zero time.
func TestG10_Parse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"1970-01-01T00:00:00Z", true},
		{"2026-12-31T23:59:59Z", true},
		{"2026-12-31T23:59:59.123456789+05:30", true},
		{"9999-12-31T23:59:59Z", true},
		{"0001-01-01T00:00:00Z", false},
		{"0001-01-01T01:00:00+01:00", false},
		{"0000-12-31T23:00:00-01:00", false},
		{"1969-12-31T23:59:59Z", false},
		{"1970-01-01T00:00:00+01:00", false},
		{"9999-12-31T23:59:59-01:00", false},
		{"10000-01-01T00:00:00Z", false},
		{"2026-12-31", false},
		{"2026-02-30T00:00:00Z", false},
		{"0", false},
		{"", false},
	} {
		at, err := moment.Parse(c.text)
		if (err == nil) != c.ok || c.ok == at.IsZero() {
			t.Errorf("%q: %v, %v", c.text, at, err)
		}
	}
}
