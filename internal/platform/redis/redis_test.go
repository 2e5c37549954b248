package redis

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// G4: why Redis cannot be used is told in the server's words, and never with the password: an old server quotes the
// command that it does not know, with all its words.
func TestG4_Trouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ answer, want string }{
		{"ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `u`, `quite-secret`,", "old protocol"},
		{"WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS invalid"},
		{"NOPERM u:quite-secret may not", "NOPERM u:… may not"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go answering(l, c.answer)
		trouble, logged := troubleAt(t, "redis://u:quite-secret@"+l.Addr().String(), c.want)
		if !strings.Contains(trouble, c.want) || strings.Contains(trouble+logged, "quite-secret") {
			t.Errorf("%s: %s, logged %s", c.answer, trouble, logged)
		}
	}
	unknown := httptest.NewTLSServer(nil)
	t.Cleanup(unknown.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: unknown.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answering(l, "ERR never asked")
	const want = "unknown authority"
	if trouble, _ := troubleAt(t, "rediss://"+l.Addr().String(), want); !strings.Contains(trouble, want) {
		t.Error(trouble)
	}
}

// answering answers each command with one error.
func answering(l net.Listener, text string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "*") {
					fmt.Fprintf(conn, "-%s\r\n", text)
				}
			}
		}()
	}
}

type buffer struct{ text atomic.Pointer[string] }

func (b *buffer) Write(p []byte) (int, error) {
	text := string(p)
	b.text.Store(&text)
	return len(p), nil
}

// troubleAt waits for the trouble that is wanted, and gives what it is: on a busy machine the first may be a connection
// that took too long.
func troubleAt(t *testing.T, address, want string) (trouble, logged string) {
	t.Helper()
	var b buffer
	c, err := New(address, "test:", slog.New(slog.NewTextHandler(&b, nil)), func([]string) {})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	defer c.Close()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err, said := c.Trouble(), b.text.Load(); err != nil && said != nil {
			if trouble, logged = err.Error(), *said; strings.Contains(trouble, want) {
				return trouble, logged
			}
		}
	}
	return trouble, logged
}
