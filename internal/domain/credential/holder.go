package credential

import (
	"context"
	"fmt"
	"slices"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// Holder is what a credential amounts to at this moment.
type Holder struct {
	Permissions permission.Set
	User        user.User // whose it is; zero for an organization's own
}

// errOwnerGone says that a credential stopped with its owner.
func errOwnerGone() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The owner of the credential is not active.")
}

// Holder joins a credential with its owner: the stored permissions of an organization's own, and what a user holds now,
// at most, of a user's.
func (s *Service) Holder(ctx context.Context, c Credential) (Holder, error) {
	if c.Owner.Kind == OwnedByOrganization {
		return Holder{Permissions: c.Permissions}, nil
	}
	if c.Owner.Kind != OwnedByUser {
		return Holder{}, fmt.Errorf("credential %s: a %s has no holder", c.ID, c.Kind)
	}
	u, err := s.users.Facts(ctx, c.Organization, id.User(c.Owner.ID))
	if fault.Is(err, fault.NotFound) {
		return Holder{}, errOwnerGone()
	}
	if err != nil {
		return Holder{}, err
	}
	if u.State != user.Active || !table[c.Kind].ownedBy(u) {
		return Holder{}, errOwnerGone()
	}
	held, err := s.roles.PermissionsOf(ctx, c.Organization, u.Role)
	if err != nil {
		return Holder{}, err
	}
	switch {
	case table[c.Kind].Stored:
		held = c.Permissions.Within(held)
	default:
		held = c.narrow(held)
	}
	return Holder{held, u}, nil
}

// Works tells whether a credential would be taken now.
func (s *Service) Works(ctx context.Context, org id.Organization, c id.Credential) (bool, error) {
	got, err := s.Facts(ctx, org, c)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil || !got.Live(s.now()) {
		return false, err
	}
	_, err = s.Holder(ctx, got)
	if fault.Is(err, fault.Unauthenticated) {
		return false, nil
	}
	return err == nil, err
}

// narrow keeps of a role what the credential is for.
func (c Credential) narrow(held permission.Set) permission.Set {
	if len(c.Resources) == 0 {
		return held
	}
	return held.Filter(func(p permission.Permission) bool { return slices.Contains(c.Resources, p.Resource) })
}

// effective is what a credential gives now; nothing if its owner is not active.
func (s *Service) effective(ctx context.Context, c Credential) (permission.Set, error) {
	h, err := s.Holder(ctx, c)
	if fault.Is(err, fault.Unauthenticated) {
		return permission.Set{}, nil
	}
	return h.Permissions, err
}

// most is what a credential could give at any time: its stored permissions even while its owner holds less, and the
// role of an owner who is not active now. Who gets hold of it must not wait for better days.
func (s *Service) most(ctx context.Context, c Credential) (permission.Set, error) {
	switch {
	case c.Owner.Kind == OwnedByClient:
		client, err := s.clients.Facts(ctx, c.Organization, id.Client(c.Owner.ID))
		return client.Permissions, err
	case table[c.Kind].Stored:
		return c.Permissions, nil
	}
	u, err := s.users.Facts(ctx, c.Organization, id.User(c.Owner.ID))
	if err != nil {
		return permission.Set{}, err
	}
	held, err := s.roles.PermissionsOf(ctx, c.Organization, u.Role)
	return c.narrow(held), err
}

// isSelf tells whether an owner is the principal.
func isSelf(p principal.Principal, o Owner) bool {
	return o.Kind == OwnedByUser && p.UserID() != "" && !p.Abroad() && o.ID == string(p.UserID())
}

// reaches tells whether a principal may give a permission to somebody else's credential: `own` and `team` there are
// that other's.
func reaches(p principal.Principal, q permission.Permission) bool {
	return p.Permissions.Holds(permission.Permission{Resource: q.Resource, Action: q.Action, Scope: permission.All})
}

// checkMayStrengthen refuses to hand a value, or more power, to someone who holds less than the credential gives.
func (s *Service) checkMayStrengthen(ctx context.Context, p principal.Principal, c Credential) error {
	if p.Kind == principal.User && isSelf(p, c.Owner) { // it never gives more than they hold themselves
		return nil
	}
	set, err := s.most(ctx, c)
	if err != nil {
		return err
	}
	if c.Owner.Kind == OwnedByUser && table[c.Kind].Stored && !isSelf(p, c.Owner) {
		for _, q := range set.List() {
			if !reaches(p, q) {
				return fault.Forbiddenf("This credential gives %s of somebody else; only someone who holds it for "+
					"all may change it.", q)
			}
		}
	}
	if missing := p.Permissions.Missing(set); len(missing) > 0 {
		return fault.Forbiddenf("This credential gives %s, which you do not hold; only someone who does may change it.",
			missing[0])
	}
	return nil
}

// ownedBy tells whether a user is of the type whose the kind is.
func (r rules) ownedBy(u user.User) bool { return r.OfType == "" || r.OfType == u.Kind }

// ceiling is what the owner of a new or changed credential can give it, and refuses an owner who cannot have one.
func (s *Service) ceiling(ctx context.Context, p principal.Principal, kind Kind, o Owner) (permission.Set, error) {
	if !slices.Contains(table[kind].Owners, o.Kind) {
		return permission.Set{}, fault.Invalidf("owner", "must be a %s", table[kind].Owners[0])
	}
	switch o.Kind {
	case OwnedByOrganization:
		if o.ID != string(p.Organization) {
			return permission.Set{}, fault.Invalidf("owner",
				"must be a user of this organization or the organization itself")
		}
		return p.Permissions, nil
	case OwnedByClient:
		client, err := s.clients.Facts(ctx, p.Organization, id.Client(o.ID))
		return client.Permissions, err
	}
	u, err := s.users.Facts(ctx, p.Organization, id.User(o.ID))
	if fault.Is(err, fault.NotFound) || err == nil && u.State != user.Active {
		return permission.Set{}, fault.Invalidf("owner", "must be an active user of this organization")
	}
	if err != nil {
		return permission.Set{}, err
	}
	if r := table[kind]; !r.ownedBy(u) {
		return permission.Set{}, fault.Invalidf("owner", "must be a user of the type %s", r.OfType)
	}
	return s.roles.PermissionsOf(ctx, p.Organization, u.Role)
}

// checkPermissions reads the permissions a stored kind shall have and holds them to what the maker and the owner hold.
func (s *Service) checkPermissions(ctx context.Context, p principal.Principal, kind Kind, o Owner, list []string,
	ceiling permission.Set) (permission.Set, error) {
	if len(list) > maxPermissions {
		return permission.Set{}, fault.Invalidf("permissions", "must have at most %d entries", maxPermissions)
	}
	org, err := s.organizations.Facts(ctx, p.Organization)
	if err != nil {
		return permission.Set{}, err
	}
	var wrong []fault.Field
	for i, text := range list {
		q, err := permission.Parse(text)
		switch {
		case err != nil:
		case q.Resource == permission.PlatformResource && !org.Platform:
			err = fmt.Errorf("is for the platform's own credentials only")
		case o.Kind == OwnedByOrganization && q.Scope != permission.All:
			err = fmt.Errorf("must have the scope all: a credential of the organization belongs to no user and to no " +
				"team")
		case table[kind].Holds != nil && !table[kind].Holds(q.Resource, org.Platform):
			err = fmt.Errorf("a system access token never holds permissions on %s", q.Resource)
		}
		if err != nil {
			wrong = append(wrong, fault.Field{Field: fmt.Sprintf("permissions[%d]", i), Message: err.Error()})
		}
	}
	if len(wrong) > 0 {
		return permission.Set{}, fault.InvalidFields(wrong)
	}
	set := permission.ParseKnown(list)
	if missing := p.Permissions.Missing(set); len(missing) > 0 {
		return permission.Set{}, fault.Forbiddenf("You do not hold %s and cannot grant it.", missing[0])
	}
	if o.Kind == OwnedByUser && !isSelf(p, o) {
		for _, q := range set.List() {
			if !reaches(p, q) {
				return permission.Set{}, fault.Forbiddenf("You hold %s for less than all, and cannot give it to "+
					"somebody else's credential, where it would reach what is theirs.", q)
			}
		}
	}
	if missing := ceiling.Missing(set); len(missing) > 0 {
		return permission.Set{}, fault.Forbiddenf("The owner does not hold %s.", missing[0])
	}
	return set, nil
}

// systemResource tells what a system access token may hold permissions on: the organization's data and further system
// access tokens, never people, roles or settings. One of the platform may provision organizations.
func systemResource(resource string, platform bool) bool {
	switch resource {
	case "tickets", "reports", "sla_policies", "entity", "system_tokens":
		return true
	case permission.PlatformResource:
		return platform
	}
	return permission.IsDefined(resource)
}

// systemDefault is what a system access token holds if nothing is said, and the first credential of a provisioned
// organization.
func systemDefault() []string {
	list := []string{"tickets:manage:all", "reports:read:all", "sla_policies:manage:all", "entity:manage:all",
		"system_tokens:manage:all"}
	for _, name := range permission.Defined() {
		list = append(list, name+":manage:all")
	}
	return list
}
