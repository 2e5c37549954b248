package sqldb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/itsm-automation/gatehouse/internal/core/urgent"
)

// A pooler in transaction mode gives each transaction whichever connection is free. So nothing of ours may outlast a
// transaction on that way: the role and the organization do not (asRole), and no statement is prepared by name. What
// cannot do without a session of its own, LISTEN and the locks of migrations, goes by a direct connection.

// errPooler refuses to work through a pooler that nobody told of: LISTEN would seem to succeed and hear nothing.
var errPooler = errors.New("a connection pooler in transaction mode stands before PostgreSQL")

// IsPooler tells whether that is why a database was not opened.
func IsPooler(err error) bool { return errors.Is(err, errPooler) }

// checkDirect is asked about a new connection that must be a session of its own.
func (p *postgres) checkDirect(ctx context.Context, conn *pgx.Conn) error {
	shared, err := isShared(ctx, conn)
	switch {
	case err != nil:
		return err
	case shared && p.pooled:
		return fmt.Errorf("%w at database_listen too, so that no announcement would arrive: give the address of "+
			"PostgreSQL itself there", errPooler)
	case shared:
		return fmt.Errorf("%w, so that no announcement would arrive: set database_listen "+
			"(GATEHOUSE_DATABASE_LISTEN) to the address of the same database at PostgreSQL itself", errPooler)
	}
	return p.line.check(ctx, conn)
}

// isShared tells whether statements of one connection run on whichever connection of a pooler is free. Who talks to
// PostgreSQL itself is told the number of the process that serves them, as the key to cancel by; a pooler makes up keys
// of its own. Then it is tried whether what another announces is heard.
func isShared(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var process uint32
	err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&process) // never prepared
	if err != nil || process == conn.PgConn().PID() {
		return false, err
	}
	same := conn.Config()
	same.OnNotification = nil // else what the other hears would count as heard by this one
	other, err := pgx.ConnectConfig(ctx, same)
	if err != nil { // if there is no room for another, silence will tell later (errDeaf)
		return false, nil
	}
	defer hangUp(other)
	channel, err := listen(ctx, conn)
	if Code(err) == readOnly { // a standby, which is looked at next
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := other.PgConn().Exec(ctx, "NOTIFY "+channel).ReadAll(); err != nil {
		return false, err
	}
	if err := hear(ctx, conn, channel, soon); errors.Is(err, errUnheard) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	_, err = conn.PgConn().Exec(ctx, "UNLISTEN "+channel).ReadAll()
	return false, err
}

// listen makes a connection listen to a channel of its own.
func listen(ctx context.Context, conn *pgx.Conn) (channel string, err error) {
	channel = "gatehouse_proof_" + strings.ToLower(rand.Text())
	_, err = conn.PgConn().Exec(ctx, "LISTEN "+channel).ReadAll()
	return channel, err
}

// errUnheard says that nothing arrived in time.
var errUnheard = errors.New("an announcement did not arrive")

// soon is when an announcement that was made by way of the same pooler has long arrived.
const soon = time.Second

// hear waits for an announcement that was made.
func hear(ctx context.Context, conn *pgx.Conn, channel string, patience time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(waiting)
		switch {
		case err != nil && waiting.Err() != nil && ctx.Err() == nil:
			return errUnheard
		case err != nil:
			return err
		case n.Channel == channel:
			return nil
		}
	}
}

// CheckListen tells whether what is announced by the one address is heard at the other, Options.Listen: whether both
// lead to the same database, and the latter without a pooler.
func (db *DB) CheckListen(ctx context.Context) error {
	p, ok := db.engine.(*postgres)
	if !ok || !p.pooled {
		return nil
	}
	conn, err := p.connectDirect(ctx)
	if err != nil {
		return fmt.Errorf("database_listen: %w", err)
	}
	defer hangUp(conn)
	channel, err := listen(ctx, conn)
	if err != nil {
		return fmt.Errorf("database_listen: %w", err)
	}
	return p.prove(ctx, conn, channel)
}

// connectDirect makes a connection that is a session of its own.
func (p *postgres) connectDirect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.direct)
	if err != nil {
		return nil, err
	}
	if err := p.checkDirect(ctx, conn); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// prove announces something by way of the pool, for a connection that listens to the channel.
func (p *postgres) prove(ctx context.Context, listening *pgx.Conn, channel string) error {
	sending, err := p.acquire(urgent.With(ctx))
	if err != nil {
		return err
	}
	saying, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, err = sending.Exec(saying, `SELECT pg_notify($1, '')`, channel)
	sending.Release()
	if err != nil {
		return trouble(err)
	}
	if err = hear(ctx, listening, channel, silence); errors.Is(err, errUnheard) {
		return fmt.Errorf("database_listen: what is announced by the address in database does not arrive within %v: "+
			"both must lead to the same database of the same server", time.Duration(silence))
	} else if err != nil {
		return fmt.Errorf("database_listen: %w", err)
	}
	return nil
}

// errMoved says that a pooler leads to another server than before, which nobody has looked at yet.
var errMoved = errors.New("the PostgreSQL server behind the pooler is another than before")

// movedRole is nobody: to become it fails.
const movedRole = "gatehouse_moved"

// asRoleHere is asRole where a pooler may connect to another server at any moment without our seeing it. It fails, and
// the whole batch with it, on a server of another timeline than the one that was looked at: what was revoked may be
// good there, until the check of a new connection has made void what it must.
const asRoleHere = `SELECT set_config('role', CASE ` + timelineNow + ` WHEN $3 THEN $1 ELSE '` + movedRole + `' END,
	true), set_config('app.organization_id', $2, true)`

// queueScope begins a batch: what follows runs as the role, inside the organization.
func (p *postgres) queueScope(b *pgx.Batch, role, org string) {
	if line := p.line.known(); p.pooled && line != "" {
		b.Queue(asRoleHere, role, org, line)
		return
	}
	b.Queue(asRole, role, org)
}

// scopeError looks whether that is why a batch failed. New connections are then asked where they lead.
func (p *postgres) scopeError(err error) error {
	var refused *pgconn.PgError
	if !p.pooled || !errors.As(err, &refused) {
		return err
	}
	moved := errMoved
	switch {
	case refused.Code == "22023" && strings.Contains(refused.Message, movedRole):
	case refused.Code == recovering && p.line.known() != "": // recovery is in progress
		moved = errStandby
	default:
		return err
	}
	p.pool.Reset()
	p.reserve.Reset()
	return moved
}
