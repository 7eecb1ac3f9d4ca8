package node

import (
	"net"
	"os"
)

// notify tells systemd how far the process is (sd_notify(3)). Without systemd
// it does nothing; nothing depends on it being heard.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:] // an abstract socket
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
