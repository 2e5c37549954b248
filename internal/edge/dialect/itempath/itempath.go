package itempath

import (
	"net/http"
	"strconv"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoints.
type Deps struct {
	DefaultOrganization string // slug, for sign-ins that name none; empty: none
	Cursors             web.Cursors
	Login               *login.Service
	Tokens              *token.Service
	Credentials         *credential.Service
	SSO                 *sso.Service
}

type server struct {
	Deps
	kit *web.Kit
}

// The paths.
const (
	prefix     = "/api/users"
	tokensPath = prefix + "/application-tokens"
)

var (
	refreshOnly = []authn.Kind{authn.ItemPathRefresh}
	sessions    = []authn.Kind{authn.ItemPathToken}
	readers     = []authn.Kind{authn.ItemPathToken, authn.ApplicationToken}
	anyBody     = []string{"*"} // read by nobody
	nothing     = []string{}    // in the query
)

// Register adds the routes.
func Register(kit *web.Kit, s Deps) {
	d := &server{s, kit}
	kit.Shape(prefix, writeError)
	handle := func(route web.Route, h func(w http.ResponseWriter, r *http.Request) error) {
		if route.WriteError == nil {
			route.WriteError = writeError
		}
		kit.HandleFunc(route, h)
	}
	handle(web.Route{Method: http.MethodPost, Pattern: prefix + "/login",
		Public: "signing in is how a credential is got", Query: nothing, WriteError: writeLoginError},
		d.login)
	handle(web.Route{
		Method:     http.MethodPost,
		Pattern:    prefix + "/login/sso",
		Public:     "the code and its verifier are the credential",
		Query:      nothing,
		WriteError: writeLoginError,
	}, d.loginCode)
	handle(web.Route{Method: http.MethodPost, Pattern: prefix + "/login/msal",
		Public: "the token is the credential", Query: nothing, WriteError: writeLoginError}, d.loginToken)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		handle(
			web.Route{Method: method, Pattern: prefix + "/refresh", Self: "the refresh token's own session goes on",
				Accepts: refreshOnly, Query: nothing, BodyTypes: anyBody},
			d.refresh,
		)
	}
	handle(web.Route{Method: http.MethodPost, Pattern: prefix + "/application-token",
		Self: "an application's own token", Accepts: refreshOnly, Query: nothing, BodyTypes: anyBody}, d.issue)
	handle(web.Route{Method: http.MethodGet, Pattern: tokensPath, Self: "an application's own tokens",
		Accepts: readers, Query: []string{"limit", "cursor"}}, d.list)
	handle(web.Route{Method: http.MethodDelete, Pattern: tokensPath + "/{id}", Self: "an application's own token",
		Accepts: sessions, Query: nothing}, d.revoke)
}

// date writes an instant as ItemPath does, in UTC.
func date(t time.Time) string { return t.UTC().Format("01/02/2006, 15:04:05") }

type loginAnswer struct {
	Login             bool    `json:"login"`
	AccessToken       string  `json:"accessToken"`
	RefreshToken      string  `json:"refreshToken"`
	ID                string  `json:"id"`
	Username          string  `json:"username"`
	IsAdmin           string  `json:"isAdmin"` // the words true and false
	AccessExpiryDate  string  `json:"accessExpiryDate"`
	RefreshExpiryDate string  `json:"refreshExpiryDate"`
	ViewID            *string `json:"viewId"` // there are no views here
	TimeZone          *string `json:"timeZone"`
}

func (d *server) login(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Username *string `json:"username"`
		Password *string `json:"password"`
	}
	if err := web.ReadJSON(r, &in); err != nil {
		return err
	}
	if in.Username == nil || in.Password == nil {
		return fault.Invalidf("username", "and password are needed")
	}
	tenant, err := d.kit.SignInTenant(r, "", d.DefaultOrganization)
	if err != nil {
		return err
	}
	if tenant == (login.Tenant{}) { // a user name means nothing without its organization
		tenant.Unknown = true
	}
	res, err := d.Login.WithPassword(r.Context(), login.Password{Name: *in.Username, Password: *in.Password,
		Tenant: tenant, Fingerprint: r.Header.Get("X-Device-Fingerprint"),
		Source: web.InfoOf(r.Context()).Source, Door: login.ItemPath})
	if err != nil {
		return err
	}
	if res.Waiting != nil { // demanded since the password was looked at
		return login.ErrCredentials()
	}
	return d.signedIn(w, res)
}

// loginCode ends a company sign-in that was begun at /v1/auth/sso (B10).
func (d *server) loginCode(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Code         *string `json:"code"`
		CodeVerifier *string `json:"codeVerifier"`
		RedirectURI  *string `json:"redirectUri"`
	}
	if err := web.ReadJSON(r, &in); err != nil {
		return err
	}
	if in.Code == nil || in.CodeVerifier == nil || in.RedirectURI == nil {
		return fault.Invalidf("code", "codeVerifier and redirectUri are needed")
	}
	tenant, err := d.kit.SignInTenant(r, "", "")
	if err != nil {
		return err
	}
	res, _, err := d.SSO.Redeem(r.Context(), sso.Redeem{Door: login.ItemPath, Tenant: tenant,
		Code: secret.New(*in.Code), Verifier: *in.CodeVerifier, RedirectURI: *in.RedirectURI,
		Fingerprint: r.Header.Get("X-Device-Fingerprint"), Source: web.InfoOf(r.Context()).Source})
	if f := fault.Of(err); err != nil && f.Kind == fault.Unauthenticated {
		return login.ErrCredentials()
	}
	if err != nil {
		return err
	}
	return d.signedIn(w, res)
}

// loginToken takes an access token of Entra ID that the front end got for this server's API (B10).
func (d *server) loginToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token *string `json:"token"`
	}
	if err := web.ReadJSON(r, &in); err != nil {
		return err
	}
	if in.Token == nil {
		return fault.Invalidf("token", "is needed")
	}
	tenant, err := d.kit.SignInTenant(r, "", d.DefaultOrganization)
	if err != nil {
		return err
	}
	res, err := d.SSO.Exchange(r.Context(), sso.Exchange{Tenant: tenant, Token: *in.Token,
		Fingerprint: r.Header.Get("X-Device-Fingerprint"), Source: web.InfoOf(r.Context()).Source})
	if err != nil {
		return err
	}
	return d.signedIn(w, res)
}

func (d *server) signedIn(w http.ResponseWriter, res login.Result) error {
	zone := res.Organization.Settings.TimeZone
	web.WriteJSON(w, http.StatusOK, loginAnswer{Login: true, AccessToken: res.Tokens.Access,
		RefreshToken: res.Tokens.Refresh, ID: string(res.User.ID), Username: res.User.Username,
		IsAdmin:          strconv.FormatBool(res.Permissions.Scope("users", permission.Manage) == permission.All),
		AccessExpiryDate: date(res.Tokens.ExpiresAt), RefreshExpiryDate: date(res.Tokens.RefreshExpiresAt),
		TimeZone: &zone})
	return nil
}

func (d *server) refresh(w http.ResponseWriter, r *http.Request) error {
	pair, err := d.Tokens.RefreshReusable(r.Context(), web.InfoOf(r.Context()).Principal)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, struct {
		AccessToken      string `json:"accessToken"`
		AccessExpiryDate string `json:"accessExpiryDate"`
	}{pair.Access, date(pair.ExpiresAt)})
	return nil
}

// issuedName is what an application token is called that was asked for here, where nobody can name it.
const issuedName = "ItemPath application token"

func (d *server) issue(w http.ResponseWriter, r *http.Request) error {
	i, err := d.Credentials.IssueOwn(r.Context(), web.InfoOf(r.Context()).Principal, issuedName)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, struct {
		Token string `json:"token"`
	}{i.Value.Reveal()})
	return nil
}

type tokenAnswer struct {
	ID           string  `json:"id"`
	Name         string  `json:"name"`
	Revoked      bool    `json:"revoked"`
	CreatedDate  string  `json:"createdDate"`
	LastUsedDate *string `json:"lastUsedDate"`
}

// The sizes of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (d *server) list(w http.ResponseWriter, r *http.Request) error {
	p, limit := web.InfoOf(r.Context()).Principal, defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return fault.Invalidf("limit", "must be from 1 to %d", maxLimit)
		}
		limit = n
	}
	after, err := d.Cursors.Decode(r.URL.Query().Get("cursor"), tokensPath, string(p.UserID()))
	if err != nil {
		return err
	}
	list, err := d.Credentials.ListOwn(r.Context(), p, id.Credential(after), limit+1)
	if err != nil {
		return err
	}
	var answer struct {
		Tokens []tokenAnswer `json:"applicationTokens"`
		Cursor *string       `json:"cursor"`
	}
	if len(list) > limit {
		list = list[:limit]
		next := d.Cursors.Encode(string(list[limit-1].ID), tokensPath, string(p.UserID()))
		answer.Cursor = &next
	}
	for _, c := range list {
		t := tokenAnswer{ID: string(c.ID), Name: c.Name, Revoked: c.State == credential.Revoked,
			CreatedDate: date(c.CreatedAt)}
		if !c.LastUsedAt.IsZero() {
			used := date(c.LastUsedAt)
			t.LastUsedDate = &used
		}
		answer.Tokens = append(answer.Tokens, t)
	}
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (d *server) revoke(w http.ResponseWriter, r *http.Request) error {
	c, err := credential.ApplicationToken.ParseID(r.PathValue("id"))
	if err != nil {
		return fault.NotFoundf("There is no such credential.")
	}
	if err := d.Credentials.RevokeOwn(r.Context(), web.InfoOf(r.Context()).Principal, c); err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, message{"Application token revoked"})
	return nil
}
