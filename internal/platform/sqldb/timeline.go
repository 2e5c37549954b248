package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// timeline notices that PostgreSQL was failed over or restored. Its timeline then has another number, and commits may
// be missing that clients were told of: rotations and revocations that never were. So the first connection that sees
// another number than the database remembers makes every token and link void that was issued before, in the database,
// for all nodes. It refuses servers that cannot be written to, and one that comes back from an older timeline.
type timeline struct {
	keep   bool
	do     []OnFailover
	broken func() // called when the number changed: whatever is connected or remembered may be of the former primary

	highest atomic.Pointer[string]
}

// timelineNow is the number of a server's timeline, in SQL. A standby has none.
const timelineNow = `substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`

// Failover is a change of PostgreSQL's timeline, as this node saw it.
type Failover struct {
	At       time.Time
	From, To string
}

// Execer runs a statement.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// OnFailover is what the owner of a table does, in the transaction that makes tokens void.
type OnFailover func(ctx context.Context, tx Execer, f Failover) error

// known is the highest timeline that this process has seen; empty: none was told.
func (l *timeline) known() string {
	if t := l.highest.Load(); t != nil {
		return *t
	}
	return ""
}

// recovering is what a standby says when it is asked for its timeline.
const recovering = "55000"

// errStandby keeps a node off a server that only reads: what it says may be old.
var errStandby = errors.New("the PostgreSQL server is a standby")

// check is asked about each new connection. Nobody waits for anybody else's check.
func (l *timeline) check(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var now string
	err := conn.QueryRow(ctx, `SELECT `+timelineNow, pgx.QueryExecModeExec).Scan(&now) // asked once, never prepared
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case recovering:
			return errStandby
		case "0A000", "42501", "42883":
			return nil // a service that does not tell: doctor says what to do by hand
		}
	}
	if err != nil {
		return err
	}
	before := l.known()
	if now < before {
		return fmt.Errorf("the PostgreSQL server is on timeline %s, and %s was seen before: a former primary "+
			"came back", now, before)
	}
	voided, err := l.record(ctx, conn, now)
	if err != nil {
		return err
	}
	for {
		seen := l.highest.Load()
		if seen != nil && *seen >= now || l.highest.CompareAndSwap(seen, &now) {
			break
		}
	}
	if voided || (before != "" && before != now) {
		l.broken()
	}
	return nil
}

// record notes the timeline and, if it is another than the database remembers, makes tokens and links void.
func (l *timeline) record(ctx context.Context, conn *pgx.Conn, now string) (voided bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // after a commit there is nothing left to do
	var there bool
	var here string
	err = tx.QueryRow(ctx, `SELECT to_regclass('installation') IS NOT NULL, `+timelineNow).Scan(&there, &here)
	if Code(err) == recovering {
		return false, errStandby
	}
	if err != nil {
		return false, err
	}
	if here != now { // a pooler may have asked one server and begun the transaction on another
		return false, errMoved
	}
	if !there {
		return false, nil // before the first migration there is nothing to void
	}
	if _, err := tx.Exec(ctx, asRole, rolePlatform, ""); err != nil {
		return false, err
	}
	var before string
	if err := tx.QueryRow(ctx, `SELECT timeline FROM installation`).Scan(&before); err != nil || before == now {
		return false, err
	}
	if err := tx.QueryRow(ctx, `SELECT timeline FROM installation FOR UPDATE`).Scan(&before); err != nil ||
		before == now {
		return false, err // another was quicker
	}
	if voided = before != "" && !l.keep; voided {
		f := Failover{At: time.Now(), From: before, To: now}
		if _, err := tx.Exec(ctx, `UPDATE installation SET not_before = GREATEST(not_before, $1),
			reason = 'the database was failed over or restored'`, f.At.UnixMilli()); err != nil {
			return false, err
		}
		for _, do := range l.do {
			if err := do(ctx, tx, f); err != nil {
				return false, err
			}
		}
		if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, Channel, Everything); err != nil {
			return false, err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE installation SET timeline = $1`, now); err != nil {
		return false, err
	}
	return voided, tx.Commit(ctx)
}
