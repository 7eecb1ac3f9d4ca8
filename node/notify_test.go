package node

import (
	"net"
	"path/filepath"
	"testing"
)

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, address := range []string{path, "@gatehouse-test-" + filepath.Base(t.TempDir()) + filepath.Base(filepath.Dir(path))} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", address)
		notify("READY=1")
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("systemd heard %q, %v", b[:n], err)
		}
		l.Close()
	}
	t.Setenv("NOTIFY_SOCKET", "/nonexistent/socket")
	notify("READY=1") // nobody hears it, and nothing happens
	t.Setenv("NOTIFY_SOCKET", "")
	notify("READY=1")
}
