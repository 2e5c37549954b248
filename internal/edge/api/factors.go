package api

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
)

func (a *API) registerFactors() {
	limited := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
	register(a, public(http.MethodPost, "/v1/auth/mfa/verify", "the token of the first step is the credential"),
		op("Complete a sign-in with a second factor", limited...), a.verifyFactor)
	register(a, public(http.MethodPost, "/v1/auth/mfa/challenge", "the token of the first step is the credential"),
		op("What the browser is asked, to complete a sign-in with WebAuthn", http.StatusUnauthorized,
			http.StatusConflict), a.challenge)
	register(a, public(http.MethodPost, "/v1/auth/passkey/challenge", "a passkey names its user only in its answer"),
		op("What the browser is asked, to sign in with a passkey alone", http.StatusConflict), a.passkeyChallenge)
	register(a, public(http.MethodPost, "/v1/auth/passkey", "signing in is how a credential is got"),
		op("Sign in with a passkey alone", limited...), a.passkey)

	own := "the caller's own factors"
	change := func(method, pattern string) web.Route {
		r := self(method, pattern, own)
		r.StepUp = true
		return r
	}
	enroll := func(pattern string) web.Route {
		r := change(http.MethodPost, pattern)
		r.Accepts = web.Enrolling
		return r
	}
	register(a, self(http.MethodGet, "/v1/auth/mfa/factors", own), op("My factors"), a.listFactors)
	register(a, enroll("/v1/auth/mfa/factors"), created("Begin to add a factor"), a.enrollFactor)
	register(a, enroll("/v1/auth/mfa/factors/{id}/confirm"),
		op("Add the factor, proven by its first use", http.StatusConflict, http.StatusTooManyRequests), a.confirmFactor)
	register(a, change(http.MethodPatch, "/v1/auth/mfa/factors/{id}"), op("Rename one of my factors"), a.renameFactor)
	register(a, change(http.MethodDelete, "/v1/auth/mfa/factors/{id}"),
		deleted("Remove one of my factors", http.StatusConflict), a.removeFactor)
	register(a, change(http.MethodPost, "/v1/auth/mfa/backup-codes"),
		created("Make ten new backup codes; the former ones stop working"), a.makeBackupCodes)

	register(a, self(http.MethodPost, "/v1/auth/reauthenticate", "the caller proves themselves again"),
		op("Prove again who I am, in the same session", http.StatusTooManyRequests), a.reauthenticate)
	register(a, self(http.MethodPost, "/v1/auth/reauthenticate/challenge", "the caller proves themselves again"),
		op("What the browser is asked, to prove again who I am with WebAuthn", http.StatusConflict), a.challengeAgain)

	administer := func(method, pattern, permission string) web.Route {
		r := people(method, pattern, permission)
		r.StepUp = method != http.MethodGet
		return r
	}
	register(a, administer(http.MethodGet, "/v1/users/{id}/mfa", "users:read"), op("A user's factors"), a.userFactors)
	register(a, administer(http.MethodPatch, "/v1/users/{id}/mfa", "users:update"),
		op("Require a second factor of a user"), a.requireFactor)
	register(a, administer(http.MethodDelete, "/v1/users/{id}/mfa", "users:update"),
		deleted("Reset a user's factors, backup codes and known devices, and end their sessions"), a.resetFactors)
	register(a, administer(http.MethodDelete, "/v1/users/{id}/mfa/{factor}", "users:update"),
		deleted("Remove one of a user's factors"), a.removeUserFactor)
	register(a, stepUp(people(http.MethodPost, "/v1/users/{id}/unlock", "users:update")),
		deleted("Forgive the failed sign-ins of a user"), a.unlockUser)
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

func showRequest(a *protocol.CredentialAssertion) (*output[optionsBody], error) {
	p, err := showOptions(a.Response)
	if err != nil {
		return nil, err
	}
	return out(optionsBody{p, int64(mfa.ChallengeLifetime / time.Second)}), nil
}

// FactorBody is one authenticator.
type FactorBody struct {
	ID         string     `json:"id"`
	Method     string     `json:"method" enum:"totp,webauthn"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"createdAt"`
	LastUsedAt *time.Time `json:"lastUsedAt"`
}

func showFactor(f mfa.Factor) FactorBody {
	return FactorBody{string(f.ID), f.Method, f.Name, f.CreatedAt, moment(f.LastUsedAt)}
}

type backupCodesState struct {
	Remaining int  `json:"remaining"`
	Low       bool `json:"low" doc:"Three or fewer are left of a user who has factors"`
}

// FactorList is a user's factors; there are never so many that they need pages.
type FactorList struct {
	List[FactorBody]
	BackupCodes backupCodesState `json:"backupCodes"`
	Required    bool             `json:"required" doc:"The user must have a second factor"`
}

func showOverview(o mfa.Overview) FactorList {
	l := FactorList{List: List[FactorBody]{Data: make([]FactorBody, 0, len(o.Factors))}, Required: o.Required,
		BackupCodes: backupCodesState{o.CodesLeft, len(o.Factors) > 0 && o.CodesLeft <= mfa.CodesLow}}
	for _, f := range o.Factors {
		l.Data = append(l.Data, showFactor(f))
	}
	return l
}

func (a *API) listFactors(ctx context.Context, c call, _ *nothing) (*output[FactorList], error) {
	o, err := a.Factors.Own(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return out(showOverview(o)), nil
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

func (a *API) enrollFactor(ctx context.Context, c call, in *enrollInput) (*createdOutput[enrollment], error) {
	e, err := a.Factors.Enroll(ctx, c.Principal, in.Body.Method, in.Body.Name, c.info.Request.Header.Get("Origin"))
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
	return &createdOutput[enrollment]{"/v1/auth/mfa/factors/" + body.ID, body}, nil
}

type confirmInput struct {
	IDInput
	Body struct {
		Code             string         `json:"code,omitempty" maxLength:"64" doc:"For totp: a code of the app"`
		Credential       credentialJSON `json:"credential,omitempty" doc:"For webauthn: the browser's PublicKeyCredential"`
		EndOtherSessions bool           `json:"endOtherSessions,omitempty" doc:"End your other sessions, which were begun without it"`
	}
}

type confirmedFactor struct {
	FactorBody
	BackupCodes []string `json:"backupCodes,omitempty" nullable:"false" doc:"With the first factor: ten codes, each for one sign-in without it; shown only now"`
}

func (a *API) confirmFactor(ctx context.Context, c call, in *confirmInput) (*output[confirmedFactor], error) {
	factor, err := pathID[id.Factor](in.ID)
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
	f, err := a.Login.ConfirmFactor(ctx, c.Principal, deviceOf(c.info.Request, ""), factor,
		mfa.Proof{Code: in.Body.Code, Credential: raw}, in.Body.EndOtherSessions)
	if err != nil {
		return nil, err
	}
	return out(confirmedFactor{showFactor(f.Factor), f.BackupCodes}), nil
}

type renameInput struct {
	IDInput
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200"`
	}
}

func (a *API) renameFactor(ctx context.Context, c call, in *renameInput) (*output[FactorBody], error) {
	factor, err := pathID[id.Factor](in.ID)
	if err != nil {
		return nil, err
	}
	f, err := a.Factors.Rename(ctx, c.Principal, factor, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return out(showFactor(f)), nil
}

type removeInput struct {
	IDInput
	EndOtherSessions bool `query:"endOtherSessions" doc:"End your other sessions too"`
}

func (a *API) removeFactor(ctx context.Context, c call, in *removeInput) (*nothing, error) {
	factor, err := pathID[id.Factor](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Factors.Remove(ctx, c.Principal, factor, in.EndOtherSessions)
}

type backupCodes struct {
	BackupCodes []string `json:"backupCodes" nullable:"false" doc:"Shown only now"`
}

func (a *API) makeBackupCodes(ctx context.Context, c call, _ *nothing) (*createdOutput[backupCodes], error) {
	codes, err := a.Factors.RegenerateCodes(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return &createdOutput[backupCodes]{"/v1/auth/mfa/factors", backupCodes{codes}}, nil
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

func (a *API) reauthenticate(ctx context.Context, c call, in *reauthenticateInput) (*renewedOutput, error) {
	proof, err := in.Body.proof()
	if err != nil {
		return nil, err
	}
	renewed, err := a.Login.Reauthenticate(ctx, c.Principal,
		login.Again{Password: in.Body.Password, Proof: proof, Device: deviceOf(c.info.Request, in.Body.DeviceToken)})
	if err != nil {
		return nil, err
	}
	t := showTokens(renewed.Tokens)
	res := &renewedOutput{Body: renewedBody{renewed.AuthTime, t.AccessToken, t.ExpiresIn, t.TokenType,
		showCodes(renewed.CodesLeft)}}
	if c.info.Cookie {
		res.SetCookie = []string{accessCookie(renewed.Tokens)}
	}
	return res, nil
}

func (a *API) challengeAgain(ctx context.Context, c call, _ *nothing) (*output[optionsBody], error) {
	options, err := a.Login.ChallengeAgain(ctx, c.Principal, c.info.Request.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	return showRequest(options)
}
