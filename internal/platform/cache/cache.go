// Package cache keeps facts by their own id in memory, bounded in number, and never longer than the invalidation feed can be trusted.
package cache

import (
	"context"
	"sync"

	"github.com/maypok86/otter/v2"

	"gatehouse/internal/platform/invalidation"
)

// Cache holds the facts of one kind. It is safe for concurrent use.
type Cache[V any] struct {
	kind    string
	feed    *invalidation.Feed
	entries *otter.Cache[invalidation.Key, V]

	mu         sync.Mutex
	generation uint64 // grows with every invalidation
}

// New makes a cache of at most size facts and subscribes it to the feed.
func New[V any](feed *invalidation.Feed, kind string, size int) *Cache[V] {
	c := &Cache[V]{kind: kind, feed: feed, entries: otter.Must(&otter.Options[invalidation.Key, V]{MaximumSize: size})}
	feed.Subscribe(kind, c)
	return c
}

// Get gives the fact, from memory if the feed is trusted, else from load. Errors are not kept. A load that began before an
// invalidation is used once and not kept: what it read may be older than the change.
func (c *Cache[V]) Get(ctx context.Context, k invalidation.Key, load func(context.Context) (V, error)) (V, error) {
	trusted := c.feed.Trusted()
	if trusted {
		if v, ok := c.entries.GetIfPresent(k); ok {
			return v, nil
		}
	}
	c.mu.Lock()
	began := c.generation
	c.mu.Unlock()
	v, err := load(ctx)
	if err != nil || !trusted {
		return v, err
	}
	c.mu.Lock()
	if c.generation == began {
		c.entries.Set(k, v)
	}
	c.mu.Unlock()
	return v, nil
}

// Drop lets go of a fact that seems too old to be used, though nothing was announced about it.
func (c *Cache[V]) Drop(k invalidation.Key) { c.entries.Invalidate(k) }

// Invalidate drops one fact.
func (c *Cache[V]) Invalidate(k invalidation.Key) {
	c.mu.Lock()
	c.generation++
	c.entries.Invalidate(k)
	c.mu.Unlock()
}

// Flush drops everything.
func (c *Cache[V]) Flush() {
	c.mu.Lock()
	c.generation++
	c.entries.InvalidateAll()
	c.mu.Unlock()
}

// Message is what a transaction announces when the fact changes.
func (c *Cache[V]) Message(k invalidation.Key) string { return invalidation.Message(c.kind, k) }
