package certfile

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
)

// Pair reads a certificate chain and its private key.
func Pair(certificate, key string) (tls.Certificate, error) {
	chain, err := read(certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := read(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return pair, fmt.Errorf("%s and %s: %w", certificate, key, err)
	}
	return pair, nil
}

// AddTo adds the certificates of a file to those that are trusted.
func AddTo(pool *x509.CertPool, path string) error {
	text, err := read(path)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s has no certificate in PEM", path)
	}
	return nil
}

func read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	return bom.Skip(text), err
}
