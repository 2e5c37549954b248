package mfa

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Purge forgets enrolments that were never confirmed and devices not seen for long, at most limit each.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge pending factors and old devices", func(tx *sqldb.Tx) error {
		q := mfadb.New(tx)
		pending, err := q.PlatformPurgePending(ctx, sqldb.MillisOf(now.Add(-EnrollmentLifetime)), int64(limit))
		if err != nil {
			return err
		}
		devices, err := q.PlatformPurgeDevices(ctx, sqldb.MillisOf(now), int64(limit))
		n = max(pending, devices)
		return err
	})
	return n, err
}

// Void uses backup codes up and forgets devices, unless what became of them was carried over: a code that was used
// since would be good again.
func (s *Service) Void(r sqldb.Restore) []sqldb.Step {
	if r.Carried {
		return nil
	}
	return []sqldb.Step{
		{SQL: `UPDATE backup_codes SET used_at = $1 WHERE used_at = 0`},
		{SQL: `DELETE FROM known_devices WHERE created_at <= $1`},
	}
}

// Carry takes over what was used, added and removed.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{
		{Table: "factors", Of: "users", By: "user_id"},
		{Table: "backup_codes", Of: "users", By: "user_id"},
		{Table: "known_devices", Of: "users", By: "user_id"},
	}
}
