package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// ReusableLifetime is how long a reusable refresh token works from its sign-in; using it prolongs nothing and makes no
// other.
const ReusableLifetime = 30 * 24 * time.Hour

// ReusableAudience names where the access tokens of such a session work, ReusableRefreshAudience where its refresh
// token does.
func ReusableAudience(issuer string) string        { return issuer + "/api/users" }
func ReusableRefreshAudience(issuer string) string { return issuer + "/api/users/refresh" }

// reusableClaims are the claims of a reusable refresh token: no more than it takes to find its session.
type reusableClaims struct {
	jwt.Registered
	OrganizationID string `json:"organizationId"`
	SessionID      string `json:"sessionId"`
	Identity       string `json:"identity"`
	Type           string `json:"type"`
	Fresh          bool   `json:"fresh"`
}

// The values of the claim `type`.
const (
	claimAccess  = "access"
	claimRefresh = "refresh"
)

// StartReusable chooses the first pair of a session whose refresh token may be used again and again. The session's row
// alone decides about it: there is no family, since nothing rotates.
func (s *Service) StartReusable(key jwt.PrivateKey, org organization.Organization, u user.User,
	permissions permission.Set, f session.Session) (Grant, error) {
	now := s.now()
	g, access, err := s.reusableAccess(key, org, u, permissions, f, true, now)
	if err != nil {
		return Grant{}, err
	}
	refresh := reusableClaims{Registered: access.Registered, OrganizationID: access.OrganizationID,
		SessionID: access.SessionID, Identity: access.Identity, Type: claimRefresh}
	refresh.Audience, refresh.Expires, refresh.ID = ReusableRefreshAudience(s.issuer), f.ExpiresAt.Unix(), rand.Text()
	payload, err := jwt.Encode(refresh)
	if err != nil {
		return Grant{}, fmt.Errorf("token: refresh claims: %w", err)
	}
	g.tokens.Refresh, g.deadline = string(payload), f.ExpiresAt.Truncate(time.Second)
	return g, nil
}

func (s *Service) reusableAccess(key jwt.PrivateKey, org organization.Organization, u user.User,
	permissions permission.Set, f session.Session, fresh bool, now time.Time) (Grant, AccessClaims, error) {
	g := Grant{key: key, expires: now.Add(AccessLifetime).Truncate(time.Second), organization: org.ID}
	c := AccessClaims{Email: u.Email, OrganizationID: string(org.ID), Role: u.Role, SessionID: string(f.ID),
		Permissions: permissions.Strings(), AuthTime: f.AuthTime.Unix(), AMR: f.AMR, ACR: f.ACR(),
		Identity: u.Username, Type: claimAccess, Fresh: &fresh,
		Registered: jwt.Registered{Issuer: s.issuer, Subject: string(u.ID), Audience: ReusableAudience(s.issuer),
			IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: g.expires.Unix(), ID: rand.Text()}}
	payload, err := jwt.Encode(c)
	if err != nil {
		return Grant{}, c, fmt.Errorf("token: access claims: %w", err)
	}
	g.tokens = prepared{KeyID: key.ID, Access: string(payload)}
	return g, c, nil
}

// RefreshReusable mints the next access token of a session whose reusable refresh token was just authenticated as p.
func (s *Service) RefreshReusable(ctx context.Context, p principal.Principal) (Pair, error) {
	st, err := s.sessions.Standing(ctx, p.Home, id.User(p.ID), p.Session)
	if err != nil {
		return Pair{}, err
	}
	org, u, f := st.Organization, st.User, st.Session
	permissions, err := s.PermissionsOf(ctx, u)
	if err != nil {
		return Pair{}, err
	}
	key, err := s.SigningKey()
	if err != nil {
		return Pair{}, err
	}
	g, _, err := s.reusableAccess(key, org, u, permissions, f, false, s.now())
	if err != nil {
		return Pair{}, err
	}
	return s.Sign(g)
}

// ErrElsewhere is the cause of a refusal of a good token that is for another place.
var ErrElsewhere = errors.New("the token is for another place")

// VerifyReusable checks what does not change about a reusable refresh token. Judge says whether it holds now.
func (s *Service) VerifyReusable(token string) (*Access, error) {
	payload, err := s.verify(token, jwt.TypeRefresh)
	if err != nil {
		return nil, err
	}
	var c reusableClaims
	if err := jwt.Decode(payload, &c); err != nil {
		return nil, errInvalid()
	}
	if c.Audience != ReusableRefreshAudience(s.issuer) {
		return nil, fault.Of(errInvalid()).Because(ErrElsewhere)
	}
	if c.Type != claimRefresh || c.SessionID == "" {
		return nil, errInvalid()
	}
	h, _ := jwt.ReadHeader(token)
	return &Access{Session: &AccessClaims{Registered: c.Registered, OrganizationID: c.OrganizationID,
		SessionID: c.SessionID, Identity: c.Identity, Type: c.Type}, KeyID: h.KeyID, Door: ItemPath, Refresh: true}, nil
}
