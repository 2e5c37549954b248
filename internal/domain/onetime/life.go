package onetime

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/onetime/onetimedb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// kept is how long a secret stays after it expired: clocks differ.
const kept = 24 * time.Hour

// Purge removes what expired before a moment, at most limit rows.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.db.PlatformTx(ctx, "purge single-use secrets", func(tx *sqldb.Tx) error {
		n, err = onetimedb.New(tx).PlatformPurge(ctx, sqldb.MillisOf(now.Add(-kept)), int64(limit))
		return err
	})
	return n, err
}

const voidAll = `UPDATE onetime SET used_at = $1 WHERE used_at = 0`

// Void uses every link and code up.
func (s *Service) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: voidAll, Counts: "links"}}
}

// FailedOver does so where PostgreSQL was failed over or restored: one that was used may be as it was before.
func FailedOver(ctx context.Context, tx sqldb.Execer, f sqldb.Failover) error {
	_, err := tx.Exec(ctx, voidAll, f.At.UnixMilli())
	return err
}
