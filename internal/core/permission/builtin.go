package permission

import "slices"

// The names of the roles every organization has.
const (
	RoleEndUser   = "end_user"
	RoleAgent     = "service_desk_agent"
	RoleManager   = "service_desk_manager"
	RoleAdmin     = "tenant_admin"
	RoleSuperUser = "super_admin"
)

// Builtin is a role that exists everywhere and cannot be changed.
type Builtin struct {
	Name        string
	Description string
	Permissions Set
}

var tenantAdmin = []string{
	"access_tokens:manage:all", "api_keys:manage:all", "application_tokens:manage:all", "audit:read:all",
	"clients:manage:all", "entity:manage:all", "introspection:manage:all",
	"invitations:manage:all", "organization:manage:all", "reports:read:all", "roles:manage:all", "sessions:manage:all",
	"sla_policies:manage:all", "sso:manage:all", "system_tokens:manage:all", "teams:manage:all", "tickets:manage:all",
	"users:manage:all",
}

// builtinsOf is the one table of the five roles; docs/permissions.md shows the same and a test holds them equal.
// Administrators hold the resources of protected APIs too.
func builtinsOf(defined []string) []Builtin {
	admin := slices.Clone(tenantAdmin)
	for _, name := range defined {
		admin = append(admin, name+":manage:all")
	}
	return []Builtin{
		{RoleEndUser, "Creates and sees own tickets.", must("tickets:create:own", "tickets:read:own")},
		{RoleAgent, "Sees and works own and team tickets.",
			must("tickets:create:own", "tickets:read:team", "tickets:update:team")},
		{RoleManager, "All tickets of the organization, assignment, reports and service levels.",
			must("tickets:manage:all", "reports:read:all", "sla_policies:manage:all")},
		{RoleAdmin, "Everything in one organization.", must(admin...)},
		{RoleSuperUser, "Every organization; for the platform's operators only.",
			must(append([]string{"organizations:manage:all"}, admin...)...)},
	}
}

func must(list ...string) Set {
	s, err := ParseSet(list)
	if err != nil {
		panic(err)
	}
	return s
}

// Builtins lists the five roles in order of their reach.
func Builtins() []Builtin { return current.Load().builtins }

// BuiltinRole finds one of the five by name.
func BuiltinRole(name string) (Builtin, bool) {
	for _, b := range Builtins() {
		if b.Name == name {
			return b, true
		}
	}
	return Builtin{}, false
}
