package credential

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// Flush writes the uses noted since the last time.
func (s *Service) Flush(ctx context.Context) error {
	return s.uses.FlushTo(ctx, s.now(), s.db, func(ctx context.Context, tx *sqldb.Tx, org id.Organization,
		u stamp.Use[time.Time]) error {
		return credentialdb.New(tx).Stamp(ctx, sqldb.MillisOf(u.V), org, id.Credential(u.ID))
	})
}

// Void switches credentials off until somebody looks at them.
func (s *Service) Void(r sqldb.Restore) []sqldb.Step {
	if r.KeepMachines {
		return nil
	}
	return []sqldb.Step{{Counts: "credentials",
		SQL: `UPDATE credentials SET state = 'off', updated_at = $1 WHERE state = 'active'`}}
}

// Carry takes over what was revoked, rotated or narrowed.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{{Table: "credentials", Gone: "revoked",
		Columns: "state, digest, previous_digest, overlap_until, expires_at, permissions, resources, rate_limit, " +
			"allowed_addresses, owner_kind, owner_id, revoked_at"}}
}
