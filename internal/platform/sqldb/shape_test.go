package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

type word string

// An empty parameter takes its condition away; any other is compared.
func TestShape(t *testing.T) {
	t.Parallel()
	const list = `SELECT * FROM t WHERE o = $1
  AND (CAST($2 AS TEXT) = '' OR a = $2)
  AND (CAST($3 AS TEXT) = '' OR (b >= $3 AND b < $4)) AND c > $5 LIMIT CAST($6 AS BIGINT)`
	for _, c := range []struct {
		text string
		args []any
		want string
		sent []any
	}{
		{`SELECT $1 AND (CAST($1 AS BIGINT) = 0)`, []any{""}, `SELECT $1 AND (CAST($1 AS BIGINT) = 0)`, []any{""}},
		{list, []any{"o", "", word(""), "", "c", 9}, `SELECT * FROM t WHERE o = $1 AND c > $2 LIMIT CAST($3 AS BIGINT)`,
			[]any{"o", "c", 9}},
		{list, []any{"o", word("a"), "", "", "c", 9},
			`SELECT * FROM t WHERE o = $1 AND a = $2 AND c > $3 LIMIT CAST($4 AS BIGINT)`, []any{"o", word("a"), "c", 9}},
		{list, []any{"o", "", "b", "bb", "c", 9},
			`SELECT * FROM t WHERE o = $1 AND (b >= $2 AND b < $3) AND c > $4 LIMIT CAST($5 AS BIGINT)`,
			[]any{"o", "b", "bb", "c", 9}},
		{list, []any{"o", "a", "b", "bb", "c", 9},
			`SELECT * FROM t WHERE o = $1 AND a = $2 AND (b >= $3 AND b < $4) AND c > $5 LIMIT CAST($6 AS BIGINT)`,
			[]any{"o", "a", "b", "bb", "c", 9}},
	} {
		text, sent, _ := sqldb.ShapeOf(c.text, c.args)
		if text = strings.ReplaceAll(text, "\n ", ""); text != c.want || !reflect.DeepEqual(sent, c.sent) {
			t.Errorf("%v:\n%s %v, want\n%s %v", c.args, text, sent, c.want, c.sent)
		}
	}
}

// PostgreSQL plans a statement with several filters for their values, however often it is sent; one with a single
// filter has a plan for all.
func TestFiltersArePlannedForTheirValues(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		if !sqldb.IsPostgres(address) {
			t.Skip("SQLite plans once")
		}
		db, err := sqldb.Open(t.Context(), address, sqldb.Options{MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		q := db.Tenant("org_1")
		for _, c := range []struct {
			state, role string
			generic     bool
		}{{"active", "agent", false}, {"active", "", true}} {
			text := `SELECT id FROM users WHERE organization_id = $1
				AND (CAST($2 AS TEXT) = '' OR state = $2) AND (CAST($3 AS TEXT) = '' OR role = $3) -- ` + c.role
			for range 12 { // of the first five PostgreSQL learns what planning costs
				rows, err := q.Query(t.Context(), text, "org_1", c.state, c.role)
				if err != nil {
					t.Fatal(err)
				}
				rows.Close()
			}
			var generic int
			if err := q.QueryRow(t.Context(), `SELECT generic_plans FROM pg_prepared_statements
				WHERE statement LIKE 'SELECT id FROM users%-- ' || $1`, c.role).Scan(&generic); err != nil {
				t.Fatal(err)
			}
			if generic > 0 != c.generic {
				t.Errorf("role %q: %d of 12 by one plan for all", c.role, generic)
			}
		}
	})
}

// What reads more than a page or the rows it answers, and why it may.
var readsMore = map[string]string{
	"signingkey.PlatformList":              "a handful of rows in all",
	"servicedesk.CountTickets":             "a report counts every ticket",
	"servicedesk.WalkTickets":              "walks past some hundred tickets",
	"servicedesk.WalkTicketsOldestFirst":   "as WalkTickets",
	"servicedesk.CountWalked":              "as WalkTickets",
	"servicedesk.CountWalkedOldestFirst":   "as WalkTickets",
	"servicedesk.GatherTickets":            "sorts what one user sees, after a walk did not fill the page",
	"servicedesk.GatherTicketsOldestFirst": "as GatherTickets",
	"servicedesk.CountVisibleTickets":      "counts what one user sees",
	"servicedesk.CountAllTickets":          "counts them all",
	"servicedesk.ListPolicies":             "four rows at most",
	"credential.Report":                    "a walk over all of an organization's, page by page",
	"credential.Count":                     "counts all of a kind",
	"audit.CountByDay":                     "a report groups the events of one act in its days",
	"mfa.CountMethods":                     "groups the few factors of one user",
	"user.PlatformByEmail":                 "sorts the two or three users of one address",
	"connection.PlatformWarned":            "those that need attention, by an index that holds no others",
	"user.RolesInTeam":                     "reads a whole team when somebody joins it",
}

// neverSent are shapes that the service refuses: no index holds two of these fields.
func neverSent(shape string) bool {
	n := 0
	for _, field := range []string{" assignee_id = ", " requester_id = ", " team_id = "} {
		if strings.Contains(shape, "FROM tickets") && strings.Contains(shape, field) {
			n++
		}
	}
	return n > 1
}

var (
	embedded = regexp.MustCompile(`sqlc\.embed\((\w+)\)`)
	named    = regexp.MustCompile(`@([a-z_]+)`)
	heading  = regexp.MustCompile(`(?m)^-- name: (\w+) :(\w+)$`)
	compared = regexp.MustCompile(`\bAND (?:\w+\.)?(\w+) = \$\d+\)?`)
)

// Every list, in every way to narrow it, begins at the right place of an index and reads it in order.
func TestPlansOfLists(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		db := directly(t, address)
		fillTables(t, db, strings.HasPrefix(address, "postgres"))
		files, err := filepath.Glob("../../domain/*/queries.sql")
		if err != nil || len(files) < 10 {
			t.Fatal(files, err)
		}
		shapes := 0
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			marks := heading.FindAllStringSubmatchIndex(string(raw), -1)
			for i, m := range marks {
				end := len(raw)
				if i+1 < len(marks) {
					end = marks[i+1][0]
				}
				name := filepath.Base(filepath.Dir(file)) + "." + string(raw[m[2]:m[3]])
				text := strings.TrimSpace(string(raw[m[1]:end]))
				if !isList(text, string(raw[m[4]:m[5]])) || readsMore[name] != "" {
					continue
				}
				for _, shape := range sqldb.Shapes(numbered(text)) {
					if neverSent(shape) {
						continue
					}
					shapes++
					check(t, db, strings.HasPrefix(address, "postgres"), name, shape)
				}
			}
		}
		if shapes < 40 {
			t.Errorf("only %d statements", shapes)
		}
	})
}

// isList tells what gives many rows or counts as many.
func isList(text, kind string) bool {
	_, text, _ = strings.Cut("\n"+text, "\nSELECT")
	return text != "" && (kind == "many" || strings.Contains(text, "''"))
}

func numbered(text string) string {
	var lines []string
	for line := range strings.SplitSeq(embedded.ReplaceAllString(text, "$1.*"), "\n") {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	number := make(map[string]int)
	return named.ReplaceAllStringFunc(strings.TrimSuffix(strings.Join(lines, "\n"), ";"), func(name string) string {
		if number[name] == 0 {
			number[name] = len(number) + 1
		}
		return fmt.Sprint("$", number[name])
	})
}

func check(t *testing.T, db *sql.DB, postgres bool, name, shape string) {
	t.Helper()
	plan := explain(t, db, postgres, strings.Contains(name, ".Platform"), shape)
	wrong := ""
	for _, sign := range []string{"Seq Scan", "SCAN ", "USE TEMP B-TREE", "Sort "} {
		if sign == "Sort " && strings.Contains(shape, "email_key = ") {
			continue // of one row
		}
		if sign == "Sort " && name == "credential.Search" && strings.Contains(shape, "owner_id = ") {
			continue // of what one owner has, where PostgreSQL finds that less than the terms
		}
		if strings.Contains(plan, sign) {
			wrong = sign
		}
	}
	if fields := compared.FindAllStringSubmatch(shape, -1); wrong == "" && len(fields) > 0 {
		wrong = "no index of what is asked for"
		for line := range strings.SplitSeq(plan, "\n") {
			for _, f := range fields {
				used := strings.Contains(line, "Index Cond") || strings.Contains(line, "USING")
				if used && strings.Contains(line, f[1]+" = ") || used && strings.Contains(line, f[1]+"=?") {
					wrong = ""
				}
			}
		}
	}
	if wrong == "" && !pairServes(name, shape, plan) {
		wrong = "no index of a pair that is asked for"
	}
	if wrong != "" {
		t.Errorf("%s: %s\n%s\n%s", name, wrong, shape, plan)
	}
}

// pairs are filters that have an index together.
var pairs = []struct{ statement, one, other, index string }{
	{"user.List", " role = ", " state = ", "users_in_role_and_state"},
	{"servicedesk.ListAllTickets", " status = ", " priority = ", "tickets_by_status_and_priority"},
	{"servicedesk.ListAllTickets", " status = ", " assignee_id = ", "tickets_by_assignee_and_status"},
	{"servicedesk.ListAllTickets", " status = ", " team_id = ", "tickets_by_team_and_status"},
}

// pairServes tells whether a statement with such filters uses one of their indexes, or another of few rows.
func pairServes(name, shape, plan string) bool {
	serves := true
	for _, p := range pairs {
		if strings.HasPrefix(name, p.statement) && strings.Contains(shape, p.one) &&
			strings.Contains(shape, p.other) {
			if strings.Contains(plan, p.index) {
				return true
			}
			serves = strings.Contains(shape, " id = ") || strings.Contains(shape, " email_key = ") ||
				strings.Contains(shape, " requester_id = ")
		}
	}
	return serves
}

func directly(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if sqldb.IsPostgres(address) {
		driver = "pgx"
	}
	db, err := sql.Open(driver, sqldb.FilePath(address))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// explain gives the plan of a statement for parameters that are not known.
func explain(t *testing.T, db *sql.DB, postgres, platform bool, text string) string {
	t.Helper()
	ctx := context.Background()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	ask, column := `EXPLAIN QUERY PLAN `+text, 3
	var args []any
	if postgres {
		role := "gatehouse_app"
		if platform {
			role = "gatehouse_platform"
		}
		exec(`SET ROLE ` + role)
		exec(`SELECT set_config('app.organization_id', 'id1', false)`)
		exec(`SET plan_cache_mode = force_generic_plan`)
		exec(`PREPARE asked AS ` + text)
		defer exec(`DEALLOCATE asked`)
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", highest(text)), ", ")
		if ask, column = `EXPLAIN EXECUTE asked`, 0; nulls != "" {
			ask += `(` + nulls + `)`
		}
	} else {
		args = make([]any, highest(text))
	}
	rows, err := db.QueryContext(ctx, ask, args...)
	if err != nil {
		t.Fatalf("%s: %v", ask, err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(values[column]))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func highest(text string) (n int) {
	for strings.Contains(text, fmt.Sprint("$", n+1)) {
		n++
	}
	return n
}

// fillTables gives the planner something to plan for: an organization with two thousand of everything that lists
// show.
func fillTables(t *testing.T, db *sql.DB, postgres bool) {
	t.Helper()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	columns := `SELECT name, type FROM pragma_table_info($1)`
	if postgres {
		columns = `SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1
			AND table_schema = current_schema()`
		exec(`SET ROLE gatehouse_platform`)
	}
	one := func(of ...string) string { // of these in turn, the first most of the time
		text := `CASE `
		for i, v := range of[1:] {
			text += fmt.Sprintf(`WHEN i %% 50 = %d THEN '%s' `, i+1, v)
		}
		return text + `ELSE '` + of[0] + `' END`
	}
	ten := func(prefix string) string { return `'` + prefix + `' || (i % 10)` }
	for _, table := range []struct {
		name string
		is   map[string]string // what a column holds, if not its row's number
	}{
		{"organizations", map[string]string{"state": one("active", "suspended"), "account_number": `''`}},
		{"organization_origins", map[string]string{"organization_id": `'id' || i`}},
		{"organization_redirects", map[string]string{"organization_id": `'id' || i`}},
		{"roles", nil},
		{"users", map[string]string{"kind": `'person'`, "state": one("active", "disabled"), "role": ten("r")}},
		{"teams", nil},
		{"team_members", map[string]string{"team_id": `'id' || (1 + i % 10)`, "user_id": `'id' || i`}},
		{"invitations", map[string]string{"state": one("pending", "accepted", "revoked")}},
		{"sessions", map[string]string{"user_id": `'id' || (1 + i % 10)`, "state": one("active", "ended")}},
		{"audit_events", map[string]string{"actor_id": ten("a"), "target_id": ten("t"), "act": ten("b"),
			"outcome": `'success'`}},
		{"tickets", map[string]string{"type": `'task'`, "status": one("closed", "new", "open"),
			"priority": one("medium", "low", "high"), "requester_id": ten("id"), "assignee_id": ten("id"),
			"team_id": ten("id")}},
		{"clients", map[string]string{"state": one("active", "off", "deleted")}},
		{"credentials", map[string]string{"kind": one("api_key", "access_token", "system_token"), "owner_id": ten("id"),
			"owner_kind": `'user'`, "state": one("active", "off", "revoked"), "previous_digest": `''`}},
		{"client_grants", map[string]string{"client_id": `'id' || (1 + i % 10)`, "state": `'active'`}},
		{"search_terms", map[string]string{"kind": one("user", "team", "client", "api_key", "organization"),
			"subject": `'id' || i`}},
		{"revoked_tokens", nil},
		{"connections", map[string]string{"kind": one("oidc", "saml", "google"),
			"state": one("active", "draft", "off")}},
		{"domains", map[string]string{"state": one("pending", "verified", "lapsed"), "connection_id": ten("id")}},
		{"setup_links", map[string]string{"intent": `'sso'`}},
		{"identities", map[string]string{"connection_id": `'id' || (1 + i % 10)`, "user_id": `'id' || i`}},
		{"factors", map[string]string{"user_id": `'id' || (1 + i % 500)`, "method": `'webauthn'`,
			"state": `'active'`}},
	} {
		rows, err := db.Query(columns, table.name)
		if err != nil {
			t.Fatal(err)
		}
		var names, values []string
		for rows.Next() {
			var name, typ string
			if err := rows.Scan(&name, &typ); err != nil {
				t.Fatal(err)
			}
			value := table.is[name]
			switch typ = strings.ToLower(typ); {
			case value != "":
			case name == "organization_id":
				value = `'id1'`
			case typ == "boolean":
				value = `FALSE`
			case typ == "bigint":
				value = `i`
			default:
				value = `'` + name + `' || i`
			}
			names, values = append(names, name), append(values, value)
		}
		if err := rows.Err(); err != nil || len(names) == 0 {
			t.Fatal(table.name, names, err)
		}
		exec(`INSERT INTO ` + table.name + ` (` + strings.Join(names, ", ") + `)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
			SELECT ` + strings.Join(values, ", ") + ` FROM n`)
	}
	if postgres {
		exec(`RESET ROLE`)
	}
	if postgres { // which does it by itself; SQLite plans without statistics
		exec(`ANALYZE`)
	}
}
