package token

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Purge removes families of clients that have expired and revoked tokens that would have by now, at most limit of each.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge expired tokens", func(tx *sqldb.Tx) error {
		q, before := tokendb.New(tx), sqldb.MillisOf(now.Add(-purgeAfter))
		grants, err := q.PlatformPurgeGrants(ctx, before, int64(limit))
		if err != nil {
			return err
		}
		tokens, err := q.PlatformPurgeRevoked(ctx, before, int64(limit))
		n = max(grants, tokens)
		return err
	})
	return n, err
}

// Void ends every refresh token of clients; those of sessions end with their sessions.
func (s *Service) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: `UPDATE client_grants SET state = 'ended', ended_at = $1 WHERE state = 'active'`}}
}
