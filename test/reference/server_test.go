// Package reference_test reads the reference pages of the real binary as partners
// do: it runs every program that a page shows, in its own language, and walks
// each playground with a real browser.
package reference_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/test/built"
)

// A server is the real binary, running `gatehouse dev` on free ports of
// loopback with a directory of its own.
type server struct {
	binary, data, url string
	demo              []demoClient
}

type demoClient struct {
	Dialect      string `json:"dialect"`
	Environment  string `json:"environment"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

var running *server // see dev

func TestMain(m *testing.M) {
	code, err := serveAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		code = 1
	}
	os.Exit(code)
}

func serveAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-reference-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary, err := built.Gatehouse(dir)
	if err != nil {
		return 1, err
	}
	s := &server{binary: binary, data: filepath.Join(dir, "data")}
	stop, err := s.start()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	running = s
	return m.Run(), nil
}

// dev returns the server that runs for all tests.
func dev(t *testing.T) *server {
	t.Helper()
	built.NoteSources()
	return running
}

// start returns once the server has said what it listens on. stop ends it and
// fails where it doesn't end well.
func (s *server) start() (stop func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	cmd := exec.CommandContext(ctx, s.binary, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn") // refusals are shown on purpose here
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	stop = func() error {
		defer cancel()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("stopping the server: %w", err)
		}
		return cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading what dev prints: %w", err), stop())
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // until the server ends
	var said struct {
		URL     string       `json:"url"`
		Clients []demoClient `json:"clients"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		return nil, errors.Join(fmt.Errorf("dev --json printed no JSON: %w", err), stop())
	}
	s.url, s.demo = said.URL, said.Clients
	return stop, nil
}

func (s *server) client(t *testing.T, dialect, environment string) demoClient {
	t.Helper()
	for _, c := range s.demo {
		if c.Dialect == dialect && c.Environment == environment {
			return c
		}
	}
	t.Fatalf("dev lists no %s client for %s", dialect, environment)
	return demoClient{}
}

// refreshing makes a sandbox client of standard OAuth 2.0 that has refresh tokens.
func (s *server) refreshing(t *testing.T) demoClient {
	t.Helper()
	var made struct {
		Secrets []demoClient `json:"secrets"`
	}
	if err := json.Unmarshal(s.admin(t, "client", "create", "--name", t.Name(), "--dialect", "oauth2", "--environment", "sandbox", "--scope", "read", "--refresh"), &made); err != nil || len(made.Secrets) != 1 {
		t.Fatal(err, made)
	}
	return made.Secrets[0]
}

// admin runs an administrative command and returns its JSON document.
func (s *server) admin(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.binary, append(args, "--json", "--data", s.data)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gatehouse %v: %v", args, err)
	}
	return out
}

// get reads a page.
func (s *server) get(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %s %v", path, res.Status, err)
	}
	return string(b)
}

// A partner is a client with what it has got so far, by the holes' names.
type partner struct {
	*server
	dialect *dialect.Dialect
	has     map[dialect.Hole]string // as on the wire
}

// newPartner gets credentials, the Connect page's answer where there is one, and,
// unless the code is to be kept, a token.
func (s *server) newPartner(t *testing.T, d *dialect.Dialect, c demoClient, token bool) *partner {
	t.Helper()
	p := &partner{s, d, map[dialect.Hole]string{dialect.ClientID: c.ClientID, dialect.ClientSecret: c.ClientSecret}}
	if o := d.Operation(dialect.Connect); o != nil {
		body := s.admin(t, "connection", "create", "--client", c.ClientID, "--environment", "sandbox", "--user", "reader")
		p.take(t, o, 200, nil, body)
	}
	if !token {
		return p
	}
	o := d.Operation(dialect.Issue)
	if o == nil {
		o = d.Operation(dialect.Exchange)
	}
	var v dialect.Values
	id, ok := d.FromWire(dialect.ClientID, c.ClientID)
	if !ok {
		t.Fatalf("%s: %s is no client id", d.Name, c.ClientID)
	}
	v.SetText(dialect.ClientID, id)
	v.SetText(dialect.ConnectionID, p.has[dialect.ConnectionID])
	for _, h := range []dialect.Hole{dialect.ClientSecret, dialect.AccessCode} {
		v.SetSecret(h, secret.New(p.has[h]))
	}
	asked, err := o.WriteRequest(s.url, v)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(asked.Method, asked.URL(), bytes.NewReader(asked.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = asked.Header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	p.take(t, o, res.StatusCode, res.Header, body)
	return p
}

// take keeps what an answer's holes hold.
func (p *partner) take(t *testing.T, o *dialect.Operation, status int, h http.Header, body []byte) {
	t.Helper()
	v, err := o.ReadResponse(&dialect.Response{Status: status, Header: h, Body: body})
	if err != nil {
		t.Fatalf("%s %s: %v: %s", p.dialect.Name, o.Name, err, body)
	}
	for _, hole := range v.Holes() {
		if s := v.Secret(hole); !s.IsZero() {
			p.has[hole] = s.Reveal()
		} else if text := v.Text(hole); text != "" {
			p.has[hole] = text
		}
	}
}

// dialects are those that have a page.
func dialects(t *testing.T) (all []*dialect.Dialect) {
	t.Helper()
	source, err := os.ReadFile("../../reference/oauth2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	standard, err := dialect.LoadOwn("oauth2.yaml", source)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, standard)
	for _, name := range dialect.BuiltinNames() {
		d, err := dialect.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// as returns the credentials that a page of d is tried with.
func (s *server) as(t *testing.T, d *dialect.Dialect) demoClient {
	t.Helper()
	if d.Name == "oauth2" {
		return s.refreshing(t)
	}
	return s.client(t, d.Name, "sandbox")
}

func variable(h dialect.Hole) string { return strings.ToUpper(strings.ReplaceAll(string(h), ".", "_")) }
