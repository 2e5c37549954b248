// Package permission is the language of rights: `resource:action:scope`. It parses, orders and compares; which roles
// hold what is in builtin.go, which words exist is in catalog.go.
package permission

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Scope says whose things a permission reaches. Each includes those before it.
type Scope uint8

// The scopes, from nothing to the whole organization.
const (
	None Scope = iota
	Own
	Team
	All
)

func (s Scope) String() string {
	switch s {
	case Own:
		return "own"
	case Team:
		return "team"
	case All:
		return "all"
	}
	return "none"
}

// ParseScope reads own, team or all.
func ParseScope(s string) (Scope, error) {
	switch s {
	case "own":
		return Own, nil
	case "team":
		return Team, nil
	case "all":
		return All, nil
	}
	return None, fmt.Errorf("scope %q: want own, team or all", s)
}

// Manage is the action that includes every other action on its resource.
const Manage = "manage"

// Permission is one right.
type Permission struct {
	Resource string
	Action   string
	Scope    Scope
}

func (p Permission) String() string { return p.Resource + ":" + p.Action + ":" + p.Scope.String() }

// Includes tells whether p gives everything that q gives.
func (p Permission) Includes(q Permission) bool {
	return p.Resource == q.Resource && (p.Action == q.Action || p.Action == Manage) && p.Scope >= q.Scope
}

// Parse reads `resource:action:scope` and accepts only words of the catalog.
func Parse(s string) (Permission, error) {
	if len(s) > 100 {
		return Permission{}, fmt.Errorf("permission is longer than 100 characters")
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Permission{}, fmt.Errorf("permission %q: want resource:action:scope", s)
	}
	actions, ok := current.Load().words[parts[0]]
	if !ok {
		return Permission{}, fmt.Errorf("permission %q: unknown resource %q; those of your own APIs stand in the "+
			"setting resources", s, parts[0])
	}
	scopes, ok := actions[parts[1]]
	if !ok {
		return Permission{}, fmt.Errorf("permission %q: %s has no action %q", s, parts[0], parts[1])
	}
	scope, err := ParseScope(parts[2])
	if err != nil {
		return Permission{}, fmt.Errorf("permission %q: %w", s, err)
	}
	if !slices.Contains(scopes, scope) {
		return Permission{}, fmt.Errorf("permission %q: %s:%s has no scope %s", s, parts[0], parts[1], scope)
	}
	return Permission{parts[0], parts[1], scope}, nil
}

// Set is an immutable set of permissions. The zero value holds nothing.
type Set struct {
	list []Permission
	text []string // of list
	line string   // text in one line

	platform bool // some are on the platform's own resource
	all      bool
}

// Everything is the set of the server's own principals (command line, jobs); no credential can carry it.
func Everything() Set { return Set{all: true} }

// NewSet makes a set, sorted and without repetition.
func NewSet(list ...Permission) Set {
	l := slices.Clone(list)
	slices.SortFunc(l, func(a, b Permission) int { return strings.Compare(a.String(), b.String()) })
	s := Set{list: slices.Compact(l)}
	s.text = make([]string, len(s.list))
	for i, p := range s.list {
		s.text[i] = p.String()
		s.platform = s.platform || p.Resource == PlatformResource
	}
	s.line = strings.Join(s.text, " ")
	return s
}

// MarshalJSON writes the list. Everything has none.
func (s Set) MarshalJSON() ([]byte, error) {
	if s.all {
		return nil, errors.New("permission: the set of everything is never written")
	}
	return json.Marshal(s.Strings())
}

// UnmarshalJSON reads a list as ParseKnown does.
func (s *Set) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*s = ParseKnown(list)
	return nil
}

// ParseSet reads a list; the error names the first entry that is wrong.
func ParseSet(list []string) (Set, error) {
	out := make([]Permission, 0, len(list))
	for _, s := range list {
		p, err := Parse(s)
		if err != nil {
			return Set{}, err
		}
		out = append(out, p)
	}
	return NewSet(out...), nil
}

// ParseKnown reads a stored list and leaves out what the catalog no longer knows: a withdrawn word grants nothing.
func ParseKnown(list []string) Set {
	out := make([]Permission, 0, len(list))
	for _, s := range list {
		if p, err := Parse(s); err == nil {
			out = append(out, p)
		}
	}
	return NewSet(out...)
}

// Scope is the widest scope in which the set allows the action on the resource.
func (s Set) Scope(resource, action string) Scope {
	if s.all {
		return All
	}
	widest := None
	for i := range s.list {
		p := &s.list[i]
		if p.Resource == resource && (p.Action == action || p.Action == Manage) && p.Scope > widest {
			widest = p.Scope
		}
	}
	return widest
}

// Holds tells whether the set gives everything p gives.
func (s Set) Holds(p Permission) bool { return s.Scope(p.Resource, p.Action) >= p.Scope }

// Covers tells whether the set gives everything the other set gives.
func (s Set) Covers(other Set) bool { return len(s.Missing(other)) == 0 }

// Missing lists what the other set gives and s does not.
func (s Set) Missing(other Set) []Permission {
	if s.all {
		return nil
	}
	if other.all {
		return []Permission{{Resource: "*", Action: Manage, Scope: All}}
	}
	var missing []Permission
	for _, p := range other.list {
		if !s.Holds(p) {
			missing = append(missing, p)
		}
	}
	return missing
}

// Within is what both sets give: s cut to what ceiling holds now.
func (s Set) Within(ceiling Set) Set {
	switch {
	case ceiling.all || ceiling.Covers(s):
		return s
	case s.all:
		return ceiling
	}
	var both []Permission
	for _, p := range s.list {
		for _, q := range ceiling.list {
			if p.Resource != q.Resource {
				continue
			}
			cut := Permission{p.Resource, p.Action, min(p.Scope, q.Scope)}
			switch {
			case p.Action == q.Action || q.Action == Manage:
			case p.Action == Manage:
				cut.Action = q.Action
			default:
				continue
			}
			if slices.Contains(current.Load().words[cut.Resource][cut.Action], cut.Scope) {
				both = append(both, cut)
			}
		}
	}
	return NewSet(both...)
}

// ForTeams is what membership of a team brings to a holder of the set, with the scope that whoever decides about
// memberships must hold it in: all.
func (s Set) ForTeams() Set {
	var out []Permission
	for _, p := range s.list {
		if p.Scope == Team {
			out = append(out, Permission{p.Resource, p.Action, All})
		}
	}
	return NewSet(out...)
}

// WithoutPlatform leaves out what only the platform's own organization can give.
func (s Set) WithoutPlatform() Set {
	if !s.platform {
		return s
	}
	return s.Filter(func(p Permission) bool { return p.Resource != PlatformResource })
}

// Filter keeps what keep accepts.
func (s Set) Filter(keep func(Permission) bool) Set {
	var kept []Permission
	for _, p := range s.list {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return NewSet(kept...)
}

// administration is what makes its holder an administrator: whoever may change one of these for everybody.
var administration = []string{"users", "roles", "invitations", "organization", "organizations", "sso", "api_keys",
	"access_tokens", "application_tokens", "system_tokens", "clients"}

// Administers tells whether the holder is an administrator, whatever the role is called.
func (s Set) Administers() bool {
	for _, resource := range administration {
		for _, action := range []string{"create", "update", "delete"} {
			if s.Scope(resource, action) == All {
				return true
			}
		}
	}
	return false
}

// Strings lists the permissions in order; never nil, and not to be changed.
func (s Set) Strings() []string {
	if s.text == nil {
		return []string{}
	}
	return s.text
}

// Line is the permissions in order with spaces between them, as an OAuth scope is written.
func (s Set) Line() string { return s.line }

// List gives the permissions in order; not to be changed.
func (s Set) List() []Permission { return s.list }

// Len is the number of permissions.
func (s Set) Len() int { return len(s.list) }
