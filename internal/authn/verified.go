package authn

import (
	"crypto/sha256"
	"errors"
	"unsafe"

	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// verified is a JWT whose signature was checked: immutable. Exactly one of access and long is there.
type verified struct {
	kind   *kind
	access *token.Access
	long   *token.LongLived
	digest string // of long
}

// verifiedBytes bounds the cache of verified tokens: about what their claims take.
const verifiedBytes = 32 << 20

func (v *verified) weight() uint32 {
	if v.access == nil {
		return 500
	}
	return uint32(700 + 120*v.access.Permissions.Len())
}

// verify checks what does not change about a JWT, once: its type names the verifier.
func (a *Authenticator) verify(value string) (*verified, error) {
	// only read; a copy of each token would be the largest allocation of a request
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(value), len(value)))
	if v, ok := a.verified.Get(sum); ok {
		return v, nil
	}
	h, err := jwt.ReadHeader(value)
	if err != nil {
		return nil, errInvalidToken()
	}
	v := &verified{}
	switch {
	case h.Type == jwt.TypeAccess:
		if v.access, err = a.Tokens.VerifyAccess(value); err != nil {
			return nil, err
		}
		v.kind = ofToken(h.Type, v.access.Door)
	case h.Type == jwt.TypeRefresh: // of those that rotate none is a credential
		if v.access, err = a.Tokens.VerifyReusable(value); errors.Is(err, token.ErrElsewhere) {
			return nil, errWrongKind()
		} else if err != nil {
			return nil, err
		}
		v.kind = ofToken(h.Type, v.access.Door)
	case isStored(h.Type):
		if v.long, err = a.Tokens.VerifyLongLived(value); err != nil {
			return nil, err
		}
		v.kind, v.digest = ofToken(h.Type, ""), a.Credentials.Digest(v.long.Kind, value)
	}
	if v.kind == nil {
		return nil, errInvalidToken()
	}
	a.verified.Set(sum, v)
	return v, nil
}
