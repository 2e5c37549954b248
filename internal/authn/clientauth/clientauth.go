package clientauth

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

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
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

// Credential is how a client says who it is: exactly one way.
type Credential struct {
	id        string
	secret    secret.Secret
	assertion string
	chain     []*x509.Certificate
}

func errRequest(message string) error {
	return fault.New(fault.Invalid, fault.CodeValidation, message)
}

func errFailed() *fault.Error {
	return fault.New(fault.Unauthenticated, CodeInvalidClient, "The client is unknown, or its authentication is wrong.")
}

// Read finds the one client authentication of a request (RFC 6749 §2.3): Basic, the form, an assertion, or the
// certificate of the connection. Two at once are refused, but for a secret in the form that repeats Basic.
func (a *Authenticator) Read(r *http.Request, form url.Values) (c Credential, err error) {
	authorization := r.Header["Authorization"]
	inForm, asserted := form.Get("client_secret") != "", form.Get("client_assertion") != "" ||
		form.Get("client_assertion_type") != ""
	switch {
	case len(authorization) > 1:
		return c, errRequest("Authorization is repeated.")
	case len(authorization) == 1 && asserted, inForm && asserted:
		return c, errRequest("Use one way of client authentication, not two.")
	case len(authorization) == 1:
		return readBasic(authorization[0], form.Get("client_id"), form.Get("client_secret"))
	case asserted:
		if form.Get("client_assertion_type") != AssertionType {
			return c, errRequest("client_assertion_type must be " + AssertionType + ".")
		}
		return Credential{id: form.Get("client_id"), assertion: form.Get("client_assertion")}, nil
	case inForm:
		return Credential{id: form.Get("client_id"), secret: secret.New(form.Get("client_secret"))}, nil
	}
	c.id = form.Get("client_id")
	if c.id == "" {
		return c, errFailed()
	}
	c.chain, err = a.Certificates(r)
	return c, err
}

// Door is where a client authenticates, and if the address says so, the organization it must be of.
type Door struct {
	Door         token.Door
	Organization string // slug; empty: any
}

// ReadBasic reads the one way that a door takes which knows no other: the Basic header (RFC 6749 §2.3.1). The body may
// repeat what it says.
func ReadBasic(r *http.Request, bodyID, bodySecret string) (c Credential, err error) {
	authorization := r.Header["Authorization"]
	switch len(authorization) {
	case 0:
		return c, errFailed()
	case 1:
		return readBasic(authorization[0], bodyID, bodySecret)
	}
	return c, errRequest("Authorization is repeated.")
}

// WithSecret is a client that names itself and its secret in a body of the door's own.
func WithSecret(clientID, value string) Credential {
	return Credential{id: clientID, secret: secret.New(value)}
}

// readBasic reads id and secret, which are form-encoded before they are joined (RFC 6749 §2.3.1). Apache APISIX and
// lua-resty-openidc say both again in the body. That is one way of authentication as long as it is the same pair.
func readBasic(header, bodyID, bodySecret string) (c Credential, err error) {
	scheme, value, _ := strings.Cut(header, " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(value, " "))
	user, password, ok := strings.Cut(string(raw), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return c, errFailed()
	}
	clientID, err1 := url.QueryUnescape(user)
	plain, err2 := url.QueryUnescape(password)
	if err1 != nil || err2 != nil {
		return c, errFailed()
	}
	if bodyID != "" && bodyID != clientID {
		return c, errRequest("client_id and Authorization name different clients.")
	}
	if bodySecret != "" && bodySecret != plain {
		return c, errRequest("client_secret and Authorization hold different secrets. Send the secret once.")
	}
	return Credential{id: clientID, secret: secret.New(plain)}, nil
}

// Authenticator authenticates OAuth clients at the token, introspection and revocation endpoints.
type Authenticator struct {
	authn.Services
	OneTime *onetime.Service
	Issuer  string
	Keys    *KeySets
	Roots   *x509.CertPool // who signs the certificates of tls_client_auth; nil: nobody
	Log     *slog.Logger
}

// Authenticate proves a client. Every failure is the same answer; why is in the log, since a right secret in the wrong
// place is how a stolen one shows.
func (a *Authenticator) Authenticate(ctx context.Context, at Door, c Credential,
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
func (a *Authenticator) place(ctx context.Context, at Door, proof token.ClientProof, source principal.Source) error {
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
	case authn.Resting(at.Door, org):
		return because("the organization's systems use the other kind of credential")
	case !credential.Allowed(proof.Client.Addresses, source.Address):
		return because("the client may not be used from this address")
	}
	return nil
}

func (a *Authenticator) prove(ctx context.Context, c Credential, address string) (token.ClientProof, error) {
	switch {
	case !c.secret.IsZero():
		return a.bySecret(ctx, c, address)
	case c.assertion != "":
		return a.byAssertion(ctx, c)
	case len(c.chain) > 0:
		return a.byCertificate(ctx, c)
	}
	return token.ClientProof{}, errFailed()
}

// because keeps why for the log.
func because(why string) error { return errFailed().Because(errors.New(why)) }

// bySecret finds the secret by its digest and then asks whose it is, so that an unknown client and a wrong secret are
// the same work.
func (a *Authenticator) bySecret(ctx context.Context, c Credential, address string) (proof token.ClientProof,
	err error) {
	value := c.secret.Reveal()
	if !credential.ClientSecret.Matches(value) {
		if credential.ClientSecret.Matches(strings.Trim(value, " \t\r\n"+bom.Mark)) {
			return proof, because("the secret has white space or a line end around it, as a file has at its end")
		}
		return proof, because("not a client secret")
	}
	found, err := a.LookUp(ctx, a.Credentials.Digest(credential.ClientSecret, value), address)
	if fault.Is(err, fault.NotFound) {
		return proof, because("unknown secret")
	}
	if err != nil {
		return proof, err
	}
	if found.Kind != credential.ClientSecret || !found.Live(a.Now()) ||
		subtle.ConstantTimeCompare([]byte(found.Owner.ID), []byte(c.id)) != 1 {
		if found.Owner.ID == strings.TrimSpace(c.id) {
			return proof, because("the client_id has white space or a line end around it")
		}
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

func (a *Authenticator) find(ctx context.Context, text string) (client.Client, error) {
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
