package sqldb

import (
	"errors"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// ErrStale tells Retry that a row was changed between being read and being written.
var ErrStale = errors.New("the row was changed by another at the same time")

// staleTries is how often a change is tried on the newest state before its caller is told.
const staleTries = 5

// Retry runs a read, check and conditional write until no other change comes in between. What fn checks it checks anew
// each time.
func Retry(fn func() error) error {
	for range staleTries {
		if err := fn(); !errors.Is(err, ErrStale) {
			return err
		}
	}
	return fault.Conflictf("Others change this at the same time. Try again.")
}

// Version is the moment of a change to a row that was last changed at before: now, and always later than before by a
// millisecond at least, as it is stored, so that each state of the row has a moment of its own to be recognised by.
func Version(now, before time.Time) time.Time {
	if now.UnixMilli() <= before.UnixMilli() {
		return time.UnixMilli(before.UnixMilli() + 1).In(before.Location())
	}
	return now
}
