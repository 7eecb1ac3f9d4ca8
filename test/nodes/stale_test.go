package nodes_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// bound is how long a node may go on without having read the journal.
const bound = 5 * time.Second

// goroutines is how many a node has, by its metrics.
func (n *node) goroutines() (int, error) {
	r, err := http.NewRequest(http.MethodGet, n.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	a, err := send(r)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(a.body))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.Atoi(text)
		}
	}
	return 0, lines.Err()
}

// A watched token is asked for at one node without a pause, until stopped.
type watched struct {
	node *node
	tok  string
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	passes []pass
	closed time.Time // when the first 503 came
	ends   time.Time // when the first 401 came
	asked  int
}

// A pass is an answer 200.
type pass struct{ asked, answered time.Time }

func watch(n *node, tok string) *watched {
	w := &watched{node: n, tok: tok, stop: make(chan struct{})}
	w.done.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			asked := time.Now()
			a, err := n.verify(tok, "live")
			if err != nil {
				continue // it is stopped
			}
			w.note(asked, a.status)
		}
	})
	return w
}

func (w *watched) note(asked time.Time, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	switch status {
	case http.StatusOK:
		w.passes = append(w.passes, pass{asked, time.Now()})
	case http.StatusServiceUnavailable:
		if w.closed.IsZero() {
			w.closed = time.Now()
		}
	case http.StatusUnauthorized:
		if w.ends.IsZero() {
			w.ends = time.Now()
		}
	}
}

// await waits until what of the watch is true.
func (w *watched) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		ok := is()
		w.mu.Unlock()
		if ok {
			return
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("in minutes the node did not %s", what)
		}
	}
}

func (w *watched) end() {
	close(w.stop)
	w.done.Wait()
}

// issueInVain has callers ask a node for tokens until the result is called,
// which tells the slowest answer and how many there were.
func issueInVain(n *node, as demoClient, callers int) func() (slowest time.Duration, tries int) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var calling sync.WaitGroup
	var longest time.Duration
	count := 0
	for range callers {
		calling.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				_, _ = n.issue(as)
				mu.Lock()
				longest, count = max(longest, time.Since(began)), count+1
				mu.Unlock()
			}
		})
	}
	return func() (time.Duration, int) {
		close(stop)
		calling.Wait()
		return longest, count
	}
}

// A token is revoked while one node's line to the database is half-open, another
// node is stopped (SIGSTOP) and a third hears no notices. Nothing passes anywhere
// after the bound; the half-open and the stopped one refuse everything until they
// have read the journal, and serve again soon after.
func TestNodeThatCannotKnowRefuses(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	var nodes []*node
	var lines []*postgrestest.Line
	for range 3 {
		line := postgrestest.NewLine(t, c.database.Addr())
		n := &node{data: t.TempDir()}
		if _, err := n.start(line.Through(c.url), c.kek); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = n.cmd.Process.Signal(syscall.SIGCONT)
			n.stop()
		})
		nodes, lines = append(nodes, n), append(lines, line)
	}
	as := c.client("oauth2", "live")
	revoked, err := c.nodes[0].issue(as)
	c.must(err)
	kept, err := c.nodes[0].issue(as)
	c.must(err)
	for _, n := range nodes {
		for _, tok := range []string{revoked, kept} {
			a, err := n.verify(tok, "live")
			c.must(err)
			if a.status != http.StatusOK {
				t.Fatalf("a fresh token gets %d", a.status)
			}
		}
	}
	halfOpen, stopped, deaf := nodes[0], nodes[1], nodes[2]
	before, err := halfOpen.goroutines()
	c.must(err)

	lines[0].Hang(true)
	lines[2].Deafen(true)
	watches := []*watched{watch(halfOpen, revoked), watch(stopped, revoked), watch(deaf, revoked), watch(halfOpen, kept), watch(stopped, kept)}
	c.must(stopped.cmd.Process.Signal(syscall.SIGSTOP))
	unreachable := time.Now()
	c.must(c.nodes[0].revoke(as, revoked))
	acknowledged := time.Now()
	issuing := issueInVain(halfOpen, as, 16)

	watches[2].await(t, "hear of the revocation without a notice", func() bool { return !watches[2].ends.IsZero() })
	unheard := time.Since(acknowledged)
	watches[0].await(t, "close", func() bool { return !watches[0].closed.IsZero() })
	watches[3].await(t, "close", func() bool { return !watches[3].closed.IsZero() })
	closedAfter := time.Since(unreachable)
	for time.Since(unreachable) < bound+time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	during, err := halfOpen.goroutines()
	c.must(err)

	slowest, tries := issuing()

	// The stopped one goes on. What it is asked first is what nobody had told it.
	c.must(stopped.cmd.Process.Signal(syscall.SIGCONT))
	continued := time.Now()
	lines[0].Hang(false)
	for _, i := range []int{0, 1} {
		watches[i].await(t, "refuse the revoked token", func() bool { return !watches[i].ends.IsZero() })
	}
	for _, i := range []int{3, 4} {
		watches[i].await(t, "serve again", func() bool {
			passes := watches[i].passes
			return len(passes) > 0 && passes[len(passes)-1].asked.After(continued)
		})
	}
	back := time.Since(continued)
	asked := 0
	for _, w := range watches {
		w.end()
		asked += w.asked
	}
	for i, name := range map[int]string{0: "half-open", 1: "stopped", 2: "deaf"} {
		for _, p := range watches[i].passes {
			if p.asked.After(unreachable.Add(bound)) {
				t.Errorf("%s: a revoked token passes %v after the node could know", name, p.asked.Sub(unreachable))
			}
		}
	}
	for _, p := range watches[1].passes {
		if p.asked.After(unreachable) && p.answered.After(continued) {
			t.Errorf("stopped: what was asked meanwhile passes %v after it went on", p.answered.Sub(continued))
		}
	}
	if unheard > within(2*time.Second) {
		t.Errorf("without notices a revocation holds after %v", unheard)
	}
	t.Logf("%d requests for tokens of the half-open one, the slowest answer after %v", tries, slowest)
	if slowest > within(2*time.Second) || tries == 0 {
		t.Errorf("an answer took %v", slowest)
	}
	t.Logf("%d questions: closed after %v, revoked without a notice after %v, serving again after %v, goroutines %d, %d in between",
		asked, closedAfter, unheard, back, before, during)
	if back > within(5*time.Second) {
		t.Errorf("serving again after %v", back)
	}
	if during > before+100 {
		t.Errorf("%d goroutines, of %d before", during, before)
	}
}
