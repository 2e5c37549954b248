// Package login is the sign-in machine: a first factor is proven, then a session begins. Every way of failing gives the same answer after
// the same work, so that nobody learns which accounts exist. It decides nothing about wire formats.
package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/maypok86/otter/v2"

	"gatehouse/internal/core/fault"
	"gatehouse/internal/core/id"
	"gatehouse/internal/core/password"
	"gatehouse/internal/core/permission"
	"gatehouse/internal/core/principal"
	"gatehouse/internal/domain/attempt"
	"gatehouse/internal/domain/audit"
	"gatehouse/internal/domain/organization"
	"gatehouse/internal/domain/session"
	"gatehouse/internal/domain/token"
	"gatehouse/internal/domain/user"
	"gatehouse/internal/platform/hashing"
	"gatehouse/internal/platform/sqldb"
)

// Service signs people in.
type Service struct {
	db            *sqldb.DB
	now           func() time.Time
	log           *slog.Logger
	hasher        *hashing.Pool
	attempts      *attempt.Service
	organizations *organization.Service
	users         *user.Service
	sessions      *session.Service
	tokens        *token.Service
	secondStep    SecondStep
	decoy         string
	turnstile     *turnstile
	uses          *otter.Cache[string, time.Time] // recorded lately
}

// SecondStep tells whether an account has a second factor, or must have one.
type SecondStep func(ctx context.Context, org organization.Organization, u user.User) (bool, error)

// The doors that take a password, as the audit log names them.
const (
	Main      = "v1"
	ItemPath  = "itempath"
	EasyVista = "easyvista"
)

// New makes the service.
func New(db *sqldb.DB, hasher *hashing.Pool, attempts *attempt.Service, organizations *organization.Service, users *user.Service, sessions *session.Service, tokens *token.Service, secondStep SecondStep, now func() time.Time, log *slog.Logger) *Service {
	return &Service{db: db, now: now, log: log, hasher: hasher, attempts: attempts, organizations: organizations, users: users, sessions: sessions, tokens: tokens,
		secondStep: secondStep, decoy: decoyHash(hasher.Params()), turnstile: newTurnstile(),
		uses: otter.Must(&otter.Options[string, time.Time]{MaximumSize: 100_000})}
}

// decoyHash is a PHC string that costs as much to check as any and that no password has.
func decoyHash(p password.Params) string {
	b := make([]byte, 48)
	rand.Read(b)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.MemoryKiB, p.Iterations, p.Parallelism, b64(b[:16]), b64(b[16:]))
}

// Tenant is the organization a sign-in names. The zero value names none; Unknown is one that does not exist, which must look the same.
type Tenant struct {
	ID      id.Organization
	Unknown bool
	Named   string // as it was named, if it is unknown
}

// counter is what tries at a name are counted under. A user name is somebody's in one organization, and counts there; an e-mail address counts
// wherever it is tried, so that no hint gives further tries. It does not depend on whether there is such an account.
func (t Tenant) counter(name string) string {
	name = user.CanonicalName(name)
	switch {
	case strings.Contains(name, "@"):
		return name
	case t.Unknown:
		return "?" + t.Named + "/" + name
	}
	return string(t.ID) + "/" + name
}

// unknownTenant is an id that no organization has: a look-up in it costs the same and finds nothing.
const unknownTenant = id.Organization("org_00000000000000000000000000")

// Password is a sign-in with a password.
type Password struct {
	Name        string // an e-mail address, or a user name where the tenant is known
	Password    string
	Tenant      Tenant
	Fingerprint string
	Source      principal.Source
	Door        string
	Once        bool // proven for one request: it forgives no failures
}

// Proven is an account whose password was right.
type Proven struct {
	User         user.User
	Organization organization.Organization
}

// Result is a sign-in that succeeded.
type Result struct {
	Tokens       token.Pair
	User         user.User
	Organization organization.Organization
	Session      id.Session
	Permissions  permission.Set
}

// ErrCredentials is the one answer to a wrong name, a wrong password, a disabled user and a suspended organization.
func ErrCredentials() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials, "The e-mail address or the password is wrong.")
}

const maxFingerprint = 512

// WithPassword signs in and begins a session: by its door with refresh tokens that rotate, or with a reusable one.
func (s *Service) WithPassword(ctx context.Context, in Password) (Result, error) {
	if len(in.Fingerprint) > maxFingerprint || !utf8.ValidString(in.Fingerprint) {
		return Result{}, fault.Invalidf("deviceFingerprint", "must have at most %d bytes of UTF-8", maxFingerprint)
	}
	proven, err := s.Prove(ctx, in)
	if err != nil {
		return Result{}, err
	}
	return s.begin(ctx, proven.Organization, proven.User, in)
}

// Prove checks a password and begins nothing, for few at a time of one name and no more than can be hashed soon. Whatever is wrong, the path is: one
// look-up, one reservation, one hash, one event.
func (s *Service) Prove(ctx context.Context, in Password) (Proven, error) {
	if len(in.Password) > password.MaxBytes {
		return Proven{}, fault.Invalidf("password", "must have at most %d characters", password.MaxLength)
	}
	counter := in.Tenant.counter(in.Name)
	if err := s.attempts.Locked(counter, in.Source.Address); err != nil {
		return Proven{}, err
	}
	place, err := s.hasher.Enter(attempt.Network(in.Source.Address)) // before anything is asked or counted: who is sent away has tried nothing
	if err != nil {
		return Proven{}, err
	}
	defer place.Leave()
	leave, err := s.turnstile.enter(ctx, counter)
	if err != nil {
		return Proven{}, err
	}
	defer leave()
	tenant := in.Tenant.ID
	if in.Tenant.Unknown {
		tenant = unknownTenant
	}
	u, found, err := s.users.ForSignIn(ctx, tenant, in.Name)
	if err != nil {
		return Proven{}, err
	}
	org, err := s.prove(ctx, in, u, found, counter, place)
	return Proven{u, org}, err
}

// passes is the one rule for doors without a second step, and none has one yet: an account that has or needs a second factor does not pass, unless
// it is an application that was exempted (A27).
func (s *Service) passes(ctx context.Context, org organization.Organization, u user.User) (bool, error) {
	if u.Kind == user.Application && u.MFAExempt {
		return true, nil
	}
	wanted, err := s.secondStep(ctx, org, u)
	return !wanted, err
}

// prove checks the password of an account that was found or not, and counts the try. No spelling, name, hint or door gives an account further tries.
func (s *Service) prove(ctx context.Context, in Password, u user.User, found bool, counter string, place *hashing.Place) (org organization.Organization, err error) {
	reservation, err := s.attempts.Reserve(ctx, counter, string(u.ID), in.Source.Address)
	if err != nil {
		return org, err // a locked try leaves no event: the one that locked did, and a flood must not fill the log
	}
	hash := s.decoy
	if found && u.PasswordHash() != "" && !reservation.AccountLocked {
		hash = u.PasswordHash()
	}
	ok, outdated, err := place.Verify(ctx, in.Password, hash)
	place.Leave() // the next may hash while this one is written down
	if err != nil {
		if e := s.attempts.NotMade(context.WithoutCancel(ctx), reservation); e != nil {
			s.log.ErrorContext(ctx, "a reservation was not taken back", "error", e)
		}
		return org, err
	}
	passes := false
	if found { // asked whether the password was right or not: the answers take the same time
		if org, err = s.organizations.Facts(ctx, u.Organization); err != nil {
			return org, err
		}
		if passes, err = s.passes(ctx, org, u); err != nil {
			return org, err
		}
	}
	right := ok && found && u.State == user.Active && org.State == organization.Active
	if !right || !passes { // a right password that is not enough counts as a wrong one, else counting would tell
		if err := s.recordFailure(ctx, u, in, reservation.Locks, right); err != nil {
			return org, err
		}
		return org, ErrCredentials()
	}
	settle := s.attempts.Succeeded
	if in.Once { // else a program that calls all day would forgive all day what somebody else guesses
		settle = s.attempts.NotMade
	}
	if err := settle(ctx, reservation); err != nil {
		return org, err
	}
	if in.Once {
		if err := s.recordUse(ctx, u, in); err != nil {
			return org, err
		}
	}
	if outdated {
		if err := s.users.Rehash(ctx, in.Source.Address, u, in.Password); err != nil {
			s.log.WarnContext(ctx, "a password was not hashed again with the present costs", "error", err)
		}
	}
	return org, nil
}

// usesKept is for how long a use of a password with single requests is not recorded again, for the same user from the same network.
const usesKept = time.Hour

// recordUse writes that a password was used with single requests: once in a while, not for each of them.
func (s *Service) recordUse(ctx context.Context, u user.User, in Password) error {
	use := string(u.ID) + " " + attempt.Network(in.Source.Address)
	if at, ok := s.uses.GetIfPresent(use); ok && s.now().Sub(at) < usesKept {
		return nil
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: u.Organization, Organization: u.Organization, Source: in.Source}
	err := s.db.Tx(ctx, u.Organization, func(tx *sqldb.Tx) error {
		return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: "password.used", TargetKind: "user", TargetID: string(u.ID), Details: map[string]string{"door": in.Door}})
	})
	if err == nil {
		s.uses.Set(use, s.now())
	}
	return err
}

// begin starts the session of a user whose factors are proven.
func (s *Service) begin(ctx context.Context, org organization.Organization, u user.User, in Password) (Result, error) {
	permissions, err := s.tokens.PermissionsOf(ctx, u)
	if err != nil {
		return Result{}, err
	}
	key, err := s.tokens.SigningKey()
	if err != nil {
		return Result{}, err
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: org.ID, Organization: org.ID, Source: in.Source}
	var f session.Session
	var grant token.Grant
	err = s.db.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		if same, err := s.users.Confirm(ctx, tx, u); err != nil {
			return err
		} else if !same {
			return ErrCredentials()
		}
		begin := session.Begin{Fingerprint: in.Fingerprint, Door: in.Door}
		if in.Door == ItemPath {
			begin.Fixed = token.ReusableLifetime
			if f, err = s.sessions.Start(ctx, tx, org, u, begin, p); err != nil {
				return err
			}
			grant, err = s.tokens.StartReusable(key, org, u, permissions, f)
			return err
		}
		if f, err = s.sessions.Start(ctx, tx, org, u, begin, p); err != nil {
			return err
		}
		grant, err = s.tokens.Start(ctx, tx, key, org, u, permissions, f)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	pair, err := s.tokens.Sign(grant)
	if err != nil {
		return Result{}, err
	}
	return Result{Tokens: pair, User: u, Organization: org, Session: f.ID, Permissions: permissions}, nil
}

// ChangePassword replaces the principal's own password. A wrong current one counts as a failed sign-in of the account.
func (s *Service) ChangePassword(ctx context.Context, p principal.Principal, current, plain string) (ended int, err error) {
	u, err := s.users.Facts(ctx, p.Home, p.UserID())
	if err != nil {
		return 0, err
	}
	place, err := s.hasher.Enter(attempt.Network(p.Source.Address))
	if err != nil {
		return 0, err
	}
	defer place.Leave()
	reservation, err := s.attempts.Reserve(ctx, user.CanonicalName(u.Email), string(u.ID), p.Source.Address)
	if err != nil {
		return 0, err
	}
	ended, err = s.users.ChangePassword(ctx, p, place, current, plain)
	switch f := fault.Of(err); {
	case err == nil:
		return ended, s.attempts.Succeeded(ctx, reservation)
	case f.Code == fault.CodeInvalidCredentials:
		e := s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
			return audit.RecordIn(ctx, tx, s.now(), p.Home, p, audit.Entry{Act: "user.password_change_refused", Outcome: audit.Failure, TargetKind: "user", TargetID: p.ID,
				Details: map[string]string{"locked": strconv.FormatBool(reservation.Locks)}})
		})
		return 0, errors.Join(e, err)
	default:
		if e := s.attempts.NotMade(context.WithoutCancel(ctx), reservation); e != nil {
			s.log.ErrorContext(ctx, "a reservation was not taken back", "error", e)
		}
	}
	return 0, err
}

// recordFailure writes a refused sign-in where it belongs: the account's organization, the one named, or the platform's. The work is the
// same for each, and the name as typed is kept only in part.
func (s *Service) recordFailure(ctx context.Context, u user.User, in Password, locks, secondFactor bool) error {
	org := u.Organization
	if org == "" {
		org = in.Tenant.ID
	}
	if org == "" {
		operator, err := s.organizations.Operator(ctx)
		if fault.Is(err, fault.NotFound) {
			return nil // not set up yet: nobody can sign in at all
		}
		if err != nil {
			return err
		}
		org = operator.ID
	}
	details := map[string]string{"name": masked(in.Name), "locked": strconv.FormatBool(locks), "door": in.Door}
	if secondFactor {
		details["reason"] = "mfa_required"
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: org, Organization: org, Source: in.Source}
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: "session.refused", Outcome: audit.Failure, TargetKind: "user", TargetID: string(u.ID), Details: details})
	})
}

// masked shows enough of a typed name to find a pattern and not enough to collect addresses, or a password typed in the wrong field.
func masked(name string) string {
	local, domain, isAddress := strings.Cut(strings.ToValidUTF8(name, ""), "@")
	if runes := []rune(local); len(runes) > 2 {
		local = string(runes[:2]) + "…"
	}
	if !isAddress {
		return local
	}
	if runes := []rune(domain); len(runes) > 100 {
		domain = string(runes[:100])
	}
	return local + "@" + domain
}
