package ratelimit

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"gatehouse/internal/core/id"
	"gatehouse/internal/platform/sqldb"
	"gatehouse/test/sqldbtest"
)

const org = id.Organization("org_01BX5ZZKBKACTAV9WEVGEMMVRZ")

func organize(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := db.PlatformTx(t.Context(), "an organization for a test", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// G8, A16: exact on one node, by whole minutes; at most one share over with a second node; a key of its own for each.
func TestG8_Shares(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		organize(t, db)
		start := time.Unix(1_700_000_040, 0)
		take := func(l *Limiter, key string, limit int, at time.Time, times int) (allowed int) {
			for range times {
				if l.Take(t.Context(), Key(org, key), limit, at).Allowed {
					allowed++
				}
			}
			return allowed
		}
		for _, limit := range []int{1, 5, 19, 20, 21, 600, 1999} {
			key := "one of " + time.Duration(limit).String()
			a, b := New(db, nil, func() int { return 1 }, quiet()), New(db, nil, func() int { return 1 }, quiet())
			if got := take(a, key, limit, start, limit+50); got != limit {
				t.Errorf("limit %d: one node lets %d through", limit, got)
			}
			share := max(1, limit/shares)
			if got := take(b, key, limit, start, limit); got > share || (share == 1 && got != 0) {
				t.Errorf("limit %d: a second node lets %d more through, share %d", limit, got, share)
			}
			if got := take(a, key, limit, start.Add(time.Minute), limit+1); got != limit {
				t.Errorf("limit %d: the next minute lets %d through", limit, got)
			}
			if got := take(a, key+" other", limit, start, limit); got != limit {
				t.Errorf("limit %d: another key lets %d through", limit, got)
			}
		}
		l := New(db, nil, func() int { return 1 }, quiet())
		d := l.Take(t.Context(), Key(org, "reset"), 10, start.Add(15*time.Second))
		if d.Limit != 10 || d.Remaining != 9 || d.Reset != 45*time.Second {
			t.Errorf("%+v", d)
		}
		if _, err := l.Purge(t.Context(), start.Add(5*time.Minute), 1000); err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := db.Platform("what is left, for a test").QueryRow(t.Context(), `SELECT count(*) FROM rate_counts`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows are left, %v", rows, err)
		}
	})
}

// G8: with the database gone a node counts alone: never without a limit.
func TestG8_WithoutDatabase(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := New(db, nil, func() int { return 1 }, quiet())
		db.Close()
		for _, limit := range []int{3, 100} {
			allowed := 0
			for range 3 * limit {
				if l.Take(t.Context(), Key(org, time.Duration(limit).String()), limit, time.Unix(1_700_000_040, 0)).Allowed {
					allowed++
				}
			}
			if allowed != limit {
				t.Errorf("%d let through, limit %d", allowed, limit)
			}
		}
	})
}
