package upstream

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlsp"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// Metadata is what a SAML provider says about itself, as far as it is used.
type Metadata struct {
	entity   *saml.EntityDescriptor
	EntityID string
	// where people are sent, by binding
	Redirect, Post string
	Keys           []Key
	WantsSigned    bool
	ValidUntil     time.Time // zero: it does not say
}

// Key is a key with which a provider signs. Its certificate is a container: the date is told, and not held against it
// (SAML Metadata Interoperability Profile §2.6.1).
type Key struct {
	Fingerprint string // SHA-256 of the certificate, hexadecimal
	NotAfter    time.Time
}

const minSAMLBits = 2048

// ParseMetadata reads the metadata of one identity provider. allowed judges the addresses in it.
func ParseMetadata(raw []byte, allowed func(string) error) (*Metadata, error) {
	open := func([]node, xml.StartElement) error { return nil }
	end := func([]node) error { return nil }
	if err := checkDocument(raw, maxMetadataBytes, open, nothing, end); err != nil {
		return nil, err
	}
	entity, err := samlsp.ParseMetadata(raw)
	if err != nil {
		return nil, errors.New("the document is not the SAML metadata of one identity provider")
	}
	if entity.EntityID == "" || len(entity.EntityID) > 1024 {
		return nil, errors.New("the metadata has no entityID of 1 to 1024 characters")
	}
	if len(entity.IDPSSODescriptors) != 1 {
		return nil, fmt.Errorf("the metadata has %d IDPSSODescriptors; it must have one",
			len(entity.IDPSSODescriptors))
	}
	idp := &entity.IDPSSODescriptors[0]
	m := &Metadata{entity: entity, EntityID: entity.EntityID, ValidUntil: entity.ValidUntil}
	if t := idp.ValidUntil; t != nil && (m.ValidUntil.IsZero() || t.Before(m.ValidUntil)) {
		m.ValidUntil = *t
	}
	idp.ValidUntil = nil // both are one: that of the connection
	if idp.WantAuthnRequestsSigned != nil {
		m.WantsSigned = *idp.WantAuthnRequestsSigned
	}
	for _, s := range idp.SingleSignOnServices {
		switch {
		case s.Binding == saml.HTTPRedirectBinding && m.Redirect == "":
			m.Redirect = s.Location
		case s.Binding == saml.HTTPPostBinding && m.Post == "":
			m.Post = s.Location
		}
	}
	if m.Redirect == "" && m.Post == "" {
		return nil, errors.New("the metadata has no SingleSignOnService with the binding HTTP-Redirect or HTTP-POST")
	}
	for _, location := range []string{m.Redirect, m.Post} {
		if location == "" {
			continue
		}
		if err := allowed(location); err != nil {
			return nil, fmt.Errorf("its SingleSignOnService %w", err)
		}
	}
	// only responses go there: this server asks no provider to end anything
	for i, s := range idp.SingleLogoutServices {
		idp.SingleLogoutServices[i] = saml.Endpoint{Binding: s.Binding,
			Location: cmp.Or(s.ResponseLocation, s.Location)}
	}
	idp.SingleLogoutServices = slices.DeleteFunc(idp.SingleLogoutServices, func(s saml.Endpoint) bool {
		return allowed(s.Location) != nil
	})
	// weak keys are none; what is for encryption alone signs nothing
	idp.KeyDescriptors = slices.DeleteFunc(idp.KeyDescriptors, func(k saml.KeyDescriptor) bool {
		if k.Use == "encryption" {
			return false
		}
		keys := keysOf(k)
		m.Keys = append(m.Keys, keys...)
		return len(keys) == 0
	})
	if len(m.Keys) == 0 {
		return nil, fmt.Errorf("the metadata has no signing certificate with an RSA key of %d bits or an EC key",
			minSAMLBits)
	}
	return m, nil
}

// reduced is the part of the metadata that is used. The rest (contacts, logos, roles of other protocols) would be kept
// in memory with each connection.
func (m *Metadata) reduced() ([]byte, error) {
	was := m.entity.IDPSSODescriptors[0]
	idp := saml.IDPSSODescriptor{WantAuthnRequestsSigned: was.WantAuthnRequestsSigned,
		SingleSignOnServices: was.SingleSignOnServices}
	idp.ProtocolSupportEnumeration, idp.KeyDescriptors = was.ProtocolSupportEnumeration, was.KeyDescriptors
	idp.SingleLogoutServices = was.SingleLogoutServices
	raw, err := xml.Marshal(saml.EntityDescriptor{EntityID: m.EntityID,
		IDPSSODescriptors: []saml.IDPSSODescriptor{idp}})
	if err == nil && len(raw) > maxKeptBytes {
		err = fmt.Errorf("what is used of the metadata has more than %d bytes", maxKeptBytes)
	}
	return raw, err
}

// maxKeptBytes holds a dozen keys.
const maxKeptBytes = 64 << 10

// keysOf are the strong keys of a descriptor; none if one of them is weak or cannot be read.
func keysOf(k saml.KeyDescriptor) (out []Key) {
	for _, c := range k.KeyInfo.X509Data.X509Certificates {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Data), ""))
		if err != nil {
			return nil
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil
		}
		switch key := cert.PublicKey.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() < minSAMLBits {
				return nil
			}
		case *ecdsa.PublicKey:
		default:
			return nil
		}
		sum := sha256.Sum256(der)
		out = append(out, Key{hex.EncodeToString(sum[:]), cert.NotAfter})
	}
	return out
}

// Suspicious tells why metadata that was read again is not taken over without a person's word: another entityID, no
// key in common, or another host where people are sent. Empty: it is.
func (m *Metadata) Suspicious(former *Metadata) string {
	if m.EntityID != former.EntityID {
		return "it has another entityID"
	}
	shared := slices.ContainsFunc(m.Keys, func(k Key) bool {
		return slices.ContainsFunc(former.Keys, func(f Key) bool { return f.Fingerprint == k.Fingerprint })
	})
	if !shared {
		return "it has none of the former keys"
	}
	hosts := []string{hostOf(former.Redirect), hostOf(former.Post)}
	for _, at := range []string{m.Redirect, m.Post} {
		if at != "" && !slices.Contains(hosts, hostOf(at)) { // by whichever binding
			return "it sends people to another host"
		}
	}
	return ""
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// describe writes what is known of a provider where administrators see it.
func (m *Metadata) describe(a *connection.Assertion) {
	a.EntityID, a.SignInURL = m.EntityID, m.Redirect
	if a.SignInURL == "" {
		a.SignInURL = m.Post
	}
	a.Certificates, a.ValidUntil = nil, m.ValidUntil
	for _, k := range m.Keys {
		a.Certificates = append(a.Certificates,
			connection.Certificate{Fingerprint: k.Fingerprint, NotAfter: k.NotAfter})
	}
}
