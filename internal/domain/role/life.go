package role

import (
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Carry takes over what roles give.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{{Table: "roles", Columns: "permissions"}}
}
