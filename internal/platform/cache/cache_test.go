package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func running(t *testing.T, db *sqldb.DB, subscribe func(*invalidation.Feed) *cache.Cache[int64]) (*invalidation.Feed,
	*cache.Cache[int64]) {
	t.Helper()
	feed := invalidation.New(db, slog.New(slog.DiscardHandler))
	c := subscribe(feed)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { feed.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	for end := time.Now().Add(5 * time.Second); !feed.Trusted(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the feed is not trusted")
		}
	}
	return feed, c
}

var key = invalidation.Key{Organization: "org_1", ID: "x"}

// G7: a fact is loaded once, dropped by an announcement, and not kept when its load began before one.
func TestG7_Cache(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		_, c := running(t, db, func(f *invalidation.Feed) *cache.Cache[int64] {
			return cache.New[int64](&cache.Group{Feed: f}, "test", 100)
		})
		loads := atomic.Int64{}
		load := func(context.Context) (int64, error) { return loads.Add(1), nil }
		get := func() int64 {
			v, err := c.Get(t.Context(), key, load)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if a, b := get(), get(); a != 1 || b != 1 {
			t.Errorf("%d, %d: not kept", a, b)
		}
		err := db.PlatformTx(t.Context(), "announce in a test", func(tx *sqldb.Tx) error {
			tx.Announce(c.Message(key))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if v := get(); v != 2 {
			t.Errorf("%d after the announcement: the node that made the change still has the old fact", v)
		}
		// A slow load that an invalidation overtakes gives its value once and keeps nothing.
		other := invalidation.Key{Organization: "org_1", ID: "slow"}
		v, err := c.Get(t.Context(), other, func(context.Context) (int64, error) {
			c.Invalidate(other)
			return 100, nil
		})
		if v != 100 || err != nil {
			t.Fatal(v, err)
		}
		if v, _ := c.Get(t.Context(), other, load); v == 100 {
			t.Error("an overtaken load was kept")
		}
	})
}

// G7: a node that hears nothing trusts no entry: every read asks.
func TestG7_UntrustedFeed(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		feed := invalidation.New(db, slog.New(slog.DiscardHandler))
		c := cache.New[int64](&cache.Group{Feed: feed}, "test", 100) // Run is never called
		var loads int64
		for range 3 {
			if _, err := c.Get(t.Context(), key, func(context.Context) (int64, error) {
				loads++
				return loads, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if loads != 3 {
			t.Errorf("%d loads of 3: an entry was trusted", loads)
		}
	})
}

// WEB11, ATK25: the cache is bounded, and keys of different parts never meet.
func TestWEB11_Bounded(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		_, c := running(t, db, func(f *invalidation.Feed) *cache.Cache[int64] {
			return cache.New[int64](&cache.Group{Feed: f}, "test", 100)
		})
		for i := range int64(20_000) {
			k := invalidation.Key{Organization: "org_1", ID: fmt.Sprint(i)}
			if v, err := c.Get(t.Context(), k, func(context.Context) (int64, error) { return i, nil }); v != i ||
				err != nil {
				t.Fatal(v, err)
			}
		}
		kept := 0
		for i := range 20_000 {
			k := invalidation.Key{Organization: "org_1", ID: fmt.Sprint(i)}
			if _, err := c.Get(t.Context(), k, func(context.Context) (int64, error) {
				return 0, context.Canceled
			}); err == nil {
				kept++
			}
		}
		if kept > 2000 { // evictions run a little behind
			t.Errorf("%d of 20000 entries kept in a cache of 100", kept)
		}
		c.Get(t.Context(), invalidation.Key{Organization: "a", ID: "bc"}, func(context.Context) (int64, error) {
			return 1, nil
		})
		if v, _ := c.Get(t.Context(), invalidation.Key{Organization: "ab", ID: "c"},
			func(context.Context) (int64, error) { return 2, nil }); v != 2 {
			t.Error("two keys of the same letters meet")
		}
	})
}
