package mfa

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa/mfadb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// RelyingParty is whom an authenticator makes a credential for (WebAuthn §4): the pages of these origins, and nobody
// else.
type RelyingParty struct {
	ID      string
	Origins []string
	Slug    string // of the one organization it serves; empty: all
}

// Serves tells whether an organization's users may prove themselves there.
func (r RelyingParty) Serves(org organization.Organization) bool {
	return r.Slug == "" || r.Slug == org.Slug
}

// RelyingParties are the configured one, and each organization's own under the tenant hosts.
type RelyingParties struct {
	Default     RelyingParty
	TenantHosts []string
}

// At gives the relying party of the page that asks. The origin is what the browser says; what the authenticator signed
// is compared with it later.
func (r RelyingParties) At(origin string) RelyingParty {
	if slices.Contains(r.Default.Origins, origin) {
		return r.Default
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin {
		return r.Default
	}
	local := u.Scheme == "http" && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost"))
	if !local && (u.Scheme != "https" || u.Port() != "") {
		return r.Default
	}
	for _, base := range r.TenantHosts {
		if slug, ok := strings.CutSuffix(u.Hostname(), "."+base); ok && slug != "" && !strings.Contains(slug, ".") {
			return RelyingParty{ID: u.Hostname(), Origins: []string{origin}, Slug: slug}
		}
	}
	return r.Default
}

// with gives the library's view of a party.
func (r RelyingParty) with(name string) (*webauthn.WebAuthn, error) {
	if _, err := netip.ParseAddr(r.ID); err == nil {
		return nil, fault.Conflictf("Passkeys and security keys need a server that is reached by a name; this one is " +
			"reached by its address.")
	}
	w, err := webauthn.New(&webauthn.Config{RPID: r.ID, RPDisplayName: name, RPOrigins: r.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementPreferred,
			UserVerification: protocol.VerificationPreferred},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout}})
	if err != nil {
		return nil, fmt.Errorf("second factor: relying party: %w", err)
	}
	return w, nil
}

// ChallengeLifetime is how long a browser may take.
const ChallengeLifetime = 5 * time.Minute

var timeout = webauthn.TimeoutConfig{Timeout: ChallengeLifetime, TimeoutUVD: ChallengeLifetime}

// account is a user as the library sees one. The user handle names organization and user; it is signed for at every
// discoverable sign-in.
type account struct {
	user        user.User
	credentials []webauthn.Credential
}

func (a account) WebAuthnID() []byte {
	return []byte(string(a.user.Organization) + "/" + string(a.user.ID))
}
func (a account) WebAuthnName() string                       { return a.user.Email }
func (a account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }
func (a account) WebAuthnDisplayName() string {
	if a.user.Name != "" {
		return a.user.Name
	}
	return a.user.Email
}

func credentialKey(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// A challenge carries its own proof: 16 random bytes, when it expires, and a keyed digest of both with what it is for.
// So nothing is stored until it comes back, and what comes back is marked as used before it is looked at.
const (
	nonceBytes     = 16
	challengeBytes = nonceBytes + 8 + sha256.Size
)

func (s *Service) mac(purpose, party string, head []byte) []byte {
	m := hmac.New(sha256.New, s.challengeKey)
	for _, part := range []string{purpose, party} {
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		m.Write([]byte(part))
	}
	m.Write(head)
	return m.Sum(nil)
}

func (s *Service) newChallenge(purpose, party string) []byte {
	head := make([]byte, nonceBytes)
	rand.Read(head)
	head = binary.BigEndian.AppendUint64(head, uint64(s.now().Add(ChallengeLifetime).UnixMilli()))
	return append(head, s.mac(purpose, party, head)...)
}

// purposeChallenge is under which used challenges are marked.
const purposeChallenge = "webauthn_challenge"

// useChallenge uses a challenge of ours up, whatever becomes of the rest: it must be made for this purpose and party,
// be in time, and not have come before.
func (s *Service) useChallenge(ctx context.Context, org id.Organization, purpose, party, challenge string) error {
	raw, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(raw) != challengeBytes {
		return ErrInvalid()
	}
	head := raw[:nonceBytes+8]
	expires := time.UnixMilli(int64(binary.BigEndian.Uint64(head[nonceBytes:])))
	if !hmac.Equal(raw[nonceBytes+8:], s.mac(purpose, party, head)) || !s.now().Before(expires) {
		return ErrInvalid()
	}
	fresh, err := s.onetime.Mark(ctx, org, purposeChallenge, "", challenge, s.now(), expires)
	if err == nil && !fresh {
		return ErrInvalid()
	}
	return err
}

// credentials gives a user's authenticators that are registered with a relying party.
func (s *Service) credentials(ctx context.Context, u user.User, party string) ([]mfadb.Factor, []webauthn.Credential,
	error) {
	rows, err := mfadb.New(s.db.Tenant(u.Organization)).ActiveOf(ctx, u.Organization, u.ID, user.WebAuthn)
	if err != nil {
		return nil, nil, fmt.Errorf("second factor: authenticators: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r mfadb.Factor) bool { return r.RelyingParty != party })
	list := make([]webauthn.Credential, len(rows))
	for i, r := range rows {
		text, err := s.ring.Open(r.Data, place(u.Organization, r.ID))
		if err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(text, &list[i]); err != nil {
			return nil, nil, fmt.Errorf("second factor: authenticator %s: %w", r.ID, err)
		}
		list[i].Authenticator.SignCount = uint32(r.Counter)
	}
	return rows, list, nil
}

// registerFor is what the challenge of an enrolment is for.
func registerFor(factor id.Factor) string { return "register:" + string(factor) }

func (s *Service) beginRegistration(ctx context.Context, org organization.Organization, u user.User, factor id.Factor,
	party RelyingParty) (*protocol.CredentialCreation, error) {
	_, existing, err := s.credentials(ctx, u, party.ID)
	if err != nil {
		return nil, err
	}
	if len(existing) >= maxAuthenticators {
		return nil, fault.Conflictf("There are %d authenticators already. Remove one first.", len(existing))
	}
	w, err := party.with(org.Name)
	if err != nil {
		return nil, err
	}
	challenge := s.newChallenge(registerFor(factor), party.ID)
	options, _, err := w.BeginRegistration(account{u, existing},
		webauthn.WithExclusions(webauthn.Credentials(existing).CredentialDescriptors()),
		func(o *protocol.PublicKeyCredentialCreationOptions) error { o.Challenge = challenge; return nil })
	if err != nil {
		return nil, fmt.Errorf("second factor: registration: %w", err)
	}
	return options, nil
}

func (s *Service) finishRegistration(ctx context.Context, org organization.Organization, u user.User, row mfadb.Factor,
	raw []byte) (*webauthn.Credential, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(raw)
	if err != nil {
		return nil, refused(err)
	}
	party := s.parties.At(parsed.Response.CollectedClientData.Origin)
	if party.ID != row.RelyingParty || !party.Serves(org) {
		return nil, ErrInvalid()
	}
	challenge := parsed.Response.CollectedClientData.Challenge
	if err := s.useChallenge(ctx, org.ID, registerFor(row.ID), party.ID, challenge); err != nil {
		return nil, err
	}
	w, err := party.with(org.Name)
	if err != nil {
		return nil, err
	}
	a := account{user: u}
	credential, err := w.CreateCredential(a, webauthn.SessionData{Challenge: challenge, RelyingPartyID: party.ID,
		UserID: a.WebAuthnID(), UserVerification: protocol.VerificationPreferred,
		CredParams: webauthn.CredentialParametersDefault()}, parsed)
	if err != nil {
		return nil, refused(err)
	}
	return credential, nil
}

// refused hides why the library refuses a response from the caller and keeps it for the log.
func refused(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) {
		err = fmt.Errorf("%s: %s", p.Details, p.DevInfo)
	}
	return ErrInvalid().Because(err)
}

// Challenge gives what a browser is asked so that a user proves one of their authenticators, for the purpose named: the
// same must be named when the answer comes. It needs an authenticator that is registered with the page's relying party.
func (s *Service) Challenge(ctx context.Context, org organization.Organization, u user.User, purpose,
	origin string) (*protocol.CredentialAssertion, error) {
	party := s.parties.At(origin)
	_, list, err := s.credentials(ctx, u, party.ID)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || !party.Serves(org) {
		return nil, fault.Conflictf("No authenticator is registered for this address.")
	}
	w, err := party.with(org.Name)
	if err != nil {
		return nil, err
	}
	options, _, err := w.BeginLogin(account{u, list}, webauthn.WithChallenge(s.newChallenge(purpose, party.ID)))
	if err != nil {
		return nil, fmt.Errorf("second factor: challenge: %w", err)
	}
	return options, nil
}

// checkAssertion judges the answer to a challenge.
func (s *Service) checkAssertion(ctx context.Context, org organization.Organization, u user.User, proof Proof) (*Taking,
	error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(proof.Credential)
	if err != nil {
		return nil, refused(err)
	}
	party := s.parties.At(parsed.Response.CollectedClientData.Origin)
	if !party.Serves(org) {
		return nil, ErrInvalid()
	}
	return s.assert(ctx, org, u, parsed, party, proof.Context, false)
}

func (s *Service) assert(ctx context.Context, org organization.Organization, u user.User,
	parsed *protocol.ParsedCredentialAssertionData, party RelyingParty, purpose string, alone bool) (*Taking, error) {
	challenge := parsed.Response.CollectedClientData.Challenge
	if err := s.useChallenge(ctx, org.ID, purpose, party.ID, challenge); err != nil {
		return nil, err
	}
	rows, list, err := s.credentials(ctx, u, party.ID)
	if err != nil {
		return nil, err
	}
	w, err := party.with(org.Name)
	if err != nil {
		return nil, err
	}
	a := account{u, list}
	data := webauthn.SessionData{Challenge: challenge, RelyingPartyID: party.ID, UserID: a.WebAuthnID(),
		UserVerification: protocol.VerificationPreferred}
	if alone {
		data.UserVerification = protocol.VerificationRequired
	}
	credential, err := w.ValidateLogin(a, data, parsed)
	if err != nil {
		return nil, refused(err)
	}
	if credential.Authenticator.CloneWarning {
		return nil, ErrInvalid().
			Because(errors.New("the signature counter went back: the authenticator may have been cloned"))
	}
	credential.Flags.UserVerified = parsed.Response.AuthenticatorData.Flags.UserVerified()
	i := slices.IndexFunc(rows, func(r mfadb.Factor) bool { return r.CredentialKey == credentialKey(credential.ID) })
	if i < 0 {
		return nil, ErrInvalid()
	}
	text, err := json.Marshal(credential)
	if err != nil {
		return nil, fmt.Errorf("second factor: credential: %w", err)
	}
	factor := rows[i].ID
	return &Taking{AMR: amrOf(credential, !alone), take: func(ctx context.Context, tx *sqldb.Tx, _ *Taking) error {
		n, err := mfadb.New(tx).TakeAssertion(ctx,
			mfadb.TakeAssertionParams{Counter: int64(credential.Authenticator.SignCount),
				Data: s.ring.Seal(text, place(org.ID, factor)),
				Now:  sqldb.MillisOf(s.now()), OrganizationID: org.ID, UserID: u.ID, ID: factor})
		return taken(n, err)
	}}, nil
}

// purposePasskey is what the challenge of a sign-in with a passkey alone is for. It names nobody: the authenticator
// says who signs in.
const purposePasskey = "passkey"

// PasskeyChallenge gives what a browser is asked so that somebody signs in with a passkey alone. Nothing about any user
// is looked at.
func (s *Service) PasskeyChallenge(origin string) (*protocol.CredentialAssertion, error) {
	party := s.parties.At(origin)
	w, err := party.with(party.ID)
	if err != nil {
		return nil, err
	}
	options, _, err := w.BeginDiscoverableLogin(webauthn.WithChallenge(s.newChallenge(purposePasskey, party.ID)),
		webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("second factor: challenge: %w", err)
	}
	return options, nil
}

// Passkey is the answer to such a challenge: who it says it is, before anything of it is believed.
type Passkey struct {
	Organization id.Organization
	User         id.User
	Credential   string // names the authenticator, for counting tries

	parsed *protocol.ParsedCredentialAssertionData
	party  RelyingParty
}

// ParsePasskey reads an answer. One whose user handle is none of ours is as one of a user who does not exist.
func (s *Service) ParsePasskey(raw []byte) (Passkey, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(raw)
	if err != nil {
		return Passkey{}, refused(err)
	}
	k := Passkey{parsed: parsed, party: s.parties.At(parsed.Response.CollectedClientData.Origin),
		Credential: credentialKey(parsed.RawID)}
	org, u, _ := strings.Cut(string(parsed.Response.UserHandle), "/")
	k.Organization, err = id.Parse[id.Organization](org)
	k.User, _ = id.Parse[id.User](u)
	if err != nil || k.User == "" {
		k.Organization, k.User = "", ""
	}
	return k, nil
}

// Known tells whether an answer comes from an authenticator of the user whom it names. It asks the database once,
// whoever that is, and proves nothing.
func (s *Service) Known(ctx context.Context, org id.Organization, u id.User, k Passkey) (bool, error) {
	rows, err := mfadb.New(s.db.Tenant(org)).ActiveOf(ctx, org, u, user.WebAuthn)
	if err != nil {
		return false, fmt.Errorf("second factor: authenticators: %w", err)
	}
	return slices.ContainsFunc(rows, func(r mfadb.Factor) bool { return r.CredentialKey == k.Credential }), nil
}

// CheckPasskey judges an answer of a user who was read from the database just now. The authenticator must have verified
// who holds it.
func (s *Service) CheckPasskey(ctx context.Context, org organization.Organization, u user.User, k Passkey) (*Taking,
	error) {
	if !org.Settings.PasskeySignIn || !k.party.Serves(org) || u.Organization != k.Organization || u.ID != k.User {
		return nil, ErrInvalid()
	}
	return s.assert(ctx, org, u, k.parsed, k.party, purposePasskey, true)
}
