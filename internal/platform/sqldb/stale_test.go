package sqldb_test

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Each state of a row has a moment of its own as it is stored, in milliseconds: of two who read the same state only one
// may write.
func TestVersion(t *testing.T) {
	t.Parallel()
	before := time.UnixMilli(1_000)
	for _, now := range []time.Time{before.Add(-time.Hour), before.Add(-time.Nanosecond), before,
		before.Add(time.Microsecond), before.Add(time.Millisecond - time.Nanosecond), before.Add(time.Millisecond),
		before.Add(time.Hour)} {
		if v := sqldb.Version(now, before); sqldb.MillisOf(v) <= sqldb.MillisOf(before) || v.Before(now) {
			t.Errorf("%v after the last: %v", now.Sub(before), v.Sub(before))
		}
	}
}
