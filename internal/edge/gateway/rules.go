package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

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

	want *wanted // of Permission
}

// ServeHTTP makes a rule a handler, so that net/http's matching finds it. It is never called.
func (*Rule) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Rules decide what a request needs, by the most specific pattern. What no rule is about is denied.
type Rules struct {
	mux    *http.ServeMux
	hosts  bool // some rule is about one host only
	native bool // 429 and 503 as they are
}

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
		Status string  `yaml:"status"`
		Routes []*Rule `yaml:"routes"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if len(file.Routes) == 0 {
		return nil, errors.New("has no routes; every request would be denied")
	}
	if file.Status != "" && file.Status != "native" {
		return nil, errors.New("status must be native, or left out")
	}
	r := &Rules{mux: http.NewServeMux(), native: file.Status == "native"}
	var wrong []error
	for i, rule := range file.Routes {
		if err := r.add(rule); err != nil {
			wrong = append(wrong, fmt.Errorf("route %d (%s): %w", i+1, rule.Path, err))
		}
	}
	return r, errors.Join(wrong...)
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
	host := ""
	if rule.Host != "" {
		var ok bool
		if host, ok = canonicalHost(rule.Host); !ok {
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
		r.mux.Handle(strings.TrimLeft(m+" "+host+rule.Path, " "), rule)
	}
	return nil
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
		return "[" + a.String() + "]", err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(host, "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ok := host != "" && len(host) <= 253 && host[0] != '.' && !strings.Contains(host, "..") &&
		strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
	return host, ok
}

// match finds the rule for a request of the protected API.
func (r *Rules) match(t target) *Rule {
	h, _ := r.mux.Handler(&http.Request{Method: t.method, Host: t.host, URL: &url.URL{Path: t.path}})
	rule, _ := h.(*Rule) // anything else is net/http's own answer: not found, another method, a redirect
	return rule
}

// wanted is a permission that is asked for; a scope of None is any.
type wanted struct {
	resource, action string
	scope            permission.Scope
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

// target is the request that a proxy asks about.
type target struct {
	method string // empty: the proxy did not say
	host   string // canonical; empty: the proxy did not say
	path   string // decoded, without query; empty: the proxy did not say
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
		strings.ContainsAny(path, "\\;%?#") || strings.Contains(path, "//") {
		return "", false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return "", false
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return "", false
		}
	}
	return path, true
}
