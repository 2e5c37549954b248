package server_test

import (
	"context"
	"regexp"
	"slices"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// excused are the tables of which a restore makes nothing void and takes nothing over, and why that is right.
var excused = map[string]string{
	"audit_events":     "what happened is told as it was in the backup",
	"goose_db_version": "the schema's own",
	"installation":     "its not_before makes every token void",
	"invalidations":    "announcements; everything is read again",
	"login_attempts":   "counters of names; an older state locks less for at most a quarter of an hour",
	"rate_counts":      "counters of minutes that are past",
	"refresh_families": "each is worthless without its session",
	"revoked_tokens":   "the tokens are void in any case",
	"sla_policies":     "nothing about who may do what",
	"sqlite_sequence":  "SQLite's own",
	"teams":            "names; who is in a team is carried over",
	"tickets":          "nothing about who may do what",
}

// G8: after a restore nothing comes back to life that was ended since: each table is made void, carried over or
// excused.
func TestG8_EveryTableHasAnAnswer(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		if s.DB.Engine() != sqldb.SQLite {
			return // the tables are the same
		}
		answered := map[string]bool{}
		table := regexp.MustCompile(`(?i)(?:UPDATE|DELETE FROM)\s+(\w+)`)
		for _, step := range s.Void(sqldb.Restore{}) {
			answered[table.FindStringSubmatch(step.SQL)[1]] = true
		}
		for _, c := range s.Carry() {
			answered[c.Table] = true
		}
		tables := tablesOf(t, s)
		for _, name := range tables {
			if answered[name] == (excused[name] != "") {
				t.Errorf("%s: answered %t, excused %q: name what becomes of it in Void or Carry of its owner (life.go)",
					name, answered[name], excused[name])
			}
		}
		for name := range excused {
			if !slices.Contains(tables, name) {
				t.Errorf("%s is excused and is no table", name)
			}
		}
		for name := range answered {
			if !slices.Contains(tables, name) {
				t.Errorf("%s is answered and is no table", name)
			}
		}
		if carried := len(s.Void(sqldb.Restore{Carried: true, KeepMachines: true})); carried >= len(
			s.Void(sqldb.Restore{})) {
			t.Errorf("%d steps where all was carried over: as many as where nothing was", carried)
		}
	})
}

func tablesOf(t *testing.T, s *servertest.Server) (names []string) {
	t.Helper()
	rows, err := s.DB.Platform("which tables there are").Query(context.Background(),
		`SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	return names
}
