package user

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// origin is where a link comes from at which somebody chooses a password.
type origin struct {
	// Proves: whoever uses it shows that the address is theirs, or an operator gave their word for it.
	Proves bool `json:"proves,omitempty"`
	// Machine is the credential that asked for the link. It ends with it: else a key that was lent for an hour would
	// leave accounts behind.
	Machine id.Credential `json:"machine,omitempty"`
}

func (o origin) payload() string {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("user: link: %v", err)) // two plain fields
	}
	return string(raw)
}

// links are two secrets for one act; the first that is used ends the other.
type links struct {
	handed secret.Secret // to whoever asked for it
	mailed secret.Secret // to the address, and nobody else
}

// issueLinks makes the links of a subject; earlier ones stop working.
func (s *Service) issueLinks(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org organization.Organization,
	purpose, subject string, expires time.Time) (l links, err error) {
	from := origin{Proves: vouches(p, org)}
	if p.Kind != principal.User && !p.IsSystem() {
		from.Machine = id.Credential(p.ID)
	}
	l.handed, err = s.onetime.Issue(ctx, tx, org.ID, purpose, subject, from.payload(), s.now(), expires)
	if err != nil || !s.mails.Sends() {
		return l, err
	}
	from.Proves = true
	l.mailed, err = s.onetime.Add(ctx, tx, org.ID, purpose, subject, from.payload(), s.now(), expires)
	return l, err
}

// vouches tells whether p is an operator, who knows whose an address is. An administrator of a tenant does not: theirs
// could be anybody's.
func vouches(p principal.Principal, org organization.Organization) bool {
	return p.IsSystem() || p.Abroad() || org.Platform
}

// openLink finds what a live link is for.
func (s *Service) openLink(ctx context.Context, purpose string, token secret.Secret) (f onetime.Found, from origin,
	err error) {
	if f, err = s.onetime.Look(ctx, purpose, token, s.now()); err != nil {
		return f, from, err
	}
	if f.Payload != "" {
		if err := json.Unmarshal([]byte(f.Payload), &from); err != nil {
			return f, from, fmt.Errorf("user: link: %w", err)
		}
	}
	if from.Machine != "" {
		if works, err := s.credentials.Works(ctx, f.Organization, from.Machine); err != nil {
			return f, from, err
		} else if !works {
			return f, from, onetime.ErrUnknown()
		}
	}
	return f, from, nil
}

// Link is what a link stands for, told to whoever holds it before they use it.
type Link struct {
	Organization organization.Organization
	Email        string
	Name         string
	MinLength    int // of the password that is chosen there
}

// AtLink tells what a link stands for and uses nothing up. One that was used, is too old or never existed is refused as
// it would be where it is used.
func (s *Service) AtLink(ctx context.Context, page string, token secret.Secret) (Link, error) {
	if page == "accept-invitation" {
		org, inv, _, err := s.atInvitation(ctx, token)
		return Link{org, inv.Email, inv.Name, s.policy(org, User{Kind: Person}).MinLength}, err
	}
	purpose := purposeSetPassword
	if page == "reset-password" {
		purpose = purposeReset
	}
	org, u, _, err := s.atPasswordLink(ctx, purpose, token)
	return Link{org, u.Email, u.Name, s.policy(org, u).MinLength}, err
}

// atPasswordLink finds whose password is chosen at a link.
func (s *Service) atPasswordLink(ctx context.Context, purpose string,
	token secret.Secret) (org organization.Organization, u User, from origin, err error) {
	f, from, err := s.openLink(ctx, purpose, token)
	if err != nil {
		return org, u, from, err
	}
	if org, err = s.organizations.Facts(ctx, f.Organization); err != nil {
		return org, u, from, err
	}
	u, err = one(userdb.New(s.db.Tenant(org.ID)).Get(ctx, org.ID, id.User(f.Subject)))
	if err == nil && (org.State != organization.Active || u.State != Active) {
		err = fault.Forbiddenf("The account is not active.")
	}
	return org, u, from, err
}

// atInvitation finds the invitation of a link.
func (s *Service) atInvitation(ctx context.Context, token secret.Secret) (org organization.Organization, inv Invitation,
	from origin, err error) {
	f, from, err := s.openLink(ctx, purposeInvitation, token)
	if err != nil {
		return org, inv, from, err
	}
	if org, err = s.organizations.Facts(ctx, f.Organization); err != nil {
		return org, inv, from, err
	}
	if org.State != organization.Active {
		return org, inv, from, fault.Forbiddenf("The organization is not active.")
	}
	inv, err = s.oneInvitation(userdb.New(s.db.Tenant(org.ID)).GetInvitation(ctx, org.ID, id.Invitation(f.Subject)))
	return org, inv, from, err
}
