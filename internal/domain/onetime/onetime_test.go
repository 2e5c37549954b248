package onetime

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// ATK25: the one store of single-use things keeps its purposes apart: a mark is no link, a link no mark, and the parts
// of a mark cannot be moved between subject and value. Of many marks at once one is fresh.
func TestATK25_PurposesApart(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, now := t.Context(), time.Now()
		org := id.Organization("org_01BX5ZZKBKACTAV9WEVGEMMVRZ")
		err := db.PlatformTx(ctx, "an organization for a test", func(tx *sqldb.Tx) error {
			_,
				err := tx.Exec(ctx,
				`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.New([]secret.Secret{keyring.Generate()})
		if err != nil {
			t.Fatal(err)
		}
		s := New(db, ring)
		mark := func(purpose, subject, value string) bool {
			t.Helper()
			fresh, err := s.Mark(ctx, org, purpose, subject, value, now, now.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			return fresh
		}
		if !mark("client_assertion", "cli_a", "jti") || mark("client_assertion", "cli_a", "jti") {
			t.Error("a mark is fresh once")
		}
		for _, other := range [][3]string{{"client_assertion", "cli_b", "jti"}, {"client_assertion", "cli_a", "jti2"},
			{"client_assertion", "cli_ajti", ""}, {"client_assertion", "", "cli_ajti"}, {"other", "cli_a", "jti"}} {
			if !mark(other[0], other[1], other[2]) {
				t.Errorf("%q runs into another", other)
			}
		}
		var link secret.Secret
		err = db.Tx(ctx, org, func(tx *sqldb.Tx) (err error) {
			link, err = s.Issue(ctx, tx, org, "invitation", "inv_1", "", now, now.Add(time.Hour))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, purpose := range []string{"set_password", "setup", "client_assertion", ""} {
			err := db.Tx(ctx, org, func(tx *sqldb.Tx) error {
				_, err := s.Consume(ctx, tx, org, purpose, link, now)
				return err
			})
			if !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("an invitation is consumed as %q: %v", purpose, err)
			}
		}
		for _, value := range []string{"jti", "cli_a\x00jti"} {
			// a mark is used from the beginning: nobody consumes one
			if _, _, err := s.Find(ctx, "client_assertion", secret.New(value), now); !fault.Is(err,
				fault.Unauthenticated) {
				t.Errorf("a mark is found as a secret: %v", err)
			}
		}
		var wg sync.WaitGroup
		var fresh atomic.Int32
		for range 16 {
			wg.Go(func() {
				if ok, err := s.Mark(ctx, org, "client_assertion", "cli_a", "raced", now,
					now.Add(time.Minute)); err == nil && ok {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 {
			t.Errorf("%d of 16 marks at once were fresh", fresh.Load())
		}
	})
}
