package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/sharedlimit"
	"github.com/gatehouse-auth/gatehouse/webhook"
)

// A Node is a running Gatehouse. Open makes it ready, Run serves.
type Node struct {
	settings Settings
	version  admin.Version
	log      *slog.Logger
	started  time.Time

	store       gatehouse.Store
	storeFailed <-chan error // nil: it can always go on
	database    string       // where the store is
	engine      *gatehouse.Engine
	users       *directory.Directory // nil: end users are another provider's
	identity    connect.Identity
	demoApps    map[string]connect.DemoApp // dev's only
	webhooks    *webhook.Sender
	limits      *sharedlimit.Counter // nil: limits are not counted in a Redis
	public      *httpd.Server
	dialects    atomic.Pointer[[]*dialect.Dialect]
	certificate certificates // nil: plain HTTP

	publicListener, adminListener, socket net.Listener
	draining                              atomic.Bool

	reloading  sync.Mutex
	lastReload atomic.Pointer[reloaded]
}

type reloaded struct {
	at  time.Time
	err error
}

// Open takes the data directory, the listeners and the keys. When it returns,
// the node answers as soon as Run is called; on an error it holds nothing.
func Open(ctx context.Context, s Settings, version admin.Version, log *slog.Logger) (n *Node, err error) {
	TuneRuntime()
	if err := noCoreDumps(); err != nil {
		return nil, fmt.Errorf("switching core dumps off: %w", err)
	}
	s.Ledger = cmp.Or(s.Ledger, s.Dir)
	n = &Node{settings: s, version: version, log: log, started: time.Now()}
	opened := n
	defer func() {
		if err != nil {
			opened.Close() // the result is nil by now
		}
	}()
	if err := n.listen(ctx); err != nil {
		return nil, err
	}
	dialects, err := LoadDialects(s.Dialects)
	if err != nil {
		return nil, err
	}
	n.dialects.Store(&dialects)
	if err := n.openEngine(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) listen(ctx context.Context) (err error) {
	s := &n.settings
	if s.Cert != "" {
		n.certificate = &certificateFiles{certFile: s.Cert, keyFile: s.Key}
		if err := n.certificate.load(); err != nil {
			return err
		}
	}
	if n.publicListener, err = listen(ctx, s.Listen, "listen"); err != nil {
		return err
	}
	if n.adminListener, err = listen(ctx, s.AdminListen, "admin_listen"); err != nil {
		return err
	}
	if s.Dev && !(onLoopback(n.publicListener) && onLoopback(n.adminListener)) {
		return errors.New("dev answers plain HTTP and prints its secrets, so it listens on loopback only: use `gatehouse serve` for anything else")
	}
	if s.Issuer == "" && !onLoopback(n.publicListener) {
		return errors.New("issuer: set it to the URL under which callers reach this server, such as https://auth.example.com")
	}
	return nil
}

func (n *Node) openEngine(ctx context.Context) error {
	s := &n.settings
	kek, err := n.openStore(ctx)
	if err != nil {
		return err
	}
	sealer, err := credential.NewSealer(kek)
	if err != nil {
		return err
	}
	if s.ACME != nil {
		n.certificate = newACME(s.ACME, n.store, sealer, n.log)
	}
	policies, err := httpd.Policies(n.Dialects())
	if err != nil {
		return err
	}
	shared, err := n.openLimits(ctx)
	if err != nil {
		return err
	}
	n.engine, err = gatehouse.Open(ctx, gatehouse.Config{
		Store: n.store, Sealer: sealer, Issuer: s.Issuer, DefaultIssuer: n.URL(), Policies: policies, Limits: s.Limits,
		SharedLimits: shared, ManyNodes: !s.Postgres.IsZero(), Logger: n.log, MaxLag: s.MaxLag, OnLagOpen: s.OnLagOpen,
	})
	if err != nil {
		return err
	}
	if err := n.openIdentity(sealer, shared); err != nil {
		return err
	}
	n.openWebhooks(sealer)
	if err := n.useOldIssuers(); err != nil {
		return err
	}
	if n.socket, err = admin.ListenSocket(s.AdminSocket); err != nil {
		return err
	}
	return nil
}

// makeDir makes the data directory, for its owner only, and reports whether no
// ledger is in it yet. One that is there may be readable to others, since none
// of its files is, but not writable.
func makeDir(dir string) (fresh bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("database: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return false, fmt.Errorf("database: %w", err)
	}
	if !info.IsDir() {
		return false, fmt.Errorf("database: %s is no directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return false, fmt.Errorf("database: others may write to %s (mode %04o): run: chmod 700 '%s'", dir, mode, dir)
	}
	ledgers, err := filepath.Glob(filepath.Join(dir, "*.db"))
	return len(ledgers) == 0, err
}

// URL is where the public listener answers.
func (n *Node) URL() string {
	return scheme(n.certificate != nil) + n.publicListener.Addr().String()
}

// AdminURL is where the admin listener answers.
func (n *Node) AdminURL() string { return scheme(n.adminTLS()) + n.adminListener.Addr().String() }

// adminTLS: on loopback the admin listener is plain, where certificates name
// nobody.
func (n *Node) adminTLS() bool { return n.certificate != nil && !onLoopback(n.adminListener) }

func scheme(tls bool) string {
	if tls {
		return "https://"
	}
	return "http://"
}

// Engine is the node's engine.
func (n *Node) Engine() *gatehouse.Engine { return n.engine }

// Dialects are those in use now.
func (n *Node) Dialects() []*dialect.Dialect { return *n.dialects.Load() }

// Settings are those that the node was opened with.
func (n *Node) Settings() Settings { return n.settings }

// Close ends what Open has taken, of a node that does not run.
func (n *Node) Close() {
	for _, l := range []net.Listener{n.publicListener, n.adminListener, n.socket} {
		if l != nil {
			l.Close()
		}
	}
	if n.limits != nil {
		if err := n.limits.Close(); err != nil {
			n.log.Error("closing the connections to redis", "error", err)
		}
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("closing the store", "error", err)
		}
	}
}

// handlers makes what the listeners serve.
func (n *Node) handlers() (public, operators http.Handler, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.measureLimits(registry)
	n.measureWebhooks(registry)
	n.measureArrivals(registry)
	metrics, err := httpd.NewMetrics(registry)
	if err != nil {
		return nil, nil, err
	}
	pages, err := n.connectPages()
	if err != nil {
		return nil, nil, err
	}
	n.public, err = httpd.New(httpd.Config{
		BaseURL: cmp.Or(n.settings.Issuer, n.URL()), Docs: n.settings.Docs,
		Engine: n.engine, Dialects: n.Dialects(), Connect: pages, TrustedProxies: n.settings.TrustedProxies, Dev: n.settings.Dev,
		Logger: n.log, Metrics: metrics, Routes: n.settings.Routes, LeakReports: n.settings.Leaks,
	})
	if err != nil {
		return nil, nil, err
	}
	return n.public, admin.New(admin.Config{
		Engine: n.engine, Dialects: n.Dialects, Environments: n.settings.Environments, Token: n.settings.AdminToken,
		TrustedProxies: n.settings.TrustedProxies, Version: n.version, Status: n.status, Examine: n.examine, Ready: n.ready, Metrics: registry, Logger: n.log,
		Users: n.users, Webhooks: n.webhooks,
	}), nil
}

func (n *Node) ready(ctx context.Context) error {
	if n.draining.Load() {
		return gatehouse.Refuse(gatehouse.Unavailable, gatehouse.ReasonBusy, "shutting down")
	}
	return n.engine.Ready(ctx)
}

func (n *Node) status(ctx context.Context) admin.Status {
	s := admin.Status{
		Version: n.version, Issuer: n.engine.Issuer(gatehouse.Live), URL: n.URL(), StartedAt: n.started.UTC(),
		Ready: true, Database: n.database, Nodes: n.engine.Nodes(), Limits: n.countingLimits(), Dialects: []string{},
	}
	if err := n.ready(ctx); err != nil {
		s.Ready, s.Problem = false, gatehouse.AsError(err).Message
	}
	for _, d := range n.Dialects() {
		s.Dialects = append(s.Dialects, d.Name)
	}
	if r := n.lastReload.Load(); r != nil {
		s.ReloadedAt = r.at.UTC()
		if r.err != nil {
			s.Reload = r.err.Error()
		}
	}
	return s
}

// secured wraps l in TLS where wanted.
func (n *Node) secured(l net.Listener, wanted bool) net.Listener {
	if !wanted {
		return l
	}
	return tls.NewListener(l, n.certificate.config())
}
