package web

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// ATK60, G6: only a cursor that was made for a list is read there, whatever comes.
func FuzzCursor(f *testing.F) {
	c := NewCursors([]byte("0123456789abcdef0123456789abcdef"))
	good := c.Encode("usr_01", "users", "org_1", "active")
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		if position, err := c.Decode(cursor, "users", "org_1", "active"); err == nil && cursor != "" &&
			(cursor != good || position != "usr_01") {
			t.Errorf("%q was read as %q", cursor, position)
		}
		for _, scope := range [][]string{{"users", "org_2", "active"}, {"users", "org_1"}, {"users", "org_1a", "ctive"},
			{"usersorg_1", "", "active"}} {
			if _, err := c.Decode(good, scope...); err == nil {
				t.Errorf("a cursor of another list is read under %q", scope)
			}
		}
	})
}

// WEB07: the right-most untrusted hop; nothing at all from who is not trusted.
func TestWEB07_ClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"203.0.113.1:5", nil, "203.0.113.1"},
		{"203.0.113.1:5", []string{"198.51.100.7"}, "203.0.113.1"},
		{"10.0.0.1:5", nil, "10.0.0.1"},
		{"10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"1.1.1.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"198.51.100.7, rubbish"}, "10.0.0.1"},
		{"10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, line := range c.xff {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := ClientAddress(r, trusted); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}

// WEB09: decoding never panics and is strict about what encoding/json forgives.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":1,"a":2}`, `[]`, strings.Repeat("[", 100), "{\"a\":\"\xff\"}",
		`{"a":1} x`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if DecodeJSON(data, &v) == nil && depth(data) > maxDepth {
			t.Errorf("deeper than %d: %q", maxDepth, data)
		}
	})
}

// A route must say what it demands.
func TestRoutesMustDemand(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Route{
		"nothing": {Method: "GET", Pattern: "/x", Accepts: OnlySessions},
		"two things": {Method: "GET", Pattern: "/x", Public: "a", Permission: "users:read",
			Accepts: OnlySessions},
		"unknown permission": {Method: "GET", Pattern: "/x", Permission: "users:fly", Accepts: OnlySessions},
		"no credential":      {Method: "GET", Pattern: "/x", Permission: "users:read"},
	} {
		if r.check() == "" {
			t.Errorf("a route with %s is accepted", name)
		}
	}
}
