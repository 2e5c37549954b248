package jwt

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Registered are the claims every token carries (RFC 7519 §4.1). Times are NumericDate in whole seconds.
type Registered struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp,omitzero"`
	ID        string `json:"jti"`
}

// Why a verified token does not hold at this moment or place.
var (
	ErrExpired     = fmt.Errorf("jwt: expired")
	ErrNotYetValid = fmt.Errorf("jwt: not valid yet")
	ErrWrongPlace  = fmt.Errorf("jwt: wrong issuer or audience")
)

// leeway forgives nodes whose clocks differ a little, for nbf and iat only: exp is exact.
const leeway = 5 * time.Second

// Check judges the registered claims of a token that must expire.
func (r Registered) Check(now time.Time, issuer, audience string) error {
	switch {
	case r.Issuer != issuer || r.Audience != audience || r.Subject == "" || r.ID == "":
		return ErrWrongPlace
	case r.Expires == 0 || now.Unix() >= r.Expires:
		return ErrExpired
	case now.Add(leeway).Unix() < r.NotBefore || now.Add(leeway).Unix() < r.IssuedAt:
		return ErrNotYetValid
	}
	return nil
}

// Decode reads a verified payload strictly: repeated members and wrong types are errors.
func Decode(payload []byte, claims any) error {
	if err := json.Unmarshal(payload, claims); err != nil {
		return ErrMalformed
	}
	return nil
}

// Encode writes claims as payload bytes; the same claims give the same bytes.
func Encode(claims any) ([]byte, error) {
	return json.Marshal(claims, json.Deterministic(true))
}
