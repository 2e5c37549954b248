// The linter: one tool for `go vet -vettool`, so that the build cache keeps what it found by package, and only what
// changed is looked at again. It holds vet's own analyzers, staticcheck's, a few others that found something, and the
// rules of this repository (house.go).
package main

import (
	"encoding/json"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"codeberg.org/polyfloyd/go-errorlint/errorlint"
	"github.com/gordonklaus/ineffassign/pkg/ineffassign"
	"github.com/sanposhiho/wastedassign/v2"
	usestdlibvars "github.com/sashamelentyev/usestdlibvars/pkg/analyzer"
	"github.com/sonatard/noctx"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/quickfix"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
)

const module = "github.com/itsm-automation/gatehouse"

// notOurs are checks of staticcheck that ask for another style than this repository's, or for the sake of others.
var notOurs = []string{"ST1000", "ST1003", "ST1005", "ST1016", "ST1020", "ST1021", "ST1022", "QF1008", "SA1019"}

func main() {
	if last := os.Args[len(os.Args)-1]; filepath.Ext(last) == ".cfg" && !ours(last) {
		unitchecker.Main(nothing)
	}
	unitchecker.Main(analyzers()...)
}

func analyzers() []*analysis.Analyzer {
	var all []*analysis.Analyzer
	for _, a := range vet.Suite {
		all = append(all, handWritten(a))
	}
	for _, suite := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers, stylecheck.Analyzers,
		quickfix.Analyzers} {
		for _, a := range suite {
			if !slices.Contains(notOurs, a.Analyzer.Name) {
				all = append(all, handWritten(a.Analyzer))
			}
		}
	}
	for _, a := range []*analysis.Analyzer{errorlint.NewAnalyzer(), ineffassign.Analyzer, wastedassign.Analyzer,
		nilness.Analyzer, unusedwrite.Analyzer, deadCode, lines} {
		all = append(all, handWritten(a))
	}
	for _, a := range []*analysis.Analyzer{noctx.Analyzer, bodyclose.Analyzer, usestdlibvars.New(), forbidden} {
		all = append(all, product(handWritten(a)))
	}
	return all
}

// ours tells whether a package that go vet hands over is of this repository. From those of others only their types are
// taken.
func ours(path string) bool {
	raw, err := os.ReadFile(path)
	if err != nil {
		return true
	}
	var c struct{ ImportPath string }
	return json.Unmarshal(raw, &c) != nil || c.ImportPath == module || strings.HasPrefix(c.ImportPath, module+"/")
}

// nothing is what is looked for in packages of others.
var nothing = &analysis.Analyzer{
	Name: "nothing",
	Doc:  "tells nothing",
	Run:  func(*analysis.Pass) (any, error) { return nil, nil },
}

// handWritten keeps an analyzer from telling of generated files.
func handWritten(a *analysis.Analyzer) *analysis.Analyzer {
	return only(a, func(pass *analysis.Pass, at token.Pos) bool {
		for _, f := range pass.Files {
			if f.FileStart <= at && at < f.FileEnd {
				return !ast.IsGenerated(f)
			}
		}
		return true
	})
}

// product keeps an analyzer from telling of tests and what serves them.
func product(a *analysis.Analyzer) *analysis.Analyzer {
	return only(a, func(pass *analysis.Pass, at token.Pos) bool {
		rest := strings.TrimPrefix(pass.Pkg.Path(), module+"/")
		first, _, _ := strings.Cut(rest, "/")
		return !strings.HasSuffix(pass.Fset.Position(at).Filename, "_test.go") &&
			!slices.Contains([]string{"test", "bench", "e2e"}, first)
	})
}

// only changes an analyzer in place, since others may require it by its address.
func only(a *analysis.Analyzer, told func(pass *analysis.Pass, at token.Pos) bool) *analysis.Analyzer {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		narrow := *pass
		narrow.Report = func(d analysis.Diagnostic) {
			if told(pass, d.Pos) {
				pass.Report(d)
			}
		}
		return run(&narrow)
	}
	return a
}
