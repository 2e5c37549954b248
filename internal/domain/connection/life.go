package connection

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Purge removes set-up links that ended long ago, at most limit rows.
func (s *Service) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = s.DB.PlatformTx(ctx, "purge set-up links", func(tx *sqldb.Tx) error {
		n, err = connectiondb.New(tx).PlatformPurgeLinks(ctx, sqldb.MillisOf(now.Add(-linkKept)), int64(limit))
		return err
	})
	return n, err
}

// Carry takes over which connections were switched off or changed, which domains were let go, and who was unlinked:
// what a provider may no longer open must not open again.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{
		{Table: "connections", Gone: "off", Columns: "state, issuer, settings, secrets, ceiling, ended_at"},
		{Table: "domains", SQL: []string{`UPDATE main.domains SET state = 'lapsed', enforced = FALSE
			WHERE state = 'verified' AND NOT EXISTS (SELECT 1 FROM former.domains f
				WHERE f.organization_id = domains.organization_id AND f.name = domains.name AND f.state = 'verified')`,
			`UPDATE main.domains SET (connection_id, enforced) = (SELECT f.connection_id, f.enforced FROM former.domains f
				WHERE f.organization_id = domains.organization_id AND f.name = domains.name)
			WHERE state = 'verified'`, `UPDATE main.domains SET connection_id = '', enforced = FALSE
			WHERE connection_id <> '' AND NOT EXISTS (SELECT 1 FROM main.connections c
				WHERE c.organization_id = domains.organization_id AND c.id = domains.connection_id)`}},
		{Table: "identities", SQL: []string{`DELETE FROM main.identities WHERE NOT EXISTS (
			SELECT 1 FROM former.identities f WHERE f.organization_id = identities.organization_id
				AND f.connection_id = identities.connection_id AND f.subject = identities.subject
				AND f.user_id = identities.user_id)`}},
	}
}
