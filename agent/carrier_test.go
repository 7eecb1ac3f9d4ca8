package agent

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// carrierTo returns a carrier that has learnt that the origin speaks HTTP/1, and
// the number of connections that the server has seen.
func carrierTo(t *testing.T, h http.Handler) (c *carrier, server *httptest.Server, connections *atomic.Int64) {
	t.Helper()
	connections = &atomic.Int64{}
	server = httptest.NewUnstartedServer(h)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c = newCarrier()
	t.Cleanup(c.CloseIdleConnections)
	c.learn(origin{"http", server.Listener.Addr().String()})
	return c, server, connections
}

func send(t *testing.T, c *carrier, method, url, body string) (*http.Response, string) {
	t.Helper()
	resp, read, err := trySend(t.Context(), c, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, read
}

func trySend(ctx context.Context, c *carrier, method, url, body string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body)) // which has GetBody
	if err != nil {
		return nil, "", err
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp, string(read), err
}

// Answers of every form leave the connection to the next call.
func TestCarrierKeepsItsConnection(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, strings.Repeat("x", 5000))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/same", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	c, server, connections := carrierTo(t, mux)
	for range 3 {
		for _, tc := range []struct {
			method, path, body string
			status             int
			want               string
		}{
			{"GET", "/length", "", 200, ""},
			{"POST", "/length", strings.Repeat("y", maxWhole), 200, strings.Repeat("y", maxWhole)},
			{"HEAD", "/chunks", "", 200, ""},
			{"GET", "/chunks", "", 200, strings.Repeat("x", 15000)},
			{"DELETE", "/empty", "", 204, ""},
			{"GET", "/same", "", 304, ""},
			{"GET", "/trailer", "", 200, "body"},
		} {
			resp, body := send(t, c, tc.method, server.URL+tc.path, tc.body)
			if resp.StatusCode != tc.status || body != tc.want {
				t.Errorf("%s %s: %s with %d bytes", tc.method, tc.path, resp.Status, len(body))
			}
			if sum := resp.Trailer.Get("X-Sum"); tc.path == "/trailer" && sum != "42" {
				t.Errorf("the trailer: %q", sum)
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	// What is not whole is the Transport's.
	if resp, body := send(t, c, "POST", server.URL+"/length", strings.Repeat("z", maxWhole+1)); resp.StatusCode != 200 || len(body) != maxWhole+1 {
		t.Errorf("a long body: %s with %d bytes", resp.Status, len(body))
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A connection that the API closed while it was idle costs nobody an error,
// whether the call may be sent twice or not.
func TestCarrierMeetsClosedConnections(t *testing.T) {
	c, server, connections := carrierTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	for i, method := range []string{"GET", "POST", "GET", "POST"} {
		if resp, _ := send(t, c, method, server.URL, "hello"); resp.StatusCode != 200 {
			t.Errorf("%s: %s", method, resp.Status)
		}
		server.CloseClientConnections()
		awaitClosed(t, c)
		if n := connections.Load(); n != int64(i+1) {
			t.Errorf("%d connections for %d calls", n, i+1)
		}
	}
}

// awaitClosed waits until the end of the idle connection has come.
func awaitClosed(t *testing.T, c *carrier) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, to := range c.origins {
		for end := time.Now().Add(10 * time.Second); isOpen(to.idle[0].conn); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the connection stays open")
			}
		}
	}
}

// rawAPI answers each connection's requests with these bytes, in turn.
func rawAPI(t *testing.T, answers ...string) (c *carrier, url string, served *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for _, answer := range answers {
				if _, err := http.ReadRequest(r); err != nil {
					break
				}
				served.Add(1)
				_, _ = io.WriteString(conn, answer)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	c = newCarrier()
	t.Cleanup(c.CloseIdleConnections)
	c.learn(origin{"http", l.Addr().String()})
	return c, "http://" + l.Addr().String(), served
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestCarrierRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   error // nil: any
	}{
		"an endless header":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeader+1), errHeader},
		"another protocol":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", errSwitch},
		"hints without end":     {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50), errInformed},
		"no HTTP":               {"SSH-2.0-OpenSSH\r\n\r\n", nil},
		"nothing":               {"", nil},
		"a body cut off":        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", io.ErrUnexpectedEOF},
		"a chunk cut off":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", io.ErrUnexpectedEOF},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", nil},
		"a length below naught": {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, url, _ := rawAPI(t, tc.answer)
			resp, body, err := trySend(t.Context(), c, "GET", url, "")
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%v %.50q, error %v", resp, body, err)
			}
		})
	}
}

// What an API sends beyond its answer is nobody's answer.
func TestCarrierLeavesASurplusBehind(t *testing.T) {
	c, url, served := rawAPI(t, fine+"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", fine)
	for range 3 {
		if _, body := send(t, c, "GET", url, ""); body != "ok" {
			t.Errorf("%q", body)
		}
	}
	if served.Load() != 3 {
		t.Errorf("%d requests", served.Load())
	}
}

// A connection that the API says it will close is not used again, whether it
// closes it or not.
func TestCarrierHeedsClose(t *testing.T) {
	for _, last := range []string{
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
	} {
		c, url, _ := rawAPI(t, last, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
		for range 3 {
			if resp, _ := send(t, c, "GET", url, ""); resp.StatusCode == 500 {
				t.Errorf("%.20s…: the connection was used again", last)
			}
		}
	}
}

// A call that has begun to be answered is not sent twice, nor is one that
// changes something.
func TestCarrierRepeats(t *testing.T) {
	c, url, served := rawAPI(t, fine, "HTTP/1.1 2")
	send(t, c, "GET", url, "")
	if _, _, err := trySend(t.Context(), c, "GET", url, ""); err == nil || served.Load() != 2 {
		t.Errorf("a broken answer: %v after %d requests", err, served.Load())
	}
	c, url, served = rawAPI(t, fine, "")
	send(t, c, "GET", url, "")
	if _, _, err := trySend(t.Context(), c, "POST", url, "pay"); !errors.Is(err, errStale) || served.Load() != 2 {
		t.Errorf("a payment without an answer: %v after %d requests", err, served.Load())
	}
	c, url, served = rawAPI(t, fine, "")
	send(t, c, "GET", url, "")
	if _, body := send(t, c, "GET", url, ""); body != "ok" || served.Load() != 3 {
		t.Errorf("a question without an answer: %q after %d requests", body, served.Load())
	}
}

func TestCarrierGivesUp(t *testing.T) {
	reached, left := make(chan struct{}), make(chan struct{})
	c, server, _ := carrierTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		reached <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}))
	for _, path := range []string{"/header", "/body"} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reached
			cancel()
		}()
		if _, _, err := trySend(ctx, c, "GET", server.URL+path, ""); err == nil {
			t.Errorf("%s: no error", path)
		}
		<-left
		if resp, _ := send(t, c, "GET", server.URL, ""); resp.StatusCode != 200 {
			t.Errorf("the next call: %s", resp.Status)
		}
	}
}

func TestCarrierPassesHints(t *testing.T) {
	c, url, _ := rawAPI(t, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"+fine)
	var got []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got = append(got, fmt.Sprint(code, " ", h.Get("Link")))
		return nil
	}})
	_, body, err := trySend(ctx, c, "GET", url, "")
	if err != nil || body != "ok" || len(got) != 1 || got[0] != "103 </style.css>" {
		t.Errorf("%q %v, before it %v", body, err, got)
	}
}

// The first call finds out what the origin speaks: HTTP/2 stays with the
// Transport, HTTP/1 doesn't, by TLS or without.
func TestCarrierLearns(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", two), func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
			server.EnableHTTP2 = two
			server.StartTLS()
			defer server.Close()
			c := newCarrier()
			defer c.CloseIdleConnections()
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			c.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
			for range 3 {
				resp, body := send(t, c, "GET", server.URL, "")
				if body != map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[two] || resp.TLS == nil && two {
					t.Errorf("%s", body)
				}
			}
			l, known := c.take(origin{"https", server.Listener.Addr().String()}, true)
			if known == two || (l != nil) == two {
				t.Errorf("a lane of its own: %v", l != nil)
			}
			if l != nil {
				c.put(l)
			}
		})
	}
}

// Lanes that nobody uses are closed.
func TestCarrierSweeps(t *testing.T) {
	c, server, _ := carrierTo(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	send(t, c, "GET", server.URL, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.closeIdle(time.Now()); left != 1 {
		t.Errorf("%d lanes before their time", left)
	}
	if left := c.closeIdle(time.Now().Add(idleFor)); left != 0 {
		t.Errorf("%d lanes after it", left)
	}
}
