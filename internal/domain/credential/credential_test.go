package credential

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// ATK25: a value of one kind has the form, and the digest, of no other; parts cannot be moved between them.
func TestATK25_KindsApart(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	s := &Service{digests: sync.Pool{New: func() any { return newDigester(key) }}}
	if got, want := s.Digest(APIKey, "value"), secret.Digest(key, secret.New("api_key\x00value")); got != want ||
		s.Digest(APIKey, "value") != want {
		t.Errorf("%s, want %s", got, want)
	}
	seen := make(map[string]Kind)
	for _, k := range Kinds {
		value := "a.b.c"
		if m := table[k].Mark; m != nil {
			value = m.New(time.Unix(1_700_000_000, 0)).Reveal()
		}
		for _, other := range Kinds {
			if other != k && other.Matches(value) {
				t.Errorf("a value of %s has the form of %s", k, other)
			}
			d := s.Digest(other, value)
			if first, ok := seen[d]; ok && first != other {
				t.Errorf("%s and %s have one digest", first, other)
			}
			seen[d] = other
		}
	}
}

// WEB10, ATK25: a cache that was told a lie about a digest still opens nothing: the row's own digest decides.
func TestWEB10_PoisonedPlace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		feed := invalidation.New(db, log)
		ring, err := keyring.New([]secret.Secret{keyring.Generate()})
		if err != nil {
			t.Fatal(err)
		}
		s := New(Deps{DB: db, Caches: &cache.Group{Feed: feed}, Ring: ring, Now: time.Now})
		ctx := t.Context()
		go feed.Run(ctx)
		for !feed.Trusted() {
			time.Sleep(time.Millisecond)
		}
		org, victim := id.Organization("org_01BX5ZZKBKACTAV9WEVGEMMVRZ"),
			id.Credential("key_01BX5ZZKBKACTAV9WEVGEMMVRZ")
		value := table[APIKey].Mark.New(time.Now()).Reveal()
		err = db.PlatformTx(ctx, "a credential for a test", func(tx *sqldb.Tx) error {
			if _,
				err := tx.Exec(ctx,
				`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org); err != nil {
				return err
			}
			_,
				err := tx.Exec(ctx,
				`INSERT INTO credentials (organization_id, id, kind, digest, name, purpose, owner_kind, owner_id, permissions, resources, state, rate_limit, allowed_addresses, created_by, created_at, updated_at, expires_at)
				VALUES ($1, $2, 'api_key', $3, 'x', 'x', 'organization', $1, '[]', '[]', 'active', 0, '[]', 'x', 1, 1, 0)`, org, victim, s.Digest(APIKey, value))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Find(ctx, s.Digest(APIKey, value)); err != nil || c.ID != victim {
			t.Fatalf("%v %v", c.ID, err)
		}
		forged := s.Digest(APIKey, table[APIKey].Mark.New(time.Now()).Reveal())
		loads := 0
		lie := func(digest string) {
			_, err := s.places.Get(ctx, invalidation.Key{ID: digest}, func(context.Context) (place, error) {
				loads++
				return place{org, victim}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		lie(forged)
		if _, err := s.Find(ctx, forged); loads != 1 || !fault.Is(err, fault.NotFound) {
			t.Errorf("a forged place opens the row: %v, %d loads", err, loads)
		}
		lie("")
		if _, err := s.Find(ctx, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("an empty digest opens a row: %v", err) // the empty previous_digest must not match it
		}
	})
}

// A14: which addresses are on a list.
func TestA14_Addresses(t *testing.T) {
	t.Parallel()
	list, err := ParseAddresses([]string{"192.0.2.7", "198.51.100.77/24", "2001:db8::/32", "::ffff:203.0.113.5"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"192.0.2.7": true, "192.0.2.8": false, "198.51.100.1": true,
		"198.51.101.1": false, "2001:db8::1": true, "2001:db9::1": false, "::ffff:192.0.2.7": true, "203.0.113.5": true,
		"": false, "nonsense": false, "fe80::1%eth0": false} {
		if got := Allowed(list, address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
	if !Allowed(nil, "192.0.2.1") || !Allowed([]netip.Prefix{}, "") {
		t.Error("an empty list does not allow all")
	}
	for _, wrong := range []string{"", "here", "192.0.2.1/33", "192.0.2.0/24/1", "::ffff:192.0.2.0/120", "fe80::1%eth0",
		"192.0.2.*"} {
		if _, err := ParseAddresses([]string{wrong}); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}
