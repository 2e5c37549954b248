package login

import (
	"cmp"
	"context"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// Passkey is a sign-in with a passkey alone.
type Passkey struct {
	Credential  []byte // the browser's PublicKeyCredential as JSON
	Tenant      Tenant
	Fingerprint string
	Remember    bool
	Device      secret.Secret
	Source      principal.Source
}

// WithPasskey signs in with a passkey that verified who holds it: two factors in one, where the organization allows it.
// Whatever is wrong gives one answer. A lock of the account does not concern it, since nothing about it can be guessed;
// what fails counts all the same.
func (s *Service) WithPasskey(ctx context.Context, in Passkey) (Result, error) {
	if err := checkFingerprint(in.Fingerprint); err != nil {
		return Result{}, err
	}
	k, err := s.Factors.ParsePasskey(in.Credential)
	if fault.Is(err, fault.Unauthenticated) {
		s.Log.InfoContext(ctx, "a passkey was not readable", "requestId", in.Source.Request, "why", err)
		return Result{}, ErrPasskey()
	}
	if err != nil {
		return Result{}, err
	}
	found := k.Organization != "" && (in.Tenant == (Tenant{}) || in.Tenant.ID == k.Organization)
	org, u := k.Organization, k.User
	if !found {
		org, u = unknownTenant, "" // asked in vain, and as long
	}
	// an answer that names a user and brings no authenticator of theirs is nobody's try at them: whoever knows their id
	// could lock them
	account := ""
	if known, err := s.Factors.Known(ctx, org, u, k); err != nil {
		return Result{}, err
	} else if known {
		account = string(u)
	}
	name := "passkey " + k.Credential
	reservation, err := s.Attempts.Reserve(ctx, name, account, in.Source.Address)
	if err != nil {
		return Result{}, err
	}
	r, err := s.passkey(ctx, in, k, org, u)
	if err == nil {
		return r, s.Attempts.SucceededAs(ctx, reservation, string(r.User.ID), append(namesOf(r.User), name)...)
	}
	if f := fault.Of(err); f.Code != fault.CodeMFAInvalid && f.Code != fault.CodeInvalidCredentials {
		s.notMade(ctx, reservation)
		return Result{}, err
	}
	s.Log.InfoContext(ctx, "a passkey was refused", "requestId", in.Source.Request, "why", err)
	return Result{}, s.refusePasskey(ctx, in, org, u, reservation.Locks)
}

// ErrPasskey is the one answer to a passkey that does not sign in.
func ErrPasskey() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidCredentials, "The passkey is not valid here.")
}

func (s *Service) passkey(ctx context.Context, in Passkey, k mfa.Passkey, orgID id.Organization,
	userID id.User) (Result, error) {
	u, err := s.Users.Read(ctx, orgID, userID)
	if fault.Is(err, fault.NotFound) {
		return Result{}, ErrPasskey()
	}
	if err != nil {
		return Result{}, err
	}
	org, err := s.Organizations.Facts(ctx, orgID)
	if err != nil {
		return Result{}, err
	}
	if org.State != organization.Active || u.State != user.Active {
		return Result{}, ErrPasskey()
	}
	if closed, _, err := s.closed(ctx, u); err != nil || closed {
		return Result{}, cmp.Or(err, ErrPasskey())
	}
	proof, err := s.Factors.CheckPasskey(ctx, org, u, k)
	if err != nil {
		return Result{}, err
	}
	f := First{User: u, Organization: org, Fingerprint: in.Fingerprint, Door: Main, Remember: in.Remember,
		Source: in.Source}
	if f.device, err = s.device(ctx, u, true, in.Device); err != nil {
		return Result{}, err
	}
	return s.begin(ctx, complete{First: f, authTime: s.Now(), proof: proof})
}

// refusePasskey writes a refused sign-in into the log of whom it was tried at.
func (s *Service) refusePasskey(ctx context.Context, in Passkey, org id.Organization, u id.User, locks bool) error {
	who := user.User{}
	if org != unknownTenant {
		if _, err := s.Organizations.Facts(ctx, org); err == nil {
			who.ID, who.Organization = u, org
		}
	}
	if err := s.recordFailure(ctx, who, Password{Tenant: in.Tenant, Source: in.Source, Door: "passkey"}, locks,
		""); err != nil {
		return err
	}
	return ErrPasskey()
}
