package upstream

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// SAML is this server as a service provider (SAML 2.0, Web Browser SSO Profile).
type SAML struct {
	get    *outbound.Client
	public *url.URL
	now    func() time.Time
	log    *slog.Logger
	parsed *bounded.Cache[bounded.Key, *parties] // by connection and version
}

// parties are the two sides of a connection, read once.
type parties struct {
	provider *Metadata
	keys     []*rsa.PrivateKey // of this server: the first signs
	cert     *x509.Certificate // of the first
}

// NewSAML makes a service provider.
func NewSAML(get *outbound.Client, public *url.URL, now func() time.Time, log *slog.Logger) *SAML {
	return &SAML{get: get, public: public, now: now, log: log, parsed: bounded.New[*parties](1000)}
}

// SharedEntityID is what this server calls itself to every SAML provider whose connection has no entityID of its own.
func (s *SAML) SharedEntityID() string { return s.public.String() + "/v1/auth/sso/saml/metadata" }

// EntityID is what this server calls itself to a connection's provider.
func (s *SAML) EntityID(c connection.Connection) string {
	if c.Assertion != nil && c.Assertion.OwnEntityID {
		return s.public.String() + "/v1/auth/sso/connections/" + string(c.ID) + "/metadata"
	}
	return s.SharedEntityID()
}

// Describe reads the metadata of a connection's provider, from its address if it has one, and writes down what is used
// of it.
func (s *SAML) Describe(ctx context.Context, a *connection.Assertion) error {
	raw := []byte(a.Metadata)
	if a.MetadataURL != "" {
		var err error
		if raw, err = s.get.Document(ctx, a.MetadataURL, "application/samlmetadata+xml, application/xml, "+
			"text/xml"); err != nil {
			s.log.InfoContext(ctx, "SAML metadata could not be read", "address", a.MetadataURL, "why", err)
			return errors.New("could not be read: " + outbound.Plainly(err))
		}
	}
	m, err := ParseMetadata(raw, s.get.CheckURL)
	if err != nil {
		return err
	}
	kept, err := m.reduced()
	if err != nil {
		return err
	}
	a.Metadata = string(kept)
	m.describe(a)
	return nil
}

// Suspicious tells why metadata that was read again is not taken over without a person's word; empty: it is.
func (s *SAML) Suspicious(c connection.Connection, fresh []byte) (string, error) {
	was, err := s.parties(c)
	if err != nil {
		return "", err
	}
	is, err := ParseMetadata(fresh, s.get.CheckURL)
	if err != nil {
		return "", err
	}
	return is.Suspicious(was.provider), nil
}

func (s *SAML) parties(c connection.Connection) (*parties, error) {
	at := bounded.Key{Scope: string(c.ID), ID: fmt.Sprint(c.UpdatedAt.UnixMilli())}
	if p, ok := s.parsed.Get(at); ok {
		return p, nil
	}
	p := &parties{}
	var err error
	if p.provider, err = ParseMetadata([]byte(c.Assertion.Metadata), s.get.CheckURL); err != nil {
		return nil, err
	}
	for _, k := range c.Secrets.Keys {
		key, cert, err := readKey(k)
		if err != nil {
			return nil, err
		}
		if p.keys = append(p.keys, key); p.cert == nil {
			p.cert = cert
		}
	}
	s.parsed.Set(at, p)
	return p, nil
}

// provider makes the library's service provider for one connection at this moment, with every switch that refuses.
func (s *SAML) provider(c connection.Connection, callback string) (*saml.ServiceProvider, *Metadata, error) {
	p, err := s.parties(c)
	if err != nil {
		return nil, nil, err
	}
	m := p.provider
	acs, err := url.Parse(callback)
	if err != nil {
		return nil, nil, err
	}
	entity, err := url.Parse(s.EntityID(c))
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	idp := *m.entity
	idp.ValidUntil = c.Assertion.ValidUntil
	sp := &saml.ServiceProvider{EntityID: entity.String(), MetadataURL: *entity, AcsURL: *acs,
		IDPMetadata: &idp, Clock: dsig.NewFakeClockAt(now), AuthnNameIDFormat: saml.UnspecifiedNameIDFormat,
		SendUnspecifiedNameIDFormat: true, RejectSHA1Signatures: true, RequireSignedResponseForCBC: true,
		RejectUnknownConditions: true, IgnoreCertificateExpiry: true, RejectExpiredIDPMetadata: true,
		LimitRelayStateLength: true, AssertionConsumerServiceBindings: []string{saml.HTTPPostBinding}}
	if f := c.Assertion.NameIDFormat; f != "" {
		sp.AuthnNameIDFormat = saml.NameIDFormat(f)
	}
	if until, err := time.Parse(time.DateOnly, c.Assertion.AllowSHA1Until); err == nil &&
		now.Before(until.AddDate(0, 0, 1)) {
		sp.RejectSHA1Signatures = false
	}
	if len(c.Trust.ACR) > 0 { // asked for; that one of them was given is judged with the second factor
		sp.RequestedAuthnContext = &saml.RequestedAuthnContext{
			Comparison:            "exact",
			AuthnContextClassRefs: c.Trust.ACR,
		}
	}
	if len(p.keys) > 0 {
		sp.Key, sp.Certificate, sp.DecryptionKeys = p.keys[0], p.cert, p.keys[1:]
	}
	if c.Assertion.SignRequests || m.WantsSigned {
		sp.SignatureMethod = dsig.RSASHA256SignatureMethod
	}
	return sp, m, nil
}

func readKey(k connection.OwnKey) (*rsa.PrivateKey, *x509.Certificate, error) {
	private, _ := pem.Decode([]byte(k.PrivateKey.Reveal()))
	public, _ := pem.Decode([]byte(k.Certificate))
	if private == nil || public == nil {
		return nil, nil, errors.New("a key of the connection cannot be read")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		return nil, nil, errors.New("a key of the connection cannot be read")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("a key of the connection is no RSA key")
	}
	cert, err := x509.ParseCertificate(public.Bytes)
	return key, cert, err
}

// OwnMetadata is what this server says about itself to the provider of a connection: with its keys, and the addresses
// that the connection has.
func (s *SAML) OwnMetadata(c connection.Connection, callback string) ([]byte, error) {
	sp, _, err := s.provider(c, callback)
	if err != nil {
		return nil, err
	}
	logout, err := url.Parse(s.LogoutAddress(c))
	if err != nil {
		return nil, err
	}
	sp.SloURL, sp.LogoutBindings = *logout, []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding}
	return writeMetadata(sp, c.Secrets.Keys)
}

// SharedMetadata is what it says to all providers alike. It has no keys: each connection has its own, in its own
// metadata.
func (s *SAML) SharedMetadata(callback string) ([]byte, error) {
	acs, err := url.Parse(callback)
	if err != nil {
		return nil, err
	}
	entity, err := url.Parse(s.SharedEntityID())
	if err != nil {
		return nil, err
	}
	return writeMetadata(&saml.ServiceProvider{EntityID: entity.String(), MetadataURL: *entity, AcsURL: *acs,
		AuthnNameIDFormat:                saml.UnspecifiedNameIDFormat,
		AssertionConsumerServiceBindings: []string{saml.HTTPPostBinding}}, nil)
}

// writeMetadata publishes each of the keys: the first signs, or will, and each decrypts.
func writeMetadata(sp *saml.ServiceProvider, keys []connection.OwnKey) ([]byte, error) {
	sp.MetadataOmitValidUntil = true
	entity := sp.Metadata()
	d := &entity.SPSSODescriptors[0]
	signed, want := sp.SignatureMethod != "", true
	d.AuthnRequestsSigned, d.WantAssertionsSigned = &signed, &want
	var encryption saml.KeyDescriptor // as the library lists what may encrypt
	for _, k := range d.KeyDescriptors {
		if k.Use == "encryption" {
			encryption = k
		}
	}
	d.KeyDescriptors = nil
	for _, k := range keys {
		_, cert, err := readKey(k)
		if err != nil {
			return nil, err
		}
		info := saml.KeyInfo{X509Data: saml.X509Data{X509Certificates: []saml.X509Certificate{
			{Data: base64.StdEncoding.EncodeToString(cert.Raw)}}}}
		encryption.KeyInfo = info
		d.KeyDescriptors = append(d.KeyDescriptors, saml.KeyDescriptor{Use: "signing", KeyInfo: info}, encryption)
	}
	body, err := xml.MarshalIndent(entity, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("own metadata: %w", err)
	}
	return append([]byte(xml.Header), body...), nil
}

// requestPrefix begins the ID of what is asked: Entra ID takes none that begins with a digit.
const requestPrefix = "id-"

// RequestID is the ID of what is asked in a round, made of its state.
func RequestID(state string) string { return requestPrefix + state }

// StateOf gives the state of the round that a response answers, as it says itself.
func StateOf(inResponseTo string) (secret.Secret, bool) {
	state, ok := strings.CutPrefix(inResponseTo, requestPrefix)
	return secret.New(state), ok && state != ""
}

// Sent is where a browser goes: by an address, or by a form that posts itself.
type Sent struct {
	URL  string
	Form *Form
}

// Form is what a browser posts: a request, or a response.
type Form struct{ Action, Request, Response, RelayState string }

// Begin asks the provider to sign somebody in. RelayState is a random value: nothing is read from the one that comes
// back.
func (s *SAML) Begin(c connection.Connection, r Round) (Sent, error) {
	sp, m, err := s.provider(c, r.Callback)
	if err != nil {
		return Sent{}, &Unreachable{err}
	}
	if r.Fresh {
		fresh := true
		sp.ForceAuthn = &fresh
	}
	binding, to := saml.HTTPRedirectBinding, m.Redirect
	if to == "" {
		binding, to = saml.HTTPPostBinding, m.Post
	}
	req, err := sp.MakeAuthenticationRequest(to, binding, saml.HTTPPostBinding)
	if err != nil {
		return Sent{}, fmt.Errorf("request to a SAML provider: %w", err)
	}
	req.ID = r.Request
	relay := secret.Token("", 16).Reveal()
	if binding == saml.HTTPPostBinding {
		if sp.SignatureMethod != "" { // it was signed with another ID
			req.Signature = nil
			if err := sp.SignAuthnRequest(req); err != nil {
				return Sent{}, fmt.Errorf("sign request to a SAML provider: %w", err)
			}
		}
		doc := etree.NewDocument()
		doc.SetRoot(req.Element())
		raw, err := doc.WriteToBytes()
		return Sent{Form: &Form{Action: to, Request: base64.StdEncoding.EncodeToString(raw), RelayState: relay}}, err
	}
	u, err := req.Redirect(relay, sp)
	if err != nil {
		return Sent{}, fmt.Errorf("request to a SAML provider: %w", err)
	}
	if r.LoginHint != "" {
		q := u.RawQuery // signed as it is
		u.RawQuery = q + "&login_hint=" + url.QueryEscape(r.LoginHint)
	}
	return Sent{URL: u.String()}, nil
}

// Response is what a provider had the browser post, after the gate.
type Response struct {
	raw []byte
	envelope
}

// ReadResponse decodes the SAMLResponse of a form and holds it to the gate.
func ReadResponse(text string) (Response, error) {
	if len(text) > base64.StdEncoding.EncodedLen(maxResponseBytes)+maxResponseBytes/16 {
		return Response{}, &Failure{[]Check{{Name: "gate", Found: "the response is too large"}}}
	}
	// lines are wrapped by some; nothing else may be between the characters
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(text))
	if err != nil {
		return Response{}, &Failure{[]Check{{Name: "gate", Found: "the response is not in base64"}}}
	}
	env, err := checkResponse(raw)
	if err != nil {
		return Response{}, &Failure{[]Check{{Name: "gate", Found: err.Error(),
			Remedy: "The provider's response has a form in which it could be read in two ways."}}}
	}
	return Response{raw, env}, nil
}

// sessionSkew is how far the clocks of provider and server may be apart; the library's own is the same.
const sessionSkew = 3 * time.Minute

// Finish judges a response. mark notes the assertion's ID and tells whether it was fresh.
func (s *SAML) Finish(c connection.Connection, round Round, res Response,
	mark func(id string, until time.Time) (bool, error)) (Answer, error) {
	r := &report{}
	sp, m, err := s.provider(c, round.Callback)
	if err != nil {
		return Answer{}, &Unreachable{err}
	}
	r.want("destination", res.Destination == round.Callback, res.Destination, "The response must be for the "+
		"assertion consumer service "+round.Callback+".")
	r.want("issuer", res.Issuer == m.EntityID, res.Issuer, "The response must come from the provider of the "+
		"connection, "+m.EntityID+".")
	r.want("in_response_to", res.InResponseTo == round.Request && round.Request != "", "another",
		"The response must answer what was asked. Begin again.")
	assertion, err := sp.ParseXMLResponse(res.raw, []string{round.Request}, sp.AcsURL)
	if err != nil {
		name, remedy := whyRefused(err, sp)
		r.want(name, false, causeOf(err), remedy)
		return Answer{Checks: r.checks}, r.err()
	}
	r.want("signature", true, nil, "")
	if res.Encrypted { // after the library: before it, the answer would help to decrypt what is somebody else's
		err := checkDecrypted(res.raw, sp)
		r.want("gate", err == nil, err, "The provider's assertion has a form in which it could be read in two ways.")
	}
	fresh, err := mark(assertion.ID, s.now().Add(assertionKept))
	if err != nil {
		return Answer{}, err
	}
	r.want("replay", fresh, "used before", "An assertion is good once. Begin again.")
	a := s.person(c, r, assertion)
	if round.Fresh {
		r.want("auth_time", !a.AuthTime.IsZero() && s.now().Sub(a.AuthTime) <= stale, a.AuthTime, "The provider was "+
			"asked for a new proof (ForceAuthn) and must tell when it was given (AuthnInstant).")
	}
	a.Checks = r.checks
	return a, r.err()
}

// Unsolicited judges a response that nobody asked for: only whether the provider of the connection made it just now.
func (s *SAML) Unsolicited(c connection.Connection, callback string, res Response) error {
	sp, m, err := s.provider(c, callback)
	if err != nil {
		return err
	}
	if res.Destination != callback || res.Issuer != m.EntityID || res.InResponseTo != "" {
		return errors.New("it is for another place, or answers a request")
	}
	sp.AllowIDPInitiated = true
	_, err = sp.ParseXMLResponse(res.raw, nil, sp.AcsURL)
	if err != nil {
		return causeOf(err)
	}
	return nil
}

// assertionKept is how long an assertion's ID is remembered: longer than any is good for.
const assertionKept = 24 * time.Hour

// person makes a person of an assertion that the library verified.
func (s *SAML) person(c connection.Connection, r *report, assertion *saml.Assertion) Answer {
	var a Answer
	told := attributesOf(assertion)
	name := assertion.Subject.NameID
	a.Claims = told
	if name != nil {
		told["NameID"], told["NameID.Format"] = name.Value, name.Format
	}
	switch {
	case len(c.Mapping.Subject) > 0:
		a.Subject = told.text(c.Mapping.Subject...)
		r.want("subject", isName(a.Subject), a.Subject, "The attribute "+c.Mapping.Subject[0]+
			" (mapping.subject) must say who signed in, in at most 255 bytes.")
	case name == nil || name.Format == string(saml.TransientNameIDFormat):
		r.want("subject", false, "a transient NameID", "The provider gives another NameID each time. Choose a "+
			"persistent one there, or set mapping.subject to an attribute that stays.")
	default:
		a.Subject = name.Value
		r.want("subject", isName(a.Subject), a.Subject, "The NameID must say who signed in, in at most 255 bytes.")
	}
	r.want("characters", told.printable(), "a control character", "Nothing that the provider tells may have "+
		"control characters.")
	describeAssertion(&a.Person, told, c.Mapping)
	if a.Email == "" && name != nil && name.Format == string(saml.EmailAddressNameIDFormat) {
		a.Email = strings.TrimSpace(name.Value)
	}
	a.EmailVerified = c.Trust.Email
	now := s.now()
	for i, st := range assertion.AuthnStatements {
		r.want("session", st.SessionNotOnOrAfter == nil || now.Before(st.SessionNotOnOrAfter.Add(sessionSkew)),
			st.SessionNotOnOrAfter, "The session at the provider has ended.")
		if i > 0 {
			continue
		}
		if isName(st.SessionIndex) && name != nil {
			a.Session = sessionName(st.SessionIndex, name.Value)
		}
		if ref := st.AuthnContext.AuthnContextClassRef; ref != nil {
			a.ACR = ref.Value
		}
		if !st.AuthnInstant.After(now.Add(sessionSkew)) {
			a.AuthTime = st.AuthnInstant
		}
	}
	return a
}

func isName(s string) bool {
	return s != "" && len(s) <= connection.MaxSubject && !strings.ContainsFunc(s, unicode.IsControl)
}

// attributesOf gives the attributes by Name, and by FriendlyName where no other has that name. Several values of one
// name are one list.
func attributesOf(assertion *saml.Assertion) claims {
	told := claims{}
	add := func(name string, values []any) {
		if had, ok := told[name].([]any); ok {
			values = append(had, values...)
		}
		told[name] = values
	}
	var friendly []saml.Attribute
	for _, statement := range assertion.AttributeStatements {
		for _, at := range statement.Attributes {
			add(at.Name, valuesOf(at))
			friendly = append(friendly, at)
		}
	}
	names := make(map[string]bool, len(told))
	for name := range told {
		names[name] = true
	}
	for _, at := range friendly {
		if at.FriendlyName != "" && !names[at.FriendlyName] {
			add(at.FriendlyName, valuesOf(at))
		}
	}
	return told
}

func valuesOf(at saml.Attribute) []any {
	out := make([]any, 0, len(at.Values))
	for _, v := range at.Values {
		text := v.Value
		if v.NameID != nil {
			text = v.NameID.Value
		}
		out = append(out, text)
	}
	return out
}

// The names under which providers tell an address and a name, where the mapping says nothing.
var (
	mailNames = []string{"email", "mail", "emailAddress", "User.email", "urn:oid:0.9.2342.19200300.100.1.3",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"}
	displayNames = []string{"name", "displayName", "urn:oid:2.16.840.1.113730.3.1.241",
		"http://schemas.microsoft.com/identity/claims/displayname", "cn", "urn:oid:2.5.4.3"}
	groupNames = []string{"groups", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
		"http://schemas.xmlsoap.org/claims/Group", "memberOf", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1"}
)

func describeAssertion(p *connection.Person, told claims, m connection.Mapping) {
	first := func(chosen, usual []string) []string {
		if len(chosen) > 0 {
			return chosen
		}
		for _, name := range usual {
			if _, ok := told[name]; ok {
				return []string{name}
			}
		}
		return usual[:1]
	}
	m.Email, m.Name, m.Groups = first(m.Email, mailNames), first(m.Name, displayNames), first(m.Groups, groupNames)
	describe(p, told, m)
	// Entra ID leaves groups out of an assertion too, and gives a link instead
	if _, link := told["http://schemas.microsoft.com/claims/groups.link"]; link {
		p.Groups, p.GroupsKnown = nil, false
	}
}

// causeOf is what the library found, for administrators.
func causeOf(err error) error {
	var invalid *saml.InvalidResponseError
	if errors.As(err, &invalid) {
		return invalid.PrivateErr
	}
	return err
}

// whyRefused names the check that the library refused a response for. What failed while decrypting is one answer: more
// would help to decrypt what is somebody else's.
func whyRefused(err error, sp *saml.ServiceProvider) (name, remedy string) {
	cause := causeOf(err)
	var status saml.ErrBadStatus
	switch {
	case errors.As(cause, &status):
		return "status", "The provider refused. Its own log says why; often the person was not assigned to the " +
			"application, or its copy of this server's keys is old."
	case errors.Is(cause, saml.ErrDecryptionFailed):
		return "decryption", "The provider must encrypt for the certificate in this connection's metadata."
	case errors.Is(cause, saml.ErrIssuerMismatch):
		return "issuer", "The assertion must come from the provider of the connection, " + sp.IDPMetadata.EntityID + "."
	case errors.Is(cause, saml.ErrAudienceMismatch):
		return "audience", "The audience (entityID) at the provider must be " + sp.EntityID + "."
	case errors.Is(cause, saml.ErrDestinationMismatch):
		return "recipient", "The assertion consumer service at the provider must be " + sp.AcsURL.String() + "."
	case errors.Is(cause, saml.ErrRequestIDMismatch):
		return "in_response_to", "The response must answer what was asked. Begin again."
	case errors.Is(cause, saml.ErrExpired), errors.Is(cause, saml.ErrNotYetValid):
		return "time", "The response is too old or not valid yet, or the provider's metadata has run out: look at " +
			"both clocks, and at the metadata's validUntil."
	case strings.Contains(cause.Error(), "signature element not present"):
		return "signature", "The response or its assertion must be signed."
	case errors.Is(cause, saml.ErrUnsupported):
		return "form", "The response uses something that is not accepted, such as signatures with SHA-1 or " +
			"conditions that are not known."
	case errors.Is(cause, saml.ErrInvalidSignature), errors.Is(cause, saml.ErrUntrustedCertificate):
		return "signature", "The response or its assertion must be signed by a key in the provider's metadata. With " +
			"encryption by CBC the response must be."
	case errors.Is(cause, saml.ErrMissingElement):
		return "form", "Something that must be in the assertion is missing: NameID, Conditions, a bearer " +
			"confirmation or an AuthnStatement."
	}
	return "form", "The response is not as SAML 2.0 has it."
}
