package web

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A byte-order mark before a body is skipped, however the bytes come; a mark elsewhere stays, and so do failures.
func TestUnmarked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "a": "a", "ab": "ab", "\ufeff": "", "\ufeff{}": "{}",
		"{}\ufeff": "{}\ufeff", "\ufeff\ufeff": "\ufeff", "long enough": "long enough"} {
		for _, slow := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader,
			iotest.HalfReader} {
			u := &unmarked{ReadCloser: io.NopCloser(slow(strings.NewReader(text)))}
			if got, err := io.ReadAll(iotest.OneByteReader(u)); err != nil || string(got) != want {
				t.Errorf("%q became %q, %v", text, got, err)
			}
		}
	}
	broken := errors.New("broken")
	u := &unmarked{ReadCloser: io.NopCloser(iotest.ErrReader(broken))}
	if _, err := io.ReadAll(u); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
