package sso

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

func oauth2Challenge(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }

func unreserved(s string) bool {
	return strings.Trim(s, challengeAlphabet+".~") == ""
}

func isActive(u user.User) bool { return u.State == user.Active && u.Kind == user.Person }

// purposeLink is that of an address with which somebody who is signed in links their identity.
const purposeLink = "sso_link"

// PrepareLink makes an address at which somebody who is signed in, and has proven so lately, proves who they are at a
// provider too. What is linked is decided when the code is redeemed, while their session stands: whoever opens the
// address elsewhere links nothing.
func (s *Service) PrepareLink(ctx context.Context, p principal.Principal, in Start) (handle secret.Secret,
	until time.Time, err error) {
	if err := in.check(); err != nil {
		return handle, until, err
	}
	in.Tenant, in.Holder = login.Tenant{ID: p.Home}, p.UserID()
	org, c, err := s.find(ctx, in)
	if err != nil {
		return handle, until, err
	}
	if !slices.Contains(org.Settings.RedirectURIs, in.RedirectURI) {
		return handle, until, fault.Invalidf("redirectUri", "is not registered")
	}
	payload, err := json.Marshal(flow{Kind: c.Kind, Redirect: in.RedirectURI, State: in.State, Challenge: in.Challenge,
		Holder: in.Holder, Session: p.Session})
	if err != nil {
		return handle, until, err
	}
	now := s.Now()
	until = now.Add(RoundLifetime)
	err = s.DB.Tx(ctx, p.Home, func(tx *sqldb.Tx) error {
		handle, err = s.OneTime.Begin(ctx, tx, p.Home, purposeLink, "", string(c.ID), string(payload), now, until)
		return err
	})
	return handle, until, err
}

// BeginLink sends a browser with the handle of a link to the provider, once.
func (s *Service) BeginLink(ctx context.Context, handle, browser secret.Secret, source principal.Source) (Begun,
	error) {
	found, err := s.OneTime.Look(ctx, purposeLink, handle, s.Now())
	if fault.Is(err, fault.Unauthenticated) {
		return Begun{}, errRound()
	}
	if err != nil {
		return Begun{}, err
	}
	var f flow
	if err := json.Unmarshal([]byte(found.Payload), &f); err != nil {
		return Begun{}, fmt.Errorf("link of an identity: %w", err)
	}
	c, err := s.Connections.Facts(ctx, found.Organization, id.Connection(found.Subject))
	if err != nil {
		return Begun{}, unknown(err)
	}
	if c.State != connection.Active {
		return Begun{}, errUnknown()
	}
	if err := s.admit(ctx, c, source); err != nil {
		return Begun{}, err
	}
	err = s.DB.Tx(ctx, found.Organization, func(tx *sqldb.Tx) error {
		_, err := s.OneTime.Consume(ctx, tx, found.Organization, purposeLink, handle, s.Now())
		return err
	})
	if fault.Is(err, fault.Unauthenticated) {
		return Begun{}, errRound()
	}
	if err != nil {
		return Begun{}, err
	}
	return s.send(ctx, c, f, browser)
}

// link makes the identity that was proven the user's who began it.
func (s *Service) link(ctx context.Context, org id.Organization, u id.User, h handover, source principal.Source) error {
	c, err := s.Connections.Facts(ctx, org, h.Connection)
	if err != nil {
		return err
	}
	_, err = s.Connections.Admit(ctx, connection.Attempt{Connection: c, Person: *h.Person, Holder: u, Source: source})
	return err
}

// Unlink takes the identity of a user at a connection away and ends the sessions that began with it. It needs
// sso:update:all and no fewer rights than theirs.
func (s *Service) Unlink(ctx context.Context, p principal.Principal, c id.Connection, u id.User) error {
	return s.Connections.Unlink(ctx, p, c, u, func(tx *sqldb.Tx) error {
		if err := s.Login.WithdrawBegun(ctx, tx, p.Organization, u); err != nil {
			return err
		}
		_, err := s.Sessions.EndUpstream(ctx, tx, p.Organization, c, u, "", "identity_unlinked")
		return err
	})
}

// Describe reads the metadata of a SAML connection's provider, before the connection is written down.
func (s *Service) Describe(ctx context.Context, a *connection.Assertion) error {
	if a == nil || a.Metadata == "" && a.MetadataURL == "" {
		return nil // what is missing is named with the rest
	}
	if err := s.SAML.Describe(ctx, a); err != nil {
		field := "saml.metadata"
		if a.MetadataURL != "" {
			field = "saml.metadataUrl"
		}
		return fault.Invalidf(field, "%v", err)
	}
	return nil
}

// Refresh reads the metadata of a SAML connection's provider again, and judges whether what changed may be taken over.
func (s *Service) Refresh(ctx context.Context, c connection.Connection) (fresh *connection.Assertion, held string,
	err error) {
	a := *c.Assertion
	if err := s.SAML.Describe(ctx, &a); err != nil {
		return nil, "", err
	}
	if a.Metadata == c.Assertion.Metadata {
		return &a, "", nil
	}
	held, err = s.Suspicious(c, &a)
	return &a, held, err
}

// Suspicious judges whether other metadata of a connection's provider may be taken over (connection.Judge).
func (s *Service) Suspicious(c connection.Connection, fresh *connection.Assertion) (held string, err error) {
	return s.SAML.Suspicious(c, []byte(fresh.Metadata))
}

// Metadata is what this server says about itself to SAML providers: to that of a connection, or to all alike.
func (s *Service) Metadata(ctx context.Context, c id.Connection) ([]byte, error) {
	if c == "" {
		return s.SAML.SharedMetadata(s.PublicURL.String() + SharedCallback(connection.SAML))
	}
	found, err := s.Connections.Find(ctx, c)
	if err != nil {
		return nil, err
	}
	if found.Kind != connection.SAML {
		return nil, fault.NotFoundf("There is no such connection.")
	}
	return s.SAML.OwnMetadata(found, s.Callback(found))
}

// Unsolicited is a SAML answer that nobody here asked for, as of a sign-in that began at the provider. It signs nobody
// in: whoever gets somebody's browser to post one could else sign them in as another. Where a connection has an address
// for it, and the answer is good, the browser is led there, to begin a sign-in of its own.
func (s *Service) Unsolicited(ctx context.Context, own id.Connection, res upstream.Response) (string, error) {
	var c connection.Connection
	var err error
	if own != "" {
		c, err = s.Connections.Find(ctx, own)
	} else {
		c, err = s.Connections.ByIssuer(ctx, res.Issuer, connection.SAML)
	}
	if fault.Is(err, fault.NotFound) {
		return "", errUnknown()
	}
	if err != nil {
		return "", err
	}
	org, err := s.Organizations.Facts(ctx, c.Organization)
	if err != nil {
		return "", err
	}
	if c.Kind != connection.SAML || c.State != connection.Active || org.State != organization.Active ||
		c.OwnAddress != (own != "") || c.Assertion.StartURL == "" {
		return "", errUnknown()
	}
	if err := s.SAML.Unsolicited(c, s.Callback(c), res); err != nil {
		s.Log.InfoContext(ctx, "an answer that nobody asked for was refused", "connection", c.ID, "why", err)
		return "", errUnknown()
	}
	u, err := url.Parse(c.Assertion.StartURL)
	if err != nil {
		return "", fmt.Errorf("start of a sign-in: %w", err)
	}
	q := u.Query()
	q.Set("organization", org.Slug)
	q.Set("connection", string(c.ID))
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Realm is where the people of a domain sign in.
type Realm struct {
	Found        bool
	Organization string // slug
	Kind         connection.Kind
	Connection   string
	Required     bool // passwords do not work for them
}

// Discover tells where the people of an address's domain sign in. It looks at the domain alone: whether there is such
// an account changes nothing.
func (s *Service) Discover(ctx context.Context, email string, source principal.Source) (Realm, error) {
	if err := s.spare(ctx, "sso questions", questionsOfNetwork, source); err != nil {
		return Realm{}, err
	}
	key, err := user.CheckAddress(email)
	if err != nil {
		return Realm{}, err
	}
	_, domain, _ := strings.Cut(key, "@")
	d, err := s.Connections.ByDomain(ctx, domain)
	if fault.Is(err, fault.NotFound) || err == nil && d.Connection == "" {
		return Realm{}, nil
	}
	if err != nil {
		return Realm{}, err
	}
	org, err := s.Organizations.Facts(ctx, d.Organization)
	if err != nil {
		return Realm{}, err
	}
	c, err := s.Connections.Facts(ctx, d.Organization, d.Connection)
	if fault.Is(err, fault.NotFound) || err == nil && (c.State != connection.Active ||
		org.State != organization.Active) {
		return Realm{Required: d.Enforced}, nil // passwords are not let in for it
	}
	return Realm{true, org.Slug, c.Kind, string(c.ID), d.Enforced}, err
}
