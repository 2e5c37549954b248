package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// CredentialBody is any long-lived credential without its value.
type CredentialBody struct {
	ID                 string     `json:"id"`
	Kind               string     `json:"kind" enum:"api_key,access_token,system_token,application_token,client_secret"`
	Name               string     `json:"name"`
	Purpose            string     `json:"purpose" doc:"What it is for; the name if nothing else was said"`
	Owner              string     `json:"owner" doc:"Id of the user, the organization or the client it belongs to"`
	Permissions        []string   `json:"permissions" nullable:"false" doc:"As stored; a user's credential never gives more than the user holds. Empty for kinds that give what their owner's role gives"`
	Resources          []string   `json:"resources,omitempty" doc:"Access tokens: the only resources of the role it reaches; left out: all"`
	State              string     `json:"state" enum:"active,off,revoked"`
	RateLimitPerMinute *int       `json:"rateLimitPerMinute" doc:"null: no limit"`
	AllowedAddresses   []string   `json:"allowedAddresses" nullable:"false" doc:"Addresses and networks it may be used from; empty: all"`
	ExpiresAt          *time.Time `json:"expiresAt" doc:"null: never"`
	CreatedAt          time.Time  `json:"createdAt"`
	CreatedBy          string     `json:"createdBy"`
	LastUsedAt         *time.Time `json:"lastUsedAt" doc:"Right to the minute; null: never used"`
	RotatedAt          *time.Time `json:"rotatedAt" doc:"When it last got a new value"`
	OverlapUntil       *time.Time `json:"overlapUntil" doc:"Until when the value before works too"`
	RevokedAt          *time.Time `json:"revokedAt"`
}

func prefixTexts(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		if out[i] = p.String(); p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	return out
}

func limitOf(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func (a *routes) showCredential(c credential.Credential) CredentialBody {
	b := CredentialBody{ID: string(c.ID), Kind: string(c.Kind), Name: c.Name, Purpose: c.Purpose, Owner: c.Owner.ID,
		Permissions: c.Permissions.Strings(), Resources: c.Resources, State: string(c.State),
		RateLimitPerMinute: limitOf(c.RateLimit), AllowedAddresses: prefixTexts(c.Addresses),
		ExpiresAt: v1.Moment(c.ExpiresAt), CreatedAt: c.CreatedAt, CreatedBy: c.CreatedBy,
		LastUsedAt: v1.Moment(c.LastUsedAt), RotatedAt: v1.Moment(c.RotatedAt), RevokedAt: v1.Moment(c.RevokedAt)}
	if c.State != credential.Revoked && a.Now().Before(c.OverlapUntil) {
		b.OverlapUntil = v1.Moment(c.OverlapUntil)
	}
	return b
}

// The three names under which a value is shown, once.
type (
	issuedKey struct {
		CredentialBody
		Key string `json:"key" doc:"The value, shown only now. Send it as X-API-Key"`
	}
	issuedToken struct {
		CredentialBody
		Token string `json:"token" doc:"The value, shown only now. Send it as Authorization: Bearer"`
	}
	issuedSecret struct {
		CredentialBody
		Secret string `json:"secret" doc:"The value, shown only now"`
	}
)

func (a *routes) issuedKey(i credential.Issued) issuedKey {
	return issuedKey{a.showCredential(i.Credential), i.Value.Reveal()}
}

func (a *routes) issuedToken(i credential.Issued) issuedToken {
	return issuedToken{a.showCredential(i.Credential), i.Value.Reveal()}
}

func (a *routes) issuedSecret(i credential.Issued) issuedSecret {
	return issuedSecret{a.showCredential(i.Credential), i.Value.Reveal()}
}

// CommonFields are what may be said of any kind when it is made.
type CommonFields struct {
	Name               string   `json:"name" minLength:"1" maxLength:"200"`
	Purpose            string   `json:"purpose,omitempty" maxLength:"500" doc:"The name if left out"`
	RateLimitPerMinute *int     `json:"rateLimitPerMinute,omitempty" minimum:"1" maximum:"100000"`
	AllowedAddresses   []string `json:"allowedAddresses,omitempty" maxItems:"100" doc:"Addresses and networks (192.0.2.0/24); none: all"`
}

func (f CommonFields) request(kind credential.Kind) (credential.Request, error) {
	addresses, err := credential.ParseAddresses(f.AllowedAddresses)
	return credential.Request{Kind: kind, Name: f.Name, Purpose: f.Purpose, RateLimit: f.RateLimitPerMinute,
		Addresses: addresses}, err
}

type createAPIKeyInput struct {
	Body struct {
		CommonFields
		Permissions []string   `json:"permissions" nullable:"false" maxItems:"200" doc:"resource:action:scope; none that you do not hold"`
		ExpiresAt   *time.Time `json:"expiresAt,omitempty" doc:"Never, if left out"`
		Owner       string     `json:"owner,omitempty" maxLength:"40" doc:"A user's id, or the organization's own (then all permissions have the scope all); yourself if left out. Others than yourself need api_keys:create:all"`
	}
}

func (in *createAPIKeyInput) ask() (credential.Request, error) {
	r, err := in.Body.request(credential.APIKey)
	if err != nil {
		return r, err
	}
	r.Permissions, r.ExpiresAt = in.Body.Permissions, timeOf(in.Body.ExpiresAt)
	r.Owner, err = ownerOf(in.Body.Owner)
	return r, err
}

type createAccessTokenInput struct {
	Body struct {
		CommonFields
		UserID    string     `json:"userId,omitempty" maxLength:"40" doc:"Whose it shall be; yourself if left out. Others need access_tokens:create:all, and you hold all they hold"`
		Resources []string   `json:"resources,omitempty" maxItems:"50" nullable:"false" doc:"Only these resources of the user's role; all if left out"`
		ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"Never, if left out"`
	}
}

func (in *createAccessTokenInput) ask() (credential.Request, error) {
	r, err := in.Body.request(credential.AccessToken)
	if err != nil {
		return r, err
	}
	r.Resources, r.ExpiresAt = in.Body.Resources, timeOf(in.Body.ExpiresAt)
	r.Owner, err = userOwner(in.Body.UserID)
	return r, err
}

type createSystemTokenInput struct {
	Body struct {
		CommonFields
		Permissions []string `json:"permissions,omitempty" maxItems:"200" nullable:"false" doc:"With the scope all, on the organization's data and system_tokens; all of those that you hold if left out"`
	}
}

func (in *createSystemTokenInput) ask() (credential.Request, error) {
	r, err := in.Body.request(credential.SystemToken)
	r.Permissions = in.Body.Permissions
	return r, err
}

type createApplicationTokenInput struct {
	Body struct {
		CommonFields
		UserID string `json:"userId,omitempty" maxLength:"40" doc:"A user of the type application"`
	}
}

func (in *createApplicationTokenInput) ask() (credential.Request, error) {
	r, err := in.Body.request(credential.ApplicationToken)
	if err != nil {
		return r, err
	}
	r.Owner, err = userOwner(in.Body.UserID)
	return r, err
}

// renamed says a field's fault under the name the caller knows.
func renamed(err error, from, to string) error {
	f := fault.Of(err)
	if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Field != from || from == to {
		return err
	}
	return fault.Invalidf(to, "%s", f.Fields[0].Message)
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// ownerOf reads whose a credential shall be: the prefix of the id tells.
func ownerOf(text string) (*credential.Owner, error) {
	if text == "" {
		return nil, nil
	}
	if org, err := id.Parse[id.Organization](text); err == nil {
		return &credential.Owner{Kind: credential.OwnedByOrganization, ID: string(org)}, nil
	}
	u, err := id.Parse[id.User](text)
	if err != nil {
		return nil, fault.Invalidf("owner", "must be the id of a user (usr_…) or of the organization (org_…)")
	}
	return &credential.Owner{Kind: credential.OwnedByUser, ID: string(u)}, nil
}

func userOwner(text string) (*credential.Owner, error) {
	if text == "" {
		return nil, nil
	}
	u, err := id.Parse[id.User](text)
	if err != nil {
		return nil, fault.Invalidf("userId", "%v", err)
	}
	return &credential.Owner{Kind: credential.OwnedByUser, ID: string(u)}, nil
}

type changeCredentialInput struct {
	v1.IDInput
	Body struct {
		Name               *string                `json:"name,omitempty" maxLength:"200"`
		Purpose            *string                `json:"purpose,omitempty" maxLength:"500"`
		Permissions        []string               `json:"permissions,omitempty" maxItems:"200" nullable:"false" doc:"API keys and system tokens"`
		Resources          []string               `json:"resources,omitempty" maxItems:"50" nullable:"false" doc:"Access tokens"`
		State              *string                `json:"state,omitempty" enum:"active,off" doc:"API keys, system tokens and client secrets"`
		RateLimitPerMinute v1.Nullable[int]       `json:"rateLimitPerMinute,omitempty"`
		AllowedAddresses   []string               `json:"allowedAddresses,omitempty" maxItems:"100" nullable:"false"`
		ExpiresAt          v1.Nullable[time.Time] `json:"expiresAt,omitempty" doc:"null: never"`
		Owner              *string                `json:"owner,omitempty" maxLength:"40" doc:"API keys: another owner; the permissions are cut to what the new owner holds"`
	}
}

func (in *changeCredentialInput) apply(ch *credential.Change) error {
	b := in.Body
	v1.Set(&ch.Name, b.Name)
	v1.Set(&ch.Purpose, b.Purpose)
	if b.Permissions != nil {
		ch.PermissionList = sorted(b.Permissions)
	}
	if b.Resources != nil {
		ch.Resources = b.Resources
	}
	if b.State != nil {
		ch.State = credential.State(*b.State)
	}
	if n := b.RateLimitPerMinute.Value; n != nil && *n < 1 {
		return fault.Invalidf("rateLimitPerMinute", "must be at least 1, or null for none")
	}
	if b.RateLimitPerMinute.Set {
		ch.RateLimit = 0
		v1.Set(&ch.RateLimit, b.RateLimitPerMinute.Value)
	}
	if b.AllowedAddresses != nil {
		addresses, err := credential.ParseAddresses(b.AllowedAddresses)
		if err != nil {
			return err
		}
		ch.Addresses = addresses
	}
	if b.ExpiresAt.Set {
		ch.ExpiresAt = timeOf(b.ExpiresAt.Value)
	}
	if b.Owner != nil {
		owner, err := ownerOf(*b.Owner)
		if err != nil {
			return err
		}
		if owner == nil {
			return fault.Invalidf("owner", "cannot be empty")
		}
		ch.Owner = *owner
	}
	return nil
}

type listCredentialsInput struct {
	v1.Page
	v1.Search
	State string `query:"state" enum:"active,off,revoked"`
	Owner string `query:"owner" maxLength:"40"`
}

type rotateInput struct {
	v1.IDInput
	Body *struct {
		OverlapSeconds int64 `json:"overlapSeconds,omitempty" minimum:"0" maximum:"2592000" doc:"How long the present value goes on working; 0: it stops now"`
	} `required:"false"`
}

func (a *routes) registerCredentials() {
	registerKind(a, credential.APIKey, "/v1/api-keys", web.SessionsAndKeys, "an API key", "owner",
		(*createAPIKeyInput).ask, a.issuedKey)
	registerKind(a, credential.AccessToken, "/v1/access-tokens", web.OnlySessions, "an access token", "userId",
		(*createAccessTokenInput).ask, a.issuedToken)
	registerKind(a, credential.SystemToken, "/v1/system-tokens", web.OnlySessions, "a system access token", "owner",
		(*createSystemTokenInput).ask, a.issuedToken)
	registerKind(a, credential.ApplicationToken, "/v1/application-tokens", web.OnlySessions, "an application token",
		"userId", (*createApplicationTokenInput).ask, a.issuedToken)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/credentials/report",
		"api_keys:read|access_tokens:read|system_tokens:read|application_tokens:read|clients:read"),
		v1.Op("Credentials that never expire, are old or are idle"), a.reportCredentials)
}

// registerKind adds the routes of one kind. Making one, or getting a new value, is for people, and for API keys by API
// keys that may (G12).
func registerKind[I, V any](a *routes, kind credential.Kind, path string, makers []authn.Kind, name, ownerField string,
	ask func(in *I) (credential.Request, error), show func(credential.Issued) V) {
	resource := kind.Resource()
	by := func(r web.Route, accepts []authn.Kind) web.Route {
		r.Accepts = accepts
		return r
	}
	v1.Register(a.API, v1.Managed(http.MethodGet, path, resource+":read"),
		v1.Op("List "+strings.TrimPrefix(strings.TrimPrefix(name, "an "), "a ")+"s"),
		func(ctx context.Context, c v1.Call, in *listCredentialsInput) (*v1.ListOutput[CredentialBody], error) {
			filter := func(after string) credential.Filter {
				return credential.Filter{State: credential.State(in.State), Owner: in.Owner,
					Past: id.Credential(after), Limit: in.Limit + 1}
			}
			return v1.Searched(a.API, in.Search, in.Page, c, path, []string{in.State, in.Owner},
				func(after string) ([]credential.Credential, error) {
					return a.Credentials.List(ctx, c.Principal, kind, filter(after))
				},
				func(q search.Query, after string) ([]search.Hit[credential.Credential], error) {
					return a.Credentials.Search(ctx, c.Principal, kind, q, filter(after))
				},
				func(c credential.Credential) string { return string(c.ID) }, a.showCredential)
		})
	v1.Register(a.API, v1.StepUp(by(v1.Managed(http.MethodPost, path, resource+":create"), makers)),
		v1.Created("Make "+name),
		func(ctx context.Context, c v1.Call, in *I) (*v1.CreatedOutput[V], error) {
			r, err := ask(in)
			if err != nil {
				return nil, err
			}
			i, err := a.Credentials.Issue(ctx, c.Principal, r)
			if err != nil {
				return nil, renamed(err, "owner", ownerField)
			}
			return v1.CreatedAt(path+"/"+string(i.ID), show(i)), nil
		})
	find := func(in v1.IDInput) (id.Credential, error) {
		c, err := kind.ParseID(in.ID)
		if err != nil {
			return "", fault.NotFoundf("There is no such credential.")
		}
		return c, nil
	}
	v1.Register(a.API, v1.Managed(http.MethodGet, path+"/{id}", resource+":read"), v1.Op("Get "+name),
		func(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[CredentialBody], error) {
			cred, err := find(*in)
			if err != nil {
				return nil, err
			}
			got, err := a.Credentials.Get(ctx, c.Principal, kind, cred)
			if err != nil {
				return nil, err
			}
			return v1.Out(a.showCredential(got)), nil
		})
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, path+"/{id}", resource+":update")),
		v1.Op("Change "+name, http.StatusConflict), func(ctx context.Context, c v1.Call,
			in *changeCredentialInput) (*v1.Output[CredentialBody], error) {
			cred, err := find(in.IDInput)
			if err != nil {
				return nil, err
			}
			changed, err := a.Credentials.Update(ctx, c.Principal, kind, cred, in.apply)
			if err != nil {
				return nil, err
			}
			return v1.Out(a.showCredential(changed)), nil
		})
	v1.Register(a.API, v1.StepUp(by(v1.Managed(http.MethodPost, path+"/{id}/rotate", resource+":update"), makers)),
		v1.Op("Give "+name+" a new value", http.StatusConflict),
		func(ctx context.Context, c v1.Call, in *rotateInput) (*v1.Output[V], error) {
			cred, err := find(in.IDInput)
			if err != nil {
				return nil, err
			}
			i, err := a.Credentials.Rotate(ctx, c.Principal, kind, cred, in.overlap())
			if err != nil {
				return nil, err
			}
			return v1.Out(show(i)), nil
		})
	v1.Register(a.API, v1.Managed(http.MethodDelete, path+"/{id}", resource+":delete"),
		v1.Deleted("Revoke "+name+" for good; it stays listed"),
		func(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
			cred, err := find(*in)
			if err != nil {
				return nil, err
			}
			return nil, a.Credentials.Revoke(ctx, c.Principal, kind, cred)
		})
}

func (in *rotateInput) overlap() time.Duration {
	if in.Body == nil {
		return 0
	}
	return time.Duration(in.Body.OverlapSeconds) * time.Second
}

type reportInput struct {
	v1.Page
	OlderThanDays int `query:"olderThanDays" minimum:"1" maximum:"36500" default:"365" doc:"What counts as old, since it was made or last rotated"`
	IdleDays      int `query:"idleDays" minimum:"1" maximum:"36500" default:"90" doc:"What counts as idle, since it was made or last used"`
}

type findingBody struct {
	CredentialBody
	NeverExpires bool `json:"neverExpires"`
	Old          bool `json:"old"`
	Idle         bool `json:"idle"`
}

func (a *routes) reportCredentials(ctx context.Context, c v1.Call, in *reportInput) (*v1.ListOutput[findingBody],
	error) {
	filters := []string{time.Duration(in.OlderThanDays).String(), time.Duration(in.IdleDays).String()}
	after, err := a.Position(in.Page, c, "credential-report", filters...)
	if err != nil {
		return nil, err
	}
	const day = 24 * time.Hour
	rows, err := a.Credentials.Report(ctx, c.Principal,
		credential.ReportFilter{OlderThan: time.Duration(in.OlderThanDays) * day,
			IdleFor: time.Duration(in.IdleDays) * day,
			After:   id.Credential(after), Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "credential-report", filters, rows, func(f credential.Finding) string {
		return string(f.ID)
	}, func(f credential.Finding) findingBody {
		return findingBody{a.showCredential(f.Credential), f.NeverExpires, f.Old, f.Idle}
	}), nil
}
