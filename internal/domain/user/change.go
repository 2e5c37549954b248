package user

import (
	"context"
	"fmt"
	"strconv"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// checkMayChange refuses acts on a user who may do more than p.
func (s *Service) checkMayChange(ctx context.Context, p principal.Principal, u User) error {
	r, err := s.roles.Facts(ctx, u.Organization, u.Role)
	if fault.Is(err, fault.NotFound) {
		return nil // a role that is gone gives nothing
	}
	if err != nil {
		return err
	}
	if missing := p.Permissions.Missing(r.Permissions); len(missing) > 0 {
		return fault.Forbiddenf("This user holds %s, which you do not; only someone who does may change them.",
			missing[0])
	}
	return nil
}

// CheckMayEndSessions tells whether p may end the sessions of a user: their own always, another's by the rule of
// checkMayChange.
func (s *Service) CheckMayEndSessions(ctx context.Context, p principal.Principal, user id.User) error {
	if p.UserID() == user && p.Kind == principal.User {
		return nil
	}
	u, err := s.Get(ctx, p, user)
	if err != nil {
		return err
	}
	return s.checkMayChange(ctx, p, u)
}

// Update changes a user; change edits a copy. Disabling ends the user's sessions in the same transaction. Two changes
// at once never undo each other: the later one is made to, and judged by, what the first left.
func (s *Service) Update(ctx context.Context, p principal.Principal, user id.User, change func(u *User)) (u User,
	err error) {
	err = sqldb.Retry(func() error {
		u, err = s.update(ctx, p, user, change)
		return err
	})
	return u, err
}

func (s *Service) update(ctx context.Context, p principal.Principal, user id.User, change func(u *User)) (User, error) {
	p, err := s.Present(ctx, p)
	if err != nil {
		return User{}, err
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return User{}, err
	}
	before, err := s.Get(ctx, p, user)
	if err != nil {
		return User{}, err
	}
	if err := s.checkMayChange(ctx, p, before); err != nil {
		return User{}, err
	}
	u := before
	change(&u)
	if u.Role != before.Role {
		if p.UserID() == user {
			return User{}, fault.Forbiddenf("Nobody changes their own role.")
		}
		if err := s.roles.CheckGrantable(ctx, p, u.Role, org.Platform); err != nil {
			return User{}, err
		}
	}
	if u.State != before.State && p.UserID() == user {
		return User{}, fault.Forbiddenf("Nobody deactivates themselves.")
	}
	if u.State != Active && u.State != Disabled {
		return User{}, fault.Invalidf("state", "must be active or disabled")
	}
	if u.Kind != Person && u.Kind != Application {
		return User{}, fault.Invalidf("type", "must be person or application")
	}
	if err := checkKind(p, before, &u); err != nil {
		return User{}, err
	}
	if err := checkBreakGlass(p, before, u); err != nil {
		return User{}, err
	}
	if u.Email != before.Email && p.Kind != principal.User && !p.IsSystem() {
		return User{}, fault.Forbiddenf("A machine credential changes nobody's e-mail address: who reads mail there " +
			"can choose another password.")
	}
	row := userdb.UpdateParams{Kind: string(u.Kind), Role: u.Role, State: string(u.State), MfaExempt: u.MFAExempt,
		BreakGlass:     u.BreakGlass,
		OrganizationID: p.Organization, ID: user}
	row.Email, row.EmailKey = before.Email, CanonicalName(before.Email)
	if u.Email != before.Email { // else it was right by the rules of its time
		if row.Email, row.EmailKey, err = checkEmail(u.Email); err != nil {
			return User{}, err
		}
		if row.EmailKey != CanonicalName(before.Email) { // else it is the same in another spelling
			u.EmailVerified = vouches(p, org)
		}
	}
	row.EmailVerified = u.EmailVerified
	if u.Username == before.Username && CanonicalName(before.Username) == CanonicalName(before.Email) {
		u.Username = row.Email // a user name that was the address follows it
	}
	if row.Username, row.UsernameKey, err = checkUsername(u.Username, row.Email); err != nil {
		return User{}, err
	}
	if row.Name, err = checkText("name", u.Name, 0, 200); err != nil {
		return User{}, err
	}
	u.Email, u.Username, u.Name, u.UpdatedAt = row.Email, row.Username, row.Name, sqldb.Version(s.now(),
		before.UpdatedAt)
	row.Now, row.Was = sqldb.MillisOf(u.UpdatedAt), sqldb.MillisOf(before.UpdatedAt)
	var permits []mail.Permit // of notices to both addresses
	if u.Email != before.Email {
		// the former address hears of it too: who takes an account over changes the address first
		for _, to := range []string{before.Email, u.Email} {
			permit, err := s.permitMail(ctx, p, mail.EmailChanged, to)
			if err != nil {
				return User{}, err
			}
			permits = append(permits, permit)
		}
	}
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := userdb.New(tx).Update(ctx, row)
		switch {
		case sqldb.IsUnique(err):
			return errTaken()
		case err != nil:
			return fmt.Errorf("user: update: %w", err)
		case n == 0:
			return sqldb.ErrStale
		}
		if u.Role != before.Role || u.Email != before.Email {
			// whoever holds a link made for the former role, or mailed to the former address, gets nothing of the new
			// one
			if err := s.withdrawLinks(ctx, tx, before); err != nil {
				return err
			}
		}
		if u.State == Disabled && before.State != Disabled {
			if _, err := s.sessions.EndAll(ctx, tx, p.Organization, user, "", "user_disabled"); err != nil {
				return err
			}
		}
		if before.Kind == Application && (u.Kind != Application || u.State == Disabled) {
			if err := s.credentials.EndApplicationTokens(ctx, tx, p, p.Organization, user,
				actOf(before, u)); err != nil {
				return err
			}
		}
		if u.Role != before.Role {
			if err := s.checkPromotion(ctx, tx, p, before, u); err != nil {
				return err
			}
		}
		if err := search.Change(ctx, tx, before.entry(), u.entry()); err != nil {
			return err
		}
		for _, permit := range permits {
			m := s.notice(mail.EmailChanged, org, u, map[string]string{"from": before.Email, "to": u.Email})
			m.To, m.Permit = permit.To(), permit
			if err := s.mails.Queue(ctx, tx, p.Organization, m); err != nil {
				return err
			}
		}
		return s.changed(ctx, tx, p, u, actOf(before, u), changes(before, u))
	})
	return u, err
}

// checkPromotion tells whether p may give a role to a user who is in a team. Whoever puts the user into one at the same
// time waits for this, or was first.
func (s *Service) checkPromotion(ctx context.Context, tx *sqldb.Tx, p principal.Principal, before, u User) error {
	former, err := s.roles.PermissionsOf(ctx, p.Organization, before.Role)
	if err != nil {
		return err
	}
	next, err := s.roles.PermissionsOf(ctx, p.Organization, u.Role)
	if err != nil || former.Covers(next) {
		return err
	}
	teams, err := userdb.New(tx).TeamsOf(ctx, p.Organization, u.ID)
	if err != nil {
		return fmt.Errorf("team: of user: %w", err)
	}
	if len(teams) == 0 {
		return nil
	}
	return s.roles.CheckMembership(ctx, p, u.Role)
}

// checkKind judges a change of what a user is, which decides whether it may have tokens without an expiry and be
// exempted from the second factor (A27): a person decides it, about others, and an exemption is for an application that
// was one before, one by one.
func checkKind(p principal.Principal, before User, after *User) error {
	if after.Kind != Application && after.MFAExempt == before.MFAExempt {
		after.MFAExempt = false // who stops being one loses it
	}
	grants := after.MFAExempt && !before.MFAExempt
	switch {
	case after.Kind == before.Kind && !grants:
		return nil
	case p.UserID() == before.ID:
		return fault.Forbiddenf("Nobody changes their own type or exempts themselves from the second factor.")
	case p.Kind != principal.User && !p.IsSystem():
		return fault.Forbiddenf("A machine credential changes nobody's type and exempts nobody from the second factor.")
	case grants && before.HasSecondFactor():
		return fault.Conflictf("This user has a second factor. Reset it first, if a password shall be enough.")
	case grants && before.Kind != Application:
		return fault.Invalidf("mfaExempt", "is for users of the type application only")
	}
	return nil
}

// checkBreakGlass judges who may name an account for emergencies: a person, about somebody else, who has a second
// factor.
func checkBreakGlass(p principal.Principal, before, after User) error {
	switch {
	case after.BreakGlass == before.BreakGlass:
		return nil
	case p.Kind != principal.User && !p.IsSystem():
		return fault.Forbiddenf("A machine credential names no account for emergencies.")
	case after.BreakGlass && p.UserID() == before.ID:
		return fault.Forbiddenf("Nobody names their own account for emergencies.")
	case after.BreakGlass && !before.HasSecondFactor():
		return fault.Conflictf("An account for emergencies needs a second factor. Its holder enrols one first.")
	}
	return nil
}

func actOf(before, after User) string {
	switch {
	case before.State == after.State:
		return "user.updated"
	case after.State == Disabled:
		return "user.disabled"
	}
	return "user.enabled"
}

func changes(before, after User) map[string]string {
	out := make(map[string]string)
	for _, c := range []struct{ name, from, to string }{
		{"email", before.Email, after.Email}, {"username", before.Username, after.Username},
		{"name", before.Name, after.Name},
		{"role", before.Role, after.Role}, {"type", string(before.Kind), string(after.Kind)},
		{"breakGlass", strconv.FormatBool(before.BreakGlass), strconv.FormatBool(after.BreakGlass)},
		{"mfaExempt", strconv.FormatBool(before.MFAExempt), strconv.FormatBool(after.MFAExempt)},
	} {
		if c.from != c.to {
			out[c.name] = c.from + " -> " + c.to
		}
	}
	return out
}
