package agent_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A vendor is an OAuth 2.0 server and the API behind it, independent of the
// code under test.
type vendor struct {
	*http.ServeMux
	mu     sync.Mutex
	secret string
	live   map[string]bool
	visits int
	down   bool
}

func newVendor() *vendor {
	v := &vendor{ServeMux: http.NewServeMux(), secret: "s1", live: map[string]bool{}}
	v.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.visits++
		id, secret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case v.down:
			w.WriteHeader(503)
		case id != "me" || secret != v.secret:
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
		default:
			tok := rand.Text()
			v.live[tok] = true
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, tok)
		}
	})
	return v
}

// api adds a route that wants a live token.
func (v *vendor) api(pattern string, h http.HandlerFunc) {
	v.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		ok := v.live[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		v.mu.Unlock()
		if !ok {
			w.WriteHeader(401)
			fmt.Fprint(w, "no live token")
			return
		}
		h(w, r)
	})
}

func (v *vendor) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func (v *vendor) asked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.visits
}

// settings writes a settings file and reads it.
func settings(t testing.TB, text string) agent.Settings {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := agent.ReadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs an agent until the test ends.
func start(t testing.TB, s agent.Settings) (*agent.Agent, string) {
	t.Helper()
	a, err := agent.New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.Close()
	})
	return a, "http://" + l.Addr().String()
}

// agentFor starts one with the upstream bank.
func agentFor(t testing.TB, v *vendor, more string) (*agent.Agent, string) {
	t.Helper()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	return start(t, settings(t, "listen: 127.0.0.1:0\nupstreams:\n  bank: {dialect: oauth2, base_url: "+server.URL+"/api, token_url: "+server.URL+
		", client_id: me, client_secret: s1"+more+"}\n"))
}

// exchange makes a request and returns the answer and its body.
func exchange(t testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// eachWay does something by the way of the first call to an API, and again by
// the way of those that follow.
func eachWay(t *testing.T, url string, do func(t *testing.T)) {
	t.Helper()
	t.Run("first", do)
	exchange(t, "GET", url+"/bank/nothing", "", "Accept-Encoding", "identity")
	t.Run("later", do)
}

// What a caller sends arrives as it was, what the API answers comes back as it
// was; only what belongs to one hop stays behind (RFC 9110 section 7.6.1).
func TestPassesThrough(t *testing.T) {
	v := newVendor()
	v.api("/api/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Twice"] = []string{"a", "b"}
		w.Header().Set("Set-Cookie", "k=v")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Content-Encoding", "gzip") // it isn't: nobody is to look
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s|%s|%s|%s|%s|%s|%s|%s", r.Method, r.RequestURI, body, r.Header.Get("X-Mine"), r.Header.Get("X-Drop"),
			r.Header.Get("Te"), r.Header.Get("Proxy-Authorization"), r.Header.Get("X-Forwarded-For"), r.Header.Get("Accept-Encoding"))
	})
	_, url := agentFor(t, v, "")
	eachWay(t, url, func(t *testing.T) { passesThrough(t, url) })
}

func passesThrough(t *testing.T, url string) {
	resp, body := exchange(t, "PATCH", url+"/bank/a%2Fb/c;d?q=1&q=;%zz&e", "the body", "X-Mine", "1", "Connection", "X-Drop, Authorization", "X-Drop", "1",
		"TE", "trailers", "Proxy-Authorization", "Basic eA==", "Accept-Encoding", "br")
	if want := "PATCH /api/a%2Fb/c;d?q=1&q=;%zz&e|the body|1||trailers|||br"; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if resp.StatusCode != http.StatusTeapot || len(resp.Header["X-Twice"]) != 2 || resp.Header.Get("Set-Cookie") != "k=v" ||
		resp.Header.Get("X-Hop") != "" || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}

// An answer that breaks off breaks off for the caller too, and is not taken for
// a whole one.
func TestBrokenAnswers(t *testing.T) {
	v := newVendor()
	v.api("GET /api/broken", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	})
	_, url := agentFor(t, v, "")
	eachWay(t, url, func(t *testing.T) {
		resp, err := http.Get(url + "/bank/broken")
		if err != nil {
			return // it was told before anything else
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q was the whole answer", body)
		}
	})
}

// What a caller would take of a transfer is its own business with the agent.
func TestTransferCodingsStay(t *testing.T) {
	v := newVendor()
	v.api("GET /api/x", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Te"]) })
	_, url := agentFor(t, v, "")
	eachWay(t, url, func(t *testing.T) {
		for te, want := range map[string]string{"deflate": "[]", "deflate, trailers": "[trailers]"} {
			if _, body := exchange(t, "GET", url+"/bank/x", "", "TE", te); body != want {
				t.Errorf("TE: %s arrived as %s", te, body)
			}
		}
	})
}

// Events arrive as they are made, not when the stream ends.
func TestStreams(t *testing.T) {
	v := newVendor()
	next := make(chan struct{})
	v.api("GET /api/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	v.api("POST /api/upload", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintln(w, "got", lines.Text())
			w.(http.Flusher).Flush()
		}
	})
	_, url := agentFor(t, v, "")
	eachWay(t, url, func(t *testing.T) { streams(t, url, next) })
}

func streams(t *testing.T, url string, next chan<- struct{}) {
	resp, err := http.Get(url + "/bank/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines, i := bufio.NewScanner(resp.Body), 0; i < 3 && lines.Scan(); {
		if lines.Text() == fmt.Sprintf("data: %d", i) {
			i++
			next <- struct{}{}
		}
	}
	in, out := io.Pipe()
	go fmt.Fprintln(out, "one")
	up, err := http.Post(url+"/bank/upload", "text/plain", in)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Body.Close()
	answers := bufio.NewReader(up.Body)
	for _, line := range []string{"one", "two"} {
		if line == "two" {
			go fmt.Fprintln(out, line)
		}
		if got, err := answers.ReadString('\n'); err != nil || got != "got "+line+"\n" {
			t.Fatalf("%q %v", got, err)
		}
	}
	out.Close()
}

// An Upgrade becomes a tunnel, with the token on its handshake.
func TestUpgrade(t *testing.T) {
	v := newVendor()
	v.api("GET /api/socket", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("the handshake arrived as %v", r.Header)
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		fmt.Fprint(conn, "echo "+line)
	})
	_, url := agentFor(t, v, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /bank/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	fmt.Fprintln(conn, "hello")
	if line, err := r.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

// A revoked token costs the caller nothing, whatever its request's size.
func TestRetries(t *testing.T) {
	v := newVendor()
	v.api("POST /api/x", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	_, url := agentFor(t, v, "")
	for _, size := range []int{0, 10, 1 << 20} {
		exchange(t, "POST", url+"/bank/x", "first")
		v.set(func() { clear(v.live) })
		sent := strings.Repeat("x", size)
		if resp, got := exchange(t, "POST", url+"/bank/x", sent); resp.StatusCode != 200 || got != sent {
			t.Errorf("%d bytes: %s with %d bytes", size, resp.Status, len(got))
		}
	}
	v.set(func() { clear(v.live) })
	sent := strings.Repeat("x", 3<<20)
	if resp, got := exchange(t, "POST", url+"/bank/x", sent); resp.StatusCode != 401 || got != "no live token" {
		t.Errorf("a body that isn't kept: %s %.50q, want the API's own 401", resp.Status, got)
	}
	if resp, _ := exchange(t, "POST", url+"/bank/x", sent); resp.StatusCode != 200 {
		t.Errorf("the call after it: %s", resp.Status)
	}
}

func TestOwnCredentials(t *testing.T) {
	v := newVendor()
	var saw string
	v.api("/api/x", func(w http.ResponseWriter, r *http.Request) { saw = strings.Join(r.Header["Authorization"], ",") })
	_, url := agentFor(t, v, "")
	resp, body := exchange(t, "GET", url+"/bank/x", "", "Authorization", "Bearer mine")
	if resp.StatusCode != 403 || !strings.Contains(body, `"error":"own_credentials"`) || saw != "" || v.asked() != 0 {
		t.Errorf("%s %s, after %d visits", resp.Status, body, v.asked())
	}
	_, url = agentFor(t, v, ", authorization: replace")
	if resp, _ = exchange(t, "GET", url+"/bank/x", "", "Authorization", "Bearer mine"); resp.StatusCode != 200 || strings.Contains(saw, "mine") {
		t.Errorf("replaced: %s, the API saw %q", resp.Status, saw)
	}
}

// Web pages don't reach the tokens through the reader's browser.
func TestForeignRequests(t *testing.T) {
	v := newVendor()
	v.api("/api/x", func(http.ResponseWriter, *http.Request) {})
	_, url := agentFor(t, v, "")
	port := url[strings.LastIndex(url, ":"):]
	for _, tc := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/bank/x", nil, 200},
		{"/bank/x", []string{"Host", "localhost" + port}, 200},
		{"/bank/x", []string{"Host", "[::1]" + port}, 200},
		{"/bank/x", []string{"Host", "attacker.example"}, 403},
		{"/bank/x", []string{"Host", "127.0.0.1.attacker.example" + port}, 403},
		{"/bank/x", []string{"Host", "10.0.0.1" + port}, 403},
		{"/-/status", []string{"Host", "attacker.example"}, 403},
		{"/bank/x", []string{"Origin", "https://attacker.example"}, 403},
		{"/bank/x", []string{"Origin", "null"}, 403},
		{"/bank/x", []string{"Origin", "http://localhost:3000"}, 403},
		{"/bank/x", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/bank/x", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"/bank/x", []string{"Sec-Fetch-Site", "none"}, 200},
		{"/-/metrics", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if resp, body := exchange(t, "GET", url+tc.path, "", tc.header...); resp.StatusCode != tc.want {
			t.Errorf("%s %v: %s %s", tc.path, tc.header, resp.Status, body)
		}
	}
}

// A path and a query arrive as they were written.
func TestPathsArrive(t *testing.T) {
	v := newVendor()
	var arrived string
	v.HandleFunc("/api/", func(_ http.ResponseWriter, r *http.Request) { arrived = r.RequestURI })
	v.HandleFunc("/api", func(_ http.ResponseWriter, r *http.Request) { arrived = r.RequestURI })
	_, url := agentFor(t, v, "")
	for _, rest := range []string{
		"", "/", "/x", "/x/", "/a%20b", "/a%2Fb", "/a+b", "/(a)*'b!;c=d,e@f:g&h$i", "/%C3%BC", "/%c3%bc", "/a%3Fb?c", "/x?", "/x?q=%zz;&e", "/bank/bank", "/a=~b",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /bank%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", rest)
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v %v", rest, resp, err)
		}
		conn.Close()
		if want := "/api" + rest; arrived != want {
			t.Errorf("%s arrived as %s", want, arrived)
		}
	}
}

// No path leads out of base_url, for any reader of it.
func TestPathsStayInside(t *testing.T) {
	v := newVendor()
	v.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api") || strings.Contains(r.URL.Path, "/../") {
			t.Errorf("%s arrived", r.RequestURI)
		}
	})
	_, url := agentFor(t, v, "")
	for path, want := range map[string]int{
		"/bank": 200, "/bank/": 200, "/bank/x": 200, "/bank/a..b/...": 200, "/bank/%2F%2Fattacker.example": 200,
		"/bank/../x": 400, "/bank/%2e%2e/x": 400, "/bank/..%2fx": 400, "/bank/%252e%252e%252fx": 400, "/bank/x/..%5c..": 400,
		"/bank/./x": 400, "/bank/..;/x": 400, "/bank/%2E.": 400, "/bank/a/%2e%2e%2f%2e%2e/b": 400,
		"//bank/x": 404, "/nobody/x": 404, "/": 404, "/-/x": 404, "/-": 404,
	} {
		// By hand: net/http's client would clean the path.
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
		conn.Close()
	}
}

// Failures name the upstream, and say whether waiting helps.
func TestFailures(t *testing.T) {
	v := newVendor()
	a, url := agentFor(t, v, "")
	v.set(func() { v.down = true })
	var got struct {
		Error, Upstream, Message string
		RetryAt                  time.Time `json:"retry_at"`
	}
	resp, body := exchange(t, "GET", url+"/bank/x", "")
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 502 || got.Error != "token_unavailable" || got.Upstream != "bank" ||
		got.RetryAt.IsZero() || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", resp.Status, body)
	}
	_, url = agentFor(t, &vendor{ServeMux: http.NewServeMux()}, "")
	if resp, body = exchange(t, "GET", url+"/bank/x", ""); resp.StatusCode != 502 || !strings.Contains(body, `"token_refused"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
	if s := a.Status().Upstreams[0]; s.Failure == nil || s.Token != nil {
		t.Errorf("status %+v", s)
	}
}

func TestStatusAndMetrics(t *testing.T) {
	v := newVendor()
	v.api("/api/x", func(http.ResponseWriter, *http.Request) {})
	_, url := agentFor(t, v, "")
	for range 3 {
		exchange(t, "GET", url+"/bank/x", "")
	}
	v.set(func() { clear(v.live) })
	exchange(t, "GET", url+"/bank/x", "")
	_, metrics := exchange(t, "GET", url+"/-/metrics", "")
	for _, want := range []string{
		`gatehouse_agent_requests_total{upstream="bank"} 4`, `gatehouse_agent_tokens_reused_total{upstream="bank"} 3`,
		`gatehouse_agent_tokens_obtained_total{how="issued",upstream="bank"} 2`, `gatehouse_agent_rejected_tokens_total{upstream="bank"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	_, status := exchange(t, "GET", url+"/-/status", "")
	var got agent.Status
	if err := json.Unmarshal([]byte(status), &got); err != nil {
		t.Fatal(err)
	}
	if u := got.Upstreams[0]; u.Name != "bank" || u.Dialect != "oauth2" || u.Token == nil || *u.Token.LifeLeft < 3500 || u.Tokens.Issued != 2 {
		t.Errorf("%s", status)
	}
	for tok := range v.live {
		if strings.Contains(status+metrics, tok) {
			t.Error("the token shows")
		}
	}
	if resp, body := exchange(t, "GET", url+"/-/healthz", ""); resp.StatusCode != 200 || body != "{\"status\":\"ok\"}\n" {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// A credential that changes outside is taken up, without a restart and
// whether it is a file's content or a command's output.
func TestCredentialsAreReadAgain(t *testing.T) {
	v := newVendor()
	v.api("/api/x", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(v)
	defer server.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	write := func(s string) {
		if err := os.WriteFile(path+".new", []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("s1\n")
	t.Setenv("BANK_ID", "me")
	s := settings(t, "listen: 127.0.0.1:0\nupstreams:\n  bank: {dialect: oauth2, base_url: "+server.URL+"/api, token_url: "+server.URL+
		", client_id: \"${BANK_ID}\", client_secret: \"file:"+path+"\"}\n  other: {dialect: oauth2, base_url: "+server.URL+"/api, token_url: "+server.URL+
		", client_id: \"command: echo me\", client_secret: \"command: cat "+path+"\"}\n")
	_, url := start(t, s)
	for _, name := range []string{"bank", "other"} {
		if resp, body := exchange(t, "GET", url+"/"+name+"/x", ""); resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, body)
		}
	}
	v.set(func() { v.secret = "s2"; clear(v.live) })
	if resp, _ := exchange(t, "GET", url+"/bank/x", ""); resp.StatusCode == 200 {
		t.Fatal("the old secret works")
	}
	write("s2\n")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, body := exchange(t, "GET", url+"/bank/x", "")
		if resp.StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the new secret is not in use: %s", body)
		}
	}
}

// A reload keeps the tokens of what did not change, and all of the old set
// where the new one has a fault.
func TestReload(t *testing.T) {
	v := newVendor()
	v.api("/api/x", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(v)
	defer server.Close()
	one := "{dialect: oauth2, base_url: " + server.URL + "/api, token_url: " + server.URL + ", client_id: me, client_secret: s1}\n"
	a, url := start(t, settings(t, "listen: 127.0.0.1:0\nupstreams:\n  bank: "+one))
	exchange(t, "GET", url+"/bank/x", "")
	if err := a.Reload(settings(t, "upstreams:\n  bank: "+one+"  second: "+one)); err != nil {
		t.Fatal(err)
	}
	if resp, _ := exchange(t, "GET", url+"/second/x", ""); resp.StatusCode != 200 {
		t.Errorf("the new upstream: %s", resp.Status)
	}
	exchange(t, "GET", url+"/bank/x", "")
	if n := v.asked(); n != 2 {
		t.Errorf("%d visits, want one for each upstream", n)
	}
	if err := a.Reload(settings(t, "upstreams:\n  bank: {dialect: oauth2, base_url: http://elsewhere.example, client_id: me, client_secret: s1}\n")); err == nil {
		t.Error("plain HTTP to another machine was taken")
	}
	if resp, _ := exchange(t, "GET", url+"/second/x", ""); resp.StatusCode != 200 {
		t.Errorf("after a reload that failed: %s", resp.Status)
	}
}

func TestUnixSocket(t *testing.T) {
	v := newVendor()
	v.api("/api/x", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(v)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "agent.sock")
	s := settings(t, "listen: unix:"+path+"\nupstreams:\n  bank: {dialect: oauth2, base_url: "+server.URL+"/api, token_url: "+server.URL+", client_id: me, client_secret: s1}\n")
	start(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if l, err := s.Open(t.Context()); err == nil {
		l.Close()
		t.Error("a second agent took the socket")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://whatever/bank/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}
