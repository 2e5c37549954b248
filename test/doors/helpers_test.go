package doors

import (
	"testing"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func sqlite(t *testing.T) string { return sqldbtest.SQLite(t) }
