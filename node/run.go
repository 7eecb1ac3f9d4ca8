package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
)

// drainTimeout bounds how long requests under way may take to end. It is
// longer than any answer may take to be written.
const drainTimeout = writeTimeout + 5*time.Second

// Run serves until ctx ends, and then drains: /readyz says so first, requests
// under way are finished, what is counted in memory is written. SIGHUP reloads
// meanwhile. started is called once the listeners answer. An error means that
// the node had to stop by itself.
func (n *Node) Run(ctx context.Context, started func() error) error {
	defer n.Close()
	public, operators, err := n.handlers()
	if err != nil {
		return err
	}
	servers := []struct {
		server *http.Server
		on     net.Listener
	}{
		{newServer(closing(&n.draining, public), writeTimeout, n.log), n.secured(n.publicListener, n.certificate != nil)},
		{newServer(operators, adminWriteTimeout, n.log), n.secured(n.adminListener, n.adminTLS())},
		{newServer(operators, adminWriteTimeout, n.log), n.socket},
	}
	servers[0].server.RegisterOnShutdown(n.public.EndStreams)
	failed := make(chan error, len(servers)+1)
	for _, s := range servers {
		go func() {
			if err := s.server.Serve(s.on); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("listening on %s: %w", s.on.Addr(), err)
			}
		}()
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	running, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	flushed := make(chan error, 1)
	go func() { flushed <- n.engine.Run(running) }()
	keeping.Go(func() { n.webhooks.Run(running) })
	if n.certificate != nil {
		keeping.Go(func() { n.certificate.keep(running) })
	}

	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	notify("READY=1")
	if err := started(); err != nil {
		return err
	}
	cause := n.wait(ctx, hangups, failed, flushed)

	n.draining.Store(true)
	notify("STOPPING=1")
	n.log.Info("draining")
	if cause == nil {
		n.announceEnd()
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	for _, s := range servers { // the public one first: /readyz answers until the end
		if err := s.server.Shutdown(limit); err != nil {
			n.log.Warn("requests were cut off", "listener", s.on.Addr().String(), "error", err)
			s.server.Close()
		}
	}
	stopEngine()
	if err := <-flushed; err != nil && cause == nil && !errors.Is(err, context.Canceled) {
		cause = err
	}
	n.log.Info("stopped")
	return cause
}

// LogStart tells the log where the node answers.
func (n *Node) LogStart() {
	n.log.Info("serving", "url", n.URL(), "admin_url", n.AdminURL(), "admin_socket", n.settings.AdminSocket,
		"issuer", n.engine.Issuer(gatehouse.Live), "version", n.version.Version, "took", time.Since(n.started))
}

// wait returns when the node shall stop: nil where it was asked to.
func (n *Node) wait(ctx context.Context, hangups <-chan os.Signal, failed <-chan error, flushed chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			_ = n.Reload() // logged, and shown by the status
		case err := <-failed:
			return err
		case err := <-n.storeFailed:
			return fmt.Errorf("the ledger can't be written any more; stopping, so that a start can recover it: %w", err)
		case err := <-flushed:
			flushed <- nil
			return fmt.Errorf("the engine stopped: %w", err)
		}
	}
}

// Reload reads the dialect files and the TLS files again. On an error all of
// the old set stays in use, and the log and the status say why.
func (n *Node) Reload() error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	err := n.reload()
	n.lastReload.Store(&reloaded{time.Now(), err})
	if err != nil {
		n.log.Error("reload refused: the old dialects and certificate stay in use", "error", err)
		return err
	}
	n.log.Info("reloaded", "dialects", len(n.Dialects()))
	return nil
}

func (n *Node) reload() error {
	dialects, err := LoadDialects(n.settings.Dialects)
	if err != nil {
		return err
	}
	old := n.Dialects()
	if err := n.use(dialects); err != nil {
		return err
	}
	if n.certificate != nil {
		if err := n.certificate.load(); err != nil {
			return errors.Join(err, n.use(old))
		}
	}
	n.dialects.Store(&dialects)
	return nil
}

// use makes the engine and the public listener use a set of dialects, both or
// neither.
func (n *Node) use(dialects []*dialect.Dialect) error {
	policies, err := httpd.Policies(dialects)
	if err != nil {
		return err
	}
	before, err := httpd.Policies(n.Dialects())
	if err != nil {
		return err
	}
	if err := n.engine.SetPolicies(policies); err != nil {
		return err
	}
	if err := n.public.SetDialects(dialects); err != nil {
		return errors.Join(err, n.engine.SetPolicies(before))
	}
	return nil
}
