package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Restore is what is known of a database that came back to an earlier state, and what its operator wants.
type Restore struct {
	KeepMachines bool // leave the credentials of machines on, whatever became of them since
	Carried      bool // what became of accounts since was taken over from the database that was in use until now
}

// Step makes rows void that must not come back to life. Each table's owner names its own.
type Step struct {
	SQL    string // $1 is the moment, in Unix milliseconds
	Counts string // as what the rows are told; empty: they are not
}

// Carry is how one table's rows are taken over from the database that was in use until now, which is attached as
// "former". What it knows is newer than a backup. Exactly one of Columns, Of and SQL is there.
type Carry struct {
	Table   string
	Columns string // take these of the row with the same id
	Top     bool   // its rows are in no organization
	Gone    string // the state of rows that are not there any more; empty: they stay as they are
	Of      string // take all rows whose owner is in this table here, and no others: "users" by "user_id"
	By      string
	SQL     []string // statements of its own
}

// Restored makes sure that nothing comes back to life that was revoked since the backup, which nobody knows any more:
// every token is void, and what steps say. First the tokens, in a transaction of their own; then the rest, in another,
// in which record is called with what was counted.
func (db *DB) Restored(ctx context.Context, now time.Time, reason string, steps []Step,
	record func(tx *Tx, counts map[string]int64) error) (counts map[string]int64, err error) {
	ctx = patiently(ctx)
	err = db.PlatformTx(ctx, "tokens are void, whatever becomes of the rest", func(tx *Tx) error {
		tx.Announce(Everything)
		_, err := tx.Exec(ctx, `UPDATE installation SET not_before = $1, reason = $2 WHERE not_before < $1`,
			now.UnixMilli(), reason)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	err = db.PlatformTx(ctx, "nothing revoked since a backup comes back to life", func(tx *Tx) error {
		if db.kind == Postgres {
			if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
				return err
			}
		}
		counts = make(map[string]int64)
		for _, s := range steps {
			tag, err := tx.Exec(ctx, s.SQL, now.UnixMilli())
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			if s.Counts != "" {
				counts[s.Counts] += tag.RowsAffected()
			}
		}
		tx.Announce(Everything)
		return record(tx, counts)
	})
	return counts, err
}

// Mark tells one database of an installation from an earlier one. Last gives a text, Has tells whether another database
// has what $1 names. Both are of the same table.
type Mark struct{ Last, Has string }

// Descends tells whether the database at former is this one, later: it has every mark of this one.
func (db *DB) Descends(ctx context.Context, former string, marks []Mark) (bool, error) {
	if err := db.sqliteOnly(); err != nil {
		return false, err
	}
	other, err := sql.Open("sqlite", fileURL(former)+"?mode=ro")
	if err != nil {
		return false, err
	}
	defer other.Close()
	q := db.Platform("which installation and state a backup is of")
	for _, m := range marks {
		var last string
		var has bool
		if err := q.QueryRow(ctx, m.Last).Scan(&last); err != nil || last == "" {
			return false, err
		}
		if err := other.QueryRowContext(ctx, m.Has, last).Scan(&has); err != nil || !has {
			return false, err
		}
	}
	return len(marks) > 0, nil
}

// statements are what a Carry comes to.
func (c Carry) statements() []string {
	switch {
	case c.SQL != nil:
		return c.SQL
	case c.Of != "":
		return []string{`DELETE FROM main.` + c.Table,
			`INSERT INTO main.` + c.Table + ` SELECT * FROM former.` + c.Table + ` f
			WHERE EXISTS (SELECT 1 FROM main.` + c.Of + ` o
				WHERE o.organization_id = f.organization_id AND o.id = f.` + c.By + `)`}
	}
	same := "f.id = " + c.Table + ".id"
	if !c.Top {
		same += " AND f.organization_id = " + c.Table + ".organization_id"
	}
	list := []string{fmt.Sprintf(`UPDATE main.%[1]s SET (%[2]s) = (SELECT %[2]s FROM former.%[1]s f WHERE %[3]s)
		WHERE EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.Table, c.Columns, same)}
	if c.Gone != "" {
		list = append(list, fmt.Sprintf(`UPDATE main.%[1]s SET state = '%[2]s' WHERE state IN ('active', 'pending')
			AND NOT EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.Table, c.Gone, same))
	}
	return list
}

// CarryOver takes from the SQLite database at former, which Descends from this one and was in use until now, what the
// owners of tables say: who was disabled, what was revoked or rotated, which password was changed.
func (db *DB) CarryOver(ctx context.Context, former string, what []Carry) error {
	if err := db.sqliteOnly(); err != nil {
		return err
	}
	conn, err := db.engine.(*lite).writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("carry over: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `ATTACH DATABASE ? AS former`, fileURL(former)+"?mode=ro"); err != nil {
		return fmt.Errorf("carry over: %w", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `DETACH DATABASE former`) // the process ends soon
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("carry over: %w", err)
	}
	defer tx.Rollback() // after a commit there is nothing left to do
	for _, c := range what {
		for _, text := range c.statements() {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("carry over %s: %w", c.Table, err)
			}
		}
	}
	return tx.Commit()
}
