//go:build !linux

package node

import (
	"errors"
	"net"
)

// fallSilent is Linux's only.
func fallSilent(net.Listener) error { return errors.ErrUnsupported }
