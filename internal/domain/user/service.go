package user

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
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
