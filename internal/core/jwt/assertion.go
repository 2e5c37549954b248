package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// AssertionAlgorithms are what a client may sign its assertions with (RFC 7523). Symmetric algorithms are not among
// them: a shared secret is a client secret and goes the other way.
var AssertionAlgorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

const minRSABits = 2048

// AlgorithmsOf tells which of them a public key verifies: by its type, and by its `alg` if it names one.
func AlgorithmsOf(k jose.JSONWebKey) []string {
	var fit []string
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSABits {
			fit = []string{"RS256", "PS256"}
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			fit = []string{"ES256"}
		}
	case ed25519.PublicKey:
		fit = []string{"EdDSA"}
	}
	if k.Algorithm != "" {
		if !slices.Contains(fit, k.Algorithm) {
			return nil
		}
		fit = []string{k.Algorithm}
	}
	return fit
}

// AssertionHeader is the header of a client assertion as far as it may be looked at before the signature.
type AssertionHeader struct {
	Algorithm string
	KeyID     string
	Type      string
	Subject   string // of the payload, not yet believed: it only says whose keys to try
}

// ReadAssertion checks the shape of a client assertion and gives its header. Keys in the header are not looked at, and
// an extension that must be understood is not.
func ReadAssertion(token string) (AssertionHeader, error) {
	if !compact(token) {
		return AssertionHeader{}, ErrMalformed
	}
	algorithms := make([]jose.SignatureAlgorithm, len(AssertionAlgorithms))
	for i, a := range AssertionAlgorithms {
		algorithms[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return AssertionHeader{}, ErrMalformed
	}
	h := jws.Signatures[0].Protected
	for name := range h.ExtraHeaders {
		if name == "crit" || name == "b64" || name == "zip" {
			return AssertionHeader{}, ErrMalformed
		}
	}
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	var claims struct {
		Subject string `json:"sub"`
	}
	if Decode(jws.UnsafePayloadWithoutVerification(), &claims) != nil {
		return AssertionHeader{}, ErrMalformed
	}
	return AssertionHeader{Algorithm: h.Algorithm, KeyID: h.KeyID, Type: typ, Subject: claims.Subject}, nil
}

// VerifyAssertion checks the signature with one registered key, by the algorithm of the header if the key is for it.
func VerifyAssertion(token string, algorithm string, key jose.JSONWebKey) ([]byte, error) {
	if !slices.Contains(AlgorithmsOf(key), algorithm) {
		return nil, ErrSignature
	}
	return Verify(token, PublicKey{ID: key.KeyID, Algorithm: algorithm, Key: key.Key})
}
