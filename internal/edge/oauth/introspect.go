package oauth

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// answer is what introspection tells (RFC 7662 §2.2), and what our principals have besides.
type answer struct {
	Active           bool                `json:"active"`
	Scope            string              `json:"scope,omitzero"`
	ClientID         string              `json:"client_id,omitzero"`
	Username         string              `json:"username,omitzero"`
	TokenType        string              `json:"token_type,omitzero"`
	Expires          int64               `json:"exp,omitzero"`
	IssuedAt         int64               `json:"iat,omitzero"`
	Subject          string              `json:"sub,omitzero"`
	Audience         string              `json:"aud,omitzero"`
	Issuer           string              `json:"iss,omitzero"`
	ID               string              `json:"jti,omitzero"`
	Kind             string              `json:"kind,omitzero"`
	OrganizationID   string              `json:"organizationId,omitzero"`
	OrganizationSlug string              `json:"organization,omitzero"`
	Role             string              `json:"role,omitzero"`
	Name             string              `json:"name,omitzero"`
	Owner            string              `json:"ownerId,omitzero"`
	SessionID        string              `json:"sessionId,omitzero"`
	Permissions      []string            `json:"permissions,omitzero"`
	AllowedAddresses []string            `json:"allowedAddresses,omitzero"`
	Confirmation     *token.Confirmation `json:"cnf,omitzero"`
}

// jwtAnswer is the media type of a signed answer (RFC 9701 §4).
const jwtAnswer = "application/token-introspection+jwt"

// introspect tells a client about its own tokens and, with introspection:read:all, about those of its organization. A
// client of the platform that may read all organizations too is told about everyone's, since it guards an API of many
// tenants. Any other client of the organization learns that a token is active, and no more: what a token says of a
// person is not for everybody (RFC 7662 §2.2, §5). Whatever else a token is (unknown, ended, another tenant's), it is
// just not active.
func (o *server) introspect(w http.ResponseWriter, r *http.Request, form url.Values) error {
	proof, err := o.client(w, r, form)
	if err != nil {
		return err
	}
	value := form.Get("token")
	if value == "" {
		return fault.New(fault.Invalid, fault.CodeValidation, "token is missing.")
	}
	asker := proof.Client
	home, err := o.Organizations.Facts(r.Context(), asker.Organization)
	if err != nil {
		return err
	}
	everywhere := home.Platform && asker.Permissions.Scope(permission.PlatformResource, "read") == permission.All
	i, err := o.Authenticator.Inspect(r.Context(), value)
	if err != nil && !authn.Refused(err) {
		return err
	}
	a := answer{}
	switch reads := asker.Permissions.Scope("introspection", "read") == permission.All; {
	case err != nil:
	case i.Client == asker.ID, reads && (everywhere || i.Principal.Home == asker.Organization):
		a = o.describe(i)
	case i.Principal.Home == asker.Organization:
		a.Active = true
	}
	if !wantsJWT(r) {
		return writeJSON(w, a)
	}
	signed, err := o.Tokens.SignIntrospection(string(asker.ID), a)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jwtAnswer)
	_, _ = w.Write([]byte(signed))
	return nil
}

func wantsJWT(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if t, _, err := mime.ParseMediaType(part); err == nil && t == jwtAnswer {
			return true
		}
	}
	return false
}

func (o *server) describe(i authn.Inspection) answer {
	p := i.Principal
	a := answer{Active: true, Kind: string(p.Kind), Subject: p.ID, Issuer: o.Tokens.Issuer(),
		ClientID: string(i.Client), TokenType: "Bearer", Audience: i.Audience, ID: i.JTI,
		IssuedAt: i.IssuedAt.Unix(), OrganizationID: string(p.Organization), OrganizationSlug: p.OrganizationSlug,
		Role: p.WholeRole(), Name: p.Name, Owner: string(p.Owner), SessionID: string(p.Session)}
	if i.Kind == authn.RefreshToken {
		a.TokenType = "refresh_token"
	} else {
		a.Permissions = p.Permissions.Strings()
		a.Scope = p.Permissions.Line()
	}
	if i.Kind == authn.APIKey {
		a.TokenType = "api_key"
	}
	if p.Kind == principal.User {
		a.Username = p.Email
	}
	if !i.ExpiresAt.IsZero() {
		a.Expires = i.ExpiresAt.Unix()
	}
	for _, network := range i.Addresses {
		a.AllowedAddresses = append(a.AllowedAddresses, network.String())
	}
	if i.Thumbprint != "" {
		a.Confirmation = &token.Confirmation{Thumbprint: i.Thumbprint}
	}
	return a
}
