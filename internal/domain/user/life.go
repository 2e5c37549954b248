package user

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Purge removes invitations that expired long ago, at most limit at once.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge expired invitations", func(tx *sqldb.Tx) error {
		n, err = userdb.New(tx).PlatformPurgeInvitations(ctx, sqldb.MillisOf(now.Add(-invitationsKept)),
			int64(limit))
		return err
	})
	return n, err
}

// Void takes back what stands in users' rows of backup codes that are void (domain/mfa): unless what became of them was
// carried over, none can be told from one that was used since.
func (s *Service) Void(r sqldb.Restore) []sqldb.Step {
	if r.Carried {
		return nil
	}
	return []sqldb.Step{{SQL: `UPDATE users
		SET second_factors = TRIM(REPLACE(second_factors, 'backup_codes', '')), updated_at = $1
		WHERE second_factors LIKE '%backup_codes%'`}}
}

// Carry takes over who was disabled, demoted or chose another password, which invitations ended, and who left a team.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{
		{Table: "users", Gone: "disabled", Columns: "state, kind, role, password_hash, password_changed_at, " +
			"mfa_exempt, mfa_required, second_factors, break_glass"},
		{Table: "invitations", Columns: "state, role", Gone: "revoked"},
		{Table: "team_members", SQL: []string{`DELETE FROM main.team_members WHERE NOT EXISTS (
			SELECT 1 FROM former.team_members f WHERE f.organization_id = team_members.organization_id
				AND f.team_id = team_members.team_id AND f.user_id = team_members.user_id)`}},
	}
}
