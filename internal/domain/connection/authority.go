package connection

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
)

// within tells whether a role gives no more than a connection's ceiling.
func (s *Service) within(ctx context.Context, c Connection, role string) (bool, error) {
	if role == c.Ceiling {
		return true, nil
	}
	most, err := s.Roles.PermissionsOf(ctx, c.Organization, c.Ceiling)
	if err != nil {
		return false, err
	}
	held, err := s.Roles.PermissionsOf(ctx, c.Organization, role)
	return err == nil && len(most.Missing(held)) == 0, err
}

// ceilingOf is the role that bounds what an author's connection lets in: their own, or in somebody else's organization
// and for the server itself that of its administrators.
func ceilingOf(p principal.Principal, org organization.Organization) string {
	if p.Role != "" && !p.Abroad() { // of a set-up link: its maker's
		return p.Role
	}
	if org.Platform {
		return permission.RoleSuperUser
	}
	return permission.RoleAdmin
}

// checkPerson refuses machines: who comes in through a connection outlives the credential that made it. A set-up link
// is a person's, for a while.
func checkPerson(p principal.Principal) error {
	if p.Kind != principal.User && p.Kind != principal.SetupLink && !p.IsSystem() {
		return fault.Forbiddenf("A machine credential changes no connection: who comes in through it would outlive " +
			"it.")
	}
	return nil
}

// author is whoever changes connections and domains, with no more than they may do at this moment.
func (s *Service) author(ctx context.Context, p principal.Principal) (principal.Principal, error) {
	if err := checkPerson(p); err != nil {
		return p, err
	}
	return s.Users.Present(ctx, p)
}

// checkRoles refuses rules that give what their author does not hold, or make an operator.
func (s *Service) checkRoles(ctx context.Context, p principal.Principal, c Connection) error {
	names := []string{c.Provisioning.Role}
	fields := []string{"provisioning.role"}
	if c.Roles.Default != "" {
		names, fields = append(names, c.Roles.Default), append(fields, "roles.default")
	}
	for i, r := range c.Roles.Rules {
		names, fields = append(names, r.Role), append(fields, fmt.Sprintf("roles.rules[%d].role", i))
	}
	for i, name := range names {
		if name == permission.RoleSuperUser {
			return fault.Invalidf(fields[i], "cannot be %s: no provider makes operators of the platform", name)
		}
		err := s.Roles.CheckGrantable(ctx, p, name, false)
		if f := fault.Of(err); err != nil && f.Kind == fault.Invalid {
			return fault.Invalidf(fields[i], "there is no role %q in this organization", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkCeiling refuses changes by who holds less than those who may come in: whoever names the provider decides who
// everybody is.
func (s *Service) checkCeiling(ctx context.Context, p principal.Principal, c Connection) error {
	held, err := s.Roles.PermissionsOf(ctx, c.Organization, c.Ceiling)
	if err != nil {
		return err
	}
	if missing := p.Permissions.Missing(held); len(missing) > 0 {
		return fault.Forbiddenf("Through this connection people come in who hold %s, which you do not; only someone "+
			"who does may change it.", missing[0])
	}
	return nil
}

// CheckLeading refuses to let somebody say where company sign-ins lead who could not change each active connection: the
// codes of everybody who comes in go there. It needs sso:update:all.
func (s *Service) CheckLeading(ctx context.Context, p principal.Principal) error {
	p, err := s.author(ctx, p)
	if err != nil {
		return err
	}
	if p.Scope("sso", "update") < permission.All {
		return fault.Forbiddenf("Where company sign-ins lead (redirectUris) is said by who may change connections.")
	}
	for after := id.Connection(""); ; {
		rows, err := s.List(ctx, p, after, 100)
		if err != nil {
			return err
		}
		for _, c := range rows {
			after = c.ID
			if c.State != Active {
				continue
			}
			if err := s.checkCeiling(ctx, p, c); err != nil {
				return err
			}
		}
		if len(rows) < 100 {
			return nil
		}
	}
}
