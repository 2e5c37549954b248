package v1

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// API holds the document of /v1 and the kit that its routes are served by.
type API struct {
	Kit     *web.Kit
	Cursors web.Cursors

	huma huma.API
	mux  *routeMux
}

// New makes an API without routes.
func New(kit *web.Kit, cursors web.Cursors, version string) *API {
	cfg := huma.DefaultConfig("Gatehouse", version)
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
	return &API{Kit: kit, Cursors: cursors, mux: m, huma: humago.New(m, cfg)}
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

// ServeDocument serves the OpenAPI document, which is written once, for the first who asks.
func (a *API) ServeDocument() {
	document := sync.OnceValues(a.OpenAPI)
	a.Kit.HandleFunc(web.Route{Method: http.MethodGet, Pattern: "/openapi.json",
		Public: "the description of the API says nothing about any tenant"},
		func(w http.ResponseWriter, _ *http.Request) error {
			body, err := document()
			if err != nil {
				return fmt.Errorf("OpenAPI: %w", err)
			}
			w.Header().Set("Content-Type", "application/openapi+json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			w.Write(body)
			return nil
		})
}

// OpenAPI gives the document of all /v1 routes, the same bytes each time.
func (a *API) OpenAPI() ([]byte, error) { return a.huma.OpenAPI().MarshalJSON() }

// Schema gives the schema of a type, for operations whose answers huma cannot see by itself.
func (a *API) Schema(t reflect.Type) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")
}
