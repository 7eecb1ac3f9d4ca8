package remote

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A proxy stands before the API itself: what may pass goes on to the upstream,
// body and all, streamed in both directions. Only a body that must be looked
// into is read first. The upstream sees the identity headers and not the token.
type proxy struct {
	*handler
	admitted http.Handler
	trusted  []netip.Prefix
}

// newProxy makes one. spoken is the dialect of its refusals, nil for RFC 6750's;
// its own paths, where tokens are got, go on to the authority.
func newProxy(h *handler, s *Settings, dialects []*dialect.Dialect, spoken *dialect.Dialect) *proxy {
	p := &proxy{handler: h, trusted: s.TrustedProxies}
	o := gate.Options{
		Want: gatehouse.Requirement{Environment: s.Environment}, Routes: s.Routes, Dialect: spoken,
		Calls: gate.NewCalls(h.follower, dialects, s.BodyLimit),
		Refused: func(ctx context.Context, e *gatehouse.Error) {
			if call, ok := ctx.Value(proxiedKey{}).(*proxied); ok {
				call.refusal = e
			}
		},
	}
	api := p.forward(s.Upstream)
	api.Rewrite = func(r *httputil.ProxyRequest) {
		p.rewrite(r, s.Upstream)
		r.Out.Header.Del("Authorization")
		for _, name := range gate.Forgeries(r.Out.Header) {
			delete(r.Out.Header, name)
		}
		claims, _ := gate.FromContext(r.In.Context())
		gate.Identify(r.Out.Header, claims)
	}
	p.admitted = gate.Middleware(h.follower, o)(api)
	if spoken != nil {
		guarded, tokens := p.admitted, p.forward(s.authority())
		tokens.Rewrite = func(r *httputil.ProxyRequest) { p.rewrite(r, s.authority()) }
		p.admitted = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if spoken.Handles(r.URL.EscapedPath()) {
				tokens.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
	}
	return p
}

// proxied is what is learned of a request on its way.
type proxied struct{ refusal *gatehouse.Error }

type proxiedKey struct{}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := token.NewID(time.Now()).String()
	stale := p.mark(w.Header(), id)
	call := &proxied{}
	p.admitted.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), proxiedKey{}, call)))
	p.told(id, r.RemoteAddr, call.refusal, stale)
}

// forward goes on to a server as it comes: nothing is held back on the way.
func (p *proxy) forward(to *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: proxyTransport, FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // it is the caller that has gone
			}
			status := http.StatusBadGateway
			if tooSlow := (interface{ Timeout() bool })(nil); errors.As(err, &tooSlow) && tooSlow.Timeout() {
				status = http.StatusGatewayTimeout
			}
			p.log.Warn("the upstream does not answer", "upstream", to.Host, "error", err)
			plainText(w, status, "the API does not answer; try again")
		},
	}
}

// rewrite sends a request on, and says where it came from. What came with it is
// believed from trusted proxies only.
func (p *proxy) rewrite(r *httputil.ProxyRequest, to *url.URL) {
	r.SetURL(to)
	if p.trusts(r.In.RemoteAddr) {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	}
	r.SetXForwarded()
	if proto := r.In.Header["X-Forwarded-Proto"]; len(proto) == 1 && p.trusts(r.In.RemoteAddr) {
		r.Out.Header["X-Forwarded-Proto"] = proto
	}
}

func (p *proxy) trusts(peer string) bool {
	from, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	for _, t := range p.trusted {
		if t.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// proxyTransport follows no proxy of the environment: the upstream is where the
// settings say.
var proxyTransport = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConnsPerHost = 64
	t.ResponseHeaderTimeout = time.Minute
	t.DisableCompression = true // what goes through is passed on as it is
	return t
}()
