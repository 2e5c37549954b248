// Package keyring keeps the installation's encryption keys: it seals what must be unreadable in the database (private
// keys, seeds, upstream secrets) and derives the keys of keyed hashes, one a purpose. The keys come from configuration
// and never touch the database.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

// KeyBytes is the size of an encryption key.
const KeyBytes = 32

// minDistinct is how many different bytes a random key of 32 has at the very least; a typed phrase or a row of zeros
// has fewer.
const minDistinct = 16

// Ring holds the keys: the first seals, every one opens, the last is the root of the derived keys, so that adding a key
// in front changes no stored digest.
type Ring struct {
	primary string
	aead    map[string]cipher.AEAD
	root    []byte
}

// Generate makes a fresh key in the form New reads.
func Generate() secret.Secret {
	b := make([]byte, KeyBytes)
	rand.Read(b)
	return secret.New(base64.StdEncoding.EncodeToString(b))
}

// New reads keys in base64, newest first. It refuses none, a short one and one that is plainly not random, and names
// each that is wrong.
func New(keys []secret.Secret) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no encryption key: set one of 32 random bytes in base64, as `openssl rand -base64 " +
			"32` prints")
	}
	r := &Ring{aead: make(map[string]cipher.AEAD, len(keys))}
	var wrong []error
	for i, k := range keys {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(k.Reveal()))
		if err != nil || len(raw) != KeyBytes {
			wrong = append(wrong,
				fmt.Errorf("encryption key %d is not 32 bytes in base64, as `openssl rand -base64 32` prints", i+1))
			continue
		}
		if distinct(raw) < minDistinct {
			wrong = append(wrong,
				fmt.Errorf("encryption key %d is not random: make one with `openssl rand -base64 32`", i+1))
			continue
		}
		sealKey, err := hkdf.Key(sha256.New, raw, nil, "gatehouse seal", KeyBytes)
		if err != nil {
			return nil, fmt.Errorf("derive: %w", err)
		}
		block, err := aes.NewCipher(sealKey)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(sealKey)
		name := hex.EncodeToString(sum[:4])
		if r.primary == "" {
			r.primary = name
		}
		r.aead[name], r.root = aead, raw
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return r, nil
}

func distinct(b []byte) int {
	var seen [256]bool
	n := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

// Seal encrypts with AES-256-GCM under the first key. The place (table and row) is bound in: a sealed value moved
// elsewhere does not open.
func (r *Ring) Seal(plain []byte, place string) string {
	sealed := r.aead[r.primary].Seal(nil, nil, plain, []byte(place))
	return r.primary + "." + base64.RawStdEncoding.EncodeToString(sealed)
}

// ErrKey is why a value does not open: its key is not configured, or another one is.
var ErrKey = errors.New("another encryption key")

// Open decrypts what Seal made for the same place.
func (r *Ring) Open(sealed, place string) ([]byte, error) {
	name, body, ok := strings.Cut(sealed, ".")
	aead := r.aead[name]
	if !ok || aead == nil {
		return nil, fmt.Errorf("sealed under %w than those that are configured; put the former one behind the present "+
			"one", ErrKey)
	}
	raw, err := base64.RawStdEncoding.DecodeString(body)
	if err != nil {
		return nil, errors.New("sealed value is damaged")
	}
	plain, err := aead.Open(nil, nil, raw, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("sealed value does not open: altered, moved, or sealed under %w", ErrKey)
	}
	return plain, nil
}

// Subkey derives the key of one purpose (RFC 5869).
func (r *Ring) Subkey(purpose string) []byte {
	k, err := hkdf.Key(sha256.New, r.root, nil, "gatehouse "+purpose, KeyBytes)
	if err != nil {
		panic(err) // only for impossible lengths
	}
	return k
}
