// Package client owns OAuth 2.0 clients: machines of an organization that get tokens for themselves. It holds what a
// client may do and how it proves who it is; its secrets are credentials and its tokens are the token domain's. A
// client belongs to its organization and outlives whoever made it.
package client

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// State of a client.
type State string

// A client that is off gets no tokens and those it has are refused, until it is active again; Deleted is for good.
const (
	Active  State = "active"
	Off     State = "off"
	Deleted State = "deleted"
)

// Method is how a client proves who it is, in the words of RFC 8414 §2 and RFC 8705 §2.
type Method string

// The methods. A secret may travel in the Basic header or in the form.
const (
	Secret         Method = "client_secret"
	PrivateKeyJWT  Method = "private_key_jwt"
	TLS            Method = "tls_client_auth"
	SelfSignedTLS  Method = "self_signed_tls_client_auth"
	maxKeys               = 10
	maxThumbprints        = 10
)

// Authentication is how a client proves who it is. Only the fields of its method are set.
type Authentication struct {
	Method      Method              `json:"method"`
	JWKS        *jose.JSONWebKeySet `json:"jwks,omitempty"`
	JWKSURI     string              `json:"jwksUri,omitempty"`
	SubjectDN   string              `json:"subjectDn,omitempty"` // RFC 4514, as RFC 8705 §2.1.2
	SANDNS      string              `json:"sanDns,omitempty"`
	SANURI      string              `json:"sanUri,omitempty"`
	Thumbprints []string            `json:"thumbprints,omitempty"` // x5t#S256 of self-signed certificates
}

// Client is an OAuth client.
type Client struct {
	ID             id.Client
	Organization   id.Organization
	Name           string
	Description    string
	State          State
	Authentication Authentication
	Permissions    permission.Set
	TokenLifetime  time.Duration // of its access tokens
	RefreshAllowed bool
	// its tokens work only over a connection with the certificate they were got with (RFC 8705 §3)
	CertificateBound bool
	RateLimit        int // requests a minute with its tokens, and token requests; 0: none
	Addresses        []netip.Prefix
	CreatedBy        string
	CreatedAt        time.Time
	UpdatedAt        time.Time
	LastUsedAt       time.Time
}

// The bounds of a client.
const (
	DefaultTokenLifetime = time.Hour
	minTokenLifetime     = time.Minute
	maxTokenLifetime     = 24 * time.Hour
	maxRateLimit         = 100_000
	maxAddresses         = 100
	maxPermissions       = 200
)

func (c *Client) check() error {
	var wrong []fault.Field
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	c.Name, c.Description = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description)
	if n := utf8.RuneCountInString(c.Name); n < 1 || n > 200 || !utf8.ValidString(c.Name) ||
		strings.ContainsFunc(c.Name, unicode.IsControl) {
		add("name", "must have 1 to 200 characters and no control characters")
	}
	if utf8.RuneCountInString(c.Description) > 500 || !utf8.ValidString(c.Description) ||
		strings.ContainsFunc(c.Description, unicode.IsControl) {
		add("description", "must have at most 500 characters and no control characters")
	}
	if c.TokenLifetime < minTokenLifetime || c.TokenLifetime > maxTokenLifetime {
		add("tokenLifetimeSeconds", "must be from %d to %d", int(minTokenLifetime/time.Second),
			int(maxTokenLifetime/time.Second))
	}
	if c.RateLimit < 0 || c.RateLimit > maxRateLimit {
		add("rateLimitPerMinute", "must be from 1 to %d, or null for none", maxRateLimit)
	}
	if len(c.Addresses) > maxAddresses {
		add("allowedAddresses", "must have at most %d entries", maxAddresses)
	}
	if c.State != Active && c.State != Off && c.State != Deleted {
		add("state", "must be active or off")
	}
	tls := c.Authentication.Method == TLS || c.Authentication.Method == SelfSignedTLS
	if c.CertificateBound && !tls {
		add("certificateBoundTokens", "needs authentication by certificate")
	}
	wrong = append(wrong, c.Authentication.check()...)
	if len(wrong) > 0 {
		return fault.InvalidFields(wrong)
	}
	return nil
}

func (a Authentication) check() (wrong []fault.Field) {
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Field: "authentication." + field, Message: fmt.Sprintf(format, args...)})
	}
	names := 0
	for _, n := range []string{a.SubjectDN, a.SANDNS, a.SANURI} {
		if n != "" {
			names++
		}
		if len(n) > 500 || strings.ContainsFunc(n, unicode.IsControl) {
			add("subjectDn", "a name in the certificate must have at most 500 characters and no control characters")
		}
	}
	keys := a.JWKS != nil || a.JWKSURI != ""
	switch a.Method {
	case Secret:
		if keys || names > 0 || len(a.Thumbprints) > 0 {
			add("method", "client_secret takes no keys and no names of certificates")
		}
	case PrivateKeyJWT:
		switch {
		case names > 0 || len(a.Thumbprints) > 0:
			add("method", "private_key_jwt takes no names of certificates")
		case (a.JWKS != nil) == (a.JWKSURI != ""):
			add("jwks", "private_key_jwt needs either jwks or jwksUri")
		case a.JWKSURI != "":
			if err := outbound.CheckURL(a.JWKSURI); err != nil {
				add("jwksUri", "%v", err)
			}
		default:
			if err := CheckKeys(a.JWKS); err != nil {
				add("jwks", "%v", err)
			}
		}
	case TLS:
		if keys || len(a.Thumbprints) > 0 || names != 1 {
			add("subjectDn", "tls_client_auth needs exactly one of subjectDn, sanDns and sanUri, and nothing else")
		}
		if u, err := url.Parse(a.SANURI); a.SANURI != "" && (err != nil || u.Scheme == "") {
			add("sanUri", "must be an absolute URI")
		}
	case SelfSignedTLS:
		if keys || names > 0 || len(a.Thumbprints) < 1 || len(a.Thumbprints) > maxThumbprints {
			add("thumbprints", "self_signed_tls_client_auth needs 1 to %d thumbprints and nothing else", maxThumbprints)
		}
		for i, t := range a.Thumbprints {
			if !isThumbprint(t) {
				add(fmt.Sprintf("thumbprints[%d]", i),
					"must be the SHA-256 of the certificate in base64url, 43 characters (x5t#S256)")
			}
		}
	default:
		add("method", "must be client_secret, private_key_jwt, tls_client_auth or self_signed_tls_client_auth")
	}
	return wrong
}

func isThumbprint(s string) bool {
	return len(s) == 43 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// CheckKeys accepts a set of public signature keys, each for one algorithm that is accepted in client assertions.
func CheckKeys(set *jose.JSONWebKeySet) error {
	if len(set.Keys) < 1 || len(set.Keys) > maxKeys {
		return fmt.Errorf("must have 1 to %d keys", maxKeys)
	}
	seen := make(map[string]bool)
	for i, k := range set.Keys {
		switch {
		case !k.IsPublic():
			return fmt.Errorf("key %d is not a public key; never send a private one", i)
		case k.Use != "" && k.Use != "sig":
			return fmt.Errorf("key %d is not for signatures", i)
		case k.KeyID == "" && len(set.Keys) > 1 || seen[k.KeyID]:
			return fmt.Errorf("key %d needs a kid of its own", i)
		}
		if len(jwt.AlgorithmsOf(k)) == 0 {
			return fmt.Errorf("key %d is for none of RS256, PS256, ES256 and EdDSA, or an RSA key of under 2048 bits",
				i)
		}
		seen[k.KeyID] = true
	}
	return nil
}

func encode(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("client: %v", err)) // plain strings and keys that were just parsed
	}
	return string(b)
}
