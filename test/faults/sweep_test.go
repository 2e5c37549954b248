//go:build faults

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A fault is what goes wrong within one request.
type fault struct {
	point, action string
	lasting       bool   // from then on everything
	and           string // a second point that fails as well: what should clean up
}

func (f fault) String() string {
	s := f.action + " at " + f.point
	if f.lasting {
		s += " and ever after"
	}
	if f.and != "" {
		s += " and at " + f.and
	}
	return s
}

func (f fault) plans(nth int64) (first *failpoint.Plan, all []*failpoint.Plan) {
	first = failpoint.NewPlan(f.point, f.action, nth, f.lasting)
	all = append(all, first)
	if f.and != "" {
		all = append(all, failpoint.NewPlan(f.and, "error", 1, true))
	}
	return first, all
}

var faults = []fault{
	{point: "statement", action: "error"},
	{point: "tx.before_commit", action: "error"},
	{point: "tx.committed", action: "error"}, // an answer that is lost
	{point: "redis", action: "error", lasting: true},
}

// moreFaults are those of the long version.
var moreFaults = []fault{
	{point: "statement", action: "panic"},
	{point: "statement", action: "cancel"},
	{point: "statement", action: "error", lasting: true},
	{point: "statement", action: "error", and: "tx.rollback"},
	{point: "tx.before_commit", action: "panic"},
	{point: "tx.before_commit", action: "cancel"},
	{point: "tx.before_commit", action: "error", and: "tx.rollback"},
	{point: "redis", action: "error"},
}

// FLT20: at every route, for each kind of fault, the first, second, … statement, commit or call of Redis goes wrong.
// What a request does, it does in full or not at all: the tables that it changes, its event among them (I7), are all
// changed or none. It is never answered as done when it is not, never with internals (I9), and the same request
// succeeds right after, also when the next one met the same fault (I6). Nothing leaks (I8).
func TestFLT20_Sweep(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		var planned []*failpoint.Plan
		s := servertest.New(t, address)
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Faulty") != "" {
				ctx, cancel := failpoint.With(r.Context(), planned...)
				defer cancel()
				r = r.WithContext(ctx)
			}
			s.Handler.ServeHTTP(w, r)
		}))
		t.Cleanup(h.Close)
		s.URL = h.URL
		q := &requests{t: t, s: s, broker: s.Provision(t, "sweep", "SystemAccessToken")}
		q.signIn()
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"sessionsPerUser": 0}}, q.admin).Want(t, 200)
		table := q.table()
		for _, r := range s.Kit.Routes() {
			name := r.Method + " " + r.Pattern
			if r.Method == "" {
				name = "any " + r.Pattern
			}
			if table[name] == nil {
				t.Errorf("%s is not swept", name)
			}
		}
		names := slices.Sorted(maps.Keys(table))
		direct := openDirectly(t, address)
		touched := watch(t, direct, s.DB.Engine())
		kinds := faults
		if !testing.Short() {
			kinds = append(slices.Clone(faults), moreFaults...)
		}

		before := serverGoroutines()
		points, violations, rounds := 0, 0, 0
		bad := func(format string, args ...any) {
			violations++
			if violations < 30 {
				t.Errorf(format, args...)
			}
		}
		send := func(c request, more ...servertest.Change) (servertest.Response, error) {
			if c.as != nil {
				more = append(more, c.as)
			}
			return s.Try(c.method, c.path, c.body, more...)
		}
		fresh := func(name string) request {
			s.Clock.Advance(2 * time.Minute) // no limit of the round before, and no lock
			_, err := direct.Exec(`DELETE FROM login_attempts`)
			for sqldb.Code(err) == "40P01" { // a sign-in of the round before counts its rows in another order
				_, err = direct.Exec(`DELETE FROM login_attempts`)
			}
			if err != nil {
				t.Fatal(err)
			}
			if rounds++; rounds%5 == 0 {
				q.signIn()
			}
			if strings.Contains(name, "{account}") { // the first use of a password within an hour leaves an event
				s.Do(t, "GET", "/api/v1/"+demo.Tenant+"/requests", nil, servertest.Demo("admin")).Want(t, 200)
			}
			return table[name]()
		}
		for _, name := range names {
			c := fresh(name)
			start := touched()
			if r, err := send(c); err != nil || r.Status != c.good {
				bad("%s without a fault: %v %d %s", name, err, r.Status, r.Body)
				continue
			}
			whole := changed(start, touched())
			if len(whole) > 0 && whole["audit_events"] == 0 && name != "POST /v1/auth/refresh" {
				// one of a session that has its event
				bad("I7: %s changes %v without an event", name, whole)
			}
			for _, f := range kinds {
				for nth := int64(1); nth < 60; nth++ {
					what := fmt.Sprintf("%s, %s %d", name, f, nth)
					c := fresh(name)
					start := touched()
					var first *failpoint.Plan
					first, planned = f.plans(nth)
					r, err := send(c, servertest.Header("X-Faulty", "1"))
					if f.action == "cancel" {
						time.Sleep(5 * time.Millisecond) // the handler may be at work still
					}
					hit := first.Hits() >= nth
					if hit {
						points++
					}
					done := changed(start, touched())
					switch {
					case err != nil && f.action == "error":
						bad("%s: no answer: %v", what, err)
					case err != nil:
					case strings.Contains(string(r.Body), "failpoint") || strings.Contains(string(r.Body), "SELECT"):
						bad("I9: %s tells internals: %s", what, r.Body)
					case r.Status == c.good && !maps.Equal(done, whole):
						bad("I9: %s: answered %d, and changed %v, not %v", what, r.Status, done, whole)
					case r.Status == c.good && c.probe != nil:
						if wrong := c.probe(); wrong != "" {
							bad("I9: %s: answered %d, and %s", what, r.Status, wrong)
						}
					case f.point == "redis" && r.Status != c.good:
						bad("A46: %s: %d %s", what, r.Status, r.Body)
					case hit && f.action == "error" && r.Status == 500:
						bad("I9: %s: a database that does not answer is 500: %s", what, r.Body)
					case hit && r.Status < 500 && r.Status != c.good && r.Status != 401 &&
						(r.Status != 403 || r.Code() != "UNAVAILABLE"):
						// what a proxy is told
						bad("%s: %d %s", what, r.Status, r.Body)
					}
					if !maps.Equal(done, whole) && !nothing(done, direct) {
						bad("I7: %s: %d, and %v changed, of %v", what, r.Status, done, whole)
					}
					if !hit {
						if err != nil || r.Status != c.good {
							bad("%s was never there: %v %d %s", what, err, r.Status, r.Body)
						}
						break
					}
					// Once more with the same fault, then without.
					again := fresh(name)
					_, planned = f.plans(nth)
					if _, err := send(again, servertest.Header("X-Faulty", "1")); err != nil && f.action == "error" {
						bad("%s, again: no answer: %v", what, err)
					}
					again = fresh(name)
					if r, err := send(again); err != nil || r.Status != again.good {
						bad("I6: after %s: %v %d %s", what, err, r.Status, r.Body)
					}
				}
			}
		}
		waitFor(t, "goroutines to end", 10*time.Second, func() bool { return serverGoroutines() <= before+30 })
		err := s.DB.PlatformTx(context.Background(), "the pool is whole after a sweep", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(context.Background(), `SELECT 1`)
			return err
		})
		if err != nil {
			t.Errorf("I8: %v", err)
		}
		(&lab{T: t}).report("FLT20", "%s routes=%d fault_points=%d violations=%d goroutines=%d→%d", s.DB.Engine(),
			len(names), points, violations, before, serverGoroutines())
	})
}

// serverGoroutines counts those of the servers in this process, which are the sweep's.
func serverGoroutines() int {
	buf := make([]byte, 8<<20)
	n := 0
	for stack := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("/gatehouse/internal/")) {
			n++
		}
	}
	return n
}

// nothing tells whether nothing was changed but the record of a refusal.
func nothing(done map[string]int64, db *sql.DB) bool {
	if len(done) == 0 || len(done) > 1 || done["audit_events"] != 1 {
		return len(done) == 0
	}
	var outcome string
	err := db.QueryRow(`SELECT outcome FROM audit_events ORDER BY id DESC LIMIT 1`).Scan(&outcome)
	return err == nil && outcome != "success"
}

// changed tells which counts have grown, and of events by how much. (How many sessions end depends on what went wrong
// before.)
func changed(before, after map[string]int64) map[string]int64 {
	out := make(map[string]int64)
	for name, n := range after {
		if n > before[name] {
			if out[name] = 1; name == "audit_events" {
				out[name] = n - before[name]
			}
		}
	}
	return out
}

// Tables that a request may change though it fails, and columns that are written later.
var (
	apart = []string{"login_attempts", "rate_counts", "leases", "installation", "goose_db_version", "signing_keys",
		"touched", "invalidations", "sqlite_sequence"}
	delayed = []string{"last_used_at", "last_used_address", "expires_at", "address", "updated_at", "tries"}
)

// openDirectly opens a database beside the server, as its owner.
func openDirectly(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver := "pgx"
	if !sqldb.IsPostgres(address) {
		driver, address = "sqlite", "file:"+sqldb.FilePath(address)+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// watch makes the database count the rows that change in each table, within the same transactions, and gives the
// counts.
func watch(t *testing.T, db *sql.DB, engine sqldb.Engine) func() map[string]int64 {
	t.Helper()
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	list := func(query string, args ...any) (out []string) {
		t.Helper()
		rows, err := db.Query(query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	exec(`CREATE TABLE touched (name TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
	tables, columns := `SELECT name FROM sqlite_master WHERE type = 'table'`, `SELECT name FROM pragma_table_info($1)`
	if engine == sqldb.Postgres {
		tables, columns = `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`,
			`SELECT column_name FROM information_schema.columns
			WHERE table_name = $1 AND table_schema = current_schema()`
		exec(
			`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN UPDATE touched SET n = n + 1 WHERE name = TG_TABLE_NAME; RETURN NULL; END $$`)
	}
	for _, table := range list(tables) {
		if slices.Contains(apart, table) {
			continue
		}
		exec(`INSERT INTO touched (name, n) VALUES ($1, 0)`, table)
		var differs []string
		for _, c := range list(columns, table) {
			if !slices.Contains(delayed, c) {
				differs = append(differs, fmt.Sprintf("OLD.%s IS DISTINCT FROM NEW.%s", c, c))
			}
		}
		when := map[string]string{"UPDATE": "WHEN (" + strings.Join(differs, " OR ") + ")"}
		if table == "onetime" { // a challenge is used up whatever becomes of the request
			when["INSERT"] = "WHEN (NEW.purpose <> 'webauthn_challenge')"
		}
		for _, on := range []string{"INSERT", "UPDATE", "DELETE"} {
			if table == "mails" && on != "INSERT" { // what becomes of a mail is the outbox's
				continue
			}
			do := `BEGIN UPDATE touched SET n = n + 1 WHERE name = '` + table + `'; END`
			if engine == sqldb.Postgres {
				do = `EXECUTE FUNCTION touch()`
			}
			exec(fmt.Sprintf(`CREATE TRIGGER touch_%s_%s AFTER %s ON %s FOR EACH ROW %s %s`, table, strings.ToLower(on),
				on, table, when[on], do))
		}
	}
	return func() map[string]int64 {
		t.Helper()
		rows, err := db.Query(`SELECT name, n FROM touched`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := make(map[string]int64)
		for rows.Next() {
			var name string
			var n int64
			if err := rows.Scan(&name, &n); err != nil {
				t.Fatal(err)
			}
			out[name] = n
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
}
