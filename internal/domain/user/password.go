package user

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// contextWords are what an attacker of this account would try.
func contextWords(u User) []string {
	local, _, _ := strings.Cut(u.Email, "@")
	return append(strings.Fields(u.Name), local, u.Username, u.Email)
}

// hashNew judges a new password and hashes it. It runs before any transaction.
func (s *Service) hashNew(ctx context.Context, client, field string, org organization.Organization, u User,
	plain string) (string, error) {
	if err := s.policy(org, u, contextWords(u)...).Check(plain); err != nil {
		return "", fault.Invalidf(field, "%v", err)
	}
	return s.hasher.Hash(ctx, client, plain)
}

// ChangePassword replaces the principal's own password, proven by the current one, and ends their other sessions. place
// is theirs in the hash queue.
func (s *Service) ChangePassword(ctx context.Context, p principal.Principal, place *hashing.Place, current,
	plain string, within Within) (ended int, err error) {
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
	if err := s.policy(org, u, contextWords(u)...).Check(plain); err != nil {
		return 0, fault.Invalidf("newPassword", "%v", err)
	}
	hash, err := place.Hash(ctx, plain)
	if err != nil {
		return 0, err
	}
	err = s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		if same, err := s.Confirm(ctx, tx, u); err != nil {
			return err
		} else if !same { // another was set while this one was looked at
			return fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials, "The current password is wrong.")
		}
		if ended, err = s.setPassword(ctx, tx, p, u, hash, p.Session, "user.password_changed"); err != nil {
			return err
		}
		return errors.Join(within(tx, u), s.passwordChanged(ctx, tx, org, u, p))
	})
	return ended, err
}

// setPassword writes the hash and ends every session but keep.
func (s *Service) setPassword(ctx context.Context, tx *sqldb.Tx, p principal.Principal, u User, hash string,
	keep id.Session, act string) (int, error) {
	// The user first, then the links, then the sessions: everyone takes the locks in this order. Who holds a user sees
	// every link that was made before.
	if err := s.withdrawLinks(ctx, tx, u); err != nil {
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

// withdrawLinks makes every link worthless at which a user could choose a password.
func (s *Service) withdrawLinks(ctx context.Context, tx *sqldb.Tx, u User) error {
	for _, purpose := range []string{purposeSetPassword, purposeReset} {
		if err := s.onetime.Withdraw(ctx, tx, u.Organization, purpose, string(u.ID)); err != nil {
			return err
		}
	}
	return nil
}

// notice is a mail that tells a user what happened to their account.
func (s *Service) notice(kind mail.Kind, org organization.Organization, u User, facts map[string]string) mail.Message {
	facts["when"] = org.Settings.When(s.now())
	return mail.Message{Kind: kind, Subject: string(u.ID), To: u.Email, Name: u.Name, Organization: org.Name,
		Facts: facts}
}

func (s *Service) linkMail(kind mail.Kind, org organization.Organization, u User, page string, token secret.Secret,
	lifetime time.Duration, permit mail.Permit) mail.Message {
	return mail.Message{Kind: kind, Subject: string(u.ID), To: u.Email, Name: u.Name, Organization: org.Name,
		Permit: permit, Page: page, Token: token, Lifetime: lifetime}
}

// permitMail counts a mail that a caller is about to cause.
func (s *Service) permitMail(ctx context.Context, p principal.Principal, kind mail.Kind, to string) (mail.Permit,
	error) {
	if p.IsSystem() {
		return mail.Unlimited(to), nil
	}
	return s.mails.Permit(ctx, p.Organization, kind, to)
}

// passwordChanged tells a user that their password is another.
func (s *Service) passwordChanged(ctx context.Context, tx *sqldb.Tx, org organization.Organization, u User,
	p principal.Principal) error {
	if !u.HasPassword {
		return nil // the first one: nothing was changed
	}
	return s.mails.Queue(ctx, tx, org.ID, s.notice(mail.PasswordChanged, org, u,
		map[string]string{"address": p.Source.Address}))
}

// PasswordLink makes a new link at which a user chooses a password; one made before stops working. It needs
// users:update:all and no fewer rights than the user's. The present password stays until another is chosen.
func (s *Service) PasswordLink(ctx context.Context, p principal.Principal, user id.User) (link secret.Secret,
	expires time.Time, err error) {
	err = sqldb.Retry(func() error {
		link, expires, err = s.passwordLink(ctx, p, user)
		return err
	})
	return link, expires, err
}

func (s *Service) passwordLink(ctx context.Context, p principal.Principal, user id.User) (link secret.Secret,
	expires time.Time, err error) {
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
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return link, expires, err
	}
	permit, err := s.permitMail(ctx, p, mail.ChoosePassword, u.Email)
	if err != nil {
		return link, expires, err
	}
	expires = s.now().Add(LinkLifetime)
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := userdb.New(tx).HoldAsRead(ctx, p.Organization, user, sqldb.MillisOf(u.UpdatedAt))
		if err != nil {
			return fmt.Errorf("user: hold: %w", err)
		}
		if n == 0 { // promoted meanwhile, perhaps: judge again
			return sqldb.ErrStale
		}
		l, err := s.issueLinks(ctx, tx, p, org, purposeSetPassword, string(user), expires)
		if err != nil {
			return err
		}
		link = l.handed
		if err := s.mails.Queue(ctx, tx, p.Organization,
			s.linkMail(mail.ChoosePassword, org, u, "set-password", l.mailed, LinkLifetime, permit)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: "user.password_link_issued", TargetKind: "user",
			TargetID: string(user)})
	})
	return link, expires, err
}

// MailReset sends a user who asked for it, or seems to have, a link at which they choose another password; one sent
// before stops working. Whoever reads the user's mail proves no more than that: a second factor is still asked for at
// the sign-in. The user's address may be another by now than when it was asked for.
func (s *Service) MailReset(ctx context.Context, source principal.Source, u User) error {
	return sqldb.Retry(func() error { return s.mailReset(ctx, source, u.Organization, u.ID) })
}

func (s *Service) mailReset(ctx context.Context, source principal.Source, home id.Organization, user id.User) error {
	org, err := s.organizations.Facts(ctx, home)
	if err != nil {
		return err
	}
	u, err := s.Read(ctx, home, user)
	if err != nil {
		return err
	}
	if org.State != organization.Active || u.State != Active {
		return nil
	}
	permit, err := s.mails.Permit(ctx, org.ID, mail.ResetPassword, u.Email)
	if err != nil {
		return err
	}
	now := s.now()
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: org.ID, Organization: org.ID, Source: source}
	return s.db.Tx(ctx, org.ID, func(tx *sqldb.Tx) error {
		u, err := s.Hold(ctx, tx, org.ID, u.ID)
		if err != nil {
			return err
		}
		if u.Email != permit.To() {
			return sqldb.ErrStale
		}
		if u.State != Active || !u.HasPassword {
			return s.onetime.Withdraw(ctx, tx, org.ID, purposeReset, string(u.ID))
		}
		token, err := s.onetime.Issue(ctx, tx, org.ID, purposeReset, string(u.ID), origin{Proves: true}.payload(), now,
			now.Add(ResetLifetime))
		if err != nil {
			return err
		}
		if err := s.mails.Queue(ctx, tx, org.ID, s.linkMail(mail.ResetPassword, org, u, "reset-password", token,
			ResetLifetime, permit)); err != nil {
			return err
		}
		return audit.RecordIn(ctx, tx, now, org.ID, p,
			audit.Entry{Act: "user.password_reset_mailed", TargetKind: "user", TargetID: string(u.ID)})
	})
}

// Within is what else happens in the transaction that gives a user another password.
type Within func(tx *sqldb.Tx, u User) error

// SetPasswordByLink gives a user the password they chose at the link that an administrator handed or mailed them; the
// link works once.
func (s *Service) SetPasswordByLink(ctx context.Context, source principal.Source, token secret.Secret, plain string,
	within Within) (User, error) {
	return s.setByLink(ctx, source, purposeSetPassword, token, plain, "user.password_set", within)
}

// ResetPassword is SetPasswordByLink with a link that was asked for by whoever said they forgot theirs.
func (s *Service) ResetPassword(ctx context.Context, source principal.Source, token secret.Secret, plain string,
	within Within) (User, error) {
	return s.setByLink(ctx, source, purposeReset, token, plain, "user.password_reset", within)
}

func (s *Service) setByLink(ctx context.Context, source principal.Source, purpose string, token secret.Secret, plain,
	act string, within Within) (User, error) {
	org, u, from, err := s.atPasswordLink(ctx, purpose, token)
	if err != nil {
		return User{}, err
	}
	orgID := org.ID
	hash, err := s.hashNew(ctx, source.Address, "password", org, u, plain)
	if err != nil {
		return User{}, err
	}
	p := principal.Principal{Kind: principal.User, ID: string(u.ID), Home: orgID, Organization: orgID, Source: source}
	err = s.db.Tx(ctx, orgID, func(tx *sqldb.Tx) error {
		if _, err := s.Hold(ctx, tx, orgID, u.ID); err != nil {
			return err
		}
		if _, err := s.onetime.Consume(ctx, tx, orgID, purpose, token, s.now()); err != nil {
			return err
		}
		if _, err := s.setPassword(ctx, tx, p, u, hash, "", act); err != nil {
			return err
		}
		if from.Proves {
			if err := s.Prove(ctx, tx, orgID, u.ID); err != nil {
				return err
			}
			u.EmailVerified = true
		}
		return errors.Join(within(tx, u), s.passwordChanged(ctx, tx, org, u, p))
	})
	u.HasPassword = true
	return u, err
}

// Prove notes, inside the transaction of a sign-in, that a user's address was proven to be theirs.
func (s *Service) Prove(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User) error {
	if _, err := userdb.New(tx).VerifyEmail(ctx, org, u); err != nil {
		return fmt.Errorf("user: verify address: %w", err)
	}
	return nil
}

// Confirm tells, inside the transaction of a sign-in, whether the user is still active, the password still the one that
// was proven, and what else is asked of them still the same. It holds the user until the transaction ends, so that a
// session begun with a former password cannot slip past the end of all sessions.
func (s *Service) Confirm(ctx context.Context, tx *sqldb.Tx, u User) (bool, error) {
	n, err := userdb.New(tx).
		Confirm(ctx, userdb.ConfirmParams{OrganizationID: u.Organization, ID: u.ID,
			PasswordChangedAt: sqldb.MillisOf(u.passwordChangedAt),
			SecondFactors:     strings.Join(u.SecondFactors, " "), MfaRequired: u.MFARequired})
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
