// Package onetime owns single-use secrets: handed out once, stored as a keyed digest, consumed by one statement.
// Whoever uses it names a purpose ("invitation"); a secret of one purpose means nothing for another.
package onetime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime/onetimedb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// secretBytes are 256 random bits.
const secretBytes = 32

// Service issues and consumes.
type Service struct {
	db   *sqldb.DB
	ring *keyring.Ring
	key  []byte
}

// New makes the service.
func New(db *sqldb.DB, ring *keyring.Ring) *Service {
	return &Service{db: db, ring: ring, key: ring.Subkey("one-time secrets")}
}

func (s *Service) digest(purpose string, value secret.Secret) string {
	return secret.Digest(s.key, secret.New(purpose+"\x00"+value.Reveal()))
}

// Issue makes a secret for a subject; one issued before for the same subject and not yet used stops working. The
// payload is what whoever uses it must know.
func (s *Service) Issue(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject, payload string, now,
	expires time.Time) (secret.Secret, error) {
	if err := onetimedb.New(tx).Withdraw(ctx, org, purpose, subject); err != nil {
		return secret.Secret{}, fmt.Errorf("link: withdraw: %w", err)
	}
	return s.Add(ctx, tx, org, purpose, subject, payload, now, expires)
}

// Add makes a secret for a subject beside those it has.
func (s *Service) Add(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject, payload string, now,
	expires time.Time) (secret.Secret, error) {
	return s.add(ctx, onetimedb.New(tx), org, purpose, "", subject, payload, now, expires)
}

// Stand gives the one secret of a subject that every node shows again and again, until it is used or too old: then it
// makes another, which works until expires. It is the only kind that is kept, sealed.
func (s *Service) Stand(ctx context.Context, org id.Organization, purpose, subject string, now,
	expires time.Time) (value secret.Secret, until time.Time, err error) {
	place := "onetime " + string(org) + " " + purpose + " " + subject
	err = s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		q := onetimedb.New(tx)
		if err := organization.Hold(ctx, tx, org); err != nil { // nodes that start at once take turns
			return err
		}
		row, err := q.Standing(ctx, org, purpose, subject, sqldb.MillisOf(now))
		if err == nil {
			plain, err := s.ring.Open(row.Payload, place)
			if err == nil {
				value, until = secret.New(string(plain)), row.ExpiresAt.Time()
				return nil
			}
			// sealed by an encryption key that is gone, or not at all: another takes its place
		} else if !errors.Is(err, sqldb.ErrNoRows) {
			return fmt.Errorf("link: standing: %w", err)
		}
		if err := q.Withdraw(ctx, org, purpose, subject); err != nil {
			return fmt.Errorf("link: withdraw: %w", err)
		}
		value, until = secret.Token("", secretBytes), expires
		return s.insert(ctx, q, org, purpose, value, subject, s.ring.Seal([]byte(value.Reveal()), place), now, expires)
	})
	return value, until, err
}

// Begin makes a secret that stands for something begun, whose state is the payload. Beside it others of the same
// subject go on.
func (s *Service) Begin(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, prefix, subject,
	payload string, now, expires time.Time) (secret.Secret, error) {
	return s.add(ctx, onetimedb.New(tx.Later()), org, purpose, prefix, subject, payload, now, expires)
}

func (s *Service) add(ctx context.Context, q *onetimedb.Queries, org id.Organization, purpose, prefix, subject,
	payload string, now, expires time.Time) (secret.Secret, error) {
	value := secret.Token(prefix, secretBytes)
	if err := s.insert(ctx, q, org, purpose, value, subject, payload, now, expires); err != nil {
		return secret.Secret{}, err
	}
	return value, nil
}

func (s *Service) insert(ctx context.Context, q *onetimedb.Queries, org id.Organization, purpose string,
	value secret.Secret, subject, payload string, now, expires time.Time) error {
	err := q.Insert(ctx, onetimedb.InsertParams{OrganizationID: org, Purpose: purpose, Digest: s.digest(purpose, value),
		Subject: subject, Payload: payload,
		CreatedAt: sqldb.MillisOf(now), ExpiresAt: sqldb.MillisOf(expires)})
	if err != nil {
		return fmt.Errorf("link: issue: %w", err)
	}
	return nil
}

// Withdraw makes the unused secrets of a subject worthless.
func (s *Service) Withdraw(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose string,
	subject string) error {
	return onetimedb.New(tx).Withdraw(ctx, org, purpose, subject)
}

// ErrUnknown is the same for a secret that never was, was used, or is too old.
func ErrUnknown() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"The link is not valid: it was used, has expired, or never existed.")
}

// Found is a live secret.
type Found struct {
	Organization id.Organization
	Subject      string
	Payload      string
	Tries        int64
}

// Find tells which organization and subject a live secret belongs to, without using it up.
func (s *Service) Find(ctx context.Context, purpose string, value secret.Secret, now time.Time) (id.Organization,
	string, error) {
	f, err := s.Look(ctx, purpose, value, now)
	return f.Organization, f.Subject, err
}

// Look is Find with what the secret stands for.
func (s *Service) Look(ctx context.Context, purpose string, value secret.Secret, now time.Time) (Found, error) {
	row, err := onetimedb.New(s.db.Platform("digest of a single-use secret")).
		PlatformFind(ctx, purpose, s.digest(purpose, value))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Found{}, ErrUnknown()
	}
	if err != nil {
		return Found{}, fmt.Errorf("link: find: %w", err)
	}
	if row.UsedAt != 0 || !now.Before(row.ExpiresAt.Time()) {
		return Found{}, ErrUnknown()
	}
	return Found{row.OrganizationID, row.Subject, row.Payload, row.Tries}, nil
}

// Try counts a use of a secret that allows few, before what it is for is judged; ok is false if there is none left.
func (s *Service) Try(ctx context.Context, org id.Organization, purpose string, value secret.Secret, most int,
	now time.Time) (ok bool, err error) {
	err = s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		n, err := onetimedb.New(tx).
			Try(ctx, onetimedb.TryParams{OrganizationID: org, Purpose: purpose, Digest: s.digest(purpose, value),
				Now: sqldb.MillisOf(now), Most: int64(most)})
		ok = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("link: try: %w", err)
	}
	return ok, nil
}

// Consume uses a secret up inside the transaction of what it allows; of many at once one succeeds.
func (s *Service) Consume(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose string, value secret.Secret,
	now time.Time) (subject string, err error) {
	subject, err = onetimedb.New(tx).Consume(ctx, sqldb.MillisOf(now), org, purpose, s.digest(purpose, value))
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", ErrUnknown()
	}
	if err != nil {
		return "", fmt.Errorf("link: consume: %w", err)
	}
	return subject, nil
}

// Has gives what the latest live secret of a subject stands for, and whether there is one.
func (s *Service) Has(ctx context.Context, org id.Organization, purpose, subject string, now time.Time) (payload string,
	ok bool, err error) {
	row, err := onetimedb.New(s.db.Tenant(org)).Standing(ctx, org, purpose, subject, sqldb.MillisOf(now))
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("link: has: %w", err)
	}
	return row.Payload, true, nil
}

// Note writes what became of a secret that was used, in the transaction that used it or later.
func (s *Service) Note(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose string, value secret.Secret,
	what string) error {
	if _, err := onetimedb.New(tx).Note(ctx, what, org, purpose, s.digest(purpose, value)); err != nil {
		return fmt.Errorf("link: note: %w", err)
	}
	return nil
}

// Used gives what became of a secret that was used, as it was noted; Unauthenticated if it was not.
func (s *Service) Used(ctx context.Context, purpose string, value secret.Secret) (Found, error) {
	row, err := onetimedb.New(s.db.Platform("digest of a used secret")).
		PlatformFind(ctx, purpose, s.digest(purpose, value))
	if errors.Is(err, sqldb.ErrNoRows) || err == nil && row.UsedAt == 0 {
		return Found{}, ErrUnknown()
	}
	if err != nil {
		return Found{}, fmt.Errorf("link: used: %w", err)
	}
	return Found{row.OrganizationID, row.Subject, row.Payload, row.Tries}, nil
}

// Write changes what a live secret stands for.
func (s *Service) Write(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose string, value secret.Secret,
	payload string, now time.Time) error {
	n, err := onetimedb.New(tx).Write(ctx, onetimedb.WriteParams{Payload: payload, OrganizationID: org,
		Purpose: purpose, Digest: s.digest(purpose, value), Now: sqldb.MillisOf(now)})
	if err != nil {
		return fmt.Errorf("link: write: %w", err)
	}
	if n == 0 {
		return ErrUnknown()
	}
	return nil
}

// Mark notes that something outside was used (an assertion's jti) until it expires; fresh is false if it was noted
// before. Of many at once one finds it fresh.
func (s *Service) Mark(ctx context.Context, org id.Organization, purpose, subject, value string, now,
	expires time.Time) (fresh bool, err error) {
	err = s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		fresh, err = s.MarkIn(ctx, tx, org, purpose, subject, value, now, expires)
		return err
	})
	return fresh, err
}

// MarkIn is Mark in the transaction of what is done once.
func (s *Service) MarkIn(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject, value string, now,
	expires time.Time) (fresh bool, err error) {
	n, err := onetimedb.New(tx).Mark(ctx, onetimedb.MarkParams{OrganizationID: org, Purpose: purpose,
		Digest: s.digest(purpose, secret.New(subject+"\x00"+value)), Subject: subject,
		CreatedAt: sqldb.MillisOf(now), ExpiresAt: sqldb.MillisOf(expires)})
	if err != nil {
		return false, fmt.Errorf("link: mark: %w", err)
	}
	return n == 1, nil
}
