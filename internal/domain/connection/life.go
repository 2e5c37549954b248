package connection

import "github.com/itsm-automation/gatehouse/internal/platform/sqldb"

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
			WHERE state = 'verified'`}},
		{Table: "identities", SQL: []string{`DELETE FROM main.identities WHERE NOT EXISTS (
			SELECT 1 FROM former.identities f WHERE f.organization_id = identities.organization_id
				AND f.connection_id = identities.connection_id AND f.subject = identities.subject
				AND f.user_id = identities.user_id)`}},
	}
}
