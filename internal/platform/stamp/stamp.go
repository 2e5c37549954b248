// Package stamp notes uses without a write per request: the last use of a thing is kept in memory, at most once an
// interval, and written for many things at once.
package stamp

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Batch holds the uses of one kind of thing that are not yet written. It is safe for concurrent use; noting a use again
// within the interval costs one look into a map.
type Batch[V any] struct {
	every time.Duration

	mu      sync.RWMutex
	waiting map[invalidation.Key]V
	seen    map[invalidation.Key]time.Time // last noted in this interval, so that a flush does not begin it anew
}

// New makes a batch that notes a thing at most once in every.
func New[V any](every time.Duration) *Batch[V] {
	return &Batch[V]{every: every, waiting: make(map[invalidation.Key]V), seen: make(map[invalidation.Key]time.Time)}
}

// Due tells whether a use at now is worth noting.
func (b *Batch[V]) Due(k invalidation.Key, now time.Time) bool {
	b.mu.RLock()
	last, ok := b.seen[k]
	b.mu.RUnlock()
	return !ok || now.Sub(last) >= b.every
}

// Note keeps a use to be written.
func (b *Batch[V]) Note(k invalidation.Key, now time.Time, use V) {
	b.mu.Lock()
	b.seen[k], b.waiting[k] = now, use
	b.mu.Unlock()
}

// Pending gives the use that is not yet written.
func (b *Batch[V]) Pending(k invalidation.Key) (V, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	use, ok := b.waiting[k]
	return use, ok
}

// Use is one to be written.
type Use[V any] struct {
	ID string
	V  V
}

// FlushTo writes the waiting uses, each by write, in one transaction an organization.
func (b *Batch[V]) FlushTo(ctx context.Context, now time.Time, db *sqldb.DB,
	write func(ctx context.Context, tx *sqldb.Tx, org id.Organization, use Use[V]) error) error {
	return b.Flush(ctx, now, func(ctx context.Context, org id.Organization, uses []Use[V]) error {
		return db.Tx(ctx, org, func(tx *sqldb.Tx) error {
			for _, u := range uses {
				if err := write(ctx, tx, org, u); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Flush hands the waiting uses to write, one call an organization, in order of their ids. What fails stays for the next
// time.
func (b *Batch[V]) Flush(ctx context.Context, now time.Time,
	write func(ctx context.Context, org id.Organization, uses []Use[V]) error) error {
	b.mu.Lock()
	batch := b.waiting
	b.waiting = make(map[invalidation.Key]V)
	for k, at := range b.seen {
		if now.Sub(at) >= b.every {
			delete(b.seen, k)
		}
	}
	b.mu.Unlock()

	byOrganization := make(map[id.Organization][]Use[V])
	for k, use := range batch {
		byOrganization[k.Organization] = append(byOrganization[k.Organization], Use[V]{k.ID, use})
	}
	var failed error
	for org, uses := range byOrganization {
		slices.SortFunc(uses, func(a, b Use[V]) int { return cmp.Compare(a.ID, b.ID) })
		if err := write(ctx, org, uses); err != nil {
			failed = errors.Join(failed, err)
			b.mu.Lock()
			for _, u := range uses {
				k := invalidation.Key{Organization: org, ID: u.ID}
				if _, newer := b.waiting[k]; !newer {
					b.waiting[k] = u.V
				}
			}
			b.mu.Unlock()
		}
	}
	return failed
}
