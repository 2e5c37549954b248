package scim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Resource is a resource in the form of its schema: names as the schema writes them, values of its types, nothing
// empty. Extensions stand under their URN. What the server says itself (id, meta, schemas, groups, members) is not in
// it.
type Resource map[string]any

// The bounds of a resource. A request's body is bounded besides.
const (
	maxText   = 8 << 10
	maxValues = 200 // of one attribute
	maxForms  = 50  // unknown extensions
)

// silent are attributes that a body may bring and that mean nothing there: the server says them, or never takes them.
var silent = []string{"id", "meta", "schemas", "groups", "password"}

// Read makes a resource of a body. The members of a group are apart: see Members.
func (k *Kind) Read(body map[string]any) (Resource, error) {
	r := Resource{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if err := k.put(r, name, body[name]); err != nil {
			return nil, err
		}
	}
	return r, k.Check(r)
}

func isSilent(name string) bool {
	return slices.ContainsFunc(silent, func(s string) bool { return strings.EqualFold(s, name) })
}

// put takes one entry of a body: an attribute, one of its sub-attributes by a dot, an extension, or one of its
// attributes by a colon. What no schema knows is left out; an unknown extension is kept as it is.
func (k *Kind) put(r Resource, name string, v any) error {
	t, err := k.target(name)
	if err != nil {
		return err
	}
	switch {
	case t.attr == nil && t.schema == "": // unknown
		return nil
	case t.attr == nil && t.unknown:
		return r.keep(t, v)
	case t.attr == nil: // a whole extension, or the core schema by its URN
		m, ok := v.(map[string]any)
		if v == nil {
			return nil
		}
		if !ok {
			return errorf(InvalidValue, "%s must be an object", t.schema)
		}
		for _, inner := range slices.Sorted(maps.Keys(m)) {
			if err := k.put(r, t.schema+":"+inner, m[inner]); err != nil {
				return err
			}
		}
		return nil
	case t.silent() || k == Group && t.attr.Name == "members": // by whichever name it came
		return nil
	case t.attr.Multi && t.sub != nil: // a part of a value: of one that has nothing else
		v = map[string]any{t.sub.Name: v}
		t.sub = nil
	}
	got, err := t.convert(v)
	if err != nil {
		return err
	}
	t.set(r, got)
	return nil
}

// silent tells whether a target means nothing in what is sent.
func (t target) silent() bool {
	return isSilent(t.attr.Name) || t.attr.Mutability == "readOnly" || t.sub != nil && t.sub.Mutability == "readOnly"
}

// keep stores what stands under an unknown URN.
func (r Resource) keep(t target, v any) error {
	if _, there := r[t.schema]; !there {
		n := 0
		for name := range r {
			if strings.Contains(name, ":") {
				n++
			}
		}
		if n >= maxForms {
			return errorf(InvalidValue, "there are more than %d extensions", maxForms)
		}
	}
	if isEmpty(v) {
		delete(r, t.schema)
		return nil
	}
	r[t.schema] = v
	return nil
}

// target is what a name or path points to.
type target struct {
	schema  string     // of an extension or of the core schema if it was named; empty: the core schema
	unknown bool       // the schema is none that is known here
	attr    *Attribute // nil: the schema as a whole, or nothing that is known
	sub     *Attribute
	cond    Expr // which of several values; nil: all
}

// name is that of the attribute, for messages.
func (t target) name() string {
	n := t.schema
	if t.attr != nil {
		if n = t.attr.Name; t.schema != "" && !t.isCore() {
			n = t.schema + ":" + n
		}
	}
	if t.sub != nil {
		n += "." + t.sub.Name
	}
	return n
}

func (t target) isCore() bool {
	return t.schema == "" || t.schema == UserSchema || t.schema == GroupSchema
}

// holder is the map in which the attribute stands.
func (t target) holder(r Resource, make bool) map[string]any {
	if t.isCore() {
		return r
	}
	m, ok := r[t.schema].(map[string]any)
	if !ok && make {
		m = map[string]any{}
		r[t.schema] = m
	}
	return m
}

// set writes a value in its converted form; nil takes it away. Nothing empty stays.
func (t target) set(r Resource, v any) {
	m := t.holder(r, v != nil)
	switch {
	case m == nil:
		return
	case t.sub == nil && v == nil:
		delete(m, t.attr.Name)
	case t.sub == nil:
		m[t.attr.Name] = v
	default:
		inner, _ := m[t.attr.Name].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		if v == nil {
			delete(inner, t.sub.Name)
		} else {
			inner[t.sub.Name] = v
		}
		if m[t.attr.Name] = inner; len(inner) == 0 {
			delete(m, t.attr.Name)
		}
	}
	if !t.isCore() && len(m) == 0 {
		delete(r, t.schema)
	}
}

// convert makes a value that was sent one of the target's type.
func (t target) convert(v any) (any, error) {
	if t.sub != nil {
		return t.sub.convert(v, t.name())
	}
	return t.attr.convert(v, t.name())
}

func isEmpty(v any) bool {
	switch e := v.(type) {
	case nil:
		return true
	case string:
		return e == ""
	case []any:
		return !slices.ContainsFunc(e, func(x any) bool { return !isEmpty(x) })
	case map[string]any:
		for _, x := range e {
			if !isEmpty(x) {
				return false
			}
		}
		return true
	}
	return false
}

// convert gives nil for what is empty.
func (a *Attribute) convert(v any, name string) (any, error) {
	if isEmpty(v) {
		return nil, nil
	}
	if !a.Multi {
		return a.one(v, name)
	}
	given, ok := v.([]any)
	if !ok { // one value where a list is due
		given = []any{v}
	}
	if len(given) > maxValues {
		return nil, errorf(TooMany, "%s has more than %d values", name, maxValues)
	}
	var out []any
	for _, e := range given {
		got, err := a.one(e, name)
		if err != nil {
			return nil, err
		}
		if got != nil && !slices.ContainsFunc(out, func(o any) bool { return same(o, got) }) {
			out = append(out, got)
		}
	}
	if out == nil {
		return nil, nil
	}
	return out, nil
}

// one converts a single value.
func (a *Attribute) one(v any, name string) (any, error) {
	if isEmpty(v) {
		return nil, nil
	}
	switch a.Type {
	case Boolean:
		switch b := v.(type) {
		case bool:
			return b, nil
		case string: // Entra ID's legacy form, and others
			if strings.EqualFold(b, "true") || strings.EqualFold(b, "false") {
				return strings.EqualFold(b, "true"), nil
			}
		}
		return nil, errorf(InvalidValue, "%s must be true or false", name)
	case Complex:
		return a.object(v, name)
	}
	var s string
	switch e := v.(type) {
	case string:
		s = e
	case float64:
		s = strconv.FormatFloat(e, 'f', -1, 64)
	default:
		return nil, errorf(InvalidValue, "%s must be a string", name)
	}
	if len(s) > maxText && a.Type != Binary || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return nil, errorf(InvalidValue, "%s must have at most %d bytes and no NUL", name, maxText)
	}
	return s, nil
}

func (a *Attribute) object(v any, name string) (any, error) {
	m, ok := v.(map[string]any)
	if !ok { // a bare value where an object is due: a manager's id, an address
		value := a.Find("value")
		if value == nil {
			return nil, errorf(InvalidValue, "%s must be an object", name)
		}
		got, err := value.one(v, name+".value")
		if err != nil || got == nil {
			return nil, err
		}
		return map[string]any{"value": got}, nil
	}
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		sub := a.Find(key)
		if sub == nil || sub.Mutability == "readOnly" {
			continue
		}
		got, err := sub.one(m[key], name+"."+sub.Name)
		if err != nil {
			return nil, err
		}
		if got != nil {
			out[sub.Name] = got
		}
	}
	if len(out) == 0 || a.Multi && len(out) == 1 && (out["primary"] != nil || out["type"] != nil) { // says nothing
		return nil, nil
	}
	return out, nil
}

// same tells whether two values of a list are one.
func same(a, b any) bool {
	x, ok := a.(map[string]any)
	y, both := b.(map[string]any)
	if !ok || !both {
		return a == b
	}
	return maps.EqualFunc(x, y, func(a, b any) bool { return a == b })
}

// Check holds a resource to what its schema requires, and settles which value of a list is primary: the first.
func (k *Kind) Check(r Resource) error {
	for i := range k.Attributes {
		a := &k.Attributes[i]
		if s, _ := r[a.Name].(string); a.Required && strings.TrimSpace(s) == "" {
			return errorf(InvalidValue, "%s is required", a.Name)
		}
		values, _ := r[a.Name].([]any)
		primary := false
		for _, v := range values {
			m, _ := v.(map[string]any)
			if m["primary"] == true && primary {
				m["primary"] = false // the first holds
			}
			primary = primary || m["primary"] == true
		}
	}
	return nil
}

// Schemas are those that a resource uses, the core one first.
func (k *Kind) Schemas(r Resource) []string {
	out := []string{k.Schema}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if strings.Contains(name, ":") {
			out = append(out, name)
		}
	}
	return out
}

// Text gives a string of the core schema: an attribute, or one of its sub-attributes.
func (r Resource) Text(name string, sub ...string) string {
	v := r[name]
	for _, s := range sub {
		m, _ := v.(map[string]any)
		v = m[s]
	}
	s, _ := v.(string)
	return s
}

// Values gives the values of a list: those marked primary first.
func (r Resource) Values(name string) []string {
	var first, rest []string
	values, _ := r[name].([]any)
	for _, v := range values {
		m, _ := v.(map[string]any)
		s, _ := m["value"].(string)
		switch {
		case s == "":
		case m["primary"] == true:
			first = append(first, s)
		default:
			rest = append(rest, s)
		}
	}
	return append(first, rest...)
}
