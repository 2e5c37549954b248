package web

import (
	"io"
	"net/http"
	"sync/atomic"
)

// bound limits how many requests are worked on at once, and so the memory that they take. Who waits for a client, for its body or for it to read the answer, does not
// count: else slow clients would take every place.
type bound struct {
	most    int64 // 0: none
	working atomic.Int64
}

// enter counts a request; leave must be called. refused: there are too many. Probes are always answered, and a tenth more takes things away.
func (b *bound) enter(r *http.Request) (refused bool) {
	working := b.working.Add(1)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = slowBody{r.Body, b}
	}
	if b.most == 0 || working <= b.most || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return false
	}
	return r.Method != http.MethodDelete || working > b.most+b.most/10
}

func (b *bound) leave() { b.working.Add(-1) }

// slowBody is a body that may take its time to come.
type slowBody struct {
	io.ReadCloser
	bound *bound
}

func (s slowBody) Read(p []byte) (int, error) {
	s.bound.working.Add(-1)
	defer s.bound.working.Add(1)
	return s.ReadCloser.Read(p)
}

// write writes to a client that may take its time to read.
func (b *bound) write(w io.Writer, p []byte) (int, error) {
	b.working.Add(-1)
	defer b.working.Add(1)
	return w.Write(p)
}
