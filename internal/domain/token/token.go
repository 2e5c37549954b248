// Package token owns what the server signs: the claim sets, minting, and refresh families. It is the only caller of the
// signing keys. A refresh family is one row: the token in force, its predecessor and, while an overlap may need it, the
// successor's exact bytes. Rotation is decided by one UPDATE and signed after its commit.
package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// AccessLifetime is how long an access token of a session works.
const AccessLifetime = 15 * time.Minute

// AccessClaims are the claims of a session's access token.
type AccessClaims struct {
	jwt.Registered
	Email          string   `json:"email"`
	OrganizationID string   `json:"organizationId"`
	Role           string   `json:"role"`
	SessionID      string   `json:"sessionId"`
	Permissions    []string `json:"permissions"`
	AuthTime       int64    `json:"auth_time"`
	AMR            []string `json:"amr"` // RFC 8176
	ACR            string   `json:"acr"` // aal1: one factor; aal2: two

	// Of sessions with a reusable refresh token.
	Identity string `json:"identity,omitzero"` // the user name
	Type     string `json:"type,omitzero"`     // access or refresh
	Fresh    *bool  `json:"fresh,omitzero"`    // got by a sign-in, not by a refresh
}

// RefreshClaims are the claims of a session's refresh token. Its signature protects the family's name (RFC 9700
// §4.14.2).
type RefreshClaims struct {
	jwt.Registered
	OrganizationID string `json:"organizationId"`
	SessionID      string `json:"sessionId"`
	Family         string `json:"family"`
}

// Pair is what a sign-in or a refresh hands out.
type Pair struct {
	Access           string
	Refresh          string
	ExpiresIn        time.Duration // of the access token
	ExpiresAt        time.Time     // of the access token
	RefreshExpiresAt time.Time
	Organization     id.Organization
}

// Audience names where session tokens work; RefreshAudience the one place for refresh tokens.
func Audience(issuer string) string        { return issuer }
func RefreshAudience(issuer string) string { return issuer + "/v1/auth/refresh" }

// Service mints and rotates.
type Service struct {
	db            *sqldb.DB
	issuer        string
	now           func() time.Time
	keys          *signingkey.Service
	organizations *organization.Service
	roles         *role.Service
	users         *user.Service
	sessions      *session.Service
	credentials   *credential.Service
	revoked       *cache.Cache[map[string]time.Time]
	grants        *cache.Cache[ClientGrant]
}

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Caches        *cache.Group
	Issuer        string // the public URL, from configuration only
	Keys          *signingkey.Service
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Sessions      *session.Service
	Credentials   *credential.Service
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{db: d.DB, issuer: d.Issuer, now: d.Now, keys: d.Keys, organizations: d.Organizations,
		roles: d.Roles, users: d.Users, sessions: d.Sessions, credentials: d.Credentials,
		revoked: cache.New[map[string]time.Time](d.Caches, "revoked_tokens", 100_000),
		grants:  cache.NewShared(d.Caches, "client_grant", 100_000, cache.Plain[ClientGrant]())}
}

// Issuer is the `iss` of every token.
func (s *Service) Issuer() string { return s.issuer }

// prepared are chosen payloads, not yet signed. They are stored as they are for the overlap, and sign to the same bytes
// again.
type prepared struct {
	KeyID   string `json:"kid"`
	Access  string `json:"access"`
	Refresh string `json:"refresh"`
}

// Grant is a sign-in or rotation that is decided and will be signed after its commit.
type Grant struct {
	key          jwt.PrivateKey
	tokens       prepared
	jti          string
	expires      time.Time // access
	deadline     time.Time // refresh
	organization id.Organization
}

// SigningKey gives the key of the next pair. It is asked for before a transaction, since finding it may need the
// database.
func (s *Service) SigningKey() (jwt.PrivateKey, error) { return s.keys.Signing(signingkey.Session) }

// shortDeadline is below which a refresh token is given the lifetime of its access token besides: a quarter of an hour
// matters there.
const shortDeadline = 24 * time.Hour

// prepare chooses the claims of the next pair.
func (s *Service) prepare(key jwt.PrivateKey, org organization.Organization, u user.User, permissions permission.Set,
	f session.Session, family id.Family, now time.Time) (Grant, error) {
	g := Grant{key: key, jti: rand.Text(), expires: now.Add(AccessLifetime).Truncate(time.Second), organization: org.ID}
	g.deadline = f.Deadline(now)
	if g.deadline.Sub(now) < shortDeadline {
		// the access token may be used, and so the session slide, until it expires; the session's row decides
		g.deadline = f.Deadline(g.expires)
	}
	registered := jwt.Registered{Issuer: s.issuer, Subject: string(u.ID), IssuedAt: now.Unix(), NotBefore: now.Unix()}
	access := AccessClaims{Registered: registered, Email: u.Email, OrganizationID: string(org.ID), Role: u.Role,
		SessionID: string(f.ID), Permissions: permissions.Strings(),
		AuthTime: f.AuthTime.Unix(), AMR: f.AMR, ACR: f.ACR()}
	access.Audience, access.Expires, access.ID = Audience(s.issuer), g.expires.Unix(), rand.Text()
	refresh := RefreshClaims{Registered: registered, OrganizationID: string(org.ID), SessionID: string(f.ID),
		Family: string(family)}
	refresh.Audience, refresh.Expires, refresh.ID = RefreshAudience(s.issuer), g.deadline.Unix(), g.jti
	a, err := jwt.Encode(access)
	if err != nil {
		return Grant{}, fmt.Errorf("token: access claims: %w", err)
	}
	r, err := jwt.Encode(refresh)
	if err != nil {
		return Grant{}, fmt.Errorf("token: refresh claims: %w", err)
	}
	g.tokens = prepared{KeyID: key.ID, Access: string(a), Refresh: string(r)}
	return g, nil
}

// Sign makes the tokens of a grant.
func (s *Service) Sign(g Grant) (Pair, error) {
	access, err := jwt.Sign(g.key, jwt.TypeAccess, []byte(g.tokens.Access))
	if err != nil {
		return Pair{}, err
	}
	pair := Pair{Access: access, ExpiresIn: max(0, g.expires.Sub(s.now().Truncate(time.Second))), ExpiresAt: g.expires,
		RefreshExpiresAt: g.deadline, Organization: g.organization}
	if g.tokens.Refresh != "" {
		pair.Refresh, err = jwt.Sign(g.key, jwt.TypeRefresh, []byte(g.tokens.Refresh))
	}
	return pair, err
}

// PermissionsOf gives what a user may do now. A role that is gone gives nothing.
func (s *Service) PermissionsOf(ctx context.Context, u user.User) (permission.Set, error) {
	return s.roles.PermissionsOf(ctx, u.Organization, u.Role)
}

// Start begins the refresh family of a new session, in the transaction of the sign-in.
func (s *Service) Start(ctx context.Context, tx *sqldb.Tx, key jwt.PrivateKey, org organization.Organization,
	u user.User, permissions permission.Set, f session.Session) (Grant, error) {
	family := id.New[id.Family]()
	g, err := s.prepare(key, org, u, permissions, f, family, s.now())
	if err != nil {
		return Grant{}, err
	}
	err = tokendb.New(tx.Later()).InsertFamily(ctx,
		tokendb.InsertFamilyParams{OrganizationID: org.ID, ID: family, SessionID: f.ID, CurrentJti: g.jti,
			CreatedAt: sqldb.MillisOf(s.now())})
	if err != nil {
		return Grant{}, fmt.Errorf("token: start family: %w", err)
	}
	return g, nil
}

// Errors of tokens, one for each answer a client can act on.
func errInvalid() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The token is not valid here.")
}
func errExpired() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenExpired, "The token has expired.")
}
func errRevoked() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The token was revoked, or its session has ended.")
}

// verify checks shape, type, key and signature of a session token and returns its payload; place and time are for
// judge.
func (s *Service) verify(token, typ string) ([]byte, error) {
	h, err := jwt.ReadHeader(token)
	if err != nil || h.Type != typ {
		return nil, errInvalid()
	}
	return s.verifyWith(token, h, signingkey.Session)
}

func (s *Service) verifyWith(token string, h jwt.Header, purpose signingkey.Purpose) ([]byte, error) {
	key, ok, err := s.keys.Verifying(purpose, h.KeyID)
	if err != nil {
		return nil, err
	}
	if !ok || key.Algorithm != h.Algorithm {
		return nil, errInvalid()
	}
	payload, err := jwt.Verify(token, key)
	if err != nil {
		return nil, errInvalid()
	}
	return payload, nil
}

// judge checks what depends on time and place, and that no restore or failover came since the token was issued.
func (s *Service) judge(r jwt.Registered, now time.Time, audience string) error {
	switch err := r.Check(now, s.issuer, audience); {
	case errors.Is(err, jwt.ErrExpired):
		return errExpired()
	case err != nil:
		return errInvalid()
	}
	notBefore, err := s.keys.NotBefore()
	if err == nil && issued(r).Before(notBefore) {
		return errRevoked()
	}
	return err
}

// issued is when a token was issued at the earliest: its claim has whole seconds.
func issued(r jwt.Registered) time.Time { return time.Unix(r.IssuedAt, 0) }

// Access is a verified access token: immutable, so it may be kept. Whether it holds now is Judge's to say, each time.
// Exactly one of the two sets of claims is there.
type Access struct {
	Session     *AccessClaims
	Client      *ClientClaims
	KeyID       string
	Door        Door
	Refresh     bool // a reusable refresh token; it has no permissions of its own
	Permissions permission.Set
}

// Registered are the claims that both sets have.
func (a *Access) Registered() *jwt.Registered {
	if a.Client != nil {
		return &a.Client.Registered
	}
	return &a.Session.Registered
}

// Organization is whose token it is.
func (a *Access) Organization() id.Organization {
	if a.Client != nil {
		return id.Organization(a.Client.OrganizationID)
	}
	return id.Organization(a.Session.OrganizationID)
}

// VerifyAccess checks what does not change: shape, key, signature, claims. The audience tells a session's token from a
// client's; neither passes for the other (RFC 8725 §3.12).
func (s *Service) VerifyAccess(token string) (*Access, error) {
	payload, err := s.verify(token, jwt.TypeAccess)
	if err != nil {
		return nil, err
	}
	h, _ := jwt.ReadHeader(token)
	a := &Access{KeyID: h.KeyID}
	var r jwt.Registered
	if err := jwt.Decode(payload, &r); err != nil {
		return nil, errInvalid()
	}
	door, ofClient := clientDoor(s.issuer, r.Audience, false)
	switch {
	case r.Audience == Audience(s.issuer), r.Audience == ReusableAudience(s.issuer):
		a.Session = &AccessClaims{}
		if err := jwt.Decode(payload, a.Session); err != nil || a.Session.SessionID == "" {
			return nil, errInvalid()
		}
		if r.Audience == ReusableAudience(s.issuer) {
			a.Door = ItemPath
		}
		a.Permissions = permission.ParseKnown(a.Session.Permissions)
	case ofClient:
		a.Client, a.Door = &ClientClaims{}, door
		if err := jwt.Decode(payload, a.Client); err != nil || a.Client.ClientID == "" ||
			a.Client.ClientID != a.Client.Subject {
			return nil, errInvalid()
		}
		a.Permissions = permission.ParseKnown(a.Client.Permissions)
	default:
		return nil, errInvalid()
	}
	return a, nil
}

// Judge says whether a verified access token holds now: time, issuer, key still trusted, not revoked by itself.
func (s *Service) Judge(ctx context.Context, a *Access) error {
	if _, ok, err := s.keys.Verifying(signingkey.Session, a.KeyID); err != nil {
		return err
	} else if !ok {
		return errInvalid()
	}
	r := a.Registered()
	if err := s.judge(*r, s.now(), r.Audience); err != nil {
		return err
	}
	revoked, err := s.isRevoked(ctx, a.Organization(), r.ID)
	if err == nil && revoked {
		err = errRevoked()
	}
	return err
}

// Refresh turns a refresh token into the next pair. The presented token is dead at once; used again it ends the
// session, except that the immediate predecessor gets the same successor while the organization's overlap lasts. admit,
// if any, may refuse the holder's organization before anything is changed. devices are the fingerprints shown (A47).
func (s *Service) Refresh(ctx context.Context, source principal.Source, presented string, devices []string,
	admit func(id.Organization) error) (Pair, error) {
	payload, err := s.verify(presented, jwt.TypeRefresh)
	if err != nil {
		return Pair{}, err
	}
	var c RefreshClaims
	if err := jwt.Decode(payload, &c); err != nil {
		return Pair{}, errInvalid()
	}
	now := s.now()
	if err := s.judge(c.Registered, now, RefreshAudience(s.issuer)); err != nil {
		return Pair{}, err
	}
	orgID, sessionID, family := id.Organization(c.OrganizationID), id.Session(c.SessionID), id.Family(c.Family)
	st, err := s.sessions.Standing(ctx, orgID, id.User(c.Subject), sessionID)
	if err != nil {
		return Pair{}, err
	}
	org, u, f := st.Organization, st.User, st.Session
	if admit != nil {
		if err := admit(orgID); err != nil {
			return Pair{}, err
		}
	}
	if err := s.sessions.CheckDevice(ctx, f, devices, true, source); err != nil {
		return Pair{}, err
	}
	permissions, err := s.PermissionsOf(ctx, u)
	if err != nil {
		return Pair{}, err
	}
	key, err := s.SigningKey()
	if err != nil {
		return Pair{}, err
	}
	g, err := s.prepare(key, org, u, permissions, f, family, now)
	if err != nil {
		return Pair{}, err
	}
	row := tokendb.RotateParams{NextJti: g.jti, Now: sqldb.MillisOf(now), OrganizationID: orgID, ID: family,
		Presented: c.ID, Issued: issued(c.Registered).UnixMilli()}
	if overlap := org.Settings.RefreshOverlapSeconds; overlap > 0 {
		text, err := json.Marshal(g.tokens)
		if err != nil {
			return Pair{}, fmt.Errorf("token: successor: %w", err)
		}
		row.OverlapUntil, row.Successor = sqldb.MillisOf(now.Add(time.Duration(overlap)*time.Second)), string(text)
	}
	if err := failpoint.Hit(ctx, "rotate.before"); err != nil {
		return Pair{}, err
	}
	rotated, err := s.rotate(ctx, row, f, source.Address)
	if err != nil {
		return Pair{}, err
	}
	if err := failpoint.Hit(ctx, "rotate.committed"); err != nil {
		return Pair{}, err
	}
	if !rotated {
		return s.again(ctx, source, c, now)
	}
	pair, err := s.Sign(g)
	return pair, errors.Join(err, failpoint.Hit(ctx, "rotate.signed"))
}

// Access mints an access token for a session as it is now, beside its refresh token, which stays as it is.
func (s *Service) Access(ctx context.Context, org organization.Organization, u user.User, f session.Session) (Pair,
	error) {
	permissions, err := s.PermissionsOf(ctx, u)
	if err != nil {
		return Pair{}, err
	}
	key, err := s.SigningKey()
	if err != nil {
		return Pair{}, err
	}
	g, err := s.prepare(key, org, u, permissions, f, "", s.now())
	if err != nil {
		return Pair{}, err
	}
	g.tokens.Refresh = ""
	return s.Sign(g)
}

// again answers a refresh token that is not the one in force.
func (s *Service) again(ctx context.Context, source principal.Source, c RefreshClaims, now time.Time) (Pair, error) {
	orgID, sessionID := id.Organization(c.OrganizationID), id.Session(c.SessionID)
	row, err := tokendb.New(s.db.Tenant(orgID)).GetFamily(ctx, orgID, id.Family(c.Family))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Pair{}, errRevoked()
	}
	if err != nil {
		return Pair{}, fmt.Errorf("token: family: %w", err)
	}
	if row.PreviousJti == c.ID && row.Successor != "" && now.Before(row.OverlapUntil.Time()) {
		if pair, ok, err := s.successor(row.Successor, orgID); err != nil || ok {
			return pair, err
		}
	}
	thief := principal.Principal{Kind: principal.User, ID: c.Subject, Home: orgID, Organization: orgID,
		Session: sessionID, Source: source}
	if err := s.sessions.EndStolen(ctx, thief, orgID, sessionID); err != nil {
		return Pair{}, err
	}
	return Pair{}, errRevoked()
}

// successor signs stored payloads again, to the same bytes. Not ok: the key that signed them is trusted no more.
func (s *Service) successor(text string, org id.Organization) (Pair, bool, error) {
	var g Grant
	var access AccessClaims
	var refresh RefreshClaims
	if err := errors.Join(json.Unmarshal([]byte(text), &g.tokens), jwt.Decode([]byte(g.tokens.Access), &access),
		jwt.Decode([]byte(g.tokens.Refresh), &refresh)); err != nil {
		return Pair{}, false, fmt.Errorf("token: stored successor: %w", err)
	}
	key, ok, err := s.keys.SigningKey(g.tokens.KeyID)
	if err != nil || !ok {
		return Pair{}, false, err
	}
	g.key = key
	g.expires, g.deadline, g.organization = time.Unix(access.Expires, 0), time.Unix(refresh.Expires, 0), org
	pair, err := s.Sign(g)
	return pair, err == nil, err
}
