package doors

import (
	"testing"

	"gatehouse/test/sqldbtest"
)

func sqlite(t *testing.T) string { return sqldbtest.SQLite(t) }
