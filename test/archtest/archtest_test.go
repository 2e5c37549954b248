// Package archtest holds the rules of architecture that a compiler does not: who may import whom, who may ask the
// database across organizations, and that every statement on a tenant's table names the organization.
package archtest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/itsm-automation/gatehouse/"
)

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
}

// packages are all of this module; go list is asked once.
func packages(t *testing.T) []pkg {
	t.Helper()
	list, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var listed = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list []pkg
	d := json.NewDecoder(strings.NewReader(string(out)))
	for d.More() {
		var p pkg
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
})

// rooms from the top down; a package imports only from lower rooms, or as a rule below says.
var rooms = []string{"cmd", "internal/server", "internal/edge", "internal/authn", "internal/domain",
	"internal/platform", "internal/core"}

func room(path string) int {
	rel := strings.TrimPrefix(path, module)
	for i, r := range rooms {
		if rel == r || strings.HasPrefix(rel, r+"/") {
			return i
		}
	}
	return -1
}

// nouns in their order: a domain imports only those before it.
var nouns = []string{"audit", "search", "organization", "role", "onetime", "user", "signingkey", "attempt", "session",
	"client", "credential", "token", "mfa", "connection", "servicedesk"}

func noun(path string) int {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, module+"internal/domain/"), "/")
	return slices.Index(nouns, name)
}

// edgeOf names the protocol of an edge package: its first folder.
func edgeOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, module+"internal/edge/"), "/")
	if name == "dialect" { // each is a protocol of its own
		return path
	}
	return name
}

func TestImportsGoDownward(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		from := room(p.ImportPath)
		if from < 0 {
			continue // tests, bench, tools may import anything
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				if from >= slices.Index(rooms, "internal/domain") && imported == "net/http" &&
					!slices.Contains([]string{module + "internal/platform/telemetry",
						module + "internal/platform/outbound"}, p.ImportPath) {
					t.Errorf("%s knows HTTP", p.ImportPath)
				}
				if from == slices.Index(rooms, "internal/core") &&
					slices.Contains([]string{"database/sql", "os", "net"}, imported) {
					t.Errorf("%s is not pure: it imports %s", p.ImportPath, imported)
				}
				continue
			}
			to := room(imported)
			switch {
			case to < 0:
				t.Errorf("%s imports %s", p.ImportPath, imported)
			case to < from:
				t.Errorf("%s imports upward: %s", p.ImportPath, imported)
			case to == from && rooms[from] == "internal/edge" && edgeOf(imported) != edgeOf(p.ImportPath) &&
				!slices.Contains([]string{"web", "oautherr"}, edgeOf(imported)):
				t.Errorf("edge packages do not import each other: %s imports %s", p.ImportPath, imported)
			case to == from && rooms[from] == "internal/domain":
				if a, b := noun(p.ImportPath), noun(imported); a < 0 || b < 0 || b > a {
					t.Errorf("domains import to the left only: %s imports %s", p.ImportPath, imported)
				}
			case rooms[from] == "internal/edge" && strings.Contains(imported, "/platform/sqldb"):
				t.Errorf("%s knows SQL", p.ImportPath)
			}
		}
	}
}

// platformCallers may ask across organizations. Whoever joins the list says why in the call. Removing what expired does
// so by its nature: a Purge in a life.go needs no place here.
var platformCallers = map[string]int{
	"internal/authn/authn.go":                   1, // an operator acts in a tenant: recorded in both
	"internal/domain/attempt/attempt.go":        6, // counters belong to names and addresses, not to organizations
	"internal/domain/attempt/mails.go":          1, // the mails of all organizations are bounded together
	"internal/domain/organization/retention.go": 1, // housekeeping goes over all organizations
	"internal/domain/user/find.go":              1, // what has no search terms, of all organizations
	"internal/domain/client/find.go":            1, // the same
	"internal/domain/credential/find.go":        1, // the same
	"internal/domain/organization/find.go":      2, // the same, and organizations themselves
	"internal/domain/search/search.go":          1, // the same
	"internal/domain/client/service.go":         1, // a token request names its client by client_id alone
	"internal/domain/credential/use.go":         2, // a credential's digest is all there is; how old all are
	"internal/platform/ratelimit/ratelimit.go":  1, // forget past minutes
	"internal/server/admin/installation.go":     1, // an announcement, to see that it is heard
	"internal/platform/jobs/lease.go":           2, // leases belong to the installation
	"internal/platform/mail/outbox.go":          3, // what is due, and purge
	"internal/domain/connection/domain.go":      2, // whose domain it is; and records are looked for again for all
	"internal/domain/connection/upkeep.go":      2, // all of them are looked after, and counted for who runs the server
	"internal/domain/connection/service.go":     3, // an address names a connection alone, a redirect_uri, a provider
	"internal/domain/onetime/onetime.go":        2, // a secret's digest is all there is
	"internal/domain/organization/service.go":   7, // organizations themselves
	"internal/domain/signingkey/service.go":     6, // keys serve all; since when tokens count
	"internal/domain/user/service.go":           2, // a sign-in name without an organization; is there an operator
}

func TestPlatformCallers(t *testing.T) {
	t.Parallel()
	found := make(map[string]int)
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "platform/sqldb") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		purging := false
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				purging = f.Name.Name == "Purge" && filepath.Base(path) == "life.go"
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || (sel.Sel.Name != "Platform" && sel.Sel.Name != "PlatformTx") {
				return true
			}
			rel, _ := filepath.Rel(root, path)
			if !purging {
				found[filepath.ToSlash(rel)]++
			}
			reason, ok := call.Args[len(call.Args)-1].(*ast.BasicLit)
			if sel.Sel.Name == "PlatformTx" {
				reason, ok = call.Args[1].(*ast.BasicLit)
			}
			if !ok {
				t.Errorf("%s: a call across organizations without a reason", rel)
				return true
			}
			if text, _ := strconv.Unquote(reason.Value); len(text) < 10 {
				t.Errorf("%s: %q is no reason", rel, text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, n := range found {
		if platformCallers[path] != n {
			t.Errorf("%s asks across organizations %d times, %d are on the list", path, n, platformCallers[path])
		}
	}
	for path := range platformCallers {
		if found[path] == 0 {
			t.Errorf("%s is on the list for nothing", path)
		}
	}
}

var (
	statement   = regexp.MustCompile(`(?ms)^-- name: (\w+) :\w+\n(.*?);\s*$`)
	createTable = regexp.MustCompile(`(?ms)^CREATE TABLE (\w+) \((.*?)^\)`)
)

// tenantTable finds a tenant's table in a statement: one that the migrations give an organization_id, and organizations
// themselves.
func tenantTable(t *testing.T) *regexp.Regexp {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "internal/platform/sqldb/migrations/*/*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"organizations"}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range createTable.FindAllStringSubmatch(string(raw), -1) {
			if strings.Contains(m[2], "organization_id") {
				names = append(names, m[1])
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %v were found in the migrations", names)
	}
	return regexp.MustCompile(`(?i)\b(?:FROM|JOIN|INTO|UPDATE)\s+(` + strings.Join(names, "|") + `)\b`)
}

// A44: every statement on a tenant's table names the organization as often as it names a table, unless it is called
// Platform…, which only the callers above may use.
func TestA44_StatementsNameTheOrganization(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "internal/domain/*/queries.sql"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%v, %v", files, err)
	}
	statements, tables := 0, tenantTable(t)
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range statement.FindAllStringSubmatch(string(raw), -1) {
			statements++
			name, text := m[1], m[2]
			if strings.HasPrefix(name, "Platform") {
				continue
			}
			named := len(tables.FindAllString(text, -1))
			if named == 0 {
				t.Errorf("%s: %s touches no table that is known here", path, name)
			}
			if names := strings.Count(text, "organization_id"); names < named {
				t.Errorf("%s: %s names the organization %d times for %d tables", path, name, names, named)
			}
		}
	}
	if statements < 60 {
		t.Errorf("only %d statements were seen", statements)
	}
}

// Every package says what it is for.
func TestPackagesAreDescribed(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if strings.HasSuffix(p.ImportPath, "db") && strings.Contains(p.ImportPath, "/domain/") {
			continue // generated
		}
		if p.Doc == "" && p.ImportPath != module+"e2e" &&
			p.ImportPath != module+"test/archtest" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// words are names of packages that whoever reads a message knows; the others are our own.
var words = []string{"attempt", "audit", "client", "credential", "demo", "failpoint", "jwt", "login", "mail", "oauth",
	"organization", "password", "permission", "role", "secret", "session", "token", "user"}

// A message of a failure reaches an operator at the command line: it does not begin with the name of a package.
func TestErrorsNameNoPackage(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, path := range filesOf(t, "internal", ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			of, ok := call.Fun.(*ast.SelectorExpr)
			text, isText := call.Args[0].(*ast.BasicLit)
			if !ok || !isText || of.Sel.Name != "Errorf" && of.Sel.Name != "New" {
				return true
			}
			seen++
			if name := file.Name.Name; strings.HasPrefix(text.Value, `"`+name+`: `) && !slices.Contains(words, name) {
				t.Errorf("%s: %s begins with the name of its package", path, text.Value)
			}
			return true
		})
	}
	if seen < 200 {
		t.Errorf("only %d messages were seen", seen)
	}
}
