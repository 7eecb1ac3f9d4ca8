package nodes_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/sqlite"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A trace is a process's writes and syncs as strace -f -y -xx tells them, read
// up to a moment: what is sure to be on the disk then.
type trace struct {
	database string
	synced   map[string][]byte                // by file
	pending  map[string][]func([]byte) []byte // what has been written since the last sync
	begun    map[string]string                // by thread: a call that has not ended
	syncing  map[string]int                   // by thread: how much was pending when the sync began
}

var (
	unfinished = regexp.MustCompile(`^(\d+) +(.*) <unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	whole      = regexp.MustCompile(`^(\d+) +(\w+\(.*)$`)
	onFile     = regexp.MustCompile(`^(pwrite64|fsync|fdatasync|ftruncate)\(\d+<([^>]*)>(?:, "([^"]*)", \d+)?(?:, (\d+))?\) += (-?\d+)`)
)

// read takes in a line. Where it is a write to a socket, that is returned.
func (r *trace) read(line string) (sent string, err error) {
	if m := unfinished.FindStringSubmatch(line); m != nil {
		r.begun[m[1]] = m[2]
		return r.begin(m[1], m[2]), nil
	}
	if m := resumed.FindStringSubmatch(line); m != nil {
		return "", r.end(m[1], r.begun[m[1]]+m[2])
	}
	m := whole.FindStringSubmatch(line)
	if m == nil {
		return "", nil
	}
	sent = r.begin(m[1], m[2])
	return sent, r.end(m[1], m[2])
}

func (r *trace) begin(thread, call string) (sent string) {
	switch name, rest, _ := strings.Cut(call, "("); name {
	case "write":
		return rest
	case "fsync", "fdatasync":
		_, path, _ := strings.Cut(rest, "<")
		path, _, _ = strings.Cut(path, ">")
		r.syncing[thread] = len(r.pending[unhex(path)])
	}
	return ""
}

func (r *trace) end(thread, call string) error {
	m := onFile.FindStringSubmatch(call)
	if m == nil || m[5][0] == '-' {
		return nil
	}
	file := unhex(m[2])
	if file != r.database && file != r.database+"-wal" {
		return nil
	}
	switch m[1] {
	case "fsync", "fdatasync":
		for _, change := range r.pending[file][:r.syncing[thread]] {
			r.synced[file] = change(r.synced[file])
		}
		r.pending[file] = r.pending[file][r.syncing[thread]:]
		return nil
	case "ftruncate":
		size, err := strconv.Atoi(m[4])
		r.pending[file] = append(r.pending[file], func(b []byte) []byte {
			return append(b, make([]byte, max(0, size-len(b)))...)[:size]
		})
		return err
	}
	data := []byte(unhex(m[3]))
	at, err := strconv.Atoi(m[4])
	r.pending[file] = append(r.pending[file], func(b []byte) []byte {
		b = append(b, make([]byte, max(0, at+len(data)-len(b)))...)
		copy(b[at:], data)
		return b
	})
	return err
}

// unhex reads a string as strace -xx writes it.
func unhex(text string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		return text
	}
	return string(b)
}

// there reports whether a machine that loses its power now has the token.
func (r *trace) there(t *testing.T, id string) bool {
	t.Helper()
	dir := t.TempDir()
	for file, content := range r.synced {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Logf("opening what is synced: %v", err)
		return false
	}
	defer s.Close()
	parsed, err := token.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Token(t.Context(), gatehouse.TokenID(parsed))
	return err == nil
}

// traced runs a server from its first start on, has it issue tokens, and
// returns which of them would be lost had the power failed when their answer
// was sent.
func traced(t *testing.T, server string, tokens int) (lost int) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-y", "-xx", "-s", "100000", "-e", "trace=pwrite64,write,fsync,fdatasync,ftruncate", "-e", "signal=none", "-o", record,
		server, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", dir)
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("test/prerequisites installs strace: %v", err)
	}
	end := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // the server too, which is then told of by strace
		_ = cmd.Wait()
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			end()
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		URL     string       `json:"url"`
		Clients []demoClient `json:"clients"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		t.Fatal(err)
	}
	n := &node{url: said.URL}
	c := &cluster{T: t, clients: said.Clients}
	as := c.client("oauth2", "live")
	ids := map[string]string{} // by the token as the trace has it
	for range tokens {
		tok, err := n.issue(as)
		c.must(err)
		a, err := n.verify(tok, "live")
		c.must(err)
		var text strings.Builder
		for _, b := range []byte(tok) {
			fmt.Fprintf(&text, `\x%02x`, b)
		}
		ids[text.String()] = a.tokenID
	}
	end()
	ended = true
	return lostOf(t, dir, record, ids)
}

func lostOf(t *testing.T, dir, record string, ids map[string]string) (lost int) {
	t.Helper()
	body, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	r := &trace{database: filepath.Join(dir, "gatehouse.db"), synced: map[string][]byte{}, pending: map[string][]func([]byte) []byte{}, begun: map[string]string{}, syncing: map[string]int{}}
	waiting := maps.Clone(ids)
	for line := range bytes.Lines(body) {
		sent, err := r.read(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			t.Fatalf("%.200s: %v", line, err)
		}
		for text, id := range waiting {
			if strings.Contains(sent, text) {
				delete(waiting, text)
				if !r.there(t, id) {
					lost++
				}
				break
			}
		}
	}
	if len(waiting) > 0 {
		t.Fatalf("%d of %d answers are not in the trace", len(waiting), len(ids))
	}
	return lost
}

// The system calls of a real server are recorded. When an answer with a token
// is sent, what has been synced by then is enough to have the token. A server
// that was built without syncs is found out.
func TestAnswersComeAfterTheSync(t *testing.T) {
	t.Parallel()
	tokens := 10
	if soak() {
		tokens = 100
	}
	lost := traced(t, binary, tokens)
	t.Logf("%d tokens, each followed by a loss of power: %d lost", tokens, lost)
	if lost > 0 {
		t.Fail()
	}
	if !soak() { // to build another one takes long
		return
	}
	lost = traced(t, withoutSyncs(t), tokens)
	t.Logf("built without syncs: %d of %d lost", lost, tokens)
	if lost == 0 {
		t.Error("that was not found out")
	}
}

// withoutSyncs builds a server whose SQLite doesn't sync.
func withoutSyncs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs("../../sqlite/store.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(source, []byte(`opt.synchronous = "FULL"`), []byte(`opt.synchronous = "OFF"`), 1)
	if bytes.Equal(changed, source) {
		t.Fatal("the store is made durable somewhere else by now")
	}
	other, overlay, server := filepath.Join(dir, "store.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "gatehouse")
	instead, err := json.Marshal(map[string]map[string]string{"Replace": {path: other}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{other: changed, overlay: instead} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", server, "../../cmd/gatehouse")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return server
}
