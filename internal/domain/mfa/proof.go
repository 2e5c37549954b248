package mfa

import (
	"context"
	"fmt"
	"strconv"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Proof is what a user shows of a factor.
type Proof struct {
	Method     string
	Code       string // totp, backup_codes
	Credential []byte // webauthn: the browser's PublicKeyCredential as JSON
	Context    string // webauthn: what the challenge was made for
}

// Taking is a proof that holds. It counts once it is taken, in the transaction of what it allows; of two at once one
// is.
type Taking struct {
	AMR  []string
	Left int // backup codes left, after one was taken
	take func(ctx context.Context, tx *sqldb.Tx, t *Taking) error
}

// Take uses the proof up.
func (t *Taking) Take(ctx context.Context, tx *sqldb.Tx) error { return t.take(ctx, tx, t) }

// Check judges a proof of a user, who was read from the database just now.
func (s *Service) Check(ctx context.Context, org organization.Organization, u user.User, p principal.Principal,
	proof Proof) (*Taking, error) {
	switch proof.Method {
	case user.TOTP:
		return s.checkCode(ctx, u, proof.Code)
	case user.BackupCodes:
		return s.checkBackupCode(org, u, p, proof.Code), nil
	case user.WebAuthn:
		return s.checkAssertion(ctx, org, u, proof)
	}
	return nil, fault.Invalidf("method", "must be totp, webauthn or backup_codes")
}

func (s *Service) checkCode(ctx context.Context, u user.User, code string) (*Taking, error) {
	rows, err := mfadb.New(s.db.Tenant(u.Organization)).ActiveOf(ctx, u.Organization, u.ID, user.TOTP)
	if err != nil {
		return nil, fmt.Errorf("second factor: app: %w", err)
	}
	for _, row := range rows {
		seed, err := s.ring.Open(row.Data, place(u.Organization, row.ID))
		if err != nil {
			return nil, err
		}
		step, ok := matchStep(seed, code, s.now(), row.Counter)
		if !ok {
			continue
		}
		return &Taking{AMR: []string{session.OTP, session.MFA},
			take: func(ctx context.Context, tx *sqldb.Tx, _ *Taking) error {
				n, err := mfadb.New(tx).
					TakeStep(ctx, mfadb.TakeStepParams{Step: step, Now: sqldb.MillisOf(s.now()),
						OrganizationID: u.Organization, UserID: u.ID, ID: row.ID})
				return taken(n, err)
			}}, nil
	}
	return nil, ErrInvalid()
}

func taken(n int64, err error) error {
	if err != nil {
		return fmt.Errorf("second factor: take: %w", err)
	}
	if n == 0 {
		return ErrInvalid()
	}
	return nil
}

// checkBackupCode leaves the judgement to the one statement that uses the code up.
func (s *Service) checkBackupCode(org organization.Organization, u user.User, p principal.Principal,
	code string) *Taking {
	return &Taking{AMR: []string{session.OTP, session.MFA},
		take: func(ctx context.Context, tx *sqldb.Tx, t *Taking) error {
			q := mfadb.New(tx)
			if err := taken(q.UseCode(ctx, sqldb.MillisOf(s.now()), u.Organization, u.ID,
				s.codeDigest(u, code))); err != nil {
				return err
			}
			if _, err := s.settle(ctx, tx, u); err != nil {
				return err
			}
			left, err := q.CodesLeft(ctx, u.Organization, u.ID)
			if err != nil {
				return fmt.Errorf("second factor: codes left: %w", err)
			}
			t.Left = int(left)
			if err := s.tell(ctx, tx, org, u, p, mail.BackupCodeUsed,
				map[string]string{"left": strconv.Itoa(t.Left)}); err != nil {
				return err
			}
			return s.users.Record(ctx, tx, p, u, "backup_code.used", map[string]string{"left": strconv.Itoa(t.Left)})
		}}
}
