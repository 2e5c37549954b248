package server_test

import (
	"context"
	"regexp"
	"slices"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
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
	"setup_links":      "each is worthless without its secret, which is void",
	"search_terms":     "the names of what is there; names are not carried over",
	"sla_policies":     "nothing about who may do what",
	"sqlite_sequence":  "SQLite's own",
	"teams":            "names; who is in a team is carried over",
	"tickets":          "nothing about who may do what",
}

// voided and carried are what a restore makes void, and what it takes over from a database that was in use until then,
// said a second time: whoever takes a table off a list in its owner's life.go must take it off here too.
var (
	voided = []string{"backup_codes", "client_grants", "clients", "credentials", "known_devices", "leases", "mails",
		"onetime", "sessions", "signing_keys", "users"}
	carried = []string{
		"backup_codes",
		"clients",
		"connections",
		"credentials",
		"domains",
		"factors",
		"identities",
		"invitations",
		"known_devices",
		"organization_origins",
		"organization_redirects",
		"organizations",
		"roles",
		"signing_keys",
		"team_members",
		"users",
	}
	// ofPeople stay as they are where what became of them was carried over.
	ofPeople = []string{"backup_codes", "known_devices", "users"}
	machines = []string{"clients", "credentials"}
)

// FLT21: after a restore nothing comes back to life that was ended since: each table is made void, carried over or
// excused.
func TestFLT21_EveryTableHasAnAnswer(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t)) // the tables are the same on both engines
	target := regexp.MustCompile(`(?i)(?:UPDATE|DELETE FROM|INTO)\s+(\w+)`)
	void := func(r sqldb.Restore) (names []string) {
		for _, step := range s.Void(r) {
			m := target.FindStringSubmatch(step.SQL)
			if m == nil {
				t.Fatalf("%q touches no table", step.SQL)
			}
			names = append(names, m[1])
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	without := func(lists ...[]string) []string {
		return slices.DeleteFunc(slices.Clone(voided), func(name string) bool {
			return slices.ContainsFunc(lists, func(list []string) bool { return slices.Contains(list, name) })
		})
	}
	for _, c := range []struct {
		r    sqldb.Restore
		want []string
	}{
		{sqldb.Restore{}, voided},
		{sqldb.Restore{KeepMachines: true}, without(machines)},
		{sqldb.Restore{Carried: true, KeepMachines: true}, without(machines, ofPeople)},
	} {
		if got := void(c.r); !slices.Equal(got, c.want) {
			t.Errorf("%+v makes void %v, want %v", c.r, got, c.want)
		}
	}
	var taken []string
	for _, c := range s.Carry() {
		taken = append(taken, c.Table)
	}
	if slices.Sort(taken); !slices.Equal(taken, carried) {
		t.Errorf("carried over are %v, want %v", taken, carried)
	}
	tables := tablesOf(t, s)
	for _, name := range tables {
		answered := slices.Contains(voided, name) || slices.Contains(carried, name)
		if answered == (excused[name] != "") {
			t.Errorf("%s: answered %t, excused %q: say what becomes of it in Void or Carry of its owner (life.go)",
				name,
				answered, excused[name])
		}
	}
	for name := range excused {
		if !slices.Contains(tables, name) {
			t.Errorf("%s is excused and is no table", name)
		}
	}
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
