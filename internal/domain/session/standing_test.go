package session

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// G7: whatever is switched off ends the session's use; only what is left alone may go on.
func TestG7_Standing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	good := Standing{
		Organization: organization.Organization{State: organization.Active},
		User:         user.User{ID: "usr_1", State: user.Active},
		Session:      Session{User: "usr_1", Active: true, ExpiresAt: now.Add(time.Second)},
	}
	for name, c := range map[string]struct {
		change func(*Standing)
		code   string // empty: it may go on
	}{
		"nothing is wrong": {func(*Standing) {}, ""},
		"the organization is suspended": {func(s *Standing) { s.Organization.State = organization.Suspended },
			fault.CodeSuspended},
		"the organization is deleted": {func(s *Standing) { s.Organization.State = organization.Deleted },
			fault.CodeTokenRevoked},
		"the user is disabled":           {func(s *Standing) { s.User.State = user.Disabled }, fault.CodeTokenRevoked},
		"the user has no state":          {func(s *Standing) { s.User.State = "" }, fault.CodeTokenRevoked},
		"the session is of another user": {func(s *Standing) { s.Session.User = "usr_2" }, fault.CodeTokenRevoked},
		"the session has ended":          {func(s *Standing) { s.Session.Active = false }, fault.CodeTokenRevoked},
		"it expires now":                 {func(s *Standing) { s.Session.ExpiresAt = now }, fault.CodeTokenRevoked},
		"it expired": {func(s *Standing) { s.Session.ExpiresAt = now.Add(-time.Hour) },
			fault.CodeTokenRevoked},
		"another device used it": {func(s *Standing) {
			s.Session.Active, s.Session.EndReason = false, reasonDevice
		}, fault.CodeReauthentication},
		"another device used another user's": {func(s *Standing) {
			s.Session.Active, s.Session.EndReason, s.Session.User = false, reasonDevice, "usr_2"
		}, fault.CodeTokenRevoked},
		"ended and suspended": {func(s *Standing) {
			s.Session.Active, s.Organization.State = false, organization.Suspended
		}, fault.CodeTokenRevoked},
		"disabled and suspended": {func(s *Standing) {
			s.User.State, s.Organization.State = user.Disabled, organization.Suspended
		}, fault.CodeTokenRevoked},
		"deleted, and another device used it": {func(s *Standing) {
			s.Session.Active, s.Session.EndReason, s.Organization.State = false, reasonDevice, organization.Deleted
		}, fault.CodeReauthentication},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := good
			c.change(&s)
			err := s.judge(now)
			if got := codeOf(err); got != c.code {
				t.Errorf("%q (%v), want %q", got, err, c.code)
			}
		})
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.Of(err).Code
}
