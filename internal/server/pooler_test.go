package server_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// F11: two nodes behind PgBouncer in transaction mode do all that nodes do: what one revokes stops on the other at
// once, and both heal when the pooler was restarted. Doctor says that it is well, and else what is wrong.
func TestF11_NodesBehindPooler(t *testing.T) {
	t.Parallel()
	if os.Getenv(sqldbtest.PostgresEnv) == "" {
		t.Skip("PostgreSQL only")
	}
	direct := sqldbtest.Postgres(t)
	pooler := sqldbtest.StartPooler(t, direct, "default_pool_size = 20", "default_pool_size = 4")
	behind := func(c *config.Config, _ *server.Options) { c.DatabaseListen = secret.New(direct) }
	a := servertest.New(t, pooler.Through(direct), behind, servertest.WithoutRedis)
	b := servertest.Join(t, pooler.Through(direct), behind, servertest.WithoutRedis)
	ready := func() {
		t.Helper()
		for _, s := range []*servertest.Server{a, b} {
			var r servertest.Response
			for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				if r = s.Do(t, "GET", "/readyz", nil); r.Status == 200 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("not ready: %s\n%s", r.Body, s.Logs)
				}
			}
		}
	}
	// revoke ends a key on one node and waits until the other refuses it.
	revoke := func() {
		t.Helper()
		admins := a.As(t, servertest.Admin)
		key := a.Key(t, admins, a.Organization(demo.Tenant), "tickets:manage:all")
		for range 5 {
			b.Do(t, "GET", "/v1/tickets", nil, key.Send()).Want(t, 200)
		}
		a.Do(t, "DELETE", "/v1/api-keys/"+key.ID, nil, admins).Want(t, 204)
		began := time.Now()
		for b.Do(t, "GET", "/v1/tickets", nil, key.Send()).Status == 200 {
			if time.Since(began) > 5*time.Second {
				t.Fatal("a revoked key goes on working")
			}
		}
	}
	ready()
	revoke()

	pooler.Stop()
	a.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": demo.Password}).
		Want(t, 503, "UNAVAILABLE")
	if r := a.Do(t, "GET", "/readyz", nil); r.Status != 503 {
		t.Errorf("ready without the database: %s", r.Body)
	}
	pooler.Start()
	ready()
	revoke()

	doctor := func(c config.Config, check string) (d admin.Diagnosis) {
		t.Helper()
		for _, d := range admin.Doctor(t.Context(), c, slog.New(slog.DiscardHandler)) {
			if d.Check == check {
				return d
			}
		}
		t.Errorf("doctor says nothing of %s", check)
		return d
	}
	for _, check := range []string{"database", "database_listen", "row-level security", "invalidation feed"} {
		if d := doctor(a.Config, check); d.Verdict != admin.Good {
			t.Errorf("%+v", d)
		}
	}
	// PgBouncer refuses in its own words, all under one code.
	address := a.Config.Database.Reveal()
	users := filepath.Join(t.TempDir(), "userlist.txt")
	if err := os.WriteFile(users, []byte(`"tester" "another"`), 0o600); err != nil {
		t.Fatal(err)
	}
	withUsers := []string{"auth_file = /etc/pgbouncer/userlist.txt", "auth_file = " + users + "\nunix_socket_dir =",
		"auth_type = scram-sha-256"}
	strict := sqldbtest.StartPooler(t, direct, append(withUsers, "auth_type = scram-sha-256")...)
	unnamed := sqldbtest.StartPooler(t, direct, append(withUsers, "auth_type = trust",
		"gatehouse = host=10.0.0.5 port=5432 dbname=gatehouse", "other = host=127.0.0.1 dbname=other")...)
	for database, remedy := range map[string]string{
		address + "&statement_timeout=5000": "ignore_startup_parameters",
		unnamed.Through(address):            "[databases]",
		strict.Through(address):             "auth_file",
	} {
		c := a.Config
		c.Database = secret.New(database)
		if d := doctor(c, "database"); d.Verdict != admin.Bad || !strings.Contains(d.Remedy, remedy) {
			t.Errorf("%+v, want %q", d, remedy)
		}
	}
	untold, elsewhere, pooled := a.Config, a.Config, a.Config
	untold.DatabaseListen = secret.Secret{}
	elsewhere.DatabaseListen = secret.New(sqldbtest.Postgres(t))
	pooled.DatabaseListen = a.Config.Database
	for _, c := range []struct {
		config         config.Config
		check, finding string
	}{
		{untold, "database", "pooler in transaction mode"},
		{elsewhere, "database_listen", "same database"},
		{pooled, "database_listen", "pooler in transaction mode"},
	} {
		d := doctor(c.config, c.check)
		if d.Verdict != admin.Bad || !strings.Contains(d.Finding, c.finding) ||
			!strings.Contains(d.Remedy, "database_listen") {
			t.Errorf("%+v, want %q", d, c.finding)
		}
		if s, err := server.New(t.Context(), c.config, server.Options{}); err == nil {
			s.DB.Close()
			t.Errorf("a server starts where doctor finds %q", d.Finding)
		} else if !strings.Contains(err.Error(), "database_listen") {
			t.Errorf("start: %v", err)
		}
	}
}
