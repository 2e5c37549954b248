package mfa

import (
	"context"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// A device that a user has fully signed in on holds a token that says so. It proves nothing else: with it the password
// is still asked for, but tries count at the device, not at the name, so that who guesses at a name locks out strangers
// and not its owner.
const (
	DeviceLifetime = 180 * 24 * time.Hour
	MaxDevices     = 20
	devicePrefix   = "dev_"
)

func (s *Service) deviceDigest(org id.Organization, u id.User, token secret.Secret) string {
	return secret.Digest(s.deviceKey, secret.New(string(org)+"\x00"+string(u)+"\x00"+token.Reveal()))
}

// KnowDevice gives the device that a user is signing in on its token, in the transaction of the sign-in. The least
// recent of too many are forgotten.
func (s *Service) KnowDevice(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User) (secret.Secret, error) {
	token, now := secret.Token(devicePrefix, 32), s.now()
	q := mfadb.New(tx.Later())
	err := q.KnowDevice(ctx, mfadb.KnowDeviceParams{OrganizationID: org, UserID: u,
		Digest: s.deviceDigest(org, u, token), CreatedAt: sqldb.MillisOf(now),
		ExpiresAt: sqldb.MillisOf(now.Add(DeviceLifetime))})
	if err == nil {
		err = q.TrimDevices(ctx, org, u, MaxDevices)
	}
	if err != nil {
		return secret.Secret{}, fmt.Errorf("second factor: know device: %w", err)
	}
	return token, nil
}

// Device gives what tries of a known device are counted under; empty: it is not known. It asks the database once,
// whoever the user is.
func (s *Service) Device(ctx context.Context, org id.Organization, u id.User, token secret.Secret) (string, error) {
	digest := s.deviceDigest(org, u, token)
	n, err := mfadb.New(s.db.Tenant(org)).IsKnownDevice(ctx, org, u, digest, sqldb.MillisOf(s.now()))
	if err != nil {
		return "", fmt.Errorf("second factor: device: %w", err)
	}
	if n == 0 {
		return "", nil
	}
	return digest, nil
}

// ForgetDevices makes all devices of a user strangers, in the transaction of what calls for it.
func (s *Service) ForgetDevices(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User) error {
	if err := mfadb.New(tx).ForgetDevices(ctx, org, u); err != nil {
		return fmt.Errorf("second factor: forget devices: %w", err)
	}
	return nil
}
