package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// found follows a list to its end, some at a time, and gives the names of what is in it.
func found(t *testing.T, s *servertest.Server, as servertest.Change, path string, query url.Values, size int,
	field string) (names []string) {
	t.Helper()
	query.Set("limit", fmt.Sprint(size))
	query.Del("cursor")
	for {
		var page struct {
			Data   []map[string]any
			Cursor string
		}
		s.Do(t, "GET", path+"?"+query.Encode(), nil, as).Want(t, 200).Into(t, &page)
		for _, row := range page.Data {
			names = append(names, fmt.Sprint(row[field]))
		}
		if page.Cursor == "" {
			return names
		}
		query.Set("cursor", page.Cursor)
	}
}

// Lists of people, teams, organizations, clients and credentials are searched by the beginning of a word. Each thing is
// found once, page by page, by what it is called now, beside the list's other filters, and in its organization only.
func TestSearch_Lists(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin, operator := s.As(t, servertest.Admin), s.As(t, servertest.Operator)
		post := func(path string, body map[string]any, as servertest.Change) string {
			t.Helper()
			return s.Do(t, "POST", path, body, as).Want(t, 201).String("id")
		}
		rename := func(path, name string, as servertest.Change) {
			t.Helper()
			s.Do(t, "PATCH", path, map[string]any{"name": name}, as).Want(t, 200)
		}
		names := []string{"Zelda Quin", "Quentin Quist", "Quirin Ábel", "Abel Quist"}
		for _, c := range []struct {
			path string
			as   servertest.Change
			body func(name string) map[string]any
		}{
			{"/v1/users", admin, func(name string) map[string]any {
				return map[string]any{"name": name, "role": "end_user",
					"email": strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@acme-corp.example"}
			}},
			{"/v1/teams", admin, func(name string) map[string]any { return map[string]any{"name": name} }},
			{"/v1/organizations", operator, func(name string) map[string]any {
				return map[string]any{"name": name, "slug": fmt.Sprintf("tenant-%x", name)}
			}},
			{"/v1/clients", admin, func(name string) map[string]any {
				return map[string]any{"name": name, "permissions": []string{"tickets:read:all"}}
			}},
			{"/v1/api-keys", admin, func(name string) map[string]any {
				return map[string]any{"name": name, "permissions": []string{"tickets:read:all"}}
			}},
			{"/v1/access-tokens", admin, func(name string) map[string]any { return map[string]any{"name": name} }},
			{"/v1/system-tokens", admin, func(name string) map[string]any { return map[string]any{"name": name} }},
		} {
			t.Run(c.path, func(t *testing.T) {
				ids := make(map[string]string)
				for _, name := range names {
					body := c.body(name)
					if email, ok := body["email"].(string); ok {
						body["email"] = strings.ReplaceAll(email, "á", "a")
					}
					ids[name] = post(c.path, body, c.as)
				}
				search := func(q string, size int, more ...string) []string {
					t.Helper()
					query := url.Values{"q": {q}}
					for i := 0; i < len(more); i += 2 {
						query.Set(more[i], more[i+1])
					}
					return found(t, s, c.as, c.path, query, size, "name")
				}
				check := func(q string, want ...string) {
					t.Helper()
					for _, size := range []int{1, 2, 100} {
						if got := search(q, size); !slices.Equal(got, want) {
							t.Errorf("%q, %d at a time: %q, want %q", q, size, got, want)
						}
					}
				}
				check("abel", "Quirin Ábel", "Abel Quist") // in the order of the words: "abel", "abel quist"
				check("QUI", "Zelda Quin", "Quirin Ábel", "Quentin Quist", "Abel Quist")
				if c.path == "/v1/users" { // addresses are found as well
					check("quirin.abel@", "Quirin Ábel")
				}
				check("quist", "Quentin Quist", "Abel Quist")
				check("uist")
				check("quinn")
				check("q%n")
				rename(c.path+"/"+ids["Abel Quist"], "Ünal Quist", c.as)
				check("abel q", map[bool][]string{true: {"Ünal Quist"}}[c.path == "/v1/users"]...) // by the address
				check("unal", "Ünal Quist")
				s.Do(t, "DELETE", c.path+"/"+ids["Zelda Quin"], nil, c.as).Want(t, 204)
				lasting := []string{"Zelda Quin"} // users and credentials are listed when they have ended
				if c.path == "/v1/teams" || c.path == "/v1/clients" || c.path == "/v1/organizations" {
					lasting = nil
				}
				check("zelda", lasting...)
				switch {
				case c.path == "/v1/users":
					if got := search("qu", 1, "state", "disabled"); !slices.Equal(got, lasting) {
						t.Errorf("disabled: %q", got)
					}
					if got := search("qu", 1, "role", "end_user", "state", "active"); !slices.Equal(got,
						[]string{"Quentin Quist", "Quirin Ábel", "Ünal Quist"}) {
						t.Errorf("end users: %q", got)
					}
					if got := search("qu", 1, "email", "quentin.quist@acme-corp.example"); !slices.Equal(got,
						[]string{"Quentin Quist"}) {
						t.Errorf("by the address: %q", got)
					}
				case lasting != nil:
					if got := search("qu", 1, "state", "revoked"); !slices.Equal(got, lasting) {
						t.Errorf("revoked: %q", got)
					}
				}
				s.Do(t, "GET", c.path+"?q=%20-%20", nil, c.as).Want(t, 400, "VALIDATION_ERROR")
				s.Do(t, "GET", c.path+"?q="+strings.Repeat("a", 101), nil, c.as).Want(t, 400)
				s.Do(t, "GET", c.path+"?q=a&q=b", nil, c.as).Want(t, 400)
				var page struct{ Cursor string }
				s.Do(t, "GET", c.path+"?limit=1&q=qu", nil, c.as).Want(t, 200).Into(t, &page)
				s.Do(t, "GET", c.path+"?limit=1&q=qui&cursor="+page.Cursor, nil, c.as).Want(t, 400)
				s.Do(t, "GET", c.path+"?limit=1&cursor="+page.Cursor, nil, c.as).Want(t, 400)
				if c.path == "/v1/organizations" {
					return
				}
				// another organization has nothing of that
				if got := found(t, s, operator, c.path, url.Values{"q": {"qui"}}, 10, "name"); len(got) > 0 {
					t.Errorf("elsewhere: %q", got)
				}
			})
		}

		// Of a filter that many meet, the search goes by its index.
		many := `INSERT INTO users (organization_id, id, email, email_key, username, username_key, name, kind, role, state,
				password_hash, password_changed_at, created_at, updated_at)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
			SELECT CAST($1 AS TEXT), 'usr_' || i, 'x' || i, 'x' || i, 'x' || i, 'x' || i, 'Quite new', 'person', 'end_user',
				'disabled', '', 1, 1, 1 FROM n`
		err := s.DB.PlatformTx(t.Context(), "test", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), many, s.Organization(demo.Tenant))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 10} {
			query := url.Values{"q": {"qui"}, "state": {"disabled"}}
			if got := found(t, s, admin, "/v1/users", query, size, "name"); !slices.Equal(got, []string{"Zelda Quin"}) {
				t.Errorf("beside many: %q", got) // these have no terms yet
			}
		}

		// Who may see their own only finds their own.
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "key_maker",
			"permissions": []string{"api_keys:manage:own", "tickets:read:own"}}, admin).Want(t, 201)
		_, tokens := newUser(t, s, "maker@acme-corp.example", "key_maker")
		maker := servertest.Bearer(tokens.AccessToken)
		post("/v1/api-keys", map[string]any{"name": "quick one", "permissions": []string{"tickets:read:own"}}, maker)
		post("/v1/api-keys", map[string]any{"name": "a quick two", "permissions": []string{"tickets:read:own"}}, maker)
		for _, size := range []int{1, 10} {
			if got := found(t, s, maker, "/v1/api-keys", url.Values{"q": {"qui"}}, size, "name"); !slices.Equal(got,
				[]string{"quick one", "a quick two"}) {
				t.Errorf("a maker's own: %q", got)
			}
		}
	})
}

// What an older node wrote, or a restore brought back, can be found soon after a node starts.
func TestSearch_TermsThatAreMissing(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/teams", map[string]any{"name": "Quality"}, admin).Want(t, 201)
		s.Do(t, "POST", "/v1/teams", map[string]any{"name": "🚀"}, admin).Want(t, 201)
		paths := []struct{ path, q, as string }{{"/v1/users", "agent", servertest.Admin},
			{"/v1/teams", "quality", servertest.Admin}, {"/v1/organizations", "acme", servertest.Operator},
			{"/v1/clients", "demo", servertest.Admin}, {"/v1/api-keys", "demo", servertest.Admin}}
		count := func(s *servertest.Server, path, q, as string) int {
			t.Helper()
			return len(found(t, s, s.As(t, as), path, url.Values{"q": {q}}, 100, "name"))
		}
		before, want := dump(t, s, "search_terms"), make([]int, len(paths))
		for i, p := range paths {
			if want[i] = count(s, p.path, p.q, p.as); want[i] == 0 {
				t.Fatalf("nothing found at %s", p.path)
			}
		}
		err := s.DB.PlatformTx(t.Context(), "test", func(tx *sqldb.Tx) error {
			if _, err := tx.Exec(t.Context(), `DELETE FROM leases`); err != nil { // the first node's turn is over
				return err
			}
			_, err := tx.Exec(t.Context(), `DELETE FROM search_terms`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		next := servertest.Join(t, address)
		for end := time.Now().Add(20 * time.Second); sorted(dump(t, next, "search_terms")) != sorted(before); {
			if time.Now().After(end) {
				t.Fatalf("still\n%s\ninstead of\n%s", dump(t, next, "search_terms"), before)
			}
			time.Sleep(10 * time.Millisecond)
		}
		for i, p := range paths {
			if n := count(next, p.path, p.q, p.as); n != want[i] {
				t.Errorf("%s: %d found, %d before", p.path, n, want[i])
			}
		}
	})
}

func sorted(rows string) string {
	lines := strings.Split(rows, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
