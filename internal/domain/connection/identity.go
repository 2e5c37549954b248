package connection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// MaxSubject is how long the name may be by which a provider tells somebody apart (OpenID Connect Core §2).
const MaxSubject = 255

// Person is who a provider says has signed in, when everything about its answer was checked.
type Person struct {
	Subject       string
	Email         string
	EmailVerified bool // the provider is trusted to say so, and does
	Name          string
	Groups        []string
	GroupsKnown   bool // else they could not be read: the last known ones hold
}

// Identity is who somebody is at a provider.
type Identity struct {
	Connection id.Connection
	Subject    string
	User       id.User
	Groups     []string // as last told
	GroupsAt   time.Time
	CreatedAt  time.Time
	LastUsedAt time.Time
}

func identityOf(r connectiondb.Identity, err error) (Identity, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Identity{}, fault.NotFoundf("There is no such identity.")
	}
	if err != nil {
		return Identity{}, fmt.Errorf("identity: load: %w", err)
	}
	i := Identity{Connection: r.ConnectionID, Subject: r.Subject, User: r.UserID, GroupsAt: r.GroupsAt.Time(),
		CreatedAt: r.CreatedAt.Time(), LastUsedAt: r.LastUsedAt.Time()}
	if err := json.Unmarshal([]byte(r.GroupNames), &i.Groups); err != nil {
		return Identity{}, fmt.Errorf("identity %s of %s: %w", r.UserID, r.ConnectionID, err)
	}
	return i, nil
}

// The refusals of a sign-in that was proven at the provider. None tells whether there is an account.
func errNotLinked() error {
	return fault.Forbiddenf("Your company's sign-in worked, but it is not linked to an account here. Ask your " +
		"administrator.")
}

// Outcome is what a sign-in at a provider comes to.
type Outcome struct {
	User     user.User
	Decision Decision
	// How the account was found: "linked", "linked_by_holder", "claimed", "created".
	How string
}

// acting is who makes the changes that a sign-in at a provider brings: it may do no more than the connection's
// ceiling.
func (s *Service) acting(ctx context.Context, c Connection, source principal.Source) (principal.Principal, error) {
	held, err := s.Roles.PermissionsOf(ctx, c.Organization, c.Ceiling)
	p := principal.NewSystem("connection "+string(c.ID), c.Organization)
	p.Permissions, p.Source = held, source
	return p, err
}

// Attempt is a sign-in that a provider answered.
type Attempt struct {
	Connection Connection
	Person     Person
	Holder     id.User // whoever proved here that they are this user; empty: nobody
	Source     principal.Source
	DryRun     bool // tell what would happen, and change nothing
	// Within does something with the outcome in the transaction that writes it down; nil: nothing. Not in a dry run.
	Within func(tx *sqldb.Tx, o Outcome) error
}

// within does what belongs to an admission.
func (a Attempt) within(tx *sqldb.Tx, o Outcome) error {
	if a.Within == nil {
		return nil
	}
	return a.Within(tx, o)
}

// Admit finds or makes the account of somebody who signed in at a provider, and gives it the role that the groups say.
// An identity is (connection, subject) and nothing else. An account that exists and is not linked is claimed only by
// who proves to hold it, or where the organization's own verified domain and an address agree that the provider
// verified; and nobody comes in through a connection who may do more than its ceiling.
//
// Forbidden: there is no account for them, or it is not to be opened this way.
func (s *Service) Admit(ctx context.Context, a Attempt) (Outcome, error) {
	c := a.Connection
	if a.Person.Subject == "" || len(a.Person.Subject) > MaxSubject {
		return Outcome{}, fmt.Errorf("a subject of %d bytes", len(a.Person.Subject))
	}
	p, err := s.acting(ctx, c, a.Source)
	if err != nil {
		return Outcome{}, err
	}
	known, err := identityOf(connectiondb.New(s.DB.Tenant(c.Organization)).
		GetIdentity(ctx, c.Organization, c.ID, a.Person.Subject))
	linked := err == nil
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Outcome{}, err
	}
	if linked && a.Holder != "" && known.User != a.Holder {
		return Outcome{}, fault.Conflictf("This identity is linked to another account.")
	}
	groups := a.Person.Groups
	if !a.Person.GroupsKnown {
		if known.GroupsAt.IsZero() && len(c.Roles.Rules) > 0 {
			return Outcome{}, fault.Unavailablef(time.Minute, "Your company's groups cannot be read at the moment. "+
				"Try again shortly.")
		}
		groups = known.Groups // never "none"
	}
	d, err := c.Roles.Decide(groups)
	if err != nil {
		return Outcome{Decision: d}, err
	}
	o := Outcome{Decision: d}
	switch {
	case linked:
		o.How = "linked"
		o.User, err = s.Users.Read(ctx, c.Organization, known.User)
	case a.Holder != "":
		o.How = "linked_by_holder"
		o.User, err = s.Users.Read(ctx, c.Organization, a.Holder)
	default:
		o, err = s.claim(ctx, p, a, d)
	}
	if err != nil {
		return o, err
	}
	if o.How != "created" {
		if o.User, err = s.admitKnown(ctx, p, a, o, groups); err != nil {
			return o, err
		}
	}
	return o, nil
}

// admitKnown judges an account that exists and gives it its role.
func (s *Service) admitKnown(ctx context.Context, p principal.Principal, a Attempt, o Outcome,
	groups []string) (user.User, error) {
	c, u := a.Connection, o.User
	if u.State != user.Active || u.Kind != user.Person {
		return u, fault.Forbiddenf("This account is not active. Ask your administrator.")
	}
	within, err := s.within(ctx, c, u.Role)
	if err != nil {
		return u, err
	}
	if !within {
		return u, fault.Forbiddenf("This account may do more than whoever set up this company sign-in. It cannot be " +
			"opened with it.")
	}
	if a.DryRun {
		return u, nil
	}
	if o.Decision.Role != "" && o.Decision.Role != u.Role {
		if o.Decision.Role == permission.RoleSuperUser {
			return u, ErrNoRole()
		}
		u, err = s.Users.Update(ctx, p, u.ID, func(u *user.User) { u.Role = o.Decision.Role })
		if f := fault.Of(err); err != nil && (f.Kind == fault.Invalid || f.Kind == fault.Forbidden) {
			return u, fault.Forbiddenf("The role that your company's groups give you cannot be given. Ask your " +
				"administrator.")
		}
		if err != nil {
			return u, err
		}
		if u, err = s.Users.Read(ctx, c.Organization, u.ID); err != nil { // with what only sign-ins need
			return u, err
		}
	}
	o.User = u
	return u, s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		var err error
		switch o.How {
		case "linked":
			err = s.use(ctx, tx, a, u.ID, groups)
		case "claimed":
			if err = s.Users.Prove(ctx, tx, c.Organization, u.ID); err == nil {
				err = s.link(ctx, tx, p, a, u, o.How, groups)
			}
		default:
			err = s.link(ctx, tx, p, a, u, o.How, groups)
		}
		if err != nil {
			return err
		}
		return a.within(tx, o)
	})
}

func (s *Service) use(ctx context.Context, tx *sqldb.Tx, a Attempt, u id.User, groups []string) error {
	now := s.Now()
	at := now
	if !a.Person.GroupsKnown {
		known, err := connectiondb.New(tx).
			GetIdentity(ctx, a.Connection.Organization, a.Connection.ID, a.Person.Subject)
		if err != nil {
			return fmt.Errorf("identity: use: %w", err)
		}
		at = known.GroupsAt.Time()
	}
	n, err := connectiondb.New(tx).UseIdentity(ctx, connectiondb.UseIdentityParams{Now: sqldb.MillisOf(now),
		GroupNames: encodeGroups(groups), GroupsAt: sqldb.MillisOf(at), OrganizationID: a.Connection.Organization,
		ConnectionID: a.Connection.ID, Subject: a.Person.Subject, UserID: u})
	if err != nil {
		return fmt.Errorf("identity: use: %w", err)
	}
	if n == 0 { // unlinked meanwhile
		return errNotLinked()
	}
	return nil
}

// link writes who somebody is. One user has one identity at a connection.
func (s *Service) link(ctx context.Context, tx *sqldb.Tx, p principal.Principal, a Attempt, u user.User, how string,
	groups []string) error {
	now := s.Now()
	row := connectiondb.InsertIdentityParams{OrganizationID: a.Connection.Organization, ConnectionID: a.Connection.ID,
		Subject: a.Person.Subject, UserID: u.ID, GroupNames: encodeGroups(groups), CreatedAt: sqldb.MillisOf(now)}
	if a.Person.GroupsKnown {
		row.GroupsAt = sqldb.MillisOf(now)
	}
	err := connectiondb.New(tx).InsertIdentity(ctx, row)
	if sqldb.IsUnique(err) || sqldb.IsForeignKey(err) {
		return fault.Conflictf("The account is linked to another identity of this connection already.")
	}
	if err != nil {
		return fmt.Errorf("identity: link: %w", err)
	}
	return audit.RecordIn(ctx, tx, now, a.Connection.Organization, p, audit.Entry{Act: "identity.linked",
		TargetKind: "user", TargetID: string(u.ID), Details: map[string]string{
			"connection": string(a.Connection.ID), "subject": a.Person.Subject, "how": how}})
}

// claim finds the account that a verified address in a verified domain means, or makes one where that is wanted.
func (s *Service) claim(ctx context.Context, p principal.Principal, a Attempt, d Decision) (Outcome, error) {
	c := a.Connection
	out := Outcome{Decision: d}
	address, err := user.CheckAddress(a.Person.Email)
	if a.Person.Email == "" || err != nil || !a.Person.EmailVerified {
		return out, errNotLinked()
	}
	_, domain, _ := strings.Cut(address, "@")
	holds, err := s.HoldsDomain(ctx, c.Organization, domain)
	if err != nil {
		return out, err
	}
	if !holds {
		return out, errNotLinked()
	}
	u, found, err := s.Users.ForSignIn(ctx, c.Organization, address)
	if err != nil {
		return out, err
	}
	if found {
		if u.HasPassword && !u.EmailVerified { // whoever chose it may be waiting for the address's holder
			return out, fault.Forbiddenf("This account has a password, and its address was never proven. Sign in " +
				"with the password and link this company sign-in, or ask your administrator.")
		}
		out.How, out.User = "claimed", u
		return out, nil
	}
	if !c.Provisioning.Enabled {
		return out, errNotLinked()
	}
	out.How = "created"
	role := c.Provisioning.Role
	if d.Role != "" {
		role = d.Role
	}
	if role == permission.RoleSuperUser {
		return out, ErrNoRole()
	}
	if a.DryRun {
		out.User = user.User{Organization: c.Organization, Email: address, Name: a.Person.Name, Role: role}
		return out, nil
	}
	org, err := s.Organizations.Facts(ctx, c.Organization)
	if err != nil {
		return out, err
	}
	if org.State != organization.Active {
		return out, errNotLinked()
	}
	userID := id.New[id.User]()
	made, err := s.Users.Create(
		ctx,
		p,
		user.NewUser{ID: userID, Email: address, Name: bounded(a.Person.Name), Role: role,
			Proven: true, Within: func(tx *sqldb.Tx) error {
				out.User = user.User{ID: userID, Organization: c.Organization}
				if err := s.link(ctx, tx, p, a, out.User, out.How, a.Person.Groups); err != nil {
					return err
				}
				return a.within(tx, out)
			}},
	)
	if f := fault.Of(err); err != nil && (f.Kind == fault.Invalid || f.Kind == fault.Forbidden) {
		return out, fault.Forbiddenf("An account cannot be made for you. Ask your administrator.")
	}
	out.User = made.User
	return out, err
}

// bounded cuts a name to what a user may have.
func bounded(name string) string {
	name = strings.Map(func(r rune) rune {
		if !isText(string(r)) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if runes := []rune(name); len(runes) > 200 {
		return string(runes[:200])
	}
	return name
}

func encodeGroups(groups []string) string {
	if groups == nil {
		groups = []string{}
	}
	return encode(groups)
}

// WhoIs gives the user that a subject is at a connection; NotFound: nobody.
func (s *Service) WhoIs(ctx context.Context, org id.Organization, c id.Connection, subject string) (id.User, error) {
	i, err := identityOf(connectiondb.New(s.DB.Tenant(org)).GetIdentity(ctx, org, c, subject))
	return i.User, err
}

// OfUser lists who a user is at the organization's connections. It needs users:read:all.
func (s *Service) OfUser(ctx context.Context, org id.Organization, u id.User) ([]Identity, error) {
	rows, err := connectiondb.New(s.DB.Tenant(org)).IdentitiesOfUser(ctx, org, u)
	if err != nil {
		return nil, fmt.Errorf("identity: of user: %w", err)
	}
	out := make([]Identity, len(rows))
	for i, r := range rows {
		if out[i], err = identityOf(r, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Unlink takes the identity of a user at a connection away, and ends what it let in. It needs sso:update:all and no
// fewer rights than theirs.
func (s *Service) Unlink(ctx context.Context, p principal.Principal, c id.Connection, u id.User,
	end func(tx *sqldb.Tx) error) error {
	of, err := s.Users.Changeable(ctx, p, u)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := connectiondb.New(tx).DeleteIdentity(ctx, p.Organization, c, u)
		if err != nil {
			return fmt.Errorf("identity: unlink: %w", err)
		}
		if n == 0 {
			return fault.NotFoundf("The user has no identity at this connection.")
		}
		if err := end(tx); err != nil {
			return err
		}
		return s.Users.Record(ctx, tx, p, of, "identity.unlinked", map[string]string{"connection": string(c)})
	})
}
