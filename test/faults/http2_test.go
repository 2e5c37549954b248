//go:build faults

package faults

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// certificate writes one for 127.0.0.1 and its key, in files.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	s := httptest.NewTLSServer(nil) // for its certificate
	defer s.Close()
	c := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", c.Certificate[0]), write("key.pem", "PRIVATE KEY", key)
}

// h2 is one connection whose frames are written by hand.
type h2 struct {
	conn net.Conn
	*http2.Framer
	headers []byte
}

func dialH2(address string) (*h2, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	io.WriteString(conn, http2.ClientPreface)
	c := &h2{conn: conn, Framer: http2.NewFramer(conn, conn)}
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "GET"}, {":path", "/v1/auth/me"}, {":scheme", "https"},
		{":authority", "127.0.0.1"}} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	c.headers = b.Bytes()
	return c, c.WriteSettings()
}

// drain reads what comes until the connection ends.
func (c *h2) drain() { io.Copy(io.Discard, c.conn) }

// FLT13: floods within HTTP/2: streams that are begun and reset at once, header blocks that never end, clients that ask
// and do not read, handshakes that stall. And in HTTP/1.1: thousands of cookies, a million form fields. Those who speak
// properly notice nothing, memory stays bounded, and the flooders are let go (I8).
func TestFLT13_Floods(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	cert, key := certificate(t)
	port := freePort(t)
	secure := "127.0.0.1:" + port
	n := l.node("GATEHOUSE_TLS_LISTEN="+secure, "GATEHOUSE_TLS_CERTIFICATE_FILE="+cert, "GATEHOUSE_TLS_KEY_FILE="+key).
		start()
	l.operator(n)
	proper := &http.Client{Timeout: 15 * time.Second,
		Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	var calls, failures, oldProtocol atomic.Int64
	stop := repeat(4, func(int) {
		req, _ := http.NewRequest("GET", "https://"+secure+"/v1/auth/me", nil)
		req.Header.Set("Authorization", "Bearer "+l.admin)
		calls.Add(1)
		r, err := proper.Do(req)
		if err != nil || r.StatusCode != 200 {
			failures.Add(1)
		}
		if err == nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.ProtoMajor != 2 {
				oldProtocol.Add(1)
			}
		}
		time.Sleep(2 * time.Millisecond)
	})
	idle, _ := n.rss()
	var mu sync.Mutex
	ended := make(map[string]int)
	flood := func(kind string, connections int, fn func(c *h2) error) {
		var wg sync.WaitGroup
		for range connections {
			wg.Go(func() {
				c, err := dialH2(secure)
				if err != nil {
					return
				}
				defer c.conn.Close()
				c.conn.SetDeadline(time.Now().Add(10 * time.Second))
				if kind != "unread" {
					go c.drain()
				}
				if err := fn(c); err != nil {
					mu.Lock()
					ended[kind]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	streams := scale(5_000, 50_000)
	flood("reset", 4, func(c *h2) error {
		for i := range streams {
			id := uint32(2*i + 1)
			if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.headers, EndHeaders: true,
				EndStream: true}); err != nil {
				return err
			}
			if err := c.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				return err
			}
		}
		return nil
	})
	flood("endless headers", 4, func(c *h2) error {
		if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.headers}); err != nil {
			return err
		}
		for range 1_000_000 {
			if err := c.WriteContinuation(1, false, []byte("\x00\x01x"+"\x04yyyy")); err != nil {
				return err
			}
		}
		return nil
	})
	flood("unread", 20, func(c *h2) error {
		for i := range streams {
			if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: c.headers,
				EndHeaders: true, EndStream: true}); err != nil {
				return err
			}
		}
		return nil
	})
	stalled := scale(200, 1000)
	for range stalled { // handshakes that never go on
		c, err := net.DialTimeout("tcp", secure, 5*time.Second)
		if err == nil {
			defer c.Close()
			c.Write([]byte{0x16, 0x03, 0x01})
		}
	}
	began := time.Now()
	waitFor(t, "stalled handshakes to be let go", 30*time.Second, func() bool { return n.descriptors() < 100 })
	released := time.Since(began)
	answers := make(map[string]int)
	cookies := n.request("GET", "/v1/auth/me", l.admin, nil)
	for range 10_000 {
		cookies.Header.Add("Cookie", "name=a value of some length")
	}
	answers["10,000 cookies"] = n.send(cookies).status
	answers["a million fields"] = n.call("POST", "/oauth2/token", "", strings.Repeat("a=b&", 1_000_000)).status
	answers["deep JSON"] = n.send(rawJSON(n, strings.Repeat("[", 60_000))).status
	stop()
	_, peak := n.rss()
	for what, status := range answers {
		if status < 400 || status >= 500 {
			t.Errorf("%s: %d", what, status)
		}
	}
	if failures.Load() > 0 || oldProtocol.Load() > 0 || calls.Load() < 20 {
		t.Errorf("%d of %d proper calls failed, %d were not HTTP/2", failures.Load(), calls.Load(), oldProtocol.Load())
	}
	if ended["endless headers"] != 4 {
		t.Errorf("%d of 4 endless header blocks were ended", ended["endless headers"])
	}
	if peak > 400 {
		t.Errorf("I8: %d MiB at the peak", peak)
	}
	l.report("FLT13", "floods streams=%d let_go=%v stalled=%d released_after=%s calls=%d failed=%d rss=%d→%dMiB",
		28*streams, ended, stalled, ms(released), calls.Load(), failures.Load(), idle, peak)
}

func rawJSON(n *node, text string) *http.Request {
	req := n.request("POST", "/v1/auth/login", "", text)
	req.Header.Set("Content-Type", "application/json")
	return req
}
