// Package login is the sign-in machine: a first factor is proven (a password, a passkey, later a company's own
// sign-in), then a second where the user has one or must have one, then a session begins. In between stands a token
// that allows the next step and nothing else. Every way of failing gives the same answer after the same work, so that
// nobody learns which accounts exist, and counts at one account, whatever was tried. It decides nothing about wire
// formats.
package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Services are what signing in is made of.
type Services struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Log           *slog.Logger
	Hasher        *hashing.Pool
	Attempts      *attempt.Service
	Organizations *organization.Service
	Users         *user.Service
	Sessions      *session.Service
	Tokens        *token.Service
	Factors       *mfa.Service
	OneTime       *onetime.Service
	Mails         *mail.Outbox
	Companies     Companies
}

// Companies tell whether whoever has an address signs in at their company's own provider alone.
type Companies interface {
	Enforced(ctx context.Context, org id.Organization, email string) (bool, error)
	// Holds tells whether what somebody of a role began through a connection at a moment still counts.
	Holds(ctx context.Context, org id.Organization, c id.Connection, role string, since time.Time) (bool, error)
}

// closed tells whether the doors of this server are closed to a user, since their company's own sign-in is the only
// one. An account that was named for emergencies gets in if it has a second factor; glass says that it was needed.
func (s *Service) closed(ctx context.Context, u user.User) (closed, glass bool, err error) {
	enforced, err := s.Companies.Enforced(ctx, u.Organization, u.Email)
	glass = enforced && u.BreakGlass && u.HasSecondFactor()
	return enforced && !glass, glass, err
}

// Service signs people in.
type Service struct {
	Services
	decoy     string
	turnstile *turnstile
	uses      *bounded.Cache[bounded.Key, time.Time] // recorded lately
	resets    chan reset
}

// The doors that take a password, as the audit log names them.
const (
	Main      = "v1"
	ItemPath  = "itempath"
	EasyVista = "easyvista"
	Company   = "sso" // takes none: it was proven at the company's own provider
)

// New makes the service. MailResets must run beside it.
func New(s Services) *Service {
	return &Service{Services: s, decoy: decoyHash(s.Hasher.Params()), turnstile: newTurnstile(),
		uses:   bounded.New[time.Time](100_000),
		resets: make(chan reset, resetsWaiting)}
}

// decoyHash is a PHC string that costs as much to check as any and that no password has.
func decoyHash(p password.Params) string {
	b := make([]byte, 48)
	rand.Read(b)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.MemoryKiB, p.Iterations, p.Parallelism, b64(b[:16]),
		b64(b[16:]))
}

// Tenant is the organization a sign-in names. The zero value names none. Unknown is one that does not exist, Closed one
// that takes no passwords at this door: nobody is found in either, and both must look like any other.
type Tenant struct {
	ID      id.Organization
	Unknown bool
	Closed  bool
	Named   string // as it was named, if it is unknown or closed
}

// lookIn is where a name is looked for: in vain if the tenant is unknown or closed.
func (t Tenant) lookIn() id.Organization {
	if t.Unknown || t.Closed {
		return unknownTenant
	}
	return t.ID
}

// counter is what tries at a name are counted under. A user name is somebody's in one organization, and counts there;
// an e-mail address counts wherever it is tried, so that no hint gives further tries. It does not depend on whether
// there is such an account.
func (t Tenant) counter(name string) string {
	name = user.CanonicalName(name)
	switch {
	case strings.Contains(name, "@"):
		return name
	case t.Unknown || t.Closed:
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
	Once        bool          // proven for one request: it forgives no failures
	Device      secret.Secret // what a device that is known holds; zero: none
	Remember    bool          // make this device a known one
}

// Proven is an account whose password was right.
type Proven struct {
	User         user.User
	Organization organization.Organization
	device       string // known, and what its tries count under
}

// ErrCredentials is the one answer to a wrong name, a wrong password, a disabled user and a suspended organization.
func ErrCredentials() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials,
		"The e-mail address or the password is wrong.")
}

const maxFingerprint = 512

func checkFingerprint(value string) error {
	if len(value) > maxFingerprint || !utf8.ValidString(value) {
		return fault.Invalidf("deviceFingerprint", "must have at most %d bytes of UTF-8", maxFingerprint)
	}
	return nil
}

// WithPassword signs in and begins a session: by its door with refresh tokens that rotate, or with a reusable one.
func (s *Service) WithPassword(ctx context.Context, in Password) (Result, error) {
	if err := checkFingerprint(in.Fingerprint); err != nil {
		return Result{}, err
	}
	proven, err := s.Prove(ctx, in)
	if err != nil {
		return Result{}, err
	}
	return s.SignIn(ctx, First{User: proven.User, Organization: proven.Organization, AMR: []string{session.Password},
		Fingerprint: in.Fingerprint, Door: in.Door, Remember: in.Remember,
		Source: in.Source, device: proven.device})
}

// Prove checks a password and begins nothing, for few at a time of one name and no more than can be hashed soon.
// Whatever is wrong, the path is: one look-up, one reservation, one hash, one event.
func (s *Service) Prove(ctx context.Context, in Password) (Proven, error) {
	if len(in.Password) > password.MaxBytes {
		return Proven{}, fault.Invalidf("password", "must have at most %d characters", password.MaxLength)
	}
	counter := in.Tenant.counter(in.Name)
	if in.Device.IsZero() { // at no cost; what a device says must be looked at first
		if err := s.Attempts.Locked(counter, in.Source.Address); err != nil {
			return Proven{}, err
		}
	}
	// before anything is asked or counted: who is sent away has tried nothing
	place, err := s.Hasher.Enter(attempt.Network(in.Source.Address))
	if err != nil {
		return Proven{}, err
	}
	defer place.Leave()
	u, t, found, err := s.look(ctx, counter, in.Tenant.lookIn(), in.Name, in.Device, in.Source.Address)
	if err != nil {
		return Proven{}, err
	}
	leave, err := s.turnstile.enter(ctx, t.gate())
	if err != nil {
		return Proven{}, err
	}
	defer leave()
	org, err := s.prove(ctx, in, u, found, t, place)
	return Proven{u, org, t.device}, err
}

// try is what a try is counted under.
type try struct {
	name    string // canonical, as typed
	account string // whose it is; empty: nobody's
	device  string // known; then it alone
}

// gate is where tries stand in line: a known device has a line of its own.
func (t try) gate() string {
	if t.device != "" {
		return "known device " + t.device
	}
	return t.name
}

// look finds the account that a name means and what a try at it is counted under.
func (s *Service) look(ctx context.Context, counter string, tenant id.Organization, name string, device secret.Secret,
	address string) (user.User, try, bool, error) {
	u, found, err := s.Users.ForSignIn(ctx, tenant, name)
	if err != nil {
		return u, try{}, false, err
	}
	t := try{name: counter, account: string(u.ID)}
	if t.device, err = s.device(ctx, u, found, device); err != nil {
		return u, t, found, err
	}
	return u, t, found, s.Attempts.Locked(t.gate(), address)
}

// reserve counts a try before it is looked at. A known device has a count of its own: who guesses at the name from
// elsewhere does not lock its owner out, and whoever steals a device has its few tries only.
func (s *Service) reserve(ctx context.Context, t try, address string) (attempt.Reservation, error) {
	if t.device != "" {
		return s.Attempts.Reserve(ctx, t.gate(), "", address)
	}
	return s.Attempts.Reserve(ctx, t.name, t.account, address)
}

// device gives what the tries of a device are counted under, if it is known to be the user's. Where there is no user,
// it is asked in vain, and as long.
func (s *Service) device(ctx context.Context, u user.User, found bool, token secret.Secret) (string, error) {
	if token.IsZero() {
		return "", nil
	}
	if !found {
		u.Organization = unknownTenant
	}
	return s.Factors.Device(ctx, u.Organization, u.ID, token)
}

// prove checks the password of an account that was found or not, and counts the try. No spelling, name, hint or door
// gives an account further tries.
func (s *Service) prove(ctx context.Context, in Password, u user.User, found bool, t try,
	place *hashing.Place) (org organization.Organization, err error) {
	reservation, err := s.reserve(ctx, t, in.Source.Address)
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
		s.notMade(ctx, reservation)
		return org, err
	}
	second, closed := false, false
	if found { // asked whether the password was right or not: the answers take the same time
		if org, err = s.Organizations.Facts(ctx, u.Organization); err != nil {
			return org, err
		}
		if second, err = s.Users.NeedsSecondFactor(ctx, org, u); err != nil {
			return org, err
		}
		if closed, _, err = s.closed(ctx, u); err != nil {
			return org, err
		}
	}
	right := ok && found && u.State == user.Active && org.State == organization.Active
	passes := !closed && (!second || in.Door == Main) // the only door with a second step
	if !right || !passes {
		// a right password that is not enough counts as a wrong one, else counting would tell
		reason := ""
		switch {
		case right && closed:
			reason = "company_sign_in_required"
		case right:
			reason = "mfa_required"
		}
		if err := s.recordFailure(ctx, u, in, reservation.Locks, reason); err != nil {
			return org, err
		}
		return org, ErrCredentials()
	}
	settle := s.Attempts.Succeeded
	if in.Once || second {
		// else a program that calls all day, or who knows the password alone, would forgive all day what is guessed at
		// the rest
		settle = s.Attempts.NotMade
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
		if err := s.Users.Rehash(ctx, in.Source.Address, u, in.Password); err != nil {
			s.Log.WarnContext(ctx, "a password was not hashed again with the present costs", "error", err)
		}
	}
	return org, nil
}

// usesKept is for how long a use of a password with single requests is not recorded again, for the same user from the
// same network.
const usesKept = time.Hour

// recordUse writes that a password was used with single requests: once in a while, not for each of them.
func (s *Service) recordUse(ctx context.Context, u user.User, in Password) error {
	use := bounded.Key{Scope: string(u.ID), ID: attempt.Network(in.Source.Address)}
	if at, ok := s.uses.Get(use); ok && s.Now().Sub(at) < usesKept {
		return nil
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: u.Organization, Organization: u.Organization,
		Source: in.Source}
	err := s.DB.Tx(ctx, u.Organization, func(tx *sqldb.Tx) error {
		return audit.Record(ctx, tx, s.Now(), p, audit.Entry{Act: "password.used", TargetKind: "user",
			TargetID: string(u.ID), Details: map[string]string{"door": in.Door}})
	})
	if err == nil {
		s.uses.Set(use, s.Now())
	}
	return err
}

// notMade takes a reservation back that was no guess.
func (s *Service) notMade(ctx context.Context, r attempt.Reservation) {
	if err := s.Attempts.NotMade(context.WithoutCancel(ctx), r); err != nil {
		s.Log.ErrorContext(ctx, "a reservation was not taken back", "error", err)
	}
}

// recordFailure writes a refused sign-in where it belongs: the account's organization, the one named, or the
// platform's. The work is the same for each, and the name as typed is kept only in part.
func (s *Service) recordFailure(ctx context.Context, u user.User, in Password, locks bool, reason string) error {
	org := u.Organization
	if org == "" {
		org = in.Tenant.ID
	}
	if org == "" {
		operator, err := s.Organizations.Operator(ctx)
		if fault.Is(err, fault.NotFound) {
			return nil // not set up yet: nobody can sign in at all
		}
		if err != nil {
			return err
		}
		org = operator.ID
	}
	details := map[string]string{"name": masked(in.Name), "locked": strconv.FormatBool(locks), "door": in.Door}
	switch {
	case reason != "":
		details["reason"] = reason
	case in.Tenant.Closed:
		details["reason"] = "switched_off"
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: org, Organization: org, Source: in.Source}
	return s.DB.Tx(ctx, org, func(tx *sqldb.Tx) error {
		return audit.Record(ctx, tx, s.Now(), p, audit.Entry{Act: "session.refused", Outcome: audit.Failure,
			TargetKind: "user", TargetID: string(u.ID), Details: details})
	})
}

// masked shows enough of a typed name to find a pattern and not enough to collect addresses, or a password typed in the
// wrong field.
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
