package gateways_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

// A server is the real binary, running `gatehouse dev` on free ports of loopback.
type server struct {
	binary, data string
	url          string
	clients      []demoClient
}

type demoClient struct {
	Dialect      string `json:"dialect"`
	Environment  string `json:"environment"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

var node *server // runs for all tests

func TestMain(m *testing.M) {
	code, err := serveAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateways:", err)
		code = 1
	}
	os.Exit(code)
}

func serveAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-gateways-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary, err := built.Gatehouse(dir)
	if err != nil {
		return 1, err
	}
	node = &server{binary: binary, data: filepath.Join(dir, "data")}
	stop, err := node.start()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return m.Run(), nil
}

func (s *server) start() (stop func() error, err error) {
	cmd := exec.Command(s.binary, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn") // refusals are what is tested here
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading what dev prints: %w", err), stop())
	}
	var said struct {
		URL     string       `json:"url"`
		Clients []demoClient `json:"clients"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return nil, errors.Join(fmt.Errorf("dev --json printed no JSON: %w", err), stop())
	}
	s.url, s.clients = said.URL, said.Clients
	return stop, nil
}

func (s *server) host() string { return strings.TrimPrefix(s.url, "http://") }

// token gets a standard token of an environment.
func (s *server) token(t *testing.T, environment, scope string) string {
	t.Helper()
	for _, c := range s.clients {
		if c.Dialect != "oauth2" || c.Environment != environment {
			continue
		}
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}, "scope": {scope}}
		res, err := http.PostForm(s.url+"/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.UnmarshalRead(res.Body, &answer); err != nil || answer.Token == "" {
			t.Fatalf("no token: %d: %v", res.StatusCode, err)
		}
		return answer.Token
	}
	t.Fatalf("dev lists no oauth2 client for %s", environment)
	return ""
}

// revoke revokes a token by what it is.
func (s *server) revoke(t *testing.T, tok string) {
	t.Helper()
	cmd := exec.Command(s.binary, "token", "revoke", "--stdin", "--data", s.data)
	cmd.Stdin = strings.NewReader(tok)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("revoking: %v: %s", err, out)
	}
}

// echo is the API: it answers with the request that it sees.
func echo(t *testing.T) *httptest.Server {
	built.NoteSources()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := json.Marshal(seen{r.Method, r.RequestURI, r.Header})
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s
}

type seen struct {
	Method, URI string
	Header      http.Header
}

// An answer is what came back through a gateway.
type answer struct {
	status int
	header http.Header
	seen   *seen // by the API; nil where the request didn't get there
	raw    string
}

// send writes a request byte by byte, since an attacker uses no library.
func send(t *testing.T, address, target string, lines ...string) answer {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	request := "GET " + target + " HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n"
	for _, l := range lines {
		request += l + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(c)
	if err != nil && len(raw) == 0 {
		t.Fatalf("%s: no answer: %v", target, err)
	}
	a := answer{raw: string(raw)}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return a // refused without a word of HTTP
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	body, _ := io.ReadAll(res.Body)
	var s seen
	if res.StatusCode == http.StatusOK && json.Unmarshal(body, &s) == nil {
		a.seen = &s
	}
	return a
}

// A gateway is a real one before the echo.
type gateway struct {
	name    string
	address string
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a gateway's process and waits until it listens. It ends with the test.
func run(t *testing.T, name, address string, env []string, binary string, args ...string) gateway {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("%s: %v", name, err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return gateway{name, address}
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, said.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen", name)
		}
	}
}

const examples = "../../examples/gateways/"

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
