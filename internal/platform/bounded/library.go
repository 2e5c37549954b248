package bounded

import "github.com/maypok86/otter/v2"

// store is the library as its users see it: without its type.
type store[K any] interface {
	get(k K) (any, bool)
	set(k K, v any)
	setIfAbsent(k K, v any) any
	delete(k K)
	clear()
}

type library[K comparable] struct{ cache *otter.Cache[K, any] }

func (l library[K]) get(k K) (any, bool) { return l.cache.GetIfPresent(k) }
func (l library[K]) set(k K, v any)      { l.cache.Set(k, v) }
func (l library[K]) delete(k K)          { l.cache.Invalidate(k) }
func (l library[K]) clear()              { l.cache.InvalidateAll() }

func (l library[K]) setIfAbsent(k K, v any) any {
	kept, _ := l.cache.SetIfAbsent(k, v)
	return kept
}

// The two instances. Neither function is generic: else whoever calls it would be compiled with the library in it.

//go:noinline
func keyed(most int) store[Key] {
	return library[Key]{otter.Must(&otter.Options[Key, any]{MaximumSize: most})}
}

//go:noinline
func digested(most uint64, weigh func(any) uint32) store[Digest] {
	return library[Digest]{otter.Must(&otter.Options[Digest, any]{
		MaximumWeight: most,
		Weigher:       func(_ Digest, v any) uint32 { return weigh(v) },
	})}
}
