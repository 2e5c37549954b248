package server

import (
	"context"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// PlatformSlug is the slug of the operators' own organization.
const PlatformSlug = "platform"

const (
	purposeSetup  = "setup"
	setupSubject  = "first operator"
	setupLifetime = 24 * time.Hour
)

// EnsurePlatform gives the operators' organization and makes it at the first start.
func (s *Server) EnsurePlatform(ctx context.Context) (organization.Organization, error) {
	o, err := s.Organizations.Operator(ctx)
	if !fault.Is(err, fault.NotFound) {
		return o, err
	}
	o, err = s.Organizations.Create(ctx, principal.NewSystem("setup", ""),
		organization.NewOrganization{Slug: PlatformSlug, Name: "Platform", Platform: true})
	if fault.Is(err, fault.Conflict) { // another node at the same moment
		return s.Organizations.Operator(ctx)
	}
	return o, err
}

// SetupLink gives the link at which the first operator is made, and until when it works, or nothing if there is one
// already. It is the same on every node and at every start, until it is used or a day old.
func (s *Server) SetupLink(ctx context.Context) (link secret.Secret, until time.Time, err error) {
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return link, until, err
	}
	if n, err := s.Users.Operators(ctx); err != nil || n > 0 {
		return link, until, err
	}
	token, until, err := s.OneTime.Stand(ctx, platform.ID, purposeSetup, setupSubject, s.now(),
		s.now().Add(setupLifetime))
	if err != nil {
		return link, until, err
	}
	return secret.New(s.Public.JoinPath("setup").String() + "#token=" + token.Reveal()), until, nil
}

// AtSetup tells the organization in which a set-up link makes the first operator, and uses nothing up.
func (s *Server) AtSetup(ctx context.Context, token secret.Secret) (organization.Organization, error) {
	org, _, err := s.OneTime.Find(ctx, purposeSetup, token, s.now())
	if err != nil {
		return organization.Organization{}, err
	}
	if n, err := s.Users.Operators(ctx); err != nil {
		return organization.Organization{}, err
	} else if n > 0 {
		return organization.Organization{}, fault.Conflictf("There is an operator already.")
	}
	return s.Organizations.Facts(ctx, org)
}

// CompleteSetup makes the first operator with a set-up link. It works once, and only while there is no operator.
func (s *Server) CompleteSetup(ctx context.Context, source principal.Source, token secret.Secret, email, name,
	password string) (user.User, error) {
	platform, err := s.AtSetup(ctx, token)
	if err != nil {
		return user.User{}, err
	}
	org := platform.ID
	n := user.NewUser{Email: email, Name: name, Role: permission.RoleSuperUser}
	if n.PasswordHash, err = s.hash(ctx, source.Address, platform, n, password); err != nil {
		return user.User{}, err
	}
	p := principal.NewSystem("setup", org)
	p.Source = source
	n.Within = func(tx *sqldb.Tx) error { // of two at once one makes the operator; a mistake does not use the link up
		_, err := s.OneTime.Consume(ctx, tx, org, purposeSetup, token, s.now())
		return err
	}
	created, err := s.Users.Create(ctx, p, n)
	return created.User, err
}

// CreateOperator makes a super admin from the command line.
func (s *Server) CreateOperator(ctx context.Context, email, name, password string) (user.User, error) {
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return user.User{}, err
	}
	n := user.NewUser{Email: email, Name: name, Role: permission.RoleSuperUser}
	if n.PasswordHash, err = s.hash(ctx, "command line", platform, n, password); err != nil {
		return user.User{}, err
	}
	created, err := s.Users.Create(ctx, principal.NewSystem("command line", platform.ID), n)
	return created.User, err
}

// ResetOperatorFactors takes the second factors of an operator away from the command line.
func (s *Server) ResetOperatorFactors(ctx context.Context, email string) (user.User, error) {
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return user.User{}, err
	}
	u, found, err := s.Users.ForSignIn(ctx, platform.ID, email)
	if err == nil && !found {
		err = fault.NotFoundf("There is no operator with this address.")
	}
	if err != nil {
		return u, err
	}
	return u, s.Factors.Reset(ctx, principal.NewSystem("command line", platform.ID), u.ID)
}

func (s *Server) hash(ctx context.Context, client string, org organization.Organization, n user.NewUser,
	password string) (string, error) {
	if err := s.Users.CheckPassword(org, password, n.Email, n.Name); err != nil {
		return "", err
	}
	hash, err := s.Hasher.Hash(ctx, client, password)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return hash, nil
}
