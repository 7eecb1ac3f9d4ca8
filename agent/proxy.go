package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// An upstream is one API that the agent passes requests to.
type upstream struct {
	name     string
	resolved resolved
	source   *bearer.Source
	// base has no slash at its end. It is nil where it depends on the token, or
	// has a path that is escaped in an unusual way.
	base      *url.URL
	carriers  []string // headers that the token travels in
	replaces  bool     // the caller's own credentials
	transport http.RoundTripper
	proxy     *httputil.ReverseProxy
	tally     *tally
	ran       time.Time // when its commands were run last
}

// baseOf is an upstream's base; see there for when it is nil.
func baseOf(baseURL string) *url.URL {
	u, err := url.Parse(strings.TrimSuffix(baseURL, "/"))
	if err != nil || u.RawPath != "" || u.Host == "" || strings.Contains(baseURL, "{") {
		return nil
	}
	return u
}

// stale reports whether its credentials may have changed.
func (u *upstream) stale() bool {
	if slices.ContainsFunc(u.resolved.files, stamp.changed) {
		return true
	}
	_, failed := u.source.State()
	return u.resolved.commands && failed != nil && failed.Refused && time.Since(u.ran) > commandsEvery
}

func (u *upstream) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     u.transport,
		FlushInterval: -1, // what the API streams is streamed
		BufferPool:    buffers{},
		ErrorHandler:  u.failed,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}

type targetKey struct{}

// rewrite sends the request to its target, as it came: httputil has removed
// the hop-by-hop headers (RFC 9110 section 7.6.1) and keeps an Upgrade.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = p.In.Context().Value(targetKey{}).(*url.URL)
	p.Out.Host = ""
}

// maxRewindable bounds the bodies that are kept for a second try. A longer
// one, or one of unknown length, is streamed, and gets a 401 as it is.
const maxRewindable = 1 << 20

// serve passes a request on. rest is the path behind the upstream's name,
// still escaped.
func (u *upstream) serve(w http.ResponseWriter, r *http.Request, rest string) {
	u.tally.requests.Add(1)
	if !u.replaces {
		for _, name := range append([]string{"Authorization"}, u.carriers...) {
			if r.Header.Get(name) != "" {
				refuse(w, http.StatusForbidden, problem{Code: "own_credentials", Upstream: u.name,
					Message: name + " is set, and the agent adds its own: leave it out, or say authorization: replace"})
				return
			}
		}
	}
	if u.source.Ready() {
		u.tally.reused.Add(1)
	}
	target, err := u.target(r, rest)
	if err != nil {
		u.failed(w, r, err)
		return
	}
	if target == nil {
		refuse(w, http.StatusBadRequest, problem{Code: "bad_path", Upstream: u.name, Message: "the path leaves the upstream's base_url"})
		return
	}
	if u.replaces {
		for _, name := range append([]string{"Authorization"}, u.carriers...) {
			r.Header.Del(name)
		}
	}
	if 0 < r.ContentLength && r.ContentLength <= maxRewindable {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			refuse(w, http.StatusBadRequest, problem{Code: "bad_body", Upstream: u.name, Message: "the body ended early"})
			return
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	whole := r.ContentLength == 0 || r.GetBody != nil
	if whole && r.Header["Upgrade"] == nil {
		u.forward(w, r, target)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), targetKey{}, target))
	if whole {
		u.proxy.ServeHTTP(w, r)
		return
	}
	u.stream(w, r)
}

// What is still read of a body whose answer has come early, so that its sender
// gets to the answer instead of a closed connection.
const (
	maxRest  = 16 << 20
	restTime = 2 * time.Second
)

// stream passes a request on whose answer may begin before its body has ended,
// as in a chat of two streams.
func (u *upstream) stream(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex() // an error says that the protocol does so by itself
	body := r.Body
	r.Body = leftOpen{body}
	u.proxy.ServeHTTP(w, r)
	if c.SetReadDeadline(time.Now().Add(restTime)) == nil {
		_, _ = io.CopyN(io.Discard, body, maxRest)
		_ = c.SetReadDeadline(time.Time{})
	}
}

// leftOpen is a body whose rest is still read after the proxy is done with it.
type leftOpen struct{ io.Reader }

func (leftOpen) Close() error { return nil }

// target is where the request goes; nil where that is outside the base URL.
func (u *upstream) target(r *http.Request, rest string) (*url.URL, error) {
	if u.base != nil && r.URL.RawPath == "" {
		// The usual way to escape a path, so that it needn't be read again. The
		// upstream's name is the same either way.
		t := *u.base
		t.Path += strings.TrimPrefix(r.URL.Path, "/"+u.name)
		t.RawQuery, t.ForceQuery = r.URL.RawQuery, r.URL.ForceQuery
		if !u.source.Covers(u.source.Base(), &t) {
			return nil, nil
		}
		return &t, nil
	}
	base, err := u.source.BaseURL(r.Context())
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(strings.TrimSuffix(base, "/") + rest)
	if err != nil || !u.source.Covers(base, target) {
		return nil, nil
	}
	target.RawQuery, target.ForceQuery = r.URL.RawQuery, r.URL.ForceQuery
	return target, nil
}

// failed answers for an API or a token endpoint that did not.
func (u *upstream) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		u.tally.abandoned.Add(1)
		return // the caller has gone
	}
	p := problem{Code: "upstream_unreachable", Upstream: u.name, Message: err.Error()}
	if e, ok := errors.AsType[*bearer.Error](err); ok {
		u.tally.tokenless.Add(1)
		p.Code = "token_unavailable"
		if e.Refused {
			p.Code = "token_refused"
		}
		p.RetryAt = e.RetryAt.UTC().Truncate(time.Second)
	} else {
		u.tally.unreachable.Add(1)
	}
	refuse(w, http.StatusBadGateway, p)
}

// buffers are what answers are copied through.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte  { return *bufferPool.Get().(*[]byte) }
func (buffers) Put(b []byte) { bufferPool.Put(&b) }
