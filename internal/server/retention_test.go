package server_test

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// Events of the audit log stay for ever, unless the installation or an organization keeps them for a time; the
// shorter one decides, nobody's is shorter than a month, and a machine changes none.
func TestAuditRetention(t *testing.T) {
	const day, many = 24 * time.Hour, 1500
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		orgs := map[string]id.Organization{"acme": id.Organization(s.Organization(demo.Tenant)),
			"second": id.Organization(s.Organization("second-tenant"))}
		now := s.Clock.Now()
		write := func(org id.Organization, age time.Duration, n int) {
			t.Helper()
			err := s.DB.Tx(t.Context(), org, func(tx *sqldb.Tx) error {
				for range n {
					at := now.Add(-age)
					if _, err := tx.Exec(t.Context(), `INSERT INTO audit_events (organization_id, id, at, act, outcome,
						actor_kind, actor_id, actor_home, target_kind, target_id, address, user_agent, request_id, details)
						VALUES ($1, $2, $3, 'old', 'success', 'system', 'test', $1, 'test', '', '', '', '', '{}')`, org,
						id.At[id.Event](at), at.UnixMilli()); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		left := func(org id.Organization) (n int) {
			t.Helper()
			if err := s.DB.Tenant(org).QueryRow(t.Context(),
				`SELECT count(*) FROM audit_events WHERE organization_id = $1 AND act = 'old'`, org).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		purge := func() {
			t.Helper()
			for {
				n, err := s.Organizations.Purge(t.Context(), now, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if n < 1000 {
					return
				}
			}
		}
		if size, err := s.Audit.Size(t.Context()); err != nil || size.Bytes <= 0 {
			t.Errorf("size %+v: %v", size, err)
		}
		for _, org := range orgs {
			write(org, 400*day, many)
			write(org, 100*day, 3)
			write(org, 29*day, 2)
		}
		purge()
		for name, org := range orgs {
			if n := left(org); n != many+5 {
				t.Errorf("%s keeps for ever, and has %d", name, n)
			}
		}
		admin := s.As(t, servertest.Admin)
		set := func(days int, as servertest.Change) servertest.Response {
			return s.Do(t, "PATCH", "/v1/organization",
				map[string]any{"settings": map[string]any{"auditRetentionDays": days}}, as)
		}
		for _, wrong := range []int{-1, 1, 29, 36501} {
			set(wrong, admin).Want(t, 400)
		}
		set(90, s.Key(t, admin, s.Organization(demo.Tenant), "organization:manage:all").Send()).Want(t, 403)
		set(200, admin).Want(t, 200)
		purge()
		if a, b := left(orgs["acme"]), left(orgs["second"]); a != 5 || b != many+5 {
			t.Errorf("an organization that keeps 200 days has %d, another %d", a, b)
		}
		s.Organizations.UseRetention(90 * day)
		purge()
		if a, b := left(orgs["acme"]), left(orgs["second"]); a != 2 || b != 2 {
			t.Errorf("where the installation keeps 90 days, one has %d and another %d", a, b)
		}
		set(30, admin).Want(t, 200)
		purge()
		if a := left(orgs["acme"]); a != 2 {
			t.Errorf("of the last month %d are left", a)
		}
	}, func(c *config.Config, _ *server.Options) { c.Housekeeping = config.Duration(24 * time.Hour) })
}
