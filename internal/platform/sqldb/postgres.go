package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/urgent"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
)

// Channel is the NOTIFY channel of announcements.
const Channel = "gatehouse"

// maxNotifyBytes stays under PostgreSQL's limit of 8000 bytes a payload.
const maxNotifyBytes = 7000

// asRole is the first statement of every batch: it holds for the batch's implicit transaction and is gone after it.
const asRole = `SELECT set_config('role', $1, true), set_config('app.organization_id', $2, true)`

type postgres struct {
	pool    *pgxpool.Pool
	reserve *pgxpool.Pool // for what must get through when the pool is exhausted
	line    *timeline

	direct *pgx.ConnConfig // for what needs a session of its own: LISTEN, and the locks of migrations
	pooled bool            // statements go by way of a pooler, and direct does not
}

// connectTimeout bounds what a dead address may cost a request; a longer wait is not better than an answer.
const connectTimeout = 3 * time.Second

func openPostgres(ctx context.Context, url string, o Options, broken func()) (*postgres, error) {
	cfg, err := parsePostgres(url)
	if err != nil {
		return nil, err
	}
	if cfg.MaxConns = 16; o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns)
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	p := &postgres{direct: cfg.ConnConfig.Copy()}
	if o.Listen != "" {
		listen, err := parsePostgres(o.Listen)
		if err != nil {
			return nil, fmt.Errorf("database_listen %w", err)
		}
		p.direct, p.pooled = listen.ConnConfig, true
		if !strings.Contains(url, "default_query_exec_mode=") {
			// A statement that was prepared by name is in one of the pooler's connections; the next goes by another.
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
		if p.direct.ConnectTimeout == 0 {
			p.direct.ConnectTimeout = connectTimeout
		}
	}
	var opened, kept atomic.Pointer[pgxpool.Pool]
	p.line = &timeline{keep: o.KeepAfterFailover, do: o.OnFailover, broken: func() {
		if pool := opened.Load(); pool != nil {
			go func() {
				pool.Reset()
				if aside := kept.Load(); aside != nil {
					aside.Reset()
				}
			}() // connections to the former primary; not from within the making of one
		}
		broken()
	}}
	var alone atomic.Bool // nothing stands before PostgreSQL; the first connection tells, and later ones are like it
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if p.pooled || alone.Load() {
			return p.line.check(ctx, conn)
		}
		err := p.checkDirect(ctx, conn)
		alone.Store(err == nil)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	opened.Store(pool)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	aside := cfg.Copy()
	aside.MaxConns, aside.MinConns = reserved, 0
	reserve, err := pgxpool.NewWithConfig(ctx, aside) // connects when it is needed
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	kept.Store(reserve)
	p.pool, p.reserve = pool, reserve
	return p, nil
}

// reserved is how many connections are kept for urgent work.
const reserved = 2

func (p *postgres) tenant(org id.Organization) Queryer { return scoped{p, roleApp, string(org)} }
func (p *postgres) platform() Queryer                  { return scoped{p, rolePlatform, ""} }
func (p *postgres) ping(ctx context.Context) error     { return p.pool.Ping(ctx) }
func (p *postgres) now(ctx context.Context) (t time.Time, err error) {
	err = p.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&t)
	return t, err
}
func (p *postgres) close() { p.pool.Close(); p.reserve.Close() }

// scoped sends the role, the organization and one statement in a single round trip.
type scoped struct {
	from *postgres
	role string
	org  string
}

// planned lets PostgreSQL plan the next statement for its values. One plan for all cannot know which of two conditions
// fewer rows meet.
const planned = `SELECT set_config('plan_cache_mode', 'force_custom_plan', true)`

// send sends a statement that holds so many optional conditions.
func (s scoped) send(ctx context.Context, conditions int, sql string, args []any) (pgx.BatchResults, error) {
	if err := failpoint.Hit(ctx, "statement"); err != nil {
		return nil, trouble(err)
	}
	conn, err := s.from.acquire(ctx)
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	s.from.queueScope(b, s.role, s.org)
	if conditions > 1 {
		b.Queue(planned)
	}
	before := b.Len()
	b.Queue(sql, args...)
	ctx, cancel := within(ctx)
	br := bounded{conn.SendBatch(ctx, b), func() { cancel(); conn.Release() }}
	for range before {
		if _, err := br.Exec(); err != nil {
			br.Close()
			return nil, trouble(s.from.scopeError(err))
		}
	}
	return br, nil
}

// The bounds of waiting: for a free connection, and for an answer. Whoever waits longer is told to come back.
const (
	acquireTimeout   = time.Second
	statementTimeout = 10 * time.Second
)

type patientKey struct{}

// patiently lets the statements of a context take as long as they need: for maintenance, not for requests.
func patiently(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, true)
}

func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Value(patientKey{}) != nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, statementTimeout)
}

// errNoConnection is told when the pool is exhausted or the server does not take connections.
var errNoConnection = errors.New("no connection to the database is free")

// urgentAfter is how long urgent work waits with everyone else.
const urgentAfter = 100 * time.Millisecond

func (p *postgres) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if urgent.Is(ctx) {
		waiting, cancel := context.WithTimeout(ctx, urgentAfter)
		conn, err := p.pool.Acquire(waiting)
		cancel()
		if err == nil {
			return conn, nil
		}
		return take(ctx, p.reserve)
	}
	return take(ctx, p.pool)
}

func take(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err := pool.Acquire(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = errors.Join(errNoConnection, err)
	}
	return conn, trouble(err)
}

// bounded are the results of a batch that has until a deadline; done lets go of what it held.
type bounded struct {
	pgx.BatchResults
	done func()
}

func (b bounded) Close() error {
	defer b.done()
	return b.BatchResults.Close()
}

func (s scoped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	br, err := s.send(ctx, 0, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return execBatch(br)
}

func (s scoped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	sql, args, n := shapeOf(sql, args)
	br, err := s.send(ctx, n, sql, args)
	if err != nil {
		return nil, err
	}
	return queryBatch(br)
}

func (s scoped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	sql, args, n := shapeOf(sql, args)
	br, err := s.send(ctx, n, sql, args)
	if err != nil {
		return failedRow{err}
	}
	return batchRow{br}
}

// execBatch and queryBatch read the last result of a batch.
func execBatch(br pgx.BatchResults) (pgconn.CommandTag, error) {
	tag, err := br.Exec()
	if e := br.Close(); err == nil {
		err = e
	}
	return tag, trouble(err)
}

func queryBatch(br pgx.BatchResults) (pgx.Rows, error) {
	rows, err := br.Query()
	if err != nil {
		br.Close()
		return nil, trouble(err)
	}
	return &batchRows{Rows: rows, br: br}, nil
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

type batchRow struct{ br pgx.BatchResults }

func (r batchRow) Scan(dest ...any) error {
	err := r.br.QueryRow().Scan(dest...)
	if e := r.br.Close(); err == nil {
		err = e // a failure at commit shows only here
	}
	return trouble(err)
}

type batchRows struct {
	pgx.Rows // embedded, so that methods the interface gains do not break this
	br       pgx.BatchResults
	err      error
}

func (r *batchRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *batchRows) Close() {
	if r.br != nil {
		r.Rows.Close()
		r.err = r.br.Close()
		r.br = nil
	}
}

func (r *batchRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return trouble(err)
	}
	return trouble(r.err)
}

func (p *postgres) begin(_ context.Context, org id.Organization) (engineTx, error) {
	if org == "" {
		return &postgresTx{from: p, role: rolePlatform}, nil
	}
	return &postgresTx{from: p, role: roleApp, org: string(org)}, nil
}

// postgresTx begins with its first statement: BEGIN, the role and organization, and the statement travel in one round
// trip.
type postgresTx struct {
	from   *postgres
	role   string
	org    string
	conn   *pgxpool.Conn // nil until the first statement
	queued []statement   // to go with the next round trip
	failed error         // of an earlier statement: nothing runs after it
}

type statement struct {
	sql  string
	args []any
}

// send runs what is queued and then a statement; the caller reads the statement's result from what comes back and
// closes it.
func (t *postgresTx) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	if err := failpoint.Hit(ctx, "statement"); err != nil {
		t.failed = trouble(err)
		return nil, t.failed
	}
	b := &pgx.Batch{}
	if t.conn == nil {
		conn, err := t.from.acquire(ctx)
		if err != nil {
			return nil, err
		}
		t.conn = conn
		b.Queue("begin")
		t.from.queueScope(b, t.role, t.org)
	}
	for _, q := range t.queued {
		b.Queue(q.sql, q.args...)
	}
	t.queued = nil
	before := b.Len()
	b.Queue(sql, args...)
	ctx, cancel := within(ctx)
	br := bounded{t.conn.SendBatch(ctx, b), cancel}
	for range before {
		if _, err := br.Exec(); err != nil {
			br.Close()
			t.failed = trouble(t.from.scopeError(err)) // it may not even have begun
			return nil, t.failed
		}
	}
	return br, nil
}

func (t *postgresTx) later() Queryer { return laterQueryer{t} }

// laterQueryer queues statements whose result nobody needs.
type laterQueryer struct{ tx *postgresTx }

func (l laterQueryer) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	l.tx.queued = append(l.tx.queued, statement{sql, args})
	return pgconn.CommandTag{}, nil
}

var errLater = errors.New("a statement with a result cannot run later")

func (l laterQueryer) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errLater }
func (l laterQueryer) QueryRow(context.Context, string, ...any) pgx.Row        { return failedRow{errLater} }

func (t *postgresTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	br, err := t.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return execBatch(br)
}

func (t *postgresTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	sql, args, _ = shapeOf(sql, args)
	br, err := t.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return queryBatch(br)
}

func (t *postgresTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	sql, args, _ = shapeOf(sql, args)
	br, err := t.send(ctx, sql, args)
	if err != nil {
		return failedRow{err}
	}
	return batchRow{br}
}

func (t *postgresTx) announce(_ context.Context, _ time.Time, messages []string) error {
	for start := 0; start < len(messages); {
		end, size := start, 0
		for end < len(messages) && (end == start || size+len(messages[end])+1 <= maxNotifyBytes) {
			size += len(messages[end]) + 1
			end++
		}
		t.queued = append(t.queued, statement{`SELECT pg_notify($1, $2)`,
			[]any{Channel, strings.Join(messages[start:end], "\n")}})
		start = end
	}
	return nil
}

// commit fails if the transaction was broken by a statement whose error went unnoticed: PostgreSQL then answers
// ROLLBACK.
func (t *postgresTx) commit(ctx context.Context) error {
	if t.conn == nil && len(t.queued) == 0 {
		return nil
	}
	br, err := t.send(ctx, "commit", nil)
	if err != nil {
		t.rollback(ctx) // something that was queued failed: the transaction is broken and open
		return err
	}
	defer t.release()
	tag, err := execBatch(br)
	if err == nil && tag.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback
	}
	return err
}

// rollbackTimeout bounds how long a broken connection is waited for; released within a transaction, it is closed.
const rollbackTimeout = 5 * time.Second

func (t *postgresTx) rollback(ctx context.Context) {
	if t.conn == nil {
		return
	}
	defer t.release()
	ctx, cancel := context.WithTimeout(ctx, rollbackTimeout)
	defer cancel()
	if failpoint.Hit(ctx, "tx.rollback") == nil {
		_, _ = t.conn.Exec(ctx, "rollback")
	}
}

func (t *postgresTx) release() {
	t.conn.Release()
	t.conn = nil
}
