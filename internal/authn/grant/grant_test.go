package grant

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

func set(t *testing.T, list ...string) permission.Set {
	t.Helper()
	s, err := permission.ParseSet(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ATK35: the phases of a token request, in their order. What fails in one is not asked of the next, and nothing is
// minted before the audience, the grant's own part and the scope have passed.
func TestATK35_Phases(t *testing.T) {
	t.Parallel()
	const issuer = "https://auth.example.com"
	most := set(t, "tickets:read:all", "reports:read:all")
	for name, c := range map[string]struct {
		q       Request
		broken  bool // the grant's own part does not hold
		phases  []string
		scope   []string // what is minted
		outcome string
	}{
		"all of it": {q: Request{Type: "fake"}, phases: []string{"prove", "mint"}, scope: most.Strings(),
			outcome: faulttest.OK},
		"our audience": {q: Request{Type: "fake", Resource: token.ClientAudience(issuer, token.OAuth)},
			phases: []string{"prove", "mint"}, scope: most.Strings(), outcome: faulttest.OK},
		"a part of it": {q: Request{Type: "fake", Scope: "tickets:read:all"}, phases: []string{"prove", "mint"},
			scope: []string{"tickets:read:all"}, outcome: faulttest.OK},
		"another's": {q: Request{Type: "fake", Resource: "https://api.example.com"}, outcome: "INVALID_TARGET: "},
		"our audience, by the other name": {q: Request{Type: "fake",
			Audience: token.ClientAudience(issuer, token.OAuth)},
			phases: []string{"prove", "mint"}, scope: most.Strings(), outcome: faulttest.OK},
		"another's, by the other name": {q: Request{Type: "fake", Audience: "https://api.example.com"},
			outcome: "INVALID_TARGET: "},
		"ours and another's": {q: Request{Type: "fake", Resource: token.ClientAudience(issuer, token.OAuth),
			Audience: "https://api.example.com"}, outcome: "INVALID_TARGET: "},
		"another door's": {q: Request{Type: "fake", Resource: token.ClientAudience(issuer, token.SecuriThings)},
			outcome: "INVALID_TARGET: "},
		"no such grant": {q: Request{Type: "password"},
			outcome: "UNSUPPORTED_GRANT_TYPE: grant_type must be fake or other"},
		"no type": {q: Request{}, outcome: "UNSUPPORTED_GRANT_TYPE: "},
		"not proven": {q: Request{Type: "fake", Scope: "nonsense"}, broken: true, phases: []string{"prove"},
			outcome: "INVALID_GRANT: "},
		"more than that": {q: Request{Type: "fake", Scope: "tickets:manage:all"}, phases: []string{"prove"},
			outcome: "INVALID_SCOPE: "},
		"no permission": {q: Request{Type: "fake", Scope: "nonsense"}, phases: []string{"prove"},
			outcome: "INVALID_SCOPE: "},
		"audience first": {q: Request{Type: "password", Resource: "https://api.example.com"},
			outcome: "INVALID_TARGET: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var phases, minted []string
			fake := Grant{Type: "fake", Prove: func(context.Context, *Endpoint, token.ClientProof, Request) (Proven,
				error) {
				phases = append(phases, "prove")
				if c.broken {
					return Proven{}, fault.New(fault.Invalid, token.CodeInvalidGrant, "not proven")
				}
				return Proven{Most: most, Mint: func(_ context.Context, scope permission.Set) (token.ClientPair,
					error) {
					phases, minted = append(phases, "mint"), scope.Strings()
					return token.ClientPair{}, nil
				}}, nil
			}}
			other := Grant{Type: "other", Prove: func(context.Context, *Endpoint, token.ClientProof, Request) (Proven,
				error) {
				return Proven{}, errors.New("the wrong grant was asked")
			}}
			e := &Endpoint{Issuer: issuer, Grants: []Grant{fake, other}}
			_, err := e.give(t.Context(), token.ClientProof{Door: token.OAuth,
				Client: client.Client{Permissions: most}}, c.q)
			faulttest.Check(t, err, c.outcome)
			if !slices.Equal(phases, c.phases) || !slices.Equal(minted, c.scope) {
				t.Errorf("phases %v, minted %v; want %v, %v", phases, minted, c.phases, c.scope)
			}
		})
	}
}
