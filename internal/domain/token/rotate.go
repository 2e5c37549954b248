package token

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// rotateOnPostgres rotates the family and moves the session's deadline in one statement and one round trip. The
// family's UPDATE decides the race; a session that ended meanwhile is not extended, and then the rotated family is
// worthless with it.
const rotateOnPostgres = `WITH family AS (
    UPDATE refresh_families SET previous_jti = current_jti, current_jti = $1, generation = generation + 1, rotated_at = $2, overlap_until = $3, successor = $4
    WHERE organization_id = $5 AND id = $6 AND current_jti = $7 AND state = 'active' AND (SELECT not_before FROM installation) <= $11 RETURNING id
), extended AS (
    UPDATE sessions SET last_used_at = $2, expires_at = $8, address = $9
    WHERE organization_id = $5 AND id = $10 AND state = 'active' AND expires_at > $2 AND EXISTS (SELECT 1 FROM family) RETURNING id
)
SELECT (SELECT count(*) FROM family), (SELECT count(*) FROM extended)`

// rotate makes row.NextJti the token in force if row.Presented is it, and extends the session. Not rotated: the
// presented token is another.
func (s *Service) rotate(ctx context.Context, row tokendb.RotateParams, f session.Session,
	address string) (rotated bool, err error) {
	now := row.Now.Time()
	if s.db.Engine() == sqldb.Postgres {
		var families, sessions int64
		err := s.db.Statement(row.OrganizationID).
			QueryRow(ctx, rotateOnPostgres, row.NextJti, row.Now, row.OverlapUntil, row.Successor, row.OrganizationID,
				row.ID, row.Presented,
				sqldb.MillisOf(f.Deadline(now)), address, f.ID, row.Issued).Scan(&families, &sessions)
		if err != nil {
			return false, fmt.Errorf("token: rotate: %w", err)
		}
		if families == 1 && sessions == 0 {
			return false, errRevoked()
		}
		return families == 1, nil
	}
	err = s.db.Tx(ctx, row.OrganizationID, func(tx *sqldb.Tx) error {
		n, err := tokendb.New(tx).Rotate(ctx, row)
		if err != nil {
			return fmt.Errorf("token: rotate: %w", err)
		}
		if rotated = n == 1; !rotated {
			return nil
		}
		live, err := s.sessions.Extend(ctx, tx, f, now, address)
		if err == nil && !live {
			err = errRevoked() // ended between the look and the transaction: nothing is rotated
		}
		return err
	})
	return rotated, err
}
