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
			return nil, err
		case kid == "":
			return set.Keys, nil
		}
		return set.Key(kid), nil
	})
}
