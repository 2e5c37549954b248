package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// vault is a Redis that a test may look into and tamper with: the real one, with what went through it written down.
type vault struct {
	*redis.Client
	mu    sync.Mutex
	kept  map[string]string
	asked atomic.Int64
	alter func(key, value string) string
}

func (v *vault) Get(ctx context.Context, key string) (string, bool) {
	v.asked.Add(1)
	value, ok := v.Client.Get(ctx, key)
	v.mu.Lock()
	defer v.mu.Unlock()
	if ok && v.alter != nil {
		value = v.alter(key, value)
	}
	return value, ok
}

func (v *vault) Put(key, value string, life time.Duration) {
	v.mu.Lock()
	v.kept[key] = value
	v.mu.Unlock()
	v.Client.Put(key, value, life)
}

func (v *vault) tamper(alter func(key, value string) string) {
	v.mu.Lock()
	v.alter = alter
	v.mu.Unlock()
}

// node is one process: its own pool, feed and connection to Redis.
type node struct {
	db    *sqldb.DB
	feed  *invalidation.Feed
	vault *vault
	facts *cache.Cache[int64]
	other *cache.Cache[int64]
	loads atomic.Int64
	row   *atomic.Int64 // what the database would say
}

var ring = sync.OnceValue(func() *keyring.Ring {
	r, err := keyring.New([]secret.Secret{keyring.Generate()})
	if err != nil {
		panic(err)
	}
	return r
})

func join(t *testing.T, address string, row *atomic.Int64, push bool) *node {
	t.Helper()
	db, err := sqldb.Open(t.Context(), address, sqldb.Options{MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	n := &node{db: db, feed: invalidation.New(db, log), row: row}
	client, err := redis.New(os.Getenv("GATEHOUSE_TEST_REDIS"), "gatehouse:", log, n.feed.Pushed)
	if err != nil {
		t.Fatal(err)
	}
	if push {
		n.feed.UsePush(client)
	}
	n.vault = &vault{Client: client, kept: make(map[string]string)}
	g := &cache.Group{Feed: n.feed, Store: cache.NewStore(n.vault, ring(), "")}
	n.facts, n.other = cache.NewShared(g, "fact", 100, cache.Plain[int64]()), cache.NewShared(g, "fa", 100,
		cache.Plain[int64]())
	client.Start()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.feed.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); client.Close(); db.Close() })
	n.wait(t, func() bool { return n.feed.Trusted() && n.feed.Epoch() != "" && client.Up() })
	return n
}

func (n *node) wait(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for nothing")
		}
	}
}

func (n *node) get(t *testing.T, k invalidation.Key) int64 {
	t.Helper()
	v, err := n.facts.Get(t.Context(), k, func(context.Context) (int64, error) {
		n.loads.Add(1)
		return n.row.Load(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// handedOver waits until what a shared is there for b. Redis is asked again: on a busy machine a write to it may be
// given up, which costs a node nothing but a question to the database.
func handedOver(t *testing.T, a, b *node) {
	t.Helper()
	key := only(a.vault.kept)
	b.wait(t, func() bool {
		if _, ok := b.vault.Client.Get(t.Context(), key); ok {
			return true
		}
		a.vault.Client.Put(key, a.vault.kept[key], time.Minute)
		time.Sleep(10 * time.Millisecond)
		return false
	})
}

// change commits a new value of the row and announces it.
func (n *node) change(t *testing.T, k invalidation.Key) int64 {
	t.Helper()
	err := n.db.PlatformTx(t.Context(), "a change in a test", func(tx *sqldb.Tx) error {
		tx.Announce(n.facts.Message(k))
		n.row.Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n.row.Load()
}

func together(t *testing.T, nodes ...*node) {
	t.Helper()
	nodes[0].wait(t, func() bool {
		for _, n := range nodes {
			if n.feed.Epoch() != nodes[0].feed.Epoch() {
				return false
			}
		}
		return true
	})
}

// A46, G7: what one node read another has from Redis, in memory at the second look; a change reaches both, and an old
// value that is put back opens nothing, whoever puts it there and however.
func TestA46_Shared(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		if !sqldb.IsPostgres(address) {
			t.Skip("Redis goes with PostgreSQL")
		}
		for _, push := range []bool{true, false} {
			// false: the publisher died after its commit, or Redis is cut off from it
			t.Run(fmt.Sprintf("push=%v", push), func(t *testing.T) {
				var row atomic.Int64
				var a, b *node
				var k invalidation.Key
				for try := 0; ; try++ { // a busy machine may keep Redis' answer for so long that nobody waits for it
					a, b = join(t, address, &row, push), join(t, address, &row, push)
					together(t, a, b)
					k = invalidation.Key{Organization: "org_1", ID: fmt.Sprint(time.Now().UnixNano())}
					first := a.get(t, k)
					handedOver(t, a, b)
					v, loads := b.get(t, k), b.loads.Load()
					if v == first && loads == 0 {
						break
					}
					if v != first || try == 4 {
						t.Fatalf("%d, not %d, after %d loads: the other node asked the database", v, first, loads)
					}
				}
				asked := b.vault.asked.Load()
				if b.get(t, k); b.vault.asked.Load() != asked {
					t.Error("a hit asked Redis")
				}

				old := a.vault.kept
				changed := a.change(t, k)
				if v := a.get(t, k); v != changed {
					t.Errorf("%d on the node that changed it to %d", v, changed)
				}
				b.wait(t, func() bool { return b.get(t, k) == changed })
				for key, value := range old { // replayed as it was
					a.vault.Client.Put(key, value, time.Minute)
				}
				time.Sleep(20 * time.Millisecond)
				b.facts.Drop(k)
				if v := b.get(t, k); v != changed {
					t.Errorf("%d: an old value that was put back is believed", v)
				}

				// A node that joins begins an epoch: what was there before it listened is not for it.
				c := join(t, address, &row, push)
				together(t, a, b, c)
				if v := c.get(t, k); v != changed || c.loads.Load() != 1 {
					t.Errorf("%d after %d loads on a node that just joined", v, c.loads.Load())
				}
			})
		}
	})
}

func only(m map[string]string) string {
	for k := range m {
		return k
	}
	return ""
}

// ATK25, WEB10: what Redis says is believed only if it opens under our key and its own name: garbage, a truncated
// value, one moved from another fact or another kind are misses.
func TestATK25_PoisonedStore(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		if !sqldb.IsPostgres(address) {
			t.Skip("Redis goes with PostgreSQL")
		}
		var row atomic.Int64
		row.Store(7)
		a := join(t, address, &row, true)
		b := join(t, address, &row, true)
		together(t, a, b)
		strangerRing, err := keyring.New([]secret.Secret{keyring.Generate()})
		if err != nil {
			t.Fatal(err)
		}
		victim, mine := invalidation.Key{Organization: "org_1", ID: "victim"}, invalidation.Key{Organization: "org_1",
			ID: "mine"}
		row.Store(666)
		a.get(t, mine)
		moved := a.vault.kept[only(a.vault.kept)]
		row.Store(7)
		a.get(t, victim)
		a.wait(t, func() bool { return len(a.vault.kept) == 2 })
		time.Sleep(20 * time.Millisecond)
		for name, alter := range map[string]func(key, value string) string{
			"garbage":         func(string, string) string { return "{\"x\":1}" },
			"empty":           func(string, string) string { return "" },
			"truncated":       func(_, v string) string { return v[:len(v)-3] },
			"one bit":         func(_, v string) string { return v[:len(v)-1] + string(v[len(v)-1]^1) },
			"of another fact": func(string, string) string { return moved },
			"under another key": func(k, _ string) string {
				return strangerRing.Seal([]byte("\x7f\xff\xff\xff\xff\xff\xff\xff666"), k)
			},
			"too short": func(k, _ string) string { return ring().Seal([]byte("1"), k) },
			"past its time": func(k, _ string) string {
				return ring().Seal([]byte("\x00\x00\x00\x00\x00\x00\x00\x01666"), k)
			},
		} {
			b.vault.tamper(alter)
			loads := b.loads.Load()
			if v := b.get(t, victim); v != 7 || b.loads.Load() != loads+1 {
				t.Errorf("%s: %d, %d loads", name, v, b.loads.Load()-loads)
			}
			// a fresh node's memory for the next round, without distrusting the key
			b = join(t, address, &row, true)
			together(t, a, b)
			row.Store(666)
			a.facts.Flush()
			a = join(t, address, &row, true)
			together(t, a, b)
			row.Store(666)
			clear(a.vault.kept)
			a.get(t, mine)
			moved = a.vault.kept[only(a.vault.kept)]
			row.Store(7)
			a.get(t, victim)
			time.Sleep(20 * time.Millisecond)
		}
		b.vault.tamper(nil)
		b.wait(t, func() bool { // Redis answers, and has what a wrote
			for key := range a.vault.kept {
				if _, ok := b.vault.Client.Get(t.Context(), key); !ok {
					return false
				}
			}
			return true
		})
		loads := b.loads.Load()
		if v := b.get(t, victim); v != 7 || b.loads.Load() != loads {
			t.Errorf("untouched: %d after %d loads; the rounds before proved nothing", v, b.loads.Load()-loads)
		}
	})
}

// A46: what the store holds is for those who heard everything since it was read. A node that may have missed something
// believes nothing of the epoch; what is read while a node joins is not shared; and a connection to the feed that broke
// begins another epoch.
func TestA46_Epochs(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		if !sqldb.IsPostgres(address) {
			t.Skip("Redis goes with PostgreSQL")
		}
		var row atomic.Int64
		a := join(t, address, &row, true)
		b := join(t, address, &row, true)
		together(t, a, b)
		fresh := func() invalidation.Key {
			return invalidation.Key{Organization: "org_1", ID: fmt.Sprint(time.Now().UnixNano())}
		}
		puts := func(n *node) int { n.vault.mu.Lock(); defer n.vault.mu.Unlock(); return len(n.vault.kept) }

		// A flush: something may have been missed.
		k := fresh()
		a.get(t, k)
		handedOver(t, a, b)
		row.Add(1) // and nobody said so
		b.facts.Flush()
		if v := b.get(t, k); v != row.Load() {
			t.Errorf("after a flush the store is believed: %d", v)
		}
		if n := puts(b); n != 0 {
			t.Errorf("after a flush %d facts were shared in the same epoch", n)
		}

		// Garbage that somebody pushes is not a flush.
		c := join(t, address, &row, true)
		together(t, a, b, c)
		k = fresh()
		had := puts(b)
		a.vault.Client.Push([]string{"*", "garbage", "fact|org_1|" + k.ID})
		time.Sleep(50 * time.Millisecond)
		b.get(t, fresh())
		if puts(b) == had {
			t.Error("after a pushed garbage nothing is shared any more")
		}

		// A change that is heard while the store answers.
		k = fresh()
		had = puts(a)
		a.get(t, k)
		a.wait(t, func() bool { return puts(a) == had+1 })
		time.Sleep(20 * time.Millisecond)
		b.vault.tamper(func(_, value string) string { row.Add(1); b.facts.Invalidate(k); return value })
		if v := b.get(t, k); v != row.Load() {
			t.Errorf("a change was heard while the store answered, and %d is believed", v)
		}
		b.vault.tamper(nil)

		// A node joins while a fact is read.
		k = fresh()
		before, epoch := puts(a), a.feed.Epoch()
		_, err := a.facts.Get(t.Context(), k, func(context.Context) (int64, error) {
			d := join(t, address, &row, true)
			d.wait(t, func() bool { return a.feed.Epoch() != epoch && a.feed.Epoch() == d.feed.Epoch() })
			return row.Load(), nil
		})
		if err != nil || puts(a) != before {
			t.Errorf("what was read while a node joined is shared: %v", err)
		}

		// The feed's connections break.
		epoch = b.feed.Epoch()
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(),
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
				AND backend_type = 'client backend' AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		b.wait(t, func() bool {
			return b.feed.Trusted() && b.feed.Epoch() != "" && b.feed.Epoch() != epoch &&
				a.feed.Epoch() == b.feed.Epoch()
		})
	})
}
