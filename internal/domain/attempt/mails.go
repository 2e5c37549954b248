package attempt

import (
	"context"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt/attemptdb"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// CountMail counts a mail against all of its bounds, or against none if one is reached. A counter begins anew when its
// window has passed. The counters are rows like those of failures, locked in the order of the bounds: those of one
// address first, the one of the whole installation last, in every transaction.
func (s *Service) CountMail(ctx context.Context, window time.Duration, bounds []mail.Bound) error {
	digests := make([]string, len(bounds))
	for i, b := range bounds {
		digests[i] = s.digest("mail", b.Subject)
	}
	err := s.db.PlatformTx(ctx, "counters of mails", func(tx *sqldb.Tx) error {
		now, q := s.now(), attemptdb.New(tx)
		for i, b := range bounds {
			row, err := q.PlatformCount(ctx, digests[i], sqldb.MillisOf(now), now.Add(-window).UnixMilli())
			if err != nil {
				return err
			}
			if row.Failures > b.Most { // a refusal takes back what was counted before it
				wait := row.UpdatedAt.Time().Add(window).Sub(now)
				return fault.Limitedf(fault.CodeRateLimited, max(wait, time.Second), "%s", b.Refusal)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("attempt: mail: %w", err)
	}
	return nil
}
