package restore_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/test/built"
)

// soak reports whether the long forms run (`make soak`).
func soak() bool { return os.Getenv("GATEHOUSE_SOAK") != "" }

// trials is how many tokens of each kind are revoked, kept and lost.
func trials() int {
	if soak() {
		return 300
	}
	return 6
}

var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "restore:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "gatehouse-restore-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if binary, err = built.Gatehouse(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// A ledger is a place where a server keeps one, and the server.
type ledger struct {
	*testing.T
	kek      string
	server   *postgrestest.Server // nil: SQLite
	data     string
	database string // "" is SQLite in data

	cmd *exec.Cmd
	url string
	api *admin.Caller
}

func newLedger(t *testing.T, server *postgrestest.Server) *ledger {
	built.NoteSources()
	var key [32]byte
	_, _ = rand.Read(key[:])
	l := &ledger{T: t, kek: base64.StdEncoding.EncodeToString(key[:]), server: server, data: t.TempDir()}
	if server != nil {
		l.database = server.URL(t)
	}
	return l
}

func (l *ledger) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// start serves the ledger.
func (l *ledger) start() {
	l.Helper()
	var err error
	for range 10 {
		if err = l.tryStart(); err == nil || !busy(err) {
			break
		}
	}
	l.must(err)
	l.Cleanup(l.kill)
}

// busy reports whether the machine, and not Gatehouse, is why something failed:
// connections to PostgreSQL that take longer than a second.
func busy(err error) bool {
	return strings.Contains(err.Error(), "deadline exceeded") || strings.Contains(err.Error(), "in time")
}

func (l *ledger) tryStart() error {
	args := []string{"dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", l.data}
	if l.database != "" {
		args = append(args, "--database", l.database)
	}
	l.cmd = l.command(args...)
	var problem bytes.Buffer
	l.cmd.Stderr = &problem
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := l.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		_ = l.cmd.Wait()
		return fmt.Errorf("it does not start: %w: %s", err, problem.Bytes())
	}
	var said struct {
		URL        string           `json:"url"`
		AdminURL   string           `json:"admin_url"`
		AdminToken admin.Credential `json:"admin_token"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return err
	}
	l.url = said.URL
	l.api, err = admin.DialURL(said.AdminURL, said.AdminToken.Text)
	return err
}

func (l *ledger) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error+4", "GATEHOUSE_KEY_ENCRYPTION_KEY="+l.kek)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// kill ends the server as a power cut would.
func (l *ledger) kill() {
	if l.cmd != nil && l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	}
}

// gatehouse runs a command to its end and returns what it printed.
func (l *ledger) gatehouse(args ...string) ([]byte, error) {
	cmd := l.command(append(args, "--json")...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, problem.Bytes())
	}
	return out.Bytes(), nil
}

func (l *ledger) run(args ...string) []byte {
	l.Helper()
	out, err := l.gatehouse(args...)
	if err != nil {
		l.Fatalf("gatehouse %v: %v", args, err)
	}
	return out
}

// A copied is a ledger at rest, of some moment.
type copied struct {
	of         *ledger
	file, dump string
}

// copy makes one while the server goes on.
func (l *ledger) copy() *copied {
	l.Helper()
	c := &copied{of: l, file: filepath.Join(l.TempDir(), "backup")}
	l.run("backup", c.file, "--data", l.data)
	if l.server != nil {
		c.dump = filepath.Join(filepath.Dir(c.file), "dump")
		l.server.Run(l, "pg_dump", "--format=custom", "--file", c.dump, l.database)
	}
	return c
}

// restored is what `restore` says.
type restored struct {
	Ended   int    `json:"ended"`
	Seq     int64  `json:"journal_seq"`
	Keys    int    `json:"signing_keys_ended"`
	Enabled int    `json:"clients_enabled"`
	Epoch   string `json:"epoch"`
	Clients []struct {
		ClientID string `json:"client_id"`
		Ended    int    `json:"ended"`
	} `json:"clients"`
	Unknown []string `json:"not_known"`
}

// restore brings the copy back in a new place, which is not served yet.
func (c *copied) restore(flags ...string) (*ledger, restored) {
	l := &ledger{T: c.of.T, kek: c.of.kek, server: c.of.server, data: c.of.TempDir()}
	args := append([]string{"restore", c.file}, flags...)
	if l.server == nil {
		args = append(args, "--data", l.data)
	} else {
		l.database = l.server.URL(l)
		l.server.Run(l, "pg_restore", "--exit-on-error", "--dbname", l.database, c.dump)
		err := l.tryStart()
		for try := 0; try < 10 && err != nil && busy(err); try++ {
			err = l.tryStart()
		}
		if l.kill(); err == nil || !strings.Contains(err.Error(), "gatehouse restore") {
			l.Fatalf("a dump is served before it was restored: %v", err)
		}
		args = append(args, "--database", l.database)
	}
	var said restored
	l.must(json.Unmarshal(l.run(args...), &said))
	return l, said
}

// within waits until ok, for as long as a busy machine may need.
func (l *ledger) within(what string, ok func() bool) {
	l.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatal(what)
		}
	}
}

var background = context.Background()

// lastEntry is the newest entry of a journal file, or where it begins.
func lastEntry(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	last := int64(-1)
	for line := range bytes.Lines(b) {
		var l struct {
			From  int64 `json:"from"`
			Entry struct {
				Seq int64 `json:"seq"`
			} `json:"entry"`
		}
		if json.Unmarshal(line, &l) == nil {
			last = max(last, l.From, l.Entry.Seq)
		}
	}
	return last
}
