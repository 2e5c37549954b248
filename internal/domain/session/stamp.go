package session

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session/sessiondb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// stampEvery is how exactly the last use is known; within it a session is stamped once. It is a tenth of the shortest
// idle limit, so that no session in use seems idle.
const stampEvery = 30 * time.Second

// FlushEvery is how often stamps are written.
const FlushEvery = 15 * time.Second

// use is what is known of a session's last use.
type use struct {
	at      time.Time
	expires time.Time
	address string
}

// Touch notes a use of a session. It writes nothing itself.
func (s *Service) Touch(f Session, now time.Time, address string) {
	if k := key(f.Organization, f.ID); s.uses.Due(k, now) {
		s.uses.Note(k, now, use{now, f.Deadline(now), address})
	}
}

// Flush writes the uses noted since the last time.
func (s *Service) Flush(ctx context.Context) error {
	return s.uses.Flush(ctx, s.now(), func(ctx context.Context, org id.Organization, uses []stamp.Use[use]) error {
		return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
			q := sessiondb.New(tx)
			for _, u := range uses {
				if _, err := q.Stamp(ctx, sessiondb.StampParams{UsedAt: sqldb.MillisOf(u.V.at),
					ExpiresAt: sqldb.MillisOf(u.V.expires), Address: u.V.address, OrganizationID: org,
					ID: id.Session(u.ID)}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
