package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// verdict is what becomes of a request: the path of its rule, or why there is none.
func verdict(r *Rules, method, host, uri string) string {
	path, ok := cleanPath(uri)
	if !ok {
		return "unclean"
	}
	rule, err := r.Match(Request{method, host, path})
	if err != nil {
		return strings.ToLower(fault.Of(err).Code)
	}
	return rule.Path
}

func parse(t *testing.T, text string) *Rules {
	t.Helper()
	rules, err := ParseRules([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

const guarded = `routes:
  - {path: "/admin", permission: "users:manage"}
  - {path: "/Reports/Summary", permission: "reports:read"}
  - {path: "/api/stations/{id}", permission: "tickets:read"}
  - {path: "/api/stations/me", permission: "tickets:manage"}
  - {path: "/teams/{rest...}", permission: "teams:manage"}
  - {path: "/openapi.json", public: true}
  - {path: "/assets/{rest...}", public: true}
  - {methods: [GET], path: "/exact/{$}", permission: "users:read"}
  - {host: "intern.example.com", path: "/wiki", permission: "users:manage"}
  - {host: "files.example.com", path: "/{name}", permission: "tickets:read"}
  - {host: "files.example.com", path: "/group/{rest...}", permission: "teams:manage"}
  - {host: "files.example.com", path: "/share/{rest...}", public: true}
  - {path: "/.env", permission: "users:manage"}
  - {path: "/café", permission: "users:manage"}
  - {path: "/{rest...}", authenticated: true}
`

// readings are spellings of paths, and what becomes of them where the API may read names in any of the usual ways,
// where it tells upper and lower case apart, and where it tells closing slashes apart; empty: as usual.
var readings = []struct{ uri, usual, caseSensitive, slashes string }{
	// as the rules spell them
	{"/admin", "/admin", "", ""},
	{"/Reports/Summary", "/Reports/Summary", "", ""},
	{"/api/stations/7", "/api/stations/{id}", "", ""},
	{"/api/stations/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/api/stations/{id}", "", ""},
	{"/api/stations/J%C3%BCrgen", "/api/stations/{id}", "", ""},
	{"/api/stations/%E6%9D%8E%E6%98%8E", "/api/stations/{id}", "", ""},
	{"/api/stations/a.b.c", "/api/stations/{id}", "", ""},
	{"/api/stations/7%20b", "/api/stations/{id}", "", ""},
	{"/teams/a/b.json", "/teams/{rest...}", "", ""},
	{"/teams/", "/teams/{rest...}", "", ""},
	{"/assets/App.JS", "/assets/{rest...}", "", ""},
	{"/openapi.json", "/openapi.json", "", ""},
	{"/exact/", "/exact/{$}", "", ""},
	{"/other", "/{rest...}", "", ""},
	{"/Other/", "/{rest...}", "", ""},
	{"/other.json", "/{rest...}", "", ""},
	{"/", "/{rest...}", "", ""},
	{"/administrators", "/{rest...}", "", ""},
	{"/admin/users", "/{rest...}", "", ""},
	{"/.well-known/a", "/{rest...}", "", ""},
	// a closing slash, or none
	{"/admin/", "invalid_path", "", "/{rest...}"},
	{"/api/stations/7/", "invalid_path", "", "/{rest...}"},
	{"/teams", "no_route", "", ""},
	{"/exact", "no_route", "", ""},
	{"/assets", "no_route", "", ""},
	// case
	{"/Admin", "invalid_path", "/{rest...}", "invalid_path"},
	{"/ADMIN", "invalid_path", "/{rest...}", "invalid_path"},
	{"/reports/summary", "invalid_path", "/{rest...}", "invalid_path"},
	{"/REPORTS/summary", "invalid_path", "/{rest...}", "invalid_path"},
	{"/api/stations/Me", "invalid_path", "/api/stations/{id}", "invalid_path"},
	{"/API/stations/7", "invalid_path", "/{rest...}", "invalid_path"},
	{"/Teams/7", "invalid_path", "/{rest...}", "invalid_path"},
	{"/OpenAPI.json", "invalid_path", "/{rest...}", "invalid_path"},
	{"/Admin/", "invalid_path", "/{rest...}", "/{rest...}"},
	// outer white space and closing dots
	{"/admin%20", "invalid_path", "", ""},
	{"/%20admin", "invalid_path", "", ""},
	{"/admin%C2%A0", "invalid_path", "", ""},    // U+00A0
	{"/%E3%80%80admin", "invalid_path", "", ""}, // U+3000
	{"/admin%E2%80%A8", "invalid_path", "", ""}, // U+2028
	{"/api%20/stations/7", "invalid_path", "", ""},
	{"/admin.", "invalid_path", "", ""},
	{"/admin%20..%20", "invalid_path", "", ""},
	{"/teams./7", "invalid_path", "", ""},
	// suffixes
	{"/admin.json", "invalid_path", "", ""},
	{"/admin.tar.gz", "invalid_path", "", ""},
	{"/admin.json/", "invalid_path", "", "/{rest...}"},
	{"/admin%EF%BC%8Ejson", "invalid_path", "", ""}, // a full-width dot
	{"/admin%20.json", "invalid_path", "", ""},
	{"/api/stations/me.json", "invalid_path", "", ""},
	{"/openapi.json.gz", "invalid_path", "", ""},
	// another Unicode form, invisible characters, look-alikes
	{"/%EF%BD%81dmin", "invalid_path", "", ""}, // full-width a
	{"/%EF%BC%A1DMIN", "invalid_path", "/{rest...}", "invalid_path"},
	{"/%C4%B1dmin", "/{rest...}", "", ""},
	{"/adm%C4%B1n", "invalid_path", "", ""},                       // a dotless i
	{"/adm%C4%B0n", "invalid_path", "/{rest...}", "invalid_path"}, // a dotted I
	{"/%D0%B0dmin", "invalid_path", "", ""},                       // a Cyrillic a
	{"/%D0%90dmin", "invalid_path", "/{rest...}", "invalid_path"},
	{"/%C3%A1dmin", "invalid_path", "", ""},       // an accent
	{"/a%CC%81dmin", "invalid_path", "", ""},      // a combining accent
	{"/ad%E2%80%8Bmin", "invalid_path", "", ""},   // a zero-width space
	{"/ad%C2%ADmin", "invalid_path", "", ""},      // a soft hyphen
	{"/admin%EF%B8%8F", "invalid_path", "", ""},   // a variation selector
	{"/ad%E3%85%A4min", "invalid_path", "", ""},   // a Hangul filler
	{"/%F0%9D%9A%8Admin", "invalid_path", "", ""}, // a mathematical a
	{"/caf%C3%A9", "/café", "", ""},
	{"/cafe%CC%81", "invalid_path", "", ""},
	{"/cafe", "invalid_path", "", ""},
	{"/CAF%C3%89", "invalid_path", "/{rest...}", "invalid_path"},
	{"/tea%E2%85%BFs/", "invalid_path", "", ""}, // a Roman numeral m
	{"/Reports%2FSummary", "unclean", "", ""},
	// what becomes a separator, a step or nothing
	{"/other%EF%BC%8Fadmin", "unclean", "", ""}, // full-width slash
	{"/.env.json", "invalid_path", "", ""},
	{"/admin.a.b.c", "invalid_path", "", ""},
	{"/admin%EF%BC%9Bx", "invalid_path", "", ""}, // a full-width semicolon, question mark, percent sign
	{"/admin%EF%BC%9Fx", "invalid_path", "", ""},
	{"/admin%EF%BC%85x", "invalid_path", "", ""},
	{"/admin%EF%BC%9F/y/z", "unclean", "", ""}, // a query, and a fragment, that more follows
	{"/admin%EF%BC%9F/", "unclean", "", ""},
	{"/admin%EF%BC%83/y", "unclean", "", ""},
	{"/admin/%EF%BC%9F", "unclean", "", ""}, // nothing before the end
	{"/admin/%EF%BC%9Bx", "unclean", "", ""},
	{"/%EF%BC%9Bq/admin", "unclean", "", ""},
	{"/other/..%EF%BC%9B/admin", "unclean", "", ""}, // a step upward before it
	{"/%EF%BC%8561dmin", "unclean", "", ""},         // an escaped letter, slash, dot
	{"/other%EF%BC%852F..%EF%BC%852fadmin", "unclean", "", ""},
	{"/%EF%BC%852e%EF%BC%852e/admin", "unclean", "", ""},
	{"/api%CD%BE/stations/me", "invalid_path", "", ""},          // a Greek question mark
	{"/wiki/%E3%81%AA%E3%81%9C%EF%BC%9F", "/{rest...}", "", ""}, // a title, which is nothing else to anybody
	{"/files/100%EF%BC%85.pdf", "/{rest...}", "", ""},
	{"/other/%E2%80%A5/admin", "unclean", "", ""}, // two dots in one character
	{"/other/%20/admin", "unclean", "", ""},
	{"/other/..%20/admin", "unclean", "", ""},
	{"/other/.../admin", "unclean", "", ""},
	{"/other/.%E2%80%8B./admin", "unclean", "", ""},
	{"/other/%E2%80%8B/admin", "unclean", "", ""},
	{"/other/%C2%85/admin", "unclean", "", ""},
}

// F1, WEB08: a path that an API may read as another one that needs something else is refused; one that everybody reads
// alike, or for which it makes no difference, is not.
func TestWEB08_Readings(t *testing.T) {
	t.Parallel()
	usual, caseSensitive, slashes := parse(t, guarded), parse(t, "case_sensitive: true\n"+guarded),
		parse(t, "trailing_slash: distinct\n"+guarded)
	suffixes := parse(t, "suffixes: distinct\n"+guarded)
	for _, c := range readings {
		if c.caseSensitive == "" {
			c.caseSensitive = c.usual
		}
		if c.slashes == "" {
			c.slashes = c.usual
		}
		for name, got := range map[string][2]string{
			"usual":          {verdict(usual, "GET", "www.example.com", c.uri), c.usual},
			"case sensitive": {verdict(caseSensitive, "GET", "www.example.com", c.uri), c.caseSensitive},
			"slashes":        {verdict(slashes, "GET", "www.example.com", c.uri), c.slashes},
		} {
			if got[0] != got[1] {
				t.Errorf("%s, %s: %s, want %s", c.uri, name, got[0], got[1])
			}
		}
	}
	for uri, want := range map[string]string{"/admin.json": "/{rest...}", "/admin.": "invalid_path",
		"/admin.json/": "/{rest...}", "/api/stations/me.json": "/api/stations/{id}", "/Admin": "invalid_path"} {
		if got := verdict(suffixes, "GET", "www.example.com", uri); got != want {
			t.Errorf("%s, suffixes told apart: %s, want %s", uri, got, want)
		}
	}
}

// WEB08: methods and hosts decide which rules a reading could reach.
func TestWEB08_ReadingsByMethodAndHost(t *testing.T) {
	t.Parallel()
	rules := parse(t, guarded+`  - {methods: [GET], path: "/notes", permission: "tickets:read"}
  - {methods: [DELETE], path: "/notes", permission: "tickets:manage"}
`)
	for _, c := range []struct{ method, host, uri, want string }{
		{"GET", "intern.example.com", "/wiki", "/wiki"}, {"GET", "intern.example.com", "/Wiki", "invalid_path"},
		{"GET", "www.example.com", "/Wiki", "/{rest...}"},
		{"GET", "files.example.com", "/other", "/{name}"}, {"GET", "files.example.com", "/group", "invalid_path"},
		{"GET", "files.example.com", "/share", "/{name}"}, // with a closing slash it would need less
		{"GET", "x", "/Notes", "invalid_path"}, {"HEAD", "x", "/notes/", "invalid_path"},
		{"POST", "x", "/Notes", "/{rest...}"}, {"DELETE", "x", "/notes", "/notes"},
		{"POST", "x", "/exact", "/{rest...}"}, {"HEAD", "x", "/exact", "no_route"},
	} {
		if got := verdict(rules, c.method, c.host, c.uri); got != c.want {
			t.Errorf("%s %s%s: %s, want %s", c.method, c.host, c.uri, got, c.want)
		}
	}
	for _, c := range []struct{ spelled, want string }{
		{"INTERN.example.com", "intern.example.com"}, {"intern.example.com.", "intern.example.com"},
		{"intern.example.com:8443", "intern.example.com"}, {"[::1]:80", "[::1]"}, {"[0:0::1]", "[::1]"},
		{"[::ffff:192.0.2.1]", "192.0.2.1"}, {"192.0.2.1", "192.0.2.1"},
		{"ｉntern.example.com", ""}, {"İntern.example.com", ""}, {"intern。example.com", ""},
		{"intern.example.com..", ""},
		{" intern.example.com", ""}, {"intern%2eexample.com", ""}, {"intern.example.com/", ""}, {"int\u200bern", ""},
		{"a@intern.example.com", ""}, {"intern.example.com,x", ""},
	} {
		if got, ok := canonicalHost(c.spelled); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q: %q", c.spelled, got)
		}
	}
}

// WEB08: rules that differ only by what many APIs do not tell apart are said to do so, and requests for them refused;
// catch-alls below stricter rules are warned of.
func TestWEB08_Warnings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string // in the warnings; none: no warning
	}{
		"catch-all": {"routes:\n  - {path: /admin, permission: 'users:manage'}\n" +
			"  - {path: '/{rest...}', authenticated: true}",
			[]string{"route 2 (/{rest...}) takes", "route 1 (/admin)"}},
		"subtree": {"routes:\n  - {path: /a/, public: true}\n  - {path: '/a/{id}/b', authenticated: true}",
			[]string{"route 1 (/a/) takes", "route 2 (/a/{id}/b)"}},
		"a stricter catch-all": {"routes:\n  - {path: /a, authenticated: true}\n  - {path: '/{rest...}', " +
			"permission: 'users:manage'}", nil},
		"other methods": {"routes:\n  - {path: /a, methods: [POST], permission: 'users:manage'}\n" +
			"  - {path: '/{rest...}', methods: [GET], authenticated: true}", nil},
		"another host": {"routes:\n  - {path: /a, host: a.example.com, permission: 'users:manage'}\n" +
			"  - {path: '/{rest...}', host: b.example.com, authenticated: true}", nil},
		"no catch-all": {"routes:\n  - {path: /a, permission: 'users:manage'}\n  - {path: /b, public: true}", nil},
		"a larger permission": {"routes:\n  - {path: /a, permission: 'users:read'}\n" +
			"  - {path: '/{rest...}', permission: 'users:manage:all'}", nil},
		"case": {"routes:\n  - {path: /Admin, permission: 'users:manage'}\n  - {path: /admin, authenticated: true}",
			[]string{"route 1 (/Admin) and route 2 (/admin) are one path", "case_sensitive"}},
		"closing slash": {"routes:\n  - {path: '/a/{$}', permission: 'users:manage'}\n" +
			"  - {path: /a, authenticated: true}",
			[]string{"route 1 (/a/{$}) and route 2 (/a) are one path", "trailing_slash"}},
		"case, the same need": {"routes:\n  - {path: /Admin, public: true}\n  - {path: /admin, public: true}", nil},
		"case, told apart": {"case_sensitive: true\nroutes:\n  - {path: /Admin, permission: 'users:manage'}\n" +
			"  - {path: /admin, authenticated: true}", nil},
		"slash, told apart": {"trailing_slash: distinct\nroutes:\n  - {path: '/a/{$}', permission: 'users:manage'}\n" +
			"  - {path: /a, authenticated: true}", nil},
	} {
		got := strings.Join(parse(t, c.text).Warnings(), "\n")
		if (got == "") != (c.want == nil) {
			t.Errorf("%s: %q", name, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", name, got, w)
			}
		}
	}
	twins := "routes:\n  - {path: /Admin, permission: 'users:manage'}\n  - {path: /admin, authenticated: true}\n" +
		"  - {path: '/a/{$}', permission: 'users:manage'}\n  - {path: /a, authenticated: true}\n"
	for uri, own := range map[string]string{"/Admin": "/Admin", "/admin": "/admin", "/a": "/a", "/a/": "/a/{$}"} {
		if got := verdict(parse(t, twins), "GET", "", uri); got != "invalid_path" {
			t.Errorf("%s of twins: %s", uri, got)
		}
		apart := parse(t, "case_sensitive: true\ntrailing_slash: distinct\n"+twins)
		if got := verdict(apart, "GET", "", uri); got != own {
			t.Errorf("%s of twins that are told apart: %s", uri, got)
		}
	}
}

// WEB08: another method or address in a header or in the query is judged too, and refused where it needs something
// else.
func TestWEB08_Overrides(t *testing.T) {
	t.Parallel()
	rules := parse(t, `routes:
  - {methods: [POST, PUT], path: "/notes", permission: "tickets:create"}
  - {methods: [DELETE], path: "/notes", permission: "users:manage"}
  - {path: "/admin", permission: "users:manage"}
  - {path: "/open", authenticated: true}
  - {host: intern.example.com, path: "/open", permission: "users:manage"}
  - {path: "/also", authenticated: true}
`)
	h := func(pairs ...string) http.Header {
		out := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			out.Add(pairs[i], pairs[i+1])
		}
		return out
	}
	for _, c := range []struct {
		method, path, query string
		header              http.Header
		want                string
	}{
		{"POST", "/notes", "", nil, "/notes"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", "PUT"), "/notes"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", "DELETE"), "invalid_method"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", " delete "), "invalid_method"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", "PUT", "X-HTTP-Method-Override", "DELETE"),
			"invalid_method"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", "DELETE, PUT"), "invalid_method"},
		{"POST", "/notes", "", h("X-HTTP-Method-Override", ""), "/notes"},
		{"POST", "/notes", "", h("X-HTTP-Method", "DELETE"), "invalid_method"},
		{"POST", "/notes", "", h("X-Method-Override", "DELETE"), "invalid_method"},
		{"POST", "/notes", "", h("X-Method", "DELETE"), "invalid_method"},
		{"POST", "/notes", "", h("X-Forwarded-Method", "DELETE"), "invalid_method"},
		{"POST", "/notes", "", h("X-Original-Method", "DELETE"), "/notes"}, // the proxy's own
		{"POST", "/notes", "_method=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "a=1&_METHOD=delete", nil, "invalid_method"},
		{"POST", "/notes", "a=1;_method=delete", nil, "invalid_method"},
		{"POST", "/notes", "%5Fmethod=%44ELETE", nil, "invalid_method"},
		{"POST", "/notes", ".method=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "+_method=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "_method[]=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "_method=PUT&_method=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "X-HTTP-Method-Override=DELETE", nil, "invalid_method"},
		{"POST", "/notes", "_method=PUT&method=DELETE&payment_method=DELETE", nil, "/notes"},
		{"POST", "/notes", "_method=", nil, "/notes"},
		{"GET", "/open", "", h("X-Rewrite-URL", "/admin"), "invalid_path"},
		{"GET", "/open", "", h("X-Original-URL", "/admin?x"), "invalid_path"},
		{"GET", "/open", "", h("X-Original-URL", "/Admin"), "invalid_path"},
		{"GET", "/open", "", h("X-Original-URL", "https://x/admin"), "invalid_path"},
		{"GET", "/open", "", h("X-Override-URL", "/open/../admin"), "invalid_path"},
		{"GET", "/open", "", h("X-Forwarded-Uri", "/admin"), "invalid_path"},
		{"GET", "/open", "", h("X-Rewrite-URL", "/also?x=1"), "/open"},
		{"GET", "/open", "", h("X-Rewrite-URL", "/nothing"), "invalid_path"},
		{"POST", "/notes", "", h("X-Rewrite-URL", "/notes?_method=DELETE"), "invalid_method"},
		{"GET", "/open", "", h("X-Forwarded-Host", "intern.example.com"), "invalid_path"},
		{"GET", "/open", "", h("X-Forwarded-Host", "INTERN.example.com:80"), "invalid_path"},
		{"GET", "/open", "", h("X-Host", "intern.example.com"), "invalid_path"},
		{"GET", "/open", "", h("Forwarded", `for=192.0.2.1;host="intern.example.com", for=x`), "invalid_path"},
		{"GET", "/open", "", h("X-Forwarded-Host", "other.example.com", "Forwarded", "for=192.0.2.1"), "/open"},
		{"GET", "/open", "", h("X-Host", "a", "X-Host", "b", "X-Host", "c", "X-Host", "d", "X-Host", "e", "X-Host", "f",
			"X-Host", "g", "X-Host", "h"), "invalid_path"},
	} {
		var got string
		rule, err := rules.Judge(Request{c.method, "www.example.com", c.path}, ReadOverrides(c.header, c.query,
			"X-Original-"))
		if err != nil {
			got = strings.ToLower(fault.Of(err).Code)
		} else {
			got = rule.Path
		}
		if got != c.want {
			t.Errorf("%s %s?%s %v: %s, want %s", c.method, c.path, c.query, c.header, got, c.want)
		}
	}
}

// WEB08: whatever is spelled otherwise than a rule spells it, no request is judged by less than that rule needs.
func FuzzReadings(f *testing.F) {
	rules, err := ParseRules([]byte(guarded))
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range readings {
		f.Add(c.uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, ok := cleanPath(uri)
		if !ok {
			return
		}
		rule, err := rules.Match(Request{"GET", "", path})
		if err != nil {
			return
		}
		lower := strings.ToLower(strings.TrimSuffix(path, "/"))
		if lower == "/admin" && rule.Path != "/admin" ||
			strings.HasPrefix(lower, "/teams/") && rule.Path != "/teams/{rest...}" {
			t.Errorf("%q is judged by %s", uri, rule.Path)
		}
	})
}
