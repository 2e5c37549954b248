package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddress is who sent the request: the peer, or, when the peer is a trusted proxy, the right-most address of
// X-Forwarded-For that is not one. What stands further left was written by the client and is not believed.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := peer.Addr().Unmap()
	if !contains(trusted, addr) {
		return addr.String()
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if addr = hop.Unmap(); !contains(trusted, addr) {
			break
		}
	}
	return addr.String()
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
