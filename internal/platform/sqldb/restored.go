package sqldb

import (
	"context"
	"fmt"
	"time"
)

// Voided counts what a restore ended or switched off.
type Voided struct {
	Sessions, Links, Credentials, Clients int64
}

// Restored makes sure that nothing comes back to life that was revoked since the backup, which nobody knows any more: every token, session and link
// ends, and the credentials of machines are switched off until somebody looks at them, unless keepMachines. One transaction; record is called in it.
func (db *DB) Restored(ctx context.Context, now time.Time, reason string, keepMachines bool, record func(tx *Tx, v Voided) error) (v Voided, err error) {
	err = db.PlatformTx(ctx, "nothing revoked since a backup comes back to life", func(tx *Tx) error {
		steps := []struct {
			count *int64
			sql   string
			args  []any
		}{
			{new(int64), `UPDATE installation SET not_before = $1, reason = $2`, []any{now.UnixMilli(), reason}},
			{&v.Sessions, `UPDATE sessions SET state = 'ended', end_reason = 'restored', ended_at = $1 WHERE state = 'active'`, []any{now.UnixMilli()}},
			{new(int64), `UPDATE client_grants SET state = 'ended', ended_at = $1 WHERE state = 'active'`, []any{now.UnixMilli()}},
			{&v.Links, `UPDATE onetime SET used_at = $1 WHERE used_at = 0`, []any{now.UnixMilli()}},
			{new(int64), `DELETE FROM leases`, nil},
		}
		if !keepMachines {
			steps = append(steps, []struct {
				count *int64
				sql   string
				args  []any
			}{
				{&v.Credentials, `UPDATE credentials SET state = 'off', updated_at = $1 WHERE state = 'active'`, []any{now.UnixMilli()}},
				{&v.Clients, `UPDATE clients SET state = 'off', updated_at = $1 WHERE state = 'active'`, []any{now.UnixMilli()}},
			}...)
		}
		if db.kind == Postgres {
			if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
				return err
			}
		}
		for _, s := range steps {
			tag, err := tx.Exec(ctx, s.sql, s.args...)
			if err != nil {
				return fmt.Errorf("sqldb: restored: %w", err)
			}
			*s.count = tag.RowsAffected()
		}
		tx.Announce(Everything)
		return record(tx, v)
	})
	return v, err
}

// carried are the rows whose present state decides who may do what. What a former database knows of them is newer than a backup.
var carried = []struct{ table, columns string }{
	{"organizations", "state, settings"},
	{"roles", "permissions"},
	{"users", "state, role, password_hash, password_changed_at, mfa_exempt"},
	{"credentials", "state, digest, previous_digest, overlap_until, expires_at, permissions, resources, rate_limit, allowed_addresses, owner_kind, owner_id, revoked_at"},
	{"clients", "state, authentication, permissions, refresh_allowed, certificate_bound, rate_limit, allowed_addresses"},
	{"signing_keys", "state, verify_until, private_seal"},
}

// CarryOver takes from the SQLite database at former, which was in use until now, what became of the accounts and credentials that are in this one: who
// was disabled, what was revoked or rotated, which password was changed. Those that are not in former any more are switched off.
func (db *DB) CarryOver(ctx context.Context, former string) error {
	if err := db.sqliteOnly(); err != nil {
		return err
	}
	conn, err := db.engine.(*lite).writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqldb: carry over: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `ATTACH DATABASE ? AS former`, fileURL(former)+"?mode=ro"); err != nil {
		return fmt.Errorf("sqldb: carry over: %w", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `DETACH DATABASE former`) //nolint:errcheck // the process ends soon
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqldb: carry over: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing left to do
	for _, c := range carried {
		same := "f.id = " + c.table + ".id"
		if c.table != "organizations" && c.table != "signing_keys" {
			same += " AND f.organization_id = " + c.table + ".organization_id"
		}
		sql := fmt.Sprintf(`UPDATE main.%[1]s SET (%[2]s) = (SELECT %[2]s FROM former.%[1]s f WHERE %[3]s) WHERE EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.table, c.columns, same)
		if _, err := tx.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("sqldb: carry over %s: %w", c.table, err)
		}
		gone := map[string]string{"users": "disabled", "credentials": "revoked", "clients": "off", "organizations": "suspended"}[c.table]
		if gone == "" {
			continue
		}
		sql = fmt.Sprintf(`UPDATE main.%[1]s SET state = '%[2]s' WHERE state = 'active' AND NOT EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.table, gone, same)
		if _, err := tx.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("sqldb: carry over %s: %w", c.table, err)
		}
	}
	return tx.Commit()
}
