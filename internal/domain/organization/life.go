package organization

import (
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Carry takes over who was suspended or deleted, how sign-ins are judged, and which origins and redirect
// addresses are allowed.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{
		{Table: "organizations", Top: true, Columns: "state, settings, machine_credential", Gone: "suspended"},
		{Table: "organization_origins", SQL: []string{
			`DELETE FROM main.organization_origins`,
			`INSERT INTO main.organization_origins SELECT * FROM former.organization_origins f
				WHERE EXISTS (SELECT 1 FROM main.organizations o WHERE o.id = f.organization_id)`,
		}},
		{Table: "organization_redirects", SQL: []string{
			`DELETE FROM main.organization_redirects`,
			`INSERT INTO main.organization_redirects SELECT * FROM former.organization_redirects f
				WHERE EXISTS (SELECT 1 FROM main.organizations o WHERE o.id = f.organization_id)`,
		}},
	}
}

// Marks tell whether two databases are of one installation.
func (s *Service) Marks() []sqldb.Mark {
	return []sqldb.Mark{{
		Last: `SELECT COALESCE((SELECT id FROM organizations WHERE platform), '')`,
		Has:  `SELECT EXISTS (SELECT 1 FROM organizations WHERE platform AND id = $1)`,
	}}
}
