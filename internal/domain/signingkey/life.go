package signingkey

import (
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Void revokes the keys of sessions: one that leaked and was revoked since would sign again, and no token of these keys
// is good any more.
func (s *Service) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: `UPDATE signing_keys
		SET state = 'revoked', retired_at = $1, verify_until = $1, private_seal = ''
		WHERE purpose = 'session' AND state <> 'revoked'`}}
}

// Carry takes over what became of the long-lived keys. First none is active, so that two never are.
func (s *Service) Carry() []sqldb.Carry {
	return []sqldb.Carry{{Table: "signing_keys", SQL: []string{
		`UPDATE main.signing_keys SET state = 'retired' WHERE purpose = 'long_lived' AND state IN ('active', 'next')`,
		`UPDATE main.signing_keys SET (state, verify_until, private_seal) =
				(SELECT f.state, f.verify_until, f.private_seal FROM former.signing_keys f WHERE f.id = signing_keys.id)
			WHERE purpose = 'long_lived' AND EXISTS (SELECT 1 FROM former.signing_keys f WHERE f.id = signing_keys.id)`,
		`UPDATE main.signing_keys SET state = 'revoked', private_seal = '' WHERE purpose = 'long_lived'
			AND NOT EXISTS (SELECT 1 FROM former.signing_keys f WHERE f.id = signing_keys.id)`,
	}}}
}
