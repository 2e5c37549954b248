package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/protocol"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Waiting is a sign-in whose first factor is proven. The token allows the next step, once, for five minutes and five
// tries, and nothing else (A27, A28).
type Waiting struct {
	Token     secret.Secret
	Methods   []string // those that are enrolled
	Enroll    bool     // none is, and one must be: the token opens enrolment
	ExpiresIn time.Duration
}

// The bounds of a sign-in that waits.
const (
	WaitingLifetime = 5 * time.Minute
	WaitingTries    = 5
	WaitingPrefix   = "mfa_"
	purposeWaiting  = "mfa"
)

// state is what a sign-in that waits remembers.
type state struct {
	ID          string   `json:"id"` // challenges are made for it
	AMR         []string `json:"amr"`
	Fingerprint string   `json:"fingerprint"`
	Door        string   `json:"door"`
	Remember    bool     `json:"remember"`
	Device      string   `json:"device"`
	AuthTime    int64    `json:"authTime"` // milliseconds, as is Begun
	Begun       int64    `json:"begun"`
	// of a proof at a company's own provider
	Connection      id.Connection `json:"connection,omitempty"`
	UpstreamSession string        `json:"upstreamSession,omitempty"`
	Proven          int64         `json:"proven,omitempty"` // milliseconds
	Provider        string        `json:"provider,omitempty"`
	Code            string        `json:"code,omitempty"` // used up; its note says what became of it
	PasswordOf      int64         `json:"passwordOf"`     // when the password that was proven was set, milliseconds
}

// wait hands out the token of a sign-in that needs a second factor.
func (s *Service) wait(ctx context.Context, f First) (Result, error) {
	now := s.Now()
	payload, err := json.Marshal(state{ID: rand.Text(), AMR: f.AMR, Fingerprint: f.Fingerprint, Door: f.Door,
		Remember: f.Remember, Device: f.device, AuthTime: f.AuthTime.UnixMilli(), Begun: now.UnixMilli(),
		Connection: f.Connection, UpstreamSession: f.UpstreamSession, Proven: f.Proven.UnixMilli(),
		Provider: f.Provider, Code: f.Code.Reveal(),
		PasswordOf: f.User.PasswordChangedAt().UnixMilli()})
	if err != nil {
		return Result{}, fmt.Errorf("login: state: %w", err)
	}
	w := &Waiting{Methods: f.User.SecondFactors, Enroll: !f.User.HasSecondFactor(), ExpiresIn: WaitingLifetime}
	if w.Enroll {
		w.Methods = nil
	}
	err = s.DB.Tx(ctx, f.Organization.ID, func(tx *sqldb.Tx) error {
		if err := s.take(ctx, tx, f, waits); err != nil {
			return err
		}
		w.Token, err = s.OneTime.Begin(ctx, tx, f.Organization.ID, purposeWaiting, WaitingPrefix, string(f.User.ID),
			string(payload), now, now.Add(WaitingLifetime))
		if err != nil {
			return err
		}
		p := holder(f.Organization.ID, f.User.ID, f.Source)
		return s.Users.Record(ctx, tx, p, f.User, "session.second_factor_awaited",
			map[string]string{"door": f.Door, "enrollment": strconv.FormatBool(w.Enroll)})
	})
	return Result{Waiting: w, User: f.User, Organization: f.Organization}, err
}

// errWaiting is the one answer to a token that never was, was used, or is too old, and to one whose account is not as
// it was.
func errWaiting() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The sign-in has expired or was used. Begin again.")
}

// waiting reads a sign-in that waits and whose it is, as both are now.
func (s *Service) waiting(ctx context.Context, token secret.Secret, source principal.Source) (complete, state, error) {
	var st state
	found, err := s.OneTime.Look(ctx, purposeWaiting, token, s.Now())
	if fault.Is(err, fault.Unauthenticated) || (err == nil && found.Tries >= WaitingTries) {
		return complete{}, st, errWaiting()
	}
	if err != nil {
		return complete{}, st, err
	}
	if err := json.Unmarshal([]byte(found.Payload), &st); err != nil {
		return complete{}, st, fmt.Errorf("login: state: %w", err)
	}
	org, err := s.Organizations.Facts(ctx, found.Organization)
	if err != nil {
		return complete{}, st, err
	}
	u, err := s.Users.Read(ctx, found.Organization, id.User(found.Subject))
	if err != nil {
		return complete{}, st, err
	}
	if org.State != organization.Active || u.State != user.Active || u.PasswordChangedAt().
		UnixMilli() != st.PasswordOf {
		return complete{}, st, errWaiting()
	}
	if st.Connection != "" {
		holds, err := s.Companies.Holds(ctx, org.ID, st.Connection, u.Role, time.UnixMilli(st.Begun))
		if err != nil {
			return complete{}, st, err
		}
		if !holds {
			return complete{}, st, errWaiting()
		}
	}
	c := complete{First: First{User: u, Organization: org, AMR: st.AMR, Fingerprint: st.Fingerprint, Door: st.Door,
		Remember: st.Remember, Source: source, device: st.Device, Connection: st.Connection,
		UpstreamSession: st.UpstreamSession, Proven: time.UnixMilli(st.Proven), Provider: st.Provider,
		Code: secret.New(st.Code)},
		authTime: time.UnixMilli(st.AuthTime).UTC(), begun: time.UnixMilli(st.Begun).UTC(), token: token}
	return c, st, nil
}

// Verify completes a sign-in that waits with a second factor. Tries are counted at the token, whose few are few on all
// nodes together, and at the account, where a new token, a new address or another method gives none back.
func (s *Service) Verify(ctx context.Context, source principal.Source, token secret.Secret, proof mfa.Proof) (Result,
	error) {
	c, st, err := s.waiting(ctx, token, source)
	if err != nil {
		return Result{}, err
	}
	p := holder(c.Organization.ID, c.User.ID, source)
	proof.Context = verifyFor(st)
	var r Result
	err = s.counted(ctx, c.User, p, st.Device, "session.mfa_refused", map[string]string{"method": known(proof.Method)},
		func() error {
			if ok, err := s.OneTime.Try(ctx, c.Organization.ID, purposeWaiting, token, WaitingTries,
				s.Now()); err != nil {
				return err
			} else if !ok {
				return errWaiting()
			}
			if c.proof, err = s.Factors.Check(ctx, c.Organization, c.User, p, proof); err != nil {
				return err
			}
			r, err = s.begin(ctx, c)
			if f := fault.Of(err); err != nil && f.Code == fault.CodeInvalidCredentials { // changed since it was read
				return errWaiting()
			}
			return err
		})
	if err != nil {
		return Result{}, err
	}
	if proof.Method == user.BackupCodes {
		r.CodesLeft = &c.proof.Left
	}
	return r, nil
}

// known keeps what a client may say out of the audit log, unless it is a word of ours.
func known(method string) string {
	switch method {
	case user.TOTP, user.WebAuthn, user.BackupCodes:
		return method
	}
	return "unknown"
}

// verifyFor is what the challenge of a second factor is for: this one sign-in.
func verifyFor(st state) string { return "verify:" + st.ID }

// Challenge gives what a browser is asked to complete a sign-in that waits with one of the user's authenticators.
func (s *Service) Challenge(ctx context.Context, source principal.Source, token secret.Secret,
	origin string) (*protocol.CredentialAssertion, error) {
	c, st, err := s.waiting(ctx, token, source)
	if err != nil {
		return nil, err
	}
	return s.Factors.Challenge(ctx, c.Organization, c.User, verifyFor(st), origin)
}

// Enrolling is who holds the token of a sign-in that waits for its first factor to be enrolled: a principal without a
// session and without rights. A user who has a factor has nothing to enrol this way.
func (s *Service) Enrolling(ctx context.Context, token secret.Secret, source principal.Source) (principal.Principal,
	organization.Organization, error) {
	c, _, err := s.waiting(ctx, token, source)
	if err != nil {
		return principal.Principal{}, organization.Organization{}, err
	}
	if c.User.HasSecondFactor() {
		return principal.Principal{}, organization.Organization{}, fault.New(fault.Unauthenticated,
			fault.CodeInvalidToken, "This token opens the enrolment of a first factor, and there is one.")
	}
	p := holder(c.Organization.ID, c.User.ID, source)
	p.OrganizationSlug, p.Name, p.Email, p.AuthTime, p.ExpiresAt = c.Organization.Slug, c.User.Name, c.User.Email,
		c.authTime, c.begun.Add(WaitingLifetime)
	return p, c.Organization, nil
}

// counted runs a try at a known user's account: counted before it is made, as one of few at once, taken back if it was
// none, and forgiven with what failed before if it succeeds. A refused one is in the audit log.
func (s *Service) counted(ctx context.Context, u user.User, p principal.Principal, device, act string,
	details map[string]string, attempt func() error) error {
	t := try{name: user.CanonicalName(u.Email), account: string(u.ID), device: device}
	leave, err := s.turnstile.enter(ctx, "user "+t.account)
	if err != nil {
		return err
	}
	defer leave()
	reservation, err := s.reserve(ctx, t, p.Source.Address)
	if err != nil {
		return err
	}
	if reservation.AccountLocked {
		// by tries under another of its names; whoever comes here has proven who they are already, and may know
		s.notMade(ctx, reservation)
		return s.Attempts.AccountRefusal(ctx, reservation)
	}
	err = attempt()
	switch f := fault.Of(err); {
	case err == nil && device != "":
		return s.Attempts.Succeeded(ctx, reservation)
	case err == nil:
		return s.Attempts.SucceededAs(ctx, reservation, string(u.ID), namesOf(u)...)
	case f.Code == fault.CodeMFAInvalid || f.Code == fault.CodeInvalidCredentials:
		details["locked"] = strconv.FormatBool(reservation.Locks)
		if cause := errors.Unwrap(f); cause != nil {
			s.Log.InfoContext(ctx, "a second factor was refused", "requestId", p.Source.Request, "user", p.ID, "why",
				cause)
		}
		if e := s.recordRefused(ctx, p, act, details); e != nil {
			return e
		}
	default:
		s.notMade(ctx, reservation)
	}
	return err
}

// ConfirmFactor adds a factor that was enrolled. A wrong first code counts as a failed sign-in of the account.
func (s *Service) ConfirmFactor(ctx context.Context, p principal.Principal, device secret.Secret, factor id.Factor,
	proof mfa.Proof, endOthers bool) (c mfa.Confirmed, err error) {
	u, err := s.Users.Facts(ctx, p.Home, p.UserID())
	if err != nil {
		return c, err
	}
	counts, err := s.device(ctx, u, true, device)
	if err != nil {
		return c, err
	}
	err = s.counted(ctx, u, p, counts, "factor.refused", map[string]string{"factor": string(factor)}, func() error {
		c, err = s.Factors.Confirm(ctx, p, factor, proof, endOthers)
		return err
	})
	return c, err
}

// purposeEnded is that of sessions that a provider has ended, for as long as something could still begin in one.
const purposeEnded = "sso_ended"

// UpstreamEnded takes back what was begun in sessions of a connection's provider that have ended there: by the names
// that the provider gave, and all that a user has begun, if it said whose they are.
func (s *Service) UpstreamEnded(ctx context.Context, tx *sqldb.Tx, org id.Organization, c id.Connection, u id.User,
	names []string) error {
	now := s.Now()
	for _, name := range names {
		_, err := s.OneTime.Issue(ctx, tx, org, purposeEnded, string(c)+" "+name,
			strconv.FormatInt(now.UnixMilli(), 10), now, now.Add(2*WaitingLifetime))
		if err != nil {
			return err
		}
	}
	if u == "" {
		return nil
	}
	return s.WithdrawBegun(ctx, tx, org, u)
}

// goesOn tells whether a session at a provider has not ended there since it proved somebody.
func (s *Service) goesOn(ctx context.Context, f First) (bool, error) {
	if f.Connection == "" || f.UpstreamSession == "" {
		return true, nil
	}
	ended, found, err := s.OneTime.Has(ctx, f.Organization.ID, purposeEnded, string(f.Connection)+" "+f.UpstreamSession,
		s.Now())
	if err != nil || !found {
		return err == nil, err
	}
	at, err := strconv.ParseInt(ended, 10, 64)
	return err == nil && f.Proven.UnixMilli() > at, err
}

// WithdrawBegun takes back what a user's sign-ins have begun: codes that hand over a proof, and what waits for a second
// factor.
func (s *Service) WithdrawBegun(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User) error {
	for _, purpose := range []string{PurposeCode, purposeWaiting} {
		if err := s.OneTime.Withdraw(ctx, tx, org, purpose, string(u)); err != nil {
			return err
		}
	}
	return nil
}
