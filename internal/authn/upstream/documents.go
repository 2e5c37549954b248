package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// How documents of providers are kept.
const (
	keepFor    = time.Hour        // then it is asked for again
	lastGood   = 24 * time.Hour   // how long it is used while nobody answers
	askAgain   = 5 * time.Minute  // a key that is not there is asked for no sooner
	tryAgain   = 10 * time.Second // nor after a failure
	maxKept    = 10_000
	maxSetKeys = 100
)

// document is what a provider says about itself (OpenID Connect Discovery §3), as far as it matters here.
type document struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserInfoEndpoint      string `json:"userinfo_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	IssuerParameter       bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// kept is a document that is fetched by one at a time and used while it is good.
type kept[T any] struct {
	mu    sync.Mutex
	value *T
	at    time.Time // when value came
	asked time.Time // last
	err   error
}

// get gives the document, fetched if it is not there, old, or does not satisfy. A failure leaves the last good one.
func (k *kept[T]) get(now func() time.Time, satisfies func(*T) bool, fetch func() (*T, error)) (*T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := now()
	fresh := k.value != nil && at.Sub(k.at) < keepFor
	if fresh && satisfies(k.value) {
		return k.value, nil
	}
	pause := askAgain
	if k.err != nil && !fresh { // a good one does for whoever asks for something that is not in it
		pause = tryAgain
	}
	if since := at.Sub(k.asked); !k.asked.IsZero() && since >= 0 && since < pause {
		if k.value != nil && at.Sub(k.at) < lastGood {
			return k.value, nil
		}
		return nil, k.err
	}
	v, err := fetch()
	k.asked = now()
	if err == nil {
		k.value, k.at, k.err = v, k.asked, nil
		return v, nil
	}
	k.err = err
	if k.value != nil && k.asked.Sub(k.at) < lastGood {
		return k.value, nil
	}
	k.value = nil
	return nil, err
}

// provider is what is known of one provider of one connection: keys are never shared between tenants.
type provider struct {
	doc  kept[document]
	keys kept[jose.JSONWebKeySet]
}

// Providers keeps the documents of OpenID providers.
type Providers struct {
	get  *outbound.Client
	now  func() time.Time
	kept *bounded.Cache[bounded.Key, *provider]
}

// NewProviders makes an empty store.
func NewProviders(get *outbound.Client, now func() time.Time) *Providers {
	return &Providers{get: get, now: now, kept: bounded.New[*provider](maxKept)}
}

func (p *Providers) of(c connection.Connection) *provider {
	at := bounded.Key{Scope: string(c.ID), ID: c.OpenID.Issuer}
	if k, ok := p.kept.Get(at); ok {
		return k
	}
	return p.kept.SetIfAbsent(at, &provider{})
}

// document gives the discovery document of a connection's provider.
func (p *Providers) document(ctx context.Context, c connection.Connection) (*document, error) {
	issuer := c.OpenID.Issuer
	// who hangs up must not decide for the next one
	ctx = context.WithoutCancel(ctx)
	return p.of(c).doc.get(p.now, func(*document) bool { return true }, func() (*document, error) {
		address := trimSlash(issuer) + "/.well-known/openid-configuration"
		raw, err := p.get.Document(ctx, address, "application/json")
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		return parseDocument(raw, issuer, p.get.CheckURL)
	})
}

// parseDocument reads a discovery document (OpenID Connect Discovery §4.2): of the issuer that was asked, with
// addresses that may be asked.
func parseDocument(raw []byte, issuer string, allowed func(string) error) (*document, error) {
	var d document
	if err := json.Unmarshal(bom.Skip(raw), &d); err != nil {
		return nil, errors.New("discovery: the answer is no JSON object with the members of OpenID Connect Discovery")
	}
	if d.Issuer != issuer {
		return nil, fmt.Errorf("discovery: the provider calls itself %q, and the connection's issuer is %q",
			printable(d.Issuer), issuer)
	}
	for name, endpoint := range map[string]string{"authorization_endpoint": d.AuthorizationEndpoint,
		"token_endpoint": d.TokenEndpoint, "jwks_uri": d.JWKSURI} {
		if err := allowed(endpoint); err != nil {
			return nil, fmt.Errorf("discovery: %s %w", name, err)
		}
	}
	if d.UserInfoEndpoint != "" && allowed(d.UserInfoEndpoint) != nil {
		d.UserInfoEndpoint = ""
	}
	return &d, nil
}

func trimSlash(s string) string {
	if n := len(s); n > 0 && s[n-1] == '/' {
		return s[:n-1]
	}
	return s
}

// keySet gives the keys of a provider, with the one of a kid among them if the provider has it.
func (p *Providers) keySet(ctx context.Context, c connection.Connection, kid string) (*jose.JSONWebKeySet, error) {
	d, err := p.document(ctx, c)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	return p.of(c).keys.get(p.now,
		func(set *jose.JSONWebKeySet) bool { return kid == "" || len(set.Key(kid)) > 0 },
		func() (*jose.JSONWebKeySet, error) {
			raw, err := p.get.Document(ctx, d.JWKSURI, "application/jwk-set+json, application/json")
			if err != nil {
				return nil, fmt.Errorf("keys: %w", err)
			}
			return parseKeys(raw)
		})
}

// parseKeys reads a key set. Keys of other sorts may stand beside those that verify signatures (RFC 7517 §5).
func parseKeys(raw []byte) (*jose.JSONWebKeySet, error) {
	var listed struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(bom.Skip(raw), &listed); err != nil || len(listed.Keys) > maxSetKeys {
		return nil, fmt.Errorf("keys: the document is no JSON Web Key Set of at most %d keys", maxSetKeys)
	}
	set := &jose.JSONWebKeySet{}
	for _, one := range listed.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") &&
			len(jwt.ProviderAlgorithmsOf(k)) > 0 {
			set.Keys = append(set.Keys, k)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("keys: the document has no key that could sign an ID token")
	}
	return set, nil
}
