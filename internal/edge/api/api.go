// Package api is the canonical dialect: /v1, one file a resource. Handlers are typed and registered through huma, from
// which the OpenAPI document comes; everything else about a request (credential, permission, limits) is the kit's. No
// rule and no SQL lives here.
package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Services are the domains behind the API.
type Services struct {
	PublicURL     *url.URL
	Version       string
	Now           func() time.Time
	Cursors       web.Cursors
	Login         *login.Service
	Factors       *mfa.Service
	Tokens        *token.Service
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Sessions      *session.Service
	Credentials   *credential.Service
	Clients       *client.Service
	Audit         *audit.Service
	Desk          *servicedesk.Service
	Setup         Setup
}

// API registers routes.
type API struct {
	Services
	kit  *web.Kit
	huma huma.API
	mux  *routeMux
}

// routeMux hands what huma registers to the kit, under the route described for it.
type routeMux struct {
	kit  *web.Kit
	next web.Route
}

func (m *routeMux) HandleFunc(_ string, h func(http.ResponseWriter, *http.Request)) {
	m.kit.Handle(m.next, http.HandlerFunc(h))
}

func (m *routeMux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.kit.ServeHTTP(w, r) }

// huma asks one global function for its own errors; ours maps them to problem documents.
func init() {
	huma.NewErrorWithContext = func(c huma.Context, status int, message string, errs ...error) huma.StatusError {
		ctx := context.Background()
		if c != nil {
			ctx = c.Context()
		}
		return web.NewProblem(ctx, fromHuma(status, message, errs))
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return web.NewProblem(context.Background(), fromHuma(status, message, errs))
	}
}

func fromHuma(status int, message string, errs []error) error {
	var fields []fault.Field
	for _, e := range errs {
		if f := fault.Of(e); f.Kind != fault.Internal {
			if f.Kind != fault.Invalid {
				return f
			}
			fields = append(fields, f.Fields...)
			continue
		}
		if d, ok := e.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			fields = append(fields, fieldOf(detail))
		}
	}
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, fault.CodeTooLarge, "The body is too large.")
	case status == http.StatusUnsupportedMediaType:
		return fault.New(fault.UnsupportedMedia, fault.CodeUnsupportedMedia, "Send the body as application/json.")
	case status == http.StatusRequestTimeout:
		return fault.Invalidf("body", "did not arrive in time")
	case status >= 500:
		for _, e := range errs {
			return e
		}
		return fmt.Errorf("huma: %s", message)
	case len(fields) == 0:
		return fault.Invalidf("body", "%s", message)
	}
	return fault.InvalidFields(fields)
}

// missing is huma's message for a property that is not there; its location is only that of the object around it.
var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

func fieldOf(d *huma.ErrorDetail) fault.Field {
	if m := missing.FindStringSubmatch(d.Message); m != nil {
		return fault.Field{Field: fieldName(d.Location + "." + m[1]), Message: "is required"}
	}
	return fault.Field{Field: fieldName(d.Location), Message: d.Message}
}

// fieldName turns huma's "body.name" into the caller's own name for it.
func fieldName(location string) string {
	for _, prefix := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(location, prefix); ok {
			return rest
		}
	}
	return location
}

// New registers every route of /v1.
func New(kit *web.Kit, s Services) *API {
	cfg := huma.DefaultConfig("Gatehouse", s.Version)
	cfg.Info.Description = "Authentication and authorization for multi-tenant APIs."
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil
	cfg.RejectUnknownQueryParameters = true
	cfg.Formats = map[string]huma.Format{"application/json": {Marshal: func(w io.Writer, v any) error {
		return web.EncodeJSON(w, v)
	}, Unmarshal: web.DecodeJSON}, "json": {Marshal: func(w io.Writer, v any) error { return web.EncodeJSON(w, v) },
		Unmarshal: web.DecodeJSON}}
	cfg.DefaultFormat = "application/json"
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An access token of a session or of an OAuth client, " +
			"or a long-lived token, where the route takes it; at the routes that enrol a factor also the mfaToken of " +
			"a sign-in that waits for its first."},
		"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key",
			Description: "An API key, where the route takes it."},
		"cookie": {Type: "apiKey", In: "cookie", Name: "itsm_auth_token",
			Description: "The same token in a browser; unsafe methods then need an allowed Origin."},
	}
	m := &routeMux{kit: kit}
	a := &API{Services: s, kit: kit, mux: m, huma: humago.New(m, cfg)}
	a.registerAuth()
	a.registerSessions()
	a.registerUsers()
	a.registerTeams()
	a.registerRoles()
	a.registerInvitations()
	a.registerOrganizations()
	a.registerCredentials()
	a.registerClients()
	a.registerAudit()
	a.registerTickets()
	a.registerReports()
	a.registerSetup()
	a.registerDocument()
	return a
}

// registerDocument serves the OpenAPI document, which is made once.
func (a *API) registerDocument() {
	body, err := a.OpenAPI()
	if err != nil {
		panic(err)
	}
	a.kit.Handle(web.Route{Method: http.MethodGet, Pattern: "/openapi.json",
		Public: "the description of the API says nothing about any tenant"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/openapi+json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			w.Write(body)
		}))
}

// OpenAPI gives the document of all /v1 routes, the same bytes each time.
func (a *API) OpenAPI() ([]byte, error) { return a.huma.OpenAPI().MarshalJSON() }

// call is what a handler gets beside its input.
type call struct {
	principal.Principal
	info *web.Info
}

var pathParameter = regexp.MustCompile(`\{[^}]+\}`)

// register adds a typed route. The document learns from the route which credentials and errors there are.
func register[I, O any](a *API, route web.Route, op huma.Operation,
	handle func(ctx context.Context, c call, in *I) (*O, error)) {
	op.Method, op.Path = route.Method, route.Pattern
	if op.OperationID == "" {
		op.OperationID = operationID(route)
	}
	if op.Tags == nil {
		op.Tags = []string{strings.Split(strings.TrimPrefix(route.Pattern, "/v1/"), "/")[0]}
	}
	op.Errors = append(op.Errors, http.StatusInternalServerError, http.StatusServiceUnavailable)
	if hasInput[I]() {
		op.Errors = append(op.Errors, http.StatusBadRequest)
	}
	if _, body := reflect.TypeFor[I]().FieldByName("Body"); body {
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if route.Public == "" {
		op.Security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
		if slices.Contains(route.Accepts, authn.APIKey) {
			op.Security = append(op.Security, map[string][]string{"apiKey": {}})
			op.Errors = append(op.Errors, http.StatusTooManyRequests)
		}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
		if route.StepUp {
			op.Description = strings.TrimSpace(op.Description + " A person whose last proof is older than the " +
				"organization's `stepUpSeconds` is asked for a newer one first (401 STEP_UP_REQUIRED).")
		}
		if route.Permission != "" {
			op.Description = strings.TrimSpace(op.Description + " Needs `" + strings.ReplaceAll(route.Permission, "|",
				"` or `") + "`.")
		}
	}
	if pathParameter.MatchString(route.Pattern) {
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	a.mux.next = route
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		info := web.InfoOf(ctx)
		out, err := handle(ctx, call{info.Principal, info}, in)
		if err != nil {
			return nil, web.NewProblem(ctx, err)
		}
		return out, nil
	})
	dropStatus(a.huma.OpenAPI(), route)
}

func hasInput[I any]() bool { return reflect.TypeFor[I]().NumField() > 0 }

// dropStatus takes out huma's 422: invalid input is 400 here.
func dropStatus(doc *huma.OpenAPI, route web.Route) {
	item := doc.Paths[route.Pattern]
	for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if op != nil {
			delete(op.Responses, "422")
		}
	}
}

func operationID(r web.Route) string {
	path := strings.TrimPrefix(r.Pattern, "/v1/")
	path = strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path)
	return strings.ToLower(r.Method) + "-" + path
}

// route makes a route that sessions and API keys reach with a permission.
func route(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.SessionsAndKeys}
}

// people makes a route of the same sort that no machine reaches.
func people(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.OnlySessions}
}

// desk makes a route of the service desk, which every kind of credential reaches.
func desk(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.Everyone}
}

// self makes a route about the caller alone.
func self(method, pattern, why string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Self: why, Accepts: web.OnlySessions}
}

// stepUp makes a person whose last proof is old give a newer one first (A32).
func stepUp(r web.Route) web.Route {
	r.StepUp = true
	return r
}

// public makes a route that looks at no credential.
func public(method, pattern, why string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Public: why}
}

// op names an operation.
func op(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, Errors: errors}
}

// created is an operation that answers 201; deleted one that answers 204.
func created(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusCreated,
		Errors: append(errors, http.StatusConflict)}
}

func deleted(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusNoContent, Errors: errors}
}

// accepted is an operation that answers 202: it will be done.
func accepted(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusAccepted, Errors: errors}
}
