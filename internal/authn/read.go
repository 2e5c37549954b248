package authn

import (
	"net/http"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// CookieName carries the access token of a browser session.
const CookieName = "itsm_auth_token"

// Credential is what a request brings.
type Credential struct {
	Kind       Kind
	value      string
	FromCookie bool
}

// FromValue names the kind of a bare value, as introspection and revocation get it.
func FromValue(value string) Credential {
	if k := ofValue(value); k != nil {
		return Credential{Kind: k.name, value: value}
	}
	return Credential{Kind: jsonWebToken, value: value}
}

func errCredential(format string) error {
	return fault.New(fault.Invalid, fault.CodeValidation, format)
}

// Read finds the one credential of a request. An explicit one beats the cookie, which is then not looked at; two
// explicit ones, or one repeated, are refused.
func Read(r *http.Request) (Credential, error) {
	authorization, apiKey := r.Header["Authorization"], r.Header["X-Api-Key"]
	switch {
	case len(authorization) > 1 || len(apiKey) > 1:
		return Credential{}, errCredential("Send one credential: the header is repeated.")
	case len(authorization) == 1 && len(apiKey) == 1:
		return Credential{}, errCredential("Send one credential: either Authorization or X-API-Key.")
	case len(apiKey) == 1:
		return Credential{Kind: APIKey, value: apiKey[0]}, nil
	case len(authorization) == 1:
		scheme, value, _ := strings.Cut(authorization[0], " ")
		if strings.EqualFold(scheme, "Basic") {
			return Credential{Kind: Password, value: strings.TrimLeft(value, " ")}, nil
		}
		if !strings.EqualFold(scheme, "Bearer") || value == "" || strings.IndexByte(value, ' ') >= 0 ||
			strings.IndexByte(value, '\t') >= 0 {
			return Credential{}, errScheme()
		}
		if k := ofValue(value); k != nil && k.header != "" {
			return Credential{}, fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
				"An API key goes into the header X-API-Key, not into Authorization.")
		}
		return FromValue(value), nil
	}
	value, found, err := Cookie(r, CookieName)
	if err != nil || !found {
		return Credential{Kind: None}, err
	}
	return Credential{Kind: jsonWebToken, value: value, FromCookie: true}, nil
}

// maxCookieBytes bounds what is searched for a cookie.
const maxCookieBytes = 32 << 10

// Cookie reads a cookie by its exact name. A name that occurs twice is refused, since a neighbouring host may have
// planted one of them.
func Cookie(r *http.Request, name string) (value string, found bool, err error) {
	size := 0
	for _, line := range r.Header["Cookie"] {
		if size += len(line); size > maxCookieBytes {
			return "", false, fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
				"The request has too many cookies.")
		}
		for part := range strings.SplitSeq(line, ";") {
			k, v, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if k != name {
				if strings.EqualFold(strings.TrimFunc(k, isOdd), name) {
					// a look-alike: other case, odd spaces, legacy $ prefix
					return "", false, errCookie(name)
				}
				continue
			}
			if found {
				return "", false, errCookie(name)
			}
			value, found = v, true
		}
	}
	return value, found, nil
}

func isOdd(r rune) bool { return r <= ' ' || r > '~' || r == '$' || r == '"' }

func errCookie(name string) error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"The cookie "+name+" is sent more than once or under a look-alike name. Clear the cookies of this site.")
}
