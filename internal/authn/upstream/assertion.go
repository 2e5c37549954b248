package upstream

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// assertionLifetime is how long a JWT is good that proves this server to a provider.
const assertionLifetime = 2 * time.Minute

// signAssertion makes a JWT that proves this server to somebody else's token endpoint (RFC 7523). An empty kid is the
// key's thumbprint (RFC 7638).
func signAssertion(key crypto.Signer, kid, issuer, subject, audience string, now time.Time,
	more map[string]any) (string, error) {
	if kid == "" {
		sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			return "", err
		}
		kid = encodeThumbprint(sum)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithmOf(key.Public()), Key: jose.JSONWebKey{Key: key,
		KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	told := map[string]any{"iss": issuer, "sub": subject, "aud": audience, "jti": rand.Text(), "iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix()}
	for name, v := range more {
		told[name] = v
	}
	payload, err := json.Marshal(told, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return jws.CompactSerialize()
}
