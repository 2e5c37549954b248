// Package oauth speaks OAuth 2.0 for machines: the token endpoint (RFC 6749), introspection (RFC 7662, RFC 9701),
// revocation (RFC 7009), the server's metadata (RFC 8414) and the published signing keys (RFC 7517). Errors are those
// of RFC 6749 §5.2.
package oauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/grant"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/oautherr"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoints.
type Deps struct {
	PublicURL     *url.URL
	MTLSURL       *url.URL // where certificates are asked for; nil: nowhere
	Authenticator *authn.Authenticator
	Clients       *clientauth.Authenticator
	Organizations *organization.Service
	Keys          *signingkey.Service
	Tokens        *token.Service
	Sessions      *session.Service
	Credentials   *credential.Service
}

type server struct {
	Deps
	kit    *web.Kit
	grants *grant.Endpoint
}

// The paths.
const (
	tokenPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	metadataPath   = "/.well-known/oauth-authorization-server"
	jwksPath       = "/.well-known/jwks.json"

	// openIDPath is where clients look that know OpenID Connect alone (RFC 8414 §5). The document is the same: it
	// promises no authorization endpoint and no ID token, since there are none.
	openIDPath = "/.well-known/openid-configuration"
)

const maxForm = 32 << 10

var formOnly = []string{"application/x-www-form-urlencoded"}

// Register adds the routes.
func Register(kit *web.Kit, d Deps) {
	o := &server{d, kit, grant.New(d.Clients, d.Tokens)}
	form := func(path, why string, h func(w http.ResponseWriter, r *http.Request, form url.Values) error) {
		kit.Handle(web.Route{Method: http.MethodPost, Pattern: path, Public: why, MaxBody: maxForm, BodyTypes: formOnly,
			WriteError: oautherr.Write}, o.form(h))
	}
	form(tokenPath, "the client authenticates itself", o.token)
	form(introspectPath, "the client authenticates itself", o.introspect)
	form(revokePath, "the client authenticates itself, or the caller is who holds the token", o.revoke)
	for _, path := range []string{metadataPath, openIDPath} {
		kit.Handle(web.Route{Method: http.MethodGet, Pattern: path,
			Public: "the description of the server, for clients that configure themselves"},
			public("application/json", time.Hour, o.metadata()))
	}
	kit.Handle(web.Route{Method: http.MethodGet, Pattern: jwksPath,
		Public: "public keys, for verifying tokens without asking"},
		public("application/jwk-set+json", signingkey.JWKSMaxAge, func() (any, error) {
			return d.Keys.JWKS()
		}))
}

// public answers a document for everyone, so without credentials.
func public(contentType string, age time.Duration, document func() (any, error)) http.Handler {
	cache := fmt.Sprintf("public, max-age=%d", age/time.Second)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := document()
		if err != nil {
			web.WriteProblem(w, r, err)
			return
		}
		body, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			web.WriteProblem(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", cache)
		h.Set("Access-Control-Allow-Origin", "*")
		h.Del("Access-Control-Allow-Credentials")
		w.Write(body)
	})
}

// form reads the one kind of body these endpoints take. Parameters in the address are refused: addresses are logged.
func (o *server) form(h func(w http.ResponseWriter, r *http.Request, form url.Values) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1; Cache-Control: no-store is everywhere
		err := func() error {
			if r.URL.RawQuery != "" {
				return fault.New(fault.Invalid, fault.CodeValidation, "Send the parameters in the body.")
			}
			if err := r.ParseForm(); err != nil {
				return fault.New(fault.Invalid, fault.CodeValidation, "The body is not a form.").Because(err)
			}
			for name, values := range r.PostForm {
				if len(values) > 1 { // RFC 6749 §3.2
					return fault.New(fault.Invalid, fault.CodeValidation,
						strconv.Quote(name)+" is given more than once.")
				}
			}
			return h(w, r, r.PostForm)
		}()
		if err != nil {
			oautherr.Write(w, r, err)
		}
	})
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("oauth: answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
