package httpd_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/httpd"
)

// The two yardsticks: what net/http costs by itself, and what a token costs
// that nobody stores.

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "hello\n")
})

func mintHandler(b *testing.B, id, key string) http.Handler {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	want := sha256.Sum256([]byte(key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, "form", http.StatusBadRequest)
			return
		}
		got := sha256.Sum256([]byte(r.PostForm.Get("client_secret")))
		if r.PostForm.Get("client_id") != id || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.Error(w, "client", http.StatusUnauthorized)
			return
		}
		now := time.Now().Unix()
		tok, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": issuer, "sub": id, "aud": issuer, "client_id": id, "scope": "read write", "iat": now, "exp": now + 3600, "jti": strconv.FormatInt(now, 36),
		}).SignedString(private)
		if err != nil {
			http.Error(w, "sign", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, `{"access_token":"`+tok+`","token_type":"Bearer","expires_in":3600,"scope":"read write"}`)
	})
}

// discard takes an answer and keeps its status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// benchHandler calls a handler with n requests in turn, without a connection.
func benchHandler(b *testing.B, h http.Handler, method, path, body string, headers func(i int) http.Header) {
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			u, _ := url.ParseRequestURI(path)
			r := &http.Request{
				Method: method, URL: u, Header: headers(i), Body: io.NopCloser(strings.NewReader(body)),
				ContentLength: int64(len(body)), RemoteAddr: "127.0.0.1:5555",
			}
			w := discard{header: http.Header{}, status: 200}
			h.ServeHTTP(&w, r)
			if w.status != 200 {
				b.Errorf("status %d", w.status)
				return
			}
		}
	})
}

// benchWire does the same over loopback with 32 connections. The client is as
// plain as can be, so that most of the time is the server's.
func benchWire(b *testing.B, h http.Handler, method, path, body string, headers func(i int) http.Header) {
	server := httptest.NewServer(h)
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		var request bytes.Buffer
		answer := make([]byte, 16<<10)
		for i := 0; pb.Next(); i++ {
			request.Reset()
			request.WriteString(method + " " + path + " HTTP/1.1\r\nHost: x\r\n")
			for name, values := range headers(i) {
				request.WriteString(name + ": " + values[0] + "\r\n")
			}
			request.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
			if _, err := conn.Write(request.Bytes()); err != nil {
				b.Error(err)
				return
			}
			n, err := conn.Read(answer) // small answers come in one piece
			if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200")) {
				b.Errorf("%v: %.200s", err, answer[:n])
				return
			}
		}
	})
}

func BenchmarkPublic(b *testing.B) {
	metrics, err := httpd.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	h := newHouse(b, func(e *gatehouse.Config, c *httpd.Config) {
		e.Logger, c.Logger, c.Metrics = nil, nil, metrics // a log line for each success is for debugging
		e.Now = nil
	})
	c := h.client(gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = false })[gatehouse.Live]
	body := form("grant_type", "client_credentials", "client_id", c.id, "client_secret", c.secret, "scope", "read write").Encode()
	formHeader := http.Header{"Content-Type": {formType}}
	asForm := func(int) http.Header { return formHeader }
	none := http.Header{}
	tokens := make([]http.Header, 2000)
	for i := range tokens {
		tok, _ := h.standardToken(c)
		tokens[i] = http.Header{"Authorization": {"Bearer " + tok}}
	}
	withToken := func(i int) http.Header { return tokens[i%len(tokens)] }
	for _, x := range []struct {
		name         string
		handler      http.Handler
		method, path string
		body         string
		headers      func(int) http.Header
	}{
		{"hello", hello, "GET", "/", "", func(int) http.Header { return none }},
		{"hello-with-token", hello, "GET", "/", "", withToken},
		{"mint", mintHandler(b, c.id, c.secret), "POST", "/oauth2/token", body, asForm},
		{"token", h, "POST", "/oauth2/token", body, asForm},
		{"verify", h, "GET", "/gate/verify?environment=live&scope=read", "", withToken},
	} {
		b.Run("handler/"+x.name, func(b *testing.B) { benchHandler(b, x.handler, x.method, x.path, x.body, x.headers) })
		b.Run("wire/"+x.name, func(b *testing.B) { benchWire(b, x.handler, x.method, x.path, x.body, x.headers) })
	}
}
