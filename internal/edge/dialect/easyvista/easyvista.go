package easyvista

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoints.
type Deps struct {
	PublicURL     *url.URL
	Now           func() time.Time
	Cursors       web.Cursors
	Organizations *organization.Service
	Users         *user.Service
	Credentials   *credential.Service
	Desk          *servicedesk.Service
}

const (
	prefix = "/api/v1"
	base   = prefix + "/{" + web.AccountParameter + "}"
)

// accepts are an access token, or user name and password with each request where the organization has not switched that
// off.
var accepts = []authn.Kind{authn.AccessToken, authn.Password}

// Register adds the routes.
func Register(kit *web.Kit, s Deps) {
	kit.Shape(prefix, writeError)
	handle := func(method, path, permission string, h func(w http.ResponseWriter, r *http.Request) error,
		query ...string) {
		kit.HandleFunc(web.Route{Method: method, Pattern: base + path, Permission: permission, Accepts: accepts,
			Query: append([]string{}, query...), WriteError: writeError}, h)
	}
	handle(http.MethodGet, "/tokens", "access_tokens:read", s.listTokens, onList...)
	handle(http.MethodPost, "/tokens", "access_tokens:create", s.createToken)
	handle(http.MethodGet, "/tokens/{id}", "access_tokens:read", s.getToken)
	handle(http.MethodPut, "/tokens/{id}", "access_tokens:update", s.updateToken)
	handle(http.MethodDelete, "/tokens/{id}", "access_tokens:delete", s.revokeToken)
	handle(http.MethodGet, "/requests", "tickets:read", s.listRequests, append(onList, "status", "priority")...)
	handle(http.MethodGet, "/requests/{id}", "tickets:read", s.getRequest)
}

// href is the address of something in the account, as the caller named it.
func (s Deps) href(r *http.Request, parts ...string) string {
	return s.PublicURL.String() + prefix + "/" + r.PathValue(web.AccountParameter) + "/" + strings.Join(parts, "/")
}

// moment writes an instant in UTC; none is null.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}
