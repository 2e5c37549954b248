package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// measureRotations rotates refresh families as often as -rotations says, by the statement that the server uses, and
// shows what became of the table.
func measureRotations(name, address string, times int) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, address, sqldb.Options{MaxConns: 8})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	const families = 1000
	org := id.New[id.Organization]()
	current := make([]string, families)
	ids := make([]id.Family, families)
	now := time.Now()
	err = db.PlatformTx(ctx, "a thousand sessions for a measurement", func(tx *sqldb.Tx) error {
		if _,
			err := tx.Exec(ctx,
			`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org); err != nil {
			return err
		}
		user := id.New[id.User]()
		if _,
			err := tx.Exec(ctx,
			`INSERT INTO users (organization_id, id, email, email_key, username, username_key, name, kind, role, state, password_hash, password_changed_at, created_at, updated_at)
			VALUES ($1, $2, 'a@acme-corp.example', 'a@acme-corp.example', 'a', 'a', 'A', 'person', 'end_user', 'active', '', 1, 1, 1)`, org, user); err != nil {
			return err
		}
		for i := range families {
			session := id.New[id.Session]()
			ids[i], current[i] = id.New[id.Family](), fmt.Sprint("first-", i)
			if _,
				err := tx.Exec(ctx,
				`INSERT INTO sessions (organization_id, id, user_id, state, sliding, auth_time, created_at, last_used_at, expires_at, absolute_expires_at, device, fingerprint, address)
				VALUES ($1, $2, $3, 'active', true, 1, 1, 1, $4, 0, '', '', '')`, org, session, user,
				now.Add(time.Hour).UnixMilli()); err != nil {
				return err
			}
			if err := tokendb.New(tx).InsertFamily(ctx,
				tokendb.InsertFamilyParams{OrganizationID: org, ID: ids[i], SessionID: session, CurrentJti: current[i],
					CreatedAt: sqldb.MillisOf(now)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	before := sizes(ctx, db)
	var done atomic.Int64
	var failed atomic.Pointer[error]
	begin := time.Now()
	var wg sync.WaitGroup
	const workers = 8
	for w := range workers {
		wg.Go(func() {
			for i := w; failed.Load() == nil && done.Add(1) <= int64(times); i = (i + workers) % families {
				next := fmt.Sprintf("%s-%d", strings.Repeat("j", 20), done.Load())
				err := db.Tx(ctx, org, func(tx *sqldb.Tx) error {
					n, err := tokendb.New(tx).Rotate(ctx,
						tokendb.RotateParams{NextJti: next, Now: sqldb.MillisOf(time.Now()), OrganizationID: org,
							ID: ids[i], Presented: current[i], Issued: time.Now().UnixMilli()})
					if err == nil && n != 1 {
						err = fmt.Errorf("rotation of %s: %d rows", ids[i], n)
					}
					return err
				})
				if err != nil {
					failed.Store(&err)
					return
				}
				current[i] = next
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return *e
	}
	took := time.Since(begin)
	fmt.Printf("%s: %d rotations of %d families in %v (%.0f/s): %s before, %s after\n", name, times, families,
		took.Round(time.Second), float64(times)/took.Seconds(), before, sizes(ctx, db))
	return nil
}

// sizes tells how large the table is: rows, and bytes where they can be told.
func sizes(ctx context.Context, db *sqldb.DB) string {
	var rows, bytes int64
	if err := db.Platform("the size of a table").QueryRow(ctx, `SELECT count(*) FROM refresh_families`).
		Scan(&rows); err != nil {
		return err.Error()
	}
	if db.Engine() == sqldb.Postgres {
		if err := db.Platform("the size of a table").QueryRow(ctx, `SELECT pg_total_relation_size('refresh_families')`).
			Scan(&bytes); err != nil {
			return err.Error()
		}
	} else if err := db.Platform("the size of a file").
		QueryRow(ctx, `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`).
		Scan(&bytes); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d rows, %d KiB", rows, bytes/1024)
}
