package grant

import (
	"context"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

// The codes of refusals that are the endpoint's own (RFC 6749 §5.2, RFC 8707 §2). Others are the token service's.
const (
	CodeUnsupportedGrant = "UNSUPPORTED_GRANT_TYPE"
	CodeInvalidTarget    = "INVALID_TARGET"
)

// Request is a token request, decoded.
type Request struct {
	Type     string        // grant_type
	Scope    string        // permissions, separated by spaces; empty: all that may be had
	Resource string        // the audience (RFC 8707); empty: ours
	Audience string        // the same, as clients of other products call it
	Refresh  string        // refresh_token
	Lifetime time.Duration // asked for; 0: the client's own
	Source   principal.Source
}

// Grant is one way to tokens.
type Grant struct {
	Type string // its grant_type

	// Prove proves the grant's own part and says the most that it may give, and what makes the tokens.
	Prove func(ctx context.Context, e *Endpoint, proof token.ClientProof, q Request) (Proven, error)
}

// Proven is a grant whose own part holds.
type Proven struct {
	Most permission.Set
	Mint func(ctx context.Context, scope permission.Set) (token.ClientPair, error)
}

// Endpoint answers token requests.
type Endpoint struct {
	Clients *clientauth.Authenticator
	Tokens  *token.Service
	Issuer  string // whose tokens they are; the audience of each door is under it
	Grants  []Grant
}

// New makes an endpoint with the grants that clients have today.
func New(clients *clientauth.Authenticator, tokens *token.Service) *Endpoint {
	return &Endpoint{Clients: clients, Tokens: tokens, Issuer: tokens.Issuer(),
		Grants: []Grant{clientCredentials, refreshToken}}
}

// Types are the grant types, as a server describes itself.
func (e *Endpoint) Types() []string {
	list := make([]string, len(e.Grants))
	for i, g := range e.Grants {
		list[i] = g.Type
	}
	return list
}

// Answer gives tokens to a client that says who it is at a door. Where the client's limit stands is told with a
// refusal, too.
func (e *Endpoint) Answer(ctx context.Context, at clientauth.Door, c clientauth.Credential,
	q Request) (token.ClientPair,
	ratelimit.Decision, error) {
	proof, limit, err := e.Clients.Authenticate(ctx, at, c, q.Source)
	if err != nil {
		return token.ClientPair{}, limit, err
	}
	pair, err := e.give(ctx, proof, q)
	return pair, limit, err
}

func (e *Endpoint) give(ctx context.Context, proof token.ClientProof, q Request) (pair token.ClientPair, err error) {
	ours := token.ClientAudience(e.Issuer, proof.Door)
	for _, asked := range []string{q.Resource, q.Audience} {
		if asked != "" && asked != ours {
			return pair, fault.New(fault.Invalid, CodeInvalidTarget, "The only resource, and audience, is "+ours+".")
		}
	}
	g, err := e.grant(q.Type)
	if err != nil {
		return pair, err
	}
	proven, err := g.Prove(ctx, e, proof, q)
	if err != nil {
		return pair, err
	}
	scope, err := token.Scope(q.Scope, proven.Most)
	if err != nil {
		return pair, err
	}
	return proven.Mint(ctx, scope)
}

func (e *Endpoint) grant(name string) (Grant, error) {
	for _, g := range e.Grants {
		if g.Type == name {
			return g, nil
		}
	}
	return Grant{}, fault.New(fault.Invalid, CodeUnsupportedGrant,
		"grant_type must be "+strings.Join(e.Types(), " or ")+".")
}
