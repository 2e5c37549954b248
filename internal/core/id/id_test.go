package id

import (
	"strings"
	"testing"
	"time"
)

// G3: a prefix and 26 characters; parsing takes exactly what is made; ids of one process increase.
func TestG3_IDs(t *testing.T) {
	t.Parallel()
	last := ""
	seen := make(map[User]bool)
	for range 10_000 {
		u := New[User]()
		if s := string(u); !strings.HasPrefix(s, "usr_") || len(s) != 30 || s <= last || seen[u] {
			t.Fatalf("%s after %s", u, last)
		}
		last, seen[u] = string(u), true
		if back, err := Parse[User](string(u)); err != nil || back != u {
			t.Fatalf("%s: %v, %v", u, back, err)
		}
	}
	good := string(New[User]())
	for _, bad := range []string{"", "usr_", good[:29], good + "0", "org_" + good[4:], strings.ToLower(good),
		"USR_" + good[4:], "usr_8" + good[5:], "usr_" + strings.Repeat("I", 26), good[:29] + "\x00", " " + good} {
		if _, err := Parse[User](bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// G9: what happened within one millisecond is told in its order, whatever ids of other moments are made in between.
func TestG9_OrderWithinAMillisecond(t *testing.T) {
	t.Parallel()
	at, last := time.UnixMilli(1_700_000_000_000), Event("")
	for range 1000 {
		next := At[Event](at)
		if next <= last {
			t.Fatalf("%s after %s", next, last)
		}
		last = next
		New[Request]()
	}
}
