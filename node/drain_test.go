package node

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// A node that was asked to end says so on /readyz first, while it answers whoever
// comes, and ends each connection with its answer.
func TestDrain(t *testing.T) {
	n := opened(t, t.TempDir())
	n.settings.DrainDelay = 2 * time.Second
	running, end := context.WithCancel(t.Context())
	defer end()
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- n.Run(running, func() error { close(started); return nil })
	}()
	<-started
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(url string) (status int, last bool) {
		t.Helper()
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, res.Close
	}
	public := n.URL() + "/.well-known/jwks.json"
	if status, last := get(public); status != http.StatusOK || last {
		t.Errorf("before: %d, last answer of its connection: %v", status, last)
	}
	end()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if status, _ := get(n.AdminURL() + "/readyz"); status == http.StatusServiceUnavailable {
			break
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal("it stays ready")
		}
	}
	for range 3 {
		if status, last := get(public); status != http.StatusOK || !last {
			t.Errorf("while it drains: %d, last answer of its connection: %v", status, last)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if late, err := net.Dial("tcp", n.publicListener.Addr().String()); err == nil {
		late.Close()
		t.Error("it listens when it has ended")
	}
}

// A silent listener accepts whoever has begun to connect, and nobody else.
func TestFallSilent(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0", "listen")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	waiting, err := net.Dial("tcp", l.Addr().String()) // nobody has accepted it yet
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if err := fallSilent(l); err != nil {
		t.Fatal(err)
	}
	if late, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond); err == nil {
		late.Close()
		t.Error("a new caller is let in")
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, err := waiting.Write([]byte("still there")); err != nil {
		t.Error(err)
	}
	heard := make([]byte, 11)
	if _, err := accepted.Read(heard); err != nil || string(heard) != "still there" {
		t.Errorf("%q, %v", heard, err)
	}
}
