package organization

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization/organizationdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

const day = 24 * time.Hour

// MinRetention is how long events of the audit log are kept at least, whatever is set: who shortens it to hide
// something is still seen for a month, and a backup of that age still tells which installation it is of.
const (
	MinRetention = 30 * day
	maxRetention = 36_500 * day
)

// UseRetention sets how long the installation keeps events of the audit log; 0: for ever. An organization may keep its
// own for a shorter time.
func (s *Service) UseRetention(kept time.Duration) { s.retention = kept }

// keepsFrom is the time since which the events of an organization are kept; zero: all of them.
func (s *Service) keepsFrom(own Settings, now time.Time) time.Time {
	kept := time.Duration(own.AuditRetentionDays) * day
	if kept == 0 || s.retention > 0 && s.retention < kept {
		kept = s.retention
	}
	if kept == 0 {
		return time.Time{}
	}
	return now.Add(-kept)
}

// Purge removes events of the audit log that are older than they are kept, those of one organization after the other.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (removed int64, err error) {
	for after := id.Organization(""); ; {
		rows, err := organizationdb.New(s.db.Platform("events of each organization that are not kept")).
			PlatformSettings(ctx, after, 100)
		if err != nil {
			return removed, fmt.Errorf("organization: settings: %w", err)
		}
		for _, r := range rows {
			settings := DefaultSettings()
			if err := json.Unmarshal([]byte(r.Settings), &settings); err != nil {
				return removed, fmt.Errorf("organization %s: settings: %w", r.ID, err)
			}
			before := s.keepsFrom(settings, now)
			if before.IsZero() {
				continue
			}
			err := s.db.Tx(ctx, r.ID, func(tx *sqldb.Tx) error {
				n, err := audit.Purge(ctx, tx, r.ID, before, int64(limit)-removed)
				removed += n
				return err
			})
			if err != nil || removed >= int64(limit) {
				return removed, err
			}
		}
		if len(rows) < 100 {
			return removed, nil
		}
		after = rows[len(rows)-1].ID
	}
}
