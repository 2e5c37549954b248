package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// ATK60, G6: only a cursor that was made for a list is read there, whatever comes.
func FuzzCursor(f *testing.F) {
	c := NewCursors([]byte("0123456789abcdef0123456789abcdef"))
	good := c.Encode("usr_01", "users", "org_1", "active")
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		if position, err := c.Decode(cursor, "users", "org_1", "active"); err == nil && cursor != "" &&
			(cursor != good || position != "usr_01") {
			t.Errorf("%q was read as %q", cursor, position)
		}
		for _, scope := range [][]string{{"users", "org_2", "active"}, {"users", "org_1"}, {"users", "org_1a", "ctive"},
			{"usersorg_1", "", "active"}} {
			if _, err := c.Decode(good, scope...); err == nil {
				t.Errorf("a cursor of another list is read under %q", scope)
			}
		}
	})
}

// WEB07: the right-most untrusted hop; nothing at all from who is not trusted; never the proxy for a hop that cannot be
// read.
func TestWEB07_ClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
		netip.MustParsePrefix("fe80::/10")}
	const proxy, none = "10.0.0.1:5", "unreadable: "
	for _, c := range []struct {
		peer, header string
		lines        []string
		want         string
	}{
		{"203.0.113.1:5", ForwardedFor, nil, "203.0.113.1"},
		{"203.0.113.1:5", ForwardedFor, []string{"198.51.100.7"}, "203.0.113.1"},
		{proxy, ForwardedFor, nil, "10.0.0.1"},
		{proxy, ForwardedFor, []string{"198.51.100.7"}, "198.51.100.7"},
		{proxy, ForwardedFor, []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{proxy, ForwardedFor, []string{"1.1.1.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{proxy, ForwardedFor, []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7"},
		{proxy, ForwardedFor, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"[::ffff:10.0.0.1]:5", ForwardedFor, []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[fd00::1]:5", ForwardedFor, []string{"2001:db8::1"}, "2001:db8::1"},
		{"[fe80::1%eth0]:5", ForwardedFor, []string{"2001:db8::1"}, "2001:db8::1"},

		{proxy, ForwardedFor, []string{"203.0.113.9:17085"}, "203.0.113.9"},
		{proxy, ForwardedFor, []string{"203.0.113.9:0, 10.0.0.2:99"}, "203.0.113.9"},
		{proxy, ForwardedFor, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{proxy, ForwardedFor, []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{proxy, ForwardedFor, []string{"[::ffff:203.0.113.9]:443"}, "203.0.113.9"},
		{proxy, ForwardedFor, []string{"fe80::7%eth0, fe80::1%eth0"}, "fe80::7"},

		{proxy, ForwardedFor, []string{"198.51.100.7, rubbish"}, none + "rubbish"},
		{proxy, ForwardedFor, []string{"198.51.100.7, rubbish:17085"}, none + "rubbish"},
		{proxy, ForwardedFor, []string{"198.51.100.7, rubbish, 10.0.0.2"}, none + "rubbish"},
		{proxy, ForwardedFor, []string{"203.0.113.9:"}, none + "203.0.113.9:"},
		{proxy, ForwardedFor, []string{"203.0.113.9:123456"}, none + "203.0.113.9:123456"},
		{proxy, ForwardedFor, []string{"203.0.113.9:http"}, none + "203.0.113.9:http"},
		{proxy, ForwardedFor, []string{"[203.0.113.9]:80"}, none + "[203.0.113.9]"},
		{proxy, ForwardedFor, []string{"[2001:db8::1"}, none + "[2001:db8:"},
		{proxy, ForwardedFor, []string{"[2001:db8::1]x"}, none + "[2001:db8::1]x"},
		{proxy, ForwardedFor, []string{"203.0.113.09"}, none + "203.0.113.09"},
		{proxy, ForwardedFor, []string{"198.51.100.7,"}, none},
		{proxy, ForwardedFor, []string{""}, none},
		{proxy, ForwardedFor, []string{"unknown"}, none + "unknown"},
		{proxy, ForwardedFor, []string{"a\x01\xffb"}, none + "a\uFFFDb"},

		{"203.0.113.1:5", Forwarded, []string{"for=198.51.100.7"}, "203.0.113.1"},
		{proxy, Forwarded, nil, "10.0.0.1"},
		{proxy, Forwarded, []string{"for=198.51.100.7"}, "198.51.100.7"},
		{proxy, Forwarded, []string{`for=1.1.1.1, For="198.51.100.7:47011";proto=https ; by=203.0.113.43`},
			"198.51.100.7"},
		{proxy, Forwarded, []string{`proto=http;for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{proxy, Forwarded, []string{`for=[2001:db8::17]`, `for=10.0.0.2:_hidden`}, "2001:db8::17"},
		{proxy, Forwarded, []string{`for=198.51.100.7;secret="a, for=1.1.1.1;x=\"y\"";by=_mine`}, "198.51.100.7"},
		{proxy, Forwarded, []string{`for="`, "for=198.51.100.7"}, "198.51.100.7"}, // a quotation mark of the client's
		{proxy, Forwarded, []string{`for=198.51.100.7;host="a,for=1.1.1.1"`}, "198.51.100.7"},
		{proxy, Forwarded, []string{`for=198.51.100.7;host="a,for=1.1.1.1;x=\"\""`}, "198.51.100.7"},

		{proxy, Forwarded, []string{"for=198.51.100.7, for=_SEVKISEK:1"}, none + "_SEVKISEK"},
		{proxy, Forwarded, []string{"for=198.51.100.7, for=unknown"}, none + "unknown"},
		{proxy, Forwarded, []string{"for=198.51.100.7, proto=https"}, none + "proto=https"},
		{proxy, Forwarded, []string{"198.51.100.7"}, none + "198.51.100.7"},
		{proxy, Forwarded, []string{"for=1.1.1.1;for=198.51.100.7"}, none + "for=1.1.1.1;for=198.51.100.7"},
		{proxy, Forwarded, []string{`for="198.51.100.7`}, none + `for="198.51.100.7`},
		{proxy, Forwarded, []string{`for="198.51.100.7\`}, none + `for="198.51.100.7\`},
		{proxy, Forwarded, []string{"for=198.51.100.7 1.1.1.1"}, none + "for=198.51.100.7 1.1.1.1"},
		{proxy, Forwarded, []string{"for=198.51.100.7;"}, none + "for=198.51.100.7;"},
		{proxy, Forwarded, []string{"for="}, none + "for="},
		{proxy, Forwarded, []string{""}, none},
		{proxy, Forwarded, []string{strings.Repeat(`"x,`, 20)}, none},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, line := range c.lines {
			r.Header.Add(c.header, line)
		}
		got, readable := ClientAddress(r, c.header, trusted)
		if got != c.want || readable == strings.HasPrefix(c.want, none) {
			t.Errorf("%s %s %q: %q, %v, want %q", c.peer, c.header, c.lines, got, readable, c.want)
		}
	}
	// What a proxy writes into the other header is not believed, but it is no reason to take the proxy for the client.
	for header, other := range map[string]string{ForwardedFor: Forwarded, Forwarded: ForwardedFor} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = proxy
		r.Header.Set(other, "for=198.51.100.7")
		if got, readable := ClientAddress(r, header, trusted); readable || got != none+"no "+header {
			t.Errorf("without %s: %q", header, got)
		}
	}
}

// WEB07: the certificate by which a trusted proxy connects is never its client's, and what stands in the header is one
// certificate and nothing besides.
func TestWEB07_ProxyCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	clients, proxys := &x509.Certificate{Raw: der}, &x509.Certificate{Raw: []byte("the proxy's")}
	encoded := base64.StdEncoding.EncodeToString(der)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	read := ClientCertificates("X-Client-Cert", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for name, c := range map[string]struct {
		peer  string
		lines []string
		want  *x509.Certificate // nil: none
		bad   bool
	}{
		"none told":        {"10.0.0.1:5", nil, nil, false},
		"told empty":       {"10.0.0.1:5", []string{""}, nil, false},
		"told":             {"10.0.0.1:5", []string{":" + encoded + ":"}, clients, false},
		"told as PEM":      {"10.0.0.1:5", []string{url.PathEscape(text)}, clients, false},
		"told twice":       {"10.0.0.1:5", []string{":" + encoded + ":", ":" + encoded + ":"}, nil, true},
		"not closed":       {"10.0.0.1:5", []string{":" + encoded}, nil, true},
		"something before": {"10.0.0.1:5", []string{url.PathEscape("x\n" + text)}, nil, true},
		"something behind": {"10.0.0.1:5", []string{url.PathEscape(text + text)}, nil, true},
		"with a header": {"10.0.0.1:5",
			[]string{url.PathEscape(strings.Replace(text, "-----\n", "-----\nA: b\n\n", 1))}, nil, true},
		"from elsewhere": {"203.0.113.1:5", []string{":" + encoded + ":"}, proxys, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.TLS = c.peer, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{proxys}}
		for _, line := range c.lines {
			r.Header.Add("X-Client-Cert", line)
		}
		got, err := read(r)
		if (err != nil) != c.bad || (len(got) == 1) != (c.want != nil) || len(got) == 1 && !got[0].Equal(c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// WEB07: spans tell the address that everything else goes by, and not what anybody wrote into X-Forwarded-For.
func TestWEB07_Spans(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	kit := New(Options{PublicURL: &url.URL{Scheme: "https", Host: "auth.example.com"},
		Log: slog.New(slog.DiscardHandler), Forwarded: ForwardedFor,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for peer, want := range map[string]string{"203.0.113.1:5": "203.0.113.1", "10.0.0.1:5": "198.51.100.8"} {
		r := httptest.NewRequest("GET", "/nothing", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", "198.51.100.7, 198.51.100.8:17085")
		otelhttp.NewHandler(kit, "x", otelhttp.WithTracerProvider(provider)).ServeHTTP(httptest.NewRecorder(), r)
		spans := recorder.Ended()
		got := ""
		for _, a := range spans[len(spans)-1].Attributes() {
			if a.Key == "client.address" {
				got = a.Value.AsString()
			}
		}
		if got != want {
			t.Errorf("from %s: %q, want %q", peer, got, want)
		}
	}
}

// WEB09: decoding never panics and is strict about what encoding/json forgives.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":1,"a":2}`, `[]`, strings.Repeat("[", 100), "{\"a\":\"\xff\"}",
		`{"a":1} x`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if DecodeJSON(data, &v) == nil && depth(data) > maxDepth {
			t.Errorf("deeper than %d: %q", maxDepth, data)
		}
	})
}

// A route must say what it demands.
func TestRoutesMustDemand(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Route{
		"nothing": {Method: "GET", Pattern: "/x", Accepts: OnlySessions},
		"two things": {Method: "GET", Pattern: "/x", Public: "a", Permission: "users:read",
			Accepts: OnlySessions},
		"unknown permission": {Method: "GET", Pattern: "/x", Permission: "users:fly", Accepts: OnlySessions},
		"no credential":      {Method: "GET", Pattern: "/x", Permission: "users:read"},
	} {
		if r.check() == "" {
			t.Errorf("a route with %s is accepted", name)
		}
	}
}
