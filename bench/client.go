package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What is measured goes over bare keep-alive connections: net/http's client costs as much as the server's quickest
// answers, and a ratio measured with it would tell about the client.

// request is one that is written as it stands.
type request struct {
	host string
	raw  []byte
}

func prepare(method, url, credential string, body []byte) request {
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, path, host, len(body))
	headers(url, credential, body).Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return request{host, b.Bytes()}
}

// form is the type of the bodies of OAuth.
const form = "application/x-www-form-urlencoded"

// headers are those of every request. A credential is a bearer token unless it names its header ("X-API-Key: …").
func headers(url, credential string, body []byte) http.Header {
	h := http.Header{"User-Agent": {"bench"}}
	switch {
	case strings.Contains(url, "/oauth2/"):
		h.Set("Content-Type", form)
	case body != nil:
		h.Set("Content-Type", "application/json")
	}
	switch name, value, named := strings.Cut(credential, ": "); {
	case named:
		h.Set(name, value)
	case credential != "":
		h.Set("Authorization", "Bearer "+credential)
	}
	return h
}

// conn is a connection of a worker.
type conn struct {
	tcp  net.Conn
	r    *bufio.Reader
	body []byte
}

func dial(host string) (*conn, error) {
	tcp, err := net.DialTimeout("tcp", host, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &conn{tcp: tcp, r: bufio.NewReaderSize(tcp, 16<<10)}
	return c, tcp.SetDeadline(time.Now().Add(*duration + time.Minute))
}

// exchange sends a request and wants 200. The body is good until the next exchange.
func (c *conn) exchange(r request) ([]byte, error) {
	if _, err := c.tcp.Write(r.raw); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	refused := ""
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		refused = string(bytes.TrimSpace(line))
	}
	if err := c.readBody(); err != nil {
		return nil, err
	}
	if refused != "" {
		asked, _, _ := bytes.Cut(r.raw, []byte(" HTTP/"))
		return nil, fmt.Errorf("%s: %s %.200s", asked, refused, c.body)
	}
	return c.body, nil
}

// readBody reads the headers for the length alone, and the body, which comes in chunks (RFC 9112 §7.1) if it has none.
func (c *conn) readBody() error {
	length, chunked := -1, false
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		chunked = chunked || bytes.HasPrefix(line, []byte("Transfer-Encoding: chunked"))
	}
	c.body = c.body[:0]
	switch {
	case chunked:
		return c.readChunks()
	case length < 0:
		return errors.New("an answer without a length")
	}
	return c.read(length)
}

func (c *conn) readChunks() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if err := c.read(int(n)); err != nil {
			return err
		}
		if _, err := c.r.Discard(len("\r\n")); err != nil || n == 0 {
			return err
		}
	}
}

// read adds the next n bytes to the body.
func (c *conn) read(n int) error {
	from := len(c.body)
	if from+n > cap(c.body) {
		c.body = append(make([]byte, 0, 2*(from+n)), c.body...)
	}
	c.body = c.body[:from+n]
	_, err := io.ReadFull(c.r, c.body[from:])
	return err
}

// setUp is the client for what is not measured.
var setUp = &http.Client{Timeout: 30 * time.Second}

// answer is what a request that is not measured got.
type answer struct {
	Header http.Header
	Body   []byte
}

// ask makes a request that is not measured, and wants 200.
func ask(method, url, credential string, body []byte) (answer, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = headers(url, credential, body)
	res, err := setUp.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %.200s", method, url, res.StatusCode, raw)
	}
	return answer{res.Header, raw}, err
}

// send is ask for the body alone.
func send(method, url, credential string, body []byte) ([]byte, error) {
	a, err := ask(method, url, credential, body)
	return a.Body, err
}
