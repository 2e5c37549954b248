package signin

import (
	"cmp"
	"context"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

type verifyInput struct {
	Body struct {
		MFAToken string `json:"mfaToken" minLength:"1" maxLength:"200"`
		ProofFields
		Cookie bool `json:"cookie,omitempty" doc:"Set the session cookies too, for a browser"`
	}
}

// VerifiedBody is a pair of tokens, and what became of the means that were used.
type VerifiedBody struct {
	TokenBody
	DeviceToken string `json:"deviceToken,omitempty" doc:"If the first step asked for one"`
	CodesState
}

// CodesState tells what is left after a backup code was used; nothing after another proof.
type CodesState struct {
	BackupCodesRemaining *int `json:"backupCodesRemaining,omitempty" doc:"After a backup code: how many are left"`
	BackupCodesLow       bool `json:"backupCodesLow,omitzero" doc:"Three or fewer are left: make new ones"`
}

func showCodes(left *int) CodesState { return CodesState{left, left != nil && *left <= mfa.CodesLow} }

type verifiedOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      VerifiedBody
}

func (a *routes) verifyFactor(ctx context.Context, c v1.Call, in *verifyInput) (*verifiedOutput, error) {
	r := c.Info.Request
	if err := a.Kit.AdmitBrowser(r, in.Body.Cookie); err != nil {
		return nil, err
	}
	if in.Body.Method == "" {
		return nil, fault.Invalidf("method", "is required")
	}
	proof, err := in.Body.proof()
	if err != nil {
		return nil, err
	}
	result, err := a.Login.Verify(ctx, c.Info.Source, secret.New(in.Body.MFAToken), proof)
	if err != nil {
		return nil, err
	}
	res := &verifiedOutput{Body: VerifiedBody{TokenBody: showTokens(result.Tokens),
		CodesState: showCodes(result.CodesLeft)}}
	res.SetCookie, err = a.Kit.CookiesFor(r, result.Organization.ID, result.Tokens, result.Device, in.Body.Cookie)
	if err != nil {
		return nil, err
	}
	if len(res.SetCookie) == 0 {
		res.Body.DeviceToken = result.Device.Reveal()
	}
	return res, nil
}

type challengeInput struct {
	Body struct {
		MFAToken string `json:"mfaToken" minLength:"1" maxLength:"200"`
	}
}

func (a *routes) challenge(ctx context.Context, c v1.Call, in *challengeInput) (*v1.Output[optionsBody], error) {
	options, err := a.Login.Challenge(ctx, c.Info.Source, secret.New(in.Body.MFAToken),
		c.Info.Request.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	return showRequest(options)
}

func (a *routes) passkeyChallenge(_ context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[optionsBody], error) {
	options, err := a.Factors.PasskeyChallenge(c.Info.Request.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	return showRequest(options)
}

type passkeyInput struct {
	FingerprintValue string `header:"X-Device-Fingerprint" maxLength:"512"`
	Body             struct {
		Credential        credentialJSON `json:"credential" doc:"The browser's PublicKeyCredential, as its toJSON() gives it"`
		DeviceFingerprint string         `json:"deviceFingerprint,omitempty" maxLength:"512" doc:"Binds the session to this value"`
		Organization      string         `json:"organization,omitempty" maxLength:"63" doc:"The slug, if only a user of this one may sign in"`
		Cookie            bool           `json:"cookie,omitempty" doc:"Set the session cookies too, for a browser"`
		RememberDevice    bool           `json:"rememberDevice,omitempty" doc:"Make this device a known one: answer a deviceToken for later sign-ins, or a cookie where the session is in cookies"`
		DeviceToken       string         `json:"deviceToken,omitempty" maxLength:"200" doc:"From an earlier sign-in on this device"`
	}
}

type passkeyOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      SignedIn
}

func (a *routes) passkey(ctx context.Context, c v1.Call, in *passkeyInput) (*passkeyOutput, error) {
	r := c.Info.Request
	tenant, err := a.Kit.SignInTenant(r, in.Body.Organization, "")
	if err != nil {
		return nil, err
	}
	if err := a.Kit.AdmitBrowser(r, in.Body.Cookie); err != nil {
		return nil, err
	}
	raw, err := in.Body.Credential.bytes()
	if err != nil {
		return nil, err
	}
	result, err := a.Login.WithPasskey(ctx, login.Passkey{Credential: raw, Tenant: tenant,
		Fingerprint: cmp.Or(in.Body.DeviceFingerprint, in.FingerprintValue), Source: c.Info.Source,
		Device: web.KnownDevice(r, in.Body.DeviceToken), Remember: in.Body.RememberDevice})
	if err != nil {
		return nil, err
	}
	signed, err := a.signedIn(r, result, in.Body.Cookie)
	if err != nil {
		return nil, err
	}
	return &passkeyOutput{SetCookie: signed.SetCookie, Body: signed.Body.(SignedIn)}, nil // a passkey waits for nothing
}
