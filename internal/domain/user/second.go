package user

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// The methods of a second factor, as clients name them (A27). Backup codes stand in for the others and are none by
// themselves.
const (
	TOTP        = "totp"
	WebAuthn    = "webauthn"
	BackupCodes = "backup_codes"
)

// HasSecondFactor tells whether a sign-in with this user's password is not enough.
func (u User) HasSecondFactor() bool {
	return slices.Contains(u.SecondFactors, TOTP) || slices.Contains(u.SecondFactors, WebAuthn)
}

// PasswordChangedAt is when the present password was set: a sign-in that began with a former one does not go on.
func (u User) PasswordChangedAt() time.Time { return u.passwordChangedAt }

// MustHaveSecondFactor tells whether a user may sign in with a second factor only, by themselves, by the organization
// or by what they administer (A27).
func (s *Service) MustHaveSecondFactor(ctx context.Context, org organization.Organization, u User) (bool, error) {
	switch {
	case u.Kind == Application && u.MFAExempt:
		return false, nil
	case u.MFARequired || org.Settings.MFA == organization.MFARequired:
		return true, nil
	case org.Settings.MFA != organization.MFAAdministrators:
		return false, nil
	}
	held, err := s.roles.PermissionsOf(ctx, u.Organization, u.Role)
	return held.Administers(), err
}

// NeedsSecondFactor tells whether a first factor is not enough for a user: they have a second one, or must have one. An
// application that was exempted never needs one (A27).
func (s *Service) NeedsSecondFactor(ctx context.Context, org organization.Organization, u User) (bool, error) {
	if u.Kind == Application && u.MFAExempt {
		return false, nil
	}
	must, err := s.MustHaveSecondFactor(ctx, org, u)
	return must || u.HasSecondFactor(), err
}

// Read gives a user as the database has it now, with what only sign-ins need.
func (s *Service) Read(ctx context.Context, org id.Organization, user id.User) (User, error) {
	return one(userdb.New(s.db.Tenant(org)).Get(ctx, org, user))
}

// Changeable gives a user of the principal's organization whom the principal may change: one who holds no right that
// they do not hold now.
func (s *Service) Changeable(ctx context.Context, p principal.Principal, user id.User) (User, error) {
	p, err := s.Present(ctx, p)
	if err != nil {
		return User{}, err
	}
	u, err := s.Get(ctx, p, user)
	if err != nil {
		return User{}, err
	}
	return u, s.checkMayChange(ctx, p, u)
}

// Hold reads a user and holds them until the transaction ends: whoever signs in with them or changes what they sign in
// with waits, or was first.
func (s *Service) Hold(ctx context.Context, tx *sqldb.Tx, org id.Organization, user id.User) (User, error) {
	return one(userdb.New(tx).Hold(ctx, org, user))
}

// SetSecondFactors writes which methods a user has, in the transaction that changed them.
func (s *Service) SetSecondFactors(ctx context.Context, tx *sqldb.Tx, u User, methods []string) error {
	slices.Sort(methods)
	tx.Announce(s.facts.Message(invalidation.Key{Organization: u.Organization, ID: string(u.ID)}))
	if _, err := userdb.New(tx).SetSecondFactors(ctx, strings.Join(methods, " "), u.Organization, u.ID); err != nil {
		return fmt.Errorf("user: second factors: %w", err)
	}
	return nil
}

// RequireSecondFactor makes one user have a second factor, or leaves it to the organization. It needs users:update:all
// and no fewer rights than theirs.
func (s *Service) RequireSecondFactor(ctx context.Context, p principal.Principal, user id.User, required bool) error {
	if p.UserID() == user {
		return fault.Forbiddenf("Nobody decides whether they must have a second factor themselves.")
	}
	return sqldb.Retry(func() error {
		u, err := s.Changeable(ctx, p, user)
		if err != nil || u.MFARequired == required {
			return err
		}
		return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
			n, err := userdb.New(tx).RequireSecondFactor(ctx,
				userdb.RequireSecondFactorParams{MfaRequired: required,
					Now:            sqldb.MillisOf(sqldb.Version(s.now(), u.UpdatedAt)),
					OrganizationID: p.Organization, ID: user, Was: sqldb.MillisOf(u.UpdatedAt)})
			if err != nil {
				return fmt.Errorf("user: require second factor: %w", err)
			}
			if n == 0 {
				return sqldb.ErrStale
			}
			return s.changed(ctx, tx, p, u, "user.mfa_required",
				map[string]string{"required": strconv.FormatBool(required)})
		})
	})
}

// Record writes what happened to a user's means of signing in.
func (s *Service) Record(ctx context.Context, tx *sqldb.Tx, p principal.Principal, u User, act string,
	details map[string]string) error {
	return audit.RecordIn(ctx, tx, s.now(), u.Organization, p,
		audit.Entry{Act: act, TargetKind: "user", TargetID: string(u.ID), Details: details})
}
