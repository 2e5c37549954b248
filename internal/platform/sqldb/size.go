package sqldb

import (
	"context"
	"fmt"
)

// Size is how much a table holds, its indexes among the bytes.
type Size struct{ Rows, Bytes int64 }

// TableSize measures a table. PostgreSQL knows its rows as of the last ANALYZE; SQLite counts them, and reads all pages
// of the table.
func (db *DB) TableSize(ctx context.Context, table string) (s Size, err error) {
	statement := `SELECT (SELECT count(*) FROM ` + table + `), (SELECT COALESCE(SUM(pgsize), 0) FROM dbstat
		WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = '` + table + `'))`
	if db.kind == Postgres {
		statement = `SELECT GREATEST(CAST(reltuples AS BIGINT), 0), pg_total_relation_size(oid) FROM pg_class
			WHERE oid = '` + table + `'::regclass`
	}
	if err := db.Platform("the size of a table").QueryRow(ctx, statement).Scan(&s.Rows, &s.Bytes); err != nil {
		return s, fmt.Errorf("size of %s: %w", table, err)
	}
	return s, nil
}
