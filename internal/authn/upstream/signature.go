package upstream

import (
	"context"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// keys verifies signatures with the keys of one connection's provider (go-oidc's KeySet).
type keys struct {
	p *Providers
	c connection.Connection
}

// VerifySignature gives the payload of a token whose signature one of the keys verifies.
func (k keys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	return jwt.VerifyProvider(token, k.c.OpenID.Algorithms, func(kid string) ([]jose.JSONWebKey, error) {
		set, err := k.p.keySet(ctx, k.c, kid)
		switch {
		case err != nil:
			return nil, &unreadKeys{err}
		case kid == "":
			return set.Keys, nil
		}
		return set.Key(kid), nil
	})
}

// unreadKeys says that a provider's keys cannot be read: nothing is known of a signature.
type unreadKeys struct{ cause error }

// Error gives the cause.
func (e *unreadKeys) Error() string { return e.cause.Error() }

// Unwrap gives the cause.
func (e *unreadKeys) Unwrap() error { return e.cause }
