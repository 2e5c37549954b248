package admin

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
	"github.com/itsm-automation/gatehouse/internal/server"
)

// Voided counts what a restore ended or switched off.
type Voided struct {
	Sessions, Links, Credentials, Clients int64
}

// Restored is called on a database that came back to an earlier state by whatever means.
func Restored(ctx context.Context, s *server.Server, reason string, r sqldb.Restore) (Voided, error) {
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return Voided{}, err
	}
	p, now := principal.NewSystem("restore", platform.ID), s.Now()
	counts, err := s.DB.Restored(ctx, now, reason, s.Void(r), func(tx *sqldb.Tx, counts map[string]int64) error {
		details := map[string]string{"reason": reason}
		for _, name := range []string{"sessions", "links", "credentials", "clients"} {
			details[name] = strconv.FormatInt(counts[name], 10)
		}
		return audit.Record(ctx, tx, now, p,
			audit.Entry{Act: "installation.restored", TargetKind: "installation", Details: details})
	})
	v := Voided{counts["sessions"], counts["links"], counts["credentials"], counts["clients"]}
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
	Voided
	Former  string // where the database is kept that was there before; empty: there was none
	Carried bool   // what had become of accounts and credentials was taken from it
}

// RestoreSQLite puts a backup in the place of the configured SQLite database, which no server may have open. Where the
// database that was there is sound and descends from the backup, what became of accounts and credentials since the
// backup is carried over from it; else, unless keepMachines, the credentials of machines are switched off. Until the
// last step nothing that was there is touched.
func RestoreSQLite(ctx context.Context, c config.Config, o server.Options, from string,
	keepMachines bool) (done RestoreFile,
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
	c.Database = secret.New("sqlite:" + part)
	s, err := server.New(ctx, c, o)
	if err != nil {
		return done, err
	}
	if former {
		if done.Carried, err = s.DB.Descends(ctx, to, s.Marks()); err == nil && done.Carried {
			err = s.DB.CarryOver(ctx, to, s.Carry())
		}
	}
	if err == nil {
		done.Voided, err = Restored(ctx, s, "restored from a backup file",
			sqldb.Restore{KeepMachines: keepMachines || done.Carried, Carried: done.Carried})
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
