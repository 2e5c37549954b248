package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json" // it writes every kind of field, and tells nil from empty
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
)

// Remote is where nodes share facts. Neither call may take long, and either may fail in silence: a miss costs a
// question to the database.
type Remote interface {
	Get(ctx context.Context, key string) (value string, ok bool)
	Put(key, value string, life time.Duration)
}

// Store makes a Remote safe to believe. What it holds is sealed under a key that is not in it, bound to its own name: a
// value that was altered, invented or moved does not open. Names begin with the feed's epoch, which changes whenever
// any node (re)joins the feed; so every node that reads a value has heard each change that was committed since the
// value was read, and refuses it if it was changed. An old value put back helps nobody.
type Store struct {
	remote Remote
	ring   *keyring.Ring
	with   string
}

// NewStore seals what goes to remote with ring. Only nodes that are configured alike, as with tells, share: what one
// cannot understand of a fact it must not pass on.
func NewStore(remote Remote, ring *keyring.Ring, with string) *Store {
	return &Store{remote, ring, with}
}

const (
	// shareFor is how long a shared fact may be used after it was read from the database.
	shareFor = 5 * time.Minute
	// distrustFor is how long a changed fact is asked of the database alone. Values from before the change have ended
	// by then, on a clock that is not too far off (a node whose clock is, is not ready).
	distrustFor = 2 * shareFor
	// maxDistrusted bounds what is remembered of changes; beyond it nothing shared is believed in the present epoch.
	maxDistrusted = 200_000
)

// Codec turns facts into text and back. Decode may refuse.
type Codec[V any] struct {
	Encode func(V) ([]byte, error)
	Decode func([]byte) (V, error)
}

// Plain is the codec of facts whose fields are all exported.
func Plain[V any]() Codec[V] {
	return Codec[V]{
		Encode: func(v V) ([]byte, error) { return json.Marshal(v) },
		Decode: func(b []byte) (v V, err error) { err = json.Unmarshal(b, &v); return v, err },
	}
}

// As is the codec of facts that are written as another type.
func As[V, W any](to func(V) W, from func(W) V) Codec[V] {
	p := Plain[W]()
	return Codec[V]{
		Encode: func(v V) ([]byte, error) { return p.Encode(to(v)) },
		Decode: func(b []byte) (V, error) { w, err := p.Decode(b); return from(w), err },
	}
}

// shared is one kind of fact in the store.
type shared[V any] struct {
	store *Store
	kind  string
	codec Codec[V]

	mu         sync.Mutex
	distrusted map[invalidation.Key]time.Time // when its change was heard
	void       string                         // an epoch in which nothing is believed
}

func newShared[V any](store *Store, kind string, codec Codec[V]) *shared[V] {
	var zero V
	shape, err := codec.Encode(zero) // nodes whose facts have other fields keep theirs to themselves
	if err != nil {
		panic(err) // of a type that cannot be written at all
	}
	sum := sha256.Sum256(append([]byte(store.with+"\x00"), shape...))
	return &shared[V]{store: store, kind: kind + "." + hex.EncodeToString(sum[:6]), codec: codec,
		distrusted: make(map[invalidation.Key]time.Time)}
}

// name is typed and length-prefixed: no two facts share one.
func (s *shared[V]) name(epoch string, k invalidation.Key) string {
	var b []byte
	for _, part := range []string{epoch, s.kind, string(k.Organization), k.ID} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return string(b)
}

func (s *shared[V]) get(ctx context.Context, epoch string, k invalidation.Key) (v V, ok bool) {
	if s.isDistrusted(epoch, k) {
		return v, false
	}
	name := s.name(epoch, k)
	sealed, ok := s.store.remote.Get(ctx, name)
	if !ok {
		return v, false
	}
	plain, err := s.store.ring.Open(sealed, name)
	if err != nil || len(plain) < 8 || time.Now().UnixMilli() > int64(binary.BigEndian.Uint64(plain)) { // a time
		return v, false
	}
	v, err = s.codec.Decode(plain[8:])
	return v, err == nil && !s.isDistrusted(epoch, k) // the change may have been heard meanwhile
}

func (s *shared[V]) put(epoch string, k invalidation.Key, v V, read time.Time) {
	if s.isDistrusted(epoch, k) {
		return
	}
	body, err := s.codec.Encode(v)
	if err != nil {
		return
	}
	end := read.Add(shareFor)
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), uint64(end.UnixMilli())) // a time after 1970
	name := s.name(epoch, k)
	s.store.remote.Put(name, s.store.ring.Seal(append(plain, body...), name), shareFor)
}

func (s *shared[V]) isDistrusted(epoch string, k invalidation.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard, ok := s.distrusted[k]
	return epoch == s.void || (ok && time.Since(heard) < distrustFor)
}

func (s *shared[V]) distrust(epoch string, k invalidation.Key) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.distrusted) >= maxDistrusted {
		for k, heard := range s.distrusted {
			if now.Sub(heard) >= distrustFor {
				delete(s.distrusted, k)
			}
		}
		if len(s.distrusted) >= maxDistrusted {
			clear(s.distrusted)
			s.void = epoch
		}
	}
	s.distrusted[k] = now
}

// distrustAll believes nothing more of this epoch. The next begins when a node joins.
func (s *shared[V]) distrustAll(epoch func() string) {
	s.mu.Lock()
	s.void = epoch() // asked in here: a later one must not be overwritten by an earlier one
	s.mu.Unlock()
}
