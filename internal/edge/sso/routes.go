package sso

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// Deps are what the routes call.
type Deps struct {
	PublicURL *url.URL
	SSO       *sso.Service
}

type routes struct {
	Deps
	kit *web.Kit
}

type parameter struct {
	name     string
	required bool
	doc      string
}

// beginsWith are the parameters of a beginning.
var beginsWith = []parameter{
	{"redirect_uri", true, "Where the browser comes back to; exactly one of the organization's redirectUris"},
	{"code_challenge", true, "BASE64URL(SHA256(codeVerifier)) (RFC 7636)"},
	{"code_challenge_method", true, "S256"},
	{"state", false, "Comes back as it is; at most 2048 bytes"},
	{"organization", false, "The slug; else the subdomain, the domain of login_hint, or the redirect_uri tells"},
	{"connection", false, "The id, where the organization has several of a kind"},
	{"login_hint", false, "The person's address"},
	{"cookie", false, "true: the browser gets the session's cookies with the exchange of the code"},
	{"prompt", false, "login: the person proves themselves at the provider now"},
}

// Register adds the routes.
func Register(to *v1.API, d Deps) {
	s := &routes{d, to.Kit}
	add := func(method, pattern, public, summary string, parameters []parameter,
		h func(w http.ResponseWriter, r *http.Request) error) {
		route := web.Route{Method: method, Pattern: pattern, Public: public, WriteError: writeError}
		op := huma.Operation{Summary: summary, Description: "For browsers, not for programs.",
			Responses: map[string]*huma.Response{"303": {Description: "To the provider, or back to the " +
				"application. Where something is wrong before that is known, a browser gets a page and a program a " +
				"problem document"}}}
		if parameters != nil {
			route.Query = []string{}
		}
		for _, p := range parameters {
			route.Query = append(route.Query, p.name)
			op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Required: p.required,
				Description: p.doc, Schema: &huma.Schema{Type: huma.TypeString}})
		}
		to.Kit.HandleFunc(route, h)
		to.Describe(route, op)
	}
	const state = "the state and the browser's cookie are the proof"
	add(http.MethodGet, "/v1/auth/sso/{provider}", "signing in is how a credential is got",
		"Begin a company sign-in", beginsWith, s.begin)
	add(http.MethodGet, "/v1/auth/sso/{provider}/callback", state, "Where a provider sends the browser back to", nil,
		s.answered(s.callback))
	add(http.MethodGet, "/v1/auth/sso/connections/{id}/callback", state,
		"Where the provider of one connection sends the browser back to", nil, s.answered(s.callback))
	form := func(pattern string) {
		route := web.Route{Method: http.MethodPost, Pattern: pattern, Public: state, WriteError: writeError,
			MaxBody: maxForm, BodyTypes: []string{"application/x-www-form-urlencoded"}}
		to.Kit.HandleFunc(route, s.answered(s.assertion))
		to.Describe(route, huma.Operation{Summary: "Where a SAML provider has the browser post its response",
			Description: "For browsers, not for programs.", Responses: map[string]*huma.Response{"303": {
				Description: "Back to the application"}}})
	}
	form("/v1/auth/sso/{provider}/callback")
	form("/v1/auth/sso/connections/{id}/callback")
	s.registerLogout(to)
	const public = "service provider metadata is public"
	add(http.MethodGet, "/v1/auth/sso/saml/metadata", public, "This server's SAML metadata, for all connections",
		[]parameter{}, s.metadata)
	add(http.MethodGet, "/v1/auth/sso/connections/{id}/metadata", public,
		"This server's SAML metadata for one connection, with its keys", []parameter{}, s.metadata)
	add(http.MethodGet, "/v1/auth/sso/connections/{id}/test", "the handle of a test is the proof",
		"Begin a test sign-in", []parameter{{"handle", true, "Of the test"}}, s.beginWith(d.SSO.BeginTest))
	add(http.MethodGet, "/v1/auth/sso/{provider}/link", "the handle of a link is the proof",
		"Begin to link an identity", []parameter{{"handle", true, "Of the link"}}, s.beginWith(d.SSO.BeginLink))
}

// begin sends a browser to the provider.
func (s *routes) begin(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	tenant, err := s.kit.SignInTenant(r, q.Get("organization"), "")
	if err != nil {
		return err
	}
	in := sso.Start{Kind: connection.Kind(r.PathValue("provider")), Tenant: tenant, LoginHint: q.Get("login_hint"),
		RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Challenge: q.Get("code_challenge"),
		Method: q.Get("code_challenge_method"), Browser: browser(r), Source: web.InfoOf(r.Context()).Source}
	if in.Connection, err = optional[id.Connection]("connection", q.Get("connection")); err != nil {
		return err
	}
	switch q.Get("cookie") {
	case "", "false":
	case "true":
		in.Cookie = true
	default:
		return fault.Invalidf("cookie", "must be true or false")
	}
	switch q.Get("prompt") {
	case "":
	case "login":
		in.Fresh = true
	default:
		return fault.Invalidf("prompt", "must be login, or left out")
	}
	b, err := s.SSO.Begin(r.Context(), in)
	if err != nil {
		return err
	}
	s.send(w, r, b)
	return nil
}

func optional[T id.ID](field, text string) (T, error) {
	if text == "" {
		return "", nil
	}
	v, err := id.Parse[T](text)
	if err != nil {
		return "", fault.Invalidf(field, "%v", err)
	}
	return v, nil
}

// beginWith sends a browser that has a handle to the provider.
func (s *routes) beginWith(begin func(ctx context.Context, handle, browser secret.Secret,
	source principal.Source) (sso.Begun, error)) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		b, err := begin(r.Context(), secret.New(r.URL.Query().Get("handle")), browser(r),
			web.InfoOf(r.Context()).Source)
		if err != nil {
			return err
		}
		s.send(w, r, b)
		return nil
	}
}

func (s *routes) send(w http.ResponseWriter, r *http.Request, b sso.Begun) {
	http.SetCookie(w, browserCookie(b.Browser))
	if b.Form != nil {
		writeForm(w, b.Form)
		return
	}
	redirect(w, r, b.URL)
}

// redirect leads a browser on, without telling where it was.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// browserName is the cookie that ties a round to the browser that began it. It is no session.
const browserName = "__Host-gatehouse_sso"

// browserCookie outlives a round. A SAML provider answers by a POST from its own site, with which a browser sends no
// other kind of cookie (SameSite=None).
func browserCookie(value secret.Secret) *http.Cookie {
	return &http.Cookie{Name: browserName, Value: value.Reveal(), Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteNoneMode, MaxAge: int(2 * sso.RoundLifetime.Seconds())}
}

func browser(r *http.Request) secret.Secret {
	value, _, err := authn.Cookie(r, browserName)
	if err != nil { // planted by a neighbour, perhaps: it ties nothing to anything
		return secret.Secret{}
	}
	return secret.New(value)
}

// answered bounds how many answers a network brings.
func (s *routes) answered(h func(w http.ResponseWriter, r *http.Request) error) func(http.ResponseWriter,
	*http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.SSO.Answered(r.Context(), web.InfoOf(r.Context()).Source); err != nil {
			return err
		}
		return h(w, r)
	}
}

// callback takes the browser back from the provider and leads it on to the application.
func (s *routes) callback(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	in := sso.Return{Address: s.PublicURL.String() + r.URL.EscapedPath(), State: secret.New(q.Get("state")),
		Browser: browser(r), Error: q.Get("error"), Detail: q.Get("error_description"),
		Source: web.InfoOf(r.Context()).Source,
		Code:   upstream.CodeResponse{Code: q.Get("code"), Issuer: q.Get("iss"), HasIssuer: q.Has("iss")}}
	if in.Error == "" && in.Code.Code == "" {
		return fault.Invalidf("code", "is missing: the provider must answer with a code")
	}
	return s.land(w, r, in)
}

// maxForm holds a response of 256 KiB in base64, percent-encoded.
const maxForm = 600 << 10

// assertion takes the response of a SAML provider. It comes from the provider's site, with its origin or none; what
// ties it to the browser that began are the request that it answers and the cookie of the beginning.
func (s *routes) assertion(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Invalidf("body", "must be a form")
	}
	values := r.PostForm["SAMLResponse"]
	if len(values) != 1 {
		return fault.Invalidf("SAMLResponse", "is required, once")
	}
	res, err := upstream.ReadResponse(values[0])
	if err != nil {
		web.InfoOf(r.Context()).Log().InfoContext(r.Context(), "a SAML response did not pass the gate", "why", err)
		return fault.Invalidf("SAMLResponse", "is not a response that can be taken. Begin again, and tell your "+
			"administrator")
	}
	state, asked := upstream.StateOf(res.InResponseTo)
	if !asked {
		own, err := optional[id.Connection]("connection", r.PathValue("id"))
		if err != nil {
			return err
		}
		to, err := s.SSO.Unsolicited(r.Context(), own, res)
		if err != nil {
			return err
		}
		redirect(w, r, to)
		return nil
	}
	return s.land(w, r, sso.Return{Address: s.PublicURL.String() + r.URL.EscapedPath(), State: state, SAML: &res,
		Browser: browser(r), Source: web.InfoOf(r.Context()).Source})
}

func (s *routes) metadata(w http.ResponseWriter, r *http.Request) error {
	c, err := optional[id.Connection]("id", r.PathValue("id"))
	if err != nil {
		return fault.NotFoundf("There is no such connection.")
	}
	body, err := s.SSO.Metadata(r.Context(), c)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml; charset=utf-8")
	w.Write(body)
	return nil
}

func (s *routes) land(w http.ResponseWriter, r *http.Request, in sso.Return) error {
	l, err := s.SSO.Finish(r.Context(), in)
	if err != nil {
		return err
	}
	if l.Test != nil {
		writeTest(w, l.Test)
		return nil
	}
	redirect(w, r, l.URL)
	return nil
}
