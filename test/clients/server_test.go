// Package clients_test runs the field's client libraries, unchanged, against the
// real binary. npm's have a program each, NAME.test.mjs; x/oauth2 is tested in Go.
package clients_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

// A server is the real binary, running `gatehouse dev` on free ports of
// loopback with a directory of its own.
type server struct {
	binary string
	data   string
	line   string // what dev --json printed
	url    string
	demo   []demoClient
}

type demoClient struct {
	Dialect      string   `json:"dialect"`
	Environment  string   `json:"environment"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	Scopes       []string `json:"scopes"`
}

var running *server // see dev

func TestMain(m *testing.M) {
	code, err := serveAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		code = 1
	}
	os.Exit(code)
}

func serveAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-clients-")
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

// dev returns the server that runs for all tests: clients of one server share it
// in real life, too.
func dev(t *testing.T) *server {
	t.Helper()
	built.NoteSources()
	return running
}

// start returns once the server has said what it listens on. stop ends it and
// fails where it doesn't end well.
func (s *server) start() (stop func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	cmd, err := s.run(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return func() error {
		defer cancel()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("stopping the server: %w", err)
		}
		return cmd.Wait()
	}, nil
}

// startKillable is start for a server that is to be killed when ctx ends.
func (s *server) startKillable(ctx context.Context) (wait func(), err error) {
	cmd, err := s.run(ctx)
	return func() { _ = cmd.Wait() }, err
}

// run returns once the server has said what it listens on. It is killed when
// ctx ends.
func (s *server) run(ctx context.Context) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, s.binary, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn") // refusals are what is tested here
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	failed := func(what string, err error) error {
		return errors.Join(fmt.Errorf("%s: %w", what, err), cmd.Process.Kill(), cmd.Wait())
	}
	if s.line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, failed("reading what dev prints", err)
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // until the server ends
	var said struct {
		URL     string       `json:"url"`
		Clients []demoClient `json:"clients"`
	}
	if err := json.Unmarshal([]byte(s.line), &said); err != nil {
		return nil, failed("dev --json printed no JSON", err)
	}
	s.url, s.demo = said.URL, said.Clients
	return cmd, nil
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

// admin runs an administrative command and reads its JSON document into into.
func (s *server) admin(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := exec.Command(s.binary, append(args, "--json", "--data", s.data)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gatehouse %v: %v", args, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("gatehouse %v printed no JSON: %v", args, err)
	}
}
