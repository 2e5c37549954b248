package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

// part is one run of go test.
type part struct {
	name string
	env  []string
	args []string
	long bool // only with -all
}

// Test binaries need no symbol table: linking one takes half as long without. What vet knows `make check` has told.
var common = []string{"test", "-json", "-vet=off", "-ldflags=-s -w", "-timeout=40m"}

var parts = []part{
	{name: "tests", args: []string{"./..."}},
	{name: "laboratory, short", args: []string{"-tags=faults", "-short", "-count=1", "./test/faults"}},
	{name: "race detector", env: []string{"CGO_ENABLED=1"}, args: append([]string{"-race", "-short"}, raced...)},
	{name: "race detector, all", env: []string{"CGO_ENABLED=1"}, long: true,
		args: []string{"-race", "-short", "./internal/...", "./test/doors", "./test/signin"}},
	{name: "laboratory", args: []string{"-tags=faults", "-count=1", "-timeout=90m", "./test/faults"}, long: true},
}

// raced is where goroutines share memory. Tests of the whole server are left to -all: under the detector they take
// longer than everything else.
var raced = []string{
	"./internal/core/...",
	"./internal/authn/...",
	"./internal/platform/...",
}

func main() {
	all := flag.Bool("all", false, "run what takes long too")
	slowest := flag.Int("slowest", 10, "how many of the slowest tests are listed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	r := newReport(os.Stdout)
	failed := false
	for _, p := range parts {
		if p.long && !*all || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		fmt.Printf("=== %s\n", p.name)
		if err := p.run(ctx, r); err != nil {
			failed = true
			fmt.Printf("=== %s: %v\n", p.name, err)
		}
		r.took(p.name, time.Since(began))
	}
	r.summary(*slowest)
	if failed || ctx.Err() != nil || r.failed > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func (p part) run(ctx context.Context, r *report) error {
	cmd := exec.CommandContext(ctx, "go", append(common[:len(common):len(common)], p.args...)...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.read(p.name, out)
	if err := cmd.Wait(); err != nil {
		return err
	}
	return readErr
}
