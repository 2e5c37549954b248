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

// ConnectionBody is a connection without its secrets.
type ConnectionBody struct {
	ID           string                  `json:"id"`
	Kind         string                  `json:"kind" enum:"azure-ad,google,oidc,saml"`
	Name         string                  `json:"name"`
	State        string                  `json:"state" enum:"draft,active,off"`
	OpenID       *connection.OpenID      `json:"openId,omitempty"`
	SAML         *connection.Assertion   `json:"saml,omitempty"`
	Mapping      connection.Mapping      `json:"mapping"`
	Roles        connection.Roles        `json:"roles"`
	Provisioning connection.Provisioning `json:"provisioning"`
	Trust        connection.Trust        `json:"trust"`
	OwnAddress   bool                    `json:"ownAddress" doc:"The provider answers at an address of this connection alone"`
	Ceiling      string                  `json:"ceiling" doc:"The role of whoever last decided on roles: nobody comes in who may do more"`
	CallbackURL  string                  `json:"callbackUrl" doc:"What the provider must know as redirect address (saml: assertion consumer service)"`
	OwnEntityID  string                  `json:"serviceProviderEntityId,omitempty" doc:"saml: what this server calls itself to the provider"`
	MetadataURL  string                  `json:"serviceProviderMetadataUrl,omitempty" doc:"saml: this server's metadata for the connection, with its keys"`
	LogoutURL    string                  `json:"logoutUrl" doc:"Where the provider says that sessions have ended: OpenID Connect Back-Channel Logout, or (saml) SingleLogoutService"`
	OwnKeys      []OwnKeyBody            `json:"serviceProviderKeys,omitempty" doc:"saml: the keys of this server. Each decrypts; the first signs"`
	Upkeep       connection.Upkeep       `json:"upkeep" doc:"What the server found when it last looked after the connection"`
	HasSecret    bool                    `json:"hasClientSecret"`
	CreatedAt    time.Time               `json:"createdAt"`
	CreatedBy    string                  `json:"createdBy"`
	UpdatedAt    time.Time               `json:"updatedAt"`
}

// OwnKeyBody is a key of this server toward a SAML provider.
type OwnKeyBody struct {
	Fingerprint string    `json:"fingerprint" doc:"SHA-256 of its certificate"`
	NotAfter    time.Time `json:"notAfter"`
	Signs       bool      `json:"signs"`
	CreatedAt   time.Time `json:"createdAt"`
}

func (a *routes) showConnection(c connection.Connection) ConnectionBody {
	b := ConnectionBody{ID: string(c.ID), Kind: string(c.Kind), Name: c.Name, State: string(c.State), OpenID: c.OpenID,
		SAML: c.Assertion, Mapping: c.Mapping, Roles: c.Roles, Provisioning: c.Provisioning, Trust: c.Trust,
		OwnAddress: c.OwnAddress, Ceiling: c.Ceiling, CallbackURL: a.SSO.Callback(c),
		HasSecret: !c.Secrets.ClientSecret.IsZero(), CreatedAt: c.CreatedAt, CreatedBy: c.CreatedBy,
		UpdatedAt: c.UpdatedAt, Upkeep: c.Upkeep}
	if c.Kind == connection.SAML {
		b.OwnEntityID = a.SSO.SAML.EntityID(c)
		b.MetadataURL = a.PublicURL.String() + "/v1/auth/sso/connections/" + string(c.ID) + "/metadata"
		b.LogoutURL = a.SSO.SAML.LogoutAddress(c)
	} else {
		b.LogoutURL = a.PublicURL.String() + "/v1/auth/sso/connections/" + string(c.ID) + "/backchannel-logout"
	}
	for i, k := range c.Secrets.Keys {
		fingerprint, until := k.Fingerprint()
		b.OwnKeys = append(b.OwnKeys, OwnKeyBody{fingerprint, until, i == 0, k.CreatedAt})
	}
	return b
}

func (a *routes) registerConnections() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/connections", "sso:read"),
		v1.Op("List connections to identity providers"), a.listConnections)
	v1.Register(a.API, described(v1.StepUp(v1.People(http.MethodPost, "/v1/connections", "sso:create"))),
		v1.Created("Make a connection, as a draft"), a.createConnection)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/connections/{id}", "sso:read"), v1.Op("Get a connection"),
		a.getConnection)
	v1.Register(a.API, described(v1.StepUp(v1.People(http.MethodPatch, "/v1/connections/{id}", "sso:update"))),
		v1.Op("Change a connection, or switch it on or off", http.StatusConflict), a.updateConnection)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodDelete, "/v1/connections/{id}", "sso:delete")),
		v1.Deleted("Delete a connection, with everybody's identity in it"), a.deleteConnection)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/connections/{id}/keys", "sso:update")),
		v1.Created("Make another key of this server toward a SAML provider"), a.addKey)
	v1.Register(a.API,
		v1.StepUp(v1.People(http.MethodPost, "/v1/connections/{id}/keys/{fingerprint}/use", "sso:update")),
		v1.Op("Sign with a key from now on", http.StatusConflict), a.useKey)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodDelete, "/v1/connections/{id}/keys/{fingerprint}", "sso:update")),
		v1.Deleted("Remove a key that does not sign", http.StatusConflict), a.dropKey)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/connections/{id}/test", "sso:update")),
		v1.Created("Prepare a test sign-in, which creates nothing"), a.testConnection)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/connections/{id}/tests/{handle}", "sso:read"),
		v1.Op("What a test sign-in found"), a.testResult)

	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/users/{id}/identities", "users:read"),
		v1.Op("Who a user is at the organization's identity providers"), a.listIdentities)
	v1.Register(a.API,
		v1.StepUp(v1.People(http.MethodDelete, "/v1/users/{id}/identities/{connectionId}", "sso:update")),
		v1.Deleted("Unlink a user from an identity provider, and end the sessions that began there"), a.unlink)

	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/domains", "sso:read"),
		v1.Op("List the organization's domains"), a.listDomains)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/domains", "sso:create")),
		v1.Created("Name a domain, to prove it by a TXT record"), a.addDomain)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/domains/{name}", "sso:read"), v1.Op("Get a domain"),
		a.getDomain)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/domains/{name}/verify", "sso:update")),
		v1.Op("Look for the domain's TXT record now", http.StatusConflict), a.verifyDomain)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPatch, "/v1/domains/{name}", "sso:update")),
		v1.Op("Say where the people of a verified domain sign in", http.StatusConflict), a.updateDomain)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodDelete, "/v1/domains/{name}", "sso:delete")),
		v1.Deleted("Let a domain go"), a.deleteDomain)
}

// described lets a body bring the metadata of a provider.
func described(r web.Route) web.Route {
	r.MaxBody = 512 << 10
	return r
}

func (a *routes) listConnections(ctx context.Context, c v1.Call, in *pageInput) (*v1.ListOutput[ConnectionBody],
	error) {
	after, err := a.Position(in.Page, c, "connections")
	if err != nil {
		return nil, err
	}
	rows, err := a.Connections.List(ctx, c.Principal, id.Connection(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "connections", nil, rows,
		func(c connection.Connection) string { return string(c.ID) }, a.showConnection), nil
}

type pageInput struct{ v1.Page }

// ProviderFields are what is said about the provider. Each part that is given replaces the former one.
type ProviderFields struct {
	OpenID       *connection.OpenID    `json:"openId,omitempty" doc:"For the kinds azure-ad, google and oidc"`
	SAML         *connection.Assertion `json:"saml,omitempty" doc:"For the kind saml"`
	Mapping      *connection.Mapping   `json:"mapping,omitempty"`
	OwnAddress   *bool                 `json:"ownAddress,omitempty" doc:"Let the provider answer at an address of this connection alone"`
	ClientSecret *string               `json:"clientSecret,omitempty" maxLength:"2000" doc:"What the provider gave this server; never shown again"`
	Account      *string               `json:"serviceAccount,omitempty" maxLength:"10000" doc:"google: the JSON file of the service account that reads groups; never shown again"`
	PrivateKey   *string               `json:"privateKey,omitempty" maxLength:"10000" doc:"private_key_jwt: PKCS #8 in PEM; never shown again"`
}

// ConnectionFields are what is decided about a connection, likewise.
type ConnectionFields struct {
	ProviderFields
	Roles        *connection.Roles        `json:"roles,omitempty" doc:"None that gives what you do not hold"`
	Provisioning *connection.Provisioning `json:"provisioning,omitempty"`
	Trust        *connection.Trust        `json:"trust,omitempty"`
}

func (f ConnectionFields) apply(c *connection.Connection) {
	f.ProviderFields.apply(c)
	v1.Set(&c.Roles, f.Roles)
	v1.Set(&c.Provisioning, f.Provisioning)
	v1.Set(&c.Trust, f.Trust)
}

func (f ProviderFields) apply(c *connection.Connection) {
	if f.OpenID != nil {
		c.OpenID = f.OpenID
	}
	if f.SAML != nil {
		c.Assertion = f.SAML
	}
	v1.Set(&c.Mapping, f.Mapping)
	v1.Set(&c.OwnAddress, f.OwnAddress)
	if f.ClientSecret != nil {
		c.Secrets.ClientSecret = secret.New(*f.ClientSecret)
	}
	if f.Account != nil {
		c.Secrets.Account = secret.New(*f.Account)
	}
	if f.PrivateKey != nil {
		c.Secrets.PrivateKey = secret.New(*f.PrivateKey)
	}
}

type createConnectionInput struct {
	Body struct {
		Kind string `json:"kind" enum:"azure-ad,google,oidc,saml"`
		Name string `json:"name" minLength:"1" maxLength:"100"`
		ConnectionFields
	}
}

func (a *routes) createConnection(ctx context.Context, c v1.Call,
	in *createConnectionInput) (*v1.CreatedOutput[ConnectionBody], error) {
	n := connection.Connection{Kind: connection.Kind(in.Body.Kind), Name: in.Body.Name}
	in.Body.apply(&n)
	if n.Kind == connection.SAML {
		if err := a.SSO.Describe(ctx, n.Assertion); err != nil {
			return nil, err
		}
	}
	made, err := a.Connections.Create(ctx, c.Principal, n)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/connections/"+string(made.ID), a.showConnection(made)), nil
}

func (a *routes) findConnection(ctx context.Context, c v1.Call, in v1.IDInput) (connection.Connection, error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return connection.Connection{}, err
	}
	return a.Connections.Get(ctx, c.Principal, i)
}

func (a *routes) getConnection(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[ConnectionBody], error) {
	found, err := a.findConnection(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showConnection(found)), nil
}

type updateConnectionInput struct {
	v1.IDInput
	Body struct {
		Name  *string    `json:"name,omitempty" maxLength:"100"`
		State *string    `json:"state,omitempty" enum:"active,off" doc:"off ends every session that began through it"`
		Seen  *time.Time `json:"updatedAt,omitempty" doc:"As it was read: the change is refused if the connection is another by now. Required to switch on what was made with a set-up link"`
		ConnectionFields
	}
}

func (a *routes) updateConnection(ctx context.Context, c v1.Call,
	in *updateConnectionInput) (*v1.Output[ConnectionBody], error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	changed, err := a.Connections.Update(ctx, c.Principal, i, func(c *connection.Connection) error {
		v1.Set(&c.Name, in.Body.Name)
		v1.Set(&c.Seen, in.Body.Seen)
		if in.Body.State != nil {
			c.State = connection.State(*in.Body.State)
		}
		in.Body.apply(c)
		if in.Body.SAML != nil && c.Kind == connection.SAML {
			return a.SSO.Describe(ctx, c.Assertion)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showConnection(changed)), nil
}

func (a *routes) deleteConnection(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Connections.Delete(ctx, c.Principal, i)
}

func (a *routes) addKey(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.CreatedOutput[ConnectionBody], error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	changed, err := a.Connections.AddKey(ctx, c.Principal, i)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/connections/"+in.ID, a.showConnection(changed)), nil
}

// KeyInput names a key of a connection.
type KeyInput struct {
	v1.IDInput
	Fingerprint string `path:"fingerprint" maxLength:"64"`
}

func (a *routes) useKey(ctx context.Context, c v1.Call, in *KeyInput) (*v1.Output[ConnectionBody], error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	changed, err := a.Connections.UseKey(ctx, c.Principal, i, in.Fingerprint)
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showConnection(changed)), nil
}

func (a *routes) dropKey(ctx context.Context, c v1.Call, in *KeyInput) (*v1.Nothing, error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.Connections.DropKey(ctx, c.Principal, i, in.Fingerprint)
	return nil, err
}

// PreparedTest is a test sign-in that a browser may begin.
type PreparedTest struct {
	Handle    string    `json:"handle" doc:"For GET /v1/connections/{id}/tests/{handle}"`
	URL       string    `json:"url" doc:"Open it in a browser and sign in at the provider"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (a *routes) testConnection(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.CreatedOutput[PreparedTest],
	error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	return a.prepareTest(ctx, c, i, "/v1/connections/"+in.ID+"/tests/")
}

// prepareTest prepares a test whose result is read below a path.
func (a *routes) prepareTest(ctx context.Context, c v1.Call, i id.Connection,
	below string) (*v1.CreatedOutput[PreparedTest], error) {
	handle, until, err := a.SSO.PrepareTest(ctx, c.Principal, i)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt(below+handle.Reveal(), PreparedTest{handle.Reveal(),
		a.PublicURL.String() + "/v1/auth/sso/connections/" + string(i) + "/test?handle=" + handle.Reveal(), until}), nil
}

// TestInput names a test of a connection.
type TestInput struct {
	v1.IDInput
	Handle string `path:"handle" maxLength:"100"`
}

func (a *routes) testResult(ctx context.Context, c v1.Call, in *TestInput) (*v1.Output[sso.TestResult], error) {
	i, err := v1.PathID[id.Connection](in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.SSO.TestResult(ctx, c.Principal, i, secret.New(in.Handle))
	if err != nil {
		return nil, err
	}
	return v1.Out(r), nil
}

// IdentityBody is who a user is at a provider.
type IdentityBody struct {
	ConnectionID string    `json:"connectionId"`
	Subject      string    `json:"subject" doc:"What the provider calls them"`
	Groups       []string  `json:"groups" nullable:"false" doc:"As last told"`
	CreatedAt    time.Time `json:"createdAt"`
	LastUsedAt   time.Time `json:"lastUsedAt"`
}

type identitiesOutput struct {
	Body struct {
		Data []IdentityBody `json:"data" nullable:"false"`
	}
}

func (a *routes) listIdentities(ctx context.Context, c v1.Call, in *v1.IDInput) (*identitiesOutput, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := a.Users.Get(ctx, c.Principal, u); err != nil {
		return nil, err
	}
	list, err := a.Connections.OfUser(ctx, c.Organization, u)
	if err != nil {
		return nil, err
	}
	out := &identitiesOutput{}
	out.Body.Data = make([]IdentityBody, len(list))
	for n, i := range list {
		out.Body.Data[n] = IdentityBody{string(i.Connection), i.Subject, append([]string{}, i.Groups...), i.CreatedAt,
			i.LastUsedAt}
	}
	return out, nil
}

// IdentityInput names who a user is at a connection.
type IdentityInput struct {
	v1.IDInput
	ConnectionID string `path:"connectionId" maxLength:"40"`
}

func (a *routes) unlink(ctx context.Context, c v1.Call, in *IdentityInput) (*v1.Nothing, error) {
	u, err := v1.PathID[id.User](in.ID)
	if err != nil {
		return nil, err
	}
	i, err := v1.PathID[id.Connection](in.ConnectionID)
	if err != nil {
		return nil, err
	}
	return nil, a.SSO.Unlink(ctx, c.Principal, i, u)
}
