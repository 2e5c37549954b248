package session

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session/sessiondb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// Purge removes sessions that ended long ago, with their refresh families, at most limit at once.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge ended sessions", func(tx *sqldb.Tx) error {
		gone, err := sessiondb.New(tx).PlatformPurge(ctx, sqldb.MillisOf(now.Add(-purgeAfter)), int64(limit))
		n = int64(len(gone))
		return err
	})
	return n, err
}

// Flush writes the uses noted since the last time.
func (s *Service) Flush(ctx context.Context) error {
	return s.uses.FlushTo(ctx, s.now(), s.db, func(ctx context.Context, tx *sqldb.Tx, org id.Organization,
		u stamp.Use[use]) error {
		_, err := sessiondb.New(tx).Stamp(ctx, sessiondb.StampParams{UsedAt: sqldb.MillisOf(u.V.at),
			ExpiresAt: sqldb.MillisOf(u.V.expires), Address: u.V.address, OrganizationID: org, ID: id.Session(u.ID)})
		return err
	})
}

// Void ends every session.
func (s *Service) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{Counts: "sessions",
		SQL: `UPDATE sessions SET state = 'ended', end_reason = 'restored', ended_at = $1 WHERE state = 'active'`}}
}
