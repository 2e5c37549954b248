package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// InvitationState is where an invitation stands; a pending one past its time is expired.
type InvitationState string

// The states.
const (
	Pending  InvitationState = "pending"
	Accepted InvitationState = "accepted"
	Revoked  InvitationState = "revoked"
	Expired  InvitationState = "expired"
)

// Invitation asks someone into an organization, bound to an address, a role and teams.
type Invitation struct {
	ID        id.Invitation
	Email     string
	Name      string
	Role      string
	Teams     []id.Team
	State     InvitationState
	InvitedBy string
	User      id.User // once accepted
	CreatedAt time.Time
	ExpiresAt time.Time
}

func invitationFromRow(r userdb.Invitation, now time.Time) (Invitation, error) {
	i := Invitation{ID: r.ID, Email: r.Email, Name: r.Name, Role: r.Role, State: InvitationState(r.State),
		InvitedBy: r.InvitedBy, User: r.UserID,
		CreatedAt: r.CreatedAt.Time(), ExpiresAt: r.ExpiresAt.Time()}
	if i.State == Pending && !now.Before(i.ExpiresAt) {
		i.State = Expired
	}
	if err := json.Unmarshal([]byte(r.TeamIds), &i.Teams); err != nil {
		return Invitation{}, fmt.Errorf("invitation %s: teams: %w", r.ID, err)
	}
	return i, nil
}

func (s *Service) oneInvitation(r userdb.Invitation, err error) (Invitation, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Invitation{}, fault.NotFoundf("There is no such invitation.")
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: load: %w", err)
	}
	return invitationFromRow(r, s.now())
}

func (s *Service) recordInvitation(ctx context.Context, tx *sqldb.Tx, p principal.Principal, i id.Invitation,
	act string, details map[string]string) error {
	return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: act, TargetKind: "invitation", TargetID: string(i),
		Details: details})
}

// Invite makes an invitation and the secret of its link, shown once. It needs invitations:create:all and every right
// the role gives.
func (s *Service) Invite(ctx context.Context, p principal.Principal, n NewUser) (Invitation, secret.Secret, error) {
	p, err := s.Present(ctx, p)
	if err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	email, key, err := checkEmail(n.Email)
	if err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	name, err := checkText("name", n.Name, 0, 200)
	if err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	if err := s.roles.CheckGrantable(ctx, p, n.Role, org.Platform); err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	if n.Teams == nil {
		n.Teams = []id.Team{}
	}
	for i, team := range n.Teams {
		if _, err := s.GetTeam(ctx, p, team); fault.Is(err, fault.NotFound) {
			return Invitation{}, secret.Secret{}, fault.Invalidf(fmt.Sprintf("teams[%d]", i), "there is no such team")
		} else if err != nil {
			return Invitation{}, secret.Secret{}, err
		}
		if err := s.checkJoin(ctx, p, team, n.Role); err != nil {
			return Invitation{}, secret.Secret{}, err
		}
	}
	teams, err := json.Marshal(n.Teams)
	if err != nil {
		return Invitation{}, secret.Secret{}, fmt.Errorf("invitation: teams: %w", err)
	}
	free := func(q *userdb.Queries) error {
		if has, err := hasAddress(ctx, q, p.Organization, key); err != nil || !has {
			return err
		}
		return fault.Conflictf("There is a user with this e-mail address already.")
	}
	if err := free(userdb.New(s.db.Tenant(p.Organization))); err != nil { // before the mail is counted
		return Invitation{}, secret.Secret{}, err
	}
	permit, err := s.permitMail(ctx, p, mail.Invitation, email)
	if err != nil {
		return Invitation{}, secret.Secret{}, err
	}
	now := s.now()
	inv := Invitation{ID: id.New[id.Invitation](), Email: email, Name: name, Role: n.Role, Teams: n.Teams,
		State: Pending, InvitedBy: p.ID, CreatedAt: now, ExpiresAt: now.Add(LinkLifetime)}
	var link secret.Secret
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := userdb.New(tx)
		if err := organization.Hold(ctx, tx, p.Organization); err != nil { // of two at once the later stays
			return err
		}
		if err := free(q); err != nil {
			return err
		}
		if err := s.replacePending(ctx, tx, p, inv); err != nil {
			return err
		}
		err := q.InsertInvitation(ctx, userdb.InsertInvitationParams{OrganizationID: p.Organization, ID: inv.ID,
			Email: email, EmailKey: key, Name: name, Role: n.Role,
			TeamIds: string(teams), InvitedBy: p.ID, CreatedAt: sqldb.MillisOf(now),
			ExpiresAt: sqldb.MillisOf(inv.ExpiresAt)})
		if err != nil {
			return fmt.Errorf("invitation: insert: %w", err)
		}
		l, err := s.issueLinks(ctx, tx, p, org, purposeInvitation, string(inv.ID), inv.ExpiresAt)
		if err != nil {
			return err
		}
		link = l.handed
		m := mail.Message{Kind: mail.Invitation, Subject: string(inv.ID), To: email, Name: name, Organization: org.Name,
			Permit: permit, Page: "accept-invitation", Token: l.mailed, Lifetime: LinkLifetime}
		if err := s.mails.Queue(ctx, tx, p.Organization, m); err != nil {
			return err
		}
		return s.recordInvitation(ctx, tx, p, inv.ID, "invitation.created",
			map[string]string{"email": email, "role": n.Role})
	})
	return inv, link, err
}

// GetInvitation finds one. It needs invitations:read:all.
func (s *Service) GetInvitation(ctx context.Context, p principal.Principal, i id.Invitation) (Invitation, error) {
	return s.oneInvitation(userdb.New(s.db.Tenant(p.Organization)).GetInvitation(ctx, p.Organization, i))
}

// ListInvitations pages by id. It needs invitations:read:all.
func (s *Service) ListInvitations(ctx context.Context, p principal.Principal, state InvitationState,
	after id.Invitation, limit int) ([]Invitation, error) {
	rows, err := userdb.New(s.db.Tenant(p.Organization)).
		ListInvitations(ctx, p.Organization, after, string(state), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("invitation: list: %w", err)
	}
	out := make([]Invitation, len(rows))
	for i, r := range rows {
		if out[i], err = invitationFromRow(r, s.now()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// holdPending reads a pending invitation and holds it until the transaction ends.
func (s *Service) holdPending(ctx context.Context, tx *sqldb.Tx, org id.Organization, i id.Invitation) (Invitation,
	error) {
	q := userdb.New(tx)
	n, err := q.HoldInvitation(ctx, org, i)
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: hold: %w", err)
	}
	inv, err := s.oneInvitation(q.GetInvitation(ctx, org, i))
	if err == nil && n == 0 {
		err = fault.Conflictf("The invitation was accepted or revoked.")
	}
	return inv, err
}

// UpdateInvitation changes name or role of a pending invitation; nil leaves them. It needs invitations:update:all and
// every right the present role gives. The role can only be lowered: whoever holds the link would be raised with it.
func (s *Service) UpdateInvitation(ctx context.Context, p principal.Principal, i id.Invitation, name,
	role *string) (inv Invitation, err error) {
	err = sqldb.Retry(func() error {
		inv, err = s.updateInvitation(ctx, p, i, name, role)
		return err
	})
	return inv, err
}

func (s *Service) updateInvitation(ctx context.Context, p principal.Principal, i id.Invitation, name,
	role *string) (Invitation, error) {
	p, err := s.Present(ctx, p)
	if err != nil {
		return Invitation{}, err
	}
	before, err := s.GetInvitation(ctx, p, i)
	if err != nil {
		return Invitation{}, err
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return Invitation{}, err
	}
	if err := s.roles.CheckGrantable(ctx, p, before.Role, org.Platform); err != nil {
		return Invitation{}, err
	}
	if role != nil && *role != before.Role {
		if err := s.checkLower(ctx, p, before.Role, *role, org.Platform); err != nil {
			return Invitation{}, err
		}
	}
	var inv Invitation
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if err := organization.Hold(ctx, tx, p.Organization); err != nil { // as who invites
			return err
		}
		if inv, err = s.holdPending(ctx, tx, p.Organization, i); err != nil {
			return err
		}
		if inv.Role != before.Role {
			return sqldb.ErrStale
		}
		if role != nil {
			inv.Role = *role
			if err := s.replacePending(ctx, tx, p, inv); err != nil {
				return err
			}
		}
		if name != nil {
			if inv.Name, err = checkText("name", *name, 0, 200); err != nil {
				return err
			}
		}
		if _, err := userdb.New(tx).UpdateInvitation(ctx,
			userdb.UpdateInvitationParams{Role: inv.Role, Name: inv.Name, ExpiresAt: sqldb.MillisOf(inv.ExpiresAt),
				OrganizationID: p.Organization, ID: i}); err != nil {
			return fmt.Errorf("invitation: update: %w", err)
		}
		return s.recordInvitation(ctx, tx, p, i, "invitation.updated", map[string]string{"role": inv.Role})
	})
	return inv, err
}

// checkLower refuses a role that gives anything the present one does not.
func (s *Service) checkLower(ctx context.Context, p principal.Principal, present, next string, onPlatform bool) error {
	if err := s.roles.CheckGrantable(ctx, p, next, onPlatform); err != nil {
		return err
	}
	a, err := s.roles.Facts(ctx, p.Organization, present)
	if err != nil {
		return err
	}
	b, err := s.roles.Facts(ctx, p.Organization, next)
	if err != nil {
		return err
	}
	if !a.Permissions.Covers(b.Permissions) {
		return fault.Conflictf("The role of an invitation can only be lowered. Revoke it and make another.")
	}
	return nil
}

// replacePending revokes what waits for the same address and role as a later invitation: one link is enough.
func (s *Service) replacePending(ctx context.Context, tx *sqldb.Tx, p principal.Principal, later Invitation) error {
	earlier, err := userdb.New(tx).PendingInvitations(ctx, p.Organization, CanonicalName(later.Email), later.Role,
		later.ID)
	if err != nil {
		return fmt.Errorf("invitation: pending: %w", err)
	}
	for _, i := range earlier {
		if err := s.revoke(ctx, tx, p, i, map[string]string{"replacedBy": string(later.ID)}); err != nil {
			return err
		}
	}
	return nil
}

// RevokeInvitation makes a pending invitation's link worthless. It needs invitations:delete:all.
func (s *Service) RevokeInvitation(ctx context.Context, p principal.Principal, i id.Invitation) error {
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := userdb.New(tx)
		if _, err := s.oneInvitation(q.GetInvitation(ctx, p.Organization, i)); err != nil {
			return err
		}
		return s.revoke(ctx, tx, p, i, nil)
	})
}

func (s *Service) revoke(ctx context.Context, tx *sqldb.Tx, p principal.Principal, i id.Invitation,
	details map[string]string) error {
	n, err := userdb.New(tx).SetInvitationState(ctx, string(Revoked), "", p.Organization, i)
	if err != nil {
		return fmt.Errorf("invitation: revoke: %w", err)
	}
	if n == 0 {
		return nil // accepted or revoked already: its link is worthless as asked
	}
	if err := s.onetime.Withdraw(ctx, tx, p.Organization, purposeInvitation, string(i)); err != nil {
		return err
	}
	return s.recordInvitation(ctx, tx, p, i, "invitation.revoked", details)
}

// Accept makes the invited user with the password they chose. The link works once, on time, for the address, role and
// teams it names.
func (s *Service) Accept(ctx context.Context, source principal.Source, token secret.Secret, name, plain string) (User,
	error) {
	org, inv, from, err := s.atInvitation(ctx, token)
	if err != nil {
		return User{}, err
	}
	orgID := org.ID
	if name == "" {
		name = inv.Name
	}
	hash, err := s.hashNew(ctx, source.Address, "password", org,
		User{Email: inv.Email, Username: inv.Email, Name: name}, plain)
	if err != nil {
		return User{}, err
	}
	invitee := principal.Principal{Kind: principal.User, ID: string(inv.ID), Home: orgID, Organization: orgID,
		Source: source}
	var u User
	err = s.db.Tx(ctx, orgID, func(tx *sqldb.Tx) error {
		// as it stands now: it may have been changed while the password was hashed
		inv, err := s.holdPending(ctx, tx, orgID, inv.ID)
		if fault.Is(err, fault.Conflict) {
			return onetime.ErrUnknown()
		}
		if err != nil {
			return err
		}
		if _, err := s.onetime.Consume(ctx, tx, orgID, purposeInvitation, token, s.now()); err != nil {
			return err
		}
		if err := s.onetime.Withdraw(ctx, tx, orgID, purposeInvitation, string(inv.ID)); err != nil { // the other link
			return err
		}
		if u, err = s.insert(ctx, tx, invitee, NewUser{Email: inv.Email, Name: name, Kind: Person, Role: inv.Role,
			Teams: inv.Teams, PasswordHash: hash, verified: from.Proves}); err != nil {
			return err
		}
		n, err := userdb.New(tx).SetInvitationState(ctx, string(Accepted), u.ID, orgID, inv.ID)
		if err != nil {
			return fmt.Errorf("invitation: accept: %w", err)
		}
		if n == 0 {
			return fault.Conflictf("The invitation was revoked.")
		}
		return s.recordInvitation(ctx, tx, invitee, inv.ID, "invitation.accepted",
			map[string]string{"user": string(u.ID)})
	})
	return u, err
}

// invitationsKept is how long an invitation stays listed after it expired, whatever became of it.
const invitationsKept = 90 * 24 * time.Hour
