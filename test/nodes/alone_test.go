package nodes_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

// startAlone runs one node on SQLite.
func startAlone(t *testing.T, change ...func(*node)) *cluster {
	built.NoteSources()
	t.Helper()
	var key [32]byte
	_, _ = rand.Read(key[:])
	n := &node{data: t.TempDir()}
	for _, to := range change {
		to(n)
	}
	c := &cluster{T: t, url: "sqlite:" + n.data, kek: base64.StdEncoding.EncodeToString(key[:]), nodes: []*node{n}}
	var err error
	c.clients, err = n.start(c.url, c.kek)
	c.must(err)
	t.Cleanup(n.stop)
	return c
}

// restart starts a node that has ended, and returns how long it took to answer.
func (c *cluster) restart(n *node) time.Duration {
	c.Helper()
	began := time.Now()
	if _, err := n.start(c.url, c.kek); err != nil {
		c.Fatal(err)
	}
	return time.Since(began)
}

// A teller issues and revokes at a node, and keeps what it was told.
type teller struct {
	mu      sync.Mutex
	told    map[string]bool // tokens that were given; whether they were revoked
	unclear map[string]bool // tokens whose revocation had no answer
}

// tell issues and revokes until the node doesn't answer any more.
func (k *teller) tell(n *node, as demoClient, callers int) (done *sync.WaitGroup) {
	done = &sync.WaitGroup{}
	for range callers {
		done.Go(func() {
			for i := 0; ; i++ {
				tok, err := n.issue(as)
				if errors.Is(err, errRefused) {
					continue // it was too busy
				}
				if err != nil {
					return
				}
				k.note(tok, false)
				if i%3 > 0 {
					continue
				}
				if err := n.revoke(as, tok); err != nil {
					k.mu.Lock()
					k.unclear[tok] = true
					k.mu.Unlock()
					return
				}
				k.note(tok, true)
			}
		})
	}
	return done
}

func (k *teller) note(tok string, revoked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[tok] = revoked
}

func (k *teller) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.told)
}

// missing counts the tokens that are not what was told.
func (k *teller) missing(n *node, as demoClient) (int, error) {
	there, err := n.ledger(as)
	if err != nil {
		return 0, err
	}
	lost := 0
	for tok, revoked := range k.told {
		a, err := n.verify(tok, "live")
		if err != nil {
			return 0, err
		}
		switch {
		case k.unclear[tok]:
		case revoked && a.status != http.StatusUnauthorized, !revoked && (a.status != http.StatusOK || !there[a.tokenID]):
			lost++
		}
	}
	return lost, nil
}

func (c *cluster) auditIsClean() {
	c.Helper()
	out, err := c.nodes[0].gatehouse("", "audit", "check")
	c.must(err)
	var audit struct {
		Clean bool `json:"clean"`
	}
	c.must(json.Unmarshal(out, &audit))
	if !audit.Clean {
		c.Errorf("the hash chains are broken: %s", out)
	}
}

// One node on SQLite is killed again and again while it issues and revokes.
func TestKilledAloneLosesNothing(t *testing.T) {
	t.Parallel()
	kills := 3
	if soak() {
		kills = 100
	}
	startAlone(t).losesNothing(kills, 2*time.Second, killSoon)
}

// inject has system calls of a running node on a file fail, until the result is
// called: strace attaches to it, and lets go again.
func (c *cluster) inject(n *node, file, calls, fault string) (heal func()) {
	c.Helper()
	cmd := exec.Command("strace", "-f", "-p", strconv.Itoa(n.cmd.Process.Pid), "-o", os.DevNull,
		"-P", file, "-e", "trace="+calls, "-e", "inject="+calls+":"+fault)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	said, err := cmd.StderrPipe()
	c.must(err)
	if err := cmd.Start(); err != nil {
		c.Fatalf("test/prerequisites installs strace: %v", err)
	}
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.Fatalf("strace says: %s", lines.Text())
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines.Scan() { // what it says of threads
		}
	})
	return sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reading.Wait()
		_ = cmd.Wait()
	})
}

// issueSome issues so many tokens.
func (c *cluster) issueSome(k *teller, n *node, as demoClient, count int) {
	c.Helper()
	for range count {
		tok, err := n.issue(as)
		c.must(err)
		k.note(tok, false)
	}
}

// nothingMore expects what was told, and no token beside.
func (c *cluster) nothingMore(k *teller, n *node, as demoClient) {
	c.Helper()
	lost, err := k.missing(n, as)
	c.must(err)
	there, err := n.ledger(as)
	c.must(err)
	if lost > 0 || len(there) != len(k.told) {
		c.Errorf("%d of %d tokens are lost, %d are there", lost, len(k.told), len(there))
	}
}

// The disk is full for a while. Requests that need it get 503, tokens pass, and
// nothing of what was refused is there when it goes on.
func TestFullDiskOfANode(t *testing.T) {
	t.Parallel()
	c := startAlone(t)
	as, n := c.client("oauth2", "live"), c.nodes[0]
	k := &teller{told: map[string]bool{}}
	c.issueSome(k, n, as, 3)
	times := 1
	if soak() {
		times = 20
	}
	refused := 0
	for range times {
		heal := c.inject(n, filepath.Join(n.data, "gatehouse.db-wal"), "pwrite64", "error=ENOSPC")
		for range 3 {
			a, err := postForm(as, n.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
			c.must(err)
			if a.status != http.StatusServiceUnavailable {
				t.Errorf("issuing gets %d %s", a.status, a.body)
			}
			refused++
			for tok := range k.told {
				a, err := n.verify(tok, "live")
				c.must(err)
				if a.status != http.StatusOK {
					t.Errorf("meanwhile a token gets %d", a.status)
				}
			}
		}
		heal()
		c.issueSome(k, n, as, 1)
	}
	c.nothingMore(k, n, as)
	c.auditIsClean()
	t.Logf("%d times full, %d requests refused with 503", times, refused)
}

// A sync or a write of the log fails. The node ends by itself, with a status
// that has it started again, and has all that was acknowledged.
func TestFailingDiskOfANode(t *testing.T) {
	t.Parallel()
	c := startAlone(t)
	as, n := c.client("oauth2", "live"), c.nodes[0]
	k := &teller{told: map[string]bool{}}
	times := 1
	if soak() {
		times = 20
	}
	unclear := 0
	for range times {
		for _, calls := range []string{"fsync,fdatasync", "pwrite64"} {
			c.issueSome(k, n, as, 3)
			heal := c.inject(n, filepath.Join(n.data, "gatehouse.db-wal"), calls, "error=EIO")
			if tok, err := n.issue(as); err == nil {
				t.Errorf("with a disk that fails %s, a token was given", calls)
				k.note(tok, false)
			} else {
				unclear++
			}
			hangs := time.AfterFunc(time.Minute, func() { _ = n.cmd.Process.Kill() })
			err := n.cmd.Wait()
			hangs.Stop()
			heal()
			var status *exec.ExitError
			if !errors.As(err, &status) || status.ExitCode() != 1 {
				t.Fatalf("with a disk that fails %s, the node ended with: %v", calls, err)
			}
			c.restart(n)
		}
	}
	lost, err := k.missing(n, as)
	c.must(err)
	there, err := n.ledger(as)
	c.must(err)
	t.Logf("%d failures, %d tokens given, %d lost; of %d requests that had no answer %d were recorded",
		2*times, len(k.told), lost, unclear, len(there)-len(k.told))
	if lost > 0 || len(there) > len(k.told)+unclear {
		t.Fail()
	}
	c.auditIsClean()
}
