package servertest

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Halfway sends a request without its body and waits until the server wants that, so that whoever asks has been let in.
// What it gives sends the body and tells the status of the answer.
func (s *Server) Halfway(t testing.TB, method, path, body string, as Change) func() string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	as(r)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Expect", "100-continue") // answered when the body is first read (RFC 9110 §10.1.1)
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, path, u.Host, len(body))
	_ = r.Header.Write(conn)
	fmt.Fprint(conn, "\r\n")
	answer := bufio.NewReader(conn)
	status := func() string {
		for {
			line, err := answer.ReadString('\n')
			if err != nil {
				return err.Error()
			}
			if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(line, "HTTP/1.1 ") {
				return words[1]
			}
		}
	}
	if got := status(); got != "100" {
		t.Fatalf("%s %s: %s before the body", method, path, got)
	}
	return func() string {
		fmt.Fprint(conn, body)
		return status()
	}
}
