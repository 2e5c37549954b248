package credential

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// asApplication gives a user of the type application, and nobody else, the right to its own application tokens: being
// one is what gives it, whatever the role (B6).
func (s *Service) asApplication(ctx context.Context, p principal.Principal) (principal.Principal, error) {
	u, err := s.users.Facts(ctx, p.Home, p.UserID())
	if err != nil && !fault.Is(err, fault.NotFound) {
		return p, err
	}
	if err != nil || u.Kind != user.Application || p.Abroad() {
		return p, fault.Forbiddenf("Application tokens are for users of the type application.")
	}
	p.Permissions = permission.ParseKnown(append(p.Permissions.Strings(), "application_tokens:manage:own"))
	return p, nil
}

// IssueOwn makes an application token for the application that asks, in a session of its own.
func (s *Service) IssueOwn(ctx context.Context, p principal.Principal, name string) (Issued, error) {
	p, err := s.asApplication(ctx, p)
	if err != nil {
		return Issued{}, err
	}
	return s.Issue(ctx, p, Request{Kind: ApplicationToken, Name: name, Owner: &Owner{OwnedByUser, string(p.UserID())}})
}

// ListOwn pages through the application tokens of the application that asks.
func (s *Service) ListOwn(ctx context.Context, p principal.Principal, after id.Credential, limit int) ([]Credential,
	error) {
	p, err := s.asApplication(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.List(ctx, p, ApplicationToken, Filter{Owner: string(p.UserID()), Past: after, Limit: limit})
}

// RevokeOwn ends an application token of the application that asks.
func (s *Service) RevokeOwn(ctx context.Context, p principal.Principal, c id.Credential) error {
	p, err := s.asApplication(ctx, p)
	if err != nil {
		return err
	}
	found, err := s.readable(ctx, p, ApplicationToken, c, "delete")
	if err != nil {
		return err
	}
	if !isSelf(p, found.Owner) {
		return errNone()
	}
	return s.revoke(ctx, p, found, "")
}
