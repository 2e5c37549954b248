package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
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
	return roleBody{string(r.ID), r.Name, r.Description, r.Permissions.Strings(), r.Builtin, v1.Moment(r.CreatedAt),
		v1.Moment(r.UpdatedAt)}
}

func (a *routes) registerRoles() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/roles", "roles:read"),
		v1.Op("List roles, the built-in ones first"),
		a.listRoles)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPost, "/v1/roles", "roles:create")), v1.Created("Create a role"),
		a.createRole)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/roles/{id}", "roles:read"), v1.Op("Get a role"), a.getRole)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/roles/{id}", "roles:update")),
		v1.Op("Change a role", http.StatusConflict), a.updateRole)
	v1.Register(a.API, v1.Managed(http.MethodDelete, "/v1/roles/{id}", "roles:delete"),
		v1.Deleted("Delete a role that nobody holds", http.StatusConflict), a.deleteRole)
}

func (a *routes) listRoles(ctx context.Context, c v1.Call, in *v1.Page) (*v1.ListOutput[roleBody], error) {
	after, err := a.Position(*in, c, "roles")
	if err != nil {
		return nil, err
	}
	rows, err := a.Roles.List(ctx, c.Principal, id.Role(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, *in, c, "roles", nil, rows, func(r role.Role) string { return string(r.ID) }, showRole), nil
}

type createRoleInput struct {
	Body struct {
		Name        string   `json:"name" maxLength:"50" doc:"Lower-case letters, digits, underscores; does not change"`
		Description string   `json:"description,omitempty" maxLength:"500"`
		Permissions []string `json:"permissions" maxItems:"200" doc:"resource:action:scope"`
	}
}

func (a *routes) createRole(ctx context.Context, c v1.Call, in *createRoleInput) (*v1.CreatedOutput[roleBody], error) {
	r, err := a.Roles.Create(ctx, c.Principal, role.Fields{Name: in.Body.Name, Description: in.Body.Description,
		Permissions: in.Body.Permissions})
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/roles/"+string(r.ID), showRole(r)), nil
}

func (a *routes) getRole(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[roleBody], error) {
	role, err := v1.PathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Roles.Get(ctx, c.Principal, role)
	if err != nil {
		return nil, err
	}
	return v1.Out(showRole(r)), nil
}

type updateRoleInput struct {
	v1.IDInput
	Body struct {
		Description *string   `json:"description,omitempty" maxLength:"500"`
		Permissions *[]string `json:"permissions,omitempty" maxItems:"200"`
	}
}

func (a *routes) updateRole(ctx context.Context, c v1.Call, in *updateRoleInput) (*v1.Output[roleBody], error) {
	which, err := v1.PathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Roles.Update(ctx, c.Principal, which, func(f *role.Fields) {
		v1.Set(&f.Description, in.Body.Description)
		v1.Set(&f.Permissions, in.Body.Permissions)
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showRole(r)), nil
}

func (a *routes) deleteRole(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	which, err := v1.PathID[id.Role](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Roles.Delete(ctx, c.Principal, which)
}
