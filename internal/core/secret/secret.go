// Package secret holds values that must not be printed, and makes random ones.
package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a value that shows itself only through Reveal: fmt, slog and JSON all print a placeholder.
type Secret struct{ value string }

// New wraps a value.
func New(value string) Secret { return Secret{value} }

// Reveal gives the value. Each call is a place to review.
func (s Secret) Reveal() string { return s.value }

// IsZero tells whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

// String, GoString, LogValue and MarshalText never give the value.
func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads the value, for configuration.
func (s *Secret) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(other.value)) == 1
}

// Token makes a random value of n bytes in base64url behind a prefix that names its kind.
func Token(prefix string, n int) Secret {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return Secret{prefix + base64.RawURLEncoding.EncodeToString(b)}
}

// Digest is the keyed hash under which a random secret is stored and found: HMAC-SHA-256 in hex. A slow hash would add
// nothing, since 128 random bits cannot be guessed; the key outside the database keeps a stolen table useless.
func Digest(key []byte, s Secret) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s.value))
	return hex.EncodeToString(mac.Sum(nil))
}
