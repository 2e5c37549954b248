package permission

import (
	"maps"
	"slices"
)

var (
	ownTeamAll = []Scope{Own, Team, All}
	teamAll    = []Scope{Team, All}
	ownAll     = []Scope{Own, All}
	onlyAll    = []Scope{All}
)

// catalog is every permission that exists: resource → action → scopes. A word that is not here can be neither granted nor asked for.
var catalog = map[string]map[string][]Scope{
	"tickets":            {"create": ownTeamAll, "read": ownTeamAll, "update": ownTeamAll, "assign": teamAll, Manage: ownTeamAll},
	"reports":            {"read": onlyAll, Manage: onlyAll},
	"sla_policies":       {"read": onlyAll, "update": onlyAll, Manage: onlyAll},
	"users":              crud(onlyAll),
	"teams":              crud(onlyAll),
	"roles":              crud(onlyAll),
	"invitations":        crud(onlyAll),
	"sessions":           {"read": onlyAll, "delete": onlyAll, Manage: onlyAll},
	"organization":       {"read": onlyAll, "update": onlyAll, Manage: onlyAll},
	"audit":              {"read": onlyAll, Manage: onlyAll},
	"api_keys":           crud(ownAll),
	"access_tokens":      crud(ownAll),
	"application_tokens": crud(ownAll),
	"system_tokens":      crud(onlyAll),
	"clients":            crud(onlyAll),
	"sso":                crud(onlyAll),
	"organizations":      crud(onlyAll),
}

func crud(scopes []Scope) map[string][]Scope {
	return map[string][]Scope{"create": scopes, "read": scopes, "update": scopes, "delete": scopes, Manage: scopes}
}

// PlatformResource is the resource that only the platform's operators may ever hold: the organizations themselves.
const PlatformResource = "organizations"

// Catalog lists every permission in order.
func Catalog() []Permission {
	var out []Permission
	for _, resource := range slices.Sorted(maps.Keys(catalog)) {
		for _, action := range slices.Sorted(maps.Keys(catalog[resource])) {
			for _, scope := range catalog[resource][action] {
				out = append(out, Permission{resource, action, scope})
			}
		}
	}
	return out
}

// Known tells whether a resource has the action at all; routes are checked against it.
func Known(resource, action string) bool {
	_, ok := catalog[resource][action]
	return ok
}
