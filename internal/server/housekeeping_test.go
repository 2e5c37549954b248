package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// Housekeeping removes what expired long ago from every table that would grow, in more batches than one, and leaves
// what lives.
func TestHousekeepingRemoves(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		org, user := id.Organization(s.Organization(demo.Tenant)), s.UserID(t, servertest.Agent)
		client := s.Seeds.Clients[0].ClientID
		const many = 1500
		tables := map[string]string{
			"onetime":        `INSERT INTO onetime (organization_id, purpose, digest, subject, created_at, expires_at) VALUES ($1, 'old', $2, 'x', 1, 1)`,
			"sessions":       `INSERT INTO sessions (organization_id, id, user_id, state, sliding, auth_time, created_at, last_used_at, expires_at, absolute_expires_at, ended_at, device, fingerprint, address) VALUES ($1, $2, '` + user + `', 'ended', true, 1, 1, 1, 1, 0, 1, '', '', '')`,
			"client_grants":  `INSERT INTO client_grants (organization_id, id, client_id, credential_id, permissions, thumbprint, current_jti, state, created_at, expires_at) VALUES ($1, $2, '` + client + `', '', '[]', '', 'x', 'active', 1, 1)`,
			"revoked_tokens": `INSERT INTO revoked_tokens (organization_id, jti, subject, created_at, expires_at) VALUES ($1, $2, 'x', 1, 1)`,
			"invitations":    `INSERT INTO invitations (organization_id, id, email, email_key, name, role, team_ids, state, invited_by, user_id, created_at, expires_at) VALUES ($1, $2, 'x', $2, '', 'end_user', '[]', 'pending', '', '', 1, 1)`,
			"rate_counts":    `INSERT INTO rate_counts (organization_id, id, minute, used) VALUES ($1, $2, 1, 1)`,
			"login_attempts": `INSERT INTO login_attempts (digest, failures, locks, locked_until, updated_at) SELECT $2, 1, 0, 0, 1 WHERE $1 <> ''`,
		}
		s.Login(t, servertest.Agent)
		before := make(map[string]int)
		for table, insert := range tables {
			before[table] = rowsOf(t, s, table)
			err := s.DB.PlatformTx(t.Context(), "old rows for a test", func(tx *sqldb.Tx) error {
				for i := range many {
					if _, err := tx.Exec(t.Context(), insert, org, fmt.Sprintf("old-%05d", i)); err != nil {
						return fmt.Errorf("%s: %w", table, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for table := range tables {
			for end := time.Now().Add(20 * time.Second); rowsOf(t, s,
				table) > before[table]; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s has %d rows, %d before the old ones", table, rowsOf(t, s, table), before[table])
				}
			}
			if n := rowsOf(t, s, table); n < before[table] {
				t.Errorf("%s has %d rows, %d before the old ones: something that lives was removed", table, n,
					before[table])
			}
		}
	}, func(c *config.Config, _ *server.Options) { c.Housekeeping = config.Duration(time.Second) })
}

func rowsOf(t *testing.T, s *servertest.Server, table string) (n int) {
	t.Helper()
	if err := s.DB.Platform("what is left in a table").QueryRow(t.Context(), `SELECT count(*) FROM `+table).
		Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
