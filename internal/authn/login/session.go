package login

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// First is a first factor that was proven: by a password here, by a company's own sign-in elsewhere. The user was read
// from the database just now.
type First struct {
	User         user.User
	Organization organization.Organization
	AMR          []string // how (RFC 8176)
	Fingerprint  string
	Door         string
	Remember     bool // make this device a known one
	Source       principal.Source

	// Of a proof at a company's own provider, which is handed over by a code, once.
	Connection      id.Connection
	UpstreamSession string
	Provider        string
	AuthTime        time.Time // of the proof; zero: now
	Proven          time.Time // when the provider answered
	Code            secret.Secret

	device string // known
}

// glassMail tells of the use of an account for emergencies: its holder, and whom the organization named for mail.
func (s *Service) glassMail(ctx context.Context, tx *sqldb.Tx, c complete) error {
	for _, to := range []string{c.User.Email, c.Organization.Profile.Email} {
		if to == "" {
			continue
		}
		m := mail.Message{Kind: mail.BreakGlassUsed, Subject: string(c.User.ID), To: to, Name: c.User.Name,
			Organization: c.Organization.Name, Facts: map[string]string{"when": c.Organization.Settings.When(s.Now()),
				"address": c.Source.Address, "account": c.User.Email}}
		if err := s.Mails.Queue(ctx, tx, c.Organization.ID, m); err != nil {
			return err
		}
	}
	return s.Users.Record(ctx, tx, holder(c.Organization.ID, c.User.ID, c.Source), c.User, "session.break_glass", nil)
}

// PurposeCode is what a code that hands over a proof is issued for.
const PurposeCode = "sso_code"

// waits is noted of a code whose sign-in waits for a second factor; else the session that began with it is.
const waits = "waits"

// Result is a sign-in that succeeded, or one that waits for its second factor.
type Result struct {
	Tokens       token.Pair
	User         user.User
	Organization organization.Organization
	Session      id.Session
	Permissions  permission.Set
	Provider     string        // the kind of the company's own provider; empty: signed in here
	Device       secret.Secret // what a device that is known from now on holds; zero: it was not asked for
	CodesLeft    *int          // backup codes, after one was used

	Waiting *Waiting // if it waits; nothing of the rest is there then
}

// SignIn begins a session, if the first factor is enough, and else hands out the token for the next step.
func (s *Service) SignIn(ctx context.Context, f First) (Result, error) {
	if err := checkFingerprint(f.Fingerprint); err != nil {
		return Result{}, err
	}
	second, err := s.Users.NeedsSecondFactor(ctx, f.Organization, f.User)
	if err != nil {
		return Result{}, err
	}
	if f.AuthTime.IsZero() {
		f.AuthTime = s.Now()
	}
	if second && !slices.Contains(f.AMR, session.MFA) { // which a trusted provider proved
		if f.Connection != "" && f.Door != Company {
			return Result{}, s.refuseOneStep(ctx, f)
		}
		return s.wait(ctx, f)
	}
	return s.begin(ctx, complete{First: f, authTime: f.AuthTime})
}

// refuseOneStep refuses a company sign-in at a door without a second step to whom needs one, in that door's own words
// (A27).
func (s *Service) refuseOneStep(ctx context.Context, f First) error {
	p := holder(f.Organization.ID, f.User.ID, f.Source)
	err := s.recordRefused(ctx, p, "session.refused", map[string]string{"door": f.Door, "reason": "mfa_required"})
	if err != nil {
		return err
	}
	return ErrCredentials()
}

// complete is a sign-in of which every factor is proven. What proves it is taken in the transaction of the session.
type complete struct {
	First
	authTime time.Time
	begun    time.Time     // of a sign-in that waited
	token    secret.Secret // of a sign-in that waited
	proof    *mfa.Taking
}

func holder(org id.Organization, u id.User, source principal.Source) principal.Principal {
	return principal.Principal{Kind: principal.User, ID: string(u), Home: org, Organization: org, Source: source}
}

// Changed says that an account changed since it was read, as by another sign-in of the same moment. Nothing was used
// up: what proved somebody without a secret of ours may be judged again. To everybody else it is a refusal.
type Changed struct{ refusal error }

// Error is the refusal.
func (c *Changed) Error() string { return c.refusal.Error() }

// Unwrap gives the refusal.
func (c *Changed) Unwrap() error { return c.refusal }

// begin starts the session. Locks are taken in one order everywhere: links and tokens, the user, their factors, their
// sessions.
func (s *Service) begin(ctx context.Context, c complete) (Result, error) {
	org, u := c.Organization, c.User
	permissions, err := s.Tokens.PermissionsOf(ctx, u)
	if err != nil {
		return Result{}, err
	}
	key, err := s.Tokens.SigningKey()
	if err != nil {
		return Result{}, err
	}
	glass := false
	if c.Connection == "" {
		if _, glass, err = s.closed(ctx, u); err != nil {
			return Result{}, err
		}
	}
	if goesOn, err := s.goesOn(ctx, c.First); err != nil {
		return Result{}, err
	} else if !goesOn {
		return Result{}, ErrCredentials()
	}
	p := holder(org.ID, u.ID, c.Source)
	r := Result{User: u, Organization: org, Permissions: permissions, Provider: c.Provider}
	var grant token.Grant
	err = s.DB.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		if !c.token.IsZero() {
			if _, err := s.OneTime.Consume(ctx, tx, org.ID, purposeWaiting, c.token, s.Now()); err != nil {
				return err
			}
		}
		if c.token.IsZero() {
			if err := s.take(ctx, tx, c.First, ""); err != nil {
				return err
			}
		}
		if same, err := s.Users.Confirm(ctx, tx, u); err != nil {
			return err
		} else if !same {
			return &Changed{ErrCredentials()}
		}
		amr := c.AMR
		if c.proof != nil {
			if err := c.proof.Take(ctx, tx); err != nil {
				return err
			}
			amr = append(append([]string(nil), amr...), c.proof.AMR...)
		}
		begin := session.Begin{Fingerprint: c.Fingerprint, Door: c.Door, AMR: amr, AuthTime: c.authTime,
			Connection: c.Connection, UpstreamSession: c.UpstreamSession}
		if c.Door == ItemPath {
			begin.Fixed = token.ReusableLifetime
		}
		f, err := s.Sessions.Start(ctx, tx, org, u, begin, p)
		if err != nil {
			return err
		}
		r.Session = f.ID
		if !c.Code.IsZero() {
			if err := s.OneTime.Note(ctx, tx, org.ID, PurposeCode, c.Code, string(f.ID)); err != nil {
				return err
			}
		}
		if c.Door == ItemPath {
			grant, err = s.Tokens.StartReusable(key, org, u, permissions, f)
		} else {
			grant, err = s.Tokens.Start(ctx, tx, key, org, u, permissions, f)
		}
		if err != nil {
			return err
		}
		if glass {
			if err := s.glassMail(ctx, tx, c); err != nil {
				return err
			}
		}
		return s.settleDevice(ctx, tx, c, f, &r)
	})
	if err != nil {
		return Result{}, err
	}
	r.Tokens, err = s.Tokens.Sign(grant)
	return r, err
}

// take uses up the code that handed a proof over.
func (s *Service) take(ctx context.Context, tx *sqldb.Tx, f First, note string) error {
	if f.Code.IsZero() {
		return nil
	}
	if _, err := s.OneTime.Consume(ctx, tx, f.Organization.ID, PurposeCode, f.Code, s.Now()); err != nil {
		return err
	}
	if note == "" {
		return nil
	}
	return s.OneTime.Note(ctx, tx, f.Organization.ID, PurposeCode, f.Code, note)
}

// EndReplayed ends what began with a code that is shown a second time: whoever shows it has stolen it, or had it stolen
// (RFC 6749 §4.1.2).
func (s *Service) EndReplayed(ctx context.Context, code secret.Secret, source principal.Source) error {
	used, err := s.OneTime.Used(ctx, PurposeCode, code)
	if fault.Is(err, fault.Unauthenticated) {
		return nil
	}
	if err != nil {
		return err
	}
	org := used.Organization
	p := holder(org, id.User(used.Subject), source)
	if used.Payload != waits {
		return s.Sessions.EndHeld(ctx, p, org, id.Session(used.Payload), "code_replayed")
	}
	return s.DB.Tx(ctx, org, func(tx *sqldb.Tx) error {
		return s.OneTime.Withdraw(ctx, tx, org, purposeWaiting, used.Subject)
	})
}

// settleDevice makes the device of a sign-in a known one, if that is wanted, and tells the user of one that was never
// seen.
func (s *Service) settleDevice(ctx context.Context, tx *sqldb.Tx, c complete, f session.Session,
	r *Result) (err error) {
	if c.Remember && c.First.device == "" {
		if r.Device, err = s.Factors.KnowDevice(ctx, tx, c.Organization.ID, c.User.ID); err != nil {
			return err
		}
	}
	if c.First.device != "" {
		return nil
	}
	device := f.Device
	if strings.TrimSpace(device) == "" {
		device = "unknown"
	}
	m := mail.Message{Kind: mail.NewDevice, Subject: string(c.User.ID), To: c.User.Email, Name: c.User.Name,
		Organization: c.Organization.Name,
		Facts: map[string]string{"when": c.Organization.Settings.When(s.Now()), "address": c.Source.Address,
			"device": device}}
	return s.Mails.QueueIfNewDevice(ctx, tx, c.Organization.ID, m, f.ID, f.Device)
}

// recordRefused notes in the user's organization that a proof was refused.
func (s *Service) recordRefused(ctx context.Context, p principal.Principal, act string,
	details map[string]string) error {
	return s.DB.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		return audit.RecordIn(ctx, tx, s.Now(), p.Home, p,
			audit.Entry{Act: act, Outcome: audit.Failure, TargetKind: "user", TargetID: p.ID, Details: details})
	})
}
