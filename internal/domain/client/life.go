package client

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/client/clientdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// Flush writes the uses noted since the last time.
func (s *Service) Flush(ctx context.Context) error {
	return s.uses.FlushTo(ctx, s.now(), s.db, func(ctx context.Context, tx *sqldb.Tx, org id.Organization,
		u stamp.Use[time.Time]) error {
		return clientdb.New(tx).Stamp(ctx, sqldb.MillisOf(u.V), org, id.Client(u.ID))
	})
}

// Void switches clients off until somebody looks at them.
func (s *Service) Void(r sqldb.Restore) []sqldb.Step {
	if r.KeepMachines {
		return nil
	}
	return []sqldb.Step{{Counts: "clients",
		SQL: `UPDATE clients SET state = 'off', updated_at = $1 WHERE state = 'active'`}}
}

// Carry takes over which clients were switched off, and what they may do.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{{Table: "clients", Gone: "off",
		Columns: "state, authentication, permissions, refresh_allowed, certificate_bound, rate_limit, " +
			"allowed_addresses"}}
}
