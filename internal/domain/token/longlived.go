package token

import (
	"crypto/rand"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
)

// LongLivedAudience names where tokens without an expiry work: at this server only, since only it knows whether their
// row still allows them.
func LongLivedAudience(issuer string) string { return issuer + "/long-lived" }

// LongLivedClaims are the claims of system access tokens and application tokens. They have no `exp`; their row decides.
type LongLivedClaims struct {
	jwt.Registered
	OrganizationID string `json:"organizationId"`
	CredentialID   string `json:"credential"`
}

// MintLongLived signs the value of a credential that is a JWT, under the key set that is not published.
func (s *Service) MintLongLived(c credential.Credential) (secret.Secret, error) {
	key, err := s.keys.Signing(signingkey.LongLived)
	if err != nil {
		return secret.Secret{}, err
	}
	now := s.now()
	subject := string(c.ID)
	if c.Owner.Kind == credential.OwnedByUser {
		subject = c.Owner.ID
	}
	value, err := signClaims(key, c.Kind.Type(), LongLivedClaims{OrganizationID: string(c.Organization),
		CredentialID: string(c.ID),
		Registered: jwt.Registered{Issuer: s.issuer, Subject: subject, Audience: LongLivedAudience(s.issuer),
			IssuedAt: now.Unix(), NotBefore: now.Unix(), ID: rand.Text()}})
	return secret.New(value), err
}

// LongLived is a verified token without an expiry: immutable, so it may be kept.
type LongLived struct {
	Kind         credential.Kind
	Organization id.Organization
	Credential   id.Credential
	KeyID        string
}

// VerifyLongLived checks shape, type, key and signature. The digest of the whole token must open its row besides.
func (s *Service) VerifyLongLived(token string) (*LongLived, error) {
	h, err := jwt.ReadHeader(token)
	if err != nil {
		return nil, errInvalid()
	}
	kind, known := credential.KindOfType(h.Type)
	if !known {
		return nil, errInvalid()
	}
	payload, err := s.verifyWith(token, h, signingkey.LongLived)
	if err != nil {
		return nil, err
	}
	var c LongLivedClaims
	if err := jwt.Decode(payload, &c); err != nil || c.Issuer != s.issuer ||
		c.Audience != LongLivedAudience(s.issuer) || c.Subject == "" || c.ID == "" || c.Expires != 0 {
		return nil, errInvalid()
	}
	return &LongLived{kind, id.Organization(c.OrganizationID), id.Credential(c.CredentialID), h.KeyID}, nil
}

// JudgeLongLived says whether the key of a verified token is still trusted.
func (s *Service) JudgeLongLived(l *LongLived) error {
	if _, ok, err := s.keys.Verifying(signingkey.LongLived, l.KeyID); err != nil {
		return err
	} else if !ok {
		return errInvalid()
	}
	return nil
}
