package secret

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// A13, G4: the documented shape, and enough randomness.
func TestA13_Shape(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^tnt_1700000000[0-9a-f]{48}_[0-9a-f]{8}$`)
	m := Mark{Prefix: "tnt_", Stamped: true}
	seen := make(map[string]bool)
	for range 1000 {
		v := m.New(time.Unix(1_700_000_000, 0)).Reveal()
		if !shape.MatchString(v) || !m.Matches(v) || seen[v] {
			t.Fatalf("%s", v)
		}
		seen[v] = true
	}
}

// ATK33: no proper part, neighbour, case or place of a value has its form.
func TestATK33_OnlyTheExactValueMatches(t *testing.T) {
	t.Parallel()
	for _, m := range []Mark{{Prefix: "tnt_", Stamped: true}, {Prefix: "gth_at_"}} {
		v := m.New(time.Unix(1_700_000_000, 0)).Reveal()
		var wrong []string
		for i := range v {
			wrong = append(wrong, v[:i], v[i+1:], v[:i]+strings.ToUpper(v[i:]), v[:i]+"0"+v[i:], v[:i]+"_"+v[i:])
			for _, c := range "0123456789abcdef_G" {
				if byte(c) != v[i] {
					wrong = append(wrong, v[:i]+string(c)+v[i+1:])
				}
			}
		}
		wrong = append(wrong, v+"0", " "+v, v+"\n", v+v, strings.Replace(v, m.Prefix, "xyz_", 1))
		for _, w := range wrong {
			if w != v && m.Matches(w) {
				t.Errorf("%q has the form of %s", w, m.Prefix)
			}
		}
	}
}

func FuzzMark(f *testing.F) {
	m := Mark{Prefix: "tnt_", Stamped: true}
	f.Add(m.New(time.Unix(1, 0)).Reveal())
	f.Add("tnt__")
	f.Fuzz(func(t *testing.T, value string) {
		if m.Matches(value) && !regexp.MustCompile(`^tnt_[0-9]{10}[0-9a-f]{48}_[0-9a-f]{8}$`).MatchString(value) {
			t.Errorf("%q matches", value)
		}
	})
}
