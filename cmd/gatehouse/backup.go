package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
)

type backupCommand struct {
	To string `arg:"" help:"File to write; it must not exist."`
}

// Run copies the SQLite database while the server runs.
func (b backupCommand) Run(c *cli, e *env) error {
	cfg, err := c.find(e)
	if err != nil {
		return err
	}
	address := cfg.Database.Reveal()
	if sqldb.IsPostgres(address) {
		return errors.New("this is for SQLite: back PostgreSQL up with its own tools, such as pg_dump or a base backup")
	}
	if _, err := os.Stat(sqldb.FilePath(address)); err != nil { // opening would make it
		return fmt.Errorf("there is no database to back up: %w", err)
	}
	db, err := sqldb.Open(e.ctx, address, sqldb.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Backup(e.ctx, b.To); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s is a checked copy of the database. It opens only with the same encryption keys: keep "+
		"those too, elsewhere.\n", b.To)
	return nil
}

type restoreCommand struct {
	From         string `arg:"" optional:"" help:"A file that gatehouse backup wrote."`
	InPlace      bool   `help:"The database was restored by other means, such as PostgreSQL's own: only make sure that nothing revoked comes back to life."`
	KeepMachines bool   `help:"Leave API keys, tokens and clients on, although nobody knows which were revoked since the backup."`
}

// Run puts a backup in place. Whatever was revoked since must stay so: sessions, tokens and links end.
func (r restoreCommand) Run(c *cli, e *env) error {
	if (r.From == "") != r.InPlace {
		return fmt.Errorf("%w: give the file to restore, or --in-place", errConfiguration)
	}
	cfg, err := c.find(e)
	if err != nil {
		return err
	}
	if r.InPlace {
		s, err := c.open(e)
		if err != nil {
			return err
		}
		defer closeServer(s, slog.Default())
		v, err := admin.Restored(e.ctx, s, "restored by other means", sqldb.Restore{KeepMachines: r.KeepMachines})
		if err != nil {
			return err
		}
		r.tell(e, v, false)
		return nil
	}
	if sqldb.IsPostgres(cfg.Database.Reveal()) {
		return errors.New("a file is restored to SQLite only: restore PostgreSQL with its own tools and run " +
			"gatehouse restore --in-place")
	}
	log, err := telemetry.Logger(e.stderr, "text", "warn")
	if err != nil {
		return err
	}
	done, err := admin.RestoreSQLite(e.ctx, cfg, server.Options{Log: log, Version: version}, r.From, r.KeepMachines)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s is restored.\n", r.From)
	if done.Former != "" {
		fmt.Fprintf(e.stdout, "The database that was there is kept as %s; what happened since the backup is in its "+
			"audit log only.\n", done.Former)
	}
	r.tell(e, done.Voided, done.Carried)
	return nil
}

func (r restoreCommand) tell(e *env, v admin.Voided, carried bool) {
	fmt.Fprintf(e.stdout, "All tokens issued until now are void: %d sessions and %d links ended.\n", v.Sessions,
		v.Links)
	switch {
	case carried:
		fmt.Fprintln(e.stdout, "Who was disabled, what was revoked or rotated and which passwords were changed since "+
			"the backup was carried over from the database that was there.")
	case r.KeepMachines:
		fmt.Fprintln(e.stdout, "The credentials of machines are as they were in the backup: those revoked since work "+
			"again until you revoke them again.")
	default:
		fmt.Fprintf(e.stdout, "%d credentials and %d clients of machines are switched off; switch on those that "+
			"still hold.\n", v.Credentials, v.Clients)
	}
	if !carried {
		fmt.Fprintln(e.stdout, "Users disabled, roles taken and passwords changed since the backup are as they were "+
			"in it: look through what happened since.")
	}
}
