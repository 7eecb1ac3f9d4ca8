// Package postgrestest runs a real PostgreSQL for tests: a server of their own,
// in a directory of their own, with fsync as in real use. It can be stopped
// and started again under its clients.
package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is one PostgreSQL on a port of loopback.
type Server struct {
	bin, dir, port string
	as             *syscall.Credential // nil: whoever runs the tests
	process        *exec.Cmd
	ended          chan struct{}
	databases      atomic.Int64
}

// Start makes a database cluster, with further options of initdb, and serves it
// until t ends.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	s := &Server{}
	var err error
	if s.bin, err = binaries(); err != nil {
		t.Fatal(err)
	}
	if s.as, err = unprivileged(); err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: PostgreSQL's user must be able to reach it.
	if s.dir, err = os.MkdirTemp("", "gatehouse-postgres-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	if s.as != nil {
		must(t, os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)))
	}
	options = append([]string{"--pgdata", s.data(), "--username", "gatehouse", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync"}, options...)
	made, err := s.command("initdb", options...).CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, made)
	}
	s.port = freePort(t)
	t.Cleanup(func() { s.Stop(t) })
	s.Restart(t)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs one of PostgreSQL's programs as its user. It ends with the
// tests, however they end.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	return c
}

// Restart starts the server that Stop or Kill has ended.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(t, err)
	defer log.Close()
	must(t, s.launch(log))
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.try("postgres", "SELECT 1")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL doesn't answer: %v\n%s", err, text)
		}
		select {
		case <-s.ended: // as it does while a killed one's processes are not all gone
			must(t, s.launch(log))
		default:
		}
	}
}

func (s *Server) launch(log *os.File) error {
	s.process = s.command("postgres", "-D", s.data(), "-p", s.port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+s.dir, "-c", "max_connections=200", "-c", "log_min_messages=warning")
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func(p *exec.Cmd, ended chan struct{}) {
		_ = p.Wait() // how it ended is in its log
		close(ended)
	}(s.process, s.ended)
	return nil
}

// Stop ends the server at once, as a crash would (SIGQUIT): its clients are
// cut off, and the next start recovers what was committed.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.process == nil {
		return
	}
	must(t, s.process.Process.Signal(syscall.SIGQUIT))
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		t.Error("PostgreSQL doesn't end")
		_ = s.process.Process.Kill()
	}
	s.process = nil
}

// Kill ends the server and all its processes with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	must(t, s.process.Process.Signal(syscall.SIGSTOP)) // it makes no more of them
	backends := s.backends(t)
	must(t, s.process.Process.Kill())
	for _, pid := range backends {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended with the first one
	}
	<-s.ended
	s.process = nil
}

// KillOne ends one of the server's processes with SIGKILL, chosen by n, and
// returns once the server has ended the others and recovered, as it does by
// itself.
func (s *Server) KillOne(t testing.TB, n int) {
	t.Helper()
	backends := s.backends(t)
	if len(backends) == 0 {
		return
	}
	starts := s.starts(t)
	if syscall.Kill(backends[n%len(backends)], syscall.SIGKILL) != nil {
		return // it had ended by itself
	}
	s.awaitStart(t, starts)
}

// awaitStart waits until the server has become ready once more.
func (s *Server) awaitStart(t testing.TB, starts int) {
	t.Helper()
	for began := time.Now(); s.starts(t) == starts && time.Since(began) < time.Minute; {
		time.Sleep(5 * time.Millisecond)
	}
}

// starts counts how often the server has become ready, by its log.
func (s *Server) starts(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	must(t, err)
	return bytes.Count(text, []byte("ready to accept connections"))
}

// backends are the process ids of the server's children.
func (s *Server) backends(t testing.TB) (pids []int) {
	t.Helper()
	pid := s.process.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	must(t, err)
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		must(t, err)
		pids = append(pids, child)
	}
	return pids
}

// URL makes an empty database and returns where it is.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	name := "d" + strconv.FormatInt(s.databases.Add(1), 10)
	must(t, s.try("postgres", "CREATE DATABASE "+name))
	return s.url(name)
}

// Addr is host:port of the server.
func (s *Server) Addr() string { return "127.0.0.1:" + s.port }

func (s *Server) url(database string) string {
	return "postgres://gatehouse@" + s.Addr() + "/" + database + "?sslmode=disable"
}

func (s *Server) try(database, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, query)
	return err
}

// binaries is where PostgreSQL's programs are: Debian keeps them out of the
// PATH, by version.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed; test/prerequisites installs it: %w", err)
	}
	return filepath.Dir(path), nil
}

// unprivileged is the user that PostgreSQL, which refuses to run as root, runs as.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// User is whom to run a program as that, like PostgreSQL, refuses to be root;
// nil is whoever runs the tests.
func User(t testing.TB) *syscall.Credential {
	t.Helper()
	as, err := unprivileged()
	must(t, err)
	return as
}

// CopyOf copies a database of the server, to which nobody may be connected, and
// returns where the copy is.
func (s *Server) CopyOf(t testing.TB, database string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(database)
	must(t, err)
	name := "d" + strconv.FormatInt(s.databases.Add(1), 10)
	must(t, s.try("postgres", "CREATE DATABASE "+name+" TEMPLATE "+cfg.Database))
	return s.url(name)
}

// Run runs one of PostgreSQL's client programs, such as pg_dump, as a user of
// the server would, and returns what it printed.
func (s *Server) Run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}
