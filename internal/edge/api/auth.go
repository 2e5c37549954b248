package api

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// refreshPath is the only place the refresh cookie travels to.
const (
	refreshPath       = "/v1/auth/refresh"
	refreshCookieName = "itsm_refresh_token"

	deviceCookieName = "itsm_device"
	deviceCookiePath = "/v1/auth"
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
func (a *API) twoAnswers(op huma.Operation) huma.Operation {
	schemas := a.huma.OpenAPI().Components.Schemas
	content := func(t reflect.Type) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(t, true, "")}}
	}
	op.Responses = map[string]*huma.Response{
		"200": {Description: "Signed in", Content: content(reflect.TypeFor[SignedIn]())},
		"202": {Description: "The first factor is proven; a second is needed",
			Content: content(reflect.TypeFor[SecondFactorNeeded]())},
	}
	return op
}

func (a *API) registerAuth() {
	register(a, public(http.MethodPost, "/v1/auth/login", "signing in is how a credential is got"),
		a.twoAnswers(op("Sign in with a password", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests)), a.login)
	register(a, public(http.MethodPost, refreshPath, "the refresh token is the credential"),
		op("Turn a refresh token into the next pair", http.StatusUnauthorized, http.StatusForbidden), a.refresh)
	register(a, web.Route{Method: http.MethodGet, Pattern: "/v1/auth/me", Self: "who the caller is",
		Accepts: web.Everyone}, op("Who am I"), a.me)
	register(a, self(http.MethodPost, "/v1/auth/logout", "ends the caller's own sessions"),
		op("Sign out of all sessions, or of one", http.StatusNotFound), a.logout)
	a.registerFactors()
	a.registerPasswords()
}

// browser is what a sign-in asks for a browser.
type browser struct {
	cookie   bool // in the body
	remember bool
	device   string // in the body
}

// admitBrowser refuses a page elsewhere that would sign its visitor in with a cookie (login CSRF).
func (a *API) admitBrowser(ctx context.Context, r *http.Request, cookie bool) error {
	if !cookie || !foreign(r, a.kit.PublicOrigin()) {
		return nil
	}
	ok, err := a.originListed(ctx, r)
	if err == nil && !ok {
		err = fault.Forbiddenf("This origin may not sign in with a cookie.")
	}
	return err
}

// deviceOf is what a known device shows: in the body, or a browser's cookie.
func deviceOf(r *http.Request, inBody string) secret.Secret {
	if inBody == "" {
		inBody, _, _ = authn.Cookie(r, deviceCookieName) // a cookie that is not readable makes no device known
	}
	return secret.New(inBody)
}

// signedIn answers a sign-in, with cookies where they belong.
func (a *API) signedIn(r *http.Request, result login.Result, b browser) (*loginOutput, error) {
	if w := result.Waiting; w != nil {
		methods := w.Methods
		if methods == nil {
			methods = []string{}
		}
		return &loginOutput{Status: http.StatusAccepted,
			Body: SecondFactorNeeded{MFARequired: true, MFAToken: w.Token.Reveal(), AllowedMethods: methods,
				ExpiresIn: int64(w.ExpiresIn / time.Second), EnrollmentRequired: w.Enroll}}, nil
	}
	cookies, err := a.cookiesFor(r, result, b)
	if err != nil {
		return nil, err
	}
	body := SignedIn{TokenBody: showTokens(result.Tokens),
		User: signedInUser{string(result.User.ID), result.User.Email, result.User.Role, string(result.Organization.ID)}}
	if len(cookies) == 0 { // a browser has it in a cookie
		body.DeviceToken = result.Device.Reveal()
	}
	return &loginOutput{Status: http.StatusOK, SetCookie: cookies, Body: body}, nil
}

// cookiesFor gives a browser its cookies where the organization allows its origin, and nobody else any (A4).
func (a *API) cookiesFor(r *http.Request, result login.Result, b browser) (cookies []string, err error) {
	allowed := b.cookie
	if origin := r.Header.Get("Origin"); origin != "" {
		if allowed, err = a.kit.OriginAllowed(r, result.Organization.ID, origin); err != nil {
			return nil, err
		}
	}
	if !allowed {
		return nil, nil
	}
	cookies = sessionCookies(result.Tokens)
	if !result.Device.IsZero() {
		cookies = append(cookies, cookie(deviceCookieName, result.Device.Reveal(), deviceCookiePath,
			http.SameSiteStrictMode, int(mfa.DeviceLifetime/time.Second)))
	}
	return cookies, nil
}

func (a *API) login(ctx context.Context, c call, in *loginInput) (*loginOutput, error) {
	r := c.info.Request
	tenant, err := a.kit.SignInTenant(r, in.Body.Organization, "")
	if err != nil {
		return nil, err
	}
	if err := a.admitBrowser(ctx, r, in.Body.Cookie); err != nil {
		return nil, err
	}
	b := browser{in.Body.Cookie, in.Body.RememberDevice, in.Body.DeviceToken}
	result, err := a.Login.WithPassword(ctx, login.Password{Name: in.Body.Email, Password: in.Body.Password,
		Tenant: tenant, Fingerprint: cmp.Or(in.Body.DeviceFingerprint, in.FingerprintValue), Source: c.info.Source,
		Door:   login.Main,
		Device: deviceOf(r, b.device), Remember: b.remember})
	if err != nil {
		return nil, err
	}
	return a.signedIn(r, result, b)
}

// foreign tells whether a browser says that the request comes from another origin than ours.
func foreign(r *http.Request, own string) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		return origin != own
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

func (a *API) originListed(ctx context.Context, r *http.Request) (bool, error) {
	orgs, err := a.Organizations.WithOrigin(ctx, r.Header.Get("Origin"))
	return len(orgs) > 0, err
}

// sessionCookies carry a pair for a browser. Neither has a Domain, so no other host gets them.
func sessionCookies(p token.Pair) []string {
	return []string{
		accessCookie(p),
		cookie(refreshCookieName, p.Refresh, refreshPath, http.SameSiteStrictMode,
			max(1, int(time.Until(p.RefreshExpiresAt)/time.Second))),
	}
}

func accessCookie(p token.Pair) string {
	return cookie(authn.CookieName, p.Access, "/", http.SameSiteLaxMode, int(token.AccessLifetime/time.Second))
}

func expiredCookies() []string {
	return []string{cookie(authn.CookieName, "", "/", http.SameSiteLaxMode, -1),
		cookie(refreshCookieName, "", refreshPath, http.SameSiteStrictMode, -1)}
}

func cookie(name, value, path string, site http.SameSite, maxAge int) string {
	return (&http.Cookie{Name: name, Value: value, Path: path, MaxAge: maxAge, Secure: true, HttpOnly: true,
		SameSite: site}).String()
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

func (a *API) refresh(ctx context.Context, c call, in *refreshInput) (*tokensOutput, error) {
	r := c.info.Request
	devices := r.Header.Values("X-Device-Fingerprint")
	if in.Body != nil {
		if value := in.Body.DeviceFingerprint; value != "" && !slices.Equal(devices, []string{value}) {
			devices = append(slices.Clone(devices), value)
		}
		pair, err := a.Tokens.Refresh(ctx, c.info.Source, in.Body.RefreshToken, devices, nil)
		if err != nil {
			return nil, err
		}
		return &tokensOutput{Body: showTokens(pair)}, nil
	}
	value, found, err := authn.Cookie(r, refreshCookieName)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault.New(fault.Unauthenticated, fault.CodeUnauthorized,
			"Send {\"refreshToken\": …}, or the refresh cookie.")
	}
	pair, err := a.Tokens.Refresh(ctx, c.info.Source, value, devices, func(org id.Organization) error {
		ok, err := a.kit.OriginAllowed(r, org, r.Header.Get("Origin"))
		if err == nil && (!ok || len(r.Header["Origin"]) != 1) {
			err = fault.Forbiddenf("A refresh by cookie needs an Origin header that names this server or an allowed " +
				"origin of the organization.")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &tokensOutput{SetCookie: sessionCookies(pair), Body: showTokens(pair)}, nil
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

func (a *API) me(_ context.Context, c call, _ *nothing) (*output[me], error) {
	m := me{Kind: string(c.Kind), ID: c.ID, OrganizationID: string(c.Organization),
		OrganizationSlug: c.OrganizationSlug, Permissions: c.Permissions.Strings(), ExpiresAt: moment(c.ExpiresAt)}
	if c.Kind == principal.User {
		m.Email, m.Role, m.SessionID = c.Email, c.Role, string(c.Session)
	} else {
		owner := text(c.Owner)
		m.Name, m.OwnerID = &c.Name, &owner
	}
	return out(m), nil
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

func (a *API) logout(ctx context.Context, c call, in *logoutInput) (*logoutOutput, error) {
	res := &logoutOutput{}
	ended := 1
	if in.Body != nil && in.Body.SessionID != "" {
		s, err := pathID[id.Session](in.Body.SessionID)
		if err != nil {
			return nil, err
		}
		if err := a.Sessions.EndOwn(ctx, c.Principal, s, session.ReasonLogout); err != nil {
			return nil, err
		}
		if c.info.Cookie && s == c.Session {
			res.SetCookie = expiredCookies()
		}
	} else {
		var err error
		if ended, err = a.Sessions.EndAllOf(ctx, c.Principal, id.User(c.ID), session.ReasonLogout); err != nil {
			return nil, err
		}
		if c.info.Cookie {
			res.SetCookie = expiredCookies()
		}
	}
	res.Body.Revoked, res.Body.SessionsTerminated = true, ended
	res.Body.Message = "Signed out of " + strconv.Itoa(ended) + " session(s)."
	return res, nil
}
