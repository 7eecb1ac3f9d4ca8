package postgrestest

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// KillOneAt ends one of the server's processes with SIGKILL, the first that is
// about to make its n-th system call of those named (separated by commas, each
// counted for itself and for each process, from now on), and returns once the
// server has ended the others and recovered, as it does by itself. It tells
// which call on which file was not made. Only what runs now is counted: the
// caller sees to it that it goes on writing.
func (s *Server) KillOneAt(t testing.TB, calls string, n int) (at string) {
	t.Helper()
	starts := s.starts(t)
	at = s.killAt(t, calls, n, func() {})
	s.awaitStart(t, starts)
	return at
}

// KillAt is KillOneAt for the whole server: it ends with the process that is
// killed first, and is started again by Restart.
func (s *Server) KillAt(t testing.TB, calls string, n int) (at string) {
	t.Helper()
	return s.killAt(t, calls, n, func() { s.Kill(t) })
}

var (
	called = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?(\w+)\(\d+<([^>]*)>`)
	died   = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?\+\+\+ killed by SIGKILL`)
)

// killAt calls then as soon as a process has been killed. No process that
// starts later is traced: recovery is let alone.
func (s *Server) killAt(t testing.TB, calls string, n int, then func()) (at string) {
	t.Helper()
	args := []string{"-y", "-s", "0", "-e", "signal=KILL", "-e", "trace=" + calls,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n)}
	for _, pid := range s.backends(t) {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	said, err := cmd.StderrPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		t.Fatalf("test/prerequisites installs strace: %v", err)
	}
	const patience = time.Minute
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer func() {
		// It ends with the last of those that it traces, which the server ends
		// now. To have it let go before that might cost one of them its signal.
		_, _ = io.Copy(io.Discard, said)
		late.Stop()
		_ = cmd.Wait()
	}()
	last := map[string]string{} // call, by process
	text := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		text = lines.Text()
		if m := called.FindStringSubmatch(text); m != nil {
			last[m[1]] = m[2] + " " + s.kind(m[3])
		} else if m := died.FindStringSubmatch(text); m != nil {
			then()
			return last[m[1]]
		}
	}
	t.Fatalf("no process made call %d of %s within %v; strace says: %s", n, calls, patience, text)
	return ""
}

// kind tells what one of the server's files is for, by its directory.
func (s *Server) kind(path string) string {
	within, err := filepath.Rel(s.dir, path)
	if err != nil {
		return path
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(within, "data/"), "/")
	return first
}
