package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/grant"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitzero"`
}

// token answers a token request (RFC 6749 §4.4 and §6).
func (o *server) token(w http.ResponseWriter, r *http.Request, form url.Values) error {
	kind := form.Get("grant_type")
	if kind == "" {
		return fault.New(fault.Invalid, fault.CodeValidation, "grant_type is missing.")
	}
	c, err := o.Clients.Read(r, form)
	if err != nil {
		return err
	}
	pair, limit, err := o.grants.Answer(r.Context(), clientauth.Door{Door: token.OAuth}, c,
		grant.Request{Type: kind, Scope: form.Get("scope"), Resource: form.Get("resource"),
			Audience: form.Get("audience"), Refresh: form.Get("refresh_token"), Source: web.InfoOf(r.Context()).Source})
	web.WriteLimit(w.Header(), limit)
	if err != nil {
		return err
	}
	return writeJSON(w, tokenAnswer{pair.Access, "Bearer", int64(pair.ExpiresIn / time.Second), pair.Scope.Line(),
		pair.Refresh})
}

// client authenticates the client of a request.
func (o *server) client(w http.ResponseWriter, r *http.Request, form url.Values) (token.ClientProof, error) {
	c, err := o.Clients.Read(r, form)
	if err != nil {
		return token.ClientProof{}, err
	}
	proof, limit, err := o.Clients.Authenticate(r.Context(), clientauth.Door{Door: token.OAuth}, c,
		web.InfoOf(r.Context()).Source)
	web.WriteLimit(w.Header(), limit)
	return proof, err
}

// metadata describes the server (RFC 8414), from its configuration only.
func (o *server) metadata() func() (any, error) {
	issuer := o.Tokens.Issuer()
	methods := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	doc := map[string]any{
		"issuer": issuer, "token_endpoint": issuer + tokenPath, "introspection_endpoint": issuer + introspectPath,
		"revocation_endpoint": issuer + revokePath, "jwks_uri": issuer + jwksPath,
		"grant_types_supported": o.grants.Types(), "response_types_supported": []string{},
		"introspection_signing_alg_values_supported": []string{"RS256"},
		"service_documentation":                      issuer + "/openapi.json",
	}
	if o.MTLSURL != nil {
		methods = append(methods, "tls_client_auth", "self_signed_tls_client_auth")
		at := strings.TrimSuffix(o.MTLSURL.String(), "/")
		doc["tls_client_certificate_bound_access_tokens"] = true
		// RFC 8705 §5
		doc["mtls_endpoint_aliases"] = map[string]string{"token_endpoint": at + tokenPath,
			"introspection_endpoint": at + introspectPath, "revocation_endpoint": at + revokePath}
	}
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		doc[endpoint+"_endpoint_auth_methods_supported"] = methods
		doc[endpoint+"_endpoint_auth_signing_alg_values_supported"] = jwt.AssertionAlgorithms
	}
	return func() (any, error) { return doc, nil }
}
