// Package cache keeps facts by their own id in memory, bounded in number, and never longer than the invalidation feed
// can be trusted. Where several nodes share a store (Redis), what one of them read from the database is there for the
// others; the store is never believed more than the feed.
package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
)

// Group is what the caches of one server have in common.
type Group struct {
	Feed  *invalidation.Feed
	Store *Store // nil: each node reads for itself
}

// Cache holds the facts of one kind. It is safe for concurrent use.
type Cache[V any] struct {
	kind    string
	feed    *invalidation.Feed
	entries *bounded.Cache[bounded.Key, V]
	shared  *shared[V] // nil: memory only

	loading sync.Mutex
	flights map[invalidation.Key]*flight[V]

	mu         sync.Mutex
	generation uint64 // grows with every invalidation
}

func name(k invalidation.Key) bounded.Key {
	return bounded.Key{Scope: string(k.Organization), ID: k.ID}
}

// New makes a cache of at most size facts and subscribes it to the feed. Its facts stay in this process.
func New[V any](g *Group, kind string, size int) *Cache[V] {
	c := &Cache[V]{kind: kind, feed: g.Feed,
		entries: bounded.New[V](size),
		flights: make(map[invalidation.Key]*flight[V])}
	g.Feed.Subscribe(kind, c)
	return c
}

// NewShared makes a cache whose facts the other nodes may have from the store.
func NewShared[V any](g *Group, kind string, size int, codec Codec[V]) *Cache[V] {
	c := New[V](g, kind, size)
	if g.Store != nil {
		c.shared = newShared(g.Store, kind, codec)
	}
	return c
}

// Get gives the fact: from memory if the feed is trusted, else from the store, else from load. Errors are not kept. A
// look-up that began before an invalidation is used once and not kept: what it read may be older than the change.
func (c *Cache[V]) Get(ctx context.Context, k invalidation.Key, load func(context.Context) (V, error)) (V, error) {
	trusted := c.feed.Trusted()
	if trusted {
		if v, ok := c.entries.Get(name(k)); ok {
			return v, nil
		}
	}
	began := c.now()
	epoch := ""
	if trusted && c.shared != nil {
		if epoch = c.feed.Epoch(); epoch != "" {
			if v, ok := c.shared.get(ctx, epoch, k); ok && c.keep(k, v, began) {
				return v, nil
			}
		}
	}
	read := time.Now()
	v, own, err := c.once(ctx, k, load)
	if err != nil || !trusted {
		return v, err
	}
	if c.keep(k, v, began) && own && epoch != "" && c.feed.Epoch() == epoch {
		c.shared.put(epoch, k, v, read)
	}
	return v, nil
}

// flight is one load that several may wait for.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// once loads a fact for all who asked before the load began, so that a database that comes back is not asked the same a
// thousand times. Nobody gets what was read before they asked: at most one load is waited for that is on its way
// already. own tells whether the load was the caller's.
func (c *Cache[V]) once(ctx context.Context, k invalidation.Key, load func(context.Context) (V, error)) (v V, own bool,
	err error) {
	for waited := false; ; waited = true {
		c.loading.Lock()
		f, on := c.flights[k]
		if !on {
			f = &flight[V]{done: make(chan struct{}), err: errLoadEnded}
			c.flights[k] = f
		}
		c.loading.Unlock()
		if !on {
			func() {
				defer func() { // after a panic of load too
					c.loading.Lock()
					delete(c.flights, k)
					c.loading.Unlock()
					close(f.done)
				}()
				f.value, f.err = load(ctx)
			}()
			return f.value, true, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return v, false, ctx.Err()
		}
		if waited && (f.err == nil || !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, errLoadEnded)) {
			// it began after the first one ended
			return f.value, false, f.err
		}
	}
}

var errLoadEnded = errors.New("the load ended without a result")

func (c *Cache[V]) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// keep stores a fact unless something was invalidated since its look-up began.
func (c *Cache[V]) keep(k invalidation.Key, v V, began uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != began {
		return false
	}
	c.entries.Set(name(k), v)
	return true
}

// Drop lets go of a fact that seems too old to be used, though nothing was announced about it. The next look-up asks
// the database.
func (c *Cache[V]) Drop(k invalidation.Key) {
	c.entries.Delete(name(k))
	if c.shared != nil {
		c.shared.distrust(c.feed.Epoch(), k)
	}
}

// Invalidate drops one fact.
func (c *Cache[V]) Invalidate(k invalidation.Key) {
	c.mu.Lock()
	c.generation++
	c.entries.Delete(name(k))
	c.mu.Unlock()
	if c.shared != nil {
		c.shared.distrust(c.feed.Epoch(), k)
	}
}

// Flush drops everything.
func (c *Cache[V]) Flush() {
	c.mu.Lock()
	c.generation++
	c.entries.Clear()
	c.mu.Unlock()
	if c.shared != nil {
		c.shared.distrustAll(c.feed.Epoch)
	}
}

// Message is what a transaction announces when the fact changes.
func (c *Cache[V]) Message(k invalidation.Key) string { return invalidation.Message(c.kind, k) }
