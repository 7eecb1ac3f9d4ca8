package node

import (
	"net"
	"testing"
	"time"
)

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
