package sqldb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
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

// Migrate brings the schema up to date, under a lock: several nodes may start at once. It returns how many steps it
// ran.
func (db *DB) Migrate(ctx context.Context) (int, error) {
	if have, known := db.isCurrent(ctx); known { // the usual start: no lock to wait for
		return 0, db.newer(have)
	}
	if db.kind == SQLite {
		unlock, err := lockFile(ctx, db.file+".migration-lock")
		if err != nil {
			return 0, err
		}
		defer unlock()
	}
	p, done, err := db.provider()
	if err != nil {
		return 0, err
	}
	defer func() { done() }()
	if db.kind == Postgres {
		login, err := db.Login(ctx)
		if err != nil {
			return 0, err
		}
		if sql := login.Missing(); sql != "" {
			return 0, fmt.Errorf("migrate: the role %s may not make the roles that statements run as. Let "+
				"somebody who may run: %s", login.Name, sql)
		}
	}
	n := 0
	for try := 1; ; try++ {
		var steps int
		steps, err = up(ctx, p)
		if n += steps; try == migrationTries || !isLocked(err) {
			break
		}
		select {
		case <-ctx.Done():
			return n, fmt.Errorf("migrate: %w", errors.Join(ctx.Err(), err))
		case <-time.After(migrationPause):
		}
		done()
		if p, done, err = db.provider(); err != nil { // its lock has only so many tries
			done = func() {}
			return n, err
		}
	}
	if err != nil {
		return n, fmt.Errorf("migrate: %w", err)
	}
	if e, ok := db.engine.(*postgres); ok {
		// the connections that are there were made before there was anything to note
		e.pool.Reset()
	}
	return n, nil
}

// A step that waits for a table's lock makes everyone else wait behind it. It gives up soon, lets them through, and
// tries again.
const (
	migrationLockWait = 2 * time.Second
	migrationPause    = time.Second
	migrationTries    = 200 // ten minutes: a reader that is longer is better ended
)

// up runs the steps that are left, each in a transaction of its own, and tells how many it did.
func up(ctx context.Context, p *goose.Provider) (int, error) {
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	return len(results), err
}

func isLocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}

// isCurrent tells, by one query, whether no step is left, and the last step that was run. What cannot be read is not
// known: the table may not be there yet.
func (db *DB) isCurrent(ctx context.Context) (last int64, known bool) {
	rows, err := db.Platform("which steps the schema has").
		Query(ctx, `SELECT version_id FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return 0, false
	}
	defer rows.Close()
	have := make(map[int64]bool)
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return 0, false
		}
		have[version] = true
		last = max(last, version)
	}
	steps, err := versions(db.kind)
	if err != nil || rows.Err() != nil || len(have) == 0 {
		return 0, false
	}
	for _, v := range steps {
		if !have[v] {
			return 0, false
		}
	}
	return last, true
}

// versions are those of the steps that this release knows, in order.
func versions(kind Engine) ([]int64, error) {
	files, err := migrationFiles(kind)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(names))
	for i, name := range names {
		if out[i], err = goose.NumericComponent(name); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
}

// newer refuses a database that a later release has changed in a way that this one may not know. Steps only add, so
// that one release apart works side by side.
func (db *DB) newer(have int64) error {
	steps, err := versions(db.kind)
	if err != nil {
		return err
	}
	if last := steps[len(steps)-1]; have > last+aheadAtMost {
		return fmt.Errorf("the database is at step %d and this release knows %d: it is too old for it", have,
			last)
	}
	return nil
}

// aheadAtMost is by how many steps a database may be ahead of the program: those of the next release, so that old and
// new nodes run side by side.
const aheadAtMost = 10

// Migrations lists every step and whether it is applied.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	p, done, err := db.provider()
	if err != nil {
		return nil, err
	}
	defer done()
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
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
	direct := db.engine.(*postgres).direct
	conn := stdlib.OpenDB(*direct, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf(`SET lock_timeout = %d`, migrationLockWait.Milliseconds()))
		return err
	}))
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
