//go:build faults

package faults

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The release binary has no fail points: neither their names nor their code. The laboratory's has both, so that this
// test can fail.
func TestReleaseHasNoFailPoints(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse")
	if out, err := exec.Command("go", "build", "-ldflags=-w", "-o", path,
		"github.com/itsm-automation/gatehouse/cmd/gatehouse").
		CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	lab, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{path: false, lab: true} {
		image, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := exec.Command("go", "tool", "nm", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"rotate.committed", "GATEHOUSE_FAILPOINTS", "GATEHOUSE_FAULT_CLOCK"} {
			if bytes.Contains(image, []byte(trace)) != want {
				t.Errorf("%s in %s: %v", trace, filepath.Base(file), !want)
			}
		}
		if bytes.Contains(symbols, []byte("failpoint.act")) != want {
			t.Errorf("the code of fail points in %s: %v", file, !want)
		}
	}
}
