package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	listedID  = regexp.MustCompile(`(?m)^\| ([A-Z]+[0-9]+(?:-[0-9]+)?) \|`)
	testName  = regexp.MustCompile(`(?m)^func (?:Test|Fuzz|Benchmark)((?:[A-Z]{1,3}[0-9]{1,2}_)+)`)
	codeBlock = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```$")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// filesOf lists the files of the repository with an ending, but for what is installed or built.
func filesOf(t *testing.T, dir, ending string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == ".git" || name == "node_modules" || name == "bin") {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ending) {
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func readText(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// What a test has in its name, such as A33 in TestA33_Scopes, is explained in docs/requirements.md.
func TestRequirementsAreListed(t *testing.T) {
	t.Parallel()
	listed := make(map[string]bool)
	for _, m := range listedID.FindAllStringSubmatch(readText(t, filepath.Join(root, "docs/requirements.md")), -1) {
		if listed[m[1]] {
			t.Errorf("docs/requirements.md lists %s twice", m[1])
		}
		listed[m[1]] = true
	}
	cited := 0
	for _, path := range filesOf(t, ".", "_test.go") {
		for _, m := range testName.FindAllStringSubmatch(readText(t, path), -1) {
			for id := range strings.SplitSeq(strings.TrimSuffix(m[1], "_"), "_") {
				if cited++; !listed[id] {
					t.Errorf("%s: a test is named after %s, which docs/requirements.md does not list", path, id)
				}
			}
		}
	}
	if cited < 200 {
		t.Errorf("only %d ids were seen in the names of tests", cited)
	}
}

// slugs are the anchors of a page's headings, as code hosts make them.
func slugs(page string) map[string]bool {
	out := make(map[string]bool)
	for _, m := range mdHeading.FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		plain := mdLink.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(notInSlug.ReplaceAllString(plain, ""), " ", "-")] = true
	}
	return out
}

// Every relative link of the documentation leads to a file or folder and, if it names one, to a heading.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := filesOf(t, "docs", ".md")
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		pages = append(pages, filepath.Join(root, name))
	}
	seen := 0
	for _, page := range pages {
		prose := codeSpan.ReplaceAllString(codeBlock.ReplaceAllString(readText(t, page), ""), "")
		for _, m := range mdLink.FindAllStringSubmatch(prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // of another site
			}
			seen++
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads to nothing", page, m[1])
			} else if anchor != "" && !slugs(readText(t, path))[anchor] {
				t.Errorf("%s: %s names no heading", page, m[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d links were seen", seen)
	}
}
