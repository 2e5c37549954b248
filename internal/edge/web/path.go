package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// oddQuery finds what no database keeps as text.
func oddQuery(raw string) bool {
	if raw == "" {
		return false
	}
	if _, err := url.ParseQuery(raw); err != nil {
		return true
	}
	q, err := url.QueryUnescape(raw)
	return err != nil || !utf8.ValidString(q) || strings.IndexByte(q, 0) >= 0
}

// checkQuery refuses a parameter that is given twice, since two parsers take two of its values, and one that the route
// does not know: it was meant to narrow the answer, and dropped in silence it would widen it.
func checkQuery(r *http.Request, takes []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	var wrong []fault.Field
	for name, values := range r.URL.Query() {
		switch {
		case takes != nil && !slices.Contains(takes, name) && len(takes) == 0:
			wrong = append(wrong, fault.Field{Field: printable(name), Message: "is no parameter here; there are none"})
		case takes != nil && !slices.Contains(takes, name):
			wrong = append(wrong, fault.Field{Field: printable(name),
				Message: "is no parameter here; there are " + strings.Join(takes, ", ")})
		case len(values) > 1:
			wrong = append(wrong, fault.Field{Field: printable(name), Message: "is given more than once"})
		}
	}
	if wrong == nil {
		return nil
	}
	slices.SortFunc(wrong, func(a, b fault.Field) int { return strings.Compare(a.Field, b.Field) })
	return fault.InvalidFields(wrong)
}

// oddPath finds paths that two parsers could read differently. No route of ours needs them, so they are nothing.
func oddPath(r *http.Request) bool {
	p := r.URL.EscapedPath()
	if p == "" || p[0] != '/' || len(p) > 2048 {
		return true
	}
	return strings.Contains(p, "//") || strings.ContainsAny(p, ";\\%") || strings.Contains(p+"/", "/./") ||
		strings.Contains(p+"/", "/../")
}

// unmatched tells a wrong method from a wrong path.
func (k *Kit) unmatched(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := k.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 {
		k.writeError(w, r, fault.NotFoundf("There is nothing at this path."))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	k.writeError(w, r, fault.New(fault.MethodNotAllowed, fault.CodeMethodNotAllowed,
		"This path takes "+strings.Join(allowed, ", ")+"."))
}
