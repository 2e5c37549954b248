// Package outbound fetches what customers name by URL (the keys of their OAuth clients) without letting them make this
// server talk to the network behind it: https only, public addresses only, checked when the connection is made and not
// when the name is read, no redirects, no proxies, small answers, short waits.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	timeout   = 5 * time.Second
	maxKeySet = 64 << 10
	maxAnswer = 1 << 20
)

// Client fetches.
type Client struct {
	allowed []netip.Prefix
	http    *http.Client
}

// New makes a client. allowed are networks that may be reached although they are not public, as an operator's own.
func New(allowed []netip.Prefix) *Client {
	c := &Client{allowed: allowed}
	dialer := &net.Dialer{Timeout: timeout, ControlContext: func(_ context.Context, _, address string,
		_ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if !c.permits(at.Addr()) {
			return errPrivate
		}
		return nil
	}}
	c.http = &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, Proxy: nil, TLSHandshakeTimeout: timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 16 << 10, MaxIdleConns: keptInAll, MaxIdleConnsPerHost: keptOfHost,
			IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true},
	}
	return c
}

// How many connections are kept for the next question. Each sign-in of a company asks its provider for tokens: at its
// busiest moment nobody should wait for a handshake.
const (
	keptOfHost = 16
	keptInAll  = 256
)

var errPrivate = errors.New("the address is not a public one")

// notPublic are the networks that are not on the internet although netip has no word for them (RFC 6890 and its
// successors).
var notPublic = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	"fec0::/10")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

func (c *Client) permits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range c.allowed {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() ||
		a.IsUnspecified() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// CheckURL accepts an https URL with a host and nothing that hides where it leads.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 1000 || u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.Fragment != "" {
		return errors.New("must be an https URL without user and fragment")
	}
	return nil
}

// CheckURL is the rule of this client: what CheckURL accepts, and plain http to a loopback address, written as one,
// if loopback is among the networks that its operator allows.
func (c *Client) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return CheckURL(text)
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil || !a.IsLoopback() || !c.permits(a) || u.User != nil || u.Fragment != "" || len(text) > 1000 {
		return errors.New("must be an https URL without user and fragment")
	}
	return nil
}

// HTTP is the same client for libraries that speak a protocol of their own: each request is held to CheckURL, and
// each answer to 1 MiB.
func (c *Client) HTTP() *http.Client {
	h := *c.http
	h.Transport = transport{c}
	return &h
}

type transport struct{ c *Client }

// RoundTrip holds a request to the rules.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.c.CheckURL(r.URL.String()); err != nil {
		return nil, err
	}
	res, err := t.c.http.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = &short{res.Body, maxAnswer}
	return res, nil
}

// short fails where an answer goes on for too long.
type short struct {
	io.ReadCloser
	left int
}

func (s *short) Read(p []byte) (int, error) {
	if s.left < 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	n, err := s.ReadCloser.Read(p)
	if s.left -= n; s.left < 0 {
		return n, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return n, err
}

// Plainly tells why something could not be fetched to who named the address. What is in the network around this server
// (which hosts there are, which of them answer) is not theirs to learn.
func Plainly(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		return "the address does not answer: it must, over https with a certificate that is trusted, at a public " +
			"address, " +
			"within 5 seconds and without a redirect"
	}
	return err.Error()
}

// Get fetches a key set, of at most 64 KiB.
func (c *Client) Get(ctx context.Context, address string) ([]byte, error) {
	return c.get(ctx, address, "application/jwk-set+json, application/json", maxKeySet)
}

// Document fetches a document, of at most 1 MiB.
func (c *Client) Document(ctx context.Context, address, accept string) ([]byte, error) {
	return c.get(ctx, address, accept, maxAnswer)
}

func (c *Client) get(ctx context.Context, address, accept string, maxBytes int64) ([]byte, error) {
	if err := c.CheckURL(address); err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	req.Header.Set("Accept", accept)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if int64(len(body)) > maxBytes {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxBytes)
	}
	return body, nil
}
