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

// A Gate is a verifier with its listeners. Open makes it, Run serves.
type Gate struct {
	settings *Settings
	follower *follow.Follower
	log      *slog.Logger
	listener net.Listener
	envoy    net.Listener // nil: Envoy doesn't ask over gRPC
	tls      *tls.Config
	handler  *handler
	metrics  *prometheus.Registry
}

// Open takes the listeners. dialects are those whose words the gate speaks,
// policies those whose tokens it knows. On an error it holds nothing.
func Open(ctx context.Context, s *Settings, dialects []*dialect.Dialect, policies []gatehouse.Policy, log *slog.Logger) (g *Gate, err error) {
	g = &Gate{settings: s, log: log}
	if g.follower, err = follow.New(follow.Config{
		Authority: s.Authority, ClientID: s.ClientID, ClientSecret: s.ClientSecret, Environment: s.Environment,
		Policies: policies, MaxLag: s.MaxLag, OnLagOpen: s.OnLagOpen, Logger: log,
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
	g.handler = newHandler(g.follower, s, dialects, meter, log)
	if g.listener, err = g.listen(ctx, s.Listen, "listen"); err != nil {
		return nil, err
	}
	if s.EnvoyListen != "" {
		if g.envoy, err = g.listen(ctx, s.EnvoyListen, "envoy.listen"); err != nil {
			g.listener.Close()
			return nil, err
		}
	}
	return g, nil
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
func (g *Gate) URL() string {
	if g.tls != nil {
		return "https://" + g.listener.Addr().String()
	}
	return "http://" + g.listener.Addr().String()
}

// Run follows and serves until ctx ends, and then lets questions under way
// finish. started is called once it listens.
func (g *Gate) Run(ctx context.Context, started func()) error {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() { defer close(followed); _ = g.follower.Run(following) }()
	defer func() { stop(); <-followed }()

	server := &http.Server{
		Handler: g.handler.routes(g.metrics), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	on := g.listener
	if g.tls != nil {
		on = tls.NewListener(on, g.tls)
	}
	failed := make(chan error, 2)
	go func() {
		if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
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
		server.Close()
		return fmt.Errorf("listening: %w", err)
	case <-ctx.Done():
	}
	g.log.Info("draining")
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		server.Close()
		return fmt.Errorf("questions were cut off: %w", err)
	}
	g.log.Info("stopped")
	return nil
}
