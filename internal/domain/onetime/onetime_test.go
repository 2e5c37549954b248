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

// One standing secret of a subject is the same for every node, until it is used or too old; the database alone gives it
// to nobody.
func TestStand(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		ctx, now := t.Context(), time.UnixMilli(1_700_000_000_000)
		org := id.Organization("org_01BX5ZZKBKACTAV9WEVGEMMVRZ")
		db := sqldbtest.Open(t, address)
		err := db.PlatformTx(ctx, "an organization for a test", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at)
				VALUES ($1, 'platform', 'Platform', 'active', '{}', 1, 1)`, org)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		first := keyring.Generate()
		node := func(keys ...secret.Secret) *Service {
			ring, err := keyring.New(keys)
			if err != nil {
				t.Fatal(err)
			}
			return New(sqldbtest.Open(t, address), ring)
		}
		stand := func(s *Service, now time.Time) (string, time.Time) {
			t.Helper()
			value, until, err := s.Stand(ctx, org, "setup", "first operator", now, now.Add(24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return value.Reveal(), until
		}
		var wg sync.WaitGroup
		got := make([]string, 4)
		for i := range got {
			s := node(first)
			wg.Go(func() { got[i], _ = stand(s, now) })
		}
		wg.Wait()
		for _, other := range got[1:] {
			if other != got[0] {
				t.Fatalf("nodes that start at once disagree: %q", got)
			}
		}
		s := node(first)
		if again, until := stand(s, now.Add(23*time.Hour)); again != got[0] || !until.Equal(now.Add(24*time.Hour)) {
			t.Errorf("a later start shows another, or one that works longer: %v", until)
		}
		var rows, clear int
		if err := db.Platform("look for the value").QueryRow(ctx, `SELECT count(*),
			COALESCE(SUM(CASE WHEN payload LIKE $1 OR digest LIKE $1 THEN 1 ELSE 0 END), 0) FROM onetime`,
			"%"+got[0]+"%").Scan(&rows, &clear); err != nil || rows != 1 || clear != 0 {
			t.Errorf("%d rows, %d with the value in clear: %v", rows, clear, err)
		}
		if another, _ := stand(node(keyring.Generate(), first), now); another != got[0] {
			t.Error("a further encryption key changes it")
		}
		if _, _, err := s.Find(ctx, "setup", secret.New(got[0]), now.Add(24*time.Hour)); err == nil {
			t.Error("it works after its day")
		}
		next, until := stand(s, now.Add(24*time.Hour))
		if next == got[0] || !until.Equal(now.Add(48*time.Hour)) {
			t.Errorf("after its day there is no new one: %v", until)
		}
		err = db.Tx(ctx, org, func(tx *sqldb.Tx) error {
			_, err := s.Consume(ctx, tx, org, "setup", secret.New(next), now.Add(25*time.Hour))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if third, _ := stand(s, now.Add(25*time.Hour)); third == next {
			t.Error("one that was used is shown again")
		}
	})
}
