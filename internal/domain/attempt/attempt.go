// Package attempt counts tries at proving a secret, before each is verified: a reservation is a failure until it is
// taken back, so parallel guesses cannot outrun the limit. Counters live in the database and survive a restart. They
// are kept under a keyed digest of the name as typed or of the address, so an unknown name locks exactly as a known
// one. Beside the name's count stands that of the account it means, so that an account's several names give no further
// guesses, and a success forgives no other account's failures. A locked name is told; a locked account is not, since
// that would tell which names are one account: its tries fail without being looked at.
//
// Every transaction but the purge of old rows touches the address's row first, then the name's, then the account's: in
// two orders they could wait for each other for ever.
package attempt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt/attemptdb"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Limits are how many failures lock and for how long at first. Each further failure after a lock locks for 2, 4, 8 and
// then always 15 times the first duration. A name is forgotten after a time without a try; an address, which many
// people may share, when its window has passed.
type Limits struct {
	AccountFailures int
	ForgetAfter     time.Duration
	AddressFailures int
	AddressWindow   time.Duration
	LockUnit        time.Duration
}

// DefaultLimits are what docs/auth-limits.md states.
var DefaultLimits = Limits{AccountFailures: 5, ForgetAfter: 24 * time.Hour, AddressFailures: 100,
	AddressWindow: 15 * time.Minute, LockUnit: time.Minute}

// Service counts.
type Service struct {
	db     *sqldb.DB
	key    []byte
	limits Limits
	now    func() time.Time
	locked *bounded.Cache[bounded.Key, lock] // digests that were just seen locked
}

// lock is one that was seen a moment ago.
type lock struct {
	seen    time.Time
	refusal *fault.Error
}

// remembered is how long a lock that was seen is believed without asking: not longer, since a try that is taken back
// lifts the lock that it made.
const remembered = time.Second

// maxRemembered bounds how many are.
const maxRemembered = 10_000

// New makes the service.
func New(db *sqldb.DB, ring *keyring.Ring, limits Limits, now func() time.Time) *Service {
	return &Service{db: db, key: ring.Subkey("attempt counters"), limits: limits, now: now,
		locked: bounded.New[lock](maxRemembered)}
}

// Reservation is one counted try.
type Reservation struct {
	Locks         bool // if it fails, the name or the account is locked
	AccountLocked bool // whatever the secret, it must not be accepted, and the answer is that to a wrong one

	name, account, nobody, address string // digests; nobody's is the account of names that mean none
}

func (s *Service) digest(kind, name string) string {
	return secret.Digest(s.key, secret.New(kind+"\x00"+name))
}

// Locked refuses a try at a name or from an address that was seen locked a moment ago: at no cost, so that who is
// locked out does not keep others waiting. Nil does not mean that neither is.
func (s *Service) Locked(name, address string) error {
	for _, digest := range []string{s.digest("address", Network(address)), s.digest("name", name)} {
		if l, ok := s.locked.Get(bounded.Key{ID: digest}); ok {
			if since := s.now().Sub(l.seen); since >= 0 && since < remembered {
				return l.refusal
			}
		}
	}
	return nil
}

// Reserve counts a try at a name (canonical, as typed) from an address. account is whose password it is tried at, or
// empty: the name locks whatever the account, so that known and unknown names, and hints, are alike; a success forgives
// only its own account's failures. Tries while the name is locked are refused with Limited and not counted.
func (s *Service) Reserve(ctx context.Context, name, account, address string) (Reservation, error) {
	r := Reservation{name: s.digest("name", name), nobody: s.digest("nobody", name),
		address: s.digest("address", Network(address))}
	if r.account = r.nobody; account != "" {
		r.account = s.digest("account", account)
	}
	err := s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		// a refusal takes back what was counted beside the lock
		q, now := attemptdb.New(tx), s.now()
		counted, err := s.reserve(ctx, q, r, now)
		if err != nil {
			return err
		}
		if counted[r.address] == 0 {
			return s.refuse(ctx, q, r.address, now, fault.CodeRateLimited,
				"Too many failed sign-ins from this address.")
		}
		if counted[r.name] == 0 {
			return s.refuse(ctx, q, r.name, now, fault.CodeAccountLocked,
				"Too many failed sign-ins for this account. Wait and try again.")
		}
		r.AccountLocked = counted[r.account] == 0
		r.Locks = max(counted[r.name], counted[r.account]) >= int64(s.limits.AccountFailures)
		return nil
	})
	if err != nil {
		return Reservation{}, fmt.Errorf("attempt: reserve: %w", err)
	}
	return r, nil
}

// Network is what one client of an address surely shares: itself for IPv4, the /64 it may choose from for IPv6.
func Network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Is4() {
		return address
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// reserve counts a try at all three and gives the failures of each; none of one that is locked.
func (s *Service) reserve(ctx context.Context, q *attemptdb.Queries, r Reservation, now time.Time) (map[string]int64,
	error) {
	rows, err := q.PlatformReserve(ctx, attemptdb.PlatformReserveParams{Address: r.address, Name: r.name,
		Account: r.account, Now: sqldb.MillisOf(now),
		WindowStart: now.Add(-s.limits.AddressWindow).UnixMilli(), Forget: now.Add(-s.limits.ForgetAfter).UnixMilli(),
		AddressFailures: int64(s.limits.AddressFailures), AccountFailures: int64(s.limits.AccountFailures),
		LockUnit: s.limits.LockUnit.Milliseconds()})
	counted := make(map[string]int64, len(rows))
	for _, row := range rows {
		counted[row.Digest] = row.Failures
	}
	return counted, err
}

// AccountRefusal tells somebody who has proven who they are how long their account is locked.
func (s *Service) AccountRefusal(ctx context.Context, r Reservation) error {
	var refusal error
	err := s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		refusal = s.refuse(ctx, attemptdb.New(tx), r.account, s.now(), fault.CodeAccountLocked,
			"Too many failed sign-ins for this account. Wait and try again.")
		return nil
	})
	return errors.Join(err, refusal)
}

// refuse tells how long a lock lasts.
func (s *Service) refuse(ctx context.Context, q *attemptdb.Queries, digest string, now time.Time, code,
	text string) error {
	until, err := q.PlatformLockedUntil(ctx, digest)
	if err != nil {
		return err
	}
	refusal := fault.Limitedf(code, max(until.Time().Sub(now), time.Second), "%s", text)
	s.locked.Set(bounded.Key{ID: digest}, lock{now, refusal})
	return refusal
}

// Succeeded forgives the account's failures and takes the try back from the address.
func (s *Service) Succeeded(ctx context.Context, r Reservation) error {
	return s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		q := attemptdb.New(tx.Later())
		return errors.Join(q.PlatformRelease(ctx, int64(s.limits.AddressFailures), r.address),
			q.PlatformHold(ctx, r.name), q.PlatformForgive(ctx, r.account, r.nobody, r.name),
			q.PlatformClear(ctx, r.account, r.nobody))
	})
}

// NotMade takes a reservation back that was no guess, and forgives nothing: the secret was never looked at, or it was
// right.
func (s *Service) NotMade(ctx context.Context, r Reservation) error {
	return s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		q, limit := attemptdb.New(tx.Later()), int64(s.limits.AccountFailures)
		err := errors.Join(q.PlatformRelease(ctx, int64(s.limits.AddressFailures), r.address),
			q.PlatformHold(ctx, r.name), q.PlatformReleaseShared(ctx, limit, r.name, r.account))
		if !r.AccountLocked {
			err = errors.Join(err, q.PlatformRelease(ctx, limit, r.account))
		}
		return err
	})
}

// Unlock forgives what failed at one account, under each of its names: somebody answers for it, and records it with
// within. A name stays locked for what failed at other accounts.
func (s *Service) Unlock(ctx context.Context, account string, names []string, within func(tx *sqldb.Tx) error) error {
	err := s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		if err := s.unlock(ctx, attemptdb.New(tx), account, names); err != nil {
			return err
		}
		return within(tx)
	})
	for _, name := range names {
		s.locked.Delete(bounded.Key{ID: s.digest("name", name)})
	}
	if err != nil {
		return fmt.Errorf("attempt: unlock: %w", err)
	}
	return nil
}

// unlock takes from each name what failed at the account, or at nobody under that name, and then from the account
// itself.
func (s *Service) unlock(ctx context.Context, q *attemptdb.Queries, account string, names []string) error {
	digest := s.digest("account", account)
	for _, name := range names {
		named := s.digest("name", name)
		err := errors.Join(q.PlatformHold(ctx, named),
			q.PlatformUnlock(ctx, digest, s.digest("nobody", name), int64(s.limits.AccountFailures), named))
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := q.PlatformClear(ctx, digest, s.digest("nobody", name)); err != nil {
			return err
		}
	}
	return nil
}

// SucceededAs is Succeeded after a full sign-in of an account: it forgives what failed at it under all of its names,
// and under the one of the try.
func (s *Service) SucceededAs(ctx context.Context, r Reservation, account string, names ...string) error {
	err := s.db.PlatformTx(ctx, "sign-in attempt counters", func(tx *sqldb.Tx) error {
		q := attemptdb.New(tx)
		return errors.Join(q.PlatformRelease(ctx, int64(s.limits.AddressFailures), r.address),
			s.unlock(ctx, q, account, names))
	})
	if err != nil {
		return fmt.Errorf("attempt: succeeded: %w", err)
	}
	return nil
}
