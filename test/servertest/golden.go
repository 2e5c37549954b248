package servertest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("golden", false, "write the golden files instead of comparing them")

// varying are the parts of an answer that differ from run to run, and the words that stand for them.
var varying = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "<jwt>"},
	{regexp.MustCompile(`gth_(at|cs)_[0-9a-f]{48}_[0-9a-f]{8}`), "<gth_${1}_secret>"},
	{regexp.MustCompile(`\b([a-z]{3,4})_[0-9A-HJKMNP-TV-Z]{26}\b`), "<${1} id>"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "<uuid>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<instant>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`), "<date>"},
	{regexp.MustCompile(`\b\d\d/\d\d/\d{4}, \d\d:\d\d:\d\d\b`), "<MM/DD/YYYY, HH:MM:SS>"},
	{regexp.MustCompile(`cursor=[\w-]+`), "cursor=<cursor>"},
	{regexp.MustCompile(`"cursor":"[\w-]+"`), `"cursor":"<cursor>"`},
	{regexp.MustCompile(`(Retry-After: )\d+`), "${1}<seconds>"},
}

// Golden compares an answer (status, the headers that a client acts on, body) with testdata/<name>.txt beside the test.
// Run the test with -golden to write it.
func (r Response) Golden(t testing.TB, name string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", r.Status)
	for _, h := range []string{"Content-Type", "Location", "Www-Authenticate", "Retry-After", "Cache-Control",
		"Allow"} {
		for _, v := range r.Header[h] {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	b.WriteString("\n" + strings.TrimRight(string(r.Body), "\n") + "\n")
	got := b.String()
	for _, v := range varying {
		got = v.pattern.ReplaceAllString(got, v.word)
	}
	path := filepath.Join("testdata", name+".txt")
	if *updateGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -golden", err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}
