package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// SocketName is the admin socket's file in a data directory.
const SocketName = "admin.sock"

// maxSocketPath is how long sockaddr_un's path may be, on Linux (unix(7)).
const maxSocketPath = 107

// ListenSocket listens on a unix socket at path that only its owner may open.
// A socket that a dead process left behind is replaced.
func ListenSocket(path string) (net.Listener, error) {
	short, release, err := socketAddress(path)
	if err != nil {
		return nil, err
	}
	defer release()
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("admin socket %s: there is a file of that name that is no socket", path)
		}
		if c, err := net.DialTimeout("unix", short, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("admin socket %s: another process is listening on it", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("admin socket: %w", err)
		}
	}
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // short may be gone by then
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return &socketListener{Listener: l, path: path}, nil
}

type socketListener struct {
	net.Listener
	path string
	once sync.Once // a socket made by the next process at this path is not ours to remove
	err  error
}

func (l *socketListener) Close() error {
	l.once.Do(func() { l.err = errors.Join(os.Remove(l.path), l.Listener.Close()) })
	return l.err
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := socketAddress(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// socketAddress returns a name for path that fits a socket address, which has
// room for a hundred bytes only: where path is longer, one through an open
// directory. The name holds until release.
func socketAddress(path string) (short string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}
