package scim

import "strings"

const maxPath = 1 << 10

// target finds what a name points to: an attribute, a sub-attribute behind a dot, of an extension behind its URN and a
// colon. A name that no schema knows gives nothing and no error.
func (k *Kind) target(name string) (target, error) {
	if len(name) > maxPath {
		return target{}, errorf(InvalidPath, "a path has at most %d bytes", maxPath)
	}
	var t target
	attributes := k.attribute
	if len(name) > 4 && strings.EqualFold(name[:4], "urn:") {
		schema, rest, known := k.schemaOf(name)
		if !known {
			return target{schema: name, unknown: true}, nil
		}
		t.schema = schema
		if rest == "" {
			return t, nil
		}
		name = rest
		if x := k.extension(schema); x != nil {
			attributes = func(n string) *Attribute { return find(x.Attributes, n) }
		}
	}
	first, second, dotted := strings.Cut(name, ".")
	if t.attr = attributes(first); t.attr == nil {
		return target{}, nil
	}
	if dotted {
		if t.sub = t.attr.Find(second); t.sub == nil {
			return target{}, nil
		}
	}
	return t, nil
}

// schemaOf tells which known schema a name begins with, and what stands behind its colon.
func (k *Kind) schemaOf(name string) (schema, rest string, known bool) {
	schemas := []string{k.Schema}
	for _, x := range k.Extensions {
		schemas = append(schemas, x.Schema)
	}
	for _, s := range schemas {
		if len(name) < len(s) || !strings.EqualFold(name[:len(s)], s) {
			continue
		}
		if len(name) == len(s) {
			return s, "", true
		}
		if name[len(s)] == ':' {
			return s, name[len(s)+1:], true
		}
	}
	return "", "", false
}

// path reads the path of a PATCH operation (RFC 7644 §3.5.2): a name, with values of a list in brackets.
func (k *Kind) path(text string) (target, error) {
	open := strings.IndexByte(text, '[')
	if open < 0 {
		t, err := k.target(text)
		if err == nil && t.attr == nil && t.schema == "" {
			err = errorf(InvalidPath, "there is no attribute %.100q", text)
		}
		return t, err
	}
	t, err := k.target(text[:open])
	if err != nil {
		return t, err
	}
	if t.attr == nil || !t.attr.Multi || t.sub != nil {
		return t, errorf(InvalidPath, "%.100q is no list of values", text[:open])
	}
	p := &parser{kind: k, text: text, at: open + 1}
	p.within = &Field{Attr: t.attr}
	if !t.isCore() {
		p.within.Schema = t.schema
	}
	if len(text) > maxFilter {
		return t, errorf(InvalidPath, "a path has at most %d bytes", maxFilter)
	}
	if t.cond, err = p.group(']'); err != nil {
		return t, errorf(InvalidPath, "the path %.200q: %v", text, err)
	}
	rest := text[p.at:]
	if rest == "" {
		return t, nil
	}
	if t.sub = t.attr.Find(strings.TrimPrefix(rest, ".")); rest[0] != '.' || t.sub == nil {
		return t, errorf(InvalidPath, "%s has no sub-attribute %.100q", t.attr.Name, rest)
	}
	return t, nil
}
