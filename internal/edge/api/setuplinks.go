package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// SetupLinkBody is a link without its secret.
type SetupLinkBody struct {
	ID           string    `json:"id"`
	Intent       string    `json:"intent" enum:"sso,domain,certificate"`
	State        string    `json:"state" enum:"live,expired,revoked"`
	ConnectionID string    `json:"connectionId,omitempty" doc:"The connection that it is for, or made"`
	Domain       string    `json:"domain,omitempty" doc:"The domain that was named with it"`
	Note         string    `json:"note,omitempty"`
	CreatedBy    string    `json:"createdBy"`
	CreatedAt    time.Time `json:"createdAt"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

func (a *routes) showLink(l connection.SetupLink) SetupLinkBody {
	return SetupLinkBody{string(l.ID), string(l.Intent), l.State(a.Now()), string(l.Connection), l.Domain, l.Note,
		l.CreatedBy, l.CreatedAt, l.ExpiresAt}
}

func (a *routes) registerSetupLinks() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/setup-links", "sso:read"), v1.Op("List set-up links"),
		a.listLinks)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/setup-links", "sso:update")),
		v1.Created("Make a link with which a customer's technician sets company sign-in up"), a.makeLink)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/setup-links/{id}", "sso:read"), v1.Op("Get a set-up link"),
		a.getLink)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodDelete, "/v1/setup-links/{id}", "sso:update")),
		v1.Deleted("Revoke a set-up link"), a.revokeLink)

	own := func(method, pattern string) web.Route {
		r := v1.Self(method, pattern, "what the set-up link itself is for")
		r.Accepts = web.SettingUp
		return r
	}
	v1.Register(a.API, own(http.MethodGet, "/v1/connection-setup"),
		v1.Op("What a set-up link is for, and what to enter at the provider"), a.linkWork)
	v1.Register(a.API, described(own(http.MethodPut, "/v1/connection-setup/connection")),
		v1.Op("Describe the provider: makes the draft of a connection, or changes it", http.StatusForbidden,
			http.StatusConflict), a.setUp)
	v1.Register(a.API, own(http.MethodPost, "/v1/connection-setup/test"),
		v1.Created("Prepare a test sign-in with the link's connection", http.StatusForbidden), a.testSetUp)
	v1.Register(a.API, own(http.MethodGet, "/v1/connection-setup/tests/{handle}"),
		v1.Op("What a test sign-in with the link's connection found", http.StatusForbidden), a.setUpTested)
	v1.Register(a.API, own(http.MethodPut, "/v1/connection-setup/domain"),
		v1.Op("Name the domain to prove", http.StatusForbidden, http.StatusConflict), a.setUpDomain)
	v1.Register(a.API, own(http.MethodPost, "/v1/connection-setup/domain/verify"),
		v1.Op("Look for the TXT record of the link's domain now", http.StatusForbidden, http.StatusConflict),
		a.verifySetUp)
}

func (a *routes) listLinks(ctx context.Context, c v1.Call, in *pageInput) (*v1.ListOutput[SetupLinkBody], error) {
	after, err := a.Position(in.Page, c, "setup-links")
	if err != nil {
		return nil, err
	}
	rows, err := a.Connections.ListLinks(ctx, c.Principal, id.SetupLink(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "setup-links", nil, rows,
		func(l connection.SetupLink) string { return string(l.ID) }, a.showLink), nil
}

type makeLinkInput struct {
	Body struct {
		Intent       string `json:"intent" enum:"sso,domain,certificate" doc:"sso: make a connection, as a draft. domain: prove one domain. certificate: renew the metadata or client secret of one connection"`
		ConnectionID string `json:"connectionId,omitempty" maxLength:"40" doc:"certificate: of which connection"`
		Note         string `json:"note,omitempty" maxLength:"200" doc:"For whom it is"`
	}
}

type madeLink struct {
	SetupLinkBody
	Token string `json:"token" doc:"To hand to the technician: the credential of /v1/connection-setup (Authorization: Bearer); shown only now"`
}

func (a *routes) makeLink(ctx context.Context, c v1.Call, in *makeLinkInput) (*v1.CreatedOutput[madeLink], error) {
	of, err := v1.OptionalID[id.Connection]("connectionId", in.Body.ConnectionID)
	if err != nil {
		return nil, err
	}
	l, value, err := a.Connections.MakeLink(ctx, c.Principal, connection.SetupLink{
		Intent: connection.Intent(in.Body.Intent), Connection: of, Note: in.Body.Note})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/setup-links/"+string(l.ID),
		madeLink{a.showLink(l), value.Reveal()}), nil
}

func (a *routes) getLink(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[SetupLinkBody], error) {
	i, err := v1.PathID[id.SetupLink](in.ID)
	if err != nil {
		return nil, err
	}
	l, err := a.Connections.GetLink(ctx, c.Principal, i)
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showLink(l)), nil
}

func (a *routes) revokeLink(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	i, err := v1.PathID[id.SetupLink](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Connections.RevokeLink(ctx, c.Principal, i)
}

// SetUpConnection is what a technician sees of a connection.
type SetUpConnection struct {
	ID          string                `json:"id"`
	Kind        string                `json:"kind" enum:"azure-ad,google,oidc,saml"`
	Name        string                `json:"name"`
	State       string                `json:"state" enum:"draft,active,off" doc:"An administrator of the organization makes a draft active"`
	OpenID      *connection.OpenID    `json:"openId,omitempty"`
	SAML        *connection.Assertion `json:"saml,omitempty"`
	Mapping     connection.Mapping    `json:"mapping"`
	OwnAddress  bool                  `json:"ownAddress"`
	HasSecret   bool                  `json:"hasClientSecret"`
	CallbackURL string                `json:"callbackUrl" doc:"What the provider must know as redirect address (saml: assertion consumer service)"`
	OwnEntityID string                `json:"serviceProviderEntityId,omitempty" doc:"saml: what this server calls itself to the provider"`
	MetadataURL string                `json:"serviceProviderMetadataUrl,omitempty" doc:"saml: this server's metadata for the connection, with its keys"`
	LogoutURL   string                `json:"logoutUrl" doc:"Where the provider says that sessions have ended"`
}

func (a *routes) showSetUp(c connection.Connection) SetUpConnection {
	b := a.showConnection(c)
	return SetUpConnection{b.ID, b.Kind, b.Name, b.State, b.OpenID, b.SAML, b.Mapping, b.OwnAddress, b.HasSecret,
		b.CallbackURL, b.OwnEntityID, b.MetadataURL, b.LogoutURL}
}

// SetUpWork is what a set-up link is for, and what there is of it.
type SetUpWork struct {
	Intent       string            `json:"intent" enum:"sso,domain,certificate"`
	Organization string            `json:"organization" doc:"The name of whom it is for"`
	ExpiresAt    time.Time         `json:"expiresAt"`
	Connection   *SetUpConnection  `json:"connection,omitempty"`
	Domain       *DomainBody       `json:"domain,omitempty"`
	CallbackURLs map[string]string `json:"callbackUrls,omitempty" doc:"sso: the redirect address for each kind, as the provider must know it"`
	EntityID     string            `json:"serviceProviderEntityId,omitempty" doc:"sso: what this server calls itself to SAML providers"`
	MetadataURL  string            `json:"serviceProviderMetadataUrl,omitempty" doc:"sso: this server's SAML metadata"`
}

func (a *routes) linkWork(ctx context.Context, c v1.Call, _ *struct{}) (*v1.Output[SetUpWork], error) {
	w, err := a.Connections.BehindLink(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	out := SetUpWork{Intent: string(w.Link.Intent), Organization: w.Organization.Name, ExpiresAt: w.Link.ExpiresAt}
	if w.Link.Intent == connection.ForSSO {
		out.CallbackURLs = make(map[string]string)
		for _, k := range connection.Kinds {
			out.CallbackURLs[string(k)] = a.PublicURL.String() + sso.SharedCallback(k)
		}
		out.EntityID = a.SSO.SAML.SharedEntityID()
		out.MetadataURL = a.PublicURL.String() + "/v1/auth/sso/saml/metadata"
	}
	if w.Connection != nil {
		shown := a.showSetUp(*w.Connection)
		out.Connection = &shown
	}
	if w.Domain != nil {
		shown := showDomain(*w.Domain)
		out.Domain = &shown
	}
	return v1.Out(out), nil
}

type setUpInput struct {
	Body struct {
		Kind string `json:"kind,omitempty" enum:"azure-ad,google,oidc,saml" doc:"sso: required"`
		Name string `json:"name,omitempty" maxLength:"100" doc:"sso: required"`
		ProviderFields
	}
}

func (a *routes) setUp(ctx context.Context, c v1.Call, in *setUpInput) (*v1.Output[SetUpConnection], error) {
	made, err := a.Connections.SetUp(ctx, c.Principal, connection.Kind(in.Body.Kind), in.Body.Name,
		a.SSO.Suspicious, func(c *connection.Connection) error {
			in.Body.apply(c)
			if in.Body.SAML != nil && c.Kind == connection.SAML {
				return a.SSO.Describe(ctx, c.Assertion)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showSetUp(made)), nil
}

func (a *routes) testSetUp(ctx context.Context, c v1.Call, _ *struct{}) (*v1.CreatedOutput[PreparedTest], error) {
	of, err := a.Connections.OfLink(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return a.prepareTest(ctx, c, of, "/v1/connection-setup/tests/")
}

func (a *routes) setUpTested(ctx context.Context, c v1.Call, in *struct {
	Handle string `path:"handle" maxLength:"100"`
}) (*v1.Output[sso.TestResult], error) {
	of, err := a.Connections.OfLink(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	r, err := a.SSO.TestResult(ctx, c.Principal, of, secret.New(in.Handle))
	if err != nil {
		return nil, err
	}
	return v1.Out(r), nil
}

func (a *routes) setUpDomain(ctx context.Context, c v1.Call, in *struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"253"`
	}
}) (*v1.Output[DomainBody], error) {
	return shownDomain(a.Connections.SetUpDomain(ctx, c.Principal, in.Body.Name))
}

func (a *routes) verifySetUp(ctx context.Context, c v1.Call, _ *struct{}) (*v1.Output[DomainBody], error) {
	return shownDomain(a.Connections.VerifyOwnDomain(ctx, c.Principal))
}
