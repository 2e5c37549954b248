package clientauth

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// byCertificate checks the certificate of the connection (RFC 8705 §2): its name under a trusted issuer, or its
// thumbprint.
func (a *Authenticator) byCertificate(ctx context.Context, c Credential) (proof token.ClientProof, err error) {
	if proof.Client, err = a.find(ctx, c.id); err != nil {
		return proof, err
	}
	leaf, now, how := c.chain[0], a.Now(), proof.Client.Authentication
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return proof, because("the certificate is not valid at this time")
	}
	thumbprint := authn.Thumbprint(leaf.Raw)
	switch how.Method {
	case client.SelfSignedTLS:
		ok := 0
		for _, t := range how.Thumbprints {
			ok |= subtle.ConstantTimeCompare([]byte(t), []byte(thumbprint))
		}
		if ok != 1 {
			return proof, because("the certificate is not one of the client's")
		}
	case client.TLS:
		if err := a.verifyChain(c.chain, now); err != nil {
			return proof, because("the certificate does not lead to a trusted issuer: " + err.Error())
		}
		if !named(leaf, how) {
			return proof, because("the certificate has another name: " + leaf.Subject.String())
		}
	default:
		return proof, because("the client does not authenticate with a certificate")
	}
	if proof.Client.CertificateBound {
		proof.Thumbprint = thumbprint
	}
	return proof, nil
}

func (a *Authenticator) verifyChain(chain []*x509.Certificate, now time.Time) error {
	if a.Roots == nil {
		return errors.New("mtls.ca_file is not set")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: a.Roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func named(leaf *x509.Certificate, how client.Authentication) bool {
	switch {
	case how.SubjectDN != "":
		return leaf.Subject.String() == how.SubjectDN
	case how.SANDNS != "":
		for _, n := range leaf.DNSNames {
			if strings.EqualFold(n, how.SANDNS) {
				return true
			}
		}
	case how.SANURI != "":
		for _, u := range leaf.URIs {
			if u.String() == how.SANURI {
				return true
			}
		}
	}
	return false
}
