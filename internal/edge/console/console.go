// Package console serves the pages that links lead to (choosing a password, choosing another one, accepting an
// invitation, making the first operator) and a start page. They are static, embedded, and use nothing but the public
// API.
package console

import (
	"embed"
	"net/http"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

//go:embed static
var static embed.FS

// pages are the addresses of links; one document serves them all and reads from its own address what to ask.
var pages = []string{"/set-password", "/reset-password", "/accept-invitation", "/setup"}

var assets = []struct{ path, contentType string }{{"/assets/link.js", "text/javascript; charset=utf-8"},
	{"/assets/link.css", "text/css; charset=utf-8"}, {"/assets/icon.svg", "image/svg+xml"}}

// policy allows the page's own script and style and the API, nothing else, and no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// Register adds the routes.
func Register(kit *web.Kit) {
	for _, p := range pages {
		serve(kit, p, "static/link.html", "text/html; charset=utf-8")
	}
	serve(kit, "/start", "static/start.html", "text/html; charset=utf-8")
	for _, a := range assets {
		serve(kit, a.path, "static"+strings.TrimPrefix(a.path, "/assets"), a.contentType)
	}
}

func serve(kit *web.Kit, path, file, contentType string) {
	body, err := static.ReadFile(file)
	if err != nil {
		panic(err) // embedded
	}
	kit.Handle(web.Route{Method: http.MethodGet, Pattern: path,
		Public: "a static page; the secret of a link is in the fragment, which browsers do not send"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Write(body)
		}))
}
