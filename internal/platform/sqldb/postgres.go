package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/internal/core/id"
)

// Channel is the NOTIFY channel of announcements.
const Channel = "gatehouse"

// maxNotifyBytes stays under PostgreSQL's limit of 8000 bytes a payload.
const maxNotifyBytes = 7000

// The first statement of every batch: it holds for the batch's implicit transaction and is gone after it.
const (
	asTenant   = `SELECT set_config('role', 'gatehouse_app', true), set_config('app.organization_id', $1, true)`
	asPlatform = `SELECT set_config('role', 'gatehouse_platform', true), set_config('app.organization_id', $1, true)`
)

type postgres struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, url string, o Options) (*postgres, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("sqldb: the postgres:// address cannot be read") // pgx's own error quotes the address
	}
	if cfg.MaxConns = 16; o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("sqldb: open pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("sqldb: connect: %w", err)
	}
	return &postgres{pool}, nil
}

func (p *postgres) tenant(org id.Organization) Queryer { return scoped{p.pool, asTenant, string(org)} }
func (p *postgres) platform() Queryer                  { return scoped{p.pool, asPlatform, ""} }
func (p *postgres) ping(ctx context.Context) error     { return p.pool.Ping(ctx) }
func (p *postgres) close()                             { p.pool.Close() }

// scoped sends the role, the organization and one statement in a single round trip.
type scoped struct {
	pool *pgxpool.Pool
	set  string
	org  string
}

func (s scoped) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	b := &pgx.Batch{}
	b.Queue(s.set, s.org)
	b.Queue(sql, args...)
	br := s.pool.SendBatch(ctx, b)
	if _, err := br.Exec(); err != nil {
		br.Close()
		return nil, err
	}
	return br, nil
}

func (s scoped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	br, err := s.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := br.Exec()
	if e := br.Close(); err == nil {
		err = e
	}
	return tag, err
}

func (s scoped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	br, err := s.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := br.Query()
	if err != nil {
		br.Close()
		return nil, err
	}
	return &batchRows{Rows: rows, br: br}, nil
}

func (s scoped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	br, err := s.send(ctx, sql, args)
	if err != nil {
		return failedRow{err}
	}
	return batchRow{br}
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

type batchRow struct{ br pgx.BatchResults }

func (r batchRow) Scan(dest ...any) error {
	err := r.br.QueryRow().Scan(dest...)
	if e := r.br.Close(); err == nil {
		err = e // a failure at commit shows only here
	}
	return err
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
		return err
	}
	return r.err
}

func (p *postgres) begin(ctx context.Context, org id.Organization) (engineTx, error) {
	role := "gatehouse_platform"
	if org != "" {
		if _, err := id.Parse[id.Organization](string(org)); err != nil { // it becomes part of the text below
			return nil, fmt.Errorf("organization id: %w", err)
		}
		role = "gatehouse_app"
	}
	tx, err := p.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: fmt.Sprintf(
		`begin; select set_config('role', '%s', true), set_config('app.organization_id', '%s', true)`, role, org)})
	if err != nil {
		return nil, err
	}
	return postgresTx{tx}, nil
}

type postgresTx struct{ pgx.Tx }

func (t postgresTx) announce(ctx context.Context, _ time.Time, messages []string) error {
	for start := 0; start < len(messages); {
		end, size := start, 0
		for end < len(messages) && (end == start || size+len(messages[end])+1 <= maxNotifyBytes) {
			size += len(messages[end]) + 1
			end++
		}
		if _, err := t.Exec(ctx, `SELECT pg_notify($1, $2)`, Channel, strings.Join(messages[start:end], "\n")); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func (t postgresTx) commit(ctx context.Context) error { return t.Tx.Commit(ctx) }
func (t postgresTx) rollback(ctx context.Context)     { t.Tx.Rollback(ctx) }
