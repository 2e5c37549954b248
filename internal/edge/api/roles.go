package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
)

type roleBody struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Permissions []string   `json:"permissions" nullable:"false"`
	Builtin     bool       `json:"builtin"`
	CreatedAt   *time.Time `json:"createdAt" doc:"null for built-in roles"`
	UpdatedAt   *time.Time `json:"updatedAt"`
}

func showRole(r role.Role) roleBody {
	return roleBody{string(r.ID), r.Name, r.Description, r.Permissions.Strings(), r.Builtin, moment(r.CreatedAt),
		moment(r.UpdatedAt)}
}

func (a *API) registerRoles() {
	register(a, route(http.MethodGet, "/v1/roles", "roles:read"), op("List roles, the built-in ones first"),
		a.listRoles)
	register(a, stepUp(route(http.MethodPost, "/v1/roles", "roles:create")), created("Create a role"), a.createRole)
	register(a, route(http.MethodGet, "/v1/roles/{id}", "roles:read"), op("Get a role"), a.getRole)
	register(a, stepUp(route(http.MethodPatch, "/v1/roles/{id}", "roles:update")),
		op("Change a role", http.StatusConflict), a.updateRole)
	register(a, route(http.MethodDelete, "/v1/roles/{id}", "roles:delete"),
		deleted("Delete a role that nobody holds", http.StatusConflict), a.deleteRole)
}

func (a *API) listRoles(ctx context.Context, c call, in *Page) (*listOutput[roleBody], error) {
	after, err := a.position(*in, c, "roles")
	if err != nil {
		return nil, err
	}
	rows, err := a.Roles.List(ctx, c.Principal, id.Role(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return page(a, *in, c, "roles", nil, rows, func(r role.Role) string { return string(r.ID) }, showRole), nil
}

type createRoleInput struct {
	Body struct {
		Name        string   `json:"name" maxLength:"50" doc:"Lower-case letters, digits, underscores; does not change"`
		Description string   `json:"description,omitempty" maxLength:"500"`
		Permissions []string `json:"permissions" maxItems:"200" doc:"resource:action:scope"`
	}
}

func (a *API) createRole(ctx context.Context, c call, in *createRoleInput) (*createdOutput[roleBody], error) {
	r, err := a.Roles.Create(ctx, c.Principal, role.Fields{Name: in.Body.Name, Description: in.Body.Description,
		Permissions: in.Body.Permissions})
	if err != nil {
		return nil, err
	}
	return &createdOutput[roleBody]{"/v1/roles/" + string(r.ID), showRole(r)}, nil
}

func (a *API) getRole(ctx context.Context, c call, in *IDInput) (*output[roleBody], error) {
	role, err := pathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Roles.Get(ctx, c.Principal, role)
	if err != nil {
		return nil, err
	}
	return out(showRole(r)), nil
}

type updateRoleInput struct {
	IDInput
	Body struct {
		Description *string   `json:"description,omitempty" maxLength:"500"`
		Permissions *[]string `json:"permissions,omitempty" maxItems:"200"`
	}
}

func (a *API) updateRole(ctx context.Context, c call, in *updateRoleInput) (*output[roleBody], error) {
	which, err := pathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Roles.Update(ctx, c.Principal, which, func(f *role.Fields) {
		set(&f.Description, in.Body.Description)
		set(&f.Permissions, in.Body.Permissions)
	})
	if err != nil {
		return nil, err
	}
	return out(showRole(r)), nil
}

func (a *API) deleteRole(ctx context.Context, c call, in *IDInput) (*nothing, error) {
	which, err := pathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Roles.Delete(ctx, c.Principal, which)
}
