// Package gateway answers proxies that ask whether a request may pass (forward authentication): nginx auth_request,
// Traefik ForwardAuth, Caddy forward_auth, Envoy ext_authz. It says 200 with X-Auth-* headers, 401 or 403, and nothing
// else unless the proxy wants native statuses; trouble is 403. What the client itself wrote into X-Auth-* is never
// read, and what it wrote about another request only from a trusted proxy. How a request may be read by the API behind
// is in reading.go (its path) and overrides.go (another method or address beside its own).
package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
)

// Pattern is where proxies ask.
const Pattern = "/verify"

// Gateway answers.
type Gateway struct {
	kit    *web.Kit
	tokens *token.Service
	rules  *Rules // nil: only what the question itself asks for
	log    *slog.Logger
	now    func() time.Time
	minted *bounded.Cache[bounded.Key, minted]
	asked  *bounded.Cache[bounded.Key, question] // by the query: a proxy asks the same few questions again and again
}

const maxRemembered = 500

type minted struct {
	token   string
	expires time.Time
}

// Register adds /verify and everything below it.
func Register(kit *web.Kit, tokens *token.Service, rules *Rules, now func() time.Time, log *slog.Logger) {
	g := &Gateway{kit: kit, tokens: tokens, rules: rules, now: now, log: log,
		minted: bounded.New[minted](10_000),
		asked:  bounded.New[question](1000)}
	kit.HandleRaw(web.Route{Pattern: Pattern, Self: "a proxy asks whether the caller may pass; the permission is the " +
		"question's or the routes file's", Accepts: web.Anyone, Lags: true}, g)
	kit.Shape(Pattern, func(w http.ResponseWriter, r *http.Request, err error) {
		// what is said before the question is read
		f := *fault.Of(err)
		if f.Kind != fault.Unauthenticated && f.Kind != fault.Forbidden {
			w.Header().Set("X-Auth-Error", "unavailable")
			f = *fault.Unavailablef(time.Second, "The request cannot be judged at the moment.")
			if !native(r, rules) {
				f.Kind = fault.Forbidden
			}
		}
		writeProblem(w, r, &f)
	})
}

// native tells whether the proxy that asks passes 429 and 503 on, as far as it can be told without reading the
// question.
func native(r *http.Request, rules *Rules) bool {
	return rules != nil && rules.native || r.URL.Path == Pattern && r.URL.Query().Get("status") == "native"
}

// question is what a proxy asks.
type question struct {
	target  Request
	changes string  // the method that decides whether a cookie needs an origin: of two, the one that changes something
	want    *wanted // nil: any good credential will do
	rule    *Rule   // of the routes file
	token   string  // the audience of a token for the API; empty: none
	native  bool    // 429 and 503 as they are
}

func errQuestion(format string, args ...any) error {
	return fault.New(fault.Forbidden, web.CodeInvalidQuestion, fmt.Sprintf(format, args...))
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info := web.InfoOf(r.Context())
	q, err := g.read(r)
	if err == nil && (q.rule == nil || !q.rule.Public) {
		err = g.judge(w, r, info, q)
	}
	upstream := ""
	if err == nil && q.token != "" && !g.kit.FromTrustedProxy(r) { // else anybody could have a token signed for anybody
		err = errQuestion("token_for is for trusted proxies: list this one in trusted_proxies.")
	}
	if err == nil && q.token != "" && (q.rule == nil || !q.rule.Public) {
		upstream, err = g.mint(info.Principal, q.token)
	}
	if err != nil {
		g.refuse(w, r, info, q, err)
		return
	}
	headers(w.Header(), info.Principal, q, upstream)
	w.WriteHeader(http.StatusOK)
}

// read finds out what is asked: in the path behind /verify (Envoy), or in the parameters and headers of a question to
// /verify itself.
func (g *Gateway) read(r *http.Request) (q question, err error) {
	if err := underscored(r.Header); err != nil {
		return q, err
	}
	var query, account string
	behind := strings.TrimPrefix(r.URL.EscapedPath(), Pattern)
	if behind != "" { // the query is the client's own here and asks for nothing
		path, ok := cleanPath(behind)
		if !ok {
			return q, errUnclean()
		}
		q.target, query = Request{r.Method, r.Host, path}, r.URL.RawQuery
		if g.rules == nil {
			return q, errQuestion("A path behind /verify needs a routes file.")
		}
	} else {
		asked, known := g.asked.Get(bounded.Key{ID: r.URL.RawQuery})
		if !known {
			if err := asked.parameters(r.URL.RawQuery); err != nil {
				return asked, err
			}
			if len(r.URL.RawQuery) <= maxRemembered {
				g.asked.Set(bounded.Key{ID: r.URL.RawQuery}, asked)
			}
		}
		q = asked
		if q.target, query, account, err = g.told(r); err != nil {
			return q, err
		}
	}
	if q.want != nil || g.rules == nil {
		others := ReadOverrides(r.Header, query, eitherAccount)
		q.changes = others.changing(q.target.Method)
		return q, others.same(q.target)
	}
	q.native = q.native || g.rules.native
	if q.target.Path == "" || q.target.Method == "" {
		return q, errQuestion("The proxy did not say which request it asks about, or is not trusted: set " +
			"X-Original-URI and X-Original-Method, or X-Forwarded-Uri and X-Forwarded-Method, and list it in " +
			"trusted_proxies.")
	}
	if q.target.Host != "" {
		var ok bool
		if q.target.Host, ok = canonicalHost(q.target.Host); !ok {
			return q, errQuestion("The host of the request is none.")
		}
	}
	if !isMethod(q.target.Method) {
		return q, errQuestion("The method of the request is none.")
	}
	if q.target.Host == "" && g.rules.hosts { // else a rule for one host would give way to a weaker one for all
		return q, errQuestion("The routes file has rules for hosts, and the proxy did not say which host it asks " +
			"about: set X-Original-Host or X-Forwarded-Host.")
	}
	others := ReadOverrides(r.Header, query, account)
	q.changes = others.changing(q.target.Method)
	if g.rules.preflight && isPreflight(r, q.target) && len(others.Methods) == 0 && len(others.Paths) == 0 {
		asked := Request{r.Header.Get("Access-Control-Request-Method"), q.target.Host, q.target.Path}
		if _, err := g.rules.Judge(asked, others); err == nil { // for what is denied anyway there is nothing to ask
			q.rule = preflight
			return q, nil
		}
	}
	if q.rule, err = g.rules.Judge(q.target, others); err != nil {
		return q, err
	}
	q.want = q.rule.want
	if q.rule.TokenFor != "" {
		q.token = q.rule.TokenFor
	}
	return q, nil
}

// preflight is the rule for a browser's question before a request across origins.
var preflight = &Rule{Public: true}

// isPreflight recognizes what browsers send (Fetch, CORS-preflight fetch) and nothing that could be more: no
// credential, no body. An API that does its work for OPTIONS as well must not let preflights pass.
func isPreflight(r *http.Request, q Request) bool {
	origin, method := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	return q.Method == http.MethodOptions && len(origin) == 1 && origin[0] != "" && len(method) == 1 &&
		isMethod(method[0]) && r.ContentLength == 0 && r.Header["Authorization"] == nil &&
		r.Header["X-Api-Key"] == nil && r.Header["Cookie"] == nil
}

func errUnclean() error {
	return errPath("The path can be read in more than one way: it has double or encoded slashes, steps upward, " +
		"semicolons, control characters or the like.")
}

// parameters reads the question's own; one that is misspelled must not ask for less.
func (q *question) parameters(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return errQuestion("The query cannot be read.")
	}
	if values.Get("status") == "native" {
		q.native = true
	}
	for name, list := range values {
		if len(list) != 1 {
			return errQuestion("%s is given more than once.", name)
		}
		switch v := list[0]; name {
		case "permission":
			want, err := parseWanted(v)
			if err != nil {
				return errQuestion("%v", err)
			}
			q.want = &want
		case "token_for":
			if v == "" {
				return errQuestion("token_for needs the audience of the API.")
			}
			q.token = v
		case "status":
			if v != "native" {
				return errQuestion("status must be native.")
			}
		default:
			return errQuestion("There is no parameter %q: permission, token_for and status.", name)
		}
	}
	return nil
}

// told reads which request a trusted proxy asks about. Two accounts of it are one too many: the proxy overwrites its
// own headers only, and the other pair would be the client's.
func (g *Gateway) told(r *http.Request) (t Request, query, account string, err error) {
	if !g.kit.FromTrustedProxy(r) {
		return t, "", "", nil
	}
	original, forwarded := r.Header.Values("X-Original-Uri"), r.Header.Values("X-Forwarded-Uri")
	methods := r.Header.Values("X-Original-Method")
	uris, hosts, account := original, r.Header.Values("X-Original-Host"), "X-Original-"
	if len(original) == 0 {
		account = "X-Forwarded-"
		uris, methods, hosts = forwarded, r.Header.Values("X-Forwarded-Method"), r.Header.Values("X-Forwarded-Host")
	}
	switch {
	case len(original) > 0 && len(forwarded) > 0:
		return t, "", "", errQuestion("X-Original-URI and X-Forwarded-Uri are both there: have the proxy remove the " +
			"one it does not set.")
	case len(uris) > 1 || len(methods) > 1 || len(hosts) > 1:
		return t, "", "", errQuestion("The request is described more than once.")
	}
	if len(methods) == 1 {
		t.Method = methods[0]
	}
	if len(hosts) == 1 {
		t.Host = hosts[0]
	}
	if len(uris) == 1 {
		path, ok := cleanPath(uris[0])
		if !ok {
			return t, "", "", errUnclean()
		}
		t.Path = path
		_, query, _ = strings.Cut(uris[0], "?")
	}
	return t, query, account, nil
}

// underscored refuses headers that some servers behind read as ours, or as another method or address, although no proxy
// removes them: with underscores for hyphens.
func underscored(h http.Header) error {
	for name := range h {
		if strings.IndexByte(name, '_') < 0 {
			continue
		}
		plain := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		if strings.HasPrefix(plain, "X-Auth-") || strings.HasPrefix(plain, "X-Forwarded-") ||
			strings.HasPrefix(plain, "X-Original-") || overriding[plain] != 0 {
			return fault.New(fault.Forbidden, "FORGED_HEADER",
				"A header with underscores looks like one that only a proxy may send.")
		}
	}
	return nil
}

func (g *Gateway) judge(w http.ResponseWriter, r *http.Request, info *web.Info, q question) error {
	if err := g.kit.Identify(w, r, info, q.changes); err != nil {
		return err
	}
	if q.want != nil && info.Principal.Scope(q.want.resource, q.want.action) < q.want.scope {
		return fault.Forbiddenf("This needs the permission %s.", q.want)
	}
	return nil
}

// mint gives a token for the API; for a while the same one for the same caller, since a signature costs more than all
// the rest.
func (g *Gateway) mint(p principal.Principal, audience string) (string, error) {
	if g.tokens.Reserved(audience) {
		return "", errQuestion("token_for names this server itself.")
	}
	key := bounded.Key{
		ID: strings.Join(append([]string{string(p.Kind), p.ID, string(p.Organization), string(p.Session), p.WholeRole(),
			string(p.Owner), p.Email, p.Name, audience, p.ExpiresAt.String()}, p.Permissions.Strings()...), "\x00")}
	if m, ok := g.minted.Get(key); ok && m.expires.Sub(g.now()) > token.ForwardLifetime/2 {
		return m.token, nil
	}
	text, expires, err := g.tokens.MintForward(p, audience)
	if err != nil {
		return "", err
	}
	g.minted.Set(key, minted{text, expires})
	return text, nil
}

// headers says who calls. All of them are always there, empty where they do not apply, so that a proxy that copies them
// leaves nothing of what the client sent.
func headers(h http.Header, p principal.Principal, q question, upstream string) {
	scope := ""
	if q.want != nil {
		scope = p.Scope(q.want.resource, q.want.action).String()
	}
	v := [...]string{p.ID, string(p.Kind), p.OrganizationSlug, string(p.Organization), p.WholeRole(),
		p.Permissions.Line(), scope, ascii(p.Email), ascii(p.Name), string(p.Owner), string(p.Session), upstream}
	for i, name := range headerNames {
		h[name] = v[i : i+1 : i+1]
	}
}

// headerNames are in the order of the values in headers.
var headerNames = [...]string{"X-Auth-Subject", "X-Auth-Kind", "X-Auth-Organization", "X-Auth-Organization-Id",
	"X-Auth-Role", "X-Auth-Permissions", "X-Auth-Scope", "X-Auth-Email", "X-Auth-Name",
	"X-Auth-Owner", "X-Auth-Session", "X-Auth-Token"}

// ascii writes text for a header: percent-encoded UTF-8 where it is more than plain printable ASCII.
func ascii(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '%' {
			return url.PathEscape(s)
		}
	}
	return s
}

// refuse answers 401 or 403 (or, if the proxy passes them on, 429 and 503).
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, info *web.Info, q question, err error) {
	f := *fault.Of(err)
	word := strings.ToLower(f.Code)
	switch f.Kind {
	case fault.Unauthenticated:
	case fault.Invalid: // malformed or two credentials
		f.Kind, f.Code, word = fault.Unauthenticated, fault.CodeInvalidToken, "invalid_request"
	case fault.Forbidden:
	case fault.Limited:
		word = "rate_limited"
		if !q.native {
			f.Kind = fault.Forbidden
		}
	case fault.NotFound:
		f.Kind = fault.Forbidden
	default:
		g.log.LogAttrs(r.Context(), slog.LevelError, "forward authentication failed closed",
			slog.String("requestId", string(info.Source.Request)), slog.Any("error", err))
		word = "unavailable"
		f = *fault.Unavailablef(time.Second, "The request cannot be judged at the moment.")
		if !q.native {
			f.Kind = fault.Forbidden
		}
	}
	if f.Kind == fault.Forbidden {
		g.log.LogAttrs(r.Context(), slog.LevelInfo, "denied", slog.String("requestId", string(info.Source.Request)),
			slog.String("route", Pattern), slog.String("principal", info.Principal.ID),
			slog.String("organization", string(info.Principal.Home)), slog.String("address", info.Source.Address),
			slog.String("path", q.target.Path), slog.String("why", f.Message))
	}
	w.Header().Set("X-Auth-Error", word)
	writeProblem(w, r, &f)
}

// maxProblem bounds the header of the problem: nginx keeps all headers of an answer in 4 KiB.
const maxProblem = 1500

// writeProblem writes a refusal, and once more in one header: nginx drops the body of an answer to auth_request.
func writeProblem(w http.ResponseWriter, r *http.Request, f *fault.Error) {
	p := web.NewProblem(r.Context(), f)
	if line := asciiJSON(p.Text()); len(line) <= maxProblem {
		w.Header().Set("X-Auth-Problem", line)
	}
	p.Write(w)
}

// asciiJSON escapes what is not ASCII in a JSON document (RFC 8259 §7), for a header.
func asciiJSON(text []byte) string {
	var b strings.Builder
	for _, c := range string(text) {
		switch {
		case c < 0x7f:
			b.WriteRune(c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
