package v1

import (
	"context"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Call is what a handler gets beside its input.
type Call struct {
	principal.Principal
	Info *web.Info
}

var pathParameter = regexp.MustCompile(`\{[^}]+\}`)

// Register adds a typed route. The document learns from the route which credentials and errors there are.
func Register[I, O any](a *API, route web.Route, op huma.Operation,
	handle func(ctx context.Context, c Call, in *I) (*O, error)) {
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
		out, err := handle(ctx, Call{info.Principal, info}, in)
		if err != nil {
			return nil, web.NewProblem(ctx, err)
		}
		return out, nil
	})
	dropStatus(a.huma.OpenAPI(), route)
}

// Describe adds a route to the document that is served otherwise: one that a browser opens, and that answers with
// redirects and pages.
func (a *API) Describe(route web.Route, op huma.Operation) {
	op.Method, op.Path, op.OperationID = route.Method, route.Pattern, operationID(route)
	op.Tags = []string{strings.Split(strings.TrimPrefix(route.Pattern, "/v1/"), "/")[0]}
	for _, name := range pathParameter.FindAllString(route.Pattern, -1) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: strings.Trim(name, "{}"), In: "path", Required: true,
			Schema: &huma.Schema{Type: huma.TypeString}})
	}
	a.huma.OpenAPI().AddOperation(&op)
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
