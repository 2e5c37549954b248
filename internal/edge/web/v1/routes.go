package v1

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Managed makes a route that sessions and API keys reach with a permission.
func Managed(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.SessionsAndKeys}
}

// People makes a route of the same sort that no machine reaches.
func People(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.OnlySessions}
}

// Desk makes a route of the service desk, which every kind of credential reaches.
func Desk(method, pattern, permission string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Permission: permission, Accepts: web.Everyone, Lags: true}
}

// Self makes a route about the caller alone.
func Self(method, pattern, why string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Self: why, Accepts: web.OnlySessions}
}

// StepUp makes a person whose last proof is old give a newer one first (A32).
func StepUp(r web.Route) web.Route {
	r.StepUp = true
	return r
}

// Public makes a route that looks at no credential.
func Public(method, pattern, why string) web.Route {
	return web.Route{Method: method, Pattern: pattern, Public: why}
}

// Op names an operation.
func Op(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, Errors: errors}
}

// Created is an operation that answers 201.
func Created(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusCreated,
		Errors: append(errors, http.StatusConflict)}
}

// Deleted is an operation that answers 204.
func Deleted(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusNoContent, Errors: errors}
}

// Accepted is an operation that answers 202: it will be done.
func Accepted(summary string, errors ...int) huma.Operation {
	return huma.Operation{Summary: summary, DefaultStatus: http.StatusAccepted, Errors: errors}
}
