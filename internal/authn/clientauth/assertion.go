package clientauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// The bounds of an assertion.
const (
	maxAssertionLifetime = 5 * time.Minute
	assertionLeeway      = 10 * time.Second
	maxJTI               = 256
	purposeAssertion     = "client_assertion"
)

// assertionClaims are those of RFC 7523 §3.
type assertionClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Expires   float64  `json:"exp"`
	NotBefore float64  `json:"nbf"`
	IssuedAt  float64  `json:"iat"`
	ID        string   `json:"jti"`
}

// byAssertion verifies a JWT that the client signed (RFC 7523 §2.2). Its audience is this server's issuer and nothing
// else, so that an assertion made for another server, or for any of several, is none here. Each works once.
func (a *Authenticator) byAssertion(ctx context.Context, c Credential) (proof token.ClientProof, err error) {
	h, err := jwt.ReadAssertion(c.assertion)
	if err != nil {
		return proof, because("malformed assertion")
	}
	if h.Type != "" && !strings.EqualFold(h.Type, "JWT") && h.Type != "client-authentication+jwt" {
		return proof, because("the typ of the assertion is " + h.Type)
	}
	if c.id != "" && c.id != h.Subject {
		return proof, because("client_id and sub differ")
	}
	if proof.Client, err = a.find(ctx, h.Subject); err != nil {
		return proof, err
	}
	if proof.Client.Authentication.Method != client.PrivateKeyJWT {
		return proof, because("the client does not authenticate with an assertion")
	}
	payload, err := a.verifyAssertion(ctx, c.assertion, h, proof.Client)
	if err != nil {
		return proof, err
	}
	var claims assertionClaims
	if err := jwt.Decode(payload, &claims); err != nil {
		return proof, because("the claims are not JSON as they should be")
	}
	now := a.Now()
	expires, clock := unix(claims.Expires), now.Add(assertionLeeway)
	switch {
	case claims.Issuer != string(proof.Client.ID) || claims.Subject != string(proof.Client.ID):
		return proof, because("iss and sub must be the client_id")
	case claims.Audience != audience(a.Issuer):
		return proof, because("aud must be the issuer and nothing else")
	case claims.Expires == 0 || !now.Before(expires):
		return proof, because("expired, or without exp")
	case expires.After(clock.Add(maxAssertionLifetime)):
		return proof, because("exp is more than five minutes away")
	case unix(claims.NotBefore).After(clock) || unix(claims.IssuedAt).After(clock):
		return proof, because("not valid yet")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return proof, because("without a jti of 1 to 256 characters")
	}
	fresh, err := a.OneTime.Mark(ctx, proof.Client.Organization, purposeAssertion, string(proof.Client.ID), claims.ID,
		now, expires.Add(assertionLeeway))
	if err == nil && !fresh {
		err = because("the jti was used before")
	}
	return proof, err
}

func unix(seconds float64) time.Time {
	const far = 1 << 40
	return time.Unix(int64(min(max(seconds, 0), far)), 0)
}

// audience reads one audience: a string, or a list of exactly one.
type audience string

// UnmarshalJSON reads `aud`.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if jwt.Decode(raw, &one) == nil {
		*a = audience(one)
		return nil
	}
	var list []string
	if err := jwt.Decode(raw, &list); err != nil || len(list) != 1 {
		return errors.New("want exactly one audience")
	}
	*a = audience(list[0])
	return nil
}

// verifyAssertion tries the client's registered keys: the one the header names, or the only one.
func (a *Authenticator) verifyAssertion(ctx context.Context, assertion string, h jwt.AssertionHeader,
	c client.Client) ([]byte, error) {
	set, err := a.Keys.Of(ctx, c, h.KeyID)
	if err != nil {
		return nil, because("the client's keys cannot be had: " + err.Error())
	}
	for _, k := range candidates(set, h.KeyID) {
		if payload, err := jwt.VerifyAssertion(assertion, h.Algorithm, k); err == nil {
			return payload, nil
		}
	}
	return nil, because("no registered key verifies the assertion")
}

func candidates(set *jose.JSONWebKeySet, kid string) []jose.JSONWebKey {
	if kid != "" {
		if named := set.Key(kid); len(named) > 0 {
			return named
		}
	}
	if len(set.Keys) == 1 && (kid == "" || set.Keys[0].KeyID == "") {
		return set.Keys
	}
	return nil
}
