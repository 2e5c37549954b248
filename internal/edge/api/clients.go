package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// clientAuthentication is how a client proves who it is.
type clientAuthentication struct {
	Method      string         `json:"method" enum:"client_secret,private_key_jwt,tls_client_auth,self_signed_tls_client_auth" doc:"client_secret: by the Basic header or in the form"`
	JWKS        map[string]any `json:"jwks,omitempty" doc:"private_key_jwt: the client's public keys (RFC 7517)"`
	JWKSURI     string         `json:"jwksUri,omitempty" maxLength:"1000" doc:"private_key_jwt: where the keys are instead; https, a public address"`
	SubjectDN   string         `json:"subjectDn,omitempty" maxLength:"500" doc:"tls_client_auth: the subject of the certificate (RFC 4514)"`
	SANDNS      string         `json:"sanDns,omitempty" maxLength:"500" doc:"tls_client_auth: or a DNS name of it"`
	SANURI      string         `json:"sanUri,omitempty" maxLength:"500" doc:"tls_client_auth: or a URI of it"`
	Thumbprints []string       `json:"thumbprints,omitempty" nullable:"false" maxItems:"10" doc:"self_signed_tls_client_auth: SHA-256 of each certificate in base64url (x5t#S256)"`
}

func (b *clientAuthentication) read() (client.Authentication, error) {
	if b == nil {
		return client.Authentication{Method: client.Secret}, nil
	}
	a := client.Authentication{Method: client.Method(b.Method), JWKSURI: b.JWKSURI, SubjectDN: b.SubjectDN,
		SANDNS: b.SANDNS, SANURI: b.SANURI, Thumbprints: b.Thumbprints}
	if b.JWKS != nil {
		raw, err := json.Marshal(b.JWKS)
		if err != nil {
			return a, fault.Invalidf("authentication.jwks", "must be a JSON Web Key Set")
		}
		a.JWKS = &jose.JSONWebKeySet{}
		if err := json.Unmarshal(raw, a.JWKS); err != nil {
			return a, fault.Invalidf("authentication.jwks", "must be a JSON Web Key Set with keys of known types")
		}
	}
	return a, nil
}

func showAuthentication(a client.Authentication) clientAuthentication {
	b := clientAuthentication{Method: string(a.Method), JWKSURI: a.JWKSURI, SubjectDN: a.SubjectDN, SANDNS: a.SANDNS,
		SANURI: a.SANURI, Thumbprints: a.Thumbprints}
	if a.JWKS != nil {
		if raw, err := json.Marshal(a.JWKS); err == nil {
			_ = json.Unmarshal(raw, &b.JWKS)
		}
	}
	return b
}

type ClientBody struct {
	ID                     string               `json:"id" doc:"The client_id"`
	Name                   string               `json:"name"`
	Description            string               `json:"description"`
	State                  string               `json:"state" enum:"active,off"`
	Authentication         clientAuthentication `json:"authentication"`
	Permissions            []string             `json:"permissions" nullable:"false"`
	TokenLifetimeSeconds   int64                `json:"tokenLifetimeSeconds"`
	RefreshTokens          bool                 `json:"refreshTokens" doc:"Whether it gets refresh tokens"`
	CertificateBoundTokens bool                 `json:"certificateBoundTokens" doc:"Its tokens work only over a connection with its certificate (RFC 8705)"`
	RateLimitPerMinute     *int                 `json:"rateLimitPerMinute" doc:"null: no limit"`
	AllowedAddresses       []string             `json:"allowedAddresses" nullable:"false"`
	CreatedAt              time.Time            `json:"createdAt"`
	CreatedBy              string               `json:"createdBy"`
	UpdatedAt              time.Time            `json:"updatedAt"`
	LastUsedAt             *time.Time           `json:"lastUsedAt"`
}

func showClient(c client.Client) ClientBody {
	return ClientBody{string(c.ID), c.Name, c.Description, string(c.State), showAuthentication(c.Authentication),
		c.Permissions.Strings(), int64(c.TokenLifetime / time.Second), c.RefreshAllowed,
		c.CertificateBound, limitOf(c.RateLimit), prefixTexts(c.Addresses), c.CreatedAt, c.CreatedBy, c.UpdatedAt,
		v1.Moment(c.LastUsedAt)}
}

func (a *routes) registerClients() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/clients", "clients:read"), v1.Op("List OAuth clients"),
		a.listClients)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/clients", "clients:create")),
		v1.Created("Make an OAuth client"),
		a.createClient)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/clients/{id}", "clients:read"), v1.Op("Get an OAuth client"),
		a.getClient)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/clients/{id}", "clients:update")),
		v1.Op("Change an OAuth client", http.StatusConflict), a.updateClient)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/clients/{id}", "clients:delete"),
		v1.Deleted("Delete an OAuth client for good"), a.deleteClient)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/clients/{id}/secrets", "clients:read"),
		v1.Op("List a client's secrets"),
		a.listSecrets)
	v1.Register(a.API, v1.StepUp(v1.People(http.MethodPost, "/v1/clients/{id}/secrets", "clients:update")),
		v1.Created("Make another secret for a client"), a.createSecret)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/clients/{id}/secrets/{secretId}", "clients:read"),
		v1.Op("Get a client's secret without its value"), a.getSecret)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/clients/{id}/secrets/{secretId}", "clients:update")),
		v1.Op("Change a client's secret", http.StatusConflict), a.updateSecret)
	v1.Register(a.API,
		v1.StepUp(v1.People(http.MethodPost, "/v1/clients/{id}/secrets/{secretId}/rotate", "clients:update")),
		v1.Op("Give a client's secret a new value", http.StatusConflict), a.rotateSecret)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/clients/{id}/secrets/{secretId}", "clients:delete"),
		v1.Deleted("Revoke a client's secret, and every token got with it"), a.revokeSecret)
}

func (a *routes) listClients(ctx context.Context, c v1.Call, in *searchInput) (*v1.ListOutput[ClientBody], error) {
	return v1.Searched(a.API, in.Search, in.Page, c, "clients", nil,
		func(after string) ([]client.Client, error) {
			return a.Clients.List(ctx, c.Principal, id.Client(after), in.Limit+1)
		},
		func(q search.Query, after string) ([]search.Hit[client.Client], error) {
			return a.Clients.Search(ctx, c.Principal, q, id.Client(after), in.Limit+1)
		},
		func(c client.Client) string { return string(c.ID) }, showClient)
}

type createClientInput struct {
	Body struct {
		Name                   string                `json:"name" minLength:"1" maxLength:"200"`
		Description            string                `json:"description,omitempty" maxLength:"500"`
		Permissions            []string              `json:"permissions" nullable:"false" maxItems:"200" doc:"With the scope all; none that you do not hold"`
		Authentication         *clientAuthentication `json:"authentication,omitempty" doc:"A client secret if left out"`
		TokenLifetimeSeconds   int64                 `json:"tokenLifetimeSeconds,omitempty" minimum:"60" maximum:"86400" doc:"3600 if left out"`
		RefreshTokens          bool                  `json:"refreshTokens,omitempty"`
		CertificateBoundTokens *bool                 `json:"certificateBoundTokens,omitempty" doc:"true if left out and the client authenticates by certificate"`
		RateLimitPerMinute     int                   `json:"rateLimitPerMinute,omitempty" minimum:"1" maximum:"100000" doc:"No limit if left out"`
		AllowedAddresses       []string              `json:"allowedAddresses,omitempty" maxItems:"100" nullable:"false"`
	}
}

type createdClient struct {
	ClientBody
	ClientSecret *string `json:"clientSecret" doc:"The first secret, shown only now; null if the client authenticates otherwise"`
}

func (a *routes) createClient(ctx context.Context, c v1.Call, in *createClientInput) (*v1.CreatedOutput[createdClient],
	error) {
	b := in.Body
	how, err := b.Authentication.read()
	if err != nil {
		return nil, err
	}
	addresses, err := credential.ParseAddresses(b.AllowedAddresses)
	if err != nil {
		return nil, err
	}
	f := client.Fields{Client: client.Client{Name: b.Name, Description: b.Description, Authentication: how,
		TokenLifetime: time.Duration(b.TokenLifetimeSeconds) * time.Second, RefreshAllowed: b.RefreshTokens,
		CertificateBound: how.Method == client.TLS || how.Method == client.SelfSignedTLS,
		RateLimit:        b.RateLimitPerMinute, Addresses: addresses}, PermissionList: b.Permissions}
	v1.Set(&f.CertificateBound, b.CertificateBoundTokens)
	made, value, err := a.Credentials.CreateClient(ctx, c.Principal, f)
	if err != nil {
		return nil, err
	}
	res := createdClient{ClientBody: showClient(made)}
	if !value.IsZero() {
		plain := value.Reveal()
		res.ClientSecret = &plain
	}
	return v1.CreatedAt("/v1/clients/"+string(made.ID), res), nil
}

func (a *routes) getClient(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[ClientBody], error) {
	found, err := a.findClient(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	return v1.Out(showClient(found)), nil
}

func (a *routes) findClient(ctx context.Context, c v1.Call, in v1.IDInput) (client.Client, error) {
	i, err := v1.PathID[id.Client](in.ID)
	if err != nil {
		return client.Client{}, err
	}
	return a.Clients.Get(ctx, c.Principal, i)
}

type updateClientInput struct {
	v1.IDInput
	Body struct {
		Name                   *string               `json:"name,omitempty" maxLength:"200"`
		Description            *string               `json:"description,omitempty" maxLength:"500"`
		State                  *string               `json:"state,omitempty" enum:"active,off"`
		Permissions            []string              `json:"permissions,omitempty" maxItems:"200" nullable:"false"`
		Authentication         *clientAuthentication `json:"authentication,omitempty"`
		TokenLifetimeSeconds   *int64                `json:"tokenLifetimeSeconds,omitempty" minimum:"60" maximum:"86400"`
		RefreshTokens          *bool                 `json:"refreshTokens,omitempty"`
		CertificateBoundTokens *bool                 `json:"certificateBoundTokens,omitempty"`
		RateLimitPerMinute     v1.Nullable[int]      `json:"rateLimitPerMinute,omitempty"`
		AllowedAddresses       []string              `json:"allowedAddresses,omitempty" maxItems:"100" nullable:"false"`
	}
}

func (a *routes) updateClient(ctx context.Context, c v1.Call, in *updateClientInput) (*v1.Output[ClientBody], error) {
	i, err := v1.PathID[id.Client](in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	how, err := b.Authentication.read()
	if err != nil {
		return nil, err
	}
	addresses, err := credential.ParseAddresses(b.AllowedAddresses)
	if err != nil {
		return nil, err
	}
	if n := b.RateLimitPerMinute.Value; n != nil && *n < 1 {
		return nil, fault.Invalidf("rateLimitPerMinute", "must be at least 1, or null for none")
	}
	changed, err := a.Clients.Update(ctx, c.Principal, i, func(f *client.Fields) {
		v1.Set(&f.Name, b.Name)
		v1.Set(&f.Description, b.Description)
		if b.State != nil {
			f.State = client.State(*b.State)
		}
		if b.Permissions != nil {
			f.PermissionList = sorted(b.Permissions)
		}
		if b.Authentication != nil {
			f.Authentication = how
		}
		if b.TokenLifetimeSeconds != nil {
			f.TokenLifetime = time.Duration(*b.TokenLifetimeSeconds) * time.Second
		}
		v1.Set(&f.RefreshAllowed, b.RefreshTokens)
		v1.Set(&f.CertificateBound, b.CertificateBoundTokens)
		if b.RateLimitPerMinute.Set {
			f.RateLimit = 0
			v1.Set(&f.RateLimit, b.RateLimitPerMinute.Value)
		}
		if b.AllowedAddresses != nil {
			f.Addresses = addresses
		}
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showClient(changed)), nil
}

// sorted is a list of permissions as it will be stored; one with a wrong entry stays as it is, for the service to name
// what is wrong.
func sorted(list []string) []string {
	if set := permission.ParseKnown(list); set.Len() == len(list) {
		return set.Strings()
	}
	return list
}

func (a *routes) deleteClient(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	i, err := v1.PathID[id.Client](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Credentials.DeleteClient(ctx, c.Principal, i)
}

type secretsInput struct {
	v1.Page
	v1.IDInput
	State string `query:"state" enum:"active,off,revoked"`
}

func (a *routes) listSecrets(ctx context.Context, c v1.Call, in *secretsInput) (*v1.ListOutput[CredentialBody], error) {
	owner, err := a.findClient(ctx, c, in.IDInput)
	if err != nil {
		return nil, err
	}
	after, err := a.Position(in.Page, c, "client-secrets", string(owner.ID), in.State)
	if err != nil {
		return nil, err
	}
	rows, err := a.Credentials.List(ctx, c.Principal, credential.ClientSecret,
		credential.Filter{Owner: string(owner.ID), State: credential.State(in.State), Past: id.Credential(after),
			Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "client-secrets", []string{string(owner.ID), in.State}, rows,
		func(c credential.Credential) string { return string(c.ID) }, a.showCredential), nil
}

type createSecretInput struct {
	v1.IDInput
	Body struct {
		Name      string     `json:"name" minLength:"1" maxLength:"200"`
		Purpose   string     `json:"purpose,omitempty" maxLength:"500" doc:"The name if left out"`
		ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"Never, if left out"`
	}
}

func (a *routes) createSecret(ctx context.Context, c v1.Call, in *createSecretInput) (*v1.CreatedOutput[issuedSecret],
	error) {
	owner, err := a.findClient(ctx, c, in.IDInput)
	if err != nil {
		return nil, err
	}
	i, err := a.Credentials.IssueClientSecret(ctx, c.Principal, owner, in.Body.Name, in.Body.Purpose,
		timeOf(in.Body.ExpiresAt))
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/clients/"+string(owner.ID)+"/secrets/"+string(i.ID),
		a.issuedSecret(i)), nil
}

// SecretInput names a secret of a client.
type SecretInput struct {
	ClientID string `path:"id" maxLength:"40"`
	SecretID string `path:"secretId" maxLength:"40"`
}

// findSecret makes sure that the secret is the client's.
func (a *routes) findSecret(ctx context.Context, c v1.Call, in SecretInput) (id.Credential, error) {
	owner, err := a.findClient(ctx, c, v1.IDInput{ID: in.ClientID})
	if err != nil {
		return "", err
	}
	secretID, err := credential.ClientSecret.ParseID(in.SecretID)
	if err != nil {
		return "", fault.NotFoundf("There is no such credential.")
	}
	found, err := a.Credentials.Get(ctx, c.Principal, credential.ClientSecret, secretID)
	if err == nil && found.Owner.ID != string(owner.ID) {
		err = fault.NotFoundf("There is no such credential.")
	}
	return secretID, err
}

func (a *routes) getSecret(ctx context.Context, c v1.Call, in *SecretInput) (*v1.Output[CredentialBody], error) {
	s, err := a.findSecret(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	found, err := a.Credentials.Get(ctx, c.Principal, credential.ClientSecret, s)
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showCredential(found)), nil
}

type updateSecretInput struct {
	SecretInput
	Body struct {
		Name      *string                `json:"name,omitempty" maxLength:"200"`
		Purpose   *string                `json:"purpose,omitempty" maxLength:"500"`
		State     *string                `json:"state,omitempty" enum:"active,off"`
		ExpiresAt v1.Nullable[time.Time] `json:"expiresAt,omitempty" doc:"null: never"`
	}
}

func (a *routes) updateSecret(ctx context.Context, c v1.Call, in *updateSecretInput) (*v1.Output[CredentialBody],
	error) {
	s, err := a.findSecret(ctx, c, in.SecretInput)
	if err != nil {
		return nil, err
	}
	changed, err := a.Credentials.Update(ctx, c.Principal, credential.ClientSecret, s,
		func(ch *credential.Change) error {
			v1.Set(&ch.Name, in.Body.Name)
			v1.Set(&ch.Purpose, in.Body.Purpose)
			if in.Body.State != nil {
				ch.State = credential.State(*in.Body.State)
			}
			if in.Body.ExpiresAt.Set {
				ch.ExpiresAt = timeOf(in.Body.ExpiresAt.Value)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return v1.Out(a.showCredential(changed)), nil
}

type rotateSecretInput struct {
	SecretInput
	Body *struct {
		OverlapSeconds int64 `json:"overlapSeconds,omitempty" minimum:"0" maximum:"2592000" doc:"How long the present value goes on working; 0: it stops now"`
	} `required:"false"`
}

func (a *routes) rotateSecret(ctx context.Context, c v1.Call, in *rotateSecretInput) (*v1.Output[issuedSecret], error) {
	s, err := a.findSecret(ctx, c, in.SecretInput)
	if err != nil {
		return nil, err
	}
	overlap := time.Duration(0)
	if in.Body != nil {
		overlap = time.Duration(in.Body.OverlapSeconds) * time.Second
	}
	i, err := a.Credentials.Rotate(ctx, c.Principal, credential.ClientSecret, s, overlap)
	if err != nil {
		return nil, err
	}
	return v1.Out(a.issuedSecret(i)), nil
}

func (a *routes) revokeSecret(ctx context.Context, c v1.Call, in *SecretInput) (*v1.Nothing, error) {
	s, err := a.findSecret(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	return nil, a.Credentials.Revoke(ctx, c.Principal, credential.ClientSecret, s)
}
