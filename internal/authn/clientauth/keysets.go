package clientauth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// KeySets gives the public keys of clients: those registered, or those at the client's jwksUri, kept for a while.
type KeySets struct {
	get     *outbound.Client
	now     func() time.Time
	fetched *bounded.Cache[bounded.Key, *fetchedSet]
}

type goodSet struct {
	set *jose.JSONWebKeySet
	at  time.Time
}

type fetchedSet struct {
	good atomic.Pointer[goodSet] // the last one that came

	mu    sync.Mutex
	asked time.Time // last
	at    time.Time // when set came
	set   *jose.JSONWebKeySet
	err   error
}

const (
	keepKeys    = 5 * time.Minute  // how long fetched keys are used
	askAgain    = 30 * time.Second // an unknown kid or a failure asks no sooner than this
	maxKeySets  = 10_000
	maxKeysRead = 100
)

// NewKeySets makes an empty store.
func NewKeySets(get *outbound.Client, now func() time.Time) *KeySets {
	return &KeySets{get: get, now: now, fetched: bounded.New[*fetchedSet](maxKeySets)}
}

// Of gives the keys of a client; kid is the one that is looked for.
func (k *KeySets) Of(ctx context.Context, c client.Client, kid string) (*jose.JSONWebKeySet, error) {
	if c.Authentication.JWKS != nil {
		return c.Authentication.JWKS, nil
	}
	at := bounded.Key{Scope: string(c.ID), ID: c.Authentication.JWKSURI}
	f, ok := k.fetched.Get(at)
	if !ok {
		f = k.fetched.SetIfAbsent(at, &fetchedSet{})
	}
	if have := f.good.Load(); have != nil && k.now().Sub(have.at) < keepKeys &&
		(kid == "" || len(have.set.Key(kid)) > 0) {
		return have.set, nil // without waiting for whoever looks for a key that is not there
	}
	f.mu.Lock() // one request at a time asks for a client's keys
	defer f.mu.Unlock()
	now := k.now()
	missing := f.set != nil && kid != "" && len(f.set.Key(kid)) == 0
	if now.Sub(f.asked) < askAgain || f.set != nil && now.Sub(f.at) < keepKeys && !missing {
		return f.set, f.err
	}
	// who hangs up must not decide for the next one
	set, err := k.fetch(context.WithoutCancel(ctx), c.Authentication.JWKSURI)
	f.asked = k.now()
	switch {
	case err == nil:
		f.set, f.err, f.at = set, nil, f.asked
		f.good.Store(&goodSet{set, f.at})
	case f.set == nil || f.asked.Sub(f.at) >= keepKeys:
		f.set, f.err = nil, err // without keys nobody is let in; those that are still good stay
	}
	return f.set, f.err
}

func (k *KeySets) fetch(ctx context.Context, uri string) (*jose.JSONWebKeySet, error) {
	raw, err := k.get.Get(ctx, uri)
	if err != nil {
		return nil, err
	}
	var listed struct {
		Keys []jsonRaw `json:"keys"`
	}
	if err := json.Unmarshal(bom.Skip(raw), &listed); err != nil || len(listed.Keys) > maxKeysRead {
		return nil, errors.New("the document is not a JSON Web Key Set")
	}
	set := &jose.JSONWebKeySet{}
	for _, one := range listed.Keys { // keys of other sorts may stand beside ours (RFC 7517 §5)
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && client.CheckKeys(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}}) == nil {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("the document has no usable signature key")
	}
	return set, nil
}

// jsonRaw keeps a value as it is written.
type jsonRaw []byte

// UnmarshalJSON keeps the bytes.
func (r *jsonRaw) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}
