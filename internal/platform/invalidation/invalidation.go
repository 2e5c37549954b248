// Package invalidation tells caches what to drop. A change is announced in its own transaction, heard by the node that
// made it before the call returns and by every other node from the database. A node that is not sure that it hears says
// so, and its caches ask the database instead.
package invalidation

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
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
	push         Push
	quiet        bool
	epoch        atomic.Pointer[string]
	node         string

	mu    sync.Mutex
	nodes map[string]time.Time // when each was last heard
}

// Push is a quicker way to other nodes than the database. It may lose messages, and must not block.
type Push interface{ Push(messages []string) }

// Subscriber drops what it caches.
type Subscriber interface {
	Invalidate(k Key)
	Flush()
}

// New makes a feed. Subscribe everything before Run.
func New(db *sqldb.DB, log *slog.Logger) *Feed {
	f := &Feed{db: db, log: log, start: time.Now(), kinds: make(map[string]Subscriber), node: rand.Text(),
		nodes: make(map[string]time.Time)}
	f.epoch.Store(new(string))
	db.OnCommit(func(messages []string) {
		f.Heard(messages)
		if f.push != nil {
			f.push.Push(messages)
		}
	})
	return f
}

// UsePush sends what this process announces by a quicker way, too. Before Run.
func (f *Feed) UsePush(p Push) { f.push = p }

// Quiet makes a feed that only listens: it is no node, and begins no epoch. Before Run.
func (f *Feed) Quiet() { f.quiet = true }

func (f *Feed) hello() string {
	if f.quiet {
		return ""
	}
	return Message(kindEpoch, Key{ID: rand.Text()})
}

// The kinds of messages of the feed itself.
const (
	kindEpoch = "epoch" // a node joins the feed
	kindNode  = "node"  // a node is there
)

// Epoch names the stretch of the feed since a node last joined it; empty while this one has not. Nodes hear messages in
// one order, so any two that are in the same epoch have both heard everything since it began.
func (f *Feed) Epoch() string { return *f.epoch.Load() }

// presence is how long a node counts after it was last heard; it says so every five seconds.
const presence = 16 * time.Second

// Nodes is how many nodes were there lately, this one included.
func (f *Feed) Nodes() int {
	trusted := f.Trusted()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 1
	for node, at := range f.nodes {
		if node != f.node && (time.Since(at) < presence || !trusted) { // who hears nothing remembers
			n++
		}
	}
	return n
}

// Subscribe registers the one cache of a kind of fact.
func (f *Feed) Subscribe(kind string, s Subscriber) { f.kinds[kind] = s }

// Trusted tells whether everything committed until a moment ago has surely been heard.
func (f *Feed) Trusted() bool {
	f.db.CatchUp()
	return int64(time.Since(f.start)) < f.trustedUntil.Load()
}

// Run hears until ctx ends, connecting again whenever it must.
func (f *Feed) Run(ctx context.Context) {
	for pause := 50 * time.Millisecond; ctx.Err() == nil; {
		err := f.db.Listen(ctx, sqldb.Listener{
			Messages: f.follow,
			Reset: func() {
				f.epoch.Store(new(string))
				f.flush()
			},
			Hello: f.hello(),
			Alive: Message(kindNode, Key{ID: f.node}),
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

// follow hears what comes by the database.
func (f *Feed) follow(messages []string) {
	for _, m := range messages {
		if joined, ok := strings.CutPrefix(m, kindEpoch+"||"); ok {
			f.epoch.Store(&joined)
		}
		if node, ok := strings.CutPrefix(m, kindNode+"||"); ok {
			f.mu.Lock()
			f.nodes[node] = time.Now()
			for n, at := range f.nodes {
				if time.Since(at) >= presence {
					delete(f.nodes, n)
				}
			}
			f.mu.Unlock()
		}
	}
	f.Heard(messages)
	if slices.Contains(messages, sqldb.Everything) {
		// what was read before it is not to be shared any more; all hear it in the same place
		joined := f.Epoch() + "*"
		f.epoch.Store(&joined)
	}
}

// Pushed drops what is told by a quicker way, which tells nothing that the database does not tell a moment later.
// Whatever does not name one fact is left to that, so that nobody who can write there makes nodes forget everything
// with one word.
func (f *Feed) Pushed(messages []string) {
	f.Heard(slices.DeleteFunc(messages, func(m string) bool { return strings.Count(m, "|") != 2 }))
}

// Heard drops what announcements name.
func (f *Feed) Heard(messages []string) {
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
