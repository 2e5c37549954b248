package web

import (
	"io"
	"net/http"
	"sync/atomic"
)

// bound limits how many requests are worked on at once, and so the memory that they take. Who waits for a client, for
// its body or for it to read the answer, does not count: else slow clients would take every place.
type bound struct {
	most    int64 // 0: none
	working atomic.Int64
}

// enter counts a request, unless there are too many; leave must be called if it is counted. A tenth more may take
// rights away. Probes are not counted and always answered.
func (b *bound) enter(r *http.Request) (counted, ok bool) {
	if b.most == 0 || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return false, true
	}
	most := b.most
	if takesAway(r) {
		most += most / 10
	}
	if b.working.Add(1) > most {
		b.leave()
		return false, false
	}
	return true, true
}

// takesAway tells whether a request may take a right away: those get through when others have to wait.
func takesAway(r *http.Request) bool {
	switch r.Method {
	case http.MethodDelete, http.MethodPatch:
		return true
	case http.MethodPost:
		return r.URL.Path == "/oauth2/revoke" || r.URL.Path == "/v1/auth/logout"
	}
	return false
}

func (b *bound) leave() { b.working.Add(-1) }

// write writes to a client that may take its time to read.
func (b *bound) write(w io.Writer, p []byte) (int, error) {
	b.working.Add(-1)
	defer b.working.Add(1)
	return w.Write(p)
}
