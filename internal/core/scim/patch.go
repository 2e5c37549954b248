package scim

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// Operation is one of a PATCH (RFC 7644 §3.5.2).
type Operation struct {
	Op    string // add, remove, replace
	Path  string // empty: what Value names
	Value any
}

// maxOperations of one PATCH. Entra ID sends one for each attribute; groups change by thousands of members in one
// value.
const maxOperations = 1000

// ReadPatch reads the body of a PATCH. Names and operators are taken in any case.
func ReadPatch(body map[string]any) ([]Operation, error) {
	list, ok := member(body, "Operations").([]any)
	if !ok || len(list) == 0 {
		return nil, errorf(InvalidSyntax, "Operations must be a list of at least one operation")
	}
	if len(list) > maxOperations {
		return nil, errorf(TooMany, "there are more than %d operations", maxOperations)
	}
	out := make([]Operation, 0, len(list))
	for i, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			return nil, errorf(InvalidSyntax, "operation %d must be an object", i+1)
		}
		op, _ := member(m, "op").(string)
		path := member(m, "path")
		text, isText := path.(string)
		o := Operation{strings.ToLower(op), strings.TrimSpace(text), member(m, "value")}
		switch {
		case path != nil && !isText:
			return nil, errorf(InvalidPath, "the path of operation %d must be a string", i+1)
		case !slices.Contains([]string{"add", "remove", "replace"}, o.Op):
			return nil, errorf(InvalidSyntax, "operation %d must be add, remove or replace", i+1)
		case o.Op == "remove" && o.Path == "":
			return nil, errorf(NoTarget, "operation %d removes, and must have a path", i+1)
		}
		out = append(out, o)
	}
	return out, nil
}

// member gives an entry by its name in any case.
func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	for key, v := range m {
		if strings.EqualFold(key, name) {
			return v
		}
	}
	return nil
}

// Step is a change of a group's members, in the order of the request.
type Step struct {
	Op  string // add, remove, replace
	IDs []string
}

// Patch applies operations, in order, to a resource, which is changed even if an error comes: give a deep copy. What
// changes a group's members comes as steps, which cost what they change. id is that of the resource.
func (k *Kind) Patch(r Resource, id string, ops []Operation) ([]Step, error) {
	var steps []Step
	for _, o := range ops {
		if o.Path != "" {
			got, err := k.operate(r, id, o)
			if err != nil {
				return nil, err
			}
			steps = append(steps, got...)
			continue
		}
		m, ok := o.Value.(map[string]any)
		if !ok {
			return nil, errorf(InvalidValue, "an operation without a path must have an object as its value")
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			got, err := k.operate(r, id, Operation{o.Op, name, m[name]})
			if isUnknown(err) && !strings.ContainsRune(name, '[') {
				continue // a name that no schema knows, as in a body
			}
			if err != nil {
				return nil, err
			}
			steps = append(steps, got...)
		}
	}
	return steps, k.Check(r)
}

func isUnknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Type == InvalidPath
}

func (k *Kind) operate(r Resource, id string, o Operation) ([]Step, error) {
	if strings.EqualFold(o.Path, "id") && o.Value != id {
		return nil, errorf(Mutability, "id cannot be changed")
	}
	if isSilent(o.Path) {
		return nil, nil
	}
	t, err := k.path(o.Path)
	if err != nil {
		return nil, err
	}
	switch {
	case t.attr == nil && t.unknown:
		if o.Op == "remove" {
			o.Value = nil
		}
		return nil, r.keep(t, o.Value)
	case t.attr == nil:
		return nil, k.whole(r, t, o)
	case k == Group && t.attr.Name == "members":
		return memberSteps(t, o)
	case t.silent():
		return nil, nil
	case t.attr.Multi:
		return nil, t.many(r, o)
	case o.Op == "remove":
		t.set(r, nil)
		return nil, nil
	}
	if m, ok := o.Value.(map[string]any); ok && t.attr.Type == Complex && t.sub == nil { // what it names, and no more
		for _, name := range slices.Sorted(maps.Keys(m)) {
			part := t
			if part.sub = t.attr.Find(name); part.sub == nil || part.sub.Mutability == "readOnly" {
				continue
			}
			got, err := part.convert(m[name])
			if err != nil {
				return nil, err
			}
			part.set(r, got)
		}
		return nil, nil
	}
	got, err := t.convert(o.Value)
	if err != nil {
		return nil, err
	}
	t.set(r, got)
	return nil, nil
}

// whole changes an extension, or the core schema named by its URN, as a whole.
func (k *Kind) whole(r Resource, t target, o Operation) error {
	if o.Op == "remove" {
		if t.isCore() {
			return errorf(Mutability, "the core schema cannot be removed")
		}
		delete(r, t.schema)
		return nil
	}
	m, ok := o.Value.(map[string]any)
	if !ok {
		return errorf(InvalidValue, "%s must be an object", t.schema)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if _, err := k.operate(r, "", Operation{o.Op, t.schema + ":" + name, m[name]}); err != nil {
			if isUnknown(err) {
				continue
			}
			return err
		}
	}
	return nil
}

// many changes a list of values.
func (t target) many(r Resource, o Operation) error {
	m := t.holder(r, o.Op != "remove")
	values, _ := m[t.attr.Name].([]any)
	values = slices.Clone(values)
	store := func(values []any) {
		all := t
		all.sub = nil
		if len(values) == 0 {
			all.set(r, nil)
			return
		}
		all.set(r, values)
	}
	if t.cond == nil && t.sub == nil {
		got, err := t.attr.convert(o.Value, t.name())
		if err != nil {
			return err
		}
		given, _ := got.([]any)
		switch {
		case o.Op == "replace", o.Op == "remove" && o.Value == nil:
			store(given)
			return nil
		case o.Op == "remove": // those that it names, by what they say
			store(slices.DeleteFunc(values, func(v any) bool {
				return slices.ContainsFunc(given, func(g any) bool { return covers(g, v) })
			}))
			return nil
		}
		for _, g := range given {
			if !slices.ContainsFunc(values, func(v any) bool { return same(v, g) }) {
				values = append(prefer(values, g), g)
			}
		}
		if len(values) > maxValues {
			return errorf(TooMany, "%s has more than %d values", t.name(), maxValues)
		}
		store(values)
		return nil
	}
	found := false
	out := make([]any, 0, len(values))
	for _, v := range values {
		one, _ := v.(map[string]any)
		if t.cond != nil && !Holds(t.cond, one) {
			out = append(out, v)
			continue
		}
		found = true
		changed, err := t.changeOne(maps.Clone(one), o)
		if err != nil {
			return err
		}
		if changed != nil {
			out = append(out, changed)
		}
	}
	if !found && o.Op != "remove" {
		// Entra ID names a value that is not there yet: it is the one that the condition describes
		fresh, described := describedBy(t.cond)
		if !described {
			return errorf(NoTarget, "no value of %s is as the path says", t.attr.Name)
		}
		changed, err := t.changeOne(fresh, o)
		if err != nil {
			return err
		}
		if changed != nil {
			out = append(prefer(out, changed), changed)
		}
	}
	store(out)
	return nil
}

// changeOne changes one value of a list; nil: nothing of it is left.
func (t target) changeOne(one map[string]any, o Operation) (map[string]any, error) {
	if t.sub == nil {
		if o.Op == "remove" {
			return nil, nil
		}
		given, ok := o.Value.(map[string]any)
		if !ok {
			if list, isList := o.Value.([]any); isList && len(list) == 1 {
				given, ok = list[0].(map[string]any)
			}
		}
		if !ok {
			given = map[string]any{"value": o.Value}
		}
		for name, v := range given {
			sub := t.attr.Find(name)
			if sub == nil || sub.Mutability == "readOnly" {
				continue
			}
			got, err := sub.convert(v, t.attr.Name+"."+sub.Name)
			if err != nil {
				return nil, err
			}
			if got == nil {
				delete(one, sub.Name)
			} else {
				one[sub.Name] = got
			}
		}
	} else {
		v := o.Value
		if o.Op == "remove" {
			v = nil
		}
		got, err := t.convert(v)
		if err != nil {
			return nil, err
		}
		if got == nil {
			delete(one, t.sub.Name)
		} else {
			one[t.sub.Name] = got
		}
	}
	for name := range one {
		if name != "type" && name != "primary" {
			return one, nil
		}
	}
	return nil, nil // it says nothing any more
}

// describedBy makes the value that a condition describes: only equalities, all of which hold.
func describedBy(e Expr) (map[string]any, bool) {
	switch x := e.(type) {
	case nil:
		return map[string]any{}, true
	case And:
		left, ok := describedBy(x.Left)
		right, both := describedBy(x.Right)
		if !ok || !both {
			return nil, false
		}
		maps.Copy(left, right)
		return left, true
	case Compare:
		if x.Op == Eq {
			return map[string]any{x.Field.last().Name: x.Given}, true
		}
	}
	return nil, false
}

// prefer makes room for a value that is primary: no other is.
func prefer(values []any, fresh any) []any {
	if m, _ := fresh.(map[string]any); m["primary"] != true {
		return values
	}
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
		if m, _ := v.(map[string]any); m["primary"] == true {
			m = maps.Clone(m)
			m["primary"] = false
			out[i] = m
		}
	}
	return out
}

// covers tells whether a value says all that another one names of it.
func covers(named, v any) bool {
	m, _ := named.(map[string]any)
	one, _ := v.(map[string]any)
	for key, want := range m {
		if one[key] != want {
			return false
		}
	}
	return len(m) > 0
}

// memberSteps reads what is to become of a group's members.
func memberSteps(t target, o Operation) ([]Step, error) {
	if t.cond != nil {
		ids, ok := named(t.cond)
		if !ok || o.Op != "remove" || t.sub != nil {
			return nil, errorf(InvalidPath, "members are added and replaced as a whole, and removed by "+
				`members[value eq "…"]`)
		}
		return []Step{{"remove", ids}}, nil
	}
	if t.sub != nil {
		return nil, errorf(InvalidPath, "a member is added or removed, not changed")
	}
	if o.Op == "remove" && isEmpty(o.Value) {
		return []Step{{Op: "replace"}}, nil // all of them
	}
	ids, err := IDs(o.Value)
	if err != nil {
		return nil, err
	}
	return []Step{{o.Op, ids}}, nil
}

// named gives the ids of members[value eq "a" or value eq "b"].
func named(e Expr) ([]string, bool) {
	switch x := e.(type) {
	case Or:
		left, ok := named(x.Left)
		right, both := named(x.Right)
		return append(left, right...), ok && both
	case Compare:
		s, isText := x.Given.(string)
		return []string{s}, x.Op == Eq && isText && x.Field.last().Name == "value"
	}
	return nil, false
}

// maxMembers of one request.
const maxMembers = 50_000

// IDs reads the members of a value: objects with a value, or ids alone; each once.
func IDs(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		if isEmpty(v) {
			return nil, nil
		}
		list = []any{v}
	}
	if len(list) > maxMembers {
		return nil, errorf(TooMany, "there are more than %d members", maxMembers)
	}
	seen := make(map[string]bool, len(list))
	var out []string
	for _, one := range list {
		s, isText := one.(string)
		if m, isObject := one.(map[string]any); isObject {
			s, isText = member(m, "value").(string)
		}
		if !isText {
			if isEmpty(one) {
				continue
			}
			return nil, errorf(InvalidValue, "a member must have a value, the id of a user")
		}
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out, nil
}

// Members gives those of the body of a group, and whether it has any word about them.
func Members(body map[string]any) (ids []string, told bool, err error) {
	v := member(body, "members")
	if v == nil {
		return nil, false, nil
	}
	ids, err = IDs(v)
	return ids, true, err
}
