package signingkey

import (
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey/signingkeydb"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

const factKind = "keys"

// set is an immutable picture of all keys.
type set struct {
	byID   map[string]*Key
	active map[Purpose]*Key
	all    []*Key

	notBefore time.Time
}

// Service owns the keys.
type Service struct {
	db       *sqldb.DB
	ring     *keyring.Ring
	now      func() time.Time
	generate Generator
	bits     int
	log      *slog.Logger

	current atomic.Pointer[set]
	wanted  atomic.Uint64 // changes heard of
	have    atomic.Uint64 // changes heard of before the set in memory was read
	feed    *invalidation.Feed

	loading chan struct{} // one at a time; guards what follows
	began   time.Time     // of the last load
	outcome error         // of the last load
}

// Deps are what the service builds on.
type Deps struct {
	DB       *sqldb.DB
	Now      func() time.Time
	Log      *slog.Logger
	Feed     *invalidation.Feed
	Ring     *keyring.Ring
	Bits     int // of new RSA keys
	Generate Generator
}

// New makes the service; call Ensure before use.
func New(d Deps) *Service {
	s := &Service{db: d.DB, ring: d.Ring, now: d.Now, generate: d.Generate, bits: d.Bits, log: d.Log, feed: d.Feed,
		loading: make(chan struct{}, 1)}
	s.current.Store(&set{})
	d.Feed.Subscribe(factKind, s)
	return s
}

// Invalidate and Flush load the set again: another node changed it, or may have.
func (s *Service) Invalidate(invalidation.Key) { s.reload() }
func (s *Service) Flush()                      { s.reload() }

func (s *Service) reload() {
	s.wanted.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	if err := s.Load(ctx); err != nil {
		s.log.Error("signing keys cannot be loaded; they are asked for again with the next request", "error", err)
	}
}

// keys gives the set in memory while it is surely current; else it is read again first, and who cannot read it trusts
// no key.
func (s *Service) keys() (*set, error) {
	if s.have.Load() != s.wanted.Load() || !s.feed.Trusted() {
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		defer cancel()
		if err := s.Load(ctx); err != nil {
			return nil, fault.Unavailablef(time.Second, "The signing keys cannot be read.").Because(err)
		}
	}
	return s.current.Load(), nil
}

// Load reads the set from the database. Who waits for a load that began after they asked shares its outcome.
func (s *Service) Load(ctx context.Context) error {
	asked := time.Now()
	select {
	case s.loading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.loading }()
	if s.began.After(asked) {
		return s.outcome
	}
	s.began = time.Now()
	heard := s.wanted.Load()
	if s.outcome = s.read(ctx); s.outcome == nil {
		s.have.Store(heard) // not before the set is there: until then it counts as outdated
	}
	return s.outcome
}

const loadTimeout = 2 * time.Second

func (s *Service) read(ctx context.Context) error {
	rows, err := signingkeydb.New(s.db.Platform("signing keys")).PlatformList(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	notBefore, err := signingkeydb.New(s.db.Platform("since when tokens count")).PlatformNotBefore(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	next := &set{byID: make(map[string]*Key), active: make(map[Purpose]*Key), notBefore: notBefore.Time()}
	old := s.current.Load()
	for _, r := range rows {
		k := old.byID[string(r.ID)]
		if k == nil || k.State != State(r.State) || k.VerifyUntil != r.VerifyUntil.Time() {
			if k, err = fromRow(r, s.ring); err != nil {
				return err
			}
		}
		next.byID[string(k.ID)] = k
		next.all = append(next.all, k)
		if k.State == Active {
			next.active[k.Purpose] = k
		}
	}
	if old.all != nil && next.notBefore.After(old.notBefore) {
		s.log.Warn("every token issued until now is void: the database was restored or failed over", "notBefore",
			next.notBefore)
	}
	s.current.Store(next)
	return nil
}

// NotBefore is since when tokens count: whatever was issued before is void. Zero: all do.
func (s *Service) NotBefore() (time.Time, error) {
	keys, err := s.keys()
	if err != nil {
		return time.Time{}, err
	}
	return keys.notBefore, nil
}

// Ensure loads the keys and makes the session key if there is none yet; Prepare makes the rest without haste.
func (s *Service) Ensure(ctx context.Context) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	return s.fill(ctx, Session, Active)
}

// Prepare makes what is still missing: the next session key and the long-lived set.
func (s *Service) Prepare(ctx context.Context) error {
	for _, want := range []struct {
		purpose Purpose
		state   State
	}{{LongLived, Active}, {Session, Next}, {LongLived, Next}} {
		if err := s.fill(ctx, want.purpose, want.state); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) fill(ctx context.Context, purpose Purpose, state State) error {
	for _, k := range s.current.Load().all {
		if k.Purpose == purpose && k.State == state {
			return nil
		}
	}
	private, err := s.generate(s.bits)
	if err != nil {
		return fmt.Errorf("signing keys: generate: %w", err)
	}
	err = s.db.PlatformTx(ctx, "signing keys", func(tx *sqldb.Tx) error {
		return s.insert(ctx, tx, purpose, state, private)
	})
	if err != nil && !sqldb.IsUnique(err) { // another node was quicker: take its key
		return fmt.Errorf("signing keys: %w", err)
	}
	return s.Load(ctx)
}

func (s *Service) insert(ctx context.Context, tx *sqldb.Tx, purpose Purpose, state State,
	private *rsa.PrivateKey) error {
	row, err := newRow(purpose, state, private, s.ring, s.now())
	if err != nil {
		return err
	}
	tx.Announce(invalidation.Message(factKind, invalidation.Key{}))
	return signingkeydb.New(tx).PlatformInsert(ctx, row)
}

// Signing gives the key that signs now.
func (s *Service) Signing(purpose Purpose) (jwt.PrivateKey, error) {
	keys, err := s.keys()
	if err != nil {
		return jwt.PrivateKey{}, err
	}
	k := keys.active[purpose]
	if k == nil || k.private == nil {
		return jwt.PrivateKey{}, fault.Unavailablef(time.Second, "There is no active signing key.")
	}
	return k.privateKey(), nil
}

// SigningKey gives a named key that may still sign again what it signed before (refresh overlap).
func (s *Service) SigningKey(kid string) (key jwt.PrivateKey, ok bool, err error) {
	keys, err := s.keys()
	if err != nil {
		return jwt.PrivateKey{}, false, err
	}
	k := keys.byID[kid]
	if k == nil || k.private == nil || !k.verifies(s.now()) {
		return jwt.PrivateKey{}, false, nil
	}
	return k.privateKey(), true, nil
}

func (k *Key) privateKey() jwt.PrivateKey {
	return jwt.PrivateKey{ID: string(k.ID), Algorithm: k.Algorithm, Signer: k.private}
}

// Verifying gives the public key of a kid if it may verify tokens of the purpose now. The kid is data: only this map is
// asked.
func (s *Service) Verifying(purpose Purpose, kid string) (key jwt.PublicKey, ok bool, err error) {
	keys, err := s.keys()
	if err != nil {
		return jwt.PublicKey{}, false, err
	}
	k := keys.byID[kid]
	if k == nil || k.Purpose != purpose || !k.verifies(s.now()) {
		return jwt.PublicKey{}, false, nil
	}
	return jwt.PublicKey{ID: string(k.ID), Algorithm: k.Algorithm, Key: k.Public}, true, nil
}

// JWKS is the published set (RFC 7517): session keys only, those to come included.
func (s *Service) JWKS() (jose.JSONWebKeySet, error) {
	now := s.now()
	out := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	keys, err := s.keys()
	if err != nil {
		return out, err
	}
	for _, k := range keys.all {
		if k.Purpose == Session && k.verifies(now) {
			out.Keys = append(out.Keys, jose.JSONWebKey{Key: k.Public, KeyID: string(k.ID), Algorithm: k.Algorithm,
				Use: "sig"})
		}
	}
	return out, nil
}

// List gives all keys, oldest first.
func (s *Service) List() []Key {
	all := s.current.Load().all
	out := make([]Key, len(all))
	for i, k := range all {
		out[i] = *k
		out[i].private = nil
	}
	return out
}

func (s *Service) find(purpose Purpose, state State) *Key {
	for _, k := range s.current.Load().all {
		if k.Purpose == purpose && k.State == state {
			return k
		}
	}
	return nil
}

// Rotate makes the next key active, retires the active one and publishes a new next. Unless forced it refuses while
// verifiers may not have seen the next key yet.
func (s *Service) Rotate(ctx context.Context, p principal.Principal, purpose Purpose, force bool) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	active, next := s.find(purpose, Active), s.find(purpose, Next)
	if active == nil || next == nil {
		return fault.Conflictf("There is no next key to rotate to yet. Try again in a few seconds.")
	}
	now := s.now()
	if ready := next.CreatedAt.Add(PublishLead); purpose == Session && now.Before(ready) && !force {
		return fault.Conflictf("The next key was published at %s; caches may not have it before %s.",
			next.CreatedAt.Format(time.RFC3339), ready.Format(time.RFC3339))
	}
	fresh, err := s.generate(s.bits)
	if err != nil {
		return fmt.Errorf("signing keys: generate: %w", err)
	}
	until := now.Add(RetiredKept)
	if purpose == LongLived {
		until = now.AddDate(1000, 0, 0) // its tokens never expire; their rows decide
	}
	err = s.db.PlatformTx(ctx, "rotate signing keys", func(tx *sqldb.Tx) error {
		q := signingkeydb.New(tx)
		if n, err := q.PlatformRetire(ctx, sqldb.MillisOf(now), sqldb.MillisOf(until), active.ID); err != nil ||
			n == 0 {
			return orConflict(err)
		}
		if n, err := q.PlatformActivate(ctx, sqldb.MillisOf(now), next.ID); err != nil || n == 0 {
			return orConflict(err)
		}
		if err := s.insert(ctx, tx, purpose, Next, fresh); err != nil {
			return err
		}
		return s.record(ctx, tx, p, "signing_key.rotated", next.ID)
	})
	if err != nil {
		return err
	}
	return s.Load(ctx)
}

func orConflict(err error) error {
	if err != nil {
		return err
	}
	return fault.Conflictf("Another node changed the keys at the same time.")
}

// Revoke is the emergency: the key verifies nothing from now on, on every node. If it was active or next, another takes
// its place.
func (s *Service) Revoke(ctx context.Context, p principal.Principal, kid id.SigningKey) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	k := s.current.Load().byID[string(kid)]
	if k == nil {
		return fault.NotFoundf("There is no signing key %s.", kid)
	}
	next := s.find(k.Purpose, Next)
	err := s.db.PlatformTx(ctx, "revoke a signing key", func(tx *sqldb.Tx) error {
		q := signingkeydb.New(tx)
		now := sqldb.MillisOf(s.now())
		n, err := q.PlatformRevoke(ctx, now, kid)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflictf("The signing key %s is revoked already.", kid)
		}
		if k.State == Active && next != nil {
			if _, err := q.PlatformActivate(ctx, now, next.ID); err != nil {
				return err
			}
		}
		tx.Announce(invalidation.Message(factKind, invalidation.Key{}))
		return s.record(ctx, tx, p, "signing_key.revoked", kid)
	})
	if err != nil {
		return err
	}
	if err := s.Load(ctx); err != nil {
		return err
	}
	if err := s.fill(ctx, k.Purpose, Active); err != nil {
		return err
	}
	return s.fill(ctx, k.Purpose, Next)
}

func (s *Service) record(ctx context.Context, tx *sqldb.Tx, p principal.Principal, act string,
	kid id.SigningKey) error {
	if p.Organization == "" {
		return nil // before set-up there is no organization to record in
	}
	return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: act, TargetKind: "signing_key", TargetID: string(kid)})
}

// Housekeep rotates session keys that have served their time and forgets those that verify nothing any more.
func (s *Service) Housekeep(ctx context.Context, p principal.Principal) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	active, next := s.find(Session, Active), s.find(Session, Next)
	if active != nil && next != nil && s.now().Sub(active.ActivatedAt) > RotateAfter && s.now().
		Sub(next.CreatedAt) > PublishLead {
		if err := s.Rotate(ctx, p, Session, false); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return s.db.PlatformTx(ctx, "forget expired signing keys", func(tx *sqldb.Tx) error {
		n, err := signingkeydb.New(tx).PlatformForget(ctx, sqldb.MillisOf(s.now().Add(-forgottenFor)))
		if n > 0 {
			tx.Announce(invalidation.Message(factKind, invalidation.Key{}))
		}
		return err
	})
}
