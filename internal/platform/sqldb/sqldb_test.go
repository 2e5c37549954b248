package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const insertOrg = `INSERT INTO organizations (id, slug, name, platform, state, settings, created_at, updated_at) VALUES ($1, $2, 'x', FALSE, 'active', '{}', 1, 1)`
const insertRole = `INSERT INTO roles (organization_id, id, name, description, permissions, created_at, updated_at) VALUES ($1, $2, $3, '', '[]', 1, 1)`

func twoOrgs(t *testing.T, db *sqldb.DB) (a, b id.Organization) {
	t.Helper()
	a, b = id.New[id.Organization](), id.New[id.Organization]()
	err := db.PlatformTx(t.Context(), "test", func(tx *sqldb.Tx) error {
		for _, o := range []id.Organization{a, b} {
			if _, err := tx.Exec(t.Context(), insertOrg, o, strings.ToLower(string(o))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func addRole(t *testing.T, db *sqldb.DB, org id.Organization, name string) {
	t.Helper()
	err := db.Tx(t.Context(), org, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), insertRole, org, id.New[id.Role](), name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A44: with every WHERE left out, row-level security alone keeps the organizations apart, for reads, writes and
// inserts.
func TestA44_RowLevelSecurityWithoutWhere(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if db.Engine() != sqldb.Postgres {
			t.Skip("SQLite has no row-level security; its wall is the WHERE clause, which a test demands of every " +
				"statement")
		}
		a, b := twoOrgs(t, db)
		addRole(t, db, a, "of_a")
		addRole(t, db, b, "of_b")

		var n int
		var name string
		if err := db.Tenant(a).QueryRow(t.Context(), `SELECT count(*), max(name) FROM roles`).
			Scan(&n, &name); err != nil || n != 1 || name != "of_a" {
			t.Errorf("read without WHERE as a: %d rows, %q, %v; want only of_a", n, name, err)
		}
		if err := db.Tenant(a).QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&n); err != nil ||
			n != 1 {
			t.Errorf("organizations seen as a: %d, %v; want 1", n, err)
		}
		err := db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			tag, err := tx.Exec(t.Context(), `UPDATE roles SET description = 'mine'`)
			if err == nil && tag.RowsAffected() != 1 {
				t.Errorf("update without WHERE touched %d rows; want 1", tag.RowsAffected())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), insertRole, b, id.New[id.Role](), "planted")
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("insert into b as a: %v; want SQLSTATE 42501", err)
		}
		for _, table := range []string{"signing_keys", "login_attempts"} {
			if _, err := db.Tenant(a).Exec(t.Context(), `SELECT * FROM `+table); err == nil {
				t.Errorf("a tenant reads %s", table)
			}
		}
	})
}

// A44: every table that names an organization is under forced row-level security, so that a table added later cannot be
// forgotten.
func TestA44_EveryTenantTableIsGuarded(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if db.Engine() != sqldb.Postgres {
			t.Skip("PostgreSQL only")
		}
		rows, err := db.Platform("test").Query(t.Context(),
			`SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
			AND c.relname <> 'goose_db_version' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			t.Errorf("table %s is without forced row-level security", name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTxRollsBackAndAnnounces(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := twoOrgs(t, db)
		var heard []string
		db.OnCommit(func(m []string) { heard = append(heard, m...) })
		boom := errors.New("boom")
		err := db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			tx.Announce("never")
			if _, err := tx.Exec(t.Context(), insertRole, a, id.New[id.Role](), "gone"); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("got %v, want boom", err)
		}
		var n int
		if err := db.Tenant(a).QueryRow(t.Context(), `SELECT count(*) FROM roles WHERE organization_id = $1`, a).
			Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows after a rollback, %v", n, err)
		}
		if err := db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			tx.Announce("one")
			tx.Announce("two")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if strings.Join(heard, " ") != "one two" {
			t.Errorf("heard %q, want the committed announcements only", heard)
		}
		if err := db.Tx(t.Context(), "", func(*sqldb.Tx) error { return nil }); err == nil {
			t.Error("a tenant transaction without an organization was begun")
		}
	})
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := twoOrgs(t, db)
		addRole(t, db, a, "once")
		err := db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), insertRole, a, id.New[id.Role](), "once")
			return err
		})
		if !sqldb.IsUnique(err) || sqldb.IsForeignKey(err) {
			t.Errorf("repeated name: %v is not told as unique", err)
		}
		err = db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(),
				`INSERT INTO team_members (organization_id, team_id, user_id) VALUES ($1, 'team_x', 'usr_x')`, a)
			return err
		})
		if !sqldb.IsForeignKey(err) || sqldb.IsUnique(err) {
			t.Errorf("dangling reference: %v is not told as a foreign key", err)
		}
		var s string
		if err := db.Tenant(a).QueryRow(t.Context(),
			`SELECT name FROM roles WHERE organization_id = $1 AND id = 'role_x'`, a).
			Scan(&s); !errors.Is(err, sqldb.ErrNoRows) {
			t.Errorf("no row: got %v", err)
		}
	})
}

// A second run finds nothing to do, also from several nodes at once. Empty databases are in e2e.
func TestMigrateInParallel(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		db := sqldbtest.Open(t, address)
		all, err := db.Migrations(t.Context())
		if err != nil || len(all) == 0 {
			t.Fatalf("%v, %v", all, err)
		}
		for _, m := range all {
			if !m.Applied {
				t.Errorf("%s is not applied in the template", m.Name)
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if n, err := db.Migrate(context.Background()); err != nil || n != 0 {
					t.Errorf("second run: %d steps, %v", n, err)
				}
			})
		}
		wg.Wait()
	})
}

// A release refuses a database that is further ahead than the next release may have left it, and says so.
func TestMigrateRefusesTheFuture(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		db := sqldbtest.Open(t, address)
		all, err := db.Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		driver := "sqlite"
		if db.Engine() == sqldb.Postgres {
			driver = "pgx"
		}
		direct, err := sql.Open(driver, sqldb.FilePath(address))
		if err != nil {
			t.Fatal(err)
		}
		defer direct.Close()
		last := all[len(all)-1].Version
		for ahead, refused := range map[int64]bool{10: false, 11: true} {
			if _, err := direct.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`,
				last+ahead); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Migrate(t.Context()); (err != nil) != refused ||
				refused && !strings.Contains(err.Error(), "too old") {
				t.Errorf("%d steps ahead: %v", ahead, err)
			}
			if _, err := direct.Exec(`DELETE FROM goose_db_version WHERE version_id > $1`, last); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// G7: in a SQLite file, whoever asks has heard what other processes announced; when nobody asks, nothing is read.
func TestG7_TailOnDemand(t *testing.T) {
	t.Parallel()
	address := sqldbtest.SQLite(t)
	here, there := sqldbtest.Open(t, address), sqldbtest.Open(t, address)
	var looks atomic.Int64
	heard := make(chan []string, 10)
	ready := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- here.Listen(ctx, sqldb.Listener{Messages: func(m []string) { heard <- m }, Reset: func() {},
			Current: func(time.Time) {
				if looks.Add(1) == 1 {
					close(ready)
				}
			}})
	}()
	<-ready
	time.Sleep(300 * time.Millisecond)
	if n := looks.Load(); n != 1 {
		t.Errorf("the idle file was looked at %d times", n)
	}
	for n := range 3 {
		want := fmt.Sprintf("session|org|%d", n)
		err := there.PlatformTx(t.Context(), "a change elsewhere", func(tx *sqldb.Tx) error {
			tx.Announce(want)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // longer than a look counts
		here.CatchUp()
		select {
		case got := <-heard:
			if len(got) != 1 || got[0] != want {
				t.Errorf("%q, want %q", got, want)
			}
		default:
			t.Errorf("%s was not heard", want)
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	here.CatchUp() // harmless when nothing listens
}
