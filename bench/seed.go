package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// bulk is rows of a table that are written past the server, which would take hours.
type bulk struct {
	table   string
	columns []string
	count   int
	row     func(i int) []any
}

// termColumns are those of what is found by a search.
var termColumns = []string{"organization_id", "kind", "term", "subject"}

// userColumns are those of a user without what has a default.
var userColumns = []string{"organization_id", "id", "email", "email_key", "username", "username_key", "name", "kind",
	"role", "state", "password_hash", "password_changed_at", "created_at", "updated_at"}

// seed writes rows in bulk: by COPY on PostgreSQL, on SQLite in one transaction. No server runs on the database.
func seed(ctx context.Context, database string, tables ...bulk) error {
	into := seedSQLite
	if sqldb.IsPostgres(database) {
		into = seedPostgres
	}
	return into(ctx, database, tables)
}

func seedPostgres(ctx context.Context, address string, tables []bulk) error {
	db, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	for _, t := range tables {
		list := strings.Join(t.columns, ", ")
		// COPY does not go into a table with row-level security: another takes the rows and hands them on.
		if _, err := db.Exec(ctx, `SET ROLE gatehouse_platform; CREATE TEMP TABLE seeded AS SELECT `+list+` FROM `+
			t.table+` WITH NO DATA`); err != nil {
			return err
		}
		rows := pgx.CopyFromSlice(t.count, func(i int) ([]any, error) { return t.row(i), nil })
		if _, err := db.CopyFrom(ctx, pgx.Identifier{"seeded"}, t.columns, rows); err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
		if _, err := db.Exec(ctx, `INSERT INTO `+t.table+` (`+list+`) SELECT `+list+` FROM seeded;
			DROP TABLE seeded; RESET ROLE`); err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
		// As autovacuum would in its own time: nothing of it falls into the measurement.
		if _, err := db.Exec(ctx, `VACUUM ANALYZE `+t.table); err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
	}
	return nil
}

// rowsAtOnce keeps the parameters of a statement below what SQLite takes.
const rowsAtOnce = 100

func seedSQLite(ctx context.Context, address string, tables []bulk) error {
	db, err := sql.Open("sqlite",
		"file:"+sqldb.FilePath(address)+"?_pragma=synchronous(OFF)&_pragma=cache_size(-65536)")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, t := range tables {
		row := `, (?` + strings.Repeat(`, ?`, len(t.columns)-1) + `)`
		insert := `INSERT INTO ` + t.table + ` (` + strings.Join(t.columns, ", ") + `) VALUES `
		var values []any
		for i := range t.count {
			values = append(values, t.row(i)...)
			n := len(values) / len(t.columns)
			if n < rowsAtOnce && i+1 < t.count {
				continue
			}
			if _, err := tx.ExecContext(ctx, insert+strings.Repeat(row, n)[len(`, `):], values...); err != nil {
				return fmt.Errorf("%s: %w", t.table, err)
			}
			values = values[:0]
		}
	}
	return tx.Commit()
}
