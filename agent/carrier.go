package agent

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// A carrier makes calls of APIs. Those whose request is at hand as a whole go
// over connections of its own, which the goroutine that serves the call writes
// and reads by itself. An [http.Transport] hands each call to two more
// goroutines and back, which costs about as much as all else that an agent
// does for it.
//
// The Transport has the rest: bodies that stream, upgrades, HTTP/2, proxies, and
// the first call to each origin, which tells the version that it speaks.
//
// It is safe for concurrent use.
type carrier struct {
	transport *http.Transport

	mu      sync.Mutex
	origins map[origin]*lanes
	sweeper *time.Timer // runs while there are idle lanes
	closed  bool
}

type origin struct{ scheme, host string }

// lanes are the idle connections to an origin that speaks HTTP/1, the one used
// last at the end.
type lanes struct{ idle []*lane }

const (
	maxIdle      = 256 // lanes to an origin
	idleFor      = 90 * time.Second
	handshakeFor = 10 * time.Second
	// maxWhole bounds the bodies that are sent before the answer is looked at:
	// what the system takes without the other side reading.
	maxWhole = 8 << 10
)

// newCarrier adds nothing of its own to a request: no compression, so that
// answers pass as they are.
func newCarrier() *carrier {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.MaxIdleConns = 1024
	t.MaxIdleConnsPerHost = maxIdle
	t.MaxResponseHeaderBytes = maxHeader
	return &carrier{transport: t, origins: map[origin]*lanes{}}
}

// CloseIdleConnections closes what no call is using, and what it will leave.
func (c *carrier) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.closeIdle(time.Now().Add(idleFor))
	c.transport.CloseIdleConnections()
}

// RoundTrip is part of [http.RoundTripper].
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isWhole(r) {
		return c.transport.RoundTrip(r)
	}
	o := origin{r.URL.Scheme, r.URL.Host}
	l, known := c.take(o, !isRepeatable(r))
	if !known {
		resp, err := c.transport.RoundTrip(r)
		if err == nil && resp.ProtoMajor == 1 && c.reaches(r) {
			c.learn(o)
		}
		return resp, err
	}
	if l != nil {
		resp, err := l.exchange(r)
		if !errors.Is(err, errStale) || !isRepeatable(r) {
			return resp, err
		}
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
	l, err := c.dial(r.Context(), o)
	if err != nil {
		return nil, err
	}
	return l.exchange(r)
}

// isWhole reports whether a request can be sent at once, and its answer be read
// after that.
func isWhole(r *http.Request) bool {
	h := r.Header
	if h["Upgrade"] != nil || h["Connection"] != nil || h["Expect"] != nil || r.Trailer != nil || r.Close || r.Method == http.MethodConnect {
		return false
	}
	for i := range len(r.URL.Host) {
		if r.URL.Host[i] >= 0x80 {
			return false // the Transport knows how such names are written
		}
	}
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil && 0 < r.ContentLength && r.ContentLength <= maxWhole
}

// isRepeatable reports whether a request that may have been worked on can be
// sent again (RFC 9110 section 9.2.2).
func isRepeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

func again(r *http.Request) (*http.Request, error) {
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context())
	r.Body = body
	return r, nil
}

// reaches reports whether no proxy of the environment stands before the URL.
func (c *carrier) reaches(r *http.Request) bool {
	if c.transport.Proxy == nil {
		return true
	}
	via, err := c.transport.Proxy(r)
	return via == nil && err == nil
}

func (c *carrier) learn(o origin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.origins[o] == nil {
		c.origins[o] = &lanes{}
	}
}

// take returns an idle lane, or nil where there is none; known is false for an
// origin whose calls are the Transport's. With surely, the lane was open just
// now: what can't be sent again shouldn't meet a closed one.
func (c *carrier) take(o origin, surely bool) (l *lane, known bool) {
	for {
		c.mu.Lock()
		to := c.origins[o]
		if to == nil || len(to.idle) == 0 {
			c.mu.Unlock()
			return nil, to != nil
		}
		last := len(to.idle) - 1
		l, to.idle[last] = to.idle[last], nil
		to.idle = to.idle[:last]
		c.mu.Unlock()
		if !surely || isOpen(l.conn) {
			return l, true
		}
		_ = l.raw.Close()
	}
}

// put takes a lane back.
func (c *carrier) put(l *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.origins[l.origin]
	if c.closed || len(to.idle) >= maxIdle {
		_ = l.raw.Close()
		return
	}
	l.since = time.Now()
	to.idle = append(to.idle, l)
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(idleFor, c.sweep)
	}
}

func (c *carrier) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweeper = nil
	if !c.closed && c.closeIdle(time.Now()) > 0 {
		c.sweeper = time.AfterFunc(idleFor, c.sweep)
	}
}

// closeIdle closes the lanes that have been idle for long, and returns the
// number of the others. The caller holds mu.
func (c *carrier) closeIdle(now time.Time) (left int) {
	for _, to := range c.origins {
		for len(to.idle) > 0 && now.Sub(to.idle[0].since) >= idleFor {
			_ = to.idle[0].raw.Close()
			to.idle[0] = nil
			to.idle = to.idle[1:]
		}
		left += len(to.idle)
	}
	if c.closed && c.sweeper != nil {
		c.sweeper.Stop()
	}
	return left
}

func (c *carrier) dial(ctx context.Context, o origin) (*lane, error) {
	host, port, err := net.SplitHostPort(o.host)
	if err != nil {
		host, port = o.host, map[string]string{"http": "80", "https": "443"}[o.scheme]
		if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
			host = host[1 : n-1]
		}
	}
	raw, err := c.transport.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	l := &lane{carrier: c, origin: o, raw: raw, conn: raw}
	if o.scheme == "https" {
		config := c.transport.TLSClientConfig.Clone()
		if config == nil {
			config = &tls.Config{}
		}
		config.ServerName, config.NextProtos = host, []string{"http/1.1"}
		secured := tls.Client(raw, config)
		limited, cancel := context.WithTimeout(ctx, handshakeFor)
		err := secured.HandshakeContext(limited)
		cancel()
		if err != nil {
			_ = raw.Close()
			return nil, err
		}
		l.conn = secured
	}
	l.r, l.w = bufio.NewReader(l), bufio.NewWriter(l.conn)
	return l, nil
}
