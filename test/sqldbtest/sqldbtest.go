// Package sqldbtest gives each test databases of its own: a migrated SQLite file always, and a PostgreSQL database
// copied from a migrated template when GATEHOUSE_TEST_POSTGRES names a server (`make test` starts one).
package sqldbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// PostgresEnv names the variable with the address of a server on which databases may be created.
const PostgresEnv = "GATEHOUSE_TEST_POSTGRES"

// Each runs fn as a parallel subtest on every engine there is, each time with a fresh migrated database.
func Each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	EachAddress(t, func(t *testing.T, address string) {
		fn(t, Open(t, address))
	})
}

// EachAddress is Each for tests that open the database themselves, in other processes perhaps.
func EachAddress(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	migrated.Each(t, fn)
}

// Each runs fn as a parallel subtest on every engine there is, each time with a copy.
func (p *Template) Each(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, p.SQLite(t))
	})
	if os.Getenv(PostgresEnv) == "" {
		t.Logf("%s is not set: PostgreSQL left out (make test sets it)", PostgresEnv)
		return
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, p.Postgres(t))
	})
}

// Open opens a database with small pools and closes it with the test.
func Open(t testing.TB, address string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), address, sqldb.Options{MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// Template is a database that is filled once a process, of which each test gets a copy.
type Template struct {
	// Fill writes to the migrated database at an address and closes all connections to it. It may be nil.
	Fill func(address string) error

	sqlite, postgres filled
}

// filled is one engine's: an SQLite file's content, or a PostgreSQL database's name.
type filled struct {
	once sync.Once
	is   string
	err  error
}

func (f *filled) by(t testing.TB, fill func() (string, error)) string {
	t.Helper()
	f.once.Do(func() { f.is, f.err = fill() })
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.is
}

var migrated Template

// SQLite gives the address of a fresh migrated file.
func SQLite(t testing.TB) string { return migrated.SQLite(t) }

// Postgres gives the address of a fresh migrated database and drops it with the test.
func Postgres(t testing.TB) string { return migrated.Postgres(t) }

// SQLite gives the address of a copy.
func (p *Template) SQLite(t testing.TB) string {
	t.Helper()
	image := p.sqlite.by(t, p.fillSQLite)
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, []byte(image), 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

func (p *Template) fillSQLite() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-template")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	address := "sqlite:" + filepath.Join(dir, "template.db")
	if err := migrate(address); err != nil {
		return "", err
	}
	if err := p.fill(address); err != nil {
		return "", err
	}
	db, err := sqldb.Open(context.Background(), address, sqldb.Options{})
	if err != nil {
		return "", err
	}
	defer db.Close()
	whole := filepath.Join(dir, "whole.db") // with what may still be in the write-ahead log
	if err := db.Backup(context.Background(), whole); err != nil {
		return "", err
	}
	image, err := os.ReadFile(whole)
	return string(image), err
}

// migrate makes a database ready.
func migrate(address string) error {
	db, err := sqldb.Open(context.Background(), address, sqldb.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Migrate(context.Background())
	return err
}

func (p *Template) fill(address string) error {
	if p.Fill == nil {
		return nil
	}
	return p.Fill(address)
}

var databases atomic.Int64

// Postgres gives the address of a copy and drops it with the test.
func (p *Template) Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(PostgresEnv)
	template := p.postgres.by(t, func() (string, error) { return p.fillPostgres(server) })
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), databases.Add(1))
	if err := run(server, `CREATE DATABASE `+name+` TEMPLATE `+template+` STRATEGY FILE_COPY`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(server, name); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(server, name)
}

// admin makes and drops the databases of this process: a connection for each statement would cost more than most.
var admin struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

func run(server, statement string) error {
	admin.mu.Lock()
	defer admin.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if admin.conn == nil || admin.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			return err
		}
		admin.conn = conn
	}
	_, err := admin.conn.Exec(ctx, statement)
	return err
}

// drop removes a database and ends what is still connected to it. A visit of autovacuum belongs to the server's own
// role, which the tests may not end: it is waited for.
func drop(server, name string) error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := run(server, `DROP DATABASE `+name+` WITH (FORCE)`)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" || time.Since(began) > time.Minute {
			return err
		}
	}
}

// EmptyPostgres gives the address of a database without any table and drops it with the test. Until then nobody else
// migrates an empty one: the roles belong to all databases.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	migrated.postgres.by(t, func() (string, error) { return migrated.fillPostgres(os.Getenv(PostgresEnv)) })
	server, name := os.Getenv(PostgresEnv), fmt.Sprintf("t_%d_%d", os.Getpid(), databases.Add(1))
	conn, err := pgx.Connect(context.Background(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) // and with it the lock
	for _, statement := range []string{`SELECT pg_advisory_lock(20417)`, `CREATE DATABASE ` + name} {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := drop(server, name); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(server, name)
}

func (p *Template) fillPostgres(server string) (string, error) {
	name := fmt.Sprintf("template_%d_%d", os.Getpid(), databases.Add(1))
	if err := makePostgres(server, name); err != nil {
		return "", err
	}
	return name, p.fill(withDatabase(server, name))
}

// makePostgres makes a migrated database that sorts text as English does, which nothing may depend on.
func makePostgres(server, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // and with it the lock
	// The migration makes roles, which all databases share: one process at a time.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(20417)`); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE `+name+
		` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'`)
	if err != nil {
		return err
	}
	return migrate(withDatabase(server, name))
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	return u.String()
}
