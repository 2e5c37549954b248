package signin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerCompany() {
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/sso/{provider}/token",
		"the code and its verifier are the credential"),
		a.twoAnswers(v1.Op("Turn the code of a company sign-in into a session", http.StatusUnauthorized,
			http.StatusForbidden, http.StatusTooManyRequests)), a.redeem)
	v1.Register(a.API, v1.Public(http.MethodGet, "/v1/auth/sso/discover",
		"asked before anybody is known; it tells about domains, not about people"),
		v1.Op("Where the people of an address's domain sign in", http.StatusTooManyRequests), a.discover)
	v1.Register(a.API, v1.StepUp(v1.Self(http.MethodPost, "/v1/auth/sso/{provider}/link", "the caller's own identity")),
		v1.Op("Link the caller's identity at a provider to their account", http.StatusConflict), a.link)
}

type redeemInput struct {
	Provider         string `path:"provider" enum:"azure-ad,google,oidc,saml"`
	FingerprintValue string `header:"X-Device-Fingerprint" maxLength:"512"`
	Body             struct {
		Code              string `json:"code" minLength:"1" maxLength:"200"`
		CodeVerifier      string `json:"codeVerifier" minLength:"1" maxLength:"200" doc:"Whose SHA-256 was the code_challenge (RFC 7636)"`
		RedirectURI       string `json:"redirectUri" minLength:"1" maxLength:"1000" doc:"The redirect_uri of the beginning"`
		DeviceFingerprint string `json:"deviceFingerprint,omitempty" maxLength:"512" doc:"Binds the session to this value"`
		Cookie            bool   `json:"cookie,omitempty" doc:"Set the session cookies too, for a browser; as cookie=true at the beginning does"`
		RememberDevice    bool   `json:"rememberDevice,omitempty" doc:"Make this device a known one"`
	}
}

func (a *routes) redeem(ctx context.Context, c v1.Call, in *redeemInput) (*loginOutput, error) {
	r := c.Info.Request
	tenant, err := a.Kit.SignInTenant(r, "", "")
	if err != nil {
		return nil, err
	}
	if err := a.Kit.AdmitBrowser(r, in.Body.Cookie); err != nil {
		return nil, err
	}
	result, cookie, err := a.SSO.Redeem(ctx, sso.Redeem{Kind: connection.Kind(in.Provider), Tenant: tenant,
		Code: secret.New(in.Body.Code), Verifier: in.Body.CodeVerifier, RedirectURI: in.Body.RedirectURI,
		Fingerprint: cmp.Or(in.Body.DeviceFingerprint, in.FingerprintValue), Remember: in.Body.RememberDevice,
		Source: c.Info.Source})
	if err != nil {
		return nil, err
	}
	return a.signedIn(r, result, in.Body.Cookie || cookie)
}

type linkInput struct {
	Provider string `path:"provider" enum:"azure-ad,google,oidc,saml"`
	Body     struct {
		RedirectURI   string `json:"redirectUri" minLength:"1" maxLength:"1000" doc:"One of the organization's redirectUris"`
		CodeChallenge string `json:"codeChallenge" minLength:"1" maxLength:"100" doc:"BASE64URL(SHA256(codeVerifier))"`
		State         string `json:"state,omitempty" maxLength:"2048"`
		ConnectionID  string `json:"connectionId,omitempty" maxLength:"40" doc:"Where the organization has several of the kind"`
	}
}

// LinkAddress is where a browser goes to link an identity.
type LinkAddress struct {
	URL       string    `json:"url" doc:"Open it in the browser, once; then turn the code into a session as after any company sign-in: only that makes the link"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (a *routes) link(ctx context.Context, c v1.Call, in *linkInput) (*v1.Output[LinkAddress], error) {
	to, err := v1.OptionalID[id.Connection]("connectionId", in.Body.ConnectionID)
	if err != nil {
		return nil, err
	}
	handle, until, err := a.SSO.PrepareLink(ctx, c.Principal, sso.Start{Kind: connection.Kind(in.Provider),
		Connection: to, RedirectURI: in.Body.RedirectURI, State: in.Body.State, Challenge: in.Body.CodeChallenge,
		Method: "S256", Source: c.Info.Source})
	if err != nil {
		return nil, err
	}
	return v1.Out(LinkAddress{a.PublicURL.String() + "/v1/auth/sso/" + in.Provider + "/link?handle=" + handle.Reveal(),
		until}), nil
}

type discoverInput struct {
	Email string `query:"email" required:"true" maxLength:"320" doc:"An address; only its domain counts"`
}

// Realm tells where to sign in.
type Realm struct {
	Company      bool   `json:"company" doc:"Whether the domain's people sign in at their company's own provider"`
	Required     bool   `json:"required,omitzero" doc:"They do so alone: passwords do not work for them, also while their company's sign-in is switched off"`
	Provider     string `json:"provider,omitempty" enum:"azure-ad,google,oidc,saml"`
	Organization string `json:"organization,omitempty" doc:"The slug, for the beginning of the sign-in"`
	ConnectionID string `json:"connectionId,omitempty" doc:"For the beginning of the sign-in, as connection"`
}

func (a *routes) discover(ctx context.Context, c v1.Call, in *discoverInput) (*v1.Output[Realm], error) {
	if in.Email == "" {
		return nil, fault.Invalidf("email", "is required")
	}
	realm, err := a.SSO.Discover(ctx, in.Email, c.Info.Source)
	if err != nil {
		return nil, err
	}
	return v1.Out(Realm{realm.Found, realm.Required, string(realm.Kind), realm.Organization, realm.Connection}), nil
}
