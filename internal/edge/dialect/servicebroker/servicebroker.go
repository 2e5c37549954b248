package servicebroker

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoints.
type Deps struct {
	Clients       *clientauth.Authenticator
	Organizations *organization.Service
	Credentials   *credential.Service
	Tokens        *token.Service
}

const prefix = "/up/v5"

// Which of the two an organization's systems use is its own rule (D7), asked where the credential is verified.
var (
	accepts = []authn.Kind{authn.SystemToken, authn.BrokerToken}
	oauth   = []authn.Kind{authn.BrokerToken}
	nothing = []string{} // in the query
)

// Register adds the routes.
func Register(kit *web.Kit, s Deps) {
	kit.Shape(prefix, writeError)
	handle := func(route web.Route, h func(w http.ResponseWriter, r *http.Request) error) {
		route.Pattern, route.WriteError = prefix+route.Pattern, writeError
		kit.HandleFunc(route, h)
	}
	guarded := func(method, pattern, permission string, h func(w http.ResponseWriter, r *http.Request) error,
		query ...string) {
		handle(web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: accepts,
			Query: append(nothing, query...)}, h)
	}
	guarded(http.MethodGet, "/entityToken", "system_tokens:read", s.listTokens)
	guarded(http.MethodPost, "/entityToken", "system_tokens:create", s.createToken)
	guarded(http.MethodPut, "/entityToken/{id}", "system_tokens:update", s.updateToken)
	guarded(http.MethodDelete, "/entityToken/{id}", "system_tokens:delete", s.deleteToken)

	guarded(http.MethodPost, "/entity", "organizations:create", s.createEntity)
	for _, path := range []string{"/entity", "/entity/{id}"} {
		// the id in the path, as EntityId in the query or (to change it) the body, or one's own
		guarded(http.MethodGet, path, "entity:read|organizations:read", s.getEntity, "EntityId")
		guarded(http.MethodPut, path, "entity:update|organizations:update", s.updateEntity, "EntityId")
		guarded(http.MethodDelete, path, "organizations:delete", s.deleteEntity, "EntityId")
	}

	handle(web.Route{Method: http.MethodPost, Pattern: "/oauth2/accessToken",
		Public: "the client authenticates itself", Query: nothing}, s.accessToken)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		handle(web.Route{Method: method, Pattern: "/oauth2/userInfo", Self: "who the caller is", Accepts: oauth,
			Query: nothing, BodyTypes: []string{"*"}}, s.userInfo)
	}
}

// entityID writes the 128 bits of an organization's id as a UUID.
func entityID(org id.Organization) string {
	u, err := ulid.ParseStrict(strings.TrimPrefix(string(org), org.Prefix()))
	if err != nil {
		return ""
	}
	return uuid.UUID(u).String()
}

// parseEntityID reads one back. Every UUID is some organization's id; whether there is one, the service knows.
func parseEntityID(text string) (id.Organization, error) {
	u, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return "", fault.Invalidf("EntityId", "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
	}
	org := id.Organization("").Prefix() + ulid.ULID(u).String()
	parsed, err := id.Parse[id.Organization](org)
	if err != nil {
		return "", fault.Invalidf("EntityId", "is no entity's")
	}
	return parsed, nil
}
