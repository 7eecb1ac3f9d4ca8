package nodes_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node on PostgreSQL is killed when it is about to make its n-th write to a
// socket: to PostgreSQL, so around a commit, or to a caller, so with an answer
// that nobody gets.
func TestNodeKilledAtEachWrite(t *testing.T) {
	c := start(t, 2)
	kills, step := 3, 15
	if soak() {
		kills, step = 200, 1
	}
	at := map[string]int{}
	c.losesNothing(kills, 5*time.Second, func(victim *node, kill int) {
		at[c.killAtWrite(victim, 1+kill*step)]++
	})
	for _, to := range slices.Sorted(maps.Keys(at)) {
		t.Logf("%4d before a write to %s", at[to], to)
	}
}

var (
	writing = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?write\(\d+<TCP:\[[^>]+->([^\]]+)\]>`)
	unmade  = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?.* = \?$`)
)

// killAtWrite ends a node with SIGKILL, by strace, when one of its threads is
// about to write for the n-th time from now on to the sockets that the node has
// now, and tells to whom.
func (c *cluster) killAtWrite(victim *node, n int) (to string) {
	c.Helper()
	pid := victim.cmd.Process.Pid
	args := []string{"-f", "-yy", "-s", "0", "-p", strconv.Itoa(pid), "-e", "signal=KILL",
		"-e", "trace=write", "-e", fmt.Sprintf("inject=write:signal=KILL:when=%d", n)}
	for _, socket := range c.sockets(pid) {
		args = append(args, "-P", socket)
	}
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	said, err := cmd.StderrPipe()
	c.must(err)
	if err := cmd.Start(); err != nil {
		c.Fatalf("test/prerequisites installs strace: %v", err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = victim.cmd.Process.Kill() })
	peers := map[string]string{} // whom a thread has begun to write to
	peer, text := "", ""
	for lines := bufio.NewScanner(said); lines.Scan(); { // until the node has ended
		text = lines.Text()
		if m := writing.FindStringSubmatch(text); m != nil {
			peers[m[1]] = m[2]
		}
		if m := unmade.FindStringSubmatch(text); m != nil && peer == "" {
			peer = peers[m[1]]
		}
	}
	_ = cmd.Wait()
	if !late.Stop() || peer == "" {
		c.Fatalf("no thread began its write %d; strace says: %s", n, text)
	}
	_ = victim.cmd.Wait() // it was killed
	if peer == c.database.Addr() {
		return "PostgreSQL"
	}
	return "a caller"
}

// sockets are the names that the kernel has for those of a process.
func (c *cluster) sockets(pid int) (names []string) {
	c.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	c.must(err)
	for _, file := range files {
		name, err := os.Readlink(filepath.Join(dir, file.Name()))
		if err == nil && strings.HasPrefix(name, "socket:") { // else it may be closed by now
			names = append(names, name)
		}
	}
	return names
}
