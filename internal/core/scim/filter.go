package scim

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Expr is a filter whose names and types were checked against the schema.
type Expr interface{ expr() }

// And, Or and Not join filters.
type (
	And struct{ Left, Right Expr }
	Or  struct{ Left, Right Expr }
	Not struct{ Inner Expr }
)

// Any holds if one of the values of a list does. In Inner, fields are those of one value.
type Any struct {
	Field Field
	Inner Expr
}

// Compare compares a field. Value is a string, a bool or, for moments, a time.Time; nil for pr, which asks whether
// there is a value.
type Compare struct {
	Field Field
	Op    Op
	Value any
	Given any // the value in the case in which it was sent
}

// Field is an attribute, or a sub-attribute of it, of the core schema or of an extension.
type Field struct {
	Schema string // of an extension; empty: the core schema
	Attr   *Attribute
	Sub    *Attribute
}

// Exact tells whether upper and lower case differ.
func (f Field) Exact() bool { return f.last().CaseExact }

func (f Field) last() *Attribute {
	if f.Sub != nil {
		return f.Sub
	}
	return f.Attr
}

// Op is an operator (RFC 7644 §3.4.2.2).
type Op string

// The operators.
const (
	Eq Op = "eq"
	Ne Op = "ne"
	Co Op = "co"
	Sw Op = "sw"
	Ew Op = "ew"
	Gt Op = "gt"
	Ge Op = "ge"
	Lt Op = "lt"
	Le Op = "le"
	Pr Op = "pr"
)

func (And) expr()     {}
func (Or) expr()      {}
func (Not) expr()     {}
func (Any) expr()     {}
func (Compare) expr() {}

// The bounds of a filter.
const (
	maxFilter = 4 << 10
	maxDepth  = 16
	maxTerms  = 100
)

// ParseFilter reads a filter over resources of the kind (RFC 7644 §3.4.2.2). Names, operators and URNs are taken in any
// case. Beyond the RFC it takes emails[type eq "work"].value eq "…", which Entra ID sends.
func (k *Kind) ParseFilter(text string) (Expr, error) {
	p := &parser{kind: k, text: text}
	if len(text) > maxFilter {
		return nil, errorf(InvalidFilter, "a filter has at most %d bytes", maxFilter)
	}
	e, err := p.whole()
	if err != nil {
		return nil, err
	}
	return e, nil
}

// parser reads one filter. within is the list whose values a bracket is about.
type parser struct {
	kind   *Kind
	text   string
	at     int
	depth  int
	terms  int
	within *Field
}

func (p *parser) fail(what string) error {
	return errorf(InvalidFilter, "%s at character %d", what, p.at+1)
}

func (p *parser) whole() (Expr, error) {
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.fail("there is more than a filter")
	}
	return e, nil
}

func (p *parser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

// word gives the next word without taking it.
func (p *parser) word() string {
	p.space()
	end := p.at
	for end < len(p.text) && strings.IndexByte(` ()[]"`, p.text[end]) < 0 {
		end++
	}
	return p.text[p.at:end]
}

func (p *parser) takes(word string) bool {
	w := p.word()
	if !strings.EqualFold(w, word) {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) sign(c byte) bool {
	p.space()
	if p.at >= len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) or() (Expr, error) {
	left, err := p.and()
	for err == nil && p.takes("or") {
		var right Expr
		if right, err = p.and(); err == nil {
			left = Or{left, right}
		}
	}
	return left, err
}

func (p *parser) and() (Expr, error) {
	left, err := p.term()
	for err == nil && p.takes("and") {
		var right Expr
		if right, err = p.term(); err == nil {
			left = And{left, right}
		}
	}
	return left, err
}

func (p *parser) group(end byte) (Expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("the filter is nested too deep")
	}
	e, err := p.or()
	if err == nil && !p.sign(end) {
		err = p.fail("a bracket is not closed")
	}
	p.depth--
	return e, err
}

func (p *parser) term() (Expr, error) {
	if p.terms++; p.terms > maxTerms {
		return nil, p.fail("the filter has too many terms")
	}
	if p.takes("not") {
		if !p.sign('(') {
			return nil, p.fail("not needs a bracket")
		}
		e, err := p.group(')')
		return Not{e}, err
	}
	if p.sign('(') {
		return p.group(')')
	}
	name := p.word()
	if name == "" {
		return nil, p.fail("an attribute is missing")
	}
	f, err := p.field(name)
	if err != nil {
		return nil, err
	}
	p.at += len(name)
	if p.at < len(p.text) && p.text[p.at] == '[' {
		return p.values(f)
	}
	return p.compare(f)
}

// values reads what stands in brackets behind a list, and a comparison of one of its sub-attributes behind that.
func (p *parser) values(f Field) (Expr, error) {
	if !f.Attr.Multi || f.Sub != nil || p.within != nil {
		return nil, p.fail(f.Attr.Name + " is no list of values")
	}
	p.at++
	p.within = &f
	inner, err := p.group(']')
	if err == nil && p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		name := p.word()
		var sub Field
		if sub, err = p.field(name); err == nil {
			p.at += len(name)
			var more Expr
			if more, err = p.compare(sub); err == nil {
				inner = And{inner, more}
			}
		}
	}
	p.within = nil
	return Any{f, inner}, err
}

// field finds the attribute of a name.
func (p *parser) field(name string) (Field, error) {
	if p.within != nil {
		sub := p.within.Attr.Find(name)
		if sub == nil {
			return Field{}, p.fail(p.within.Attr.Name + " has no such sub-attribute")
		}
		return Field{p.within.Schema, p.within.Attr, sub}, nil
	}
	t, err := p.kind.target(name)
	if err != nil || t.attr == nil || t.attr.Returned == "never" {
		return Field{}, p.fail("there is no such attribute to filter by")
	}
	f := Field{Attr: t.attr, Sub: t.sub}
	if !t.isCore() {
		f.Schema = t.schema
	}
	return f, nil
}

// compare reads operator and value.
func (p *parser) compare(f Field) (Expr, error) {
	word := p.word()
	op := Op(strings.ToLower(word))
	p.at += len(word)
	switch op {
	case Pr:
		if f.Attr.Multi && f.Sub != nil && p.within == nil {
			return Any{Field{f.Schema, f.Attr, nil}, Compare{Field: f, Op: Pr}}, nil
		}
		return Compare{Field: f, Op: Pr}, nil
	case Eq, Ne, Co, Sw, Ew, Gt, Ge, Lt, Le:
	default:
		return nil, p.fail("an operator is missing")
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if f.last().Type == Complex { // its value is meant, as in emails eq "…"
		value := f.Attr.Find("value")
		if f.Sub != nil || value == nil {
			return nil, p.fail(f.Attr.Name + " has parts; name one of them")
		}
		f.Sub = value
	}
	c, err := p.typed(f, op, v)
	if err != nil {
		return nil, err
	}
	if f.Attr.Multi && p.within == nil {
		return Any{Field{f.Schema, f.Attr, nil}, c}, nil
	}
	return c, nil
}

// typed holds a comparison to the field's type.
func (p *parser) typed(f Field, op Op, v any) (Expr, error) {
	if v == nil {
		switch op {
		case Eq:
			return Not{Compare{Field: f, Op: Pr}}, nil
		case Ne:
			return Compare{Field: f, Op: Pr}, nil
		}
		return nil, p.fail("null is equal or not")
	}
	text, isText := v.(string)
	switch f.last().Type {
	case Boolean:
		if isText && (strings.EqualFold(text, "true") || strings.EqualFold(text, "false")) {
			v = strings.EqualFold(text, "true")
		}
		if _, ok := v.(bool); !ok || op != Eq && op != Ne {
			return nil, p.fail(f.last().Name + " is true or false, and equal or not")
		}
		return Compare{f, op, v, v}, nil
	case DateTime:
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || op == Co || op == Sw || op == Ew {
			return nil, p.fail(f.last().Name + ` is a moment such as "2027-01-31T12:00:00Z"`)
		}
		return Compare{f, op, at, at}, nil
	}
	if n, ok := v.(float64); ok {
		text, isText = strconv.FormatFloat(n, 'f', -1, 64), true
	}
	if !isText || strings.ContainsRune(text, 0) {
		return nil, p.fail(f.last().Name + " is a string")
	}
	given := text
	if !f.Exact() {
		text = strings.ToLower(text)
	}
	return Compare{f, op, text, given}, nil
}

// value reads a value as JSON has it; true and false in any case.
func (p *parser) value() (any, error) {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == '"' {
		end := p.at + 1
		for end < len(p.text) && p.text[end] != '"' {
			if p.text[end] == '\\' {
				end++
			}
			end++
		}
		var s string
		if end >= len(p.text) || json.Unmarshal([]byte(p.text[p.at:end+1]), &s) != nil {
			return nil, p.fail("a string is not as JSON has it")
		}
		p.at = end + 1
		return s, nil
	}
	word := p.word()
	p.at += len(word)
	switch strings.ToLower(word) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	var n float64
	if json.Unmarshal([]byte(word), &n) != nil {
		return nil, p.fail("a value is missing")
	}
	return n, nil
}

// Holds tells whether one value of a list fulfils what stands in its brackets.
func Holds(e Expr, value map[string]any) bool {
	switch x := e.(type) {
	case And:
		return Holds(x.Left, value) && Holds(x.Right, value)
	case Or:
		return Holds(x.Left, value) || Holds(x.Right, value)
	case Not:
		return !Holds(x.Inner, value)
	case Compare:
		return x.holds(value[x.Field.last().Name])
	}
	return false
}

func (c Compare) holds(v any) bool {
	if c.Op == Pr {
		return v != nil
	}
	if want, ok := c.Value.(bool); ok {
		is, _ := v.(bool)
		return v != nil && (is == want) == (c.Op == Eq)
	}
	s, ok := v.(string)
	want, _ := c.Value.(string)
	if !ok {
		return false
	}
	if !c.Field.Exact() {
		s = strings.ToLower(s)
	}
	switch c.Op {
	case Eq:
		return s == want
	case Ne:
		return s != want
	case Co:
		return strings.Contains(s, want)
	case Sw:
		return strings.HasPrefix(s, want)
	case Ew:
		return strings.HasSuffix(s, want)
	case Gt:
		return s > want
	case Ge:
		return s >= want
	case Lt:
		return s < want
	case Le:
		return s <= want
	}
	return false
}
