package web

import (
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// RefreshPath is the only place the refresh cookie travels to.
const (
	RefreshPath       = "/v1/auth/refresh"
	refreshCookieName = "itsm_refresh_token"

	deviceCookieName = "itsm_device"
	deviceCookiePath = "/v1/auth"
)

// AdmitBrowser refuses a page elsewhere that would sign its visitor in with a cookie (login CSRF).
func (k *Kit) AdmitBrowser(r *http.Request, cookie bool) error {
	if !cookie || !k.foreign(r) {
		return nil
	}
	orgs, err := k.o.Organizations.WithOrigin(r.Context(), r.Header.Get("Origin"))
	if err == nil && len(orgs) == 0 {
		err = fault.Forbiddenf("This origin may not sign in with a cookie.")
	}
	return err
}

// foreign tells whether a browser says that the request comes from another origin than ours.
func (k *Kit) foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		return origin != k.origin
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// KnownDevice is what a known device shows: in the body, or a browser's cookie.
func KnownDevice(r *http.Request, inBody string) secret.Secret {
	if inBody == "" {
		inBody, _, _ = authn.Cookie(r, deviceCookieName) // a cookie that is not readable makes no device known
	}
	return secret.New(inBody)
}

// RefreshCookie is the refresh token of a browser session.
func RefreshCookie(r *http.Request) (value string, found bool, err error) {
	return authn.Cookie(r, refreshCookieName)
}

// AdmitRefresh refuses a refresh by cookie that no listed origin of the session's organization asks for.
func (k *Kit) AdmitRefresh(r *http.Request, org id.Organization) error {
	ok, err := k.OriginAllowed(r, org, r.Header.Get("Origin"))
	if err == nil && (!ok || len(r.Header["Origin"]) != 1) {
		err = fault.Forbiddenf("A refresh by cookie needs an Origin header that names this server or an allowed " +
			"origin of the organization.")
	}
	return err
}

// CookiesFor gives a browser its cookies where the organization allows its origin, and nobody else any (A4). asked says
// that a request without an origin wants them too.
func (k *Kit) CookiesFor(r *http.Request, org id.Organization, p token.Pair, device secret.Secret,
	asked bool) (cookies []string, err error) {
	if origin := r.Header.Get("Origin"); origin != "" {
		if asked, err = k.OriginAllowed(r, org, origin); err != nil {
			return nil, err
		}
	}
	if !asked {
		return nil, nil
	}
	cookies = SessionCookies(p)
	if !device.IsZero() {
		cookies = append(cookies, cookie(deviceCookieName, device.Reveal(), deviceCookiePath, http.SameSiteStrictMode,
			int(mfa.DeviceLifetime/time.Second)))
	}
	return cookies, nil
}

// SessionCookies carry a pair for a browser. Neither has a Domain, so no other host gets them.
func SessionCookies(p token.Pair) []string {
	return []string{
		AccessCookie(p),
		cookie(refreshCookieName, p.Refresh, RefreshPath, http.SameSiteStrictMode,
			max(1, int(time.Until(p.RefreshExpiresAt)/time.Second))),
	}
}

// AccessCookie carries an access token alone.
func AccessCookie(p token.Pair) string {
	return cookie(authn.CookieName, p.Access, "/", http.SameSiteLaxMode, int(token.AccessLifetime/time.Second))
}

// ExpiredCookies take a session away from a browser.
func ExpiredCookies() []string {
	return []string{cookie(authn.CookieName, "", "/", http.SameSiteLaxMode, -1),
		cookie(refreshCookieName, "", RefreshPath, http.SameSiteStrictMode, -1)}
}

func cookie(name, value, path string, site http.SameSite, maxAge int) string {
	return (&http.Cookie{Name: name, Value: value, Path: path, MaxAge: maxAge, Secure: true, HttpOnly: true,
		SameSite: site}).String()
}
