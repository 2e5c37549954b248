package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// conversation is one connection, written by hand.
type conversation struct {
	net.Conn
	in *bufio.Reader
}

func converse(t *testing.T, s *servertest.Server) *conversation {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		panic(err) // also from goroutines
	}
	t.Cleanup(func() { c.Close() })
	return &conversation{c, bufio.NewReader(c)}
}

// ask sends a head and perhaps a body, and reads the answer, which must come soon.
func (c *conversation) ask(t *testing.T, text string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
		return nil
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second)) // machines may be slow; the former wait was the longest allowed
	answer, err := http.ReadResponse(c.in, nil)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
	}
	if err != nil {
		t.Errorf("%.60q gets no answer: %v", text, err)
		return nil
	}
	return answer
}

// ended tells whether the server closes the connection.
func (c *conversation) ended() bool {
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := c.in.ReadByte()
	return err == io.EOF
}

// F1, WEB08: whoever announces a body and sends none is refused at once on every route, and what they send later is no
// request.
func TestF1_RefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t), func(c *config.Config, _ *server.Options) {
		c.Resources, c.TrustedProxies = []string{"stations"}, []string{"127.0.0.1"}
	})
	refused := 0
	for _, route := range s.Kit.Routes() {
		method := route.Method
		if method == "" {
			method = "POST"
		}
		if route.Public != "" && (method == "POST" && route.BodyTypes != nil || method == "GET") {
			continue // the body is the credential, or it is read whatever its type
		}
		path := strings.NewReplacer("{", "", "}", "", "...", "").Replace(route.Pattern)
		for _, length := range []string{"Content-Length: 40", "Transfer-Encoding: chunked", "Content-Length: 300000"} {
			c := converse(t, s)
			answer := c.ask(t, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", method, path, length))
			if answer == nil {
				t.Fatalf("%s %s", method, route.Pattern)
			}
			c.Close()
			if answer.StatusCode < 400 || !answer.Close {
				t.Errorf("%s %s: %d, the connection goes on: %v", method, path, answer.StatusCode, !answer.Close)
			}
			refused++
		}
	}
	if refused < 100 {
		t.Errorf("only %d routes were asked", refused)
	}
	var wg sync.WaitGroup
	key := "X-API-Key: " + s.Seeds.APIKeys[0].Key + "\r\n"
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"a proxy that keeps the body":  {"POST /verify HTTP/1.1\r\nHost: x\r\n" + key, 200},
		"a proxy without a credential": {"POST /verify HTTP/1.1\r\nHost: x\r\n", 401},
		"a question that is none":      {"POST /verify?x=y HTTP/1.1\r\nHost: x\r\n" + key, 403},
		"no route":                     {"POST /nothing HTTP/1.1\r\nHost: x\r\n", 404},
		"an odd path":                  {"POST /a//b HTTP/1.1\r\nHost: x\r\n", 404},
		"an odd query":                 {"POST /v1/tickets?%zz HTTP/1.1\r\nHost: x\r\n", 400},
		"another method":               {"PUT /v1/tickets HTTP/1.1\r\nHost: x\r\n", 405},
		"a body of no type":            {"POST /v1/tickets HTTP/1.1\r\nHost: x\r\n" + key, 415},
		"a probe with a body":          {"GET /healthz HTTP/1.1\r\nHost: x\r\n", 415},
		"a preflight": {"OPTIONS /v1/tickets HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n" +
			"Access-Control-Request-Method: GET\r\n", 204},
		"somebody who waits to be told": {"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n", 401},
	} {
		wg.Go(func() {
			conn := converse(t, s)
			answer := conn.ask(t, c.head+"Content-Length: 40\r\n\r\n")
			if answer == nil || answer.StatusCode != c.status || !answer.Close || !conn.ended() {
				t.Errorf("%s: %v", name, answer)
			}
		})
	}
	wg.Wait()
	// What comes after the answer is not read as a request.
	c := converse(t, s)
	c.ask(t, "POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n")
	io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("the rest of a body was read as a request")
	}
	// A body that is here keeps the connection, and so does one that is read.
	c = converse(t, s)
	for _, head := range []string{"POST /verify HTTP/1.1", "POST /v1/tickets HTTP/1.1", "POST /nothing HTTP/1.1",
		"GET /healthz HTTP/1.1", "POST /v1/auth/login HTTP/1.1\r\nContent-Type: application/json"} {
		if answer := c.ask(t, head+"\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); answer == nil || answer.Close {
			t.Fatalf("%s: %v", head, answer)
		}
	}
	// Whoever sends a whole body before they read has their answer.
	for _, size := range []int{100_000, 1 << 20} {
		c = converse(t, s)
		answer := c.ask(t, fmt.Sprintf("POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size,
			strings.Repeat("x", size)))
		if answer == nil || answer.StatusCode != 401 {
			t.Errorf("%d bytes: %v", size, answer)
		}
	}
}
