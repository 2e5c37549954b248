package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// Migrate brings the schema up to date, under a lock: several nodes may start at once. It returns how many steps it ran.
func (db *DB) Migrate(ctx context.Context) (int, error) {
	if db.kind == SQLite {
		unlock, err := lockFile(ctx, db.url+".migration-lock")
		if err != nil {
			return 0, err
		}
		defer unlock()
	}
	p, done, err := db.provider()
	if err != nil {
		return 0, err
	}
	defer done()
	if pending, err := p.HasPending(ctx); err == nil && !pending {
		return 0, nil // the usual start: no lock to wait for
	}
	results, err := p.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("sqldb: migrate: %w", err)
	}
	return len(results), nil
}

// Migrations lists every step and whether it is applied.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	p, done, err := db.provider()
	if err != nil {
		return nil, err
	}
	defer done()
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqldb: migration status: %w", err)
	}
	out := make([]Migration, len(status))
	for i, s := range status {
		out[i] = Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied}
	}
	return out, nil
}

func (db *DB) provider() (*goose.Provider, func(), error) {
	files, err := migrationFiles(db.kind)
	if err != nil {
		return nil, nil, err
	}
	if db.kind == SQLite {
		p, err := goose.NewProvider(goose.DialectSQLite3, db.engine.(*lite).writer.DB, files)
		return p, func() {}, err
	}
	conn, err := sql.Open("pgx", db.url)
	if err != nil {
		return nil, nil, fmt.Errorf("sqldb: migrate: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithSessionLocker(locker))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return p, func() { conn.Close() }, nil
}

// migrationFiles merges the steps of both engines with those of this one.
func migrationFiles(kind Engine) (fs.FS, error) {
	merged := fstest.MapFS{}
	for _, dir := range []string{"migrations/common", "migrations/" + string(kind)} {
		entries, err := fs.ReadDir(migrations, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			text, err := fs.ReadFile(migrations, dir+"/"+e.Name())
			if err != nil {
				return nil, err
			}
			merged[e.Name()] = &fstest.MapFile{Data: text}
		}
	}
	return merged, nil
}
