package permission

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

var (
	ownTeamAll = []Scope{Own, Team, All}
	teamAll    = []Scope{Team, All}
	ownAll     = []Scope{Own, All}
	onlyAll    = []Scope{All}
)

// words are resource → action → scopes.
type words map[string]map[string][]Scope

// own is what Gatehouse itself protects.
var own = words{
	"tickets": {"create": ownTeamAll, "read": ownTeamAll, "update": ownTeamAll, "assign": teamAll,
		Manage: ownTeamAll},
	"reports":      {"read": onlyAll, Manage: onlyAll},
	"sla_policies": {"read": onlyAll, "update": onlyAll, Manage: onlyAll},
	"users":        crud(onlyAll),
	"teams":        crud(onlyAll),
	"roles":        crud(onlyAll),
	"invitations":  crud(onlyAll),
	"sessions":     {"read": onlyAll, "delete": onlyAll, Manage: onlyAll},
	"organization": {"read": onlyAll, "update": onlyAll, Manage: onlyAll},
	// name and profile of the organization, not its settings
	"entity":             {"read": onlyAll, "update": onlyAll, Manage: onlyAll},
	"audit":              {"read": onlyAll, Manage: onlyAll},
	"introspection":      {"read": onlyAll, Manage: onlyAll}, // all that a token says
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

// vocabulary is every permission that exists and the built-in roles made from them. A word that is not in it can be
// neither granted nor asked for. It grows at start by the resources of the protected APIs and is read without a lock.
type vocabulary struct {
	words    words
	builtins []Builtin
}

var (
	current  atomic.Pointer[vocabulary]
	defining sync.Mutex
)

func init() {
	current.Store(&vocabulary{words: own}) // the roles are parsed against it
	current.Store(&vocabulary{own, builtinsOf(nil)})
}

var resourceName = regexp.MustCompile(`^[a-z][a-z0-9_]{1,49}$`)

// CheckResource tells what is wrong with the name of a resource that Define shall add.
func CheckResource(name string) error {
	if _, taken := own[name]; taken {
		return fmt.Errorf("resource %q is one of the server's own", name)
	}
	if !resourceName.MatchString(name) {
		return fmt.Errorf("resource %q: must have 2 to 50 lower-case letters, digits and underscores and begin with "+
			"a letter", name)
	}
	return nil
}

// Define adds resources of APIs that are protected from outside (forward authentication), each with the actions create,
// read, update, delete and manage in every scope. Administrators hold them; other roles are an organization's to
// define. Defining one again changes nothing.
func Define(resources []string) error {
	defining.Lock()
	defer defining.Unlock()
	v := current.Load()
	next := maps.Clone(v.words)
	for _, name := range resources {
		if err := CheckResource(name); err != nil {
			return err
		}
		next[name] = crud(ownTeamAll)
	}
	current.Store(&vocabulary{next, v.builtins})
	current.Store(&vocabulary{next, builtinsOf(Defined())})
	return nil
}

// Catalog lists every permission in order.
func Catalog() []Permission {
	var out []Permission
	catalog := current.Load().words
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
	_, ok := current.Load().words[resource][action]
	return ok
}

// IsResource tells whether a resource exists.
func IsResource(name string) bool {
	_, ok := current.Load().words[name]
	return ok
}

// IsDefined tells whether a resource belongs to a protected API and not to Gatehouse itself.
func IsDefined(name string) bool {
	_, mine := own[name]
	return !mine && IsResource(name)
}

// Defined lists the resources of protected APIs in order.
func Defined() []string {
	var out []string
	for name := range current.Load().words {
		if _, mine := own[name]; !mine {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
