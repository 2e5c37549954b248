package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// Certificates gives the certificate that the other end of a connection has shown and proven the key of, the leaf
// first; none is empty. Behind a proxy that ends TLS it is the proxy's word.
type Certificates func(r *http.Request) ([]*x509.Certificate, error)

// checkCertificate holds a bound token to its certificate (RFC 8705 §3).
func (a *Authenticator) checkCertificate(r *http.Request, thumbprint string) error {
	if r != nil && a.Certificates != nil {
		chain, err := a.Certificates(r)
		if err != nil {
			return err
		}
		if len(chain) > 0 && subtle.ConstantTimeCompare([]byte(Thumbprint(chain[0].Raw)), []byte(thumbprint)) == 1 {
			return nil
		}
	}
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"The token works only over a connection with the certificate it was issued for.")
}

// Thumbprint is the x5t#S256 of a certificate in DER (RFC 8705 §3.1).
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
