package attempt

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/attempt/attemptdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// kept is how long a counter stays that nobody tries at.
const kept = 48 * time.Hour

// Purge removes counters without a try since a moment, at most limit rows.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge attempt counters", func(tx *sqldb.Tx) error {
		n, err = attemptdb.New(tx).PlatformPurge(ctx, sqldb.MillisOf(now.Add(-kept)), int64(limit))
		return err
	})
	return n, err
}
