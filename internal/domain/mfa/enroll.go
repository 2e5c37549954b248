package mfa

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Enrollment is a factor that is not confirmed yet. Its secret is shown now and never again.
type Enrollment struct {
	Factor
	App      *App                         // of TOTP
	WebAuthn *protocol.CredentialCreation // of WebAuthn: what the browser is asked
}

// Enroll begins to add a factor for the principal. What they have already stays as it is until the new one is
// confirmed. A principal without a session holds a sign-in that waits for its first factor.
func (s *Service) Enroll(ctx context.Context, p principal.Principal, method, name, origin string) (Enrollment, error) {
	u, err := s.enrolling(ctx, p)
	if err != nil {
		return Enrollment{}, err
	}
	org, err := s.organizations.Facts(ctx, u.Organization)
	if err != nil {
		return Enrollment{}, err
	}
	e := Enrollment{Factor: Factor{ID: id.New[id.Factor](), Method: method, CreatedAt: s.now()}}
	row := mfadb.InsertFactorParams{OrganizationID: org.ID, ID: e.ID, UserID: u.ID, Method: method,
		CreatedAt: sqldb.MillisOf(e.CreatedAt)}
	switch method {
	case user.TOTP:
		row.Name, err = checkName(name, "Authenticator app")
		if err != nil {
			return e, err
		}
		var seed []byte
		if e.App, seed, err = newApp(org.Name, u.Email); err != nil {
			return e, err
		}
		row.Data = s.ring.Seal(seed, place(org.ID, e.ID))
	case user.WebAuthn:
		if row.Name, err = checkName(name, "Passkey"); err != nil {
			return e, err
		}
		party := s.parties.At(origin)
		if !party.Serves(org) {
			return e, fault.Forbiddenf("This address belongs to another organization.")
		}
		row.RelyingParty = party.ID
		if e.WebAuthn, err = s.beginRegistration(ctx, org, u, e.ID, party); err != nil {
			return e, err
		}
	default:
		return e, fault.Invalidf("method", "must be totp or webauthn")
	}
	e.Name = row.Name
	return e, s.db.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		q := mfadb.New(tx)
		if err := q.DropPending(ctx, org.ID, u.ID, method); err != nil {
			return fmt.Errorf("second factor: enrol: %w", err)
		}
		if err := q.InsertFactor(ctx, row); err != nil {
			return fmt.Errorf("second factor: enrol: %w", err)
		}
		return s.users.Record(ctx, tx, p, u, "factor.enrolment_begun",
			map[string]string{"factor": string(e.ID), "method": method})
	})
}

// enrolling gives the user who enrols. A sign-in that waits opens enrolment only while there is no factor (A27).
func (s *Service) enrolling(ctx context.Context, p principal.Principal) (user.User, error) {
	u, err := s.users.Read(ctx, p.Home, p.UserID())
	if err != nil {
		return u, err
	}
	return u, mayEnroll(p, u)
}

func mayEnroll(p principal.Principal, u user.User) error {
	if u.State != user.Active || (p.Session == "" && u.HasSecondFactor()) {
		return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The sign-in that this token stands for has "+
			"a second factor now: prove it at /v1/auth/mfa/verify.")
	}
	return nil
}

// Confirmed is a factor that works from now on.
type Confirmed struct {
	Factor
	BackupCodes []string // new ones, with the first factor; shown once
}

// Confirm adds a factor that was enrolled, proven by its first use. The app that it takes the place of is gone then.
// The principal's session counts as one of two factors from now on; its last proof is no newer.
func (s *Service) Confirm(ctx context.Context, p principal.Principal, factor id.Factor, proof Proof,
	endOthers bool) (Confirmed, error) {
	u, err := s.enrolling(ctx, p)
	if err != nil {
		return Confirmed{}, err
	}
	org, err := s.organizations.Facts(ctx, u.Organization)
	if err != nil {
		return Confirmed{}, err
	}
	row, err := mfadb.New(s.db.Tenant(org.ID)).GetFactor(ctx, org.ID, u.ID, factor)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Confirmed{}, errNoFactor()
	}
	if err != nil {
		return Confirmed{}, fmt.Errorf("second factor: confirm: %w", err)
	}
	if row.State != "pending" || s.now().After(row.CreatedAt.Time().Add(EnrollmentLifetime)) {
		return Confirmed{},
			fault.Conflictf("The enrolment was confirmed already, or is older than %d minutes. Begin again.",
				int(EnrollmentLifetime.Minutes()))
	}
	now := s.now()
	change := mfadb.ActivateParams{Data: row.Data, Name: row.Name, Now: sqldb.MillisOf(now), OrganizationID: org.ID,
		UserID: u.ID, ID: factor}
	amr, err := s.firstUse(ctx, org, u, row, proof, &change)
	if err != nil {
		return Confirmed{}, err
	}
	c := Confirmed{Factor: Factor{ID: factor, Method: row.Method, Name: row.Name, CreatedAt: now, LastUsedAt: now}}
	err = s.db.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		u, err := s.users.Hold(ctx, tx, org.ID, u.ID)
		if err != nil {
			return err
		}
		if err := mayEnroll(p, u); err != nil { // another may have been confirmed meanwhile
			return err
		}
		if err := s.activate(ctx, tx, u, row.Method, change); err != nil {
			return err
		}
		if !u.HasSecondFactor() {
			if c.BackupCodes, err = s.makeCodes(ctx, tx, u); err != nil {
				return err
			}
		}
		if _, err := s.settle(ctx, tx, u); err != nil {
			return err
		}
		ended, err := s.settleSessions(ctx, tx, p, org, u, amr, endOthers)
		if err != nil {
			return err
		}
		if err := s.tell(ctx, tx, org, u, p, mail.FactorAdded,
			map[string]string{"factor": describe(row.Method, row.Name)}); err != nil {
			return err
		}
		return s.users.Record(ctx, tx, p, u, "factor.added",
			map[string]string{"factor": string(factor), "method": row.Method, "name": row.Name,
				"sessions": fmt.Sprint(ended)})
	})
	return c, err
}

// firstUse judges the proof of a factor that is pending and puts what it gave into the change.
func (s *Service) firstUse(ctx context.Context, org organization.Organization, u user.User, row mfadb.Factor,
	proof Proof, change *mfadb.ActivateParams) (amr []string, err error) {
	if row.Method == user.TOTP {
		seed, err := s.ring.Open(row.Data, place(org.ID, row.ID))
		if err != nil {
			return nil, err
		}
		step, ok := matchStep(seed, proof.Code, s.now(), 0)
		if !ok {
			return nil, ErrInvalid()
		}
		change.Counter = step
		return []string{session.OTP, session.MFA}, nil
	}
	credential, err := s.finishRegistration(ctx, org, u, row, proof.Credential)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(credential)
	if err != nil {
		return nil, fmt.Errorf("second factor: credential: %w", err)
	}
	change.Data, change.CredentialKey, change.Counter = s.ring.Seal(text, place(org.ID, row.ID)),
		credentialKey(credential.ID), int64(credential.Authenticator.SignCount)
	return amrOf(credential, true), nil
}

// amrOf says what an authenticator proved beside the password, or by itself.
func amrOf(c *webauthn.Credential, second bool) []string {
	kept := session.Hardware
	if c.Flags.BackupEligible {
		kept = session.Software
	}
	if second || c.Flags.UserVerified {
		return []string{kept, session.Presence, session.MFA}
	}
	return []string{kept, session.Presence}
}

func (s *Service) activate(ctx context.Context, tx *sqldb.Tx, u user.User, method string,
	change mfadb.ActivateParams) error {
	q := mfadb.New(tx)
	if method == user.TOTP {
		if _, err := q.Replace(ctx, u.Organization, u.ID, method); err != nil {
			return fmt.Errorf("second factor: replace: %w", err)
		}
	}
	n, err := q.Activate(ctx, change)
	if sqldb.IsUnique(err) {
		return fault.Conflictf("This authenticator is registered already.")
	}
	if err != nil {
		return fmt.Errorf("second factor: activate: %w", err)
	}
	if n == 0 {
		return ErrInvalid() // of two at once one was first
	}
	return nil
}

// settleSessions makes the principal's session one of two factors, if they have a session. Their others end if they
// want it, and those that never proved a second factor in any case. Whether the session may change factors was judged
// before.
func (s *Service) settleSessions(ctx context.Context, tx *sqldb.Tx, p principal.Principal,
	org organization.Organization, u user.User, amr []string, endOthers bool) (ended int, err error) {
	if p.Session != "" {
		f, err := s.sessions.Facts(ctx, org, u.Role, p.Session)
		if err != nil {
			return 0, err
		}
		if _, err := s.sessions.Renew(ctx, tx, f, amr, f.AuthTime); err != nil {
			// not newer: a factor that was just made proves nothing about who made it
			return 0, err
		}
	}
	if endOthers {
		return s.sessions.EndAll(ctx, tx, org.ID, u.ID, p.Session, "factors_changed")
	}
	return s.sessions.EndSingleFactor(ctx, tx, org.ID, u.ID, p.Session)
}
