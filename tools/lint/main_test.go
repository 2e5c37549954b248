package main

import (
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
)

// Each rule of the house finds what its file in testdata says, and nothing else.
func TestHouse(t *testing.T) {
	for folder, a := range map[string]*analysis.Analyzer{"lines": lines, "deadcode": deadCode, "forbidden": forbidden} {
		t.Run(folder, func(t *testing.T) {
			analysistest.Run(t, analysistest.TestData(), a, folder)
		})
	}
}

func TestAnalyzers(t *testing.T) {
	all := analyzers()
	if err := analysis.Validate(all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 150 {
		t.Errorf("only %d analyzers", len(all))
	}
}
