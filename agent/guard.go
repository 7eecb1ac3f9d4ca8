package agent

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A guard keeps web pages away: a browser on this machine reaches the agent's
// port whoever's page it shows.
type guard struct {
	unix  bool // no browser speaks to it
	any   bool
	hosts []string
}

func newGuard(s Settings) *guard {
	return &guard{strings.HasPrefix(s.Listen, "unix:"), s.ListenAny, s.Hosts}
}

// refuses says why a request isn't taken; empty where it is.
func (g *guard) refuses(r *http.Request) string {
	if !g.unix && !g.knows(r.Host) {
		// DNS rebinding: a page's own name that resolves to this machine.
		return "the Host header is not a name of this agent: use its address, or add the name to hosts"
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return "the request comes from a web page (Origin)"
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	return "the request comes from another site's web page (Sec-Fetch-Site)"
}

func (g *guard) knows(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if isLoopback(name) || slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, name) }) {
		return true
	}
	_, err := netip.ParseAddr(name)
	return g.any && err == nil // an address is nobody's name
}
