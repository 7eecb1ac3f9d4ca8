package httpd

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds the X-Forwarded-For entries that are looked at.
const maxHops = 32

// proxyHeaders are what proxies add. One on a request from loopback means that
// the caller is somewhere else.
var proxyHeaders = [...]string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"}

// insecure says for the owner why others could read a credential on its way
// here; "" is that they can't. Safe are TLS to us, TLS to a trusted proxy that
// says so, and this machine's own loopback. A proxy on loopback that isn't
// named tells nothing, so what it forwards is refused. Nobody else's forwarded
// headers are read.
func (s *Server) insecure(c *call) string {
	h := c.r.Header
	switch {
	case c.r.TLS != nil:
		return ""
	case s.dev && c.peer.IsLoopback():
		return ""
	case s.trusts(c.peer) && h["X-Forwarded-Proto"] != nil:
		if proto := h["X-Forwarded-Proto"]; len(proto) == 1 && strings.EqualFold(proto[0], "https") {
			return ""
		}
		return "the trusted proxy does not say X-Forwarded-Proto: https"
	case !c.peer.IsLoopback():
		return "plain HTTP from outside this machine"
	case forwarded(h):
		return "forwarded over loopback by a proxy that trusted_proxies does not name"
	default:
		return ""
	}
}

func forwarded(h http.Header) bool {
	for _, name := range proxyHeaders {
		if h[name] != nil {
			return true
		}
	}
	return false
}

func (s *Server) trusts(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// peerOf is the other end of the connection; the zero Addr where it isn't an
// IP address.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// callerOf is the address that limits count and audit records name: the
// nearest one that is no trusted proxy. What stands further left in
// X-Forwarded-For is whatever the caller wrote.
func (s *Server) callerOf(peer netip.Addr, r *http.Request) netip.Addr {
	if len(s.proxies) == 0 || !s.trusts(peer) {
		return peer
	}
	caller, left := peer, maxHops
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more && left > 0; left-- {
			var hop string
			if at := strings.LastIndexByte(rest, ','); at >= 0 {
				rest, hop = rest[:at], rest[at+1:]
			} else {
				hop, more = rest, false
			}
			addr, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return caller
			}
			caller = addr
			if !s.trusts(addr) {
				return caller
			}
		}
	}
	return caller
}

// parseHop reads an address with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
