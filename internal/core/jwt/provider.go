package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// ProviderAlgorithms are what an identity provider may sign its tokens with: asymmetric ones with strong hashes
// (RFC 8725 §3.1).
var ProviderAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
	"EdDSA"}

const (
	maxRSABits = 8192
	// a group claim of a thousand entries fits
	maxProviderTokenBytes = 64 << 10
)

// ProviderAlgorithmsOf tells which of them a public key verifies: by its type, and by its `alg` if it names one.
func ProviderAlgorithmsOf(k jose.JSONWebKey) []string {
	var fit []string
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n >= minRSABits && n <= maxRSABits {
			fit = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		}
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			fit = []string{"ES256"}
		case 384:
			fit = []string{"ES384"}
		case 521:
			fit = []string{"ES512"}
		}
	case ed25519.PublicKey:
		fit = []string{"EdDSA"}
	}
	if k.Algorithm == "" {
		return fit
	}
	if slices.Contains(fit, k.Algorithm) {
		return []string{k.Algorithm}
	}
	return nil
}

// VerifyProvider gives the payload of a token of an identity provider: signed by one of the algorithms given, with a
// key that keys gives for its kid (empty: all of them). Keys that the token carries or points to are not looked at.
// ErrMalformed: it is no compact JWS of these algorithms. ErrSignature: none of the keys verifies it.
func VerifyProvider(token string, algorithms []string, keys func(kid string) ([]jose.JSONWebKey, error)) ([]byte,
	error) {
	if len(token) > maxProviderTokenBytes {
		return nil, ErrMalformed
	}
	allowed := make([]jose.SignatureAlgorithm, 0, len(algorithms))
	for _, a := range algorithms {
		if slices.Contains(ProviderAlgorithms, a) {
			allowed = append(allowed, jose.SignatureAlgorithm(a))
		}
	}
	jws, err := jose.ParseSignedCompact(token, allowed)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, ErrMalformed
	}
	h := jws.Signatures[0].Protected
	for name := range h.ExtraHeaders {
		if name == "crit" || name == "b64" || name == "zip" {
			return nil, ErrMalformed
		}
	}
	candidates, err := keys(h.KeyID)
	if err != nil {
		return nil, err
	}
	for _, k := range candidates {
		if !slices.Contains(ProviderAlgorithmsOf(k), h.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, ErrSignature
}
