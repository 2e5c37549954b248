package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is measured was answered with 200 and read to its end, whether its length was told or it came in chunks.
func TestExchange(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10_000)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /key", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-API-Key"))
	})
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long) })
	mux.HandleFunc("GET /full", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "come back", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /made", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c, err := dial(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.tcp.Close() })
	for range 2 { // one connection for all
		for _, test := range []struct{ method, path, credential, body, want, fails string }{
			{"POST", "/echo", "", "{}", "{}", ""},
			{"POST", "/echo", "", "", "", ""},
			{"GET", "/key", "X-API-Key: secret", "", "secret", ""},
			{"GET", "/long", "", "", long, ""},
			{"GET", "/full", "", "", "", "GET /full: HTTP/1.1 503 Service Unavailable come back"},
			{"GET", "/made", "", "", "", "GET /made: HTTP/1.1 201 Created"},
			{"GET", "/none", "", "", "", "GET /none: HTTP/1.1 404 Not Found"},
		} {
			got, err := c.exchange(prepare(test.method, s.URL+test.path, test.credential, []byte(test.body)))
			switch {
			case test.fails != "" && (err == nil || !strings.HasPrefix(err.Error(), test.fails)):
				t.Errorf("%s: %v", test.path, err)
			case test.fails == "" && (err != nil || string(got) != test.want):
				t.Errorf("%s: %.50q %v", test.path, got, err)
			}
		}
	}
}
