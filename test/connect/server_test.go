// Package connect_test drives the Connect pages of the real binary with a real
// browser, Debian's Chromium, as an end user does, and as somebody does who means
// the end user ill.
package connect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

// A server is the real binary, running `gatehouse dev`. It is reached as
// localhost, since passkeys need a name, while the app and whoever else there is
// are at 127.0.0.1: another site.
type server struct {
	binary, data, url string
	users             []user
	browser           context.Context
	app               *app
}

type user struct {
	Environment string `json:"environment"`
	Name        string `json:"name"`
	Password    string `json:"password"`
}

var running *server // see dev

func TestMain(m *testing.M) {
	code, err := serveAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		code = 1
	}
	os.Exit(code)
}

func serveAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-connect-")
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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("lang", "en"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has no user namespaces to put a renderer into
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	defer endAllocator()
	browser, endBrowser := chromedp.NewContext(allocator)
	defer endBrowser()
	if err := chromedp.Do(browser); err != nil {
		return 1, fmt.Errorf("starting Chromium: %w", err)
	}
	s.browser = browser
	if s.app, err = newApp(s); err != nil {
		return 1, err
	}
	defer s.app.Close()
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
	// The issuer holds the port, so that it must be known before.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	s.url = "http://localhost:" + port

	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	cmd := exec.CommandContext(ctx, s.binary, "dev", "--json", "--listen", address, "--admin-listen", "127.0.0.1:0", "--data", s.data, "--issuer", s.url)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn") // refusals are what is tested here
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
		Users []user `json:"users"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil || len(said.Users) < 2 {
		return nil, errors.Join(fmt.Errorf("dev --json printed %s: %w", line, err), stop())
	}
	s.users = said.Users
	return stop, nil
}

// admin runs an administrative command and reads its JSON document into into.
func (s *server) admin(into any, args ...string) error {
	cmd := exec.Command(s.binary, append(args, "--json", "--data", s.data)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("gatehouse %v: %w", args, err)
	}
	return json.Unmarshal(out, into)
}

// post sends a form and reads the JSON that comes back.
func (s *server) post(t *testing.T, path string, form url.Values, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.UnmarshalRead(res.Body, into); err != nil {
		t.Fatalf("%s: %d: %v", path, res.StatusCode, err)
	}
	return res.StatusCode
}
