package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// WEB08: Envoy tells only the headers that are named to it. The page names every one by which an API may be told
// another method or address, twice: so that it is judged, and so that it is removed.
func TestWEB08_EnvoyNamesOverrides(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "forward-auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(text), "### Envoy")
	for list, form := range map[string]string{"allowed_headers": "{exact: %s}", "request_headers_to_remove": " %s"} {
		_, rest, _ := strings.Cut(page, list+":")
		line, _, _ := strings.Cut(rest, "\n")
		for name := range overriding {
			named := fmt.Sprintf(form, strings.ToLower(name))
			if !strings.Contains(line, named+",") && !strings.Contains(line, named+"]") {
				t.Errorf("%s does not name %s", list, name)
			}
		}
	}
}
