package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Open opens the listener that the settings name. A socket is for its owner
// only (0600), and one that a dead agent left is taken over.
func (s *Settings) Open(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	path, isSocket := strings.CutPrefix(s.Listen, "unix:")
	if isSocket {
		return s.openSocket(ctx, &lc, (&resolver{dir: s.dir}).path(path))
	}
	l, err := lc.Listen(ctx, "tcp", s.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen: another program is listening on %s: stop it, or choose another address (port 0 takes a free one)", s.Listen)
	} else if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if !s.ListenAny && !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("listen: %s is not loopback here: use 127.0.0.1, or say listen_any: true", s.Listen)
	}
	return l, nil
}

func (s *Settings) openSocket(ctx context.Context, lc *net.ListenConfig, path string) (net.Listener, error) {
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen: an agent is answering on %s: stop it first", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	old := syscall.Umask(0o177)
	l, err := lc.Listen(ctx, "unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	drainTimeout      = 10 * time.Second
)

// Run serves on l and watches credentials until ctx is done, and then lets
// requests under way end for up to ten seconds.
func (a *Agent) Run(ctx context.Context, l net.Listener) error {
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.Watch(watching)
	}()
	defer func() { stop(); <-watched }()
	// Neither reading nor writing is timed: streams last.
	server := &http.Server{
		Handler: a, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("listening on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		_ = server.Close() // streams end with the agent
	}
	<-failed
	return nil
}
