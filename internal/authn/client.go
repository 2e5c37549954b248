package authn

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

// AssertionType is the client_assertion_type of a JWT (RFC 7523 §2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// CodeInvalidClient is every failed client authentication (RFC 6749 §5.2).
const CodeInvalidClient = "INVALID_CLIENT"

// ClientCredential is how a client says who it is: exactly one way.
type ClientCredential struct {
	id        string
	secret    secret.Secret
	assertion string
	chain     []*x509.Certificate
}

func errClientRequest(message string) error {
	return fault.New(fault.Invalid, fault.CodeValidation, message)
}

func errClient() *fault.Error {
	return fault.New(fault.Unauthenticated, CodeInvalidClient, "The client is unknown, or its authentication is wrong.")
}

// ReadClient finds the one client authentication of a request (RFC 6749 §2.3): Basic, the form, an assertion, or the
// certificate of the connection. Two at once are refused.
func (a *Clients) ReadClient(r *http.Request, form url.Values) (c ClientCredential, err error) {
	authorization := r.Header["Authorization"]
	inForm, asserted := form.Get("client_secret") != "", form.Get("client_assertion") != "" ||
		form.Get("client_assertion_type") != ""
	switch {
	case len(authorization) > 1:
		return c, errClientRequest("Authorization is repeated.")
	case len(authorization) == 1 && (inForm || asserted), inForm && asserted:
		return c, errClientRequest("Use one way of client authentication, not two.")
	case len(authorization) == 1:
		return readBasic(authorization[0], form.Get("client_id"))
	case asserted:
		if form.Get("client_assertion_type") != AssertionType {
			return c, errClientRequest("client_assertion_type must be " + AssertionType + ".")
		}
		return ClientCredential{id: form.Get("client_id"), assertion: form.Get("client_assertion")}, nil
	case inForm:
		return ClientCredential{id: form.Get("client_id"), secret: secret.New(form.Get("client_secret"))}, nil
	}
	c.id = form.Get("client_id")
	if c.id == "" {
		return c, errClient()
	}
	c.chain, err = a.Certificates(r)
	return c, err
}

// ClientDoor is where a client authenticates, and if the address says so, the organization it must be of.
type ClientDoor struct {
	Door         token.Door
	Organization string // slug; empty: any
}

// BasicClient reads the one way that a door takes which knows no other: the Basic header (RFC 6749 §2.3.1).
func BasicClient(r *http.Request, named string) (c ClientCredential, err error) {
	authorization := r.Header["Authorization"]
	switch len(authorization) {
	case 0:
		return c, errClient()
	case 1:
		return readBasic(authorization[0], named)
	}
	return c, errClientRequest("Authorization is repeated.")
}

// SecretClient is a client that names itself and its secret in a body of the door's own.
func SecretClient(clientID, value string) ClientCredential {
	return ClientCredential{id: clientID, secret: secret.New(value)}
}

// readBasic reads id and secret, which are form-encoded before they are joined (RFC 6749 §2.3.1).
func readBasic(header, named string) (c ClientCredential, err error) {
	scheme, value, _ := strings.Cut(header, " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(value, " "))
	user, password, ok := strings.Cut(string(raw), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return c, errClient()
	}
	clientID, err1 := url.QueryUnescape(user)
	plain, err2 := url.QueryUnescape(password)
	if err1 != nil || err2 != nil {
		return c, errClient()
	}
	if named != "" && named != clientID {
		return c, errClientRequest("client_id and Authorization name different clients.")
	}
	return ClientCredential{id: clientID, secret: secret.New(plain)}, nil
}

// Clients authenticates OAuth clients at the token, introspection and revocation endpoints.
type Clients struct {
	Services
	OneTime *onetime.Service
	Issuer  string
	Keys    *KeySets
	Roots   *x509.CertPool // who signs the certificates of tls_client_auth; nil: nobody
	Log     *slog.Logger
}

// Authenticate proves a client. Every failure is the same answer; why is in the log, since a right secret in the wrong
// place is how a stolen one shows.
func (a *Clients) Authenticate(ctx context.Context, at ClientDoor, c ClientCredential,
	source principal.Source) (token.ClientProof, ratelimit.Decision, error) {
	proof, err := a.prove(ctx, c, source.Address)
	proof.Door = at.Door
	if err == nil {
		err = a.place(ctx, at, proof, source)
	}
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			a.Log.LogAttrs(ctx, slog.LevelInfo, "client authentication failed",
				slog.String("requestId", string(source.Request)), slog.String("address", source.Address),
				slog.String("client", string(proof.Client.ID)), slog.String("door", string(at.Door)),
				slog.Any("why", errors.Unwrap(err)))
		}
		return proof, ratelimit.Decision{}, err
	}
	now := a.Now()
	var limit ratelimit.Decision
	if n := proof.Client.RateLimit; n > 0 {
		limit = a.Limiter.Take(ctx, invalidation.Key{Organization: proof.Client.Organization,
			ID: string(proof.Client.ID)}, n, now)
		if !limit.Allowed {
			return proof, limit, fault.Limitedf(fault.CodeRateLimited, limit.Reset,
				"The client's limit of %d requests a minute is used up.", n)
		}
	}
	a.Clients.Touch(proof.Client, now)
	if proof.Credential != "" {
		used, err := a.Credentials.Facts(ctx, proof.Client.Organization, proof.Credential)
		if err != nil {
			return proof, limit, err
		}
		a.Credentials.Touch(used, now)
	}
	return proof, limit, nil
}

// place judges where and from where a proven client asks.
func (a *Clients) place(ctx context.Context, at ClientDoor, proof token.ClientProof, source principal.Source) error {
	org, err := a.Organizations.Facts(ctx, proof.Client.Organization)
	if err != nil {
		return err
	}
	switch {
	case org.State != organization.Active:
		return because("the organization is " + string(org.State))
	case proof.Client.State != client.Active:
		return because("the client is " + string(proof.Client.State))
	case at.Organization != "" && at.Organization != org.Slug:
		return because("the address names another organization")
	case at.Door == token.ServiceBroker && org.MachineCredential != organization.OAuth2: // D7
		return because("the organization's systems use the other kind of credential")
	case !credential.Allowed(proof.Client.Addresses, source.Address):
		return because("the client may not be used from this address")
	}
	return nil
}

func (a *Clients) prove(ctx context.Context, c ClientCredential, address string) (token.ClientProof, error) {
	switch {
	case !c.secret.IsZero():
		return a.bySecret(ctx, c, address)
	case c.assertion != "":
		return a.byAssertion(ctx, c)
	case len(c.chain) > 0:
		return a.byCertificate(ctx, c)
	}
	return token.ClientProof{}, errClient()
}

// because keeps why for the log.
func because(why string) error { return errClient().Because(errors.New(why)) }

// bySecret finds the secret by its digest and then asks whose it is, so that an unknown client and a wrong secret are
// the same work.
func (a *Clients) bySecret(ctx context.Context, c ClientCredential, address string) (proof token.ClientProof,
	err error) {
	value := c.secret.Reveal()
	if !credential.ClientSecret.Matches(value) {
		return proof, because("not a client secret")
	}
	found, err := a.lookUp(ctx, a.Credentials.Digest(credential.ClientSecret, value), address)
	if fault.Is(err, fault.NotFound) {
		return proof, because("unknown secret")
	}
	if err != nil {
		return proof, err
	}
	if found.Kind != credential.ClientSecret || !found.Live(a.Now()) ||
		subtle.ConstantTimeCompare([]byte(found.Owner.ID), []byte(c.id)) != 1 {
		return proof, because("the secret has ended or is another client's")
	}
	proof.Client, err = a.Clients.Facts(ctx, found.Organization, id.Client(found.Owner.ID))
	if err != nil {
		return proof, err
	}
	if proof.Client.Authentication.Method != client.Secret {
		return proof, because("the client does not authenticate with a secret")
	}
	proof.Credential = found.ID
	return proof, nil
}

func (a *Clients) find(ctx context.Context, text string) (client.Client, error) {
	clientID, err := id.Parse[id.Client](text)
	if err != nil {
		return client.Client{}, because("not a client id")
	}
	c, err := a.Clients.Find(ctx, clientID)
	if fault.Is(err, fault.NotFound) {
		return c, because("unknown client")
	}
	return c, err
}

// The bounds of an assertion.
const (
	maxAssertionLifetime = 5 * time.Minute
	assertionLeeway      = 10 * time.Second
	maxJTI               = 256
	purposeAssertion     = "client_assertion"
)

// assertionClaims are those of RFC 7523 §3.
type assertionClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Expires   float64  `json:"exp"`
	NotBefore float64  `json:"nbf"`
	IssuedAt  float64  `json:"iat"`
	ID        string   `json:"jti"`
}

// byAssertion verifies a JWT that the client signed (RFC 7523 §2.2). Its audience is this server's issuer and nothing
// else, so that an assertion made for another server, or for any of several, is none here. Each works once.
func (a *Clients) byAssertion(ctx context.Context, c ClientCredential) (proof token.ClientProof, err error) {
	h, err := jwt.ReadAssertion(c.assertion)
	if err != nil {
		return proof, because("malformed assertion")
	}
	if h.Type != "" && !strings.EqualFold(h.Type, "JWT") && h.Type != "client-authentication+jwt" {
		return proof, because("the typ of the assertion is " + h.Type)
	}
	if c.id != "" && c.id != h.Subject {
		return proof, because("client_id and sub differ")
	}
	if proof.Client, err = a.find(ctx, h.Subject); err != nil {
		return proof, err
	}
	if proof.Client.Authentication.Method != client.PrivateKeyJWT {
		return proof, because("the client does not authenticate with an assertion")
	}
	payload, err := a.verifyAssertion(ctx, c.assertion, h, proof.Client)
	if err != nil {
		return proof, err
	}
	var claims assertionClaims
	if err := jwt.Decode(payload, &claims); err != nil {
		return proof, because("the claims are not JSON as they should be")
	}
	now := a.Now()
	expires, clock := unix(claims.Expires), now.Add(assertionLeeway)
	switch {
	case claims.Issuer != string(proof.Client.ID) || claims.Subject != string(proof.Client.ID):
		return proof, because("iss and sub must be the client_id")
	case claims.Audience != audience(a.Issuer):
		return proof, because("aud must be the issuer and nothing else")
	case claims.Expires == 0 || !now.Before(expires):
		return proof, because("expired, or without exp")
	case expires.After(clock.Add(maxAssertionLifetime)):
		return proof, because("exp is more than five minutes away")
	case unix(claims.NotBefore).After(clock) || unix(claims.IssuedAt).After(clock):
		return proof, because("not valid yet")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return proof, because("without a jti of 1 to 256 characters")
	}
	fresh, err := a.OneTime.Mark(ctx, proof.Client.Organization, purposeAssertion, string(proof.Client.ID), claims.ID,
		now, expires.Add(assertionLeeway))
	if err == nil && !fresh {
		err = because("the jti was used before")
	}
	return proof, err
}

func unix(seconds float64) time.Time {
	const far = 1 << 40
	return time.Unix(int64(min(max(seconds, 0), far)), 0)
}

// audience reads one audience: a string, or a list of exactly one.
type audience string

// UnmarshalJSON reads `aud`.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if jwt.Decode(raw, &one) == nil {
		*a = audience(one)
		return nil
	}
	var list []string
	if err := jwt.Decode(raw, &list); err != nil || len(list) != 1 {
		return errors.New("want exactly one audience")
	}
	*a = audience(list[0])
	return nil
}

// verifyAssertion tries the client's registered keys: the one the header names, or the only one.
func (a *Clients) verifyAssertion(ctx context.Context, assertion string, h jwt.AssertionHeader,
	c client.Client) ([]byte, error) {
	set, err := a.Keys.Of(ctx, c, h.KeyID)
	if err != nil {
		return nil, because("the client's keys cannot be had: " + err.Error())
	}
	for _, k := range candidates(set, h.KeyID) {
		if payload, err := jwt.VerifyAssertion(assertion, h.Algorithm, k); err == nil {
			return payload, nil
		}
	}
	return nil, because("no registered key verifies the assertion")
}

func candidates(set *jose.JSONWebKeySet, kid string) []jose.JSONWebKey {
	if kid != "" {
		if named := set.Key(kid); len(named) > 0 {
			return named
		}
	}
	if len(set.Keys) == 1 && (kid == "" || set.Keys[0].KeyID == "") {
		return set.Keys
	}
	return nil
}

// byCertificate checks the certificate of the connection (RFC 8705 §2): its name under a trusted issuer, or its
// thumbprint.
func (a *Clients) byCertificate(ctx context.Context, c ClientCredential) (proof token.ClientProof, err error) {
	if proof.Client, err = a.find(ctx, c.id); err != nil {
		return proof, err
	}
	leaf, now, how := c.chain[0], a.Now(), proof.Client.Authentication
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return proof, because("the certificate is not valid at this time")
	}
	thumbprint := Thumbprint(leaf.Raw)
	switch how.Method {
	case client.SelfSignedTLS:
		ok := 0
		for _, t := range how.Thumbprints {
			ok |= subtle.ConstantTimeCompare([]byte(t), []byte(thumbprint))
		}
		if ok != 1 {
			return proof, because("the certificate is not one of the client's")
		}
	case client.TLS:
		if err := a.verifyChain(c.chain, now); err != nil {
			return proof, because("the certificate does not lead to a trusted issuer: " + err.Error())
		}
		if !named(leaf, how) {
			return proof, because("the certificate has another name: " + leaf.Subject.String())
		}
	default:
		return proof, because("the client does not authenticate with a certificate")
	}
	if proof.Client.CertificateBound {
		proof.Thumbprint = thumbprint
	}
	return proof, nil
}

func (a *Clients) verifyChain(chain []*x509.Certificate, now time.Time) error {
	if a.Roots == nil {
		return errors.New("mtls.ca_file is not set")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: a.Roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func named(leaf *x509.Certificate, how client.Authentication) bool {
	switch {
	case how.SubjectDN != "":
		return leaf.Subject.String() == how.SubjectDN
	case how.SANDNS != "":
		for _, n := range leaf.DNSNames {
			if strings.EqualFold(n, how.SANDNS) {
				return true
			}
		}
	case how.SANURI != "":
		for _, u := range leaf.URIs {
			if u.String() == how.SANURI {
				return true
			}
		}
	}
	return false
}
