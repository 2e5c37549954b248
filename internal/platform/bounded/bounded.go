package bounded

import "crypto/sha256"

// Key names a value. Both parts count; either may be empty.
type Key struct {
	Scope string
	ID    string
}

// Digest names a value by a SHA-256 sum: making a string of it would cost an allocation for each look.
type Digest = [sha256.Size]byte

// Cache holds values of one type. It is safe for concurrent use.
type Cache[K Key | Digest, V any] struct {
	entries store[K]
}

// New makes a cache of about most values: what is too much is let go a little later.
func New[V any](most int) *Cache[Key, V] {
	return &Cache[Key, V]{keyed(most)}
}

// ByDigest makes a cache of values that weigh about most together.
func ByDigest[V any](most uint64, weigh func(V) uint32) *Cache[Digest, V] {
	return &Cache[Digest, V]{digested(most, func(v any) uint32 { return weigh(v.(V)) })}
}

// Get gives the value of a key, if it is there.
func (c *Cache[K, V]) Get(k K) (v V, ok bool) {
	kept, ok := c.entries.get(k)
	if !ok {
		return v, false
	}
	return kept.(V), true
}

// Set puts a value in the place of what was there.
func (c *Cache[K, V]) Set(k K, v V) { c.entries.set(k, v) }

// SetIfAbsent gives the value that is there, else puts v there and gives that.
func (c *Cache[K, V]) SetIfAbsent(k K, v V) V { return c.entries.setIfAbsent(k, v).(V) }

// Delete lets go of one value.
func (c *Cache[K, V]) Delete(k K) { c.entries.delete(k) }

// Clear lets go of all.
func (c *Cache[K, V]) Clear() { c.entries.clear() }
