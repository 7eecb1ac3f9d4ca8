package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
)

// What a peer may take. Questions have no body and are answered in microseconds.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10 // a gateway passes its callers' on
	drainTimeout      = 15 * time.Second
)

// keptRefusals is how many wait to be reported to the authority.
const keptRefusals = 1024

// A Gate is a verifier with its listeners. Open makes it, Run serves.
type Gate struct {
	settings *Settings
	follower *follow.Follower
	log      *slog.Logger
	listener net.Listener
	envoy    net.Listener // nil: Envoy doesn't ask over gRPC
	proxied  net.Listener // nil: it stands before no API itself
	proxy    *proxy
	tls      *tls.Config
	handler  *handler
	metrics  *prometheus.Registry
}

// Open takes the listeners. dialects are those whose words the gate speaks,
// policies those whose tokens it knows. On an error it holds nothing.
func Open(ctx context.Context, s *Settings, dialects []*dialect.Dialect, policies []gatehouse.Policy, log *slog.Logger) (g *Gate, err error) {
	g = &Gate{settings: s, log: log}
	refusals := gatehouse.NewRefusalLog(keptRefusals)
	if g.follower, err = follow.New(follow.Config{
		Authority: s.Authority, ClientID: s.ClientID, ClientSecret: s.ClientSecret, Environment: s.Environment,
		Policies: policies, MaxLag: s.MaxLag, OnLagOpen: s.OnLagOpen, Refusals: refusals, Logger: log,
	}); err != nil {
		return nil, err
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		g.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	}
	g.metrics = prometheus.NewRegistry()
	meter, err := newMeter(g.metrics, g.follower)
	if err != nil {
		return nil, err
	}
	g.handler = newHandler(g.follower, s, dialects, meter, refusals, log)
	if s.ProxyListen != "" {
		i := slices.IndexFunc(dialects, func(d *dialect.Dialect) bool { return d.Name == s.ProxyDialect })
		switch {
		case s.ProxyDialect == "":
			g.proxy = newProxy(g.handler, s, dialects, nil)
		case i < 0:
			return nil, fmt.Errorf("proxy.dialect: %q is none of the gate's dialects: add it to dialects", s.ProxyDialect)
		default:
			g.proxy = newProxy(g.handler, s, dialects, dialects[i])
		}
	}
	for _, l := range []struct {
		at, what string
		on       *net.Listener
	}{{s.Listen, "listen", &g.listener}, {s.EnvoyListen, "envoy.listen", &g.envoy}, {s.ProxyListen, "proxy.listen", &g.proxied}} {
		if l.at == "" {
			continue
		}
		if *l.on, err = g.listen(ctx, l.at, l.what); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

func (g *Gate) close() {
	for _, l := range []net.Listener{g.listener, g.envoy, g.proxied} {
		if l != nil {
			l.Close()
		}
	}
}

// ProxyURL is where the proxy answers, "" where there is none.
func (g *Gate) ProxyURL() string {
	if g.proxied == nil {
		return ""
	}
	return g.scheme() + g.proxied.Addr().String()
}

// EnvoyAddress is where Envoy asks over gRPC, "" where it doesn't.
func (g *Gate) EnvoyAddress() string {
	if g.envoy == nil {
		return ""
	}
	return g.envoy.Addr().String()
}

// listen opens a listener that others can't read along with.
func (g *Gate) listen(ctx context.Context, address, what string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	if g.tls == nil && (err != nil || !at.Addr().Unmap().IsLoopback()) {
		l.Close()
		return nil, fmt.Errorf("%s: %s is not on loopback, and tokens must not travel in the clear: give tls.cert and tls.key, or listen on 127.0.0.1 beside the gateway", what, address)
	}
	return l, nil
}

// URL is where the gate answers.
func (g *Gate) URL() string { return g.scheme() + g.listener.Addr().String() }

func (g *Gate) scheme() string {
	if g.tls != nil {
		return "https://"
	}
	return "http://"
}

// Run follows and serves until ctx ends, and then lets questions under way
// finish. started is called once it listens.
func (g *Gate) Run(ctx context.Context, started func()) error {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() { defer close(followed); _ = g.follower.Run(following) }()
	defer func() { stop(); <-followed }()

	servers := []*http.Server{g.serverOf(g.handler.routes(g.metrics))}
	servers[0].ReadTimeout, servers[0].WriteTimeout = readTimeout, writeTimeout
	failed := make(chan error, 3)
	go g.serve(servers[0], g.listener, failed)
	if g.proxy != nil {
		// Bodies and answers of the API may take their time.
		servers = append(servers, g.serverOf(g.proxy))
		go g.serve(servers[1], g.proxied, failed)
	}
	if g.envoy != nil {
		asked := g.newEnvoyServer()
		defer stopWithin(asked, drainTimeout)
		go func() {
			if err := asked.Serve(g.envoy); err != nil {
				failed <- err
			}
		}()
	}
	started()
	select {
	case err := <-failed:
		for _, server := range servers {
			server.Close()
		}
		return fmt.Errorf("listening: %w", err)
	case <-ctx.Done():
	}
	g.log.Info("draining")
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	var cut error
	for _, server := range servers {
		if err := server.Shutdown(limit); err != nil {
			server.Close()
			cut = fmt.Errorf("requests were cut off: %w", err)
		}
	}
	g.log.Info("stopped")
	return cut
}

func (g *Gate) serverOf(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

func (g *Gate) serve(server *http.Server, on net.Listener, failed chan<- error) {
	if g.tls != nil {
		on = tls.NewListener(on, g.tls)
	}
	if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		failed <- err
	}
}
