package web

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// incoming is the body of a request, which may take its time to come, or never come.
type incoming struct {
	io.ReadCloser
	request *http.Request
	bound   *bound // that counts the request; nil: none does
	ended   bool   // it has come to its end
}

// receive watches the body of a request; nil: there is none.
func receive(r *http.Request, counting *bound) *incoming {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &incoming{ReadCloser: r.Body, request: r, bound: counting}
	r.Body = b
	return b
}

// Read does not count as work while it waits.
func (b *incoming) Read(p []byte) (int, error) {
	if b.bound != nil {
		b.bound.working.Add(-1)
		defer b.bound.working.Add(1)
	}
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

const (
	restWait  = 5 * time.Millisecond // for what is on its way already
	restBytes = 64 << 10
	lingering = time.Second // in which a client that is still sending can read the answer
)

// settle is called before an answer begins. If nobody has read the body, net/http would wait for the rest of it before
// it sends the answer, as long as a request may take, to use the connection again: a proxy that announces a body and
// keeps it to itself (RFC 9110 §8.6) would wait as long for every answer. So a rest that is here already is taken, and
// otherwise the connection ends with this answer (RFC 9112 §9.3), which goes out at once: what may still come must not
// be read as another request.
func (b *incoming) settle(w http.ResponseWriter) {
	if b == nil || b.ended || b.request.ProtoMajor != 1 { // HTTP/2 ends the one stream
		return
	}
	connection := http.NewResponseController(w)
	if b.takeRest(connection) {
		return
	}
	w.Header().Set("Connection", "close")
	_ = connection.SetReadDeadline(time.Now().Add(lingering)) // where there is none, nothing is waited for
}

func (b *incoming) takeRest(connection *http.ResponseController) bool {
	if b.request.ContentLength > restBytes || b.request.Header.Get("Expect") != "" { // reading would ask for the body
		return false
	}
	if connection.SetReadDeadline(time.Now().Add(restWait)) != nil {
		return false
	}
	if _, err := io.CopyN(io.Discard, b.ReadCloser, restBytes+1); !errors.Is(err, io.EOF) {
		return false
	}
	return connection.SetReadDeadline(time.Time{}) == nil // the next request sets its own
}

// LateBody is how long after its head the body of a request may end without the request being judged again.
const LateBody = 50 * time.Millisecond

// admitted is the body of a request that was let in. Whoever keeps the end of it back until they have lost a right, or
// their session has ended, must not use that right (A41): the body ends with the refusal then, for whoever reads it.
type admitted struct {
	io.ReadCloser
	since time.Time
	again func() error
}

func (b *admitted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && time.Since(b.since) > LateBody {
		if refusal := b.again(); refusal != nil {
			return n, refusal
		}
	}
	return n, err
}
