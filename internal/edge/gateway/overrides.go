package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// Overrides are another method, path and host that a request names beside its own. Frameworks honour them, so they are
// judged too. A method in a body cannot be seen here.
type Overrides struct {
	Methods, Paths, Hosts []string // as they are written
}

type override uint8

const (
	ofMethod override = iota + 1
	ofPath
	ofHost
	ofAccount // a part of one of the two descriptions by which proxies tell a request
)

// overriding are the headers that some framework or server takes for the method, path or host of a request.
var overriding = map[string]override{
	"X-Http-Method-Override": ofMethod, // Rails, Laravel, Symfony, Express, ASP.NET, Jersey, Django libraries
	"X-Http-Method":          ofMethod, // OData
	"X-Method-Override":      ofMethod,
	"X-Override-Method":      ofMethod,
	"X-Method":               ofMethod,
	"X-Original-Url":         ofPath, // IIS, ASP.NET, Symfony, Zend
	"X-Rewrite-Url":          ofPath,
	"X-Override-Url":         ofPath,
	"X-Original-Path":        ofPath,
	"X-Forwarded-Path":       ofPath,
	"X-Http-Destinationurl":  ofPath,
	"X-Host":                 ofHost,
	"X-Http-Host-Override":   ofHost,
	"Forwarded":              ofHost, // RFC 7239
	"X-Original-Uri":         ofAccount, "X-Original-Method": ofAccount, "X-Original-Host": ofAccount,
	"X-Forwarded-Uri": ofAccount, "X-Forwarded-Method": ofAccount, "X-Forwarded-Host": ofAccount,
}

// eitherAccount is for questions in which it does not matter how the proxy describes the request.
const eitherAccount = "X-"

// ReadOverrides reads the headers and the query of a request. account is the beginning of the headers in which the
// proxy itself describes the request ("X-Original-"); empty: it does not in headers.
func ReadOverrides(h http.Header, query, account string) (o Overrides) {
	for name, values := range h {
		kind := override(0)
		if name[0] == 'X' || name[0] == 'F' {
			kind = overriding[name]
		}
		switch {
		case kind == 0:
			continue
		case kind != ofAccount:
		case account != "" && strings.HasPrefix(name, account):
			continue
		case strings.HasSuffix(name, "-Method"):
			kind = ofMethod
		case strings.HasSuffix(name, "-Uri"):
			kind = ofPath
		default:
			kind = ofHost
		}
		for _, v := range values {
			switch v = strings.TrimSpace(v); {
			case v == "":
			case kind == ofMethod:
				o.Methods = append(o.Methods, strings.ToUpper(v))
			case kind == ofPath:
				path, more, _ := strings.Cut(v, "?")
				o.Paths, o.Methods = append(o.Paths, path), append(o.Methods, queryMethods(more)...)
			case name == "Forwarded":
				o.Hosts = append(o.Hosts, forwardedHosts(v)...)
			default:
				o.Hosts = append(o.Hosts, v)
			}
		}
	}
	o.Methods = append(o.Methods, queryMethods(query)...)
	return o
}

// queryMethods finds _method and its relatives. PHP reads dots and spaces in names as underscores, and some servers a
// semicolon as a separator.
func queryMethods(query string) (methods []string) {
	for part := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		if len(name) < len("_method") {
			continue
		}
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if i := strings.IndexAny(name, "[\x00"); i >= 0 { // a list; the end for C
			name = name[:i]
		}
		switch strings.NewReplacer("_", "-", ".", "-", " ", "-").Replace(strings.ToLower(strings.TrimSpace(name))) {
		case "-method", "-http-method", "x-http-method-override", "x-http-method", "x-method-override":
			if plain, err := url.QueryUnescape(value); err == nil {
				value = plain
			}
			if value = strings.ToUpper(strings.TrimSpace(value)); value != "" {
				methods = append(methods, value)
			}
		}
	}
	return methods
}

// forwardedHosts reads the hosts of a Forwarded header (RFC 7239 §4).
func forwardedHosts(v string) (hosts []string) {
	for part := range strings.FieldsFuncSeq(v, func(c rune) bool { return c == ',' || c == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(strings.TrimSpace(name), "host") {
			hosts = append(hosts, strings.Trim(value, "\" \t"))
		}
	}
	return hosts
}

// maxReadings bounds what one request costs; nobody who means well names more.
const maxReadings = 8

// Judge finds the rule for a request, which must need the same whatever of its overrides the API honours.
func (r *Rules) Judge(q Request, o Overrides) (*Rule, error) {
	rule, err := r.Match(q)
	if err != nil {
		return nil, err
	}
	if !r.hosts {
		o.Hosts = nil
	}
	methods, paths, hosts := append([]string{q.Method}, o.Methods...), append([]string{q.Path}, o.Paths...),
		append([]string{q.Host}, o.Hosts...)
	if len(methods)*len(paths)*len(hosts) == 1 {
		return rule, nil
	}
	if len(methods)*len(paths)*len(hosts) > maxReadings {
		return nil, errPath("The request names more methods or addresses than one.")
	}
	for m, method := range methods {
		for p, path := range paths {
			for h, host := range hosts {
				ok := isMethod(method)
				if ok && p > 0 {
					path, ok = cleanPath(path)
				}
				if ok && h > 0 {
					host, ok = canonicalHost(host)
				}
				if ok {
					other, err := r.Match(Request{method, host, path})
					ok = err == nil && other.needsAs(rule)
				}
				switch {
				case ok:
				case m > 0:
					return nil, errMethod()
				default:
					return nil, errOverride()
				}
			}
		}
	}
	return rule, nil
}

// same tells whether overrides name nothing but the request itself, as far as it is known: where no rule can tell what
// another would need.
func (o Overrides) same(q Request) error {
	for _, m := range o.Methods {
		if m != q.Method {
			return errMethod()
		}
	}
	for _, p := range o.Paths {
		if path, ok := cleanPath(p); !ok || path != q.Path {
			return errOverride()
		}
	}
	return nil
}

// changing is the method of a request that its overrides may have turned into one that changes something.
func (o Overrides) changing(method string) string {
	for _, m := range o.Methods {
		if method == http.MethodGet || method == http.MethodHead {
			method = m
		}
	}
	return method
}

func errPath(message string) error { return fault.New(fault.Forbidden, "INVALID_PATH", message) }

func errOverride() error {
	return errPath("The request names another address in a header (such as X-Rewrite-URL, X-Original-URL or " +
		"X-Forwarded-Host), and that one needs something else: send it without.")
}

func errMethod() error {
	return fault.New(fault.Forbidden, "INVALID_METHOD", "The request names another method (in X-HTTP-Method-Override "+
		"or the like, or as _method in the query), and that one needs something else: send that method itself.")
}
