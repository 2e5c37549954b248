package authn

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

// joinSession joins an access token with the session it was minted in.
func (a *Authenticator) joinSession(ctx context.Context, s *subject) error {
	access := s.shown.token.access
	if err := a.Tokens.Judge(ctx, access); err != nil {
		return err
	}
	c := access.Session
	home, sessionID := id.Organization(c.OrganizationID), id.Session(c.SessionID)
	st, err := a.Sessions.Standing(ctx, home, id.User(c.Subject), sessionID)
	if err != nil {
		return err
	}
	s.access, s.organization, s.session, s.user = access, st.Organization, st.Session, st.User
	s.principal = principal.Principal{Kind: principal.User, ID: c.Subject, Name: st.User.Name, Home: home,
		Organization: home, OrganizationSlug: st.Organization.Slug, Permissions: access.Permissions, Role: c.Role,
		Email: c.Email, Session: sessionID, AuthTime: st.Session.AuthTime,
		Weak: st.User.HasSecondFactor() && !st.Session.MultiFactor(), ExpiresAt: time.Unix(c.Expires, 0).UTC()}
	if st.Organization.Settings.RoleChangesApplyAtOnce || access.Refresh {
		if s.principal.Permissions, err = a.Tokens.PermissionsOf(ctx, st.User); err != nil {
			return err
		}
		s.principal.Role, s.principal.Email = st.User.Role, st.User.Email
	}
	return nil
}

// presentRole cuts a session to what its user's role gives at this moment (A41). The token may say for a while what the
// role has lost: that is enough for reading and the service desk, and not for what gives or takes access.
func (a *Authenticator) presentRole(ctx context.Context, s *subject) error {
	present, err := a.Tokens.PermissionsOf(ctx, s.user)
	s.principal.Permissions, s.principal.Role = s.principal.Permissions.Within(present), s.user.Role
	return err
}

// fingerprintHeader tells which device a session is used from.
const fingerprintHeader = "X-Device-Fingerprint"

// checkDevice holds a session to its device (A47); a refresh token must be shown with its fingerprint.
func (a *Authenticator) checkDevice(ctx context.Context, s *subject, r Request) error {
	return a.Sessions.CheckDevice(ctx, s.session, r.HTTP.Header[fingerprintHeader], s.kind.typ == jwt.TypeRefresh,
		r.Source)
}

// joinWaiting opens enrolment for a sign-in that waits for its first second factor.
func (a *Authenticator) joinWaiting(ctx context.Context, s *subject) (err error) {
	s.principal, s.organization, err = a.Login.Enrolling(ctx, secret.New(s.shown.value), s.shown.source)
	return err
}
