package main

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/tools/go/analysis"
	"honnef.co/go/tools/unused"
)

const (
	maxColumns = 120
	tabColumns = 4
)

// lines holds the width of lines. A raw string cannot be broken, so only the code beside it counts; a directive must not
// be.
var lines = &analysis.Analyzer{
	Name: "lines",
	Doc:  "lines have at most 120 columns, a tab being four",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, f := range pass.Files {
			file := pass.Fset.File(f.FileStart)
			src, err := os.ReadFile(file.Name())
			if err != nil {
				return nil, err
			}
			for i, line := range strings.Split(string(breakable(src)), "\n") {
				if n := columns(line); n > maxColumns && i < file.LineCount() {
					pass.Reportf(file.LineStart(i+1), "the line has %d columns, %d are the most", n, maxColumns)
				}
			}
		}
		return nil, nil
	},
}

func columns(line string) int {
	tabs := strings.Count(line, "\t")
	return utf8.RuneCountInString(line) + tabs*(tabColumns-1)
}

// breakable gives the source without what cannot be broken: raw strings and directives. Its lines stay.
func breakable(src []byte) []byte {
	var out []byte
	at := 0
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return append(out, src[at:]...)
		}
		raw := tok == token.STRING && text[0] == '`'
		if raw || tok == token.COMMENT && (strings.HasPrefix(text, "//go:") || strings.HasPrefix(text, "//lint:")) {
			begin := file.Offset(pos)
			out = append(append(out, src[at:begin]...), strings.Repeat("\n", strings.Count(text, "\n"))...)
			at = begin + len(text)
		}
	}
}

// forbidden holds what must not be used at all, or in one place only.
var forbidden = &analysis.Analyzer{
	Name: "forbidden",
	Doc:  "randomness is crypto/rand's, and tokens are verified by core/jwt alone",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, f := range pass.Files {
			for _, spec := range f.Imports {
				if path := strings.Trim(spec.Path.Value, `"`); path == "math/rand" || path == "math/rand/v2" {
					pass.Reportf(spec.Pos(), "%s: randomness is crypto/rand's", path)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				name, ok := n.(*ast.Ident)
				if !ok {
					return true
				}
				used, ok := pass.TypesInfo.Uses[name].(*types.Func)
				if !ok || used.Pkg() == nil {
					return true
				}
				switch from := used.Pkg().Path(); {
				case used.Name() == "ParseUnverified" && strings.Contains(from, "jwt"),
					used.Name() == "ParseSignedCompact" && strings.Contains(from, "go-jose") &&
						pass.Pkg.Path() != module+"/internal/core/jwt":
					pass.Reportf(name.Pos(), "%s: tokens are verified by core/jwt", used.Name())
				}
				return true
			})
		}
		return nil, nil
	},
}

// deadCode is staticcheck's U1000, which by itself only collects what it finds.
var deadCode = &analysis.Analyzer{
	Name:     "U1000",
	Doc:      "what is not exported is used",
	Requires: []*analysis.Analyzer{unused.Analyzer.Analyzer},
	Run: func(pass *analysis.Pass) (any, error) {
		found := pass.ResultOf[unused.Analyzer.Analyzer].(unused.Result)
		used := make(map[token.Position]bool)
		for _, o := range found.Used {
			used[o.Position] = true
		}
		for _, f := range pass.Files {
			file := pass.Fset.File(f.FileStart)
			for _, o := range found.Unused {
				if o.Position.Filename == file.Name() && !used[o.Position] {
					pass.Reportf(file.Pos(o.Position.Offset), "%s %s is unused", o.Kind, o.Name)
				}
			}
		}
		return nil, nil
	},
}
