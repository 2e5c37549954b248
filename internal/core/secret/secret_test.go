package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// WEB12, G4: a secret shows itself through Reveal only.
func TestWEB12_Redacted(t *testing.T) {
	t.Parallel()
	s := New("canary")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "p", &s, "struct", struct{ S Secret }{s})
	raw, _ := json.Marshal(map[string]any{"s": s})
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(raw),
		log.String()} {
		if strings.Contains(text, "canary") {
			t.Errorf("shown in %s", text)
		}
	}
	if s.Reveal() != "canary" || !s.Equal(New("canary")) || s.Equal(New("Canary")) {
		t.Error("not itself")
	}
}

// G4: at least 128 random bits, never twice.
func TestG4_Tokens(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 10_000 {
		v := Token("x_", 16).Reveal()
		if len(v) != 2+22 || seen[v] {
			t.Fatalf("%q", v)
		}
		seen[v] = true
	}
}
