package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse/admin"
)

// What a peer may take. Token requests are small and answered in milliseconds.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	adminWriteTimeout = 5 * time.Minute // a check of every hash chain takes its time
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 32 << 10
	maxStreams        = 128 // HTTP/2, each connection
)

func newServer(h http.Handler, write time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      write,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnContext:       admin.ConnContext,
		// net/http reports here what peers do wrong: bad TLS, broken requests.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// listen opens a TCP listener; what names the setting to change when it can't.
func listen(ctx context.Context, address, what string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its listeners can't fall silent
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: another program is listening on %s: stop it, or choose another address (port 0 takes a free one)", what, address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s: this user may not listen on %s: choose a port above 1023, or grant CAP_NET_BIND_SERVICE", what, address)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return l, nil
}

// onLoopback reports whether only this machine can reach l.
func onLoopback(l net.Listener) bool {
	a, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}
