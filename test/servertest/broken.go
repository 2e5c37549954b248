package servertest

import (
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Rename gives a table another name, so that whatever needs it fails, and back again.
func (s *Server) Rename(t testing.TB, from, to string) {
	t.Helper()
	err := s.DB.PlatformTx(t.Context(), "break a table in a test", func(tx *sqldb.Tx) error {
		if s.DB.Engine() == sqldb.Postgres {
			if _, err := tx.Exec(t.Context(), `RESET ROLE`); err != nil { // only the owner may rename
				return err
			}
		}
		_, err := tx.Exec(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
