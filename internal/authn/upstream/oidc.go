package upstream

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// OpenID is this server as a relying party.
type OpenID struct {
	Providers *Providers
	get       *outbound.Client
	now       func() time.Time
	log       *slog.Logger
	groups    *groupReader
}

// NewOpenID makes a relying party that asks through get.
func NewOpenID(get *outbound.Client, places connection.Places, now func() time.Time, log *slog.Logger) *OpenID {
	return &OpenID{Providers: NewProviders(get, now), get: get, now: now, log: log,
		groups: newGroupReader(get, places, now)}
}

// Round is one sign-in at a provider: what was said when it began, and must hold when it ends.
type Round struct {
	State    string `json:"state,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	Verifier string `json:"verifier,omitempty"` // of PKCE (RFC 7636)
	Callback string `json:"callback"`           // the address of ours to which the provider answers
	Request  string `json:"request,omitempty"`  // SAML: the ID of what was asked

	LoginHint string `json:"-"`
	Fresh     bool   `json:"fresh,omitempty"` // the person shall prove themselves now, whatever session they have there
}

func (o *OpenID) client(c connection.Connection, d *document, callback string) oauth2.Config {
	cfg := oauth2.Config{ClientID: c.OpenID.ClientID, RedirectURL: callback, Scopes: c.OpenID.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.AuthorizationEndpoint, TokenURL: d.TokenEndpoint,
			AuthStyle: oauth2.AuthStyleInHeader}}
	switch c.OpenID.Authentication {
	case connection.PrivateKeyJWT:
		cfg.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	case connection.SecretPost:
		cfg.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		cfg.ClientSecret = c.Secrets.ClientSecret.Reveal()
	default:
		cfg.ClientSecret = c.Secrets.ClientSecret.Reveal()
	}
	return cfg
}

// Begin gives the address at the provider to which the browser goes: code flow with state, nonce and PKCE.
func (o *OpenID) Begin(ctx context.Context, c connection.Connection, r Round) (string, error) {
	d, err := o.Providers.document(ctx, c)
	if err != nil {
		return "", o.trouble(ctx, c, err)
	}
	cfg := o.client(c, d, r.Callback)
	options := []oauth2.AuthCodeOption{oidc.Nonce(r.Nonce), oauth2.S256ChallengeOption(r.Verifier)}
	set := func(name, value string) { options = append(options, oauth2.SetAuthURLParam(name, value)) }
	if r.LoginHint != "" {
		set("login_hint", r.LoginHint)
	}
	if len(c.Trust.ACR) > 0 {
		set("acr_values", strings.Join(c.Trust.ACR, " "))
	}
	if r.Fresh {
		set("prompt", "login")
		set("max_age", "0")
	}
	if c.Kind == connection.Google { // tunes what Google offers; what counts is in the token
		set("hd", hostedDomainHint(c.OpenID.HostedDomains))
	}
	return cfg.AuthCodeURL(r.State, options...), nil
}

func hostedDomainHint(domains []string) string {
	if len(domains) == 1 {
		return domains[0]
	}
	return "*"
}

// trouble logs why a provider could not be asked and gives the answer for who signs in.
func (o *OpenID) trouble(ctx context.Context, c connection.Connection, err error) error {
	o.log.WarnContext(ctx, "an identity provider could not be asked", "connection", c.ID, "why", printable(err))
	return &Unreachable{err}
}

// Unreachable says that a provider did not answer, or not usefully. Its cause is for administrators.
type Unreachable struct{ Cause error }

// Error is the cause.
func (u *Unreachable) Error() string { return u.Cause.Error() }

// Unwrap gives what who signs in is told.
func (u *Unreachable) Unwrap() error {
	return fault.Unavailablef(10*time.Second, "Your company's sign-in does not answer. Try again shortly.")
}

// CodeResponse is what the provider sent the browser back with (RFC 6749 §4.1.2, RFC 9207).
type CodeResponse struct {
	Code      string
	Issuer    string // iss
	HasIssuer bool
}

// Finish redeems the code and judges the ID token. Without an error every check passed. A Failure names those that did
// not; the answer then is for the test sign-in alone.
func (o *OpenID) Finish(ctx context.Context, c connection.Connection, round Round, res CodeResponse) (Answer, error) {
	d, err := o.Providers.document(ctx, c)
	if err != nil {
		return Answer{}, o.trouble(ctx, c, err)
	}
	r := &report{}
	if d.IssuerParameter || res.HasIssuer {
		if !r.want("response_issuer", res.Issuer == d.Issuer && res.HasIssuer, res.Issuer,
			"The answer must come from the connection's own provider (iss, RFC 9207). Begin again; if it stays, the "+
				"issuer is not that provider's.") {
			return Answer{Checks: r.checks}, r.err()
		}
	}
	token, err := o.redeem(ctx, c, d, round, res.Code)
	if err != nil {
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) {
			return Answer{}, o.trouble(ctx, c, err)
		}
		r.want("code", false, refused.ErrorCode+" "+refused.ErrorDescription, "The provider did not take the code. "+
			"invalid_client: the client secret is wrong or has expired. invalid_grant: the redirect address there "+
			"is not "+round.Callback+".")
		return Answer{Checks: r.checks}, r.err()
	}
	raw, _ := token.Extra("id_token").(string)
	if !r.want("id_token", raw != "", "nothing", "The provider gave no ID token: the scope openid must be allowed.") {
		return Answer{Checks: r.checks}, r.err()
	}
	return o.judge(ctx, c, d, r, raw, round, token)
}

// redeem turns the code into tokens. The library is told how to authenticate, so that it never sends a code twice.
func (o *OpenID) redeem(ctx context.Context, c connection.Connection, d *document, round Round,
	code string) (*oauth2.Token, error) {
	cfg := o.client(c, d, round.Callback)
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(round.Verifier)}
	if c.OpenID.Authentication == connection.PrivateKeyJWT {
		assertion, err := o.assertion(c, d.TokenEndpoint)
		if err != nil {
			return nil, err
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion", assertion),
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
	}
	return cfg.Exchange(context.WithValue(ctx, oauth2.HTTPClient, o.get.HTTP()), code, options...)
}

// judge verifies an ID token (OpenID Connect Core §3.1.3.7) and makes a person of it.
func (o *OpenID) judge(ctx context.Context, c connection.Connection, d *document, r *report, raw string, round Round,
	token *oauth2.Token) (Answer, error) {
	payload, err := keys{o.Providers, c}.VerifySignature(ctx, raw)
	if unread := new(unreadKeys); errors.As(err, &unread) {
		return Answer{Checks: r.checks}, o.trouble(ctx, c, unread.cause)
	}
	if !r.want("signature", err == nil, err, "The ID token must be signed by one of the provider's published keys "+
		"with "+strings.Join(c.OpenID.Algorithms, " or ")+" (signingAlgorithms).") {
		return Answer{Checks: r.checks}, r.err()
	}
	var told claims
	if err := json.Unmarshal(payload, &told); !r.want("claims", err == nil && told != nil, "no JSON object",
		"The ID token's payload must be one JSON object without repeated members.") {
		return Answer{Checks: r.checks}, r.err()
	}
	o.checkClaims(r, c, told, round)
	// the library's own judgement of issuer, audience and signature beside ours
	verifier := oidc.NewVerifier(d.Issuer, keys{o.Providers, c}, &oidc.Config{ClientID: c.OpenID.ClientID,
		SupportedSigningAlgs: c.OpenID.Algorithms, SkipExpiryCheck: true, Now: o.now})
	verified, err := verifier.Verify(ctx, raw)
	r.want("library", err == nil, err, "")
	if err == nil && verified.AccessTokenHash != "" {
		r.want("at_hash", verified.VerifyAccessToken(token.AccessToken) == nil, "another access token's",
			"The ID token must belong to the access token beside it.")
	}
	if err := r.err(); err != nil {
		return Answer{Claims: told, Checks: r.checks}, err
	}
	if c.OpenID.UserInfo {
		if err := o.userInfo(ctx, d, r, token, told); err != nil {
			return Answer{Claims: told, Checks: r.checks}, o.trouble(ctx, c, err)
		}
	}
	a := o.person(c, r, told)
	a.Claims, a.Checks = told, r.checks
	if err := r.err(); err != nil {
		return a, err
	}
	if err := o.readGroups(ctx, c, d, &a, token); err != nil {
		o.log.WarnContext(ctx, "groups could not be read from an identity provider", "connection", c.ID, "why",
			printable(err))
		a.Groups, a.GroupsKnown = nil, false
		a.Checks = append(a.Checks, Check{Name: "groups", Passed: false, Found: printable(err),
			Remedy: "Groups could not be read: the last known ones hold."})
	}
	return a, nil
}

// skew is how far the clocks of provider and server may be apart, and stale how old an ID token may be.
const (
	skew  = 2 * time.Minute
	stale = 10 * time.Minute
)

// checkClaims holds an ID token to what was asked.
func (o *OpenID) checkClaims(r *report, c connection.Connection, told claims, round Round) {
	issuer := told.text("iss")
	right := issuer == c.OpenID.Issuer
	if c.Kind == connection.Google { // two spellings, both documented
		right = right || "https://"+issuer == c.OpenID.Issuer
	}
	_, isText := told["iss"].(string)
	r.want("issuer", right && isText, told["iss"], "The connection's issuer must be what the token says in iss.")
	audience, listed := told.list("aud")
	ours := false
	for _, a := range audience {
		ours = ours || a == c.OpenID.ClientID
	}
	r.want("audience", listed && ours && c.OpenID.ClientID != "", told["aud"], "The connection's clientId must be "+
		"that of the application at the provider.")
	azp, has := told["azp"].(string)
	_, there := told["azp"]
	r.want("authorized_party", (!there && len(audience) == 1) || (has && azp == c.OpenID.ClientID), told["azp"],
		"A token for several audiences must name this client in azp.")
	o.checkTimes(r, told)
	nonce, _ := told["nonce"].(string)
	r.want("nonce", round.Nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(round.Nonce)) == 1,
		"another", "The provider must return the nonce that it was asked with. Begin again.")
	subject, isText := told["sub"].(string)
	r.want("subject", isText && isName(subject), told["sub"],
		"The token must say in sub who signed in, in at most 255 bytes.")
	if round.Fresh {
		at, ok := told.moment("auth_time")
		r.want("auth_time", ok && o.now().Sub(at) <= stale, told["auth_time"], "The provider was asked for a new "+
			"proof and must tell when it was given (auth_time).")
	}
}

// checkTimes holds a token to this moment.
func (o *OpenID) checkTimes(r *report, told claims) {
	now := o.now()
	expires, ok := told.moment("exp")
	r.want("expiry", ok && now.Before(expires.Add(skew)), told["exp"], "The token has expired: the clock of this "+
		"server or the provider's is wrong.")
	issued, ok := told.moment("iat")
	r.want("issued_at", ok && issued.Before(now.Add(skew)) && now.Sub(issued) <= stale, told["iat"],
		"The token was issued too long ago, or in the future: the clock of this server or the provider's is wrong.")
	if _, there := told["nbf"]; there {
		from, ok := told.moment("nbf")
		r.want("not_before", ok && from.Before(now.Add(skew)), told["nbf"], "The token is not valid yet: the clock "+
			"of this server or the provider's is wrong.")
	}
}

// userInfo adds what the userinfo endpoint says; what the ID token says stays. Its subject must be the same (OpenID
// Connect Core §5.3.2).
func (o *OpenID) userInfo(ctx context.Context, d *document, r *report, token *oauth2.Token, told claims) error {
	if !r.want("userinfo", d.UserInfoEndpoint != "", "no endpoint", "The provider has no userinfo endpoint: set "+
		"userInfo to false.") {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.UserInfoEndpoint, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	req.Header.Set("Accept", "application/json")
	var more claims
	if err := answer(o.get.HTTP(), req, &more); err != nil {
		return fmt.Errorf("userinfo: %w", err)
	}
	subject, _ := more["sub"].(string)
	if !r.want("userinfo_subject", subject != "" && subject == told["sub"], more["sub"],
		"The userinfo endpoint must tell about the same person as the ID token.") {
		return nil
	}
	// whether an address was verified is said beside it: one document's word is not about the other's address
	_, hasAddress := told["email"]
	if _, brings := more["email"]; brings && !hasAddress {
		delete(told, "email_verified")
	} else {
		delete(more, "email_verified")
	}
	for name, v := range more {
		if _, there := told[name]; !there {
			told[name] = v
		}
	}
	return nil
}

// spoken tells whether the address of a person is the one that a provider's word (email_verified, xms_edov) is about.
func spoken(m connection.Mapping) bool {
	return len(m.Email) == 0 || len(m.Email) == 1 && m.Email[0] == "email"
}

// person makes a person of claims that passed.
func (o *OpenID) person(c connection.Connection, r *report, told claims) Answer {
	var a Answer
	describe(&a.Person, told, c.Mapping)
	a.Subject, _ = told["sub"].(string)
	switch c.Kind {
	case connection.Entra:
		entra(&a, r, c, told)
	case connection.Google:
		google(&a, r, c, told)
	default:
		// a boolean and nothing else; where nothing is said, only the connection's word
		said, there := told["email_verified"]
		verified, _ := said.(bool)
		a.EmailVerified = verified && spoken(c.Mapping) || (!there || !spoken(c.Mapping)) && c.Trust.Email
	}
	a.AMR, _ = told.list("amr")
	a.ACR = told.text("acr")
	if a.Session = told.text("sid"); !isName(a.Session) {
		a.Session = ""
	}
	if at, ok := told.moment("auth_time"); ok && !at.After(o.now().Add(skew)) {
		a.AuthTime = at
	}
	return a
}

// answer reads a JSON object of a provider.
func answer(client *http.Client, req *http.Request, into any) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %d", res.StatusCode)
	}
	if err := json.UnmarshalRead(res.Body, into); err != nil {
		return errors.New("the answer is no JSON object")
	}
	return nil
}

// assertion proves this client to the provider (RFC 7523 §2.2).
func (o *OpenID) assertion(c connection.Connection, audience string) (string, error) {
	key, err := connection.ParseSigner(c.Secrets.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("the connection's private key %w", err)
	}
	return signAssertion(key, c.OpenID.KeyID, c.OpenID.ClientID, c.OpenID.ClientID, audience, o.now(), nil)
}

// algorithmOf is what a private key signs with.
func algorithmOf(public any) jose.SignatureAlgorithm {
	return jose.SignatureAlgorithm(jwt.ProviderAlgorithmsOf(jose.JSONWebKey{Key: public})[0])
}
