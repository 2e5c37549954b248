package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// FLT12, I8: no more requests are answered at once than the bound; the rest is told when to come back, in the form of
// its path, before anything is read. Probes are answered, and a tenth more takes things away.
func TestFLT12_MaxRequests(t *testing.T) {
	t.Parallel()
	k := New(Options{PublicURL: &url.URL{Scheme: "https", Host: "auth.example.com"}, Log: slog.New(slog.DiscardHandler),
		MaxRequests: 10})
	begun, end := make(chan struct{}), make(chan struct{})
	for _, r := range []Route{{Method: "POST", Pattern: "/slow"}, {Method: "DELETE", Pattern: "/thing"}} {
		r.Public = "a test"
		k.Handle(r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-end }))
	}
	for _, path := range []string{"/healthz", "/readyz", "/other"} {
		k.Handle(Route{Method: "GET", Pattern: path, Public: "a test"},
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	k.Shape("/dialect", func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "dialect: "+fault.Of(err).Code, http.StatusServiceUnavailable)
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
		if w := send(method, path); w.Code != status || !strings.Contains(w.Body.String(), text) || status == 503 &&
			text == "UNAVAILABLE" && w.Header().Get("Retry-After") == "" {
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

	// Who sends a body a byte at a time, or does not read, keeps nobody out.
	k.Handle(Route{Method: "POST", Pattern: "/body", Public: "a test"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			io.Copy(w, r.Body)
		}))
	var ends []*io.PipeWriter
	for range 20 {
		body, end := io.Pipe()
		ends = append(ends, end)
		wg.Go(func() {
			r := httptest.NewRequest("POST", "/body", body)
			r.Header.Set("Content-Type", "application/json")
			w := unread{httptest.NewRecorder(), make(chan struct{})}
			go func() { time.Sleep(50 * time.Millisecond); close(w.read) }()
			k.ServeHTTP(w, r)
			if w.Code != 200 || w.Body.String() != "xx" {
				t.Errorf("a slow body: %d %s", w.Code, w.Body)
			}
		})
		<-begun
		end.Write([]byte("x"))
	}
	expect("GET", "/other", 200, "")
	for _, end := range ends {
		end.Write([]byte("x"))
		end.Close()
	}
	wg.Wait()
	if n := k.bound.working.Load(); n != 0 {
		t.Errorf("%d requests are counted after all have ended", n)
	}
}

// unread is a client that does not read for a while.
type unread struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

func (u unread) Write(p []byte) (int, error) { <-u.read; return u.ResponseRecorder.Write(p) }
