package user

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/core/fault"
	"gatehouse/internal/core/id"
	"gatehouse/internal/core/principal"
	"gatehouse/internal/core/secret"
	"gatehouse/internal/domain/audit"
	"gatehouse/internal/domain/organization"
	"gatehouse/internal/domain/user/userdb"
	"gatehouse/internal/platform/hashing"
	"gatehouse/internal/platform/invalidation"
	"gatehouse/internal/platform/sqldb"
)

// contextWords are what an attacker of this account would try.
func contextWords(u User) []string {
	local, _, _ := strings.Cut(u.Email, "@")
	return append(strings.Fields(u.Name), local, u.Username, u.Email)
}

// hashNew judges a new password and hashes it. It runs before any transaction.
func (s *Service) hashNew(ctx context.Context, client, field string, org organization.Organization, u User, plain string) (string, error) {
	if err := s.policy(org, contextWords(u)...).Check(plain); err != nil {
		return "", fault.Invalidf(field, "%v", err)
	}
	return s.hasher.Hash(ctx, client, plain)
}

// ChangePassword replaces the principal's own password, proven by the current one, and ends their other sessions. place is theirs in the hash queue.
func (s *Service) ChangePassword(ctx context.Context, p principal.Principal, place *hashing.Place, current, plain string) (ended int, err error) {
	u, err := one(userdb.New(s.db.Tenant(p.Home)).Get(ctx, p.Home, id.User(p.ID)))
	if err != nil {
		return 0, err
	}
	org, err := s.organizations.Facts(ctx, p.Home)
	if err != nil {
		return 0, err
	}
	if u.passwordHash == "" {
		return 0, fault.Conflictf("This account has no password.")
	}
	ok, _, err := place.Verify(ctx, current, u.passwordHash)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials, "The current password is wrong.")
	}
	if err := s.policy(org, contextWords(u)...).Check(plain); err != nil {
		return 0, fault.Invalidf("newPassword", "%v", err)
	}
	hash, err := place.Hash(ctx, plain)
	if err != nil {
		return 0, err
	}
	err = s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		ended, err = s.setPassword(ctx, tx, p, u, hash, p.Session, "user.password_changed")
		return err
	})
	return ended, err
}

// setPassword writes the hash and ends every session but keep.
func (s *Service) setPassword(ctx context.Context, tx *sqldb.Tx, p principal.Principal, u User, hash string, keep id.Session, act string) (int, error) {
	// Links first, then the user, then the sessions: everyone takes the locks in this order.
	if err := s.onetime.Withdraw(ctx, tx, u.Organization, purposeSetPassword, string(u.ID)); err != nil {
		return 0, err
	}
	n, err := userdb.New(tx).SetPassword(ctx, hash, sqldb.MillisOf(s.now()), u.Organization, u.ID)
	if err != nil {
		return 0, fmt.Errorf("user: set password: %w", err)
	}
	if n == 0 {
		return 0, fault.NotFoundf("There is no such user.")
	}
	ended, err := s.sessions.EndAll(ctx, tx, u.Organization, u.ID, keep, "password_changed")
	if err != nil {
		return 0, err
	}
	return ended, s.changed(ctx, tx, p, u, act, nil)
}

// PasswordLink makes a new link at which a user chooses a password; one made before stops working. It needs users:update:all and no fewer
// rights than the user's. The present password stays until another is chosen.
func (s *Service) PasswordLink(ctx context.Context, p principal.Principal, user id.User) (link secret.Secret, expires time.Time, err error) {
	err = sqldb.Retry(func() error {
		link, expires, err = s.passwordLink(ctx, p, user)
		return err
	})
	return link, expires, err
}

func (s *Service) passwordLink(ctx context.Context, p principal.Principal, user id.User) (link secret.Secret, expires time.Time, err error) {
	if p, err = s.Present(ctx, p); err != nil {
		return link, expires, err
	}
	u, err := s.Get(ctx, p, user)
	if err != nil {
		return link, expires, err
	}
	if err := s.checkMayChange(ctx, p, u); err != nil {
		return link, expires, err
	}
	if u.State != Active {
		return link, expires, fault.Conflictf("The user is not active.")
	}
	expires = s.now().Add(linkLifetime)
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if link, err = s.onetime.Issue(ctx, tx, p.Organization, purposeSetPassword, string(user), s.now(), expires); err != nil {
			return err
		}
		n, err := userdb.New(tx).HoldAsRead(ctx, p.Organization, user, sqldb.MillisOf(u.UpdatedAt))
		if err != nil {
			return fmt.Errorf("user: hold: %w", err)
		}
		if n == 0 { // promoted meanwhile, perhaps: judge again
			return sqldb.ErrStale
		}
		return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: "user.password_link_issued", TargetKind: "user", TargetID: string(user)})
	})
	return link, expires, err
}

// SetPasswordByLink gives a user the password they chose at the link they were handed; the link works once.
func (s *Service) SetPasswordByLink(ctx context.Context, source principal.Source, token secret.Secret, plain string) (User, error) {
	orgID, subject, err := s.onetime.Find(ctx, purposeSetPassword, token, s.now())
	if err != nil {
		return User{}, err
	}
	org, err := s.organizations.Facts(ctx, orgID)
	if err != nil {
		return User{}, err
	}
	u, err := one(userdb.New(s.db.Tenant(orgID)).Get(ctx, orgID, id.User(subject)))
	if err != nil {
		return User{}, err
	}
	if org.State != organization.Active || u.State != Active {
		return User{}, fault.Forbiddenf("The account is not active.")
	}
	hash, err := s.hashNew(ctx, source.Address, "password", org, u, plain)
	if err != nil {
		return User{}, err
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: orgID, Organization: orgID, Source: source}
	err = s.db.Tx(ctx, orgID, func(tx *sqldb.Tx) error {
		if _, err := s.onetime.Consume(ctx, tx, orgID, purposeSetPassword, token, s.now()); err != nil {
			return err
		}
		_, err := s.setPassword(ctx, tx, p, u, hash, "", "user.password_set")
		return err
	})
	u.HasPassword = true
	return u, err
}

// Confirm tells, inside the transaction of a sign-in, whether the user is still active and the password still the one that was proven. It
// holds the user until the transaction ends, so that a session begun with a former password cannot slip past the end of all sessions.
func (s *Service) Confirm(ctx context.Context, tx *sqldb.Tx, u User) (bool, error) {
	n, err := userdb.New(tx).Confirm(ctx, u.Organization, u.ID, sqldb.MillisOf(u.passwordChangedAt))
	if err != nil {
		return false, fmt.Errorf("user: confirm: %w", err)
	}
	return n == 1, nil
}

// Rehash replaces a hash whose costs are outdated, unless the password was changed meanwhile.
func (s *Service) Rehash(ctx context.Context, client string, u User, plain string) error {
	hash, err := s.hasher.Hash(ctx, client, plain)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, u.Organization, func(tx *sqldb.Tx) error {
		tx.Announce(s.facts.Message(invalidation.Key{Organization: u.Organization, ID: string(u.ID)}))
		return userdb.New(tx).Rehash(ctx, hash, u.Organization, u.ID, u.passwordHash)
	})
}
