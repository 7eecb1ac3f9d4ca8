package gate

import (
	"net/http"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse"
)

// The headers in which gateways tell what is asked of the API: nginx's
// customary ones, and those of Traefik and Caddy.
var (
	uriHeaders    = [...]string{"X-Original-Uri", "X-Forwarded-Uri"}
	methodHeaders = [...]string{"X-Original-Method", "X-Forwarded-Method"}
)

// AskByRoutes makes g take what it asks from routes in place of the query,
// which may then only name a dialect. The path and method that routes match
// are those that the gateway forwards; only the gateways in trusted are
// believed. Call it before g serves.
func (g *Verify) AskByRoutes(routes *Routes, trusted []netip.Prefix) {
	g.routes, g.trusted = routes, trusted
}

// OfferRoutes is AskByRoutes for queries that ask nothing; one that does is
// answered as it asks. Call it before g serves.
func (g *Verify) OfferRoutes(routes *Routes, trusted []netip.Prefix) {
	g.AskByRoutes(routes, trusted)
	g.queries = true
}

// routed is the question that g's routes ask about the request that r tells of.
func (g *Verify) routed(r *http.Request) (q question, problem string) {
	if q, problem = readQuestion(r.URL.RawQuery); problem != "" {
		return q, problem
	}
	if q.asks && g.queries {
		return queried(r.URL.RawQuery)
	}
	if q.asks {
		return q, "this gate asks by its routes: leave all but dialect out of the query"
	}
	if !g.trusts(r.RemoteAddr) {
		return q, "the gateway's address is not among trusted_proxies, so that its word about the path counts for nothing"
	}
	uri, problem := oneOf(r.Header, uriHeaders)
	if problem != "" {
		return q, problem
	}
	method, problem := oneOf(r.Header, methodHeaders)
	if problem != "" {
		return q, problem
	}
	route, problem := g.routes.Find(method, uri)
	if problem != "" {
		return q, problem
	}
	q.ask(route)
	return q, ""
}

func (g *Verify) trusts(peer string) bool {
	from, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	for _, p := range g.trusted {
		if p.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// oneOf returns the only value that the headers of these names have.
func oneOf(h http.Header, names [2]string) (value, problem string) {
	for _, name := range names {
		values := h[name]
		if len(values) > 1 || len(values) == 1 && value != "" && values[0] != value {
			return "", "the gateway forwards two values of " + name
		}
		if len(values) == 1 {
			value = values[0]
		}
	}
	if value == "" {
		return "", "the gateway forwards neither " + names[0] + " nor " + names[1]
	}
	return value, ""
}

// ask takes over what a route requires.
func (q *question) ask(r *Route) {
	q.want, q.public = r.Want, r.Public
	q.scope = joined(r.Want.Scopes)
}

// nobody is who passes on a public route.
var nobody = &gatehouse.Claims{}
