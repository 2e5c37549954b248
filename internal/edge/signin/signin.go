package signin

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// TokenBody is a pair of tokens. It is exported since huma looks into exported embedded structs only.
type TokenBody struct {
	AccessToken  string `json:"accessToken" doc:"JWT, RS256, typ at+jwt"`
	RefreshToken string `json:"refreshToken" doc:"JWT for one refresh; keep it secret"`
	ExpiresIn    int64  `json:"expiresIn" doc:"Seconds the access token works" example:"900"`
	TokenType    string `json:"tokenType" enum:"Bearer"`
}

func showTokens(p token.Pair) TokenBody {
	return TokenBody{p.Access, p.Refresh, int64(p.ExpiresIn / time.Second), "Bearer"}
}

type signedInUser struct {
	ID             string `json:"id"`
	Email          string `json:"email"`
	Role           string `json:"role"`
	OrganizationID string `json:"organizationId"`
	SSOProvider    string `json:"ssoProvider,omitempty" enum:"azure-ad,google,oidc,saml" doc:"After a company sign-in: at which kind of provider"`
}

type loginInput struct {
	FingerprintValue string `header:"X-Device-Fingerprint" maxLength:"512"`
	Body             struct {
		Email             string `json:"email" minLength:"1" maxLength:"320" doc:"The address; where the organization is named, the user name will do"`
		Password          string `json:"password" minLength:"1" maxLength:"1024"`
		DeviceFingerprint string `json:"deviceFingerprint,omitempty" maxLength:"512" doc:"Binds the session to this value"`
		Organization      string `json:"organization,omitempty" maxLength:"63" doc:"The slug, if the e-mail address is known in several"`
		Cookie            bool   `json:"cookie,omitempty" doc:"Set the session cookies too, for a browser"`
		RememberDevice    bool   `json:"rememberDevice,omitempty" doc:"Make this device a known one: answer a deviceToken for later sign-ins, or a cookie where the session is in cookies"`
		DeviceToken       string `json:"deviceToken,omitempty" maxLength:"200" doc:"From an earlier sign-in on this device"`
	}
}

// SignedIn is what a sign-in answers.
type SignedIn struct {
	TokenBody
	User        signedInUser `json:"user"`
	DeviceToken string       `json:"deviceToken,omitempty" doc:"With rememberDevice: send it as deviceToken at later sign-ins, so that somebody who guesses at the account does not lock this device out"`
}

// SecondFactorNeeded is what a sign-in answers whose first factor is not enough.
type SecondFactorNeeded struct {
	MFARequired        bool     `json:"mfaRequired" enum:"true"`
	MFAToken           string   `json:"mfaToken" doc:"For the next step: once, for five tries"`
	AllowedMethods     []string `json:"allowedMethods" nullable:"false" enum:"totp,webauthn,backup_codes" doc:"Those that are enrolled: totp, webauthn, backup_codes"`
	ExpiresIn          int64    `json:"expiresIn" example:"300"`
	EnrollmentRequired bool     `json:"enrollmentRequired,omitzero" doc:"None is enrolled and one must be: send the token as Authorization: Bearer to /v1/auth/mfa/factors"`
}

// loginOutput is a SignedIn with 200, or a SecondFactorNeeded with 202.
type loginOutput struct {
	Status    int
	SetCookie []string `header:"Set-Cookie"`
	Body      any
}

// twoAnswers describes an operation that signs in or asks for more.
func (a *routes) twoAnswers(op huma.Operation) huma.Operation {
	content := func(t reflect.Type) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: a.Schema(t)}}
	}
	op.Responses = map[string]*huma.Response{
		"200": {Description: "Signed in", Content: content(reflect.TypeFor[SignedIn]())},
		"202": {Description: "The first factor is proven; a second is needed",
			Content: content(reflect.TypeFor[SecondFactorNeeded]())},
	}
	return op
}

func (a *routes) registerAuth() {
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/login", "signing in is how a credential is got"),
		a.twoAnswers(v1.Op("Sign in with a password", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests)), a.login)
	v1.Register(a.API, v1.Public(http.MethodPost, web.RefreshPath, "the refresh token is the credential"),
		v1.Op("Turn a refresh token into the next pair", http.StatusUnauthorized, http.StatusForbidden), a.refresh)
	v1.Register(a.API, web.Route{Method: http.MethodGet, Pattern: "/v1/auth/me", Self: "who the caller is",
		Accepts: web.Everyone}, v1.Op("Who am I"), a.me)
	v1.Register(a.API, v1.Self(http.MethodPost, "/v1/auth/logout", "ends the caller's own sessions"),
		v1.Op("Sign out of all sessions, or of one", http.StatusNotFound), a.logout)
}

// signedIn answers a sign-in, with cookies where they belong.
func (a *routes) signedIn(r *http.Request, result login.Result, cookie bool) (*loginOutput, error) {
	if w := result.Waiting; w != nil {
		methods := w.Methods
		if methods == nil {
			methods = []string{}
		}
		return &loginOutput{Status: http.StatusAccepted,
			Body: SecondFactorNeeded{MFARequired: true, MFAToken: w.Token.Reveal(), AllowedMethods: methods,
				ExpiresIn: int64(w.ExpiresIn / time.Second), EnrollmentRequired: w.Enroll}}, nil
	}
	cookies, err := a.Kit.CookiesFor(r, result.Organization.ID, result.Tokens, result.Device, cookie)
	if err != nil {
		return nil, err
	}
	body := SignedIn{TokenBody: showTokens(result.Tokens),
		User: signedInUser{string(result.User.ID), result.User.Email, result.User.Role, string(result.Organization.ID),
			result.Provider}}
	if len(cookies) == 0 { // a browser has it in a cookie
		body.DeviceToken = result.Device.Reveal()
	}
	return &loginOutput{Status: http.StatusOK, SetCookie: cookies, Body: body}, nil
}

func (a *routes) login(ctx context.Context, c v1.Call, in *loginInput) (*loginOutput, error) {
	r := c.Info.Request
	tenant, err := a.Kit.SignInTenant(r, in.Body.Organization, "")
	if err != nil {
		return nil, err
	}
	if err := a.Kit.AdmitBrowser(r, in.Body.Cookie); err != nil {
		return nil, err
	}
	result, err := a.Login.WithPassword(ctx, login.Password{Name: in.Body.Email, Password: in.Body.Password,
		Tenant: tenant, Fingerprint: cmp.Or(in.Body.DeviceFingerprint, in.FingerprintValue), Source: c.Info.Source,
		Door:   login.Main,
		Device: web.KnownDevice(r, in.Body.DeviceToken), Remember: in.Body.RememberDevice})
	if err != nil {
		return nil, err
	}
	return a.signedIn(r, result, in.Body.Cookie)
}

type refreshInput struct {
	FingerprintValue string `header:"X-Device-Fingerprint" maxLength:"512" doc:"Needed if the session began with one"`
	Body             *struct {
		RefreshToken      string `json:"refreshToken" minLength:"1" maxLength:"16384"`
		DeviceFingerprint string `json:"deviceFingerprint,omitempty" maxLength:"512" doc:"In place of the header"`
	} `required:"false"`
}

type tokensOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      TokenBody
}

func (a *routes) refresh(ctx context.Context, c v1.Call, in *refreshInput) (*tokensOutput, error) {
	r := c.Info.Request
	devices := r.Header.Values("X-Device-Fingerprint")
	if in.Body != nil {
		if value := in.Body.DeviceFingerprint; value != "" && !slices.Equal(devices, []string{value}) {
			devices = append(slices.Clone(devices), value)
		}
		pair, err := a.Tokens.Refresh(ctx, c.Info.Source, in.Body.RefreshToken, devices, nil)
		if err != nil {
			return nil, err
		}
		return &tokensOutput{Body: showTokens(pair)}, nil
	}
	value, found, err := web.RefreshCookie(r)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault.New(fault.Unauthenticated, fault.CodeUnauthorized,
			"Send {\"refreshToken\": …}, or the refresh cookie.")
	}
	pair, err := a.Tokens.Refresh(ctx, c.Info.Source, value, devices, func(org id.Organization) error {
		return a.Kit.AdmitRefresh(r, org)
	})
	if err != nil {
		return nil, err
	}
	return &tokensOutput{SetCookie: web.SessionCookies(pair), Body: showTokens(pair)}, nil
}

type me struct {
	Kind             string     `json:"kind" enum:"user,api_key,access_token,system_token,application_token,client"`
	ID               string     `json:"id"`
	OrganizationID   string     `json:"organizationId"`
	OrganizationSlug string     `json:"organizationSlug"`
	Permissions      []string   `json:"permissions" nullable:"false"`
	ExpiresAt        *time.Time `json:"expiresAt" doc:"When the credential stops; null: never"`
	Email            string     `json:"email,omitempty" doc:"Users only"`
	Role             string     `json:"role,omitempty" doc:"Users only"`
	SessionID        string     `json:"sessionId,omitempty" doc:"Users only"`
	Name             *string    `json:"name,omitempty" doc:"Machines only"`
	OwnerID          **string   `json:"ownerId,omitzero" doc:"Machines only: the user it belongs to; null for an organization's own"`
}

func (a *routes) me(_ context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[me], error) {
	m := me{Kind: string(c.Kind), ID: c.ID, OrganizationID: string(c.Organization),
		OrganizationSlug: c.OrganizationSlug, Permissions: c.Permissions.Strings(), ExpiresAt: v1.Moment(c.ExpiresAt)}
	if c.Kind == principal.User {
		m.Email, m.Role, m.SessionID = c.Email, c.Role, string(c.Session)
	} else {
		owner := v1.Text(c.Owner)
		m.Name, m.OwnerID = &c.Name, &owner
	}
	return v1.Out(m), nil
}

type logoutInput struct {
	Body *struct {
		SessionID string `json:"sessionId,omitempty" maxLength:"40" doc:"End this one session; without it all of them end"`
	} `required:"false"`
}

type logoutOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      struct {
		Revoked            bool   `json:"revoked"`
		SessionsTerminated int    `json:"sessionsTerminated"`
		Message            string `json:"message"`
	}
}

func (a *routes) logout(ctx context.Context, c v1.Call, in *logoutInput) (*logoutOutput, error) {
	res := &logoutOutput{}
	ended, message := 1, "The session has been revoked."
	if in.Body != nil && in.Body.SessionID != "" {
		s, err := v1.PathID[id.Session](in.Body.SessionID)
		if err != nil {
			return nil, err
		}
		if err := a.Sessions.EndOwn(ctx, c.Principal, s, session.ReasonLogout); err != nil {
			return nil, err
		}
		if c.Info.Cookie && s == c.Session {
			res.SetCookie = web.ExpiredCookies()
		}
	} else {
		message = "All active sessions have been revoked."
		var err error
		if ended, err = a.Sessions.EndAllOf(ctx, c.Principal, id.User(c.ID), session.ReasonLogout); err != nil {
			return nil, err
		}
		if c.Info.Cookie {
			res.SetCookie = web.ExpiredCookies()
		}
	}
	res.Body.Revoked, res.Body.SessionsTerminated, res.Body.Message = true, ended, message
	return res, nil
}
