package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/core/fault"
)

// FLT12, I8: no more requests are answered at once than the bound; the rest is told when to come back, in the form of its path, before anything is read. Probes are
// answered, and a tenth more takes things away.
func TestFLT12_MaxRequests(t *testing.T) {
	t.Parallel()
	k := New(Options{PublicURL: &url.URL{Scheme: "https", Host: "auth.example.com"}, Log: slog.New(slog.DiscardHandler), MaxRequests: 10})
	begun, end := make(chan struct{}), make(chan struct{})
	for _, r := range []Route{{Method: "POST", Pattern: "/slow"}, {Method: "DELETE", Pattern: "/thing"}} {
		r.Public = "a test"
		k.Handle(r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-end }))
	}
	for _, path := range []string{"/healthz", "/readyz", "/other"} {
		k.Handle(Route{Method: "GET", Pattern: path, Public: "a test"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	k.Shape("/dialect", func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "dialect: "+fault.Of(err).Code, 503)
	})
	send := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, strings.NewReader(`{}`))
		r.Header.Set("Content-Type", "application/json")
		k.ServeHTTP(w, r)
		return w
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { send("POST", "/slow") })
		<-begun
	}
	expect := func(method, path string, status int, text string) {
		t.Helper()
		if w := send(method, path); w.Code != status || !strings.Contains(w.Body.String(), text) || status == 503 && text == "UNAVAILABLE" && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	expect("POST", "/slow", 503, "UNAVAILABLE")
	expect("GET", "/other", 503, "UNAVAILABLE")
	expect("GET", "/dialect/x", 503, "dialect: UNAVAILABLE")
	expect("GET", "/healthz", 200, "")
	expect("GET", "/readyz", 200, "")
	wg.Go(func() { send("DELETE", "/thing") })
	<-begun
	expect("DELETE", "/thing", 503, "UNAVAILABLE")
	close(end)
	wg.Wait()
	expect("GET", "/other", 200, "")
	if n := k.working.Load(); n != 0 {
		t.Errorf("%d requests are counted after all have ended", n)
	}
}
