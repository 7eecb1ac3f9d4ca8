package node

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a peer may take: a header that doesn't end, one that is too long, a body
// that doesn't come.
func TestPeersThatTakeTooMuch(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0", "listen")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}), writeTimeout, slog.New(slog.DiscardHandler))
	go srv.Serve(l) //nolint:errcheck // closed below
	t.Cleanup(func() { srv.Close() })

	for name, c := range map[string]struct {
		sends   string
		atLeast time.Duration
		atMost  time.Duration
		status  int // 0: the connection is closed without an answer
	}{
		"an endless header": {"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", readHeaderTimeout - time.Second, readHeaderTimeout + 3*time.Second, 0},
		"a long header":     {"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 2*maxHeaderBytes) + "\r\n\r\n", 0, time.Second, http.StatusRequestHeaderFieldsTooLarge},
		"an endless body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", readTimeout - time.Second, readTimeout + 3*time.Second, http.StatusRequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			go fmt.Fprint(conn, c.sends) //nolint:errcheck // the server may close first
			status := 0
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				status = resp.StatusCode
				resp.Body.Close()
			}
			if took := time.Since(began); took < c.atLeast || took > c.atMost || status != c.status {
				t.Errorf("status %d after %v, want %d within %v to %v", status, took, c.status, c.atLeast, c.atMost)
			}
		})
	}
}
