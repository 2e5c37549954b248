package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/audit/auditdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Marks tell whether one database has all that happened in another.
func (s *Service) Marks() []sqldb.Mark {
	return []sqldb.Mark{{
		Last: `SELECT COALESCE((SELECT MAX(id) FROM audit_events), '')`,
		Has:  `SELECT EXISTS (SELECT 1 FROM audit_events WHERE id = $1)`,
	}}
}

// FailedOver writes down that PostgreSQL was failed over or restored and tokens are void since.
func FailedOver(ctx context.Context, tx sqldb.Execer, f sqldb.Failover) error {
	_, err := tx.Exec(ctx, `INSERT INTO audit_events (organization_id, id, at, act, outcome, actor_kind, actor_id,
			actor_home, target_kind, target_id, address, user_agent, request_id, details)
		SELECT id, $1, $2, 'installation.failed_over', 'success', 'system', 'database',
			id, 'installation', '', '', '', '', jsonb_build_object('from', $3::text, 'to', $4::text)::text
		FROM organizations WHERE platform`, id.New[id.Event](), f.At.UnixMilli(), f.From, f.To)
	return err
}

// Purge removes the oldest events of an organization that are from before a time, at most limit of them, and says how
// many.
func Purge(ctx context.Context, tx *sqldb.Tx, org id.Organization, before time.Time, limit int64) (int64, error) {
	n, err := auditdb.New(tx).Purge(ctx, org, id.First[id.Event](before), limit)
	if err != nil {
		return 0, fmt.Errorf("audit: purge: %w", err)
	}
	return n, nil
}

// Size is how much the audit log holds.
func (s *Service) Size(ctx context.Context) (sqldb.Size, error) {
	return s.db.TableSize(ctx, "audit_events")
}
