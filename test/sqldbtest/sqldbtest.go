// Package sqldbtest gives each test databases of its own: a migrated SQLite file always, and a PostgreSQL database
// copied from a migrated template when GATEHOUSE_TEST_POSTGRES names a server (`make test` starts one).
package sqldbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
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
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, SQLite(t))
	})
	if os.Getenv(PostgresEnv) == "" {
		t.Logf("%s is not set: PostgreSQL left out (make test sets it)", PostgresEnv)
		return
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, Postgres(t))
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

var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	db, err := sqldb.Open(context.Background(), path, sqldb.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(context.Background()); err != nil {
		db.Close()
		return nil, err
	}
	db.Close() // the last connection folds the write-ahead log into the file
	return os.ReadFile(path)
})

// SQLite gives the path of a fresh migrated file.
func SQLite(t testing.TB) string {
	t.Helper()
	image, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	postgresOnce sync.Once
	postgresErr  error
	postgresName string
	databaseSeq  int
	databaseMu   sync.Mutex
)

// Postgres gives the address of a fresh migrated database and drops it with the test.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(PostgresEnv)
	postgresOnce.Do(func() { postgresName, postgresErr = makeTemplate(server) })
	if postgresErr != nil {
		t.Fatal(postgresErr)
	}
	databaseMu.Lock()
	databaseSeq++
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), databaseSeq)
	databaseMu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s STRATEGY FILE_COPY`, name,
		postgresName)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(server, name); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(server, name)
}

// drop removes a database and ends what is still connected to it. A visit of autovacuum belongs to the server's own
// role, which the tests may not end: it is waited for.
func drop(server, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		_, err := conn.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// makeTemplate migrates one database that this process's tests are copied from. It sorts text as English does, which
// nothing may depend on.
func makeTemplate(server string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(exe)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", exe, info.ModTime().UnixNano(), os.Getpid()))
	name := "template_" + hex.EncodeToString(sum[:6])
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	// The migration makes roles, which all databases share: one process at a time.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(20417)`); err != nil {
		return "", err
	}
	defer conn.Exec(ctx, `SELECT pg_advisory_unlock(20417)`)
	if _,
		err := conn.Exec(ctx,
		`CREATE DATABASE `+name+` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'`); err != nil {
		return "", err
	}
	db, err := sqldb.Open(ctx, withDatabase(server, name), sqldb.Options{MaxConns: 2})
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = db.Migrate(ctx)
	return name, err
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	return u.String()
}
