package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// NewUser describes a user to create.
type NewUser struct {
	Email    string
	Username string // empty: the e-mail address
	Name     string
	Kind     Kind
	Role     string
	Teams    []id.Team

	// Set-up and demo only: a ready PHC string instead of a link.
	PasswordHash string

	ID     id.User                  // chosen by who must know it before; empty: a new one
	Proven bool                     // who they are, and that the address is theirs, was proven elsewhere: no link
	Within func(tx *sqldb.Tx) error // what must happen in the same transaction

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
	links := n.PasswordHash == "" && !n.Proven
	if links {
		var key string
		if n.Email, key, err = checkEmail(n.Email); err != nil {
			return Created{}, err
		}
		// before the mail is counted; who adds one at the same time is found out when it is written
		q := userdb.New(s.db.Tenant(p.Organization))
		if taken, err := hasAddress(ctx, q, p.Organization, key); err != nil {
			return Created{}, err
		} else if taken {
			return Created{}, errTaken()
		}
		if permit, err = s.permitMail(ctx, p, mail.ChoosePassword, n.Email); err != nil {
			return Created{}, err
		}
	}
	n.verified = n.Proven || vouches(p, org)
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
		if links {
			c.LinkExpires = s.now().Add(LinkLifetime)
			l, err := s.issueLinks(ctx, tx, p, org, purposeSetPassword, string(u.ID), c.LinkExpires)
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
func hasAddress(ctx context.Context, q *userdb.Queries, org id.Organization, key string) (bool, error) {
	_, err := q.GetByEmail(ctx, org, key)
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
	if n.ID == "" {
		n.ID = id.New[id.User]()
	}
	row := userdb.InsertParams{OrganizationID: p.Organization, ID: n.ID, Email: email, EmailKey: emailKey,
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
	if err := search.Add(ctx, tx, u.entry()); err != nil {
		return User{}, err
	}
	return u, s.changed(ctx, tx, p, u, "user.created", map[string]string{"role": u.Role, "type": string(u.Kind)})
}

func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, u User, act string,
	details map[string]string) error {
	tx.Announce(s.facts.Message(invalidation.Key{Organization: u.Organization, ID: string(u.ID)}))
	return audit.RecordIn(ctx, tx, s.now(), u.Organization, p,
		audit.Entry{Act: act, TargetKind: "user", TargetID: string(u.ID), Details: details})
}
