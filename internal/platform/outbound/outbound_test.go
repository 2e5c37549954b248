package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// ATK43: only addresses of the internet are reached, in whatever way they are written.
func TestATK43_Addresses(t *testing.T) {
	t.Parallel()
	c := New(nil)
	for _, a := range []string{"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "10.0.0.1",
		"172.16.0.1", "172.31.255.255", "192.168.1.1", "::ffff:10.0.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0",
		"fc00::1", "fd12::1", "100.64.0.1", "192.0.0.170", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"100::1",
		"2001:db8::1", "2001::1", "2002:7f00:1::", "3fff::1", "fec0::1"} {
		if c.permits(netip.MustParseAddr(a)) {
			t.Errorf("%s may be reached", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "93.184.216.34", "::ffff:93.184.216.34", "2606:4700::1111", "172.32.0.1",
		"100.128.0.1", "11.0.0.1"} {
		if !c.permits(netip.MustParseAddr(a)) {
			t.Errorf("%s may not be reached", a)
		}
	}
	mine := New([]netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")})
	if !mine.permits(netip.MustParseAddr("10.2.3.4")) || mine.permits(netip.MustParseAddr("10.3.0.1")) {
		t.Error("an allowed network")
	}
}

// ATK43: what a URL may be.
func TestATK43_URLs(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "keys", "http://keys.example/", "ftp://keys.example/", "file:///etc/passwd",
		"https://", "https:///path", "https://user@keys.example/", "https://user:pass@keys.example/",
		"https://keys.example/#part", "gopher://x", "https://keys.example/" + strings.Repeat("a", 1000),
		"https://%zz/"} {
		if CheckURL(u) == nil {
			t.Errorf("%q is accepted", u)
		}
	}
	if err := CheckURL("https://keys.example:8443/a/b?c=d"); err != nil {
		t.Error(err)
	}
}

// ATK43: a name that is a public address when it is looked at and loopback when it is connected to: the connection is
// judged, not the name.
func TestATK43_Rebinding(t *testing.T) {
	t.Parallel()
	var asked, answered atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }))
	t.Cleanup(inside.Close)
	dns := rebindingDNS(t, &answered)
	c := New(nil)
	transport := c.http.Transport.(*http.Transport)
	judged := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", dns)
		}}
		if host == "rebinding.example" {
			if _, err := resolver.LookupNetIP(ctx, "ip4", host); err != nil { // the look that says it is public
				return nil, err
			}
			ips, err := resolver.LookupNetIP(ctx, "ip4", host) // the one that connects
			if err != nil {
				return nil, err
			}
			return judged(ctx, network, net.JoinHostPort(ips[0].String(), port))
		}
		return judged(ctx, network, address)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(inside.URL, "https://"))
	_, err := c.Get(t.Context(), "https://rebinding.example:"+port+"/")
	if !errors.Is(err, errPrivate) || asked.Load() != 0 || answered.Load() < 2 {
		t.Errorf("%v; asked %d, looked up %d", err, asked.Load(), answered.Load())
	}
}

// rebindingDNS answers first with a public address and then with loopback.
func rebindingDNS(t *testing.T, answered *atomic.Int32) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			a := [4]byte{127, 0, 0, 1}
			if answered.Add(1) == 1 {
				a = [4]byte{93, 184, 216, 34}
			}
			m.Response = true
			m.Additionals = nil
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name,
				Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 0}, Body: &dnsmessage.AResource{A: a}}}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}
