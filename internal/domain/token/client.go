package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// ClientRefreshLifetime is how long a client's refresh tokens may be used in a row; rotation does not prolong it.
const ClientRefreshLifetime = 30 * 24 * time.Hour

// Confirmation binds a token to a certificate (RFC 8705 §3.1).
type Confirmation struct {
	Thumbprint string `json:"x5t#S256"`
}

// ClientClaims are the claims of a client's access token (RFC 9068). Scope and permissions say the same, for those who
// read one or the other.
type ClientClaims struct {
	jwt.Registered
	ClientID       string        `json:"client_id"`
	OrganizationID string        `json:"organizationId"`
	Scope          string        `json:"scope"`
	Permissions    []string      `json:"permissions"`
	Credential     string        `json:"credential,omitzero"` // the secret it was got with: it stops with it
	Family         string        `json:"family,omitzero"`     // of the refresh token it was got with
	Confirmation   *Confirmation `json:"cnf,omitzero"`
}

type clientRefreshClaims struct {
	jwt.Registered
	ClientID       string `json:"client_id"`
	OrganizationID string `json:"organizationId"`
	Family         string `json:"family"`
}

// ClientPair is what a client gets.
type ClientPair struct {
	Access    string
	Refresh   string // empty unless the client may have one
	ExpiresIn time.Duration
	Scope     permission.Set
}

// ClientProof is a client that has proven who it is, at a door.
type ClientProof struct {
	Door       Door
	Client     client.Client
	Credential id.Credential // the secret it used; empty for other methods
	Thumbprint string        // of the certificate it showed, if its tokens are bound to it
}

func errGrant(message string) error {
	return fault.New(fault.Invalid, CodeInvalidGrant, message)
}

// The codes of token errors (RFC 6749 §5.2), for the edges that speak OAuth.
const (
	CodeInvalidGrant       = "INVALID_GRANT"
	CodeInvalidScope       = "INVALID_SCOPE"
	CodeUnauthorizedClient = "UNAUTHORIZED_CLIENT"
)

// Scope reads what is asked for: empty means all that may be had.
func Scope(asked string, most permission.Set) (permission.Set, error) {
	if strings.TrimSpace(asked) == "" {
		return most, nil
	}
	set, err := permission.ParseSet(strings.Fields(asked))
	if err != nil {
		return permission.Set{}, fault.New(fault.Invalid, CodeInvalidScope,
			"The scope is not one of this server's permissions: "+err.Error())
	}
	if missing := most.Missing(set); len(missing) > 0 {
		return permission.Set{}, fault.New(fault.Invalid, CodeInvalidScope,
			"The client may not have "+missing[0].String()+".")
	}
	return set, nil
}

// IssueClient mints for a client that asks for itself (RFC 6749 §4.4), for the lifetime it asks for (0: its own), but
// at most for as long as it and its organization may have. A row is written only where a refresh token needs one.
func (s *Service) IssueClient(ctx context.Context, proof ClientProof, source principal.Source, set permission.Set,
	lifetime time.Duration) (ClientPair, error) {
	if lifetime > 0 {
		org, err := s.organizations.Facts(ctx, proof.Client.Organization)
		if err != nil {
			return ClientPair{}, err
		}
		proof.Client.TokenLifetime = min(lifetime, proof.Client.TokenLifetime,
			time.Duration(org.Settings.RequestedTokenSeconds)*time.Second)
	}
	key, err := s.SigningKey()
	if err != nil {
		return ClientPair{}, err
	}
	if !proof.Client.RefreshAllowed || clientDoors[proof.Door].refresh == "" {
		return s.signClient(key, proof, set, "", "", time.Time{})
	}
	now := s.now()
	family, jti, expires := id.New[id.Family](), rand.Text(), now.Add(ClientRefreshLifetime)
	org := proof.Client.Organization
	err = s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		permissions, err := json.Marshal(set.Strings())
		if err != nil {
			return err
		}
		err = tokendb.New(tx).
			InsertGrant(ctx, tokendb.InsertGrantParams{OrganizationID: org, ID: family, ClientID: proof.Client.ID,
				CredentialID: proof.Credential, Permissions: string(permissions),
				Thumbprint: proof.Thumbprint, CurrentJti: jti, CreatedAt: sqldb.MillisOf(now),
				ExpiresAt: sqldb.MillisOf(expires)})
		if err != nil {
			return fmt.Errorf("token: client grant: %w", err)
		}
		ended, err := tokendb.New(tx).EndOldGrants(ctx, sqldb.MillisOf(now), org, proof.Client.ID, maxGrants)
		if err != nil {
			return fmt.Errorf("token: old client grants: %w", err)
		}
		for _, old := range ended {
			tx.Announce(s.grants.Message(invalidation.Key{Organization: org, ID: string(old)}))
		}
		return audit.RecordIn(ctx, tx, now, org, proof.Principal(source),
			audit.Entry{Act: "client.granted", TargetKind: "client", TargetID: string(proof.Client.ID),
				Details: map[string]string{"family": string(family)}})
	})
	if err != nil {
		return ClientPair{}, err
	}
	return s.signClient(key, proof, set, family, jti, expires)
}

// maxGrants is how many refresh token families a client may have at once; the oldest end.
const maxGrants = 100

// secretLive tells whether the secret that a grant was made with still works; none was used by other methods.
func (s *Service) secretLive(ctx context.Context, org id.Organization, secret id.Credential) (bool, error) {
	if secret == "" {
		return true, nil
	}
	c, err := s.credentials.Facts(ctx, org, secret)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && c.Live(s.now()), err
}

// Principal is the client acting for itself.
func (proof ClientProof) Principal(source principal.Source) principal.Principal {
	c := proof.Client
	return principal.Principal{Kind: principal.Client, ID: string(c.ID), Name: c.Name, Home: c.Organization,
		Organization: c.Organization, Permissions: c.Permissions, Source: source}
}

// signClient makes the tokens; after the commit of whatever they depend on.
func (s *Service) signClient(key jwt.PrivateKey, proof ClientProof, set permission.Set, family id.Family,
	refreshJTI string, refreshExpires time.Time) (ClientPair, error) {
	c, now := proof.Client, s.now()
	expires := now.Add(c.TokenLifetime).Truncate(time.Second)
	registered := jwt.Registered{Issuer: s.issuer, Subject: string(c.ID), IssuedAt: now.Unix(), NotBefore: now.Unix()}
	claims := ClientClaims{Registered: registered, ClientID: string(c.ID), OrganizationID: string(c.Organization),
		Scope: set.Line(), Permissions: set.Strings(),
		Credential: string(proof.Credential), Family: string(family)}
	claims.Audience, claims.Expires, claims.ID = ClientAudience(s.issuer, proof.Door), expires.Unix(), rand.Text()
	if proof.Thumbprint != "" {
		claims.Confirmation = &Confirmation{proof.Thumbprint}
	}
	pair := ClientPair{ExpiresIn: expires.Sub(now.Truncate(time.Second)), Scope: set}
	var err error
	if pair.Access, err = signClaims(key, jwt.TypeAccess, claims); err != nil || family == "" {
		return pair, err
	}
	refresh := clientRefreshClaims{Registered: registered, ClientID: string(c.ID),
		OrganizationID: string(c.Organization), Family: string(family)}
	refresh.Audience, refresh.Expires, refresh.ID = ClientRefreshAudience(s.issuer, proof.Door), refreshExpires.Unix(),
		refreshJTI
	pair.Refresh, err = signClaims(key, jwt.TypeRefresh, refresh)
	return pair, err
}

func signClaims(key jwt.PrivateKey, typ string, claims any) (string, error) {
	payload, err := jwt.Encode(claims)
	if err != nil {
		return "", fmt.Errorf("token: claims: %w", err)
	}
	return jwt.Sign(key, typ, payload)
}

// ClientGrant is a client's refresh token family.
type ClientGrant struct {
	ID          id.Family
	Client      id.Client
	Credential  id.Credential
	Permissions permission.Set
	Thumbprint  string
	Active      bool
	ExpiresAt   time.Time

	jti string
}

// Live tells whether tokens of the family work at a moment.
func (g ClientGrant) Live(now time.Time) bool { return g.Active && now.Before(g.ExpiresAt) }

func (s *Service) grant(r tokendb.ClientGrant, err error) (ClientGrant, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return ClientGrant{}, fault.NotFoundf("There is no such grant.")
	}
	if err != nil {
		return ClientGrant{}, fmt.Errorf("token: client grant: %w", err)
	}
	var list []string
	if err := json.Unmarshal([]byte(r.Permissions), &list); err != nil {
		return ClientGrant{}, fmt.Errorf("token: client grant %s: %w", r.ID, err)
	}
	return ClientGrant{ID: r.ID, Client: r.ClientID, Credential: r.CredentialID,
		Permissions: permission.ParseKnown(list), Thumbprint: r.Thumbprint, Active: r.State == "active",
		ExpiresAt: r.ExpiresAt.Time(), jti: r.CurrentJti}, nil
}

// Grant gives a client's family from the cache; only its state and its end are to be relied on there.
func (s *Service) Grant(ctx context.Context, org id.Organization, family id.Family) (ClientGrant, error) {
	return s.grants.Get(ctx, invalidation.Key{Organization: org, ID: string(family)},
		func(ctx context.Context) (ClientGrant, error) {
			return s.grant(tokendb.New(s.db.Tenant(org)).GetGrant(ctx, org, family))
		})
}

// ShownRefresh is a client's refresh token that holds, and what it may give.
type ShownRefresh struct {
	Permissions permission.Set

	grant  ClientGrant
	claims Refresh
}

func errBadRefresh() error {
	return errGrant("The refresh token is not valid, has been used, or was issued to another client.")
}

// ShowClientRefresh judges a client's refresh token. It must be the client's own, and shown as it was issued: at the
// same door, with the same certificate, while the secret it was got with works.
func (s *Service) ShowClientRefresh(ctx context.Context, proof ClientProof, presented string) (shown ShownRefresh,
	err error) {
	c := proof.Client
	if !c.RefreshAllowed {
		return shown, fault.New(fault.Invalid, CodeUnauthorizedClient, "This client may not use refresh tokens.")
	}
	r, err := s.VerifyRefresh(presented)
	if fault.Is(err, fault.Unauthenticated) {
		return shown, errBadRefresh()
	}
	if err != nil {
		return shown, err
	}
	if r.Client != c.ID || r.Organization != c.Organization || r.Door != proof.Door {
		return shown, errBadRefresh()
	}
	g, err := s.grant(tokendb.New(s.db.Tenant(r.Organization)).GetGrant(ctx, r.Organization, r.Family))
	if fault.Is(err, fault.NotFound) {
		return shown, errBadRefresh()
	}
	if err != nil {
		return shown, err
	}
	if !g.Live(s.now()) || g.Client != c.ID || g.Thumbprint != proof.Thumbprint {
		return shown, errBadRefresh()
	}
	if live, err := s.secretLive(ctx, c.Organization, g.Credential); err != nil {
		return shown, err
	} else if !live {
		return shown, errBadRefresh()
	}
	return ShownRefresh{Permissions: g.Permissions.Within(c.Permissions), grant: g, claims: r}, nil
}

// RefreshClient turns a client's refresh token into the next pair. It works once, and used again ends its family.
func (s *Service) RefreshClient(ctx context.Context, proof ClientProof, source principal.Source, shown ShownRefresh,
	set permission.Set) (ClientPair, error) {
	c, g, r := proof.Client, shown.grant, shown.claims
	key, err := s.SigningKey()
	if err != nil {
		return ClientPair{}, err
	}
	next, now := rand.Text(), s.now()
	var rotated bool
	err = s.db.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		n, err := tokendb.New(tx).RotateGrant(ctx,
			tokendb.RotateGrantParams{NextJti: next, Now: sqldb.MillisOf(now), OrganizationID: c.Organization, ID: g.ID,
				ClientID: c.ID, Presented: r.JTI, Issued: r.IssuedAt.UnixMilli()})
		rotated = n == 1
		return err
	})
	if err != nil {
		return ClientPair{}, fmt.Errorf("token: rotate client grant: %w", err)
	}
	if !rotated { // used before: somebody else has it
		if err := s.EndGrant(ctx, proof.Principal(source), c.Organization, g.ID, "refresh_token_reused"); err != nil {
			return ClientPair{}, err
		}
		return ClientPair{}, errBadRefresh()
	}
	return s.signClient(key, proof, set, g.ID, next, g.ExpiresAt)
}

// EndGrant ends a family with every token of it.
func (s *Service) EndGrant(ctx context.Context, p principal.Principal, org id.Organization, family id.Family,
	reason string) error {
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		n, err := tokendb.New(tx).EndGrant(ctx, sqldb.MillisOf(s.now()), org, family)
		if err != nil {
			return fmt.Errorf("token: end client grant: %w", err)
		}
		if n == 0 {
			return nil
		}
		tx.Announce(s.grants.Message(invalidation.Key{Organization: org, ID: string(family)}))
		return audit.RecordIn(ctx, tx, s.now(), org, p,
			audit.Entry{Act: "client.grant_ended", TargetKind: "client_grant", TargetID: string(family),
				Details: map[string]string{"reason": reason}})
	})
}

// ForwardLifetime is how long the token for the API behind a proxy works: one call, with some room for clocks.
const ForwardLifetime = time.Minute

// ForwardClaims tell the API behind a proxy who calls.
type ForwardClaims struct {
	jwt.Registered
	Kind             string   `json:"kind"`
	OrganizationID   string   `json:"organizationId"`
	OrganizationSlug string   `json:"organization"`
	Role             string   `json:"role,omitzero"`
	Email            string   `json:"email,omitzero"`
	Name             string   `json:"name,omitzero"`
	Owner            string   `json:"owner,omitzero"`
	SessionID        string   `json:"sessionId,omitzero"`
	Permissions      []string `json:"permissions"`
}

// MintForward signs a token for the API behind a proxy. It has a type and an audience that nothing of this server
// accepts.
func (s *Service) MintForward(p principal.Principal, audience string) (string, time.Time, error) {
	if p.ID == "" {
		return "", time.Time{}, errors.New("token: nobody to make a token for")
	}
	key, err := s.SigningKey()
	if err != nil {
		return "", time.Time{}, err
	}
	now := s.now()
	expires := now.Add(ForwardLifetime).Truncate(time.Second)
	if !p.ExpiresAt.IsZero() && p.ExpiresAt.Before(expires) {
		expires = p.ExpiresAt.Truncate(time.Second)
	}
	c := ForwardClaims{Registered: jwt.Registered{Issuer: s.issuer, Subject: p.ID, Audience: audience,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(), ID: rand.Text()},
		Kind: string(p.Kind), OrganizationID: string(p.Organization), OrganizationSlug: p.OrganizationSlug,
		Role: p.WholeRole(), Email: p.Email, Name: p.Name, Owner: string(p.Owner),
		SessionID: string(p.Session), Permissions: p.Permissions.Strings()}
	token, err := signClaims(key, jwt.TypeForwarded, c)
	return token, expires, err
}

// SignIntrospection signs an answer about a token for the client that asked (RFC 9701 §5).
func (s *Service) SignIntrospection(asker string, answer any) (string, error) {
	key, err := s.SigningKey()
	if err != nil {
		return "", err
	}
	return signClaims(key, jwt.TypeIntrospection, struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		IssuedAt int64  `json:"iat"`
		Answer   any    `json:"token_introspection"`
	}{s.issuer, asker, s.now().Unix(), answer})
}
