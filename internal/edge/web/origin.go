package web

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
)

// crossOrigin answers preflights and allows listed origins to read answers, with credentials and by name, never by "*".
// It tells whether the request is done.
func (k *Kit) crossOrigin(w http.ResponseWriter, r *http.Request, origin string) (done bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if origin != k.origin {
		orgs, err := k.o.Organizations.WithOrigin(r.Context(), origin)
		if err != nil {
			k.writeError(w, r, err)
			return true
		}
		if len(orgs) > 0 {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, Location, WWW-Authenticate, "+
				"RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset")
			if preflight {
				h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
				h.Set("Access-Control-Allow-Headers",
					"Authorization, Content-Type, X-API-Key, X-Tenant-Slug, X-Device-Fingerprint")
				h.Set("Access-Control-Max-Age", "600")
			}
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	return false
}

// OriginAllowed tells whether a browser origin is ours or on an organization's list. Origins are compared as they are:
// no suffix, no pattern, and being on the same site is not enough.
func (k *Kit) OriginAllowed(r *http.Request, org id.Organization, origin string) (bool, error) {
	if origin == k.origin {
		return true, nil
	}
	orgs, err := k.o.Organizations.WithOrigin(r.Context(), origin)
	return slices.Contains(orgs, org), err
}

// checkOrigin holds a known caller's request to the origins of their own organization. What a browser sends by itself,
// a cookie, or a user name and password that it remembers, changes something only from a listed origin; an opaque
// ("null") one is none. A cookie without any is refused as well; programs send passwords without.
func (k *Kit) checkOrigin(w http.ResponseWriter, r *http.Request, info *Info, byPassword bool, method string) error {
	origins := r.Header["Origin"]
	unsafe := method != http.MethodGet && method != http.MethodHead
	if len(origins) == 0 && (!info.Cookie || !unsafe) {
		return nil
	}
	allowed := false
	if len(origins) == 1 {
		var err error
		if allowed, err = k.OriginAllowed(r, info.Principal.Home, origins[0]); err != nil {
			return err
		}
	}
	if !allowed {
		w.Header().Del("Access-Control-Allow-Origin")
		w.Header().Del("Access-Control-Allow-Credentials")
		if unsafe && (info.Cookie || byPassword) {
			return fault.Forbiddenf("A request with what a browser sends by itself needs an Origin header that names " +
				"this server or an allowed origin of the organization.")
		}
	}
	return nil
}

// PublicOrigin is the origin of the public URL.
func (k *Kit) PublicOrigin() string { return k.origin }

// TenantSlug reads X-Tenant-Slug; repeated it is refused.
func TenantSlug(r *http.Request) (string, error) {
	v := r.Header["X-Tenant-Slug"]
	switch {
	case len(v) == 0:
		return "", nil
	case len(v) > 1 || v[0] == "":
		return "", fault.Invalidf("X-Tenant-Slug", "must be one organization's slug")
	}
	return v[0], nil
}

// Hint is the organization that a request without a credential names. It narrows a look-up and grants nothing.
type Hint struct {
	Slug  string // empty: none
	Loose bool   // it may be no organization's at all: the first label of an origin that is under no tenant host
	Else  string // what then holds: the subdomain of Host, or empty
}

// TenantHint reads X-Tenant-Slug, else the subdomain of Origin, else that of Host, which counts under a configured
// tenant host only.
func (k *Kit) TenantHint(r *http.Request) (Hint, error) {
	if slug, err := TenantSlug(r); slug != "" || err != nil {
		return Hint{Slug: slug}, err
	}
	if _, host, ok := strings.Cut(r.Header.Get("Origin"), "://"); ok {
		if slug := k.subdomain(host); slug != "" {
			return Hint{Slug: slug}, nil
		}
		if label, rest, ok := strings.Cut(host, "."); ok && strings.Contains(rest, ".") && host != k.o.PublicURL.Host {
			return Hint{Slug: label, Loose: true, Else: k.subdomain(r.Host)}, nil
		}
	}
	return Hint{Slug: k.subdomain(r.Host)}, nil
}

func (k *Kit) subdomain(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, ".")) // DNS makes no difference
	for _, base := range k.o.TenantHosts {
		if slug, ok := strings.CutSuffix(host, "."+base); ok && !strings.Contains(slug, ".") {
			return slug
		}
	}
	return ""
}

// SignInTenant finds the organization that a sign-in names: in its body, else in X-Tenant-Slug, else by a subdomain;
// else the fallback's slug, if any.
func (k *Kit) SignInTenant(r *http.Request, named, fallback string) (login.Tenant, error) {
	hint, err := k.TenantHint(r)
	if err != nil {
		return login.Tenant{}, err
	}
	if header := r.Header.Get("X-Tenant-Slug"); named != "" && header != "" && header != named {
		return login.Tenant{}, fault.Invalidf("organization", "and X-Tenant-Slug name different organizations")
	}
	if named != "" {
		hint = Hint{Slug: named}
	}
	if hint.Slug == "" {
		hint.Slug = fallback
	}
	if hint.Else == "" {
		hint.Else = fallback
	}
	if hint.Slug == "" {
		return login.Tenant{}, nil
	}
	org, err := k.o.Organizations.BySlug(r.Context(), hint.Slug)
	if fault.Is(err, fault.NotFound) && hint.Loose {
		if hint.Else == "" {
			return login.Tenant{}, nil
		}
		org, err = k.o.Organizations.BySlug(r.Context(), hint.Else)
	}
	if fault.Is(err, fault.NotFound) {
		return login.Tenant{Unknown: true, Named: hint.Slug}, nil
	}
	return login.Tenant{ID: org.ID}, err
}
