package mfa

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Backup codes have 40 random bits: too few to be stored by a plain hash, and enough against guessing, which is
// counted. They are kept as keyed digests under a key that is not in the database.
const (
	CodeCount  = 10
	CodeLength = 8
	// codeLetters are Crockford's base 32: no letter that reads like a digit.
	codeLetters = "0123456789abcdefghjkmnpqrstvwxyz"
)

// codeForms turns what people type into what was printed.
var codeForms = strings.NewReplacer(" ", "", "-", "", "i", "1", "l", "1", "o", "0")

func canonicalCode(typed string) string { return codeForms.Replace(strings.ToLower(typed)) }

func newCode() string {
	b := make([]byte, CodeLength)
	rand.Read(b)
	for i := range b {
		b[i] = codeLetters[b[i]&31]
	}
	return string(b)
}

func (s *Service) codeDigest(u user.User, code string) string {
	return secret.Digest(s.codeKey, secret.New(string(u.Organization)+"\x00"+string(u.ID)+"\x00"+canonicalCode(code)))
}

// makeCodes gives a user ten new codes; former ones stop working.
func (s *Service) makeCodes(ctx context.Context, tx *sqldb.Tx, u user.User) ([]string, error) {
	q := mfadb.New(tx)
	if _, err := q.DeleteCodes(ctx, u.Organization, u.ID); err != nil {
		return nil, fmt.Errorf("second factor: codes: %w", err)
	}
	codes := make([]string, 0, CodeCount)
	seen := make(map[string]bool, CodeCount)
	later := mfadb.New(tx.Later())
	for len(codes) < CodeCount {
		code := newCode()
		if seen[code] {
			continue
		}
		seen[code] = true
		codes = append(codes, code)
		if err := later.InsertCode(ctx, u.Organization, u.ID, s.codeDigest(u, code),
			sqldb.MillisOf(s.now())); err != nil {
			return nil, fmt.Errorf("second factor: codes: %w", err)
		}
	}
	return codes, nil
}

// RegenerateCodes gives the principal ten new backup codes, shown once.
func (s *Service) RegenerateCodes(ctx context.Context, p principal.Principal) (codes []string, err error) {
	org, err := s.organizations.Facts(ctx, p.Home)
	if err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		u, err := s.users.Hold(ctx, tx, p.Home, p.UserID())
		if err != nil {
			return err
		}
		if !u.HasSecondFactor() {
			return fault.Conflictf("Backup codes stand in for a second factor, and there is none. Add one first.")
		}
		if codes, err = s.makeCodes(ctx, tx, u); err != nil {
			return err
		}
		if _, err := s.settle(ctx, tx, u); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, org, u, p, mail.BackupCodesMade, nil); err != nil {
			return err
		}
		return s.users.Record(ctx, tx, p, u, "backup_codes.made", nil)
	})
	return codes, err
}
