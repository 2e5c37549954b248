package web

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// maxCertificateHeader bounds what is parsed.
const maxCertificateHeader = 16 << 10

// ClientCertificates gives the certificates of the other end of the connection, the leaf first: of the TLS connection
// itself, or, where a proxy that is trusted ends TLS, the one it tells in the configured header: a Structured Field
// byte sequence (RFC 9440) or URL-encoded PEM. From anybody else that header is nothing. With the header, a certificate
// by which the proxy itself connects is no client's.
func ClientCertificates(header string, trusted []netip.Prefix) func(r *http.Request) ([]*x509.Certificate, error) {
	return func(r *http.Request) ([]*x509.Certificate, error) {
		if header == "" || !fromTrusted(r, trusted) {
			if r.TLS == nil {
				return nil, nil
			}
			return r.TLS.PeerCertificates, nil
		}
		values := r.Header.Values(header)
		switch {
		case len(values) == 0 || len(values) == 1 && values[0] == "":
			return nil, nil
		case len(values) > 1 || len(values[0]) > maxCertificateHeader:
			return nil, errCertificateHeader(header)
		}
		der, ok := certificateBytes(values[0])
		if !ok {
			return nil, errCertificateHeader(header)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errCertificateHeader(header)
		}
		return []*x509.Certificate{leaf}, nil
	}
}

func errCertificateHeader(header string) error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"The header "+header+" does not hold one certificate.")
}

// certificateBytes reads one certificate with nothing before, in or after it.
func certificateBytes(text string) ([]byte, bool) {
	if inner, ok := strings.CutPrefix(text, ":"); ok {
		inner, ok = strings.CutSuffix(inner, ":")
		der, err := base64.StdEncoding.Strict().DecodeString(inner)
		return der, ok && err == nil
	}
	plain, err := url.PathUnescape(text) // a plus sign in base64 is itself
	if err != nil || !strings.HasPrefix(plain, "-----BEGIN CERTIFICATE-----") {
		return nil, false
	}
	block, rest := pem.Decode([]byte(plain))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, false
	}
	return block.Bytes, true
}

// fromTrusted tells whether the peer of the connection itself is a trusted proxy.
func fromTrusted(r *http.Request, trusted []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && contains(trusted, peer.Addr().Unmap().WithZone(""))
}

// FromTrustedProxy tells whether what the request says about an earlier hop may be believed.
func (k *Kit) FromTrustedProxy(r *http.Request) bool { return fromTrusted(r, k.o.TrustedProxies) }
