package jobs_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/jobs"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A lease is one node's at a time: others get it when it runs out or is given back, and not before; its holder prolongs
// it.
func TestLeases(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Unix(1_800_000_000, 0)
		clock := func() time.Time { return now }
		a, b := jobs.NewLeases(db, "a", clock), jobs.NewLeases(db, "b", clock)
		hold := func(l *jobs.Leases, name string, want bool) {
			t.Helper()
			if held, err := l.Hold(t.Context(), name, time.Minute); err != nil || held != want {
				t.Errorf("%s: %v, %v; want %v", name, held, err, want)
			}
		}
		hold(a, "sweep", true)
		hold(b, "sweep", false)
		hold(b, "other", true)
		now = now.Add(50 * time.Second)
		hold(a, "sweep", true) // prolonged
		now = now.Add(50 * time.Second)
		hold(b, "sweep", false)
		if err := a.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold(b, "sweep", true) // given back
		hold(a, "sweep", false)
		now = now.Add(time.Minute)
		hold(a, "sweep", true) // run out
		hold(b, "sweep", false)
		if err := a.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold(b, "other", true) // others' are not given back

		var winners atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			l := jobs.NewLeases(db, string(rune('m'+i)), clock)
			wg.Go(func() {
				if held, err := l.Hold(context.Background(), "race", time.Minute); err != nil {
					t.Error(err)
				} else if held {
					winners.Add(1)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Errorf("%d nodes hold one lease", winners.Load())
		}
	})
}
