// Package ratelimit counts requests against a limit a minute, over all nodes. A node counts in memory and tells the
// others each time it has used a share of the limit (a twentieth), through Redis or, where there is none or it fails,
// through the database; the answer is what all nodes have told. One node alone is exact. With several, each may be one
// share ahead of what the others know, so at most (nodes - 1) / 20 of the limit are let through beyond it; a limit
// under twenty is told with every request and is exact. What a node knows it says each time it tells, so a counter that
// was lost in the middle of a minute is lifted again; what a node had not yet heard of the others is forgotten with it,
// so that up to as much as the limit may be let through once more in that minute. When nobody answers, a node goes on
// with its part of what is left, one of as many as there were nodes: never without a limit.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// shares is into how many parts a limit is divided for telling the other nodes.
const shares = 20

const (
	// reportTimeout bounds how long a request waits for the count of all nodes.
	reportTimeout = 500 * time.Millisecond
	// aloneFor is how long a node counts alone before it tries to tell again.
	aloneFor = time.Second
)

// Counter adds n uses of a key in a minute to a count of all nodes, of which at least known are used, and gives the
// sum.
type Counter interface {
	Add(ctx context.Context, k invalidation.Key, minute, n, known int64) (used int64, err error)
}

// Limiter counts for one server.
type Limiter struct {
	db     *sqldb.DB
	log    *slog.Logger
	quick  Counter // Redis; nil: none
	nodes  func() int
	shards [64]shard

	aloneUntil atomic.Int64 // Unix nanoseconds
}

type shard struct {
	mu       sync.Mutex
	counters map[invalidation.Key]*counter
}

// counter is the use of one key in one minute.
type counter struct {
	mu     sync.Mutex
	minute int64
	told   int64 // what all nodes had told when this one last asked, its own included
	untold int64 // what this node used since
}

// Decision is the outcome of one request.
type Decision struct {
	Allowed   bool
	Limit     int
	Remaining int           // as far as this node knows
	Reset     time.Duration // until the minute is over
}

// New makes a limiter. quick, if any, is asked before the database; nodes tells how many nodes there are.
func New(db *sqldb.DB, quick Counter, nodes func() int, log *slog.Logger) *Limiter {
	l := &Limiter{db: db, log: log, quick: quick, nodes: nodes}
	for i := range l.shards {
		l.shards[i].counters = make(map[invalidation.Key]*counter)
	}
	return l
}

func (l *Limiter) counter(k invalidation.Key) *counter {
	h := uint32(2166136261)
	for i := range len(k.ID) { // FNV-1a
		h = (h ^ uint32(k.ID[i])) * 16777619
	}
	s := &l.shards[h%uint32(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[k]
	if c == nil {
		c = &counter{}
		s.counters[k] = c
	}
	return c
}

// Take counts one request of a key against its limit a minute.
func (l *Limiter) Take(ctx context.Context, k invalidation.Key, limit int, now time.Time) Decision {
	minute := now.Unix() / 60
	d := Decision{Limit: limit, Reset: time.Unix((minute+1)*60, 0).Sub(now)}
	c := l.counter(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.minute != minute {
		c.minute, c.told, c.untold = minute, 0, 0
	}
	d.Allowed = l.use(ctx, c, k, int64(limit))
	d.Remaining = int(max(0, int64(limit)-c.told-c.untold))
	return d
}

// use takes one of what is left for this node, and tells the others when a share is used. The counter is locked.
func (l *Limiter) use(ctx context.Context, c *counter, k invalidation.Key, limit int64) bool {
	left, share := limit-c.told, max(1, limit/shares)
	if c.untold >= left {
		return false
	}
	if c.untold+1 < share {
		c.untold++
		return true
	}
	used, err := l.tell(ctx, k, c.minute, c.untold+1, c.told)
	if err != nil { // the others may be using theirs
		if c.untold >= max(1, left/int64(max(1, l.nodes()))) {
			return false
		}
		c.untold++
		return true
	}
	c.told, c.untold = max(used, c.told+c.untold+1), 0 // whoever counts, it is not less than what is known here
	// told with every request it is exact: another node may have been quicker
	return share > 1 || c.told <= limit
}

// Spent tells whether a key's limit is used up, as far as this node knows, without using it, and how long that lasts.
func (l *Limiter) Spent(k invalidation.Key, limit int, now time.Time) (left time.Duration, spent bool) {
	minute := now.Unix() / 60
	c := l.counter(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix((minute+1)*60, 0).Sub(now), c.minute == minute && c.told+c.untold >= int64(limit)
}

var errAlone = errors.New("nobody answered a moment ago")

// tell adds to the count of all nodes and gives it.
func (l *Limiter) tell(ctx context.Context, k invalidation.Key, minute, n, known int64) (used int64, err error) {
	if l.quick != nil {
		if used, err := l.quick.Add(ctx, k, minute, n, known); err == nil {
			return used, nil
		}
	}
	if time.Now().UnixNano() < l.aloneUntil.Load() {
		return 0, errAlone
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	if l.db.Engine() == sqldb.Postgres {
		err = l.db.Statement(k.Organization).QueryRow(ctx, tellSQL, k.Organization, k.ID, minute, n, known).Scan(&used)
	} else {
		err = l.db.Tx(ctx, k.Organization, func(tx *sqldb.Tx) error {
			return tx.QueryRow(ctx, tellSQL, k.Organization, k.ID, minute, n, known).Scan(&used)
		})
	}
	if err != nil {
		l.aloneUntil.Store(time.Now().Add(aloneFor).UnixNano())
		l.log.WarnContext(ctx, "limits are counted on this node alone", "error", err)
		return 0, fmt.Errorf("count requests: %w", err)
	}
	return used, nil
}

const tellSQL = `INSERT INTO rate_counts (organization_id, id, minute, used) VALUES ($1, $2, $3, CAST($4 AS BIGINT) + CAST($5 AS BIGINT))
	ON CONFLICT (organization_id, id, minute) DO UPDATE SET
	used = CASE WHEN rate_counts.used < CAST($5 AS BIGINT) THEN CAST($5 AS BIGINT) ELSE rate_counts.used END + CAST($4 AS BIGINT) RETURNING used`

// Forget lets go of this node's counters of minutes that are over.
func (l *Limiter) Forget(now time.Time) {
	minute := now.Unix() / 60
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for k, c := range s.counters {
			if c.mu.TryLock() {
				if c.minute < minute {
					delete(s.counters, k)
				}
				c.mu.Unlock()
			}
		}
		s.mu.Unlock()
	}
}

// Purge removes counts of minutes that are over from the database, at most limit of them.
func (l *Limiter) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = l.db.PlatformTx(ctx, "forget the rate counts of past minutes", func(tx *sqldb.Tx) error {
		tag,
			err := tx.Exec(ctx,
			`DELETE FROM rate_counts WHERE (organization_id, id, minute) IN (SELECT organization_id, id, minute FROM rate_counts WHERE minute < $1 LIMIT $2)`, now.Unix()/60-1, limit)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// Key names what is limited.
func Key(org id.Organization, what string) invalidation.Key {
	return invalidation.Key{Organization: org, ID: what}
}
