package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// The headers in which proxies tell the client's address. One of them is read: a proxy that writes the other passes on
// what the client sent in this one.
const (
	ForwardedFor = "X-Forwarded-For"
	Forwarded    = "Forwarded" // RFC 7239
)

// ClientAddress is who sent the request: the peer, or, when the peer is a trusted proxy, the right-most address of the
// header that is not one. What stands further left was written by the client and is not believed. Where the proxy tells
// somebody who cannot be read, that text itself is who sent the request, and never the proxy: it is on no list of
// addresses and has limits of its own.
func ClientAddress(r *http.Request, header string, trusted []netip.Prefix) (address string, readable bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, true
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !contains(trusted, addr) {
		return addr.String(), true
	}
	lines := r.Header[header]
	if len(lines) == 0 {
		if len(r.Header[ForwardedFor]) > 0 || len(r.Header[Forwarded]) > 0 { // it tells, but not where we read
			return unreadable("no " + header), false
		}
		return addr.String(), true
	}
	last := lastAddress
	if header == Forwarded {
		last = lastElement
	}
	for list := strings.Join(lines, ","); ; {
		hop, comma, ok := last(list)
		if addr, readable = parseHop(hop); !ok || !readable {
			return unreadable(hop), false
		}
		if comma < 0 || !contains(trusted, addr) {
			return addr.String(), true
		}
		list = list[:comma]
	}
}

// unreadable is who sent a request, where that is no address. Its port is left out, since each connection has another.
func unreadable(hop string) string {
	if i := strings.LastIndexByte(hop, ':'); i >= 0 && isPort(hop[i:]) {
		hop = hop[:i]
	}
	return "unreadable: " + printable(hop)
}

// parseHop reads an address as proxies write it: alone or with a port, IPv6 bare or in brackets.
func parseHop(text string) (netip.Addr, bool) {
	host, port := text, ""
	inner, bracketed := strings.CutPrefix(text, "[")
	if i := strings.IndexByte(inner, ']'); bracketed && i >= 0 {
		host, port = inner[:i], inner[i+1:]
	} else if i := strings.IndexByte(text, ':'); i >= 0 && strings.IndexByte(text[i+1:], ':') < 0 {
		host, port = text[:i], text[i:]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || bracketed && addr.Is4() || port != "" && !isPort(port) {
		return addr, false
	}
	return addr.Unmap().WithZone(""), true
}

// isPort recognizes a port with its colon; one may be hidden behind a name (RFC 7239 §6).
func isPort(text string) bool {
	text, ok := strings.CutPrefix(text, ":")
	if hidden, is := strings.CutPrefix(text, "_"); is {
		return ok && hidden != "" && isToken(hidden, "")
	}
	return ok && text != "" && len(text) <= 5 && strings.Trim(text, "0123456789") == ""
}

// lastAddress gives the last entry of an X-Forwarded-For, and where the comma before it is.
func lastAddress(list string) (hop string, comma int, ok bool) {
	comma = strings.LastIndexByte(list, ',')
	return strings.TrimSpace(list[comma+1:]), comma, true
}

// maxCommas bounds how many commas within quotes an element may have.
const maxCommas = 8

// lastElement gives the address in the last element of a Forwarded, which is the shortest end of the list that is an
// element: whatever a client wrote before it, such as a quotation mark that is never closed, makes no difference.
func lastElement(list string) (hop string, comma int, ok bool) {
	comma = len(list)
	for range maxCommas {
		comma = strings.LastIndexByte(list[:comma], ',')
		if hop, ok = elementFor(strings.TrimSpace(list[comma+1:])); ok {
			return hop, comma, true
		}
		if comma < 0 {
			break
		}
	}
	hop, comma, _ = lastAddress(list) // not an element; the text is still the proxy's own
	return hop, comma, false
}

// elementFor reads one element of a Forwarded (RFC 7239 §4) and gives its "for"; one without is all of it. Addresses
// with colons should be quoted; some proxies do not.
func elementFor(element string) (hop string, ok bool) {
	found := false
	for rest := element; ; {
		name, after, hasValue := strings.Cut(rest, "=")
		if !hasValue || !isToken(name, "") {
			return "", false
		}
		var value string
		if value, rest, ok = elementValue(after); !ok {
			return "", false
		}
		if strings.EqualFold(name, "for") {
			if found {
				return "", false
			}
			hop, found = value, true
		}
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			if !found {
				hop = element
			}
			return hop, true
		}
		if rest[0] != ';' {
			return "", false
		}
		rest = strings.TrimLeft(rest[1:], " \t")
	}
}

// elementValue reads a token or a quoted string (RFC 9110 §5.6.4), and gives what follows.
func elementValue(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		end := strings.IndexAny(text, "; \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], isToken(text[:end], ":[]")
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// isToken recognizes a token (RFC 9110 §5.6.2), in which a few more characters may be.
func isToken(text, more string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 && strings.IndexByte(more, c) < 0:
			return false
		}
	}
	return text != ""
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
