// Package signingkey owns the keys that sign tokens: next, active and retired, one set for session tokens that is
// published and one for long-lived tokens that is not. Private keys are sealed in the database; every node keeps the
// set in memory and follows its changes.
package signingkey

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey/signingkeydb"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Purpose is which tokens a key signs.
type Purpose string

// Session tokens expire and their keys are published; long-lived tokens (application tokens, system access tokens) have
// no expiry, so nobody but this server may judge them.
const (
	Session   Purpose = "session"
	LongLived Purpose = "long_lived"
)

// State of a key.
type State string

// A key is published as Next, signs as Active, verifies as Retired until its last token has expired; Revoked is the
// emergency.
const (
	Next    State = "next"
	Active  State = "active"
	Retired State = "retired"
	Revoked State = "revoked"
)

// The timing of rotation.
const (
	JWKSMaxAge   = 5 * time.Minute     // how long verifiers may cache the published set
	PublishLead  = 2 * JWKSMaxAge      // a key is published this long before it signs
	RetiredKept  = 31 * 24 * time.Hour // longer than any token that a session key signs
	RotateAfter  = 90 * 24 * time.Hour // age at which housekeeping rotates by itself
	DefaultBits  = 2048
	forgottenFor = 24 * time.Hour
)

// Key is one key of a set.
type Key struct {
	ID          id.SigningKey
	Purpose     Purpose
	Algorithm   string
	Bits        int
	State       State
	Public      *rsa.PublicKey
	CreatedAt   time.Time
	ActivatedAt time.Time
	RetiredAt   time.Time
	VerifyUntil time.Time // zero: no end yet

	private crypto.Signer
}

func (k *Key) verifies(now time.Time) bool {
	switch k.State {
	case Next, Active:
		return true
	case Retired:
		return now.Before(k.VerifyUntil)
	}
	return false
}

// place binds a sealed private key to its row.
func place(kid id.SigningKey) string { return "signing_keys/" + string(kid) }

func fromRow(r signingkeydb.SigningKey, ring *keyring.Ring) (*Key, error) {
	k := &Key{ID: r.ID, Purpose: Purpose(r.Purpose), Algorithm: r.Algorithm, Bits: int(r.Bits), State: State(r.State),
		CreatedAt:   r.CreatedAt.Time(),
		ActivatedAt: r.ActivatedAt.Time(), RetiredAt: r.RetiredAt.Time(), VerifyUntil: r.VerifyUntil.Time()}
	if k.Algorithm != jwt.RS256 {
		return nil, fmt.Errorf("signing key %s: algorithm %q is of a newer version", r.ID, r.Algorithm)
	}
	der, err := base64.StdEncoding.DecodeString(r.PublicDer)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.ID, err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.ID, err)
	}
	var ok bool
	if k.Public, ok = public.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("signing key %s: not an RSA key", r.ID)
	}
	if r.PrivateSeal == "" {
		return k, nil
	}
	raw, err := ring.Open(r.PrivateSeal, place(r.ID))
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.ID, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: private key unreadable", r.ID)
	}
	if k.private, ok = private.(crypto.Signer); !ok {
		return nil, fmt.Errorf("signing key %s: private key cannot sign", r.ID)
	}
	return k, nil
}

// Generator makes private keys; tests pass fixed ones.
type Generator func(bits int) (*rsa.PrivateKey, error)

// Generate makes an RSA key of 2048, 3072 or 4096 bits.
func Generate(bits int) (*rsa.PrivateKey, error) {
	if bits != 2048 && bits != 3072 && bits != 4096 {
		return nil, fmt.Errorf("RSA keys of %d bits are not offered: choose 2048, 3072 or 4096", bits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

func newRow(purpose Purpose, state State, private *rsa.PrivateKey, ring *keyring.Ring,
	now time.Time) (signingkeydb.PlatformInsertParams, error) {
	kid := id.New[id.SigningKey]()
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingkeydb.PlatformInsertParams{}, fmt.Errorf("signing key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return signingkeydb.PlatformInsertParams{}, fmt.Errorf("signing key: %w", err)
	}
	p := signingkeydb.PlatformInsertParams{ID: kid, Purpose: string(purpose), Algorithm: jwt.RS256,
		Bits: int64(private.N.BitLen()), State: string(state),
		PublicDer: base64.StdEncoding.EncodeToString(der), PrivateSeal: ring.Seal(raw, place(kid)),
		CreatedAt: sqldb.MillisOf(now)}
	if state == Active {
		p.ActivatedAt = sqldb.MillisOf(now)
	}
	return p, nil
}
