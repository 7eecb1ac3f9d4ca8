//go:build !linux

package admin

import (
	"errors"
	"net"
)

// peerUID is known on Linux only. Elsewhere nobody is let in by the socket,
// and operators use the admin token.
func peerUID(*net.UnixConn) (uint32, error) {
	return 0, errors.New("the admin socket needs Linux: use --admin-url and GATEHOUSE_ADMIN_TOKEN")
}
