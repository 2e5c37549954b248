package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// timeline notices that PostgreSQL was failed over or restored. Its timeline then has another number, and commits may be missing that clients were
// told of: rotations and revocations that never were. So the first connection that sees the new number makes every token void that was issued
// before, in the database, for all nodes. It refuses servers that cannot be written to, and one that comes back from an older timeline.
type timeline struct {
	keep   bool
	broken func()

	mu    sync.Mutex
	known string
}

// errStandby keeps a node off a server that only reads: what it says may be old.
var errStandby = errors.New("sqldb: the PostgreSQL server is a standby")

// check is asked about each new connection.
func (l *timeline) check(ctx context.Context, conn *pgx.Conn) error {
	var now string
	err := conn.QueryRow(ctx, `SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`).Scan(&now)
	var refused *pgconn.PgError
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Code == "55000":
		return errStandby
	case errors.As(err, &refused):
		return nil // a service that does not tell: doctor says what to do by hand
	default:
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now == l.known {
		return nil
	}
	if now < l.known {
		return fmt.Errorf("sqldb: the PostgreSQL server is on timeline %s, and %s was seen before: a former primary came back", now, l.known)
	}
	if err := l.record(ctx, conn, now); err != nil {
		return err
	}
	return nil
}

// record notes the timeline and, if it is another than the database knows, makes tokens void.
func (l *timeline) record(ctx context.Context, conn *pgx.Conn, now string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit there is nothing left to do
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('installation') IS NOT NULL`).Scan(&there); err != nil || !there {
		return err // before the first migration there is nothing to void
	}
	var before string
	if _, err := tx.Exec(ctx, asPlatform, ""); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, `SELECT timeline FROM installation FOR UPDATE`).Scan(&before); err != nil {
		return err
	}
	changed := before != "" && before != now && !l.keep
	if before != now {
		if _, err := tx.Exec(ctx, `UPDATE installation SET timeline = $1`, now); err != nil {
			return err
		}
	}
	if changed {
		if _, err := tx.Exec(ctx, `UPDATE installation SET not_before = $1, reason = $2`, time.Now().UnixMilli(), "timeline "+before+" became "+now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, Channel, Everything); err != nil {
			return err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	l.known = now
	if changed {
		l.broken()
	}
	return nil
}
