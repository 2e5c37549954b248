// Package ratelimit counts requests against a limit a minute, over all nodes. A node counts in memory and tells the database each time it
// has used a share of the limit (a twentieth); the answer is what all nodes have told. One node alone is exact. With several, each may be
// one share ahead of what the others know, so at most (nodes - 1) / 20 of the limit are let through beyond it; a limit under twenty is told
// with every request and is exact. When the database does not answer, a node goes on by its own count: never without a limit.
package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gatehouse/internal/core/id"
	"gatehouse/internal/platform/invalidation"
	"gatehouse/internal/platform/sqldb"
)

// shares is into how many parts a limit is divided for telling the other nodes.
const shares = 20

// reportTimeout bounds how long a request waits for the count of all nodes.
const reportTimeout = 500 * time.Millisecond

// Limiter counts for one server.
type Limiter struct {
	db     *sqldb.DB
	log    *slog.Logger
	shards [64]shard
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

// New makes a limiter.
func New(db *sqldb.DB, log *slog.Logger) *Limiter {
	l := &Limiter{db: db, log: log}
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
	share := max(1, int64(limit)/shares)
	if c.told+c.untold < int64(limit) {
		c.untold++
		d.Allowed = true
		if c.untold >= share {
			before := c.told + c.untold
			told, err := l.tell(ctx, k, minute, c.untold)
			switch {
			case err != nil:
				l.log.WarnContext(ctx, "a rate limit is counted on this node alone", "error", err)
			case told < before: // never: what was told is not taken back
			case share == 1 && told > int64(limit): // exact: another node was quicker
				d.Allowed = false
				c.told, c.untold = told, 0
			default:
				c.told, c.untold = told, 0
			}
		}
	}
	d.Remaining = int(max(0, int64(limit)-c.told-c.untold))
	return d
}

const tellSQL = `INSERT INTO rate_counts (organization_id, id, minute, used) VALUES ($1, $2, $3, $4)
	ON CONFLICT (organization_id, id, minute) DO UPDATE SET used = rate_counts.used + excluded.used RETURNING used`

// tell adds to the count of all nodes and gives it.
func (l *Limiter) tell(ctx context.Context, k invalidation.Key, minute, n int64) (used int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	if l.db.Engine() == sqldb.Postgres {
		err = l.db.Statement(k.Organization).QueryRow(ctx, tellSQL, k.Organization, k.ID, minute, n).Scan(&used)
	} else {
		err = l.db.Tx(ctx, k.Organization, func(tx *sqldb.Tx) error {
			return tx.QueryRow(ctx, tellSQL, k.Organization, k.ID, minute, n).Scan(&used)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("ratelimit: %w", err)
	}
	return used, nil
}

// Forget lets go of counters of minutes that are over, here and in the database.
func (l *Limiter) Forget(ctx context.Context, now time.Time) error {
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
	return l.db.PlatformTx(ctx, "forget the rate counts of past minutes", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM rate_counts WHERE minute < $1`, minute-1)
		return err
	})
}

// Key names what is limited.
func Key(org id.Organization, what string) invalidation.Key {
	return invalidation.Key{Organization: org, ID: what}
}
