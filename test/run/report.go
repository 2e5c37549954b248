package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is one line of go test -json (cmd/test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

type timed struct {
	name string
	took time.Duration
}

type report struct {
	out                     io.Writer
	passed, failed, skipped int
	parts, tests            []timed
}

func newReport(out io.Writer) *report { return &report{out: out} }

func (r *report) took(part string, d time.Duration) { r.parts = append(r.parts, timed{part, d}) }

// read prints what go test would: a line for each package, and everything that a failed test or a broken build said.
func (r *report) read(part string, in io.Reader) error {
	said := make(map[string][]string) // by package and test, until it is known how it ended
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "build-output":
			fmt.Fprint(r.out, e.Output)
		case e.Action == "output" && e.Test == "" && isClosing(e.Output):
			fmt.Fprint(r.out, e.Output)
		case e.Action == "output":
			said[key] = append(said[key], e.Output)
		case e.Action == "fail":
			for _, line := range said[key] {
				fmt.Fprint(r.out, line)
			}
			delete(said, key)
			if e.Test != "" {
				r.failed++
			} else {
				r.rest(said, e.Package)
			}
			r.note(part, e)
		case e.Action == "pass":
			delete(said, key)
			if e.Test != "" {
				r.passed++
			}
			r.note(part, e)
		case e.Action == "skip":
			delete(said, key)
			if e.Test != "" {
				r.skipped++
			}
		}
	}
	return lines.Err()
}

// rest prints what tests said that never ended: of a panic or a time-out only the package is told.
func (r *report) rest(said map[string][]string, pkg string) {
	for _, key := range slices.Sorted(maps.Keys(said)) {
		if !strings.HasPrefix(key, pkg+" ") {
			continue
		}
		for _, line := range said[key] {
			fmt.Fprint(r.out, line)
		}
		delete(said, key)
	}
}

// isClosing tells the line in which go test says how a package ended.
func isClosing(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") || strings.HasPrefix(line, "--- FAIL")
}

// note keeps how long a test took; those within another count with it.
func (r *report) note(part string, e event) {
	if e.Test != "" && !strings.Contains(e.Test, "/") {
		_, short, _ := strings.Cut(e.Package, "/gatehouse/")
		took := time.Duration(e.Elapsed * float64(time.Second))
		r.tests = append(r.tests, timed{short + "." + e.Test + " (" + part + ")", took})
	}
}

// summary says how long it all took.
func (r *report) summary(slowest int) {
	slices.SortStableFunc(r.tests, func(a, b timed) int { return cmp.Compare(b.took, a.took) })
	fmt.Fprintf(r.out, "\nthe slowest tests (those that run side by side share the processors):\n")
	for _, t := range r.tests[:min(slowest, len(r.tests))] {
		fmt.Fprintf(r.out, "%8.1f s  %s\n", t.took.Seconds(), t.name)
	}
	fmt.Fprintf(r.out, "\nparts:\n")
	for _, t := range r.parts {
		fmt.Fprintf(r.out, "%8.1f s  %s\n", t.took.Seconds(), t.name)
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}
