package signin

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-webauthn/webauthn/protocol"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerFactors() {
	limited := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/mfa/verify",
		"the token of the first step is the credential"),
		v1.Op("Complete a sign-in with a second factor", limited...), a.verifyFactor)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/mfa/challenge",
		"the token of the first step is the credential"),
		v1.Op("What the browser is asked, to complete a sign-in with WebAuthn", http.StatusUnauthorized,
			http.StatusConflict), a.challenge)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/passkey/challenge",
		"a passkey names its user only in its answer"),
		v1.Op("What the browser is asked, to sign in with a passkey alone", http.StatusConflict), a.passkeyChallenge)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/passkey", "signing in is how a credential is got"),
		v1.Op("Sign in with a passkey alone", limited...), a.passkey)

	own := "the caller's own factors"
	change := func(method, pattern string) web.Route {
		r := v1.Self(method, pattern, own)
		r.StepUp = true
		return r
	}
	enroll := func(pattern string) web.Route {
		r := change(http.MethodPost, pattern)
		r.Accepts = web.Enrolling
		return r
	}
	v1.Register(a.API, v1.Self(http.MethodGet, "/v1/auth/mfa/factors", own), v1.Op("My factors"), a.listFactors)
	v1.Register(a.API, enroll("/v1/auth/mfa/factors"), v1.Created("Begin to add a factor"), a.enrollFactor)
	v1.Register(a.API, enroll("/v1/auth/mfa/factors/{id}/confirm"),
		v1.Op("Add the factor, proven by its first use", http.StatusConflict, http.StatusTooManyRequests),
		a.confirmFactor)
	v1.Register(a.API, change(http.MethodPatch, "/v1/auth/mfa/factors/{id}"), v1.Op("Rename one of my factors"),
		a.renameFactor)
	v1.Register(a.API, change(http.MethodDelete, "/v1/auth/mfa/factors/{id}"),
		v1.Deleted("Remove one of my factors", http.StatusConflict), a.removeFactor)
	v1.Register(a.API, change(http.MethodPost, "/v1/auth/mfa/backup-codes"),
		v1.Created("Make ten new backup codes; the former ones stop working"), a.makeBackupCodes)

	v1.Register(a.API, v1.Self(http.MethodPost, "/v1/auth/reauthenticate", "the caller proves themselves again"),
		v1.Op("Prove again who I am, in the same session", http.StatusTooManyRequests), a.reauthenticate)
	v1.Register(a.API, v1.Self(http.MethodPost, "/v1/auth/reauthenticate/challenge",
		"the caller proves themselves again"),
		v1.Op("What the browser is asked, to prove again who I am with WebAuthn", http.StatusConflict),
		a.challengeAgain)

}

// credentialJSON is a browser's PublicKeyCredential as its toJSON() gives it. The library reads it; here it is only
// bounded.
type credentialJSON map[string]any

// ProofFields are what a second factor is proven with.
type ProofFields struct {
	Method     string         `json:"method,omitempty" enum:"totp,webauthn,backup_codes"`
	Code       string         `json:"code,omitempty" maxLength:"64" doc:"For totp: six digits; for backup_codes: eight characters"`
	Credential credentialJSON `json:"credential,omitempty" doc:"For webauthn: the browser's PublicKeyCredential, as its toJSON() gives it"`
}

func (f ProofFields) proof() (mfa.Proof, error) {
	p := mfa.Proof{Method: f.Method, Code: f.Code}
	switch {
	case f.Method == user.WebAuthn && f.Credential == nil:
		return p, fault.Invalidf("credential", "is required for webauthn")
	case f.Method != user.WebAuthn && f.Credential != nil:
		return p, fault.Invalidf("credential", "is for webauthn only")
	case f.Method != "" && f.Method != user.WebAuthn && f.Code == "":
		return p, fault.Invalidf("code", "is required for %s", f.Method)
	}
	var err error
	p.Credential, err = f.Credential.bytes()
	return p, err
}

func (c credentialJSON) bytes() ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	text, err := json.Marshal(map[string]any(c), json.Deterministic(true))
	if err != nil {
		return nil, fault.Invalidf("credential", "is not readable")
	}
	return text, nil
}

// publicKey is what a browser hands to navigator.credentials: options as parseCreationOptionsFromJSON and
// parseRequestOptionsFromJSON read them.
type publicKey map[string]any

func showOptions(v any) (publicKey, error) {
	text, err := json.Marshal(v, jsontext.EscapeForHTML(false))
	if err != nil {
		return nil, err
	}
	var p publicKey
	return p, json.Unmarshal(text, &p)
}

type optionsBody struct {
	PublicKey publicKey `json:"publicKey" doc:"For navigator.credentials.get, by PublicKeyCredential.parseRequestOptionsFromJSON"`
	ExpiresIn int64     `json:"expiresIn" example:"300"`
}

func showRequest(a *protocol.CredentialAssertion) (*v1.Output[optionsBody], error) {
	p, err := showOptions(a.Response)
	if err != nil {
		return nil, err
	}
	return v1.Out(optionsBody{p, int64(mfa.ChallengeLifetime / time.Second)}), nil
}

func (a *routes) listFactors(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[v1.FactorList], error) {
	o, err := a.Factors.Own(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return v1.Out(v1.ShowFactors(o)), nil
}

type enrollInput struct {
	Body struct {
		Method string `json:"method" enum:"totp,webauthn"`
		Name   string `json:"name,omitempty" maxLength:"200" doc:"What you call it"`
	}
}

type enrollment struct {
	ID         string    `json:"id"`
	Method     string    `json:"method" enum:"totp,webauthn"`
	Name       string    `json:"name"`
	Secret     string    `json:"secret,omitempty" doc:"totp: the seed in base32, for typing it in; shown only now"`
	OtpauthURI string    `json:"otpauthUri,omitempty" doc:"totp: what the QR code says"`
	QRSVG      string    `json:"qrSvg,omitempty" doc:"totp: the QR code as an SVG document"`
	QRPNG      []byte    `json:"qrPng,omitempty" doc:"totp: the QR code as PNG, in base64"`
	PublicKey  publicKey `json:"publicKey,omitempty" doc:"webauthn: for navigator.credentials.create, by PublicKeyCredential.parseCreationOptionsFromJSON"`
	ExpiresIn  int64     `json:"expiresIn" doc:"Seconds until it must be confirmed"`
}

func (a *routes) enrollFactor(ctx context.Context, c v1.Call, in *enrollInput) (*v1.CreatedOutput[enrollment], error) {
	e, err := a.Factors.Enroll(ctx, c.Principal, in.Body.Method, in.Body.Name, c.Info.Request.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	body := enrollment{ID: string(e.ID), Method: e.Method, Name: e.Name,
		ExpiresIn: int64(mfa.EnrollmentLifetime / time.Second)}
	if app := e.App; app != nil {
		body.Secret, body.OtpauthURI, body.QRSVG, body.QRPNG = app.Secret, app.URI, app.SVG, app.PNG
	}
	if e.WebAuthn != nil {
		body.ExpiresIn = int64(mfa.ChallengeLifetime / time.Second)
		if body.PublicKey, err = showOptions(e.WebAuthn.Response); err != nil {
			return nil, err
		}
	}
	if c.Session == "" { // the sign-in that waits ends sooner
		body.ExpiresIn = max(0, min(body.ExpiresIn, int64(c.ExpiresAt.Sub(a.Now())/time.Second)))
	}
	return v1.CreatedAt("/v1/auth/mfa/factors/"+body.ID, body), nil
}

type confirmInput struct {
	v1.IDInput
	Body struct {
		Code             string         `json:"code,omitempty" maxLength:"64" doc:"For totp: a code of the app"`
		Credential       credentialJSON `json:"credential,omitempty" doc:"For webauthn: the browser's PublicKeyCredential"`
		EndOtherSessions bool           `json:"endOtherSessions,omitempty" doc:"End your other sessions too, also those that proved two factors; those of a password alone end in any case"`
	}
}

type confirmedFactor struct {
	v1.FactorBody
	BackupCodes []string `json:"backupCodes,omitempty" nullable:"false" doc:"With the first factor: ten codes, each for one sign-in without it; shown only now"`
}

func (a *routes) confirmFactor(ctx context.Context, c v1.Call, in *confirmInput) (*v1.Output[confirmedFactor], error) {
	factor, err := v1.PathID[id.Factor](in.ID)
	if err != nil {
		return nil, err
	}
	if (in.Body.Code == "") == (in.Body.Credential == nil) {
		return nil, fault.Invalidf("code", "or credential, as the factor's method wants it")
	}
	raw, err := in.Body.Credential.bytes()
	if err != nil {
		return nil, err
	}
	f, err := a.Login.ConfirmFactor(ctx, c.Principal, web.KnownDevice(c.Info.Request, ""), factor,
		mfa.Proof{Code: in.Body.Code, Credential: raw}, in.Body.EndOtherSessions)
	if err != nil {
		return nil, err
	}
	return v1.Out(confirmedFactor{v1.ShowFactor(f.Factor), f.BackupCodes}), nil
}

type renameInput struct {
	v1.IDInput
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200"`
	}
}

func (a *routes) renameFactor(ctx context.Context, c v1.Call, in *renameInput) (*v1.Output[v1.FactorBody], error) {
	factor, err := v1.PathID[id.Factor](in.ID)
	if err != nil {
		return nil, err
	}
	f, err := a.Factors.Rename(ctx, c.Principal, factor, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return v1.Out(v1.ShowFactor(f)), nil
}

type removeInput struct {
	v1.IDInput
	EndOtherSessions bool `query:"endOtherSessions" doc:"End your other sessions too"`
}

func (a *routes) removeFactor(ctx context.Context, c v1.Call, in *removeInput) (*v1.Nothing, error) {
	factor, err := v1.PathID[id.Factor](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.Remove(ctx, c.Principal, factor, in.EndOtherSessions)
}

type backupCodes struct {
	BackupCodes []string `json:"backupCodes" nullable:"false" doc:"Shown only now"`
}

func (a *routes) makeBackupCodes(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.CreatedOutput[backupCodes],
	error) {
	codes, err := a.Factors.RegenerateCodes(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/auth/mfa/factors", backupCodes{codes}), nil
}

type reauthenticateInput struct {
	Body struct {
		Password string `json:"password,omitempty" maxLength:"1024" doc:"Enough if you have no second factor"`
		ProofFields
		DeviceToken string `json:"deviceToken,omitempty" maxLength:"200" doc:"From an earlier sign-in on this device"`
	}
}

type renewedBody struct {
	AuthTime    time.Time `json:"authTime"`
	AccessToken string    `json:"accessToken" doc:"Says the new auth_time; the refresh token stays as it is"`
	ExpiresIn   int64     `json:"expiresIn" example:"900"`
	TokenType   string    `json:"tokenType" enum:"Bearer"`
	CodesState
}

type renewedOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      renewedBody
}

func (a *routes) reauthenticate(ctx context.Context, c v1.Call, in *reauthenticateInput) (*renewedOutput, error) {
	proof, err := in.Body.proof()
	if err != nil {
		return nil, err
	}
	renewed, err := a.Login.Reauthenticate(ctx, c.Principal,
		login.Again{Password: in.Body.Password, Proof: proof,
			Device: web.KnownDevice(c.Info.Request, in.Body.DeviceToken)})
	if err != nil {
		return nil, err
	}
	t := showTokens(renewed.Tokens)
	res := &renewedOutput{Body: renewedBody{renewed.AuthTime, t.AccessToken, t.ExpiresIn, t.TokenType,
		showCodes(renewed.CodesLeft)}}
	if c.Info.Cookie {
		res.SetCookie = []string{web.AccessCookie(renewed.Tokens)}
	}
	return res, nil
}

func (a *routes) challengeAgain(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[optionsBody], error) {
	options, err := a.Login.ChallengeAgain(ctx, c.Principal, c.Info.Request.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	return showRequest(options)
}
