package upstream

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// claims are what an ID token, a userinfo answer or a SAML assertion tells.
type claims map[string]any

// at gives what stands at a path: the name of a claim and, inside it, of members. Names are literal.
func (c claims) at(path []string) any {
	var v any = map[string]any(c)
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// text gives a claim that is a string, or the first of a list.
func (c claims) text(path ...string) string {
	switch v := c.at(path).(type) {
	case string:
		return v
	case []any:
		if len(v) > 0 {
			s, _ := v[0].(string)
			return s
		}
	}
	return ""
}

// number gives a claim that is a number. A number in a string is none.
func (c claims) number(name string) (float64, bool) {
	n, ok := c[name].(float64)
	return n, ok
}

// moment gives a claim that is a NumericDate (RFC 7519 §2).
func (c claims) moment(name string) (time.Time, bool) {
	n, ok := c.number(name)
	if !ok || n < 0 || n > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0), true
}

// list gives a claim that is a list of strings, or one string.
func (c claims) list(path ...string) (out []string, ok bool) {
	switch v := c.at(path).(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, one := range v {
			switch e := one.(type) {
			case string:
				out = append(out, e)
			case map[string]any: // as some providers tell groups: an object with a name
				name, _ := e["name"].(string)
				if name == "" {
					name, _ = e["display"].(string)
				}
				if name != "" {
					out = append(out, name)
				}
			}
		}
		return out, true
	}
	return nil, false
}

// or gives a path, or another one where none was chosen.
func or(path []string, otherwise ...string) []string {
	if len(path) > 0 {
		return path
	}
	return otherwise
}

// printable tells whether no text in them has a control character other than those of lines.
func (c claims) printable() bool {
	for _, v := range c {
		if s, ok := v.(string); ok && !isPrintable(s) {
			return false
		}
		list, _ := v.([]any)
		for _, one := range list {
			if s, ok := one.(string); ok && !isPrintable(s) {
				return false
			}
		}
	}
	return true
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r)
	})
}

const maxGroups = 5000

// describe takes from the claims what the mapping says: name, address, groups.
func describe(p *connection.Person, c claims, m connection.Mapping) {
	p.Email = strings.TrimSpace(c.text(or(m.Email, "email")...))
	p.Name = strings.TrimSpace(c.text(or(m.Name, "name")...))
	if p.Name == "" {
		p.Name = strings.TrimSpace(c.text(or(m.GivenName, "given_name")...) + " " +
			c.text(or(m.FamilyName, "family_name")...))
	}
	groups, _ := c.list(or(m.Groups, "groups")...)
	groups = slices.DeleteFunc(groups, func(g string) bool {
		return g == "" || strings.ContainsFunc(g, unicode.IsControl)
	})
	if len(groups) > maxGroups {
		groups = groups[:maxGroups]
	}
	p.Groups, p.GroupsKnown = groups, true
}
