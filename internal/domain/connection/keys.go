package connection

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

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
