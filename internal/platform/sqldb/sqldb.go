package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
)

// Engine names the database behind a DB.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Queryer runs statements; it is what sqlc's generated code asks for.
type Queryer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// ErrNoRows is what a one-row query returns when there is none, on both engines.
var ErrNoRows = pgx.ErrNoRows

// Options tune the pools. The zero value is right for a server.
type Options struct {
	MaxConns int // PostgreSQL: connections of the pool, default 16; SQLite: readers, default 4

	// Listen is the address of the same PostgreSQL database without the pooler that the other address leads to, for
	// LISTEN and what else needs a session of its own. Empty: there is no pooler.
	Listen string

	// KeepAfterFailover leaves tokens good when PostgreSQL was failed over or restored: for synchronous replication,
	// where nothing is lost.
	KeepAfterFailover bool
	// OnFailover is done where they are not left good.
	OnFailover []OnFailover
}

type engine interface {
	tenant(org id.Organization) Queryer
	platform() Queryer
	begin(ctx context.Context, org id.Organization) (engineTx, error) // empty: platform
	ping(ctx context.Context) error
	now(ctx context.Context) (time.Time, error)
	close()
}

type engineTx interface {
	Queryer
	later() Queryer
	announce(ctx context.Context, now time.Time, messages []string) error
	commit(ctx context.Context) error
	rollback(ctx context.Context)
}

// DB is an open database.
type DB struct {
	engine   engine
	kind     Engine
	file     string // of SQLite
	onCommit func(messages []string)
	refused  atomic.Int64 // transactions that failed because the database took no writes
}

// Open connects to `postgres://…` or opens the SQLite file behind `sqlite:`. It migrates nothing.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if err := CheckAddress(url); err != nil {
		return nil, fmt.Errorf("the database address %w", err)
	}
	if IsPostgres(url) {
		db := &DB{kind: Postgres}
		e, err := openPostgres(ctx, url, o, func() {
			if db.onCommit != nil {
				go db.onCommit([]string{Everything}) // reading anew needs connections, and this one is not ready yet
			}
		})
		if err != nil {
			return nil, err
		}
		db.engine = e
		return db, nil
	}
	path := FilePath(url)
	e, err := openSQLite(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return &DB{engine: e, kind: SQLite, file: path}, nil
}

// Engine tells which database this is.
func (db *DB) Engine() Engine { return db.kind }

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.engine.ping(ctx) }

// Now is the database's clock.
func (db *DB) Now(ctx context.Context) (time.Time, error) { return db.engine.now(ctx) }

// Close releases every connection.
func (db *DB) Close() { db.engine.close() }

// OnCommit sets the one listener that hears, synchronously and before the committing call returns, what this process
// announced.
func (db *DB) OnCommit(listen func(messages []string)) { db.onCommit = listen }

// Tenant is for one read of an organization's rows.
func (db *DB) Tenant(org id.Organization) Queryer { return db.engine.tenant(org) }

// Statement is for one PostgreSQL statement that decides and writes by itself, in one round trip; it is a transaction
// of its own and announces nothing. On SQLite it only reads.
func (db *DB) Statement(org id.Organization) Queryer { return db.engine.tenant(org) }

// Platform is for one read across organizations. The reason is for the reader; a test holds the list of callers.
func (db *DB) Platform(reason string) Queryer { return db.engine.platform() }

// Later runs statements whose result nobody needs. On PostgreSQL they travel with the next statement or with the
// commit, instead of one round trip each; their failure shows there and breaks the transaction. Only Exec may be used.
func (tx *Tx) Later() Queryer { return tx.engine.later() }

// Tx is a transaction. Inside it use nothing but it: no other handle, no network, no hash, no signature.
type Tx struct {
	Queryer
	engine   engineTx
	messages []string
}

// Everything is the announcement that drops whatever is cached.
const Everything = "*"

// Announce makes every node drop what it has cached under the message, at the moment of the commit.
func (tx *Tx) Announce(message string) { tx.messages = append(tx.messages, message) }

// Tx runs fn in one transaction inside the organization and commits if it returns nil.
func (db *DB) Tx(ctx context.Context, org id.Organization, fn func(tx *Tx) error) error {
	if org == "" {
		return errors.New("a tenant transaction needs an organization")
	}
	return db.run(ctx, org, fn)
}

// PlatformTx is Tx across organizations. The reason is for the reader.
func (db *DB) PlatformTx(ctx context.Context, reason string, fn func(tx *Tx) error) error {
	return db.run(ctx, "", fn)
}

// commitTimeout bounds a commit that the caller's own deadline no longer does: a caller who hangs up must not leave it
// unknown.
const commitTimeout = 10 * time.Second

func (db *DB) run(ctx context.Context, org id.Organization, fn func(tx *Tx) error) (err error) {
	defer func() {
		if errors.Is(err, errReadOnly) {
			db.refused.Add(1)
		}
	}()
	etx, err := db.engine.begin(ctx, org)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	done := false
	defer func() {
		if !done { // an error or a panic of fn
			etx.rollback(context.WithoutCancel(ctx))
		}
	}()
	tx := &Tx{Queryer: etx, engine: etx}
	if err := fn(tx); err != nil {
		return err
	}
	if len(tx.messages) > 0 {
		if err := etx.announce(ctx, time.Now(), tx.messages); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err = failpoint.Hit(ctx, "tx.before_commit"); err != nil {
		return trouble(err)
	}
	err = etx.commit(commitCtx)
	done = true
	err = errors.Join(err, trouble(failpoint.Hit(ctx, "tx.committed")))
	if len(tx.messages) > 0 { // the moment between a commit and telling anybody by a quicker way
		err = errors.Join(err, failpoint.Hit(ctx, "tx.announced"))
	}
	if db.onCommit != nil && len(tx.messages) > 0 {
		db.onCommit(tx.messages) // after a failed commit too: it may have happened
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// IsUnique tells whether err is a violated primary key or unique index, on either engine.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code() == 1555 || lite.Code() == 2067)
}

// IsForeignKey tells whether err is a reference to a row that does not exist, on either engine.
func IsForeignKey(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23503"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == 787
}

// Code is the SQLSTATE that PostgreSQL refused a connection or a statement with; empty: it is not PostgreSQL that did.
func Code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// IsForbidden tells whether a login that may connect lacks the right to what it asked for. SQLite has no rights.
func IsForbidden(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	return errors.As(err, &pg) && pg.Code == "42501" && !errors.As(err, &connect)
}

// Millis is a moment in Unix milliseconds, as the database keeps it; 0 is none.
type Millis int64

// MillisOf converts a time; the zero time becomes 0.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time converts back, in UTC; 0 becomes the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}
