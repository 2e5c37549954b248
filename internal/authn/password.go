package authn

import (
	"context"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
)

// joinPassword proves user name and password in the account of the path, by the sign-in machine: with its locks and
// counters, one hash at a time. Nothing of it is kept for the next request.
func (a *Authenticator) joinPassword(ctx context.Context, s *subject) error {
	raw, err := base64.StdEncoding.DecodeString(s.shown.value)
	name, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok || !utf8.Valid(raw) || strings.IndexByte(string(raw), 0) >= 0 {
		return fault.New(fault.Unauthenticated, fault.CodeUnauthorized, "Authorization must be: Basic, one space, "+
			"the base64 of user name, colon and password in UTF-8.")
	}
	tenant := login.Tenant{Unknown: true, Named: s.shown.account}
	org, err := a.Organizations.ByAccount(ctx, s.shown.account)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return err
	default:
		// Switched off is answered as a wrong password, after the same work: else trying would tell.
		tenant = login.Tenant{ID: org.ID, Closed: !org.Settings.BasicAuthentication, Named: s.shown.account}
	}
	proven, err := a.Login.Prove(ctx, login.Password{Name: name, Password: password, Tenant: tenant,
		Source: s.shown.source,
		Door:   login.EasyVista, Once: true})
	if err != nil {
		return err
	}
	u := proven.User
	permissions, err := a.Tokens.PermissionsOf(ctx, u)
	if err != nil {
		return err
	}
	s.organization = proven.Organization
	s.principal = principal.Principal{Kind: principal.User, ID: string(u.ID), Name: u.Name, Home: u.Organization,
		Organization: u.Organization, OrganizationSlug: s.organization.Slug,
		Permissions: permissions, Role: u.Role, Email: u.Email, AuthTime: a.Now()}
	return nil
}
