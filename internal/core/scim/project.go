package scim

import (
	"maps"
	"strings"
)

// Selection is which attributes a client wants (RFC 7644 §3.9): those it names, or all but those it names.
type Selection struct {
	kind    *Kind
	only    []target // nil: all
	without []target
}

// Select reads the parameters attributes and excludedAttributes: names in any case, in one text with commas between
// them. Names that no schema knows select nothing.
func (k *Kind) Select(attributes, excluded string) (Selection, error) {
	s := Selection{kind: k}
	if attributes != "" && excluded != "" {
		return s, errorf(InvalidValue, "send attributes or excludedAttributes, not both")
	}
	read := func(text string) ([]target, error) {
		out := []target{}
		for name := range strings.SplitSeq(text, ",") {
			t, err := k.target(strings.TrimSpace(name))
			if err != nil {
				return nil, err
			}
			if t.attr != nil || t.schema != "" {
				out = append(out, t)
			}
		}
		return out, nil
	}
	var err error
	if attributes != "" {
		s.only, err = read(attributes)
	} else if excluded != "" {
		s.without, err = read(excluded)
	}
	return s, err
}

// Wants tells whether an attribute of the core schema is wanted, so that what it costs can be saved.
func (s Selection) Wants(name string) bool {
	a := s.kind.attribute(name)
	if a == nil {
		return false
	}
	if a.Returned == "always" {
		return true
	}
	if s.only != nil {
		return touches(s.only, "", a, true)
	}
	return !touches(s.without, "", a, false)
}

// touches tells whether targets name an attribute: as a whole, or with partly, a part of it.
func touches(list []target, schema string, a *Attribute, partly bool) bool {
	for _, t := range list {
		if t.attr == nil && t.isCore() == (schema == "") && (schema == "" || t.schema == schema) {
			return true
		}
		if t.attr == a && (t.sub == nil || partly) {
			return true
		}
	}
	return false
}

// Project gives what is wanted of a resource as it is answered. The resource stays as it is.
func (s Selection) Project(r map[string]any) map[string]any {
	out := make(map[string]any, len(r))
	for name, v := range r {
		if strings.Contains(name, ":") {
			if kept := s.extension(name, v); kept != nil {
				out[name] = kept
			}
			continue
		}
		a := s.kind.attribute(name)
		switch {
		case a == nil || a.Returned == "always": // schemas, id
			out[name] = v
		case s.Wants(name):
			out[name] = s.parts(a, v)
		}
	}
	return out
}

// extension gives what is wanted of an extension.
func (s Selection) extension(schema string, v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	x := s.kind.extension(schema)
	named := func(list []target) bool {
		for _, t := range list {
			if t.attr == nil && strings.EqualFold(t.schema, schema) {
				return true
			}
		}
		return false
	}
	switch {
	case s.only == nil && s.without == nil, s.only != nil && named(s.only):
		return v
	case s.without != nil && named(s.without), s.only != nil && x == nil:
		return nil
	case x == nil:
		return v
	}
	out := map[string]any{}
	for name, inner := range m {
		a := find(x.Attributes, name)
		if a != nil && (s.only != nil) == touches(s.orWithout(), x.Schema, a, s.only != nil) {
			out[name] = s.parts(a, inner)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (s Selection) orWithout() []target {
	if s.only != nil {
		return s.only
	}
	return s.without
}

// parts gives what is wanted of an attribute that has parts.
func (s Selection) parts(a *Attribute, v any) any {
	var subs []string
	for _, t := range s.orWithout() {
		if t.attr != a {
			continue
		}
		if t.sub == nil {
			return v
		}
		subs = append(subs, t.sub.Name)
	}
	if subs == nil {
		return v
	}
	cut := func(m map[string]any) map[string]any {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(name string, _ any) bool {
			for _, sub := range subs {
				if sub == name {
					return s.only == nil
				}
			}
			return s.only != nil
		})
		return m
	}
	switch e := v.(type) {
	case map[string]any:
		return cut(e)
	case []any:
		out := make([]any, len(e))
		for i, one := range e {
			if out[i] = one; one != nil {
				if m, ok := one.(map[string]any); ok {
					out[i] = cut(m)
				}
			}
		}
		return out
	}
	return v
}
