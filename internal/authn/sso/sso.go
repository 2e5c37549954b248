package sso

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
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
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Deps are what the flow is made of.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Log           *slog.Logger
	PublicURL     *url.URL
	Organizations *organization.Service
	Users         *user.Service
	Connections   *connection.Service
	OneTime       *onetime.Service
	Login         *login.Service
	Limiter       *ratelimit.Limiter
	Sessions      *session.Service
	OpenID        *upstream.OpenID
	SAML          *upstream.SAML
}

// Service signs people in through their company's provider.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// The bounds of a round.
const (
	RoundLifetime  = 10 * time.Minute
	CodeLifetime   = 60 * time.Second
	MaxClientState = 2048
	maxRedirect    = 1000

	// beginnings a minute: of a network in one organization, and of one connection
	startsOfNetwork    = 600
	startsOfConnection = 6000
	// answers of providers, and questions about domains, a minute of a network: each is work for whoever sends it
	answersOfNetwork   = 3000
	questionsOfNetwork = 600

	purposeRound = "sso_state"
)

// flow is what a round remembers of how it began. It alone says which organization, connection and application it is
// for.
type flow struct {
	Round     upstream.Round  `json:"round"`
	Kind      connection.Kind `json:"kind"`
	Browser   string          `json:"browser"` // digest of what the browser holds
	Redirect  string          `json:"redirect,omitempty"`
	State     string          `json:"state,omitempty"` // the application's own, returned unread
	Challenge string          `json:"challenge,omitempty"`
	Cookie    bool            `json:"cookie,omitempty"`
	Holder    id.User         `json:"holder,omitempty"`  // who proved here that they are this user: links
	Session   id.Session      `json:"session,omitempty"` // in which they did
	Test      string          `json:"test,omitempty"`    // the handle of a test sign-in
}

// Start is what an application asks when it begins a sign-in (A20).
type Start struct {
	Kind        connection.Kind
	Tenant      login.Tenant
	Connection  id.Connection // one of several of a kind; empty: the only one
	LoginHint   string
	RedirectURI string
	State       string
	Challenge   string
	Method      string
	Cookie      bool // the browser shall get the session's cookies too
	Fresh       bool // the person shall prove themselves now
	Holder      id.User
	Browser     secret.Secret // what the browser holds already; zero: nothing
	Source      principal.Source
}

// Begun sends the browser to the provider.
type Begun struct {
	upstream.Sent
	Browser secret.Secret // what it must bring back, as a cookie
}

// errUnknown is one answer to an organization, domain or connection that does not exist, is switched off, or cannot be
// told from another.
func errUnknown() error {
	return fault.NotFoundf("There is no company sign-in of this kind here. Ask who gave you the address.")
}

var challengeAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// check refuses what no application that works would ask (RFC 7636 §4.2, RFC 6749 §4.1.1).
func (in Start) check() error {
	switch {
	case in.Challenge == "":
		return fault.Invalidf("code_challenge", "is required: BASE64URL(SHA256(code_verifier)), 43 characters")
	case in.Method != "S256":
		return fault.Invalidf("code_challenge_method", "must be S256")
	case len(in.Challenge) != 43 || strings.Trim(in.Challenge, challengeAlphabet) != "":
		return fault.Invalidf("code_challenge", "must be BASE64URL(SHA256(code_verifier)), 43 characters")
	case in.RedirectURI == "" || len(in.RedirectURI) > maxRedirect:
		return fault.Invalidf("redirect_uri", "is required, with at most %d characters", maxRedirect)
	case len(in.State) > MaxClientState:
		return fault.Invalidf("state", "must have at most %d bytes", MaxClientState)
	case len(in.LoginHint) > 320:
		return fault.Invalidf("login_hint", "must have at most 320 characters")
	}
	return nil
}

// find gives the organization and the connection that a beginning means (A21): the organization that is named, else the
// one of the login hint's domain, else the only one that registered the redirect_uri for this kind.
func (s *Service) find(ctx context.Context, in Start) (org organization.Organization, c connection.Connection,
	err error) {
	orgID, wanted := in.Tenant.ID, in.Connection
	if in.Tenant.Unknown || in.Tenant.Closed {
		return org, c, errUnknown()
	}
	if _, domain, ok := strings.Cut(in.LoginHint, "@"); ok {
		d, err := s.Connections.ByDomain(ctx, strings.ToLower(domain))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return org, c, err
		}
		if err == nil && (orgID == "" || orgID == d.Organization) {
			orgID = d.Organization
			if wanted == "" {
				wanted = d.Connection
			}
		}
	}
	if orgID == "" {
		if orgID, err = s.Connections.ByRedirect(ctx, in.RedirectURI, in.Kind); err != nil {
			return org, c, unknown(err)
		}
	}
	if org, err = s.Organizations.Facts(ctx, orgID); err != nil {
		return org, c, unknown(err)
	}
	if wanted != "" {
		c, err = s.Connections.Facts(ctx, orgID, wanted)
		if err == nil && c.Kind != in.Kind && in.Connection == "" { // the domain's own is of another kind
			c, err = s.Connections.OnlyActive(ctx, orgID, in.Kind)
		}
	} else {
		c, err = s.Connections.OnlyActive(ctx, orgID, in.Kind)
	}
	if err != nil {
		return org, c, unknown(err)
	}
	if org.State != organization.Active || c.State != connection.Active || c.Kind != in.Kind {
		return org, c, errUnknown()
	}
	return org, c, nil
}

func unknown(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errUnknown()
	}
	return err
}

// Begin begins a sign-in. Nothing of what is wrong leads the browser anywhere: only a redirect_uri that the
// organization registered, byte by byte, is one.
func (s *Service) Begin(ctx context.Context, in Start) (Begun, error) {
	if err := in.check(); err != nil {
		return Begun{}, err
	}
	org, c, err := s.find(ctx, in)
	if err != nil {
		return Begun{}, err
	}
	if !slices.Contains(org.Settings.RedirectURIs, in.RedirectURI) {
		return Begun{}, fault.Invalidf("redirect_uri", "is not registered: an administrator adds it to the "+
			"organization's redirectUris, exactly as it is sent")
	}
	if err := s.admit(ctx, c, in.Source); err != nil {
		return Begun{}, err
	}
	return s.send(ctx, c, flow{
		Kind:      c.Kind,
		Redirect:  in.RedirectURI,
		State:     in.State,
		Challenge: in.Challenge,
		Cookie:    in.Cookie,
		Holder:    in.Holder,
		Round:     upstream.Round{LoginHint: in.LoginHint, Fresh: in.Fresh},
	}, in.Browser)
}

// admit bounds how many rounds a network and a connection begin.
func (s *Service) admit(ctx context.Context, c connection.Connection, source principal.Source) error {
	now := s.Now()
	for _, limit := range []struct {
		what string
		most int
	}{{"sso from " + attempt.Network(source.Address), startsOfNetwork},
		{"sso through " + string(c.ID), startsOfConnection}} {
		d := s.Limiter.Take(ctx, ratelimit.Key(c.Organization, limit.what), limit.most, now)
		if !d.Allowed {
			return fault.Limitedf(fault.CodeRateLimited, d.Reset, "Too many company sign-ins are begun. Try again "+
				"shortly.")
		}
	}
	return nil
}

// Answered bounds how many answers of providers a network brings, before they are looked at.
func (s *Service) Answered(ctx context.Context, source principal.Source) error {
	return s.spare(ctx, "sso answers", answersOfNetwork, source)
}

// spare bounds what a network may ask of nobody in particular.
func (s *Service) spare(ctx context.Context, what string, most int, source principal.Source) error {
	operator, err := s.Organizations.Operator(ctx)
	if fault.Is(err, fault.NotFound) { // not set up: there is nothing to sign in to
		return nil
	}
	if err != nil {
		return err
	}
	d := s.Limiter.Take(ctx, ratelimit.Key(operator.ID, what+" from "+attempt.Network(source.Address)), most, s.Now())
	if !d.Allowed {
		return fault.Limitedf(fault.CodeRateLimited, d.Reset, "Too many requests from this address. Try again shortly.")
	}
	return nil
}

// secretBytes are 256 random bits.
const secretBytes = 32

// send writes the round down and gives the address at the provider.
func (s *Service) send(ctx context.Context, c connection.Connection, f flow, browser secret.Secret) (Begun, error) {
	if len(browser.Reveal()) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		browser = secret.Token("", secretBytes)
	}
	f.Browser, f.Round.Callback = digestOf(browser), s.Callback(c)
	if c.Kind != connection.SAML {
		f.Round.Nonce, f.Round.Verifier = secret.Token("", secretBytes).Reveal(), oauth2.GenerateVerifier()
	}
	payload, err := json.Marshal(f)
	if err != nil {
		return Begun{}, fmt.Errorf("state of a sign-in: %w", err)
	}
	now := s.Now()
	var handle secret.Secret
	err = s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		handle, err = s.OneTime.Begin(ctx, tx, c.Organization, purposeRound, "", string(c.ID), string(payload), now,
			now.Add(RoundLifetime))
		return err
	})
	if err != nil {
		return Begun{}, err
	}
	f.Round.State, f.Round.Request = handle.Reveal(), upstream.RequestID(handle.Reveal())
	var to upstream.Sent
	if c.Kind == connection.SAML {
		to, err = s.SAML.Begin(c, f.Round)
	} else {
		to.URL, err = s.OpenID.Begin(ctx, c, f.Round)
	}
	return Begun{to, browser}, told(err)
}

// told keeps the cause of trouble with a provider from who signs in.
func told(err error) error {
	var u *upstream.Unreachable
	if errors.As(err, &u) {
		return errors.Unwrap(u)
	}
	return err
}

func digestOf(browser secret.Secret) string {
	sum := sha256.Sum256([]byte(browser.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Callback is the address of ours to which a connection's provider answers.
func (s *Service) Callback(c connection.Connection) string {
	if c.OwnAddress {
		return s.PublicURL.String() + OwnCallback(c.ID)
	}
	return s.PublicURL.String() + SharedCallback(c.Kind)
}

// SharedCallback is the path that all connections of a kind share.
func SharedCallback(kind connection.Kind) string { return "/v1/auth/sso/" + string(kind) + "/callback" }

// OwnCallback is the path of one connection.
func OwnCallback(c id.Connection) string {
	return "/v1/auth/sso/connections/" + string(c) + "/callback"
}

// equal compares in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
