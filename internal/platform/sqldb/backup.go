package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// ErrInUse says that another process has the database file open.
var ErrInUse = errors.New("the database is in use: stop the server first")

// sqliteOnly is told to who asks for what only a file has.
func (db *DB) sqliteOnly() error {
	if db.kind != SQLite {
		return errors.New("this is for SQLite; use PostgreSQL's own tools, such as pg_dump or a base backup")
	}
	return nil
}

// Backup writes a copy of the SQLite database as it is at one moment, while it is in use, to a file that must not
// exist. The copy is checked and on disk before it appears under its name.
func (db *DB) Backup(ctx context.Context, to string) error {
	if err := db.sqliteOnly(); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("backup: %s exists already", to)
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	part := to + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // for its owner alone from the first byte on
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(part)
	defer f.Close()
	source, err := sql.Open("sqlite", fileURL(db.file)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer source.Close()
	if _, err := source.ExecContext(ctx, `VACUUM INTO ?`, part); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := CheckFile(ctx, part); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Link(part, to); err != nil { // unlike a rename it never replaces what came there meanwhile
		return fmt.Errorf("backup: %w", err)
	}
	return syncDir(filepath.Dir(to))
}

// CheckFile tells whether a file is a sound SQLite database of Gatehouse.
func CheckFile(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=ro")
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return fmt.Errorf("%s is no sound database: %w", path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, verdict)
	}
	var tables int
	if err := db.QueryRowContext(ctx,
		`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('invalidations', 'goose_db_version')`).Scan(&tables); err != nil || tables != 2 {
		return errors.Join(fmt.Errorf("%s is not a database of Gatehouse", path), err)
	}
	return nil
}

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return err
	}
	return nil
}

// Replace puts the database file at from, closed and complete, in the place of the one at to, which nobody may have
// open. What was at to is kept beside it, under the name that is given back; empty: there was nothing. A crash at any
// moment leaves the old or the new database there.
func Replace(ctx context.Context, from, to, kept string) (former string, err error) {
	for _, p := range []string{from + "-wal", from + "-shm"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("replace the database: %w", err)
		}
	}
	f, err := os.OpenFile(from, os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("replace the database: %w", err)
	}
	err = f.Sync()
	f.Close()
	if err != nil {
		return "", fmt.Errorf("replace the database: %w", err)
	}
	if _, err := os.Stat(to); err == nil {
		former = kept
		if err := os.Link(to, former); err != nil {
			return "", fmt.Errorf("replace the database: keep the former database: %w", err)
		}
		// A write-ahead log belongs to its database: left beside another it would be taken for that one's.
		for _, ext := range []string{"-wal", "-shm"} {
			if err := os.Rename(to+ext, former+ext); err != nil && !errors.Is(err, os.ErrNotExist) {
				return "", fmt.Errorf("replace the database: %w", err)
			}
		}
	}
	if err := os.Rename(from, to); err != nil {
		return "", fmt.Errorf("replace the database: %w", err)
	}
	return former, syncDir(filepath.Dir(to))
}

// FoldLog brings what is in a database's write-ahead log into its file. Who has the file to themselves does it before
// moving it.
func FoldLog(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", fileURL(path)+"?_pragma=busy_timeout(2000)")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("fold the log of %s: %w", path, err)
	}
	return nil
}
