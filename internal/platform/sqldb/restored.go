package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Voided counts what a restore ended or switched off.
type Voided struct {
	Sessions, Links, Credentials, Clients int64
}

// Restored makes sure that nothing comes back to life that was revoked since the backup, which nobody knows any more:
// every token, session and link ends, the credentials of machines are switched off until somebody looks at them, unless
// keepMachines, and backup codes and known devices are void, unless what became of them was carried over. First the
// tokens, in a transaction of their own; then the rest, in another, in which record is called.
func (db *DB) Restored(ctx context.Context, now time.Time, reason string, keepMachines, carried bool,
	record func(tx *Tx, v Voided) error) (v Voided, err error) {
	ctx = patiently(ctx)
	err = db.PlatformTx(ctx, "tokens are void, whatever becomes of the rest", func(tx *Tx) error {
		tx.Announce(Everything)
		_, err := tx.Exec(ctx, `UPDATE installation SET not_before = $1, reason = $2 WHERE not_before < $1`,
			now.UnixMilli(), reason)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("sqldb: restored: %w", err)
	}
	err = db.PlatformTx(ctx, "nothing revoked since a backup comes back to life", func(tx *Tx) error {
		at := now.UnixMilli()
		type step struct {
			count *int64
			sql   string
		}
		steps := []step{
			{&v.Sessions,
				`UPDATE sessions SET state = 'ended', end_reason = 'restored', ended_at = $1 WHERE state = 'active'`},
			{new(int64), `UPDATE client_grants SET state = 'ended', ended_at = $1 WHERE state = 'active'`},
			{&v.Links, `UPDATE onetime SET used_at = $1 WHERE used_at = 0`},
			{new(int64), `UPDATE leases SET expires_at = $1`},
			// What waited when the backup was made was sent since, or its link is void now.
			{new(int64), `UPDATE mails SET state = 'failed', content = '', ended_at = $1 WHERE state = 'waiting'`},
			// A key that leaked and was revoked since would sign again; no token of these keys is good any more.
			{new(int64),
				`UPDATE signing_keys SET state = 'revoked', retired_at = $1, verify_until = $1, private_seal = '' WHERE purpose = 'session' AND state <> 'revoked'`},
		}
		if !keepMachines {
			steps = append(steps,
				step{&v.Credentials, `UPDATE credentials SET state = 'off', updated_at = $1 WHERE state = 'active'`},
				step{&v.Clients, `UPDATE clients SET state = 'off', updated_at = $1 WHERE state = 'active'`},
			)
		}
		if !carried { // a backup code that was used since would be good again, and none can be told from the others
			steps = append(steps,
				step{new(int64), `UPDATE backup_codes SET used_at = $1 WHERE used_at = 0`},
				step{new(int64),
					`UPDATE users SET second_factors = TRIM(REPLACE(second_factors, 'backup_codes', '')), updated_at = $1 WHERE second_factors LIKE '%backup_codes%'`},
				step{new(int64), `DELETE FROM known_devices WHERE created_at <= $1`},
			)
		}
		if db.kind == Postgres {
			if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
				return err
			}
		}
		for _, s := range steps {
			tag, err := tx.Exec(ctx, s.sql, at)
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

// carried are the rows whose present state decides who may do what. What a former database knows of them is newer than
// a backup.
var carried = []struct{ table, columns string }{
	{"organizations", "state, settings, machine_credential"},
	{"roles", "permissions"},
	{"users", "state, kind, role, password_hash, password_changed_at, mfa_exempt, mfa_required, second_factors"},
	{"credentials", "state, digest, previous_digest, overlap_until, expires_at, permissions, resources, rate_limit, " +
		"allowed_addresses, owner_kind, owner_id, revoked_at"},
	{"invitations", "state, role"},
	{"clients",
		"state, authentication, permissions, refresh_allowed, certificate_bound, rate_limit, allowed_addresses"},
}

// Descends tells whether the database at former is this one, later: the same installation, and nothing is missing from
// it that is here.
func (db *DB) Descends(ctx context.Context, former string) (bool, error) {
	if err := db.sqliteOnly(); err != nil {
		return false, err
	}
	var platform, last string
	q := db.Platform("which installation and state a backup is of")
	err := q.QueryRow(ctx,
		`SELECT COALESCE((SELECT id FROM organizations WHERE platform), ''), COALESCE((SELECT MAX(id) FROM audit_events), '')`).Scan(&platform, &last)
	if err != nil || platform == "" || last == "" {
		return false, err
	}
	other, err := sql.Open("sqlite", fileURL(former)+"?mode=ro")
	if err != nil {
		return false, fmt.Errorf("sqldb: %w", err)
	}
	defer other.Close()
	var same bool
	err = other.QueryRowContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM organizations WHERE platform AND id = $1) AND EXISTS (SELECT 1 FROM audit_events WHERE id = $2)`, platform, last).Scan(&same)
	return same, err
}

// CarryOver takes from the SQLite database at former, which Descends from this one and was in use until now, what
// became of the accounts and credentials that are in this one: who was disabled, what was revoked or rotated, which
// password was changed. Those that are not in former any more are switched off.
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
	defer conn.ExecContext(context.WithoutCancel(ctx), `DETACH DATABASE former`) // the process ends soon
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqldb: carry over: %w", err)
	}
	defer tx.Rollback() // after a commit there is nothing left to do
	for _, c := range carried {
		same := "f.id = " + c.table + ".id"
		if c.table != "organizations" {
			same += " AND f.organization_id = " + c.table + ".organization_id"
		}
		text := fmt.Sprintf(
			`UPDATE main.%[1]s SET (%[2]s) = (SELECT %[2]s FROM former.%[1]s f WHERE %[3]s) WHERE EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.table, c.columns, same)
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqldb: carry over %s: %w", c.table, err)
		}
		gone := map[string]string{"users": "disabled", "credentials": "revoked", "clients": "off",
			"organizations": "suspended", "invitations": "revoked"}[c.table]
		if gone == "" {
			continue
		}
		text = fmt.Sprintf(
			`UPDATE main.%[1]s SET state = '%[2]s' WHERE state IN ('active', 'pending') AND NOT EXISTS (SELECT 1 FROM former.%[1]s f WHERE %[3]s)`, c.table, gone, same)
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqldb: carry over %s: %w", c.table, err)
		}
	}
	for _, text := range []string{
		`DELETE FROM main.team_members WHERE NOT EXISTS (SELECT 1 FROM former.team_members f
			WHERE f.organization_id = team_members.organization_id AND f.team_id = team_members.team_id AND f.user_id = team_members.user_id)`,
		`DELETE FROM main.organization_origins`,
		`INSERT INTO main.organization_origins SELECT * FROM former.organization_origins f WHERE EXISTS (SELECT 1 FROM main.organizations o WHERE o.id = f.organization_id)`,
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqldb: carry over teams and origins: %w", err)
		}
	}
	for _, table := range []string{"factors", "backup_codes", "known_devices"} {
		// what was used, added and removed since, of those who are in this one
		for _, text := range []string{`DELETE FROM main.` + table,
			`INSERT INTO main.` + table + ` SELECT * FROM former.` + table + ` f
			WHERE EXISTS (SELECT 1 FROM main.users u WHERE u.organization_id = f.organization_id AND u.id = f.user_id)`} {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("sqldb: carry over %s: %w", table, err)
			}
		}
	}
	for _, text := range []string{ // long-lived keys: first none is active, so that two never are
		`UPDATE main.signing_keys SET state = 'retired' WHERE purpose = 'long_lived' AND state IN ('active', 'next')`,
		`UPDATE main.signing_keys SET (state, verify_until, private_seal) = (SELECT f.state, f.verify_until, f.private_seal FROM former.signing_keys f WHERE f.id = signing_keys.id)
			WHERE purpose = 'long_lived' AND EXISTS (SELECT 1 FROM former.signing_keys f WHERE f.id = signing_keys.id)`,
		`UPDATE main.signing_keys SET state = 'revoked', private_seal = '' WHERE purpose = 'long_lived' AND NOT EXISTS (SELECT 1 FROM former.signing_keys f WHERE f.id = signing_keys.id)`,
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqldb: carry over keys: %w", err)
		}
	}
	return tx.Commit()
}
