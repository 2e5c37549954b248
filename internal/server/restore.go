package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Restored is called on a database that came back to an earlier state by whatever means; carried says that what became
// of accounts since was taken over.
func (s *Server) Restored(ctx context.Context, reason string, keepMachines, carried bool) (sqldb.Voided, error) {
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return sqldb.Voided{}, err
	}
	p := principal.NewSystem("restore", platform.ID)
	now := s.now()
	v, err := s.DB.Restored(ctx, now, reason, keepMachines, carried, func(tx *sqldb.Tx, v sqldb.Voided) error {
		return audit.Record(ctx, tx, now, p, audit.Entry{Act: "installation.restored", TargetKind: "installation",
			Details: map[string]string{"reason": reason,
				"sessions": strconv.FormatInt(v.Sessions, 10), "links": strconv.FormatInt(v.Links, 10),
				"credentials": strconv.FormatInt(v.Credentials, 10), "clients": strconv.FormatInt(v.Clients, 10)}})
	})
	if err != nil {
		return v, err
	}
	return v, errors.Join(s.Keys.Ensure(ctx), s.Keys.Prepare(ctx))
}

// copyFile copies a backup without opening it as a database, which would write to it.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// RestoreFile is what RestoreSQLite did.
type RestoreFile struct {
	sqldb.Voided
	Former  string // where the database is kept that was there before; empty: there was none
	Carried bool   // what had become of accounts and credentials was taken from it
}

// RestoreSQLite puts a backup in the place of the configured SQLite database, which no server may have open. Where the
// database that was there is sound and descends from the backup, what became of accounts and credentials since the
// backup is carried over from it; else, unless keepMachines, the credentials of machines are switched off. Until the
// last step nothing that was there is touched.
func RestoreSQLite(ctx context.Context, c config.Config, o Options, from string, keepMachines bool) (done RestoreFile,
	err error) {
	to := sqldb.FilePath(c.Database.Reveal())
	unlock, err := sqldb.LockAlone(to)
	if err != nil {
		return done, err
	}
	defer unlock()
	if err := sqldb.CheckFile(ctx, from); err != nil {
		return done, err
	}
	former := false
	if _, err := os.Stat(to); err == nil {
		if err := sqldb.FoldLog(ctx, to); err == nil {
			former = sqldb.CheckFile(ctx, to) == nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return done, fmt.Errorf("restore: %w", err)
	}
	part := to + ".restoring"
	for _, path := range []string{part, part + "-wal", part + "-shm"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return done, fmt.Errorf("restore: %w", err)
		}
	}
	defer func() {
		for _, ext := range []string{"", ".lock", ".migration-lock"} {
			os.Remove(part + ext)
		}
	}()
	if err := copyFile(from, part); err != nil {
		return done, err
	}
	c.Database = secret.New(part)
	s, err := New(ctx, c, o)
	if err != nil {
		return done, err
	}
	if former {
		if done.Carried, err = s.DB.Descends(ctx, to); err == nil && done.Carried {
			err = s.DB.CarryOver(ctx, to)
		}
	}
	if err == nil {
		done.Voided, err = s.Restored(ctx, "restored from a backup file", keepMachines || done.Carried, done.Carried)
	}
	if err = errors.Join(err, s.Close(ctx)); err != nil {
		return done, err
	}
	if err := sqldb.FoldLog(ctx, part); err != nil {
		return done, err
	}
	done.Former, err = sqldb.Replace(ctx, part, to, to+".before-restore-"+time.Now().UTC().Format("20060102T150405Z"))
	return done, err
}
