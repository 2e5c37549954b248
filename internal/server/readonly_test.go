package server_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// A PostgreSQL that became read-only is said: by /readyz, which keeps the node where it can still check credentials, by
// the refusals, by a metric and by doctor. Once it writes again all is well without a restart.
func TestReadOnlyDatabase(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		address := s.Config.Database.Reveal()
		if !sqldb.IsPostgres(address) {
			t.Skip("a file is found out when it is written to")
		}
		admins := s.As(t, servertest.Admin)
		key := s.Key(t, admins, s.Organization(demo.Tenant), "tickets:manage:all")
		readyz := func(status int, body, writes string) {
			t.Helper()
			var r servertest.Response
			for range 100 { // until the connections are new ones
				if r = s.Do(t, "GET", "/readyz", nil); r.Status == status && r.String("status") == body &&
					r.String("checks.database_writes") == writes {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Fatalf("readyz: %d %s, want %d %s", r.Status, r.Body, status, body)
		}
		doctor := func(found bool) {
			t.Helper()
			for _, d := range admin.Doctor(t.Context(), s.Config, slog.New(slog.DiscardHandler)) {
				if d.Check == "database writes" {
					if !found || d.Verdict != admin.Bad ||
						!strings.Contains(d.Finding, "default_transaction_read_only") {
						t.Errorf("doctor: %+v", d)
					}
					return
				}
			}
			if found {
				t.Error("doctor says nothing")
			}
		}
		readyz(200, "ok", "ok")
		doctor(false)
		setReadOnly(t, address, "on")
		readyz(200, "degraded", "failing")
		s.Do(t, "GET", "/v1/tickets", nil, key.Send()).Want(t, 200)
		r := s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
			Want(t, 503, "UNAVAILABLE")
		if !strings.Contains(r.String("detail"), "takes no writes") {
			t.Errorf("%s", r.Body)
		}
		s.Do(t, "DELETE", "/v1/api-keys/"+key.ID, nil, admins).Want(t, 503)
		if n := s.DB.WritesRefused(); n < 2 {
			t.Errorf("%d refused writes are counted", n)
		}
		doctor(true)
		setReadOnly(t, address, "off")
		readyz(200, "ok", "ok")
		s.Login(t, servertest.Agent)
		doctor(false)
	})
}

// setReadOnly makes a database such and ends its connections: they would go on as they began.
func setReadOnly(t *testing.T, address, value string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range []string{`ALTER DATABASE ` + pgx.Identifier{name}.Sanitize() +
		` SET default_transaction_read_only = ` + value,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `'`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
}
