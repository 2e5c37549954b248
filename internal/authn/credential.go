package authn

import (
	"net/http"
	"strings"

	"gatehouse/internal/core/fault"
)

// CookieName carries the access token of a browser session.
const CookieName = "itsm_auth_token"

// Kind is what a request brings, as its shape tells before anything is verified.
type Kind string

// The kinds of credential. Each route names those it accepts.
const (
	None         Kind = "none"
	SessionToken Kind = "session_token"
	APIKey       Kind = "api_key"
)

// Credential is what a request brings.
type Credential struct {
	Kind       Kind
	value      string
	FromCookie bool
}

func errCredential(format string) error {
	return fault.New(fault.Invalid, fault.CodeValidation, format)
}

// errMissing asks for a credential.
func errMissing() error {
	return fault.New(fault.Unauthenticated, fault.CodeUnauthorized, "A credential is required: Authorization: Bearer <access token>.")
}

// Read finds the one credential of a request. An explicit one beats the cookie, which is then not looked at; two explicit ones, or one
// repeated, are refused.
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
		if !strings.EqualFold(scheme, "Bearer") || value == "" || strings.IndexByte(value, ' ') >= 0 || strings.IndexByte(value, '\t') >= 0 {
			return Credential{}, fault.New(fault.Unauthenticated, fault.CodeUnauthorized, "Authorization must be: Bearer, one space, the token.")
		}
		return Credential{Kind: SessionToken, value: value}, nil
	}
	value, found, err := Cookie(r, CookieName)
	if err != nil || !found {
		return Credential{Kind: None}, err
	}
	return Credential{Kind: SessionToken, value: value, FromCookie: true}, nil
}

// maxCookieBytes bounds what is searched for a cookie.
const maxCookieBytes = 32 << 10

// Cookie reads a cookie by its exact name. A name that occurs twice is refused, since a neighbouring host may have planted one of them.
func Cookie(r *http.Request, name string) (value string, found bool, err error) {
	size := 0
	for _, line := range r.Header["Cookie"] {
		if size += len(line); size > maxCookieBytes {
			return "", false, fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The request has too many cookies.")
		}
		for part := range strings.SplitSeq(line, ";") {
			k, v, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if k != name {
				if strings.EqualFold(strings.TrimFunc(k, isOdd), name) { // a look-alike: other case, odd spaces, legacy $ prefix
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
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The cookie "+name+" is sent more than once or under a look-alike name. Clear the cookies of this site.")
}
