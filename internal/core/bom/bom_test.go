package bom

import "testing"

func TestSkip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "\ufeff": "", "\ufeffa": "a", "a\ufeff": "a\ufeff", "a": "a",
		"\xef\xbb": "\xef\xbb", "\ufeff\ufeffa": "\ufeffa"} {
		if got := Skip(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
		if got := Skip([]byte(text)); string(got) != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
