package gateway

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// WEB13: a routes file that says something wrong is not taken for less than it means.
func TestWEB13_WrongRoutes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "no routes": "routes: []", "unknown key": "routes:\n  - {path: /a, permision: tickets:read}",
		"no demand":   "routes:\n  - {path: /a}",
		"two demands": "routes:\n  - {path: /a, permission: 'tickets:read', public: true}",
		"no path":     "routes:\n  - {public: true}", "relative path": "routes:\n  - {path: a, public: true}",
		"unknown permission": "routes:\n  - {path: /a, permission: 'stars:read'}",
		"unknown scope":      "routes:\n  - {path: /a, permission: 'tickets:read:every'}",
		"lower-case method":  "routes:\n  - {path: /a, methods: [get], public: true}",
		"token for nobody":   "routes:\n  - {path: /a, public: true, token_for: x}",
		"broken pattern":     "routes:\n  - {path: '/a/{', public: true}",
		"twice":              "routes:\n  - {path: /a, public: true}\n  - {path: /a, permission: 'tickets:read'}",
		"ambiguous": "routes:\n  - {path: '/{a}/b', public: true}\n  - {path: '/a/{b}', permission: " +
			"'tickets:read'}",
		"a host with a scheme":  "routes:\n  - {path: /a, host: 'https://example.com', public: true}",
		"a host that is a port": "routes:\n  - {path: /a, host: ':443', public: true}", "not YAML": "routes: [",
		"another status":      "status: plain\nroutes:\n  - {path: /a, public: true}",
		"another preflight":   "preflight: 'yes'\nroutes:\n  - {path: /a, public: true}",
		"preflight as a flag": "preflight: true\nroutes:\n  - {path: /a, public: true}",
		"another slash":       "trailing_slash: same\nroutes:\n  - {path: /a, public: true}",
		"another suffix":      "suffixes: none\nroutes:\n  - {path: /a, public: true}",
		"no flag":             "case_sensitive: maybe\nroutes:\n  - {path: /a, public: true}",
		"other document":      "rules:\n  - {path: /a, public: true}",
	} {
		if _, err := ParseRules([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := ParseRules([]byte("\ufeffroutes:\n  - {path: /a, public: true}")); err != nil {
		t.Errorf("behind a byte-order mark: %v", err)
	}
	_, err := ParseRules([]byte("routes:\n  - {path: a, public: true}\n  - {path: /ok, public: true}\n  - {path: /b}"))
	if err == nil || !strings.Contains(err.Error(), "route 1 (a)") || !strings.Contains(err.Error(), "route 3 (/b)") {
		t.Errorf("%v", err)
	}
}

// WEB08: a path that is taken is clean, however it came.
func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"/", "/a/b", "/a/../b", "/a%2fb", "/a;b", "//", "/%2e%2e/", "/a?b", "/J%C3%BCrgen",
		"/a/.%2e"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		path, ok := cleanPath(escaped)
		if !ok {
			return
		}
		if path == "" || path[0] != '/' || !utf8.ValidString(path) || strings.ContainsAny(path, "\\;%?#\x00\r\n") {
			t.Errorf("%q gives %q", escaped, path)
		}
		for i, part := range strings.Split(path, "/") {
			if part == "." || part == ".." || part == "" && i != 0 && i != strings.Count(path, "/") {
				t.Errorf("%q gives %q", escaped, path)
			}
		}
	})
}
