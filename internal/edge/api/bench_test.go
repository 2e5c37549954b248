package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// BenchmarkMe and BenchmarkTickets measure the server's own work on a request, without the network.
func BenchmarkMe(b *testing.B)      { benchmarkGet(b, "/v1/auth/me") }
func BenchmarkTickets(b *testing.B) { benchmarkGet(b, "/v1/tickets") }

// BenchmarkKey and BenchmarkVerify are the same with an API key and its rate limit.
func BenchmarkKey(b *testing.B)    { benchmarkKey(b, "/v1/auth/me") }
func BenchmarkVerify(b *testing.B) { benchmarkKey(b, "/verify?permission=tickets:read") }

func benchmarkKey(b *testing.B, path string) {
	s := servertest.New(b, sqldbtest.SQLite(b), quiet)
	var keys []string
	for range 64 {
		keys = append(keys, s.Do(b, "POST", "/v1/api-keys",
			map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}, "rateLimitPerMinute": 100_000},
			s.As(b, servertest.Admin)).Want(b, 201).String("key"))
	}
	r := httptest.NewRequest("GET", path, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Header.Set("X-API-Key", keys[i%len(keys)])
		w := &discard{h: make(http.Header)}
		s.Handler.ServeHTTP(w, r)
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func benchmarkGet(b *testing.B, path string) {
	s := servertest.New(b, sqldbtest.SQLite(b), quiet)
	token := s.Login(b, servertest.Admin).AccessToken
	s.Do(b, "GET", path, nil, servertest.Bearer(token)).Want(b, 200)
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	b.ReportAllocs()
	for b.Loop() {
		w := &discard{h: make(http.Header)}
		s.Handler.ServeHTTP(w, r)
	}
}

// BenchmarkRefresh is one client that refreshes; two signatures and one commit are its limit.
func BenchmarkRefresh(b *testing.B) {
	s := servertest.New(b, sqldbtest.SQLite(b), quiet)
	token := s.Login(b, servertest.Admin).RefreshToken
	b.ReportAllocs()
	for b.Loop() {
		token = s.Do(b, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": token}).Want(b, 200).
			String("refreshToken")
	}
}

// BenchmarkLogin is everything about a sign-in but the hash, which is cheap here.
func BenchmarkLogin(b *testing.B) {
	s := servertest.New(b, sqldbtest.SQLite(b), quiet)
	b.ReportAllocs()
	for b.Loop() {
		s.Login(b, servertest.Admin)
	}
}
