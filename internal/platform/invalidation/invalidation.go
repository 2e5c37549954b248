// Package invalidation tells caches what to drop. A change is announced in its own transaction, heard by the node that made it before
// the call returns and by every other node from the database. A node that is not sure that it hears says so, and its caches ask the
// database instead.
package invalidation

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/internal/core/id"
	"gatehouse/internal/platform/sqldb"
)

// TrustFor is how long after the last proof of hearing everything a cached entry may still be used.
const TrustFor = time.Second

// Key names one cached fact: the organization first, then the fact's own id. Platform facts have no organization.
type Key struct {
	Organization id.Organization
	ID           string
}

// Message is the announcement for a key of a kind of fact. Kinds and ids hold no separator.
func Message(kind string, k Key) string {
	return kind + "|" + string(k.Organization) + "|" + k.ID
}

// Feed hears announcements and passes them to the subscribers of their kind.
type Feed struct {
	db           *sqldb.DB
	log          *slog.Logger
	trustedUntil atomic.Int64 // nanoseconds since start; monotonic
	start        time.Time
	kinds        map[string]Subscriber
}

// Subscriber drops what it caches.
type Subscriber interface {
	Invalidate(k Key)
	Flush()
}

// New makes a feed. Subscribe everything before Run.
func New(db *sqldb.DB, log *slog.Logger) *Feed {
	f := &Feed{db: db, log: log, start: time.Now(), kinds: make(map[string]Subscriber)}
	db.OnCommit(f.deliver)
	return f
}

// Subscribe registers the one cache of a kind of fact.
func (f *Feed) Subscribe(kind string, s Subscriber) { f.kinds[kind] = s }

// Trusted tells whether everything committed until a moment ago has surely been heard.
func (f *Feed) Trusted() bool {
	return int64(time.Since(f.start)) < f.trustedUntil.Load()
}

// Run hears until ctx ends, connecting again whenever it must.
func (f *Feed) Run(ctx context.Context) {
	for pause := 50 * time.Millisecond; ctx.Err() == nil; {
		err := f.db.Listen(ctx, sqldb.Listener{
			Messages: f.deliver,
			Reset:    f.flush,
			Current: func(at time.Time) {
				f.trustedUntil.Store(int64(at.Add(TrustFor).Sub(f.start)))
				pause = 50 * time.Millisecond
			},
		})
		if ctx.Err() != nil {
			return
		}
		f.trustedUntil.Store(0)
		f.log.Warn("the invalidation feed is interrupted; caches are off until it is back", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func (f *Feed) flush() {
	for _, s := range f.kinds {
		s.Flush()
	}
}

func (f *Feed) deliver(messages []string) {
	for _, m := range messages {
		kind, rest, _ := strings.Cut(m, "|")
		org, id_, ok := strings.Cut(rest, "|")
		s := f.kinds[kind]
		switch {
		case !ok: // from a newer node: drop everything rather than guess
			f.flush()
		case s != nil:
			s.Invalidate(Key{id.Organization(org), id_})
		}
	}
}
