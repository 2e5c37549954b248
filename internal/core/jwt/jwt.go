// Package jwt signs and verifies compact JWS tokens (RFC 7515, 7519) under the rules of RFC 8725: one algorithm a key,
// an explicit type, a key named by kid and never taken from the token. Cryptography and JOSE are go-jose's; what is
// here is what we refuse.
package jwt

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Types of token, the `typ` header (RFC 8725 §3.11).
const (
	TypeAccess        = "at+jwt" // RFC 9068
	TypeRefresh       = "rt+jwt"
	TypeSystem        = "sat+jwt"                 // system access token
	TypeApplication   = "app+jwt"                 // application token
	TypeForwarded     = "fwd+jwt"                 // for the API behind a proxy; nothing here accepts it
	TypeIntrospection = "token-introspection+jwt" // RFC 9701
)

// RS256 is the algorithm of every key made so far; a key's row names its algorithm, so others can join.
const RS256 = "RS256"

const (
	maxTokenBytes  = 16 << 10
	maxHeaderBytes = 1 << 10
)

// ErrMalformed is any token that is not a compact JWS of ours; ErrSignature one whose signature does not verify.
var (
	ErrMalformed = errors.New("jwt: malformed token")
	ErrSignature = errors.New("jwt: signature does not verify")
)

// Header is the whole protected header. Any other member (jwk, jku, x5u, crit, zip, …) makes a token malformed.
type Header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// PrivateKey signs; PublicKey verifies. Algorithm binds the key to one algorithm.
type PrivateKey struct {
	ID        string
	Algorithm string
	Signer    crypto.Signer
}

// PublicKey verifies tokens of one algorithm.
type PublicKey struct {
	ID        string
	Algorithm string
	Key       crypto.PublicKey
}

// Sign serializes payload under the key. The same key, type and payload give the same bytes with RS256, which is
// deterministic.
func Sign(key PrivateKey, typ string, payload []byte) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm),
			Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", fmt.Errorf("jwt: signer: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("jwt: sign: %w", err)
	}
	return jws.CompactSerialize()
}

// ReadHeader checks the shape of a token and returns its header, before any cryptography. Nothing in it may be believed
// yet.
func ReadHeader(token string) (Header, error) {
	if !compact(token) {
		return Header{}, ErrMalformed
	}
	first := strings.IndexByte(token, '.')
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token[:first])
	if err != nil {
		return Header{}, ErrMalformed
	}
	var h Header
	if err := json.Unmarshal(raw, &h, json.RejectUnknownMembers(true)); err != nil || h.Algorithm == "" ||
		h.KeyID == "" || h.Type == "" {
		return Header{}, ErrMalformed
	}
	return h, nil
}

// compact tells whether a token has the form of a compact JWS: three parts of base64url and nothing else (RFC 8725bis),
// so no JSON serialization, padding or white space, and no encrypted token.
func compact(token string) bool {
	if len(token) > maxTokenBytes {
		return false
	}
	dots, first := 0, -1
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			if dots++; dots == 1 {
				first = i
			}
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2 && first > 0 && first <= maxHeaderBytes && !strings.HasSuffix(token, ".")
}

// Verify checks the signature and returns the payload; only a verified token has one. A token has one spelling: bits of
// the last character that the decoder would ignore must be zero (RFC 4648 §3.5).
func Verify(token string, key PublicKey) ([]byte, error) {
	if _, err := base64.RawURLEncoding.Strict().DecodeString(token[strings.LastIndexByte(token, '.')+1:]); err != nil {
		return nil, ErrMalformed
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
	if err != nil {
		return nil, ErrMalformed
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		return nil, ErrSignature
	}
	return payload, nil
}
