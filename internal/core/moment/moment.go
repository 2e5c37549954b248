package moment

import (
	"errors"
	"time"
)

// ErrRange says which times are taken.
var ErrRange = errors.New("must be a time of the years 1970 to 9999, such as 2026-12-31T23:59:59Z")

// InRange tells whether a time is of the years that are taken, in UTC.
func InRange(t time.Time) bool {
	year := t.UTC().Year()
	return 1970 <= year && year <= 9999
}

// Parse reads a time as RFC 3339 writes it.
func Parse(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !InRange(t) {
		return time.Time{}, ErrRange
	}
	return t, nil
}
