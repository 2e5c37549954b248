package sso

import (
	"crypto/rand"
	"embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

//go:embed pages
var files embed.FS

// pages escape what is put into them.
var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// policy allows the console's style and nothing else: no script, no form, no frame around it.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; " +
	"form-action 'none'"

func write(w http.ResponseWriter, status int, page string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, page, data) // the browser hung up
}

// writeForm has the browser post what is asked of a SAML provider. The script runs by its nonce; without it there is a
// button.
func writeForm(w http.ResponseWriter, f *upstream.Form) {
	nonce := rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'nonce-"+nonce+
		"'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	_ = pages.ExecuteTemplate(w, "form.html", map[string]any{"Form": f, "Nonce": nonce}) // the browser hung up
}

// writeError shows a page to a browser and a problem document to a program.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		web.WriteProblem(w, r, err)
		return
	}
	p := web.NewProblem(r.Context(), err)
	text := p.Detail
	if len(p.Errors) > 1 { // the detail of one names it
		for _, f := range p.Errors {
			text += " " + f.Field + " " + f.Message + "."
		}
	}
	maps.Copy(w.Header(), p.GetHeaders())
	write(w, p.Status, "error.html", map[string]string{"Text": text, "Request": p.RequestID, "Code": p.Code})
}

// writeTest shows what a test sign-in found.
func writeTest(w http.ResponseWriter, t *sso.TestResult) {
	type claim struct{ Name, Value string }
	var told []claim
	for name, v := range t.Claims {
		text, err := json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(false))
		if err != nil {
			continue
		}
		told = append(told, claim{name, string(text)})
	}
	slices.SortFunc(told, func(a, b claim) int { return strings.Compare(a.Name, b.Name) })
	write(w, http.StatusOK, "test.html", map[string]any{"Result": t, "Passed": t.State == "passed", "Claims": told})
}
