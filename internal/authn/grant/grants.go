package grant

import (
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// The grant types.
const (
	ClientCredentials = "client_credentials"
	RefreshToken      = "refresh_token"
)

// clientCredentials is a client that asks for itself (RFC 6749 §4.4): its authentication is all there is to prove.
var clientCredentials = Grant{Type: ClientCredentials,
	Prove: func(_ context.Context, e *Endpoint, proof token.ClientProof, q Request) (Proven, error) {
		return Proven{Most: proof.Client.Permissions,
			Mint: func(ctx context.Context, scope permission.Set) (token.ClientPair, error) {
				return e.Tokens.IssueClient(ctx, proof, q.Source, scope, q.Lifetime)
			}}, nil
	}}

// refreshToken is a client that shows the refresh token it got (RFC 6749 §6).
var refreshToken = Grant{Type: RefreshToken,
	Prove: func(ctx context.Context, e *Endpoint, proof token.ClientProof, q Request) (Proven, error) {
		if q.Refresh == "" {
			return Proven{}, fault.New(fault.Invalid, fault.CodeValidation, "refresh_token is missing.")
		}
		shown, err := e.Tokens.ShowClientRefresh(ctx, proof, q.Refresh)
		if err != nil {
			return Proven{}, err
		}
		return Proven{Most: shown.Permissions,
			Mint: func(ctx context.Context, scope permission.Set) (token.ClientPair, error) {
				return e.Tokens.RefreshClient(ctx, proof, q.Source, shown, scope)
			}}, nil
	}}
