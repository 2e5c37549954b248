package sqldb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// behindPooler gives a migrated database, and PgBouncer before its server.
func behindPooler(t *testing.T, changes ...string) (direct string, p *sqldbtest.Pooler) {
	t.Helper()
	if os.Getenv(sqldbtest.PostgresEnv) == "" {
		t.Skip("PostgreSQL only")
	}
	direct = sqldbtest.Postgres(t)
	return direct, sqldbtest.StartPooler(t, direct, changes...)
}

func openPooled(t *testing.T, p *sqldbtest.Pooler, direct string, connections int) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), p.Through(direct), sqldb.Options{MaxConns: connections, Listen: direct})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// F11: a pooler in transaction mode that nobody told of is named when a database is opened through it, whatever the
// mode of statements and however it hands out its connections; one in session mode is as good as none.
func TestF11_PoolerIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		query   string
		changes []string
		shared  bool
	}{
		{"prepared statements", "", nil, true},
		{"nameless statements", "&default_query_exec_mode=exec", nil, true},
		{"simple protocol", "&default_query_exec_mode=simple_protocol", nil, true},
		{"one connection", "", []string{"default_pool_size = 20", "default_pool_size = 1"}, true},
		{"in turn", "", []string{"pool_mode = transaction",
			"pool_mode = transaction\nmin_pool_size = 5\nserver_round_robin = 1"}, true},
		{"session mode", "", []string{"pool_mode = transaction", "pool_mode = session"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			direct, p := behindPooler(t, c.changes...)
			address := p.Through(direct) + c.query
			for range 3 { // with the connections that the one before has left
				db, err := sqldb.Open(t.Context(), address, sqldb.Options{MaxConns: 2})
				if err == nil {
					defer db.Close()
				}
				if !c.shared && err != nil {
					t.Fatal(err)
				}
				if c.shared && (!sqldb.IsPooler(err) || !strings.Contains(err.Error(), "database_listen")) {
					t.Fatalf("opened, or with another reason: %v", err)
				}
			}
			if c.shared {
				return
			}
			db := sqldbtest.Open(t, address)
			if !hears(t, db, db) {
				t.Error("nothing is heard in session mode")
			}
		})
	}
}

// hears tells whether one hears what the other announces.
func hears(t *testing.T, listening, announcing *sqldb.DB) bool {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ready, heard, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once, twice sync.Once
	go func() {
		ended <- listening.Listen(ctx, sqldb.Listener{Reset: func() {},
			Current: func(time.Time) { once.Do(func() { close(ready) }) },
			Messages: func(m []string) {
				if m[0] == "probe" {
					twice.Do(func() { close(heard) })
				}
			}})
	}()
	defer func() {
		stop()
		<-ended
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Log(err)
		ended <- err
		return false
	}
	err := announcing.PlatformTx(t.Context(), "test", func(tx *sqldb.Tx) error {
		tx.Announce("probe")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	select {
	case <-heard:
		return true
	case <-time.After(3 * time.Second):
		return false
	}
}

// F11: announcements come by database_listen, and it is noticed where they cannot.
func TestF11_DatabaseListen(t *testing.T) {
	t.Parallel()
	direct, p := behindPooler(t)
	db := openPooled(t, p, direct, 4)
	if err := db.CheckListen(t.Context()); err != nil {
		t.Error(err)
	}
	if !hears(t, db, openPooled(t, p, direct, 2)) {
		t.Error("nothing is heard by database_listen")
	}
	for name, c := range map[string]struct{ listen, want string }{
		"by the pooler too": {p.Through(direct), "give the address of PostgreSQL itself"},
		"another database":  {sqldbtest.Postgres(t), "same database"},
		"nobody there":      {p.Through("postgres://u@h:1/d") + "?connect_timeout=1", "database_listen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sqldb.Open(t.Context(), p.Through(direct), sqldb.Options{MaxConns: 2, Listen: c.listen})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.CheckListen(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("check: %v, want %q", err, c.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = db.Listen(ctx, sqldb.Listener{Reset: func() {}, Messages: func([]string) {},
				Current: func(time.Time) { t.Error("trusted what it does not hear") }})
			if err == nil || ctx.Err() != nil || name != "nobody there" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("listen: %v, want %q", err, c.want)
			}
		})
	}
}

// F11: where something in between passes everything on but announcements, and cannot be told from PostgreSQL, the
// reason why a node is not ready is named all the same.
func TestF11_SilenceIsNamed(t *testing.T) {
	t.Parallel()
	if os.Getenv(sqldbtest.PostgresEnv) == "" {
		t.Skip("PostgreSQL only")
	}
	db := sqldbtest.Open(t, deaf(t, sqldbtest.Postgres(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := db.Listen(ctx, sqldb.Listener{Reset: func() {}, Messages: func([]string) {},
		Current: func(time.Time) { t.Error("trusted what it does not hear") }})
	if err == nil || !strings.Contains(err.Error(), "set database_listen") {
		t.Errorf("listen: %v", err)
	}
}

// deaf is a database address by way of a proxy that drops what LISTEN is answered by: messages of type A.
func deaf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(client net.Conn) {
		defer client.Close()
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			io.Copy(server, client)
			server.Close()
		}()
		head := make([]byte, 5) // the type and the length of all but the type
		for {
			if _, err := io.ReadFull(server, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(server, body); err != nil {
				return
			}
			if head[0] == 'A' {
				continue
			}
			if _, err := client.Write(append(head, body...)); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// F11: an empty database is migrated through a pooler, by several nodes at once.
func TestF11_MigratePooled(t *testing.T) {
	t.Parallel()
	if os.Getenv(sqldbtest.PostgresEnv) == "" {
		t.Skip("PostgreSQL only")
	}
	direct := sqldbtest.EmptyPostgres(t)
	p := sqldbtest.StartPooler(t, direct, "default_pool_size = 20", "default_pool_size = 2")
	var wg sync.WaitGroup
	var mu sync.Mutex
	steps := 0
	for range 3 {
		db := openPooled(t, p, direct, 2)
		wg.Go(func() {
			n, err := db.Migrate(context.Background())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			steps += n
		})
	}
	wg.Wait()
	all, err := openPooled(t, p, direct, 2).Migrations(t.Context())
	if err != nil || steps != len(all) {
		t.Errorf("%d steps were run of %d, %v", steps, len(all), err)
	}
}

// A44, F11: row-level security alone keeps organizations apart on connections that all share, whatever becomes of the
// statements: some fail, some are given up by their callers, some transactions are rolled back. Nothing of a role or an
// organization is left on a connection.
func TestA44_F11_RowLevelSecurityBehindPooler(t *testing.T) {
	t.Parallel()
	direct, p := behindPooler(t, "default_pool_size = 20", "default_pool_size = 3")
	nodes := []*sqldb.DB{openPooled(t, p, direct, 8), openPooled(t, p, direct, 8)}
	a, b := twoOrgs(t, nodes[0])
	want := map[id.Organization]string{a: "of_a", b: "of_b"}
	for org, name := range want {
		addRole(t, nodes[0], org, name)
	}
	look := func(org id.Organization, q sqldb.Queryer, ctx context.Context) error {
		var n int
		var name, role string
		err := q.QueryRow(ctx, `SELECT count(*), COALESCE(max(name), ''), current_user FROM roles`).
			Scan(&n, &name, &role)
		if err == nil && (n != 1 || name != want[org] || role != "gatehouse_app") {
			t.Errorf("%s sees %d rows, %q, as %s", want[org], n, name, role)
		}
		return err
	}
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for w := range 24 {
		wg.Go(func() {
			db, org := nodes[w%2], []id.Organization{a, b}[w/2%2]
			dice := rand.New(rand.NewPCG(uint64(w), 11))
			for range 60 {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				kind := dice.IntN(8)
				if kind == 0 { // given up at some moment
					ctx, cancel = context.WithTimeout(ctx, time.Duration(dice.IntN(2000))*time.Microsecond)
				}
				var err error
				switch kind {
				case 1:
					_, err = db.Tenant(org).Exec(ctx, `SELECT * FROM signing_keys`) // not for tenants
					if err == nil {
						t.Error("a tenant reads signing_keys")
					}
					err = nil
				case 2:
					err = db.Tx(ctx, org, func(tx *sqldb.Tx) error {
						if _, err := tx.Exec(ctx, `UPDATE roles SET description = 'x'`); err != nil {
							return err
						}
						return errors.Join(look(org, tx, ctx), boom)
					})
					if errors.Is(err, boom) {
						err = nil
					}
				case 3:
					var n int
					err = db.Platform("test").QueryRow(ctx, `SELECT count(*) FROM roles`).Scan(&n)
					if err == nil && n != 2 {
						t.Errorf("the platform sees %d rows", n)
					}
				case 4:
					err = db.Tx(ctx, org, func(tx *sqldb.Tx) error {
						tx.Announce("x")
						tag, err := tx.Exec(ctx, `UPDATE roles SET updated_at = updated_at + 1`)
						if err == nil && tag.RowsAffected() != 1 {
							t.Errorf("an update without WHERE touched %d rows", tag.RowsAffected())
						}
						return err
					})
				default:
					err = look(org, db.Tenant(org), ctx)
				}
				cancel()
				var busy *fault.Error
				if err != nil && kind != 0 && !errors.As(err, &busy) { // more wait than the pool has connections
					t.Errorf("kind %d: %v", kind, err)
				}
			}
		})
	}
	wg.Wait()
	// All of the pooler's connections at once.
	for i := range 3 {
		conn, err := pgx.Connect(t.Context(), p.Through(direct)+"&default_query_exec_mode=exec")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.Background())
		var left string
		var names int
		err = tx.QueryRow(t.Context(), `SELECT current_user || '|' || current_setting('role') || '|' ||
			COALESCE(current_setting('app.organization_id', true), ''), (SELECT count(*) FROM pg_prepared_statements)`).
			Scan(&left, &names)
		if err != nil || !strings.HasSuffix(left, "|none|") || strings.HasPrefix(left, "gatehouse_") || names != 0 {
			t.Errorf("connection %d keeps %q and %d prepared statements, %v", i, left, names, err)
		}
	}
}

// F11: no statement is carried out on a server that nobody has looked at. Behind a pooler the server may become another
// without any connection of ours being new.
func TestF11_MovedBehindPooler(t *testing.T) {
	t.Parallel()
	direct, p := behindPooler(t)
	db := openPooled(t, p, direct, 2)
	a, _ := twoOrgs(t, db)
	statements := map[string]func() error{
		"a read": func() error {
			var n int
			return db.Tenant(a).QueryRow(t.Context(), `SELECT count(*) FROM roles`).Scan(&n)
		},
		"a write by itself": func() error {
			_, err := db.Statement(a).Exec(t.Context(), insertRole, a, id.New[id.Role](), "by itself")
			return err
		},
		"a transaction": func() error {
			return db.Tx(t.Context(), a, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), insertRole, a, id.New[id.Role](), "in a transaction")
				return err
			})
		},
	}
	for name, run := range statements {
		time.Sleep(200 * time.Millisecond) // connections that are being ended after the case before
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		sqldb.SetTimeline(db, "00000000")
		err := run()
		var unavailable *fault.Error
		if !errors.As(err, &unavailable) || unavailable.Kind != fault.Unavailable ||
			!strings.Contains(fmt.Sprint(errors.Unwrap(unavailable)), "another than before") {
			t.Errorf("%s on another server: %v", name, err)
		}
		var n int
		if err := db.Tenant(a).QueryRow(t.Context(), `SELECT count(*) FROM roles`).Scan(&n); err != nil || n != 0 {
			t.Errorf("after %s: %d roles, %v", name, n, err)
		}
	}
}

// F11: a pooler that is restarted takes nothing along.
func TestF11_PoolerRestarts(t *testing.T) {
	t.Parallel()
	direct, p := behindPooler(t)
	db := openPooled(t, p, direct, 4)
	ask := func() error {
		var n int
		return db.Platform("test").QueryRow(t.Context(), `SELECT count(*) FROM roles`).Scan(&n)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	var unavailable *fault.Error
	if err := ask(); !errors.As(err, &unavailable) || unavailable.Kind != fault.Unavailable {
		t.Errorf("without the pooler: %v", err)
	}
	p.Start()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := ask()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after the restart: %v", err)
		}
	}
}
