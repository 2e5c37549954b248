package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Service owns the factors.
type Service struct {
	db            *sqldb.DB
	ring          *keyring.Ring
	codeKey       []byte
	deviceKey     []byte
	challengeKey  []byte
	organizations *organization.Service
	users         *user.Service
	sessions      *session.Service
	onetime       *onetime.Service
	mails         *mail.Outbox
	parties       RelyingParties
	now           func() time.Time
}

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Ring          *keyring.Ring
	Organizations *organization.Service
	Users         *user.Service
	Sessions      *session.Service
	OneTime       *onetime.Service
	Mails         *mail.Outbox
	Parties       RelyingParties
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{db: d.DB, ring: d.Ring, now: d.Now, codeKey: d.Ring.Subkey("backup codes"),
		deviceKey: d.Ring.Subkey("known devices"), challengeKey: d.Ring.Subkey("WebAuthn challenges"),
		organizations: d.Organizations, users: d.Users, sessions: d.Sessions, onetime: d.OneTime, mails: d.Mails,
		parties: d.Parties}
}

// Factor is one authenticator of a user.
type Factor struct {
	ID         id.Factor
	Method     string
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// Overview is what a user has.
type Overview struct {
	Factors   []Factor
	CodesLeft int
	Required  bool // a sign-in without a second factor is not enough for this user
	Account   bool // required of this one account, whatever the organization demands
}

// EnrollmentLifetime is how long an enrolment waits for its confirmation.
const EnrollmentLifetime = 10 * time.Minute

// CodesLow is how few backup codes are few.
const CodesLow = 3

// The bounds of what one user has.
const (
	maxAuthenticators = 20
	maxNameLength     = 100
)

func fromRow(r mfadb.Factor) Factor {
	return Factor{ID: r.ID, Method: r.Method, Name: r.Name, CreatedAt: r.CreatedAt.Time(),
		LastUsedAt: r.LastUsedAt.Time()}
}

// place is where a factor's data is sealed to.
func place(org id.Organization, factor id.Factor) string {
	return "factors/" + string(org) + "/" + string(factor)
}

// ErrInvalid is the one answer to a proof that does not hold: wrong, used, of somebody else or of a method that is not
// enrolled.
func ErrInvalid() *fault.Error {
	return fault.New(fault.Unauthenticated, fault.CodeMFAInvalid,
		"The second factor is not valid: it is wrong, was used, or has expired.")
}

// Own tells what the principal has.
func (s *Service) Own(ctx context.Context, p principal.Principal) (Overview, error) {
	u, err := s.users.Read(ctx, p.Home, p.UserID())
	if err != nil {
		return Overview{}, err
	}
	return s.overview(ctx, u)
}

// Of tells what a user of the principal's organization has. It needs users:read:all.
func (s *Service) Of(ctx context.Context, p principal.Principal, u id.User) (Overview, error) {
	found, err := s.users.Get(ctx, p, u)
	if err != nil {
		return Overview{}, err
	}
	return s.overview(ctx, found)
}

func (s *Service) overview(ctx context.Context, u user.User) (Overview, error) {
	org, err := s.organizations.Facts(ctx, u.Organization)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{Account: u.MFARequired}
	if o.Required, err = s.users.MustHaveSecondFactor(ctx, org, u); err != nil {
		return o, err
	}
	q := mfadb.New(s.db.Tenant(u.Organization))
	rows, err := q.ListActive(ctx, u.Organization, u.ID)
	if err != nil {
		return o, fmt.Errorf("second factor: list: %w", err)
	}
	for _, r := range rows {
		o.Factors = append(o.Factors, fromRow(r))
	}
	left, err := q.CodesLeft(ctx, u.Organization, u.ID)
	if err != nil {
		return o, fmt.Errorf("second factor: codes left: %w", err)
	}
	o.CodesLeft = int(left)
	return o, nil
}

// Rename gives one of the principal's own factors another name.
func (s *Service) Rename(ctx context.Context, p principal.Principal, factor id.Factor, name string) (Factor, error) {
	name, err := checkName(name, "")
	if err != nil {
		return Factor{}, err
	}
	u, err := s.users.Read(ctx, p.Home, p.UserID())
	if err != nil {
		return Factor{}, err
	}
	var f Factor
	err = s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		q := mfadb.New(tx)
		n, err := q.Rename(ctx, name, p.Home, u.ID, factor)
		if err != nil {
			return fmt.Errorf("second factor: rename: %w", err)
		}
		if n == 0 {
			return errNoFactor()
		}
		row, err := q.GetFactor(ctx, p.Home, u.ID, factor)
		if err != nil {
			return fmt.Errorf("second factor: renamed: %w", err)
		}
		f = fromRow(row)
		return s.users.Record(ctx, tx, p, u, "factor.renamed",
			map[string]string{"factor": string(factor), "name": name})
	})
	return f, err
}

func errNoFactor() error { return fault.NotFoundf("There is no such factor.") }

// checkName accepts what a person calls an authenticator; without one it is called fallback.
func checkName(name, fallback string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		name = fallback
	}
	if n := utf8.RuneCountInString(name); n < 1 || n > maxNameLength || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, unicode.IsControl) {
		return "", fault.Invalidf("name", "must have 1 to %d characters and no control characters", maxNameLength)
	}
	return name, nil
}

// Remove takes one of the principal's own factors away. The last one stays where a second factor is demanded: another
// comes first.
func (s *Service) Remove(ctx context.Context, p principal.Principal, factor id.Factor, endOthers bool) error {
	return s.remove(ctx, p, p.Home, p.UserID(), factor, true, func(tx *sqldb.Tx, u user.User) error {
		if !endOthers {
			return nil
		}
		_, err := s.sessions.EndAll(ctx, tx, u.Organization, u.ID, p.Session, "factors_changed")
		return err
	})
}

// RemoveOf takes a factor of another user away, whatever is left to them: they enrol again at the next sign-in, if one
// is demanded. It needs users:update:all and no fewer rights than theirs.
func (s *Service) RemoveOf(ctx context.Context, p principal.Principal, u id.User, factor id.Factor) error {
	return sqldb.Retry(func() error {
		judged, err := s.changeable(ctx, p, u)
		if err != nil {
			return err
		}
		return s.remove(ctx, p, p.Organization, u, factor, false, func(_ *sqldb.Tx, u user.User) error {
			return asJudged(judged, u)
		})
	})
}

// asJudged makes sure that a user was not promoted since it was judged who may change them.
func asJudged(judged, u user.User) error {
	if judged.Role != u.Role {
		return sqldb.ErrStale
	}
	return nil
}

// changeable refuses acts of administrators on themselves: what one holds oneself is proven and changed as one's own.
func (s *Service) changeable(ctx context.Context, p principal.Principal, u id.User) (user.User, error) {
	if p.UserID() == u {
		return user.User{},
			fault.Forbiddenf("Nobody administers their own factors; change them at /v1/auth/mfa/factors.")
	}
	return s.users.Changeable(ctx, p, u)
}

func (s *Service) remove(ctx context.Context, p principal.Principal, orgID id.Organization, userID id.User,
	factor id.Factor, keepLast bool, then func(tx *sqldb.Tx, u user.User) error) error {
	org, err := s.organizations.Facts(ctx, orgID)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, orgID, func(tx *sqldb.Tx) error {
		u, err := s.users.Hold(ctx, tx, orgID, userID)
		if err != nil {
			return err
		}
		gone, err := mfadb.New(tx).DeleteFactor(ctx, orgID, userID, factor)
		if errors.Is(err, sqldb.ErrNoRows) {
			return errNoFactor()
		}
		if err != nil {
			return fmt.Errorf("second factor: remove: %w", err)
		}
		left, err := s.settle(ctx, tx, u)
		if err != nil {
			return err
		}
		if keepLast && !left.HasSecondFactor() {
			if must, err := s.users.MustHaveSecondFactor(ctx, org, u); err != nil {
				return err
			} else if must {
				return fault.Conflictf("A second factor is demanded of you, and this is the last one. Add another " +
					"first.")
			}
		}
		if err := s.tell(ctx, tx, org, u, p, mail.FactorRemoved,
			map[string]string{"factor": describe(gone.Method, gone.Name)}); err != nil {
			return err
		}
		if err := s.users.Record(ctx, tx, p, u, "factor.removed",
			map[string]string{"factor": string(factor), "method": gone.Method}); err != nil {
			return err
		}
		return then(tx, u)
	})
}

// Reset takes all factors, backup codes and known devices of a user away and ends their sessions: for somebody who lost
// them. It needs users:update:all and no fewer rights than theirs.
func (s *Service) Reset(ctx context.Context, p principal.Principal, userID id.User) error {
	return sqldb.Retry(func() error { return s.reset(ctx, p, userID) })
}

func (s *Service) reset(ctx context.Context, p principal.Principal, userID id.User) error {
	judged, err := s.changeable(ctx, p, userID)
	if err != nil {
		return err
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		u, err := s.users.Hold(ctx, tx, p.Organization, userID)
		if err != nil {
			return err
		}
		if err := asJudged(judged, u); err != nil {
			return err
		}
		q := mfadb.New(tx)
		if _, err := q.DeleteFactors(ctx, org.ID, userID); err != nil {
			return fmt.Errorf("second factor: reset: %w", err)
		}
		if err := q.ForgetDevices(ctx, org.ID, userID); err != nil {
			return fmt.Errorf("second factor: reset: %w", err)
		}
		if _, err := s.settle(ctx, tx, u); err != nil {
			return err
		}
		if _, err := s.sessions.EndAll(ctx, tx, org.ID, userID, "", "factors_reset"); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, org, u, p, mail.FactorsReset, nil); err != nil {
			return err
		}
		return s.users.Record(ctx, tx, p, u, "factors.reset",
			map[string]string{"had": strings.Join(u.SecondFactors, " ")})
	})
}

// settle writes into the user's row which methods are left; backup codes go with the last factor that they stand in
// for.
func (s *Service) settle(ctx context.Context, tx *sqldb.Tx, u user.User) (user.User, error) {
	q := mfadb.New(tx)
	rows, err := q.CountMethods(ctx, u.Organization, u.ID)
	if err != nil {
		return u, fmt.Errorf("second factor: count: %w", err)
	}
	before := u.SecondFactors
	u.SecondFactors = nil
	for _, r := range rows {
		u.SecondFactors = append(u.SecondFactors, r.Method)
	}
	if len(rows) == 0 {
		if _, err := q.DeleteCodes(ctx, u.Organization, u.ID); err != nil {
			return u, fmt.Errorf("second factor: drop codes: %w", err)
		}
	} else if left, err := q.CodesLeft(ctx, u.Organization, u.ID); err != nil {
		return u, fmt.Errorf("second factor: codes left: %w", err)
	} else if left > 0 {
		u.SecondFactors = append(u.SecondFactors, user.BackupCodes)
	}
	slices.Sort(u.SecondFactors)
	if slices.Equal(before, u.SecondFactors) {
		return u, nil
	}
	return u, s.users.SetSecondFactors(ctx, tx, u, u.SecondFactors)
}

// tell writes a notice to the user.
func (s *Service) tell(ctx context.Context, tx *sqldb.Tx, org organization.Organization, u user.User,
	p principal.Principal, kind mail.Kind, facts map[string]string) error {
	if facts == nil {
		facts = make(map[string]string)
	}
	facts["when"], facts["address"] = org.Settings.When(s.now()), p.Source.Address
	return s.mails.Queue(ctx, tx, org.ID, mail.Message{Kind: kind, Subject: string(u.ID), To: u.Email, Name: u.Name,
		Organization: org.Name, Facts: facts})
}

// describe names a factor for people.
func describe(method, name string) string {
	switch method {
	case user.TOTP:
		return "An authenticator app (" + name + ")"
	case user.WebAuthn:
		return "A passkey or security key (" + name + ")"
	}
	return name
}
