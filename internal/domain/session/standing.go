package session

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// Standing is a session with what it stands on, as all three are now.
type Standing struct {
	Organization organization.Organization
	User         user.User
	Session      Session
}

// Standing joins a session with its organization and user and refuses one that may not go on. Access tokens, refresh
// tokens and introspection ask here and nowhere else.
//
// Unauthenticated: it has ended, by whatever way, or never was (TOKEN_REVOKED), or its user must sign in again because
// of another device or a second factor that is needed now (REAUTHENTICATION_REQUIRED). Forbidden: the organization is
// suspended. Anything else: it could not be judged.
func (s *Service) Standing(ctx context.Context, org id.Organization, u id.User, session id.Session) (st Standing,
	err error) {
	if st.Organization, err = s.organizations.Facts(ctx, org); err != nil {
		return st, ended(err)
	}
	if st.User, err = s.users.Facts(ctx, org, u); err != nil {
		return st, ended(err)
	}
	if st.Session, err = s.Facts(ctx, st.Organization, st.User.Role, session); err != nil {
		return st, ended(err)
	}
	if err := st.judge(s.now()); err != nil {
		return st, err
	}
	if c := st.Session.Connection; c != "" {
		if holds, err := s.connections.Holds(ctx, org, c, st.User.Role, st.Session.CreatedAt); err != nil {
			return st, err
		} else if !holds {
			return st, errEnded()
		}
	}
	return st, s.proven(ctx, st)
}

// judge is the part that needs no look-up. Which refusal comes first matters: what has ended is not called suspended.
func (st Standing) judge(now time.Time) error {
	f, u, org := st.Session, st.User, st.Organization
	switch {
	case f.Waiting() && f.User == u.ID:
		return ErrWaiting()
	case org.State == organization.Deleted, u.State != user.Active, f.User != u.ID, !f.Live(now):
		return errEnded()
	case org.State == organization.Suspended:
		return fault.New(fault.Forbidden, fault.CodeSuspended, "The organization is suspended.")
	}
	return nil
}

// proven refuses a session that began with less than a sign-in of its user takes now (A27): a password alone, where a
// second factor is there or must be.
func (s *Service) proven(ctx context.Context, st Standing) error {
	if st.Session.MultiFactor() {
		return nil
	}
	needs, err := s.users.NeedsSecondFactor(ctx, st.Organization, st.User)
	if err == nil && needs {
		err = fault.New(fault.Unauthenticated, fault.CodeReauthentication,
			"A second factor is needed now. Sign in again.")
	}
	return err
}

func errEnded() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The token was revoked, or its session has ended.")
}

// ended turns "not found" of what a token refers to into a refusal; trouble stays trouble.
func ended(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errEnded()
	}
	return err
}
