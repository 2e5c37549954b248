package authn

import (
	"errors"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// ErrWrongKind is the cause of a refusal of a credential that may be good, but not here.
var ErrWrongKind = errors.New("this kind of credential is not for here")

func errWrongKind() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "This kind of credential does not work here.").
		Because(ErrWrongKind)
}

// errScheme asks for the one scheme that works everywhere.
func errScheme() error {
	return fault.New(fault.Unauthenticated, fault.CodeUnauthorized,
		"Authorization must be: Bearer, one space, the token.")
}

// errMissing asks for a credential.
func errMissing() error {
	return fault.New(fault.Unauthenticated, fault.CodeUnauthorized,
		"A credential is required: Authorization: Bearer <token>, or X-API-Key: <key>.")
}

// gone turns "not found" of what a verified token refers to into a refusal; trouble stays trouble.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errRevoked()
	}
	return err
}

func errRevoked() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked,
		"The token's session, client or credential has ended.")
}

func errInvalidToken() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken, "The token is not valid here.")
}

// errResting refuses the kind of ServiceBroker credential that the organization does not use (D7).
func errResting() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked,
		"The organization's systems use the other kind of credential.")
}

func errSuspended() error {
	return fault.New(fault.Forbidden, fault.CodeSuspended, "The organization is suspended.")
}

// errUnknown is the one answer to a value that is garbled, unknown or rotated away.
func (k *kind) errUnknown() error {
	return k.errEnded(fault.CodeInvalidToken, "The credential is not known.")
}

func (k *kind) errEnded(code, message string) error {
	if k.code != "" {
		code = k.code
	}
	return fault.New(fault.Unauthenticated, code, message)
}
