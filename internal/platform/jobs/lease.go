package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Leases let one node at a time do a job. A lease is a row; a node that dies lets it run out.
type Leases struct {
	db     *sqldb.DB
	holder string
	now    func() time.Time
}

// NewLeases makes the leases of one node; holder is its name, which no other has.
func NewLeases(db *sqldb.DB, holder string, now func() time.Time) *Leases {
	return &Leases{db: db, holder: holder, now: now}
}

// Hold takes or prolongs a lease; false: another node has it.
func (l *Leases) Hold(ctx context.Context, name string, term time.Duration) (held bool, err error) {
	now := l.now()
	err = l.db.PlatformTx(ctx, "the lease of a job", func(tx *sqldb.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO leases (name, holder, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at WHERE leases.holder = excluded.holder OR leases.expires_at <= $4`,
			name, l.holder, now.Add(term).UnixMilli(), now.UnixMilli())
		held = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return held, nil
}

// Release gives all leases of this node back.
func (l *Leases) Release(ctx context.Context) error {
	return l.db.PlatformTx(ctx, "give back the leases of a node", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM leases WHERE holder = $1`, l.holder)
		return err
	})
}

// Void lets every lease go: their holders are of another time.
func (l *Leases) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: `UPDATE leases SET expires_at = $1`}}
}
