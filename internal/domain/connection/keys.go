package connection

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

const minRSABits = 2048

func parseSigner(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 || block.Type != "PRIVATE KEY" {
		return nil, errors.New("must be one private key as PKCS #8 in PEM, as `openssl genpkey` writes it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("cannot be read: it must be a private key as PKCS #8 in PEM")
	}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= minRSABits && k.N.BitLen() <= 8192 {
			return k, nil
		}
		return nil, fmt.Errorf("is an RSA key of %d bits; it must have %d to 8192", k.N.BitLen(), minRSABits)
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	}
	return nil, errors.New("must be an RSA key or one on the curve P-256")
}

// Account is a Google service account.
type Account struct {
	Email  string
	Signer crypto.Signer
}

// ParseAccount reads the JSON file that Google gives for a service account.
func ParseAccount(text secret.Secret) (Account, error) {
	var file struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &file); err != nil || file.Type != "service_account" ||
		file.Email == "" {
		return Account{}, errors.New("must be the JSON file of a Google service account, as it was downloaded")
	}
	signer, err := parseSigner([]byte(strings.TrimSpace(file.Key) + "\n"))
	if err != nil {
		return Account{}, fmt.Errorf("has a private_key that %w", err)
	}
	return Account{file.Email, signer}, nil
}

// Fingerprint is the SHA-256 of the key's certificate, hexadecimal, and NotAfter until when that is good.
func (k OwnKey) Fingerprint() (fingerprint string, notAfter time.Time) {
	block, _ := pem.Decode([]byte(k.Certificate))
	if block == nil {
		return "", time.Time{}
	}
	sum := sha256.Sum256(block.Bytes)
	if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
		notAfter = cert.NotAfter
	}
	return hex.EncodeToString(sum[:]), notAfter
}

// maxOwnKeys are the one in use, the next, and the former.
const maxOwnKeys = 3

// AddKey makes another key of this server toward a SAML provider. It decrypts, and is in this server's metadata, at
// once; it signs when UseKey says so: after the provider has read the metadata. It needs sso:update:all and no fewer
// rights than those who may come in, as all three.
func (s *Service) AddKey(ctx context.Context, p principal.Principal, c id.Connection) (Connection, error) {
	return s.changeKeys(ctx, p, c, func(keys []OwnKey) ([]OwnKey, error) {
		if len(keys) >= maxOwnKeys {
			return nil, fault.Conflictf("A connection has at most %d keys. Remove one that is not used any more.",
				maxOwnKeys)
		}
		k, err := s.Generate(string(c))
		if err != nil {
			return nil, fmt.Errorf("key of connection: %w", err)
		}
		return append(keys, k), nil
	})
}

// UseKey makes a key the one that signs.
func (s *Service) UseKey(ctx context.Context, p principal.Principal, c id.Connection,
	fingerprint string) (Connection, error) {
	return s.changeKeys(ctx, p, c, func(keys []OwnKey) ([]OwnKey, error) {
		i, err := findKey(keys, fingerprint)
		if err != nil {
			return nil, err
		}
		k := keys[i]
		return slices.Insert(slices.Delete(keys, i, i+1), 0, k), nil
	})
}

// DropKey removes a key that does not sign. What is encrypted for it cannot be read any more.
func (s *Service) DropKey(ctx context.Context, p principal.Principal, c id.Connection,
	fingerprint string) (Connection, error) {
	return s.changeKeys(ctx, p, c, func(keys []OwnKey) ([]OwnKey, error) {
		i, err := findKey(keys, fingerprint)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			return nil, fault.Conflictf("This is the key that signs. First use another.")
		}
		return slices.Delete(keys, i, i+1), nil
	})
}

func findKey(keys []OwnKey, fingerprint string) (int, error) {
	i := slices.IndexFunc(keys, func(k OwnKey) bool {
		f, _ := k.Fingerprint()
		return f == fingerprint
	})
	if i < 0 {
		return 0, fault.NotFoundf("The connection has no such key.")
	}
	return i, nil
}

func (s *Service) changeKeys(ctx context.Context, p principal.Principal, c id.Connection,
	change func(keys []OwnKey) ([]OwnKey, error)) (Connection, error) {
	return s.Update(ctx, p, c, func(c *Connection) (err error) {
		if c.Kind != SAML {
			return fault.Conflictf("Only connections of the kind saml have keys of this server.")
		}
		c.Secrets.Keys, err = change(c.Secrets.Keys)
		return err
	})
}

// ownKeyLifetime is how long a certificate of this server toward a SAML provider is good. Providers compare the key;
// few look at the date.
const ownKeyLifetime = 5 * 365 * 24 * time.Hour

// NewOwnKey makes the self-signed certificate of a key for SAML.
func NewOwnKey(k *rsa.PrivateKey, name string, now time.Time) (OwnKey, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return OwnKey{}, err
	}
	cert := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(ownKeyLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &k.PublicKey, k)
	if err != nil {
		return OwnKey{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return OwnKey{}, err
	}
	return OwnKey{
		PrivateKey:  secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		CreatedAt:   now.UTC(),
	}, nil
}
