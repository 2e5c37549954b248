package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"modernc.org/sqlite"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
)

// lite is SQLite: one connection that writes, with every commit on disk before it is acknowledged, and a few that only
// read.
type lite struct {
	writer, reader *liteConn
	tail           atomic.Pointer[tail] // while something listens
}

func openSQLite(ctx context.Context, path string, o Options) (*lite, error) {
	// for its owner alone; SQLite gives the files beside it the same mode
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	f.Close()
	common := "_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=cache_size(-8192)&_pragma=journal_mode(WAL)"
	file := fileURL(path)
	writer, err := sql.Open("sqlite", file+"?"+common+"&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	writer.SetMaxOpenConns(1)
	if err := patient(ctx, writer.PingContext); err != nil {
		writer.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	reader, err := sql.Open("sqlite", file+"?"+common+"&_pragma=query_only(1)")
	if err != nil {
		writer.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	readers := 4
	if o.MaxConns > 0 {
		readers = o.MaxConns
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return &lite{writer: &liteConn{DB: writer}, reader: &liteConn{DB: reader}}, nil
}

// patient tries while other processes open the same new file: of several that turn on its write-ahead log at once
// SQLite lets one, and does not let the others wait.
func patient(ctx context.Context, open func(ctx context.Context) error) error {
	const busy, tries, pause = 5, 400, 25 * time.Millisecond
	for i := 0; ; i++ {
		err := open(ctx)
		var lite *sqlite.Error
		if err == nil || i == tries || !errors.As(err, &lite) || lite.Code()&0xff != busy {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (l *lite) tenant(id.Organization) Queryer         { return liteQueryer{conn: l.reader} }
func (l *lite) platform() Queryer                      { return liteQueryer{conn: l.reader} }
func (l *lite) ping(ctx context.Context) error         { return l.reader.PingContext(ctx) }
func (l *lite) now(context.Context) (time.Time, error) { return time.Now(), nil } // the same machine's
func (l *lite) begin(ctx context.Context, _ id.Organization) (engineTx, error) {
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, trouble(err)
	}
	return liteTx{liteQueryer{conn: l.writer, tx: tx}}, nil
}

func (l *lite) close() {
	l.reader.Close()
	l.writer.Close()
}

// liteConn is one pool with its prepared statements.
type liteConn struct {
	*sql.DB
	prepared sync.Map
}

func (c *liteConn) statement(ctx context.Context, q string) (*sql.Stmt, error) {
	if s, ok := c.prepared.Load(q); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := c.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	if old, loaded := c.prepared.LoadOrStore(q, s); loaded {
		s.Close()
		s = old.(*sql.Stmt)
	}
	return s, nil
}

// liteQueryer gives sqlc's code, generated for pgx, what it asks for.
type liteQueryer struct {
	conn *liteConn
	tx   *sql.Tx
}

// prepare does so once per pool. Inside a transaction it prepares on the transaction's own connection: the pool has
// only that one, and waiting for another would be for ever.
func (q liteQueryer) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if err := failpoint.Hit(ctx, "statement"); err != nil {
		return nil, err
	}
	if q.tx == nil {
		return q.conn.statement(ctx, text)
	}
	if s, ok := q.conn.prepared.Load(text); ok {
		return q.tx.StmtContext(ctx, s.(*sql.Stmt)), nil
	}
	s, err := q.tx.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	go q.conn.statement(context.WithoutCancel(ctx), text) // ready for the next transaction, once this one has let go
	return s, nil
}

func (q liteQueryer) Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error) {
	s, err := q.prepare(ctx, text)
	if err != nil {
		return pgconn.CommandTag{}, trouble(err)
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return pgconn.CommandTag{}, trouble(err)
	}
	n, err := r.RowsAffected()
	return pgconn.NewCommandTag(fmt.Sprintf("UPDATE %d", n)), err
}

func (q liteQueryer) Query(ctx context.Context, text string, args ...any) (pgx.Rows, error) {
	text, args, _ = shapeOf(text, args)
	s, err := q.prepare(ctx, text)
	if err != nil {
		return nil, trouble(err)
	}
	r, err := s.QueryContext(ctx, args...) // the caller asks liteRows.Err
	if err != nil {
		return nil, trouble(err)
	}
	return &liteRows{r: r}, nil
}

func (q liteQueryer) QueryRow(ctx context.Context, text string, args ...any) pgx.Row {
	text, args, _ = shapeOf(text, args)
	s, err := q.prepare(ctx, text)
	if err != nil {
		return failedRow{trouble(err)}
	}
	return liteRow{s.QueryRowContext(ctx, args...)}
}

type liteRow struct{ r *sql.Row }

func (r liteRow) Scan(dest ...any) error {
	err := r.r.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return pgx.ErrNoRows
	}
	return trouble(err)
}

type liteRows struct{ r *sql.Rows }

func (r *liteRows) Close()                                       { r.r.Close() }
func (r *liteRows) Err() error                                   { return trouble(r.r.Err()) }
func (r *liteRows) Next() bool                                   { return r.r.Next() }
func (r *liteRows) Scan(dest ...any) error                       { return r.r.Scan(dest...) }
func (r *liteRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (r *liteRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (r *liteRows) Values() ([]any, error)                       { return nil, errors.ErrUnsupported }
func (r *liteRows) RawValues() [][]byte                          { return nil }
func (r *liteRows) Conn() *pgx.Conn                              { return nil }
func (r *liteRows) TypeMap() *pgtype.Map                         { return nil }

type liteTx struct{ liteQueryer }

// keepInvalidations is how long an announcement stays for other processes to read; one that slept longer flushes
// everything.
const keepInvalidations = time.Minute

func (t liteTx) announce(ctx context.Context, now time.Time, messages []string) error {
	for _, m := range messages {
		if _, err := t.Exec(ctx, `INSERT INTO invalidations (at, message) VALUES ($1, $2)`, now.UnixMilli(),
			m); err != nil {
			return err
		}
	}
	_, err := t.Exec(ctx, `DELETE FROM invalidations WHERE at < $1`, now.Add(-keepInvalidations).UnixMilli())
	return err
}

func (t liteTx) later() Queryer { return t.liteQueryer }

func (t liteTx) commit(context.Context) error { return trouble(t.tx.Commit()) }
func (t liteTx) rollback(context.Context)     { t.tx.Rollback() }
