package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

// Rule is one entry of a routes file: which requests of the protected API it is about, and what they need. Exactly one
// of Permission, Authenticated and Public is set.
type Rule struct {
	Methods       []string `yaml:"methods"`       // empty: all; GET means HEAD too
	Host          string   `yaml:"host"`          // empty: every host
	Path          string   `yaml:"path"`          // net/http ServeMux syntax: /api/stations/{id}, /files/{rest...}
	Permission    string   `yaml:"permission"`    // resource:action, or resource:action:scope
	Authenticated bool     `yaml:"authenticated"` // any good credential
	Public        bool     `yaml:"public"`        // no credential is looked at
	TokenFor      string   `yaml:"token_for"`     // the audience of a token for the API; empty: none

	want  *wanted // of Permission
	host  string  // canonical
	shape shape   // of Path
}

// ServeHTTP makes a rule a handler, so that net/http's matching finds it. It is never called.
func (*Rule) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Rules decide what a request needs, by the most specific pattern. What no rule is about is denied, and so is a request
// that an API may read as another one that needs something else.
type Rules struct {
	mux       *http.ServeMux
	hosts     bool // some rule is about one host only
	native    bool // 429 and 503 as they are
	preflight bool // a browser's question before a request across origins passes

	// what the API tells apart
	caseSensitive bool
	slashes       bool // a path with a closing slash and without
	suffixes      bool // a name with a suffix and without

	list    []*Rule
	slashed []*Rule         // those of list that a path may reach by a closing slash
	depths  uint64          // how many names they have: a bit for each number
	names   map[string]bool // the names in all paths, folded
	crooked bool            // a rule is spelled otherwise than its folded form

	warnings []string
}

// Warnings are what is allowed in a routes file and yet seldom meant.
func (r *Rules) Warnings() []string { return r.warnings }

// LoadRules reads a routes file.
func LoadRules(path string) (*Rules, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	rules, err := ParseRules(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rules, nil
}

// ParseRules reads the text of a routes file; every wrong rule is named.
func ParseRules(text []byte) (*Rules, error) {
	var file struct {
		// native: 429 and 503 as they are, for proxies whose questions have no parameters
		Status string `yaml:"status"`
		// pass: a CORS preflight needs no credential
		Preflight string `yaml:"preflight"`
		// what the API tells apart although many others do not
		CaseSensitive bool    `yaml:"case_sensitive"`
		TrailingSlash string  `yaml:"trailing_slash"`
		Suffixes      string  `yaml:"suffixes"`
		Routes        []*Rule `yaml:"routes"`
	}
	if err := yaml.UnmarshalWithOptions(bom.Skip(text), &file, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if len(file.Routes) == 0 {
		return nil, errors.New("has no routes; every request would be denied")
	}
	r := &Rules{mux: http.NewServeMux(), caseSensitive: file.CaseSensitive, names: map[string]bool{}}
	var wrong []error
	for _, word := range []struct {
		name, value, only string
		set               *bool
	}{
		{"status", file.Status, "native", &r.native}, {"preflight", file.Preflight, "pass", &r.preflight},
		{"trailing_slash", file.TrailingSlash, "distinct", &r.slashes},
		{"suffixes", file.Suffixes, "distinct", &r.suffixes},
	} {
		if *word.set = word.value == word.only; !*word.set && word.value != "" {
			wrong = append(wrong, fmt.Errorf("%s must be %s, or left out", word.name, word.only))
		}
	}
	for i, rule := range file.Routes {
		if err := r.add(rule); err != nil {
			wrong = append(wrong, fmt.Errorf("route %d (%s): %w", i+1, rule.Path, err))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	r.warnings = r.warn()
	return r, nil
}

// warn finds rules of which one can be taken for the other, and catch-alls that open more than what they surround.
func (r *Rules) warn() (out []string) {
	called := func(rule *Rule) string {
		return fmt.Sprintf("route %d (%s)", slices.Index(r.list, rule)+1, rule.Path)
	}
	for i, rule := range r.list {
		var stricter []string
		for k, other := range r.list {
			switch {
			case other == rule || !rule.meets(other) || rule.covers(other) && other.covers(rule):
			case other.shape.within(rule.shape) && rule.shape.within(other.shape):
				if k > i && rule.host == other.host && (!r.slashes || rule.shape.end == other.shape.end) &&
					!rule.outranks(other) && !other.outranks(rule) {
					out = append(out, called(rule)+" and "+called(other)+" are one path for an API that ignores case, "+
						"a closing slash or unusual characters, and they need different things: requests for them are "+
						"refused. If yours tells them apart, set case_sensitive: true or trailing_slash: distinct.")
				}
			case rule.shape.open && other.shape.within(rule.shape) && !rule.covers(other):
				stricter = append(stricter, called(other))
			}
		}
		if len(stricter) > 0 {
			if more := len(stricter) - 3; more > 0 {
				stricter = append(stricter[:3], fmt.Sprintf("%d more", more))
			}
			out = append(out, called(rule)+" takes whatever no other rule names, and needs less than "+
				strings.Join(stricter, ", ")+" below it: a path that only the API reads as one of those passes with "+
				"less. Name what may be open instead.")
		}
	}
	return out
}

// meets tells whether some request can be one of both rules, as far as host and method go.
func (r *Rule) meets(o *Rule) bool {
	if r.host != "" && o.host != "" && r.host != o.host {
		return false
	}
	return len(r.Methods) == 0 || len(o.Methods) == 0 ||
		slices.ContainsFunc(r.Methods, func(m string) bool { return o.concerns(m, o.host) }) ||
		slices.ContainsFunc(o.Methods, func(m string) bool { return r.concerns(m, r.host) })
}

func (r *Rules) add(rule *Rule) (err error) {
	marks := 0
	for _, set := range []bool{rule.Permission != "", rule.Authenticated, rule.Public} {
		if set {
			marks++
		}
	}
	switch {
	case marks != 1:
		return errors.New("needs exactly one of permission, authenticated: true and public: true")
	case !strings.HasPrefix(rule.Path, "/"):
		return errors.New("the path must begin with a slash")
	case rule.Public && rule.TokenFor != "":
		return errors.New("a public route has no caller to make a token for")
	}
	if rule.Permission != "" {
		want, err := parseWanted(rule.Permission)
		if err != nil {
			return err
		}
		rule.want = &want
	}
	if rule.Host != "" {
		var ok bool
		if rule.host, ok = canonicalHost(rule.Host); !ok {
			return fmt.Errorf("host %q: write a host name, without scheme and port", rule.Host)
		}
		r.hosts = true
	}
	methods := rule.Methods
	if len(methods) == 0 {
		methods = []string{""}
	}
	defer func() {
		if p := recover(); p != nil { // net/http's way of refusing a pattern, or two that nothing ranks
			err = fmt.Errorf("%v", p)
		}
	}()
	for _, m := range methods {
		if m != strings.ToUpper(m) {
			return fmt.Errorf("method %q: write it in upper case", m)
		}
		r.mux.Handle(strings.TrimLeft(m+" "+rule.host+rule.Path, " "), rule)
	}
	r.remember(rule)
	return nil
}

// remember keeps what readings are compared with.
func (r *Rules) remember(rule *Rule) {
	rule.shape = r.shapeOf(rule.Path)
	r.list = append(r.list, rule)
	for _, name := range rule.shape.names {
		r.names[name] = r.names[name] || name != ""
	}
	for name := range strings.SplitSeq(rule.Path, "/") {
		if name != "" && name[0] != '{' && r.fold(name) != name {
			r.crooked = true
		}
	}
	if !r.slashes && (rule.shape.open || rule.shape.end) && len(rule.shape.names) > 0 {
		r.slashed = append(r.slashed, rule)
		r.depths |= 1 << min(len(rule.shape.names), 63)
	}
}

// isMethod accepts what a rule can be about. CONNECT is not: what it names is no path.
func isMethod(method string) bool {
	return method != http.MethodConnect && method != "" && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}

// canonicalHost is how hosts are compared: lower case, without a trailing dot and without a port, since DNS and HTTP
// make no difference there. Whatever could be read as another host than it seems is none.
func canonicalHost(host string) (string, bool) {
	if h, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		if host = h; strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		ok := err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(host, "]")
		if a.Is4In6() {
			return a.Unmap().String(), ok
		}
		return "[" + a.String() + "]", ok
	}
	ok := isASCII(host) // else lower case makes an i of a Turkish İ
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ok = ok && host != "" && len(host) <= 253 && !strings.Contains("."+host+".", "..") &&
		strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
	return host, ok
}

// Match finds the rule for a request of the protected API. A request that no rule is about, or that can be read as one
// that needs something else, is an error.
func (r *Rules) Match(q Request) (*Rule, error) {
	h, _ := r.mux.Handler(&http.Request{Method: q.Method, Host: q.Host, URL: &url.URL{Path: q.Path}})
	rule, _ := h.(*Rule) // anything else is net/http's own answer: not found, another method, a redirect
	if rule == nil {
		return nil, fault.New(fault.Forbidden, "NO_ROUTE", "No route of the routes file allows this method and path.")
	}
	if r.ambiguous(q, rule) {
		return nil, errPath("The path can be read in more than one way: ask for it in the spelling of the API's own " +
			"documentation, without a closing slash, a suffix or unusual characters.")
	}
	return rule, nil
}

// wanted is a permission that is asked for; a scope of None is any.
type wanted struct {
	resource, action string
	scope            permission.Scope
}

func (w wanted) permission() permission.Permission {
	return permission.Permission{Resource: w.resource, Action: w.action, Scope: w.scope}
}

func (w wanted) String() string {
	if w.scope <= permission.Own {
		return w.resource + ":" + w.action
	}
	return w.resource + ":" + w.action + ":" + w.scope.String()
}

func parseWanted(text string) (wanted, error) {
	if strings.Count(text, ":") == 1 {
		resource, action, _ := strings.Cut(text, ":")
		if !permission.Known(resource, action) {
			return wanted{},
				fmt.Errorf("permission %q does not exist; resources of your own are named in the setting resources",
					text)
		}
		return wanted{resource, action, permission.Own}, nil
	}
	p, err := permission.Parse(text)
	return wanted{p.Resource, p.Action, p.Scope}, err
}

// Request is a request of the protected API.
type Request struct {
	Method string // empty: the proxy did not say
	Host   string // canonical; empty: the proxy did not say
	Path   string // decoded, without query; empty: the proxy did not say
}

// cleanPath decodes a path that everybody must read alike, and refuses any other: what one parser takes for a separator
// or a step upward and another does not would let a request be judged as another than it is.
func cleanPath(escaped string) (string, bool) {
	escaped, _, _ = strings.Cut(escaped, "?")
	if escaped == "" || escaped[0] != '/' || len(escaped) > 8<<10 {
		return "", false
	}
	path, err := url.PathUnescape(escaped)
	if err != nil || !utf8.ValidString(path) || strings.Count(path, "/") != strings.Count(escaped, "/") ||
		strings.ContainsAny(path, separators) || strings.Contains(path, "//") {
		return "", false
	}
	odd := false
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ' || c == 0x7f:
			return "", false
		case c == ' ' || c == '.' || c > 0x7f:
			odd = true
		}
	}
	if !odd {
		return path, true
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "" {
			continue
		}
		if !isASCII(part) {
			if part = letters(part); unclear(part, i == len(parts)-1) {
				return "", false
			}
			part = beforeEnd(part)
		}
		if strings.Trim(part, " .") == "" { // a step upward, or nothing, for who drops outer spaces and dots
			return "", false
		}
	}
	return path, true
}

// unclear tells whether a name, in plain letters, moves the borders of names for who takes full-width characters for
// separators: by a slash, by an escaped character, or by a query or fragment that other names follow.
func unclear(name string, last bool) bool {
	return strings.ContainsAny(name, "/\\") || strings.ContainsFunc(name, unicode.IsControl) ||
		!last && strings.ContainsAny(name, "?#") || escapedCharacter.MatchString(name)
}

var escapedCharacter = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

const separators = "\\;%?#"
