package upstream

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/go-json-experiment/json"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// Logout is what a provider says has ended: sessions that it calls by a name, of one person or of whoever has them.
type Logout struct {
	Subject  string   // empty: it does not say whose
	Sessions []string // by the provider's names; empty: all of the subject's
	ID       string   // of the message, to take it once
	Until    time.Time
}

// logoutEvent is what a logout token is about (OpenID Connect Back-Channel Logout 1.0 §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// JudgeLogout judges a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6). It is no ID token: it must have the
// event and no nonce, so that neither can be taken for the other.
func (o *OpenID) JudgeLogout(ctx context.Context, c connection.Connection, raw string) (Logout, error) {
	r := &report{}
	payload, err := keys{o.Providers, c}.VerifySignature(ctx, raw)
	if unread := new(unreadKeys); errors.As(err, &unread) {
		return Logout{}, o.trouble(ctx, c, unread.cause)
	}
	if !r.want("signature", err == nil, err, "") {
		return Logout{}, r.err()
	}
	var told claims
	if err := json.Unmarshal(payload, &told); !r.want("claims", err == nil && told != nil, "no JSON object", "") {
		return Logout{}, r.err()
	}
	issuer, _ := told["iss"].(string)
	r.want("issuer", issuer == c.OpenID.Issuer && issuer != "", told["iss"], "")
	audience, _ := told.list("aud")
	r.want("audience", slices.Contains(audience, c.OpenID.ClientID) && c.OpenID.ClientID != "", told["aud"], "")
	o.checkTimes(r, told)
	events, _ := told["events"].(map[string]any)
	_, isObject := events[logoutEvent].(map[string]any)
	r.want("event", isObject, told["events"], "")
	_, there := told["nonce"]
	r.want("nonce", !there, "one", "")
	out := Logout{ID: told.text("jti")}
	r.want("id", isName(out.ID), told["jti"], "")
	session, hasSession := told["sid"]
	if name, ok := session.(string); hasSession && r.want("session", ok && isName(name), session, "") {
		out.Sessions = []string{name}
	}
	subject, hasSubject := told["sub"]
	if name, ok := subject.(string); hasSubject && r.want("subject", ok && isName(name), subject, "") {
		out.Subject = name
	}
	if c.Kind == connection.Entra { // knows people by oid, which no logout token has; sub is another name
		out.Subject = ""
	}
	r.want("named", out.Subject != "" || len(out.Sessions) > 0, "neither sub nor sid", "")
	issued, _ := told.moment("iat")
	out.Until = issued.Add(stale + 2*skew) // it is too old from then on
	return out, r.err()
}

// LogoutAddress is where the provider of a SAML connection sends requests to end sessions.
func (s *SAML) LogoutAddress(c connection.Connection) string {
	return s.public.String() + "/v1/auth/sso/connections/" + string(c.ID) + "/logout"
}

// EndRequest is a request to end sessions that a provider verifiably made.
type EndRequest struct {
	Logout
	answer func(relay string) (Sent, error)
}

// Answer tells the provider that the sessions have ended; a zero value: it has no address for that.
func (e EndRequest) Answer(relay string) (Sent, error) { return e.answer(relay) }

// JudgeEnd judges a LogoutRequest that a browser brought, in its query (HTTP-Redirect) or a form (HTTP-POST). It must
// be signed by the provider of the connection, for this address, and just now (SAML 2.0 core §3.7, bindings §3.4,
// §3.5).
func (s *SAML) JudgeEnd(c connection.Connection, callback string, r *http.Request) (EndRequest, error) {
	sp, _, err := s.provider(c, callback)
	if err != nil {
		return EndRequest{}, &Unreachable{err}
	}
	slo, err := url.Parse(s.LogoutAddress(c))
	if err != nil {
		return EndRequest{}, err
	}
	sp.SloURL, sp.SignatureMethod = *slo, dsig.RSASHA256SignatureMethod
	w := &report{}
	if err := checkEnd(r); !w.want("gate", err == nil, err, "") {
		return EndRequest{}, w.err()
	}
	req, err := sp.ValidateLogoutRequest(r)
	if err != nil {
		name, _ := whyRefused(err, sp)
		w.want(name, false, causeOf(err), "")
		return EndRequest{}, w.err()
	}
	out := EndRequest{Logout: Logout{ID: req.ID, Until: s.now().Add(assertionKept)}}
	if len(c.Mapping.Subject) == 0 && req.NameID != nil { // else people are known by an attribute
		out.Subject = req.NameID.Value
	}
	w.want("subject", out.Subject == "" || isName(out.Subject), out.Subject, "")
	indexes := req.AllSessionIndexes()
	w.want("sessions", len(indexes) <= maxEnded, len(indexes), "")
	for _, at := range indexes[:min(len(indexes), maxEnded)] {
		if w.want("session", isName(at.Value) && req.NameID != nil, at.Value, "") {
			out.Sessions = append(out.Sessions, sessionName(at.Value, req.NameID.Value))
		}
	}
	w.want("named", out.Subject != "" || len(out.Sessions) > 0, "no one", "")
	out.answer = func(relay string) (Sent, error) { return answerEnd(sp, req.ID, relay) }
	return out, w.err()
}

// maxEnded is how many sessions one request may end.
const maxEnded = 50

// sessionName is what a session of a SAML provider is called here. A SessionIndex alone may be several people's (SAML
// 2.0 core §2.7.2).
func sessionName(index, nameID string) string {
	sum := sha256.Sum256([]byte(nameID))
	return index + " " + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// maxRelay is how long a RelayState may be that is given back (SAML 2.0 bindings §3.4.3).
const maxRelay = 80

func answerEnd(sp *saml.ServiceProvider, request, relay string) (Sent, error) {
	if len(relay) > maxRelay {
		relay = ""
	}
	if sp.GetSLOBindingLocation(saml.HTTPRedirectBinding) != "" {
		u, err := sp.MakeRedirectLogoutResponse(request, relay)
		if err != nil {
			return Sent{}, fmt.Errorf("answer to a SAML provider: %w", err)
		}
		return Sent{URL: u.String()}, nil
	}
	at := sp.GetSLOBindingLocation(saml.HTTPPostBinding)
	if at == "" {
		return Sent{}, nil
	}
	resp, err := sp.MakeLogoutResponse(at, request)
	if err != nil {
		return Sent{}, fmt.Errorf("answer to a SAML provider: %w", err)
	}
	doc := etree.NewDocument()
	doc.SetRoot(resp.Element())
	raw, err := doc.WriteToBytes()
	return Sent{Form: &Form{Action: at, Response: base64.StdEncoding.EncodeToString(raw), RelayState: relay}}, err
}

// checkEnd holds a LogoutRequest to the gate, as it comes over either binding.
func checkEnd(r *http.Request) error {
	q := r.URL.Query()
	packed, text := q["SAMLRequest"], r.PostForm["SAMLRequest"]
	switch {
	case len(packed)+len(text) != 1:
		return errors.New("SAMLRequest is required, once")
	case len(text) == 1:
		raw, err := base64.StdEncoding.DecodeString(text[0])
		if err != nil {
			return errors.New("the request is not in base64")
		}
		return checkEndRequest(raw)
	}
	for _, name := range []string{"SigAlg", "Signature", "RelayState"} {
		if len(q[name]) > 1 {
			return errors.New(name + " is repeated")
		}
	}
	raw, err := base64.StdEncoding.DecodeString(packed[0])
	if err != nil {
		return errors.New("the request is not in base64")
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxResponseBytes+1))
	if err != nil {
		return errors.New("the request is not compressed as it must be")
	}
	return checkEndRequest(plain)
}

// checkEndRequest is the gate of LogoutRequests: a signature, where there is one, is the root's and of the root.
func checkEndRequest(raw []byte) error {
	root := xml.Name{Space: nsProtocol, Local: "LogoutRequest"}
	return checkDocument(raw, maxResponseBytes, func(path []node, e xml.StartElement) error {
		switch {
		case len(path) == 1 && e.Name != root:
			return errors.New("the document is no SAML 2.0 LogoutRequest")
		case e.Name == signatureName && len(path) != 2:
			return errors.New("there is a signature of something else than the LogoutRequest")
		}
		return noteReference(path, e)
	}, nothing, checkSignature)
}
