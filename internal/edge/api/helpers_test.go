package api_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func tenantHosts(c *config.Config, _ *server.Options) { c.TenantHosts = []string{"apps.example.com"} }

func eachAddress(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	sqldbtest.EachAddress(t, fn)
}

type httpRequest = http.Request

type webRoute = web.Route

// manyTries lets tests of crowds use one name and address again and again: what they are about is not the lock.
func manyTries(_ *config.Config, o *server.Options) {
	o.Limits = attempt.DefaultLimits
	o.Limits.AccountFailures, o.Limits.AddressFailures = 1000, 100_000
}

// dump gives all rows of a table as text.
func dump(t *testing.T, s *servertest.Server, table string) string {
	t.Helper()
	query := `SELECT row_to_json(x)::text FROM ` + table + ` x`
	if s.DB.Engine() == sqldb.SQLite {
		rows, err := s.DB.Platform("test").Query(t.Context(), `SELECT name FROM pragma_table_info('`+table+`')`)
		if err != nil {
			t.Fatal(err)
		}
		columns := scanAll(t, rows)
		for i := range columns {
			columns[i] = "CAST(" + columns[i] + " AS TEXT)"
		}
		query = `SELECT ` + strings.Join(columns, ` || ' ' || `) + ` FROM ` + table
	}
	rows, err := s.DB.Platform("test").Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(scanAll(t, rows), "\n")
}

func scanAll(t *testing.T, rows pgx.Rows) []string {
	t.Helper()
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// quiet logs warnings only, as benchmarks want it.
func quiet(_ *config.Config, o *server.Options) {
	o.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type (
	orgID  = id.Organization
	userID = id.User
)

func sourceOf(address string) principal.Source {
	return principal.Source{Request: id.New[id.Request](), Address: address}
}
