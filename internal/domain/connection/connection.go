package connection

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
)

// Kind of connection: which provider, and with that which protocol (A19).
type Kind string

// The kinds. All but SAML speak OpenID Connect.
const (
	Entra  Kind = "azure-ad"
	Google Kind = "google"
	OIDC   Kind = "oidc"
	SAML   Kind = "saml"
)

// Kinds are all of them.
var Kinds = []Kind{Entra, Google, OIDC, SAML}

// State of a connection.
type State string

// A draft lets nobody in; it can be tested. One that is off lets nobody in, and what it let in before is over.
const (
	Draft  State = "draft"
	Active State = "active"
	Off    State = "off"
)

// How a client authenticates at a provider's token endpoint (RFC 8414 §2).
const (
	SecretBasic   = "client_secret_basic"
	SecretPost    = "client_secret_post"
	PrivateKeyJWT = "private_key_jwt"
)

// Connection is one identity provider of one organization.
type Connection struct {
	ID           id.Connection
	Organization id.Organization
	Kind         Kind
	Name         string
	State        State
	Settings
	Secrets   Secrets
	Ceiling   string // a role: nobody comes in who may do more, and no rule gives more
	CreatedBy string
	CreatedAt time.Time
	UpdatedAt time.Time
	EndedAt   time.Time // what it let in until then is over
	Upkeep    Upkeep

	// Seen is which version of it a change was decided on; zero: whichever there is. It is not stored.
	Seen time.Time
}

// Upkeep is what the server found when it looked after a connection.
type Upkeep struct {
	MetadataReadAt time.Time `json:"metadataReadAt,omitzero" doc:"When the provider's metadata was last read"`
	FailingSince   time.Time `json:"failingSince,omitzero" doc:"Since when it cannot be read"`
	Held           string    `json:"held,omitempty" doc:"Why metadata that has changed is not taken over: send the saml part again to take it over"`
	Warnings       []Warning `json:"warnings,omitempty" nullable:"false"`
}

// Warning is something that ends soon or has ended, or metadata that cannot be read.
type Warning struct {
	What string    `json:"what" enum:"certificate,own_certificate,client_secret,metadata" doc:"What it is about: the provider's last certificate, this server's own, or the client secret, which end, or the provider's metadata, which cannot be read"`
	At   time.Time `json:"at" doc:"When it ends; metadata: since when it cannot be read"`
	Days int       `json:"days" doc:"How many days are left at most: 60, 30 or 7; metadata: 7"`
}

// Settings are what an administrator decides. They are stored, and shown, as they are. Which of OpenID and Assertion
// is set follows from the kind.
type Settings struct {
	OpenID       *OpenID      `json:"openId,omitempty"`
	Assertion    *Assertion   `json:"saml,omitempty"`
	Mapping      Mapping      `json:"mapping"`
	Roles        Roles        `json:"roles"`
	Provisioning Provisioning `json:"provisioning"`
	Trust        Trust        `json:"trust"`
	// OwnAddress makes the provider answer at an address of this connection alone.
	OwnAddress bool `json:"ownAddress"`
}

// OpenID is a provider that speaks OpenID Connect.
type OpenID struct {
	Issuer         string     `json:"issuer,omitempty" maxLength:"500" doc:"oidc: the issuer exactly as the provider's discovery document has it. The other kinds have theirs"`
	TenantID       string     `json:"tenantId,omitempty" maxLength:"36" doc:"azure-ad: the directory (tenant) id"`
	Authority      string     `json:"authority,omitempty" maxLength:"200" doc:"azure-ad: the sign-in address of a national cloud; https://login.microsoftonline.com if left out"`
	HostedDomains  []string   `json:"hostedDomains,omitempty" maxItems:"50" nullable:"false" doc:"google: the Workspace domains whose people may come in"`
	ClientID       string     `json:"clientId" minLength:"1" maxLength:"300" doc:"What the provider calls this server"`
	Authentication string     `json:"tokenEndpointAuthMethod,omitempty" enum:"client_secret_basic,client_secret_post,private_key_jwt" doc:"How this server proves itself to the provider; client_secret_basic if left out"`
	KeyID          string     `json:"keyId,omitempty" maxLength:"200" doc:"private_key_jwt: what the provider calls the key (kid); its thumbprint (RFC 7638) if left out"`
	Scopes         []string   `json:"scopes,omitempty" maxItems:"30" nullable:"false" doc:"What is asked for; openid, profile and email if left out"`
	Algorithms     []string   `json:"signingAlgorithms,omitempty" maxItems:"10" nullable:"false" doc:"How its ID tokens may be signed; RS256 if left out"`
	MSAL           *MSAL      `json:"msal,omitempty" doc:"azure-ad: front ends that sign in by themselves and post an access token to /api/users/login/msal"`
	Directory      *Directory `json:"directory,omitempty" doc:"google: where its groups are read, which no token has; rules need it"`
	SecretExpires  string     `json:"clientSecretExpires,omitempty" maxLength:"10" doc:"The day (2027-01-31) on which the client secret runs out, so that the server can warn of it"`
	UserInfo       bool       `json:"userInfo,omitempty" doc:"Read the userinfo endpoint too: some providers say there what the ID token leaves out"`
}

// MSAL is a front end that signs in at Entra ID by itself and posts an access token for our API (B10).
type MSAL struct {
	Audience  string   `json:"audience" minLength:"1" maxLength:"300" doc:"What aud says in the tokens for this server's API registration: its client id (v2) or App ID URI (v1)"`
	ClientIDs []string `json:"clientIds" minItems:"1" maxItems:"20" nullable:"false" doc:"The front ends, by client id"`
	Scope     string   `json:"scope" minLength:"1" maxLength:"100" doc:"The scope of the API that they ask for"`
}

// graphAudience is Microsoft Graph: its tokens are for nobody else to look at.
const graphAudience = "00000003-0000-0000-c000-000000000000"

func (m *MSAL) check(w *faults, kind Kind) {
	switch {
	case m == nil:
		return
	case kind != Entra:
		w.add("openId.msal", "is for azure-ad")
	case m.Audience == "" || m.Audience == graphAudience || strings.HasPrefix(m.Audience, "https://graph."):
		w.add("openId.msal.audience", "must be an API registration of your own, not Microsoft Graph")
	}
	if len(m.ClientIDs) == 0 || slices.Contains(m.ClientIDs, "") {
		w.add("openId.msal.clientIds", "must name the front ends")
	}
	if m.Scope == "" || strings.ContainsFunc(m.Scope, unicode.IsSpace) {
		w.add("openId.msal.scope", "must be one scope")
	}
}

// Directory is where the groups of a Google Workspace are read: the Directory API with a service account, or Cloud
// Identity with the person's own token.
type Directory struct {
	DelegateAs string `json:"delegateAs,omitempty" maxLength:"254" doc:"The administrator whom the service account acts as (domain-wide delegation). Empty: it has the role Groups Reader itself"`
	OwnToken   bool   `json:"ownToken,omitempty" doc:"Ask Cloud Identity with the person's own token instead; needs the scope cloud-identity.groups.readonly"`
}

// Assertion is a provider that speaks SAML 2.0.
type Assertion struct {
	MetadataURL    string `json:"metadataUrl,omitempty" maxLength:"1000" doc:"Where the provider's metadata is read, again and again; https"`
	Metadata       string `json:"metadata,omitempty" maxLength:"300000" doc:"The provider's metadata as XML, where it has no address. What is not used of it is left out in answers"`
	SignRequests   bool   `json:"signRequests,omitempty" doc:"Sign what is asked of the provider"`
	StartURL       string `json:"startUrl,omitempty" maxLength:"1000" doc:"Where an answer leads that nobody here asked for (a sign-in that began at the provider): the application's own address that begins a sign-in. Empty: such answers are refused. They never sign anybody in by themselves"`
	NameIDFormat   string `json:"nameIdFormat,omitempty" maxLength:"200" doc:"Which form of NameID is asked for; unspecified if left out"`
	OwnEntityID    bool   `json:"ownEntityId,omitempty" doc:"This server names itself to the provider with an entityID of this connection alone"`
	AllowSHA1Until string `json:"allowSha1Until,omitempty" maxLength:"10" doc:"A day (2027-01-31) until which signatures with SHA-1 are taken, for a provider that is being changed"`

	// read from the metadata
	EntityID     string        `json:"entityId,omitempty" readOnly:"true" maxLength:"1024" doc:"What the provider calls itself"`
	SignInURL    string        `json:"signInUrl,omitempty" readOnly:"true" doc:"Where people are sent"`
	Certificates []Certificate `json:"certificates,omitempty" readOnly:"true" nullable:"false" doc:"Its keys: each may sign"`
	ValidUntil   time.Time     `json:"validUntil,omitzero" readOnly:"true" doc:"Until when the provider says that its metadata is good"`
}

// Certificate is a key of a SAML provider. Its date is told, and not held against it.
type Certificate struct {
	Fingerprint string    `json:"fingerprint" doc:"SHA-256 of the certificate"`
	NotAfter    time.Time `json:"notAfter"`
}

// Mapping says where in an answer things stand. Each entry is a path: the name of a claim and, inside it, of its
// members. Names are literal: a dot or a slash in one is part of it.
type Mapping struct {
	Email      []string `json:"email,omitempty" maxItems:"5" nullable:"false" doc:"The address; [\"email\"] if left out"`
	Name       []string `json:"name,omitempty" maxItems:"5" nullable:"false" doc:"The name to show; [\"name\"] if left out"`
	GivenName  []string `json:"givenName,omitempty" maxItems:"5" nullable:"false" doc:"Where there is no whole name"`
	FamilyName []string `json:"familyName,omitempty" maxItems:"5" nullable:"false" doc:"Where there is no whole name"`
	Groups     []string `json:"groups,omitempty" maxItems:"5" nullable:"false" doc:"The groups; [\"groups\"] if left out. Inside an object: [\"realm_access\",\"roles\"]"`
	Subject    []string `json:"subject,omitempty" maxItems:"5" nullable:"false" doc:"saml: the attribute that tells who somebody is, where the NameID changes; the NameID if left out"`
}

// Roles are which role a sign-in gives, by the groups that the provider tells. Without rules a sign-in changes no
// role.
type Roles struct {
	Rules   []RoleRule `json:"rules,omitempty" maxItems:"200" nullable:"false" doc:"The first whose group the person is in holds"`
	Default string     `json:"default,omitempty" maxLength:"100" doc:"The role where no rule holds; empty: the sign-in is refused"`
}

// RoleRule gives a role to whoever is in a group.
type RoleRule struct {
	Group string `json:"group" minLength:"1" maxLength:"500"`
	Role  string `json:"role" minLength:"1" maxLength:"100"`
}

// Provisioning is whether somebody unknown becomes a user by signing in.
type Provisioning struct {
	Enabled bool   `json:"enabled" doc:"Make a user of whoever signs in with a proven address in one of the organization's verified domains"`
	Role    string `json:"role,omitempty" maxLength:"100" doc:"The role of a new user, where the rules say nothing; end_user if left out"`
}

// Trust is what of a provider's word is taken, beyond who somebody is.
type Trust struct {
	AMR      []string `json:"amr,omitempty" maxItems:"20" nullable:"false" doc:"Values of amr each of which proves a second factor; none by default"`
	ACR      []string `json:"acr,omitempty" maxItems:"20" nullable:"false" doc:"Values of acr (saml: AuthnContextClassRef) each of which proves a second factor; they are asked for"`
	AuthTime bool     `json:"authTime,omitempty" doc:"Take the moment of the last proof from the provider; else it is the moment of the answer"`
	Email    bool     `json:"email,omitempty" doc:"An address that the provider tells counts as its holder's even if the provider does not say that it was verified. Never for azure-ad"`
}

// Secrets of a connection. They are stored sealed, and never shown.
type Secrets struct {
	ClientSecret secret.Secret
	PrivateKey   secret.Secret // PKCS #8 in PEM, for private_key_jwt
	Account      secret.Secret // of a Google service account, as its JSON file
	// Keys are this server's own toward a SAML provider, newest first: the first signs, each decrypts.
	Keys []OwnKey
}

// OwnKey is a key of this server with the certificate that shows it.
type OwnKey struct {
	PrivateKey  secret.Secret // PKCS #8 in PEM
	Certificate string        // PEM
	CreatedAt   time.Time
}

// Redirect addresses and texts are bounded.
const (
	maxName        = 100
	maxConnections = 10_000 // of an organization
	maxDomains     = 10_000
	maxPathPart    = 300
	maxSHA1Days    = 90 // for a provider to be changed
)

// Places are where the providers with an address of their own are.
type Places struct {
	Authorities map[string]string // of Entra ID, by sign-in address: where its Graph is
	Legacy      map[string]string // the issuer of v1 tokens, without the tenant, by sign-in address
	Google      string            // issuer
	Directory   string            // Google's Directory API
	Identity    string            // Google's Cloud Identity API
}

// DefaultAuthority is Entra ID's in the public cloud.
const DefaultAuthority = "https://login.microsoftonline.com"

// PublicPlaces are those of the internet: the public cloud, that of the United States' government, and China's.
func PublicPlaces() Places {
	return Places{Google: "https://accounts.google.com", Directory: "https://admin.googleapis.com",
		Identity: "https://cloudidentity.googleapis.com", Legacy: map[string]string{
			DefaultAuthority:                           "https://sts.windows.net",
			"https://login.microsoftonline.us":         "https://sts.windows.net",
			"https://login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn",
		}, Authorities: map[string]string{
			DefaultAuthority:                           "https://graph.microsoft.com",
			"https://login.microsoftonline.us":         "https://graph.microsoft.us",
			"https://login.partner.microsoftonline.cn": "https://microsoftgraph.chinacloudapi.cn",
		}}
}

// consumers is the tenant of everybody's private Microsoft accounts: nobody's company.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

type faults []fault.Field

func (w *faults) add(field, format string, args ...any) {
	*w = append(*w, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// check validates a connection and fills in what was left out, at a moment. allowed tells whether an address may be
// asked.
func (c *Connection) check(places Places, now time.Time, allowed func(address string) error) error {
	var w faults
	c.Name = strings.TrimSpace(c.Name)
	if n := utf8.RuneCountInString(c.Name); n < 1 || n > maxName || !isText(c.Name) {
		w.add("name", "must have 1 to %d characters and no control characters", maxName)
	}
	if !slices.Contains([]State{Draft, Active, Off}, c.State) {
		w.add("state", "must be draft, active or off")
	}
	switch {
	case !slices.Contains(Kinds, c.Kind):
		w.add("kind", "must be azure-ad, google, oidc or saml")
	case c.Kind == SAML && c.OpenID != nil:
		w.add("openId", "is for the other kinds; send saml")
	case c.Kind == SAML && c.Assertion == nil:
		w.add("saml", "is required")
	case c.Kind != SAML && c.Assertion != nil:
		w.add("saml", "is for the kind saml; send openId")
	case c.Kind != SAML && c.OpenID == nil:
		w.add("openId", "is required")
	case c.Kind == SAML:
		c.Assertion.check(&w, now, allowed)
	default:
		c.OpenID.check(&w, c.Kind, places, allowed)
		c.Secrets.check(&w, c.OpenID.Authentication)
		c.checkDirectory(&w)
	}
	c.Mapping.check(&w, c.Kind)
	c.Roles.check(&w)
	c.Trust.check(&w, c.Kind)
	if c.Provisioning.Role == "" {
		c.Provisioning.Role = permission.RoleEndUser
	}
	if !isText(c.Provisioning.Role) {
		w.add("provisioning.role", "must have no control characters")
	}
	if len(w) > 0 {
		return fault.InvalidFields(w)
	}
	return nil
}

// checkDirectory makes sure that groups can be read where rules ask for them: none of Google's tokens has any.
func (c *Connection) checkDirectory(w *faults) {
	d := c.OpenID.Directory
	switch {
	case d == nil && c.Kind == Google && len(c.Roles.Rules) > 0 && len(c.Mapping.Groups) == 0:
		w.add("openId.directory", "is required: Google tells groups in no token")
	case d == nil:
	case c.Kind != Google:
		w.add("openId.directory", "is for google")
	case d.OwnToken && d.DelegateAs != "":
		w.add("openId.directory.delegateAs", "is for a service account, not for the person's own token")
	case d.OwnToken && !slices.Contains(c.OpenID.Scopes, CloudIdentityScope):
		w.add("openId.scopes", "must contain %s", CloudIdentityScope)
	case !d.OwnToken:
		if _, err := ParseAccount(c.Secrets.Account); err != nil {
			w.add("serviceAccount", "%v", err)
		}
	}
}

// The scopes with which groups are read.
const (
	CloudIdentityScope = "https://www.googleapis.com/auth/cloud-identity.groups.readonly"
	DirectoryScope     = "https://www.googleapis.com/auth/admin.directory.group.readonly"
)

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

func (o *OpenID) check(w *faults, kind Kind, places Places, allowed func(string) error) {
	switch kind {
	case Entra:
		if o.Authority == "" {
			o.Authority = DefaultAuthority
		}
		o.Authority = strings.TrimSuffix(o.Authority, "/")
		if _, ok := places.Authorities[o.Authority]; !ok {
			w.add("openId.authority", "must be the sign-in address of a Microsoft cloud, such as %s",
				DefaultAuthority)
		}
		tenant, err := uuid.Parse(o.TenantID)
		o.TenantID = strings.ToLower(o.TenantID)
		if err != nil || tenant.String() != o.TenantID {
			w.add("openId.tenantId", "must be the directory (tenant) id, as 8 … 12 hexadecimal digits with hyphens; "+
				"common and organizations would let every company in")
		} else if o.TenantID == consumers {
			w.add("openId.tenantId", "is that of private Microsoft accounts, which are no company's")
		}
		o.Issuer = o.Authority + "/" + o.TenantID + "/v2.0"
	case Google:
		o.Issuer = places.Google
		for i, d := range o.HostedDomains {
			name, err := CheckDomain(d)
			if err != nil {
				w.add(fmt.Sprintf("openId.hostedDomains[%d]", i), "%v", err)
			}
			o.HostedDomains[i] = name
		}
		if len(o.HostedDomains) == 0 {
			w.add("openId.hostedDomains", "must name at least one Workspace domain; else everybody with a Google "+
				"account could come in")
		}
	case OIDC:
		if err := checkIssuer(o.Issuer, allowed); err != nil {
			w.add("openId.issuer", "%v", err)
		}
		if kind := kindOf(o.Issuer); kind != OIDC {
			w.add("openId.issuer", "is that of the kind %s, which has checks of its own: make a connection of it", kind)
		}
	}
	if kind != Entra && (o.TenantID != "" || o.Authority != "") {
		w.add("openId.tenantId", "and authority are for azure-ad")
	}
	if kind != Google && len(o.HostedDomains) > 0 {
		w.add("openId.hostedDomains", "is for google")
	}
	if o.ClientID == "" || len(o.ClientID) > 300 || !isText(o.ClientID) ||
		strings.TrimSpace(o.ClientID) != o.ClientID {
		w.add("openId.clientId", "must have 1 to 300 characters, no space around and no control characters")
	}
	if o.Authentication == "" {
		o.Authentication = SecretBasic
	}
	if !slices.Contains([]string{SecretBasic, SecretPost, PrivateKeyJWT}, o.Authentication) {
		w.add("openId.tokenEndpointAuthMethod", "must be %s, %s or %s", SecretBasic, SecretPost, PrivateKeyJWT)
	}
	if len(o.KeyID) > 200 || !isText(o.KeyID) {
		w.add("openId.keyId", "must have at most 200 characters and no control characters")
	}
	if o.SecretExpires != "" {
		if _, err := time.Parse(time.DateOnly, o.SecretExpires); err != nil {
			w.add("openId.clientSecretExpires", "must be a day such as 2027-01-31")
		}
	}
	o.MSAL.check(w, kind)
	o.checkScopes(w)
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"RS256"}
	}
	for i, a := range o.Algorithms {
		if !slices.Contains(jwt.ProviderAlgorithms, a) {
			w.add(fmt.Sprintf("openId.signingAlgorithms[%d]", i), "must be one of %s",
				strings.Join(jwt.ProviderAlgorithms, ", "))
		}
	}
}

func (o *OpenID) checkScopes(w *faults) {
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid", "profile", "email"}
	}
	for i, s := range o.Scopes {
		if s == "" || len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { // RFC 6749 §3.3
			return r < 0x21 || r > 0x7e || r == '"' || r == '\\'
		}) {
			w.add(fmt.Sprintf("openId.scopes[%d]", i), "must be one scope: printable ASCII without space")
		}
	}
	if !slices.Contains(o.Scopes, "openid") {
		w.add("openId.scopes", "must contain openid")
	}
}

// checkIssuer accepts an https URL without query and fragment (OpenID Connect Discovery §2).
func checkIssuer(issuer string, allowed func(string) error) error {
	u, err := url.Parse(issuer)
	if err != nil || len(issuer) > 500 || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		!isText(issuer) {
		return fmt.Errorf("must be the provider's issuer, an https URL without query and fragment")
	}
	return allowed(issuer)
}

func (s Secrets) check(w *faults, authentication string) {
	if len(s.ClientSecret.Reveal()) > 2000 || !isText(s.ClientSecret.Reveal()) {
		w.add("clientSecret", "must have at most 2000 characters and no control characters, such as a line end")
	}
	switch authentication {
	case SecretBasic, SecretPost:
		if s.ClientSecret.IsZero() {
			w.add("clientSecret", "is required for %s", authentication)
		}
	case PrivateKeyJWT:
		if _, err := ParseSigner(s.PrivateKey); err != nil {
			w.add("privateKey", "%v", err)
		}
	}
}

func (a *Assertion) check(w *faults, now time.Time, allowed func(string) error) {
	if a.Metadata == "" || a.EntityID == "" {
		w.add("saml.metadata", "or metadataUrl is required")
	}
	if a.StartURL != "" {
		if err := organization.CheckRedirect(a.StartURL); err != nil {
			w.add("saml.startUrl", "%v", err)
		}
	}
	if a.MetadataURL != "" {
		if err := allowed(a.MetadataURL); err != nil {
			w.add("saml.metadataUrl", "%v", err)
		}
	}
	if len(a.NameIDFormat) > 200 || !isText(a.NameIDFormat) {
		w.add("saml.nameIdFormat", "must have at most 200 characters and no control characters")
	}
	if a.AllowSHA1Until != "" {
		until, err := time.Parse(time.DateOnly, a.AllowSHA1Until)
		if err != nil || until.After(now.AddDate(0, 0, maxSHA1Days)) {
			w.add("saml.allowSha1Until", "must be a day such as 2027-01-31, at most %d days from now", maxSHA1Days)
		}
	}
}

func (m *Mapping) check(w *faults, kind Kind) {
	for name, path := range map[string][]string{"email": m.Email, "name": m.Name, "givenName": m.GivenName,
		"familyName": m.FamilyName, "groups": m.Groups, "subject": m.Subject} {
		for _, part := range path {
			if part == "" || len(part) > maxPathPart || !isText(part) {
				w.add("mapping."+name, "must be the names of a claim and of members inside it, each of 1 to %d bytes",
					maxPathPart)
			}
		}
		if kind == SAML && len(path) > 1 {
			w.add("mapping."+name, "must be one attribute: those of SAML have no members")
		}
	}
	if kind != SAML && len(m.Subject) > 0 {
		w.add("mapping.subject", "is for saml; an ID token says in sub who somebody is")
	}
}

func (r *Roles) check(w *faults) {
	if len(r.Rules) > 200 {
		w.add("roles.rules", "must have at most 200 entries")
	}
	for i, rule := range r.Rules {
		if rule.Group == "" || len(rule.Group) > 500 || !isText(rule.Group) {
			w.add(fmt.Sprintf("roles.rules[%d].group", i), "must have 1 to 500 bytes and no control characters")
		}
	}
	if len(r.Rules) == 0 && r.Default != "" {
		w.add("roles.default", "is for where no rule holds, and there are no rules")
	}
}

func (t *Trust) check(w *faults, kind Kind) {
	for name, list := range map[string][]string{"amr": t.AMR, "acr": t.ACR} {
		for i, v := range list {
			if v == "" || len(v) > 300 || strings.ContainsFunc(v, unicode.IsSpace) || !isText(v) {
				w.add(fmt.Sprintf("trust.%s[%d]", name, i), "must have 1 to 300 characters without space")
			}
		}
	}
	if kind == SAML && len(t.AMR) > 0 {
		w.add("trust.amr", "is for OpenID Connect; SAML has acr")
	}
	if kind == Entra && t.Email {
		w.add("trust.email", "is not for azure-ad: any administrator of any tenant can write any address there")
	}
}

// kindOf tells which kind a public provider is of: what Google and Entra ID say about addresses is worth something only
// with the checks of their own kinds.
func kindOf(issuer string) Kind {
	u, err := url.Parse(issuer)
	if err != nil {
		return OIDC
	}
	public := PublicPlaces()
	same := func(address string) bool {
		other, err := url.Parse(address)
		return err == nil && strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), other.Host)
	}
	if same(public.Google) {
		return Google
	}
	for authority := range public.Authorities {
		if same(authority) || same(public.Legacy[authority]) {
			return Entra
		}
	}
	return OIDC
}
