package login

import (
	"context"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Again is how a session's user proves themselves again: by the password or, where there is a second factor, by that.
type Again struct {
	Password string
	Proof    mfa.Proof // no Method: none
	Device   secret.Secret
}

// Renewed is a session whose user has just proven themselves again.
type Renewed struct {
	Tokens   token.Pair // an access token that says so; the refresh token stays as it is
	AuthTime time.Time

	CodesLeft *int // backup codes, after one was used
}

// Reauthenticate renews the auth_time of the principal's session (RFC 9470). Who has a second factor proves that: a
// password alone, which whoever took the session over may know as well, would let them replace the factor that keeps
// them out elsewhere.
func (s *Service) Reauthenticate(ctx context.Context, p principal.Principal, in Again) (Renewed, error) {
	if (in.Proof.Method != "") == (in.Password != "") {
		return Renewed{}, fault.Invalidf("password", "or method, and what it needs: send one of the two")
	}
	u, err := s.Users.Read(ctx, p.Home, p.UserID())
	if err != nil {
		return Renewed{}, err
	}
	org, err := s.Organizations.Facts(ctx, p.Home)
	if err != nil {
		return Renewed{}, err
	}
	if in.Password != "" && u.HasSecondFactor() {
		return Renewed{}, ErrStepUp(org)
	}
	if closed, _, err := s.closed(ctx, u); err != nil {
		return Renewed{}, err
	} else if closed && in.Password != "" {
		return Renewed{}, ErrStepUp(org)
	}
	device, err := s.device(ctx, u, true, in.Device)
	if err != nil {
		return Renewed{}, err
	}
	var r Renewed
	err = s.counted(ctx, u, p, device, "session.reauthentication_refused",
		map[string]string{"method": known(in.Proof.Method)}, func() error {
			amr, proof, err := s.proveAgain(ctx, org, u, p, in)
			if err != nil {
				return err
			}
			r.AuthTime = s.Now()
			f, err := s.renew(ctx, org, u, p, amr, proof, r.AuthTime)
			if err != nil {
				return err
			}
			if in.Proof.Method == user.BackupCodes {
				r.CodesLeft = &proof.Left
			}
			r.Tokens, err = s.Tokens.Access(ctx, org, u, f)
			return err
		})
	return r, err
}

// renew takes a proof and notes it in the session.
func (s *Service) renew(ctx context.Context, org organization.Organization, u user.User, p principal.Principal,
	amr []string, proof *mfa.Taking, now time.Time) (session.Session, error) {
	f, err := s.Sessions.Facts(ctx, org, u.Role, p.Session)
	if err != nil {
		return f, err
	}
	err = s.DB.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		if same, err := s.Users.Confirm(ctx, tx, u); err != nil {
			return err
		} else if !same {
			return ErrCredentials()
		}
		if proof != nil {
			if err := proof.Take(ctx, tx); err != nil {
				return err
			}
		}
		if f, err = s.Sessions.Renew(ctx, tx, f, amr, now); err != nil {
			return err
		}
		return s.Users.Record(ctx, tx, p, u, "session.reauthenticated", map[string]string{"session": string(p.Session)})
	})
	return f, err
}

func (s *Service) proveAgain(ctx context.Context, org organization.Organization, u user.User, p principal.Principal,
	in Again) (amr []string, proof *mfa.Taking, err error) {
	if in.Proof.Method != "" {
		in.Proof.Context = againFor(p)
		if proof, err = s.Factors.Check(ctx, org, u, p, in.Proof); err != nil {
			return nil, nil, err
		}
		return proof.AMR, proof, nil
	}
	hash := u.PasswordHash()
	if hash == "" {
		hash = s.decoy
	}
	ok, _, err := s.Hasher.Verify(ctx, attempt.Network(p.Source.Address), in.Password, hash)
	if err == nil && !ok {
		err = fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials, "The password is wrong.")
	}
	return []string{session.Password}, nil, err
}

// againFor is what the challenge of a renewed proof is for: this one session.
func againFor(p principal.Principal) string { return "again:" + string(p.Session) }

// ChallengeAgain gives what a browser is asked so that a session's user proves one of their authenticators again.
func (s *Service) ChallengeAgain(ctx context.Context, p principal.Principal,
	origin string) (*protocol.CredentialAssertion, error) {
	u, err := s.Users.Read(ctx, p.Home, p.UserID())
	if err != nil {
		return nil, err
	}
	org, err := s.Organizations.Facts(ctx, p.Home)
	if err != nil {
		return nil, err
	}
	return s.Factors.Challenge(ctx, org, u, againFor(p), origin)
}

// ErrStepUp asks for a newer proof (RFC 9470 §3).
func ErrStepUp(org organization.Organization) error {
	f := fault.New(fault.Unauthenticated, fault.CodeStepUp, "This needs a newer proof of who you are. Give one at "+
		"/v1/auth/reauthenticate: your second factor if you have one, else your password; or sign in "+
		"again at your company.")
	f.MaxAge = org.Settings.StepUp()
	return f
}

// ChangePassword replaces the principal's own password. A wrong current one counts as a failed sign-in of the account.
func (s *Service) ChangePassword(ctx context.Context, p principal.Principal, device secret.Secret, current,
	plain string) (ended int, err error) {
	u, err := s.Users.Facts(ctx, p.Home, p.UserID())
	if err != nil {
		return 0, err
	}
	place, err := s.Hasher.Enter(attempt.Network(p.Source.Address))
	if err != nil {
		return 0, err
	}
	defer place.Leave()
	counts, err := s.device(ctx, u, true, device)
	if err != nil {
		return 0, err
	}
	err = s.counted(ctx, u, p, counts, "user.password_change_refused", map[string]string{}, func() error {
		ended, err = s.Users.ChangePassword(ctx, p, place, current, plain, s.forgetDevices(ctx))
		return err
	})
	return ended, err
}

// Unlock forgives what failed at a user's account, under all of its names, so that they can sign in at once. It needs
// users:update:all and no fewer rights than theirs.
func (s *Service) Unlock(ctx context.Context, p principal.Principal, userID id.User) error {
	if p.UserID() == userID { // else a session could be used to guess at its own user without end
		return fault.Forbiddenf("Nobody unlocks themselves.")
	}
	u, err := s.Users.Changeable(ctx, p, userID)
	if err != nil {
		return err
	}
	return s.unlock(ctx, u, p)
}

func (s *Service) unlock(ctx context.Context, u user.User, p principal.Principal) error {
	return s.Attempts.Unlock(ctx, string(u.ID), namesOf(u), func(tx *sqldb.Tx) error {
		if err := s.Factors.ForgetDevices(ctx, tx, u.Organization, u.ID); err != nil {
			// one that was locked itself is counted with the name again
			return err
		}
		return audit.RecordIn(ctx, tx, s.Now(), u.Organization, p,
			audit.Entry{Act: "user.unlocked", TargetKind: "user", TargetID: string(u.ID)})
	})
}

// namesOf are what tries at a user's names are counted under.
func namesOf(u user.User) []string {
	t := Tenant{ID: u.Organization}
	return []string{t.counter(u.Email), t.counter(u.Username)}
}

// forgive takes back what failed at a user's account under all of its names, after a sign-in that went another way than
// by one of them.
func (s *Service) forgive(ctx context.Context, u user.User) error {
	return s.Attempts.Unlock(ctx, string(u.ID), namesOf(u), func(*sqldb.Tx) error { return nil })
}
