package sqldb_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// hosted makes a database as a hosted service would: its owner is a plain login without CREATEROLE.
func hosted(t *testing.T) (owner, runtime string, exec func(sql string)) {
	t.Helper()
	server := os.Getenv(sqldbtest.PostgresEnv)
	if server == "" {
		t.Skip("needs PostgreSQL")
	}
	sqldbtest.Postgres(t) // makes the two roles, as an operator would
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	exec = func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	name := fmt.Sprintf("hosted_%d", time.Now().UnixNano())
	exec("CREATE ROLE " + name + " LOGIN")
	exec("CREATE ROLE " + name + "_run LOGIN")
	exec("GRANT " + name + " TO current_user")
	exec("CREATE DATABASE " + name + " OWNER " + name)
	t.Cleanup(func() {
		for range 50 { // a visit of autovacuum is waited for
			if _, err = conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		exec("DROP ROLE " + name + "_run")
		exec("DROP ROLE " + name)
	})
	address := func(user string) string {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = url.User(user), "/"+name
		return u.String()
	}
	return address(name), address(name + "_run"), exec
}

func migrate(t *testing.T, address string) error {
	t.Helper()
	db, err := sqldb.Open(t.Context(), address, sqldb.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Migrate(t.Context())
	return err
}

// A44: on a hosted database, whose login may make no roles, the migration says which SQL somebody else has to run, and
// works after it; a login that owns nothing can run the server, and row-level security holds for both.
func TestA44_HostedDatabase(t *testing.T) {
	t.Parallel()
	owner, runtime, exec := hosted(t)
	name := strings.TrimSuffix(strings.SplitN(strings.TrimPrefix(owner, "postgres://"), "@", 2)[0], ":")
	err := migrate(t, owner)
	want := fmt.Sprintf(`GRANT gatehouse_app TO %q; GRANT gatehouse_platform TO %q;`, name, name)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("the migration says %v, want the SQL %s", err, want)
	}
	exec(fmt.Sprintf("GRANT gatehouse_app, gatehouse_platform TO %s, %s_run", name, name))
	if err := migrate(t, owner); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t, runtime); err != nil {
		t.Fatalf("a login that owns nothing cannot start: %v", err)
	}
	for who, address := range map[string]string{"owner": owner, "runtime": runtime} {
		db, err := sqldb.Open(t.Context(), address, sqldb.Options{MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		mine, theirs := id.New[id.Organization](), id.New[id.Organization]()
		err = db.PlatformTx(t.Context(), "two organizations for a test", func(tx *sqldb.Tx) error {
			for _, org := range []id.Organization{mine, theirs} {
				if _, err := tx.Exec(t.Context(),
					`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, $1, 'x', 'active', '{}', 1, 1)`, org); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		var seen int
		if err := db.Tenant(mine).QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&seen); err != nil ||
			seen != 1 {
			t.Errorf("%s: a statement without WHERE sees %d organizations, %v", who, seen, err)
		}
		login, err := db.Login(t.Context())
		if err != nil || login.Superuser || login.BypassesRLS || login.Missing() != "" {
			t.Errorf("%s: %+v, %v", who, login, err)
		}
		bare, err := db.Unprotected(t.Context())
		if err != nil || len(bare) > 0 {
			t.Errorf("%s: tables without forced row-level security: %v, %v", who, bare, err)
		}
	}
}
