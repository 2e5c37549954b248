package gateway

import "testing"

const benchRules = `routes:
  - {methods: [GET], path: "/api/stations", permission: "tickets:read"}
  - {methods: [GET], path: "/api/stations/{id}", permission: "tickets:read:team"}
  - {methods: [POST, DELETE], path: "/api/stations/{id}", permission: "tickets:manage:all"}
  - {path: "/api/profile", authenticated: true}
  - {path: "/api/files/{rest...}", permission: "tickets:read"}
  - {methods: [GET], path: "/status", public: true}
  - {path: "/admin", permission: "users:manage"}
  - {path: "/{rest...}", authenticated: true}
`

// What a routes file costs for each request, by the spelling of its path.
func BenchmarkMatch(b *testing.B) {
	rules, err := ParseRules([]byte(benchRules))
	if err != nil {
		b.Fatal(err)
	}
	for name, uri := range map[string]string{"clean": "/api/stations/7?page=1",
		"ulid": "/api/stations/01ARZ3NDEKTSV4RRFFQ69G5FAV", "name": "/api/stations/J%C3%BCrgen",
		"deep": "/api/files/a/b/c/d.pdf"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				path, ok := cleanPath(uri)
				if _, err := rules.Match(Request{"GET", "", path}); !ok || err != nil {
					b.Fatal(uri, err)
				}
			}
		})
	}
}
