// Package redistest runs a real Redis for tests: a server of their own, which
// can be killed, stopped in its tracks and started again under its clients.
package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Server is one Redis on a port of loopback. It keeps nothing on disk.
type Server struct {
	port    string
	args    []string
	process *exec.Cmd
}

// Start serves a Redis until t ends. args are more of its command line.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	s := &Server{port: port, args: args}
	must(t, l.Close())
	t.Cleanup(s.Kill)
	s.Restart(t)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// URL is where the server is.
func (s *Server) URL() secret.Text { return secret.New("redis://" + s.Addr() + "/0") }

// Addr is host:port of the server.
func (s *Server) Addr() string { return "127.0.0.1:" + s.port }

// Restart starts the server that Kill has ended, with nothing in it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.process = exec.Command("redis-server", append([]string{
		"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, s.args...)...)
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatalf("test/prerequisites installs redis-server: %v", err)
	}
	for began := time.Now(); !s.answers(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("redis-server doesn't answer")
		}
	}
}

// answers asks without a password; a server that wants one answers too.
func (s *Server) answers() bool {
	_, err := s.Do("PING")
	return err == nil
}

// Do sends a command of words without spaces, and returns the first line of the answer.
func (s *Server) Do(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Stop halts the server in its tracks: its port takes connections and nobody
// answers.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	must(t, s.process.Process.Signal(syscall.SIGSTOP))
}

// Continue lets a stopped server go on.
func (s *Server) Continue(t testing.TB) {
	t.Helper()
	must(t, s.process.Process.Signal(syscall.SIGCONT))
}
