package search

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// The bounds of what is stored for one text.
const (
	maxTerm  = 100 // bytes; what comes after them is not compared
	maxWords = 8
)

// fold gives the form in which texts are compared: without case, without marks such as accents, and one space for
// whatever is neither letter nor digit. What is stored was folded like that: another form needs other terms.
func fold(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(cases.Fold().String(text)) {
		switch {
		case unicode.IsMark(r):
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		default:
			gap = true
		}
	}
	return norm.NFC.String(b.String())
}

// short cuts a term between two characters.
func short(term string) string {
	if len(term) <= maxTerm {
		return term
	}
	end := maxTerm
	for !utf8.RuneStart(term[end]) {
		end--
	}
	return strings.TrimRight(term[:end], " ")
}

// Terms are the folded texts that something is found by, in order.
type Terms []string

// Whole adds texts that are found by their beginning, as addresses are.
func (t Terms) Whole(texts ...string) Terms {
	for _, text := range texts {
		if term := short(fold(text)); term != "" {
			t = append(t, term)
		}
	}
	slices.Sort(t)
	return slices.Compact(t)
}

// Words adds texts that are found by the beginning of each of their words, as names are.
func (t Terms) Words(texts ...string) Terms {
	for _, text := range texts {
		for rest, n := fold(text), 0; rest != "" && n < maxWords; n++ {
			t = append(t, short(rest))
			_, rest, _ = strings.Cut(rest, " ")
		}
	}
	slices.Sort(t)
	return slices.Compact(t)
}

// Query is what a list is searched for; the zero Query is no search. Whoever matches is listed once, by the first of
// their terms that does, in the order of these terms and then of ids.
type Query struct {
	Prefix, Beyond string // a term lies at or behind the one and before the other
	Past           string // the term of the last one that was listed already; at first the prefix
}

// Parse reads what somebody types.
func Parse(text string) (Query, error) {
	if text == "" {
		return Query{}, nil
	}
	prefix := short(fold(text))
	if prefix == "" {
		return Query{}, fault.Invalidf("q", "must have a letter or a digit")
	}
	return Query{Prefix: prefix, Beyond: prefix + string(unicode.MaxRune), Past: prefix}, nil
}

// Any tells whether there is something to search for.
func (q Query) Any() bool { return q.Prefix != "" }

// Hit is something that was found, and the term that matched.
type Hit[T any] struct {
	V    T
	Term string
}

// Position is where a list goes on behind somebody: the id, and with a search the term that matched.
func (q Query) Position(id, term string) string {
	if !q.Any() {
		return id
	}
	return term + "\x00" + id
}

// After goes on at a position, and gives the id in it.
func (q Query) After(position string) (Query, string) {
	if !q.Any() || position == "" {
		return q, position
	}
	term, id, _ := strings.Cut(position, "\x00")
	q.Past = term
	return q, id
}

// first gives the first term that matches.
func (q Query) first(terms Terms) (string, bool) {
	i, _ := slices.BinarySearch(terms, q.Prefix)
	if i == len(terms) || terms[i] >= q.Beyond {
		return "", false
	}
	return terms[i], true
}

// Few is how many things are searched one by one rather than by index: those of a filter that few meet.
const Few = 1000

// Among searches a few things one by one, and gives the page behind a position as a search by index would.
func Among[T any](q Query, after string, limit int, few []T, of func(T) (id string, terms Terms)) []Hit[T] {
	type found struct {
		Hit[T]
		id string
	}
	var all []found
	for _, v := range few {
		id, terms := of(v)
		term, ok := q.first(terms)
		if ok && (term > q.Past || term == q.Past && id > after) {
			all = append(all, found{Hit[T]{v, term}, id})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(strings.Compare(a.Term, b.Term), strings.Compare(a.id, b.id))
	})
	var page []Hit[T]
	for _, f := range all[:min(limit, len(all))] {
		page = append(page, f.Hit)
	}
	return page
}
