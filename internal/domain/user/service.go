package user

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Sessions ends sessions in the transaction that takes their ground away.
type Sessions interface {
	EndAll(ctx context.Context, tx *sqldb.Tx, org id.Organization, user id.User, keep id.Session, reason string) (int,
		error)
}

// Credentials ends application tokens in the transaction that takes their ground away, and tells whether a credential
// still works.
type Credentials interface {
	EndApplicationTokens(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization, user id.User,
		reason string) error
	Works(ctx context.Context, org id.Organization, c id.Credential) (bool, error)
}

// OneTime issues and consumes the secrets of links.
type OneTime interface {
	Issue(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject, payload string, now,
		expires time.Time) (secret.Secret, error)
	Add(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject, payload string, now,
		expires time.Time) (secret.Secret, error)
	Look(ctx context.Context, purpose string, value secret.Secret, now time.Time) (onetime.Found, error)
	Consume(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose string, value secret.Secret,
		now time.Time) (string, error)
	Withdraw(ctx context.Context, tx *sqldb.Tx, org id.Organization, purpose, subject string) error
}

// Hasher hashes within the server's limits; client is who waits for it.
type Hasher interface {
	Hash(ctx context.Context, client, plain string) (string, error)
	Verify(ctx context.Context, client, plain, encoded string) (ok, outdated bool, err error)
}

// The purposes of links.
const (
	purposeInvitation  = "invitation"
	purposeSetPassword = "set_password"
	purposeReset       = "reset_password"
)

// LinkLifetime is how long an invitation or a set-password link works; ResetLifetime how long one does that anybody can
// ask for.
const (
	LinkLifetime  = 7 * 24 * time.Hour
	ResetLifetime = 30 * time.Minute
)

// Service owns users, teams and invitations.
type Service struct {
	db            *sqldb.DB
	now           func() time.Time
	organizations *organization.Service
	roles         *role.Service
	sessions      Sessions
	credentials   Credentials
	onetime       OneTime
	hasher        Hasher
	mails         *mail.Outbox
	facts         *cache.Cache[User]
}

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Caches        *cache.Group
	Organizations *organization.Service
	Roles         *role.Service
	OneTime       OneTime
	Hasher        Hasher
	Mails         *mail.Outbox
}

// New makes the service. Who ends sessions and credentials is named later (Use…), since both build on users.
func New(d Deps) *Service {
	return &Service{db: d.DB, now: d.Now, organizations: d.Organizations, roles: d.Roles, onetime: d.OneTime,
		hasher: d.Hasher, mails: d.Mails, facts: cache.NewShared(d.Caches, "user", 200_000, cache.Plain[User]())}
}

// UseSessions names who ends sessions.
func (s *Service) UseSessions(sessions Sessions) { s.sessions = sessions }

// UseCredentials names who ends application tokens.
func (s *Service) UseCredentials(c Credentials) { s.credentials = c }

// Facts gives a user from the cache.
func (s *Service) Facts(ctx context.Context, org id.Organization, user id.User) (User, error) {
	return s.facts.Get(ctx, invalidation.Key{Organization: org, ID: string(user)},
		func(ctx context.Context) (User, error) {
			u, err := one(userdb.New(s.db.Tenant(org)).Get(ctx, org, user))
			u.passwordHash = "" // not for the cache
			return u, err
		})
}

// ForSignIn finds the one account a sign-in name means: an e-mail address or, in a named organization, a user name,
// which has no @ unless it is the address. Whatever the outcome it asks the database exactly once. Found is false for
// none and for several.
func (s *Service) ForSignIn(ctx context.Context, org id.Organization, name string) (u User, found bool, err error) {
	key := CanonicalName(name)
	if org != "" {
		q := userdb.New(s.db.Tenant(org))
		if strings.Contains(key, "@") {
			u, err = one(q.GetByEmail(ctx, org, key))
		} else {
			u, err = one(q.GetByUsername(ctx, org, key))
		}
		if fault.Is(err, fault.NotFound) {
			return User{}, false, nil
		}
		return u, err == nil, err
	}
	rows, err := userdb.New(s.db.Platform("sign-in name without an organization")).PlatformByEmail(ctx, key)
	if err != nil {
		return User{}, false, fmt.Errorf("user: sign-in name: %w", err)
	}
	// an address that was never proven must not get in the way of its holder elsewhere
	if len(rows) == 0 || len(rows) > 1 && rows[0].EmailVerified == rows[1].EmailVerified {
		return User{}, false, nil
	}
	return fromRow(rows[0]), true, nil
}

// Present cuts a session's principal to what its user's role gives at this moment. A session may keep for a while what
// its role has lost; what is made with it and lasts must not.
func (s *Service) Present(ctx context.Context, p principal.Principal) (principal.Principal, error) {
	if p.Kind != principal.User {
		return p, nil
	}
	u, err := s.Facts(ctx, p.Home, id.User(p.ID))
	if err != nil {
		return p, err
	}
	now, err := s.roles.PermissionsOf(ctx, p.Home, u.Role)
	p.Permissions = p.Permissions.Within(now)
	return p, err
}

// HoldApplication holds a user who is an active application in the transaction of what depends on it; whoever changes
// that waits, or was first.
func (s *Service) HoldApplication(ctx context.Context, tx *sqldb.Tx, org id.Organization, user id.User) error {
	n, err := userdb.New(tx).HoldApplication(ctx, org, user)
	if err != nil {
		return fmt.Errorf("user: hold: %w", err)
	}
	if n == 0 {
		return fault.Conflictf("The user is not active, or no application, any more.")
	}
	return nil
}

// NewUser describes a user to create.
type NewUser struct {
	Email    string
	Username string // empty: the e-mail address
	Name     string
	Kind     Kind
	Role     string
	Teams    []id.Team

	// Set-up and demo only: a ready PHC string instead of a link, and what must happen in the same transaction.
	PasswordHash string
	Within       func(tx *sqldb.Tx) error

	verified bool // the address is known to be theirs
}

// Created is a new user with the link at which they choose their password, shown once.
type Created struct {
	User
	Link        secret.Secret
	LinkExpires time.Time
}

// Create adds a user. It needs users:create:all. Nobody chooses another's password: the answer holds a link that works
// once.
func (s *Service) Create(ctx context.Context, p principal.Principal, n NewUser) (Created, error) {
	p, err := s.Present(ctx, p)
	if err != nil {
		return Created{}, err
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return Created{}, err
	}
	if err := s.roles.CheckGrantable(ctx, p, n.Role, org.Platform); err != nil {
		return Created{}, err
	}
	for _, team := range n.Teams {
		if err := s.checkJoin(ctx, p, team, n.Role); err != nil {
			return Created{}, err
		}
	}
	var permit mail.Permit
	if n.PasswordHash == "" {
		var key string
		if n.Email, key, err = checkEmail(n.Email); err != nil {
			return Created{}, err
		}
		// before the mail is counted; who adds one at the same time is found out when it is written
		if taken, err := s.hasAddress(ctx, p.Organization, key); err != nil {
			return Created{}, err
		} else if taken {
			return Created{}, errTaken()
		}
		if permit, err = s.permitMail(ctx, p, mail.ChoosePassword, n.Email); err != nil {
			return Created{}, err
		}
	}
	n.verified = vouches(p, org)
	var c Created
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		u, err := s.insert(ctx, tx, p, n)
		if err != nil {
			return err
		}
		c.User = u
		if n.Within != nil {
			if err := n.Within(tx); err != nil {
				return err
			}
		}
		if n.PasswordHash == "" {
			c.LinkExpires = s.now().Add(LinkLifetime)
			l, err := s.issueLinks(ctx, tx, p, org, purposeSetPassword, string(u.ID), origin{}.of(u),
				c.LinkExpires)
			if err != nil {
				return err
			}
			c.Link = l.handed
			return s.mails.Queue(ctx, tx, p.Organization,
				s.linkMail(mail.ChoosePassword, org, u, "set-password", l.mailed, LinkLifetime, permit))
		}
		return nil
	})
	return c, err
}

// hasAddress tells whether a user of the organization has an address.
func (s *Service) hasAddress(ctx context.Context, org id.Organization, key string) (bool, error) {
	_, err := userdb.New(s.db.Tenant(org)).GetByEmail(ctx, org, key)
	if errors.Is(err, sqldb.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("address of user: %w", err)
	}
	return true, nil
}

func errTaken() error {
	return fault.Conflictf("The e-mail address or the user name is taken in this organization.")
}

// insert validates and writes a user with its teams, announces it and records it.
func (s *Service) insert(ctx context.Context, tx *sqldb.Tx, p principal.Principal, n NewUser) (User, error) {
	email, emailKey, err := checkEmail(n.Email)
	if err != nil {
		return User{}, err
	}
	if n.Username == "" {
		n.Username = email
	}
	username, usernameKey, err := checkUsername(n.Username, email)
	if err != nil {
		return User{}, err
	}
	if n.Kind == "" {
		n.Kind = Person
	}
	if n.Kind != Person && n.Kind != Application {
		return User{}, fault.Invalidf("type", "must be person or application")
	}
	name, err := checkText("name", n.Name, 0, 200)
	if err != nil {
		return User{}, err
	}
	now := s.now()
	row := userdb.InsertParams{OrganizationID: p.Organization, ID: id.New[id.User](), Email: email, EmailKey: emailKey,
		Username: username, UsernameKey: usernameKey,
		Name: name, Kind: string(n.Kind), Role: n.Role, PasswordHash: n.PasswordHash,
		PasswordChangedAt: sqldb.MillisOf(now), CreatedAt: sqldb.MillisOf(now), EmailVerified: n.verified}
	q := userdb.New(tx)
	if err := q.Insert(ctx, row); sqldb.IsUnique(err) {
		return User{}, errTaken()
	} else if err != nil {
		return User{}, fmt.Errorf("user: insert: %w", err)
	}
	for i, team := range n.Teams {
		if _, err := q.AddMember(ctx, p.Organization, team, row.ID); sqldb.IsForeignKey(err) {
			return User{}, fault.Invalidf(fmt.Sprintf("teams[%d]", i), "there is no such team")
		} else if err != nil {
			return User{}, fmt.Errorf("user: teams: %w", err)
		}
	}
	u := User{ID: row.ID, Organization: p.Organization, Email: email, Username: username, Name: name, Kind: n.Kind,
		Role: n.Role, State: Active,
		HasPassword: n.PasswordHash != "", EmailVerified: n.verified,
		CreatedAt: row.CreatedAt.Time(), UpdatedAt: row.CreatedAt.Time()}
	return u, s.changed(ctx, tx, p, u, "user.created", map[string]string{"role": u.Role, "type": string(u.Kind)})
}

func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, u User, act string,
	details map[string]string) error {
	tx.Announce(s.facts.Message(invalidation.Key{Organization: u.Organization, ID: string(u.ID)}))
	return audit.RecordIn(ctx, tx, s.now(), u.Organization, p,
		audit.Entry{Act: act, TargetKind: "user", TargetID: string(u.ID), Details: details})
}

// Get finds a user of the principal's organization. It needs users:read:all.
func (s *Service) Get(ctx context.Context, p principal.Principal, user id.User) (User, error) {
	return one(userdb.New(s.db.Tenant(p.Organization)).Get(ctx, p.Organization, user))
}

// Filter narrows a listing; zero fields do not.
type Filter struct {
	State State
	Role  string
	Email string
	After id.User
	Limit int
}

// List pages through the users by id. It needs users:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, f Filter) ([]User, error) {
	rows, err := userdb.New(s.db.Tenant(p.Organization)).
		List(ctx, userdb.ListParams{OrganizationID: p.Organization, After: f.After, State: string(f.State),
			Role:     f.Role,
			EmailKey: CanonicalName(f.Email), RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, fmt.Errorf("user: list: %w", err)
	}
	return fromRows(rows), nil
}

func fromRows(rows []userdb.User) []User {
	out := make([]User, len(rows))
	for i, r := range rows {
		out[i] = fromRow(r)
	}
	return out
}

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
	if u.Email != before.Email && p.Kind != principal.User && !p.IsSystem() {
		return User{}, fault.Forbiddenf("A machine credential changes nobody's e-mail address: who reads mail there " +
			"can choose another password.")
	}
	row := userdb.UpdateParams{Kind: string(u.Kind), Role: u.Role, State: string(u.State), MfaExempt: u.MFAExempt,
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
		if u.Role != before.Role || u.Email != before.Email {
			// whoever holds a link made for the former role, or mailed to the former address, gets nothing of the new
			// one
			if err := s.withdrawLinks(ctx, tx, before); err != nil {
				return err
			}
		}
		n, err := userdb.New(tx).Update(ctx, row)
		switch {
		case sqldb.IsUnique(err):
			return errTaken()
		case err != nil:
			return fmt.Errorf("user: update: %w", err)
		case n == 0:
			return sqldb.ErrStale
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
		{"mfaExempt", strconv.FormatBool(before.MFAExempt), strconv.FormatBool(after.MFAExempt)},
	} {
		if c.from != c.to {
			out[c.name] = c.from + " -> " + c.to
		}
	}
	return out
}

// Operators counts the active super admins of the platform; set-up asks.
func (s *Service) Operators(ctx context.Context) (int64, error) {
	return userdb.New(s.db.Platform("is there an operator yet")).PlatformCountRole(ctx, permission.RoleSuperUser)
}

// policy is what a new password of a user must meet.
func (s *Service) policy(org organization.Organization, u User, words ...string) password.Policy {
	words = append(words, org.Slug, org.Name, "gatehouse")
	least := int(org.Settings.PasswordMinLength)
	if u.Kind == Application { // may be exempted from the second factor, and then its password is the only one
		least = max(least, password.MinAlone)
	}
	return password.Policy{MinLength: least, ContextWords: append(words, org.Settings.PasswordBlockedWords...)}
}

// CheckPassword judges a password for a user who is not made yet; the command line and set-up use it.
func (s *Service) CheckPassword(org organization.Organization, plain string, words ...string) error {
	if err := s.policy(org, User{}, words...).Check(plain); err != nil {
		return fault.Invalidf("password", "%v", err)
	}
	return nil
}
