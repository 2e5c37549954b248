package easyvista

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// The sizes of a page, and how far an offset reaches: what lies before it is read and thrown away. @next reaches any
// depth at the same cost.
const (
	defaultRows = 100
	maxRows     = 1000
	maxOffset   = 100_000
)

// onList are the parameters of every list.
var onList = []string{"max_rows", "offset", "cursor", "sort", "search"}

// searchable are the fields of a list's records by which it may be narrowed, and what their values must be.
type searchable map[string]func(value string) error

// asked is what the query of a list asks for.
type asked struct {
	name     string
	rows     int
	offset   int
	position string // of the last record that was shown already; empty: none was
	newest   bool   // first
	fields   map[string]string
	kept     url.Values // what @next repeats
}

// read reads the query of a list that has its newest records first, unless asked otherwise, or last. Some fields have a
// parameter of their own.
func (s Deps) read(r *http.Request, name string, newestFirst bool, can searchable, parameters ...string) (asked,
	error) {
	q := r.URL.Query()
	a := asked{name: name, fields: make(map[string]string), kept: make(url.Values)}
	for _, p := range append([]string{"sort", "search"}, parameters...) {
		if q.Get(p) != "" {
			a.kept.Set(p, q.Get(p))
		}
	}
	var errs [5]error
	a.rows, errs[0] = number(q, "max_rows", defaultRows, 1, maxRows)
	a.offset, errs[1] = number(q, "offset", 0, 0, maxOffset)
	a.position, errs[2] = s.Cursors.Decode(q.Get("cursor"), a.scope(r)...)
	if q.Get("offset") != "" && a.position != "" {
		errs[1] = fault.Invalidf("offset", "and cursor are two ways to say where to begin; give one")
	}
	a.newest, errs[3] = readSort(q.Get("sort"), newestFirst)
	errs[4] = a.readSearch(q.Get("search"), can)
	for _, p := range parameters {
		errs[4] = errors.Join(errs[4], a.narrow(p, q.Get(p), can))
	}
	return a, errors.Join(errs[:]...)
}

func number(q url.Values, name string, otherwise, least, most int) (int, error) {
	if q.Get(name) == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least || n > most {
		hint := ""
		if name == "offset" {
			hint = "; follow @next to read further"
		}
		return 0, fault.Invalidf(name, "must be from %d to %d%s", least, most, hint)
	}
	return n, nil
}

// readSort reads "created_at", "created_at asc" or "created_at desc". Ids say the same, since they begin with the time.
func readSort(text string, newestFirst bool) (newest bool, err error) {
	if text == "" {
		return newestFirst, nil
	}
	field, direction, _ := strings.Cut(strings.ToLower(text), " ")
	if field != "created_at" && field != "id" || !slices.Contains([]string{"", "asc", "desc"}, direction) {
		return false, fault.Invalidf("sort", "must be created_at or id, and asc or desc, such as created_at+desc")
	}
	return direction == "desc", nil
}

// readSearch reads field:value or field:"value", or several of them with commas between, which must all hold.
func (a *asked) readSearch(text string, can searchable) error {
	for rest := text; rest != ""; {
		field, value, ok := strings.Cut(rest, ":")
		if !ok {
			return errSearch()
		}
		if quoted, is := strings.CutPrefix(value, `"`); is {
			if value, rest, ok = strings.Cut(quoted, `"`); !ok || rest != "" && rest[0] != ',' {
				return errSearch()
			}
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(value, ",")
		}
		if value == "" {
			return errSearch()
		}
		if err := a.narrow(strings.ToLower(strings.TrimSpace(field)), value, can); err != nil {
			return fault.Invalidf("search", "%s", fault.Of(err).Sentence(nil))
		}
	}
	return nil
}

func errSearch() error {
	return fault.Invalidf("search", `must be field:value or field:"value", with commas between several`)
}

// narrow holds a field to a value; none is good.
func (a *asked) narrow(field, value string, can searchable) error {
	if value == "" {
		return nil
	}
	check, ok := can[field]
	if !ok {
		return fault.Invalidf(field, "cannot be searched for; these can: %s", strings.Join(can.names(), ", "))
	}
	if a.fields[field] != "" {
		return fault.Invalidf(field, "is asked for twice; give one value")
	}
	a.fields[field] = value
	return check(value)
}

func (c searchable) names() []string {
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// oneOf is a field with a list of values.
func oneOf(name string, words []string) func(string) error {
	return func(value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		return fault.Invalidf(name, "must be one of %s", strings.Join(words, ", "))
	}
}

// idOf is a field that holds an id.
func idOf[T id.ID](name string) func(string) error {
	return func(value string) error {
		if _, err := id.Parse[T](value); err != nil {
			return fault.Invalidf(name, "%v", err)
		}
		return nil
	}
}

// scope binds a cursor to its list, organization, filters and order.
func (a asked) scope(r *http.Request) []string {
	return []string{prefix, a.name, string(web.InfoOf(r.Context()).Principal.Organization), a.kept.Encode()}
}

// list is a page of records.
type list[T any] struct {
	HREF    string `json:"HREF"`
	Count   int    `json:"record_count"`
	Total   int64  `json:"total_record_count"`
	Records []T    `json:"records"`
	Next    string `json:"@next,omitzero"`
}

// writeList answers with what was asked for: rows hold one more if there is another page.
func writeList[R, T any](s Deps, w http.ResponseWriter, r *http.Request, a asked, rows []R, total int64,
	key func(R) string, show func(R) (T, error)) error {
	l := list[T]{HREF: s.href(r, a.name), Total: total}
	if len(rows) > a.rows {
		rows = rows[:a.rows]
		next := url.Values{"max_rows": {strconv.Itoa(a.rows)},
			"cursor": {s.Cursors.Encode(key(rows[a.rows-1]), a.scope(r)...)}}
		for name, values := range a.kept {
			next[name] = values
		}
		l.Next = l.HREF + "?" + next.Encode()
	}
	for _, row := range rows {
		v, err := show(row)
		if err != nil {
			return err
		}
		l.Records = append(l.Records, v)
	}
	l.Count = len(l.Records)
	web.WriteJSON(w, http.StatusOK, l)
	return nil
}
