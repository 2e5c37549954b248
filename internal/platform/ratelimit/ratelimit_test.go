package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const org = id.Organization("org_01BX5ZZKBKACTAV9WEVGEMMVRZ")

func organize(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := db.PlatformTx(t.Context(), "an organization for a test", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(),
			`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org)
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
		if err := db.Platform("what is left, for a test").QueryRow(t.Context(), `SELECT count(*) FROM rate_counts`).
			Scan(&rows); err != nil || rows != 0 {
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
				if l.Take(t.Context(), Key(org, time.Duration(limit).String()), limit,
					time.Unix(1_700_000_040, 0)).Allowed {
					allowed++
				}
			}
			if allowed != limit {
				t.Errorf("%d let through, limit %d", allowed, limit)
			}
		}
	})
}

// lossy is a Redis that a test can cut off and empty.
type lossy struct {
	mu    sync.Mutex
	gone  bool
	used  map[string]int64
	asked int
}

func (l *lossy) Add(_ context.Context, k invalidation.Key, minute, n, known int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.gone {
		return 0, errors.New("cut off")
	}
	name := fmt.Sprint(k, minute)
	l.used[name] = max(l.used[name], known) + n
	return l.used[name], nil
}

// G8: three nodes at once let at most two shares through beyond a limit, by the database and by Redis; a Redis that
// loses its counters, or itself, in the middle costs each node at most what it did not know of the others.
func TestG8_Nodes(t *testing.T) {
	t.Parallel()
	const nodes, limit = 3, 600
	share := limit / shares
	quick := func() *lossy { return &lossy{used: make(map[string]int64)} }
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		organize(t, db)
		if os.Getenv("GATEHOUSE_TEST_REDIS") == "" {
			t.Skip("needs Redis")
		}
		client, err := redis.New(os.Getenv("GATEHOUSE_TEST_REDIS"), "gatehouse:", quiet(), func([]string) {})
		if err != nil {
			t.Fatal(err)
		}
		client.Start()
		t.Cleanup(client.Close)
		for end := time.Now().Add(5 * time.Second); !client.Up(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("Redis does not answer")
			}
		}
		// What is known lifts a counter that was lost. A call that took too long may have counted: then anew.
		lifted := func() error {
			lost := Key(org, "lost "+time.Now().String())
			for _, c := range []struct{ n, known, want int64 }{{3, 0, 3}, {2, 3, 5}, {1, 50, 51}, {1, 0, 52}} {
				used, err := client.Add(t.Context(), lost, 1, c.n, c.known)
				if err != nil {
					return err
				}
				if used != c.want {
					t.Errorf("%d more of at least %d: %d; want %d", c.n, c.known, used, c.want)
				}
			}
			return nil
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if err := lifted(); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		// The middle comes when half is used, or later: on a busy machine the others may have used all of it by then.
		emptied, cut := quick(), quick()
		for _, c := range []struct {
			name   string
			quick  Counter
			middle func() // when half of the limit is used
			most   int
		}{
			{"database", nil, func() {}, limit + (nodes-1)*share},
			{"redis", client, func() {}, limit + (nodes-1)*share},
			{"redis emptied", emptied, func() { emptied.mu.Lock(); clear(emptied.used); emptied.mu.Unlock() },
				2*limit + (nodes-1)*share},
			{"redis cut off", cut, func() { cut.mu.Lock(); cut.gone = true; cut.mu.Unlock() },
				2*limit + (nodes-1)*share},
		} {
			var all [nodes]*Limiter
			for i := range all {
				all[i] = New(db, c.quick, func() int { return nodes }, quiet())
			}
			at := time.Unix(1_700_000_040, 0)
			k := Key(org, c.name+time.Now().String())
			var allowed atomic.Int64
			var once sync.Once
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					for range limit {
						if all[i].Take(t.Context(), k, limit, at).Allowed && allowed.Add(1) == limit/2 {
							once.Do(c.middle)
						}
					}
				})
			}
			wg.Wait()
			if n := int(allowed.Load()); n < limit || n > c.most {
				t.Errorf("%s: %d of %d nodes' requests let through, limit %d, at most %d", c.name, n, nodes, limit,
					c.most)
			}
			if l, ok := c.quick.(*lossy); ok && l.asked == 0 {
				t.Errorf("%s: never asked", c.name)
			}
		}
	})
}

// G8: when neither Redis nor the database answers, each of the nodes has its part of what is left, and no node all of
// it.
func TestG8_NodesAlone(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		db.Close()
		const nodes = 4
		for _, limit := range []int{2, 8, 400} {
			l := New(db, nil, func() int { return nodes }, quiet())
			allowed := 0
			for range 2 * limit {
				if l.Take(t.Context(), Key(org, "alone"), limit, time.Unix(1_700_000_040, 0)).Allowed {
					allowed++
				}
			}
			if want := max(1, limit/nodes); allowed != want {
				t.Errorf("limit %d: one of %d nodes lets %d through, want %d", limit, nodes, allowed, want)
			}
		}
	})
}
