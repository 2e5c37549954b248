package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// firstName is what the first credential of a provisioned organization is called.
const firstName = "Default"

// Provisioned is an organization with the first credential of its systems, whose value exists nowhere else: a system
// access token, or an OAuth client with its secret.
type Provisioned struct {
	Organization organization.Organization
	Token        secret.Secret
	Client       id.Client
	ClientSecret secret.Secret
}

// first is a credential to be, ready to be written: what must be signed is signed.
type first struct {
	kind  organization.MachineCredential
	row   Credential // the token, or the client's secret
	value secret.Secret
}

// prepareFirst makes the first credential of an organization. What it may do is the default of its kind, by the right
// of whoever provisions.
func (s *Service) prepareFirst(p principal.Principal, org id.Organization,
	kind organization.MachineCredential) (f first, err error) {
	now := s.now()
	f = first{kind: kind, row: Credential{Organization: org, Name: firstName, Purpose: firstName, State: Active,
		CreatedBy: p.ID, CreatedAt: now, UpdatedAt: now}}
	if kind == organization.OAuth2 {
		f.row.Kind = ClientSecret
	} else {
		f.row.Kind, f.row.Owner, f.row.Permissions = SystemToken, Owner{OwnedByOrganization, string(org)},
			permission.ParseKnown(systemDefault())
	}
	f.row.ID = table[f.row.Kind].ids.make()
	f.value, err = s.mint(&f.row)
	return f, err
}

// insertFirst writes it, with its client if it needs one.
func (s *Service) insertFirst(ctx context.Context, tx *sqldb.Tx, p principal.Principal, f *first) error {
	if f.kind == organization.OAuth2 {
		c, err := s.clients.Provision(ctx, tx, p, f.row.Organization, firstName, permission.ParseKnown(systemDefault()))
		if err != nil {
			return err
		}
		f.row.Owner = Owner{OwnedByClient, string(c.ID)}
	}
	if err := s.insert(ctx, tx, p, f.row); err != nil {
		return err
	}
	if p.Home == "" {
		return nil
	}
	return audit.RecordIn(ctx, tx, s.now(), p.Home, p,
		audit.Entry{Act: string(f.row.Kind) + ".created", TargetKind: string(f.row.Kind), TargetID: string(f.row.ID),
			// where the provisioner lives, too
			Details: map[string]string{"name": f.row.Name, "owner": f.row.Owner.ID,
				"organization": string(f.row.Organization)}})
}

func (f first) told(org organization.Organization) Provisioned {
	if f.kind == organization.OAuth2 {
		return Provisioned{Organization: org, Client: id.Client(f.row.Owner.ID), ClientSecret: f.value}
	}
	return Provisioned{Organization: org, Token: f.value}
}

// slugTries bounds the search for a slug that is free.
const slugTries = 5

// Provision makes an organization and, in the same transaction, the first credential of its systems. An organization
// without a slug gets one from its name. It needs organizations:create:all.
func (s *Service) Provision(ctx context.Context, p principal.Principal, n organization.NewOrganization) (Provisioned,
	error) {
	if p.Scope(permission.PlatformResource, "create") < permission.All {
		return Provisioned{}, fault.Forbiddenf("This needs organizations:create:all.")
	}
	if n.MachineCredential == "" {
		n.MachineCredential = organization.SystemTokens
	}
	n.ID = id.New[id.Organization]()
	f, err := s.prepareFirst(p, n.ID, n.MachineCredential)
	if err != nil {
		return Provisioned{}, err
	}
	n.Within = func(tx *sqldb.Tx, _ organization.Organization) error { return s.insertFirst(ctx, tx, p, &f) }
	base := ""
	if n.Slug == "" {
		base = organization.SlugOf(n.Name)
		n.Slug = base
	}
	org, err := s.organizations.Create(ctx, p, n)
	for try := 1; base != "" && errors.Is(err, organization.ErrTaken) && try < slugTries; try++ {
		n.Slug = base + "-" + strings.ToLower(rand.Text()[:6])
		org, err = s.organizations.Create(ctx, p, n)
	}
	if err != nil {
		return Provisioned{}, err
	}
	return f.told(org), nil
}
