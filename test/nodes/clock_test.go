package nodes_test

import (
	"bufio"
	"encoding/base64"
	byteorder "encoding/binary"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/doctor"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/token"
)

// movable is the server, which reads the wall clock by way of testdata/movedclock.
var movable = sync.OnceValues(func() (string, error) {
	dir := filepath.Dir(binary)
	files := map[string]string{}
	for _, name := range []string{"clock.go", "clock_amd64.s", "clock_arm64.s"} {
		from, err := filepath.Abs("testdata/movedclock/" + name)
		if err != nil {
			return "", err
		}
		to, err := filepath.Abs("../../cmd/gatehouse/moved" + name)
		if err != nil {
			return "", err
		}
		files[to] = from
	}
	instead, err := json.Marshal(map[string]map[string]string{"Replace": files})
	if err != nil {
		return "", err
	}
	overlay, server := filepath.Join(dir, "movable.json"), filepath.Join(dir, "gatehouse-movable")
	if err := os.WriteFile(overlay, instead, 0o600); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", server, "../../cmd/gatehouse")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	return server, build.Run()
})

// A wallClock is that of one machine: its processes' own, as the monotonic
// clock goes on when a machine's is set.
type wallClock struct {
	*testing.T
	file *os.File
}

func newWallClock(t *testing.T) *wallClock {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	w := &wallClock{t, file}
	w.set(0)
	return w
}

// set has the clock show a time ahead of the real one.
func (w *wallClock) set(ahead time.Duration) {
	w.Helper()
	seconds := byteorder.NativeEndian.AppendUint64(nil, uint64(ahead/time.Second))
	if _, err := w.file.WriteAt(seconds, 0); err != nil {
		w.Fatal(err)
	}
}

// of puts a node on the clock's machine.
func (w *wallClock) of(n *node) {
	w.Helper()
	var err error
	if n.server, err = movable(); err != nil {
		w.Fatalf("building a server with a clock to move: %v", err)
	}
	n.env = append(n.env, "GATEHOUSE_TEST_CLOCK="+w.file.Name())
}

// A timekeeper knows what must pass at a node and what must not, whatever its
// clock has been set to meanwhile.
type timekeeper struct {
	*cluster
	node   *node
	as     demoClient
	lives  []string
	ended  []string
	newest token.ID
}

// issue gets a JWT and an opaque token, which pass, and are in order of time
// with those before.
func (k *timekeeper) issue() (jwt, opaque string) {
	k.Helper()
	k.must(patiently(func() (err error) {
		jwt, err = k.node.issue(k.as)
		return err
	}))
	opaque = k.opaque(k.node)
	for _, tok := range []string{jwt, opaque} {
		k.awaitAt(k.node, tok, http.StatusOK)
		a, err := k.node.verify(tok, "live")
		k.must(err)
		id, err := token.ParseID(a.tokenID)
		k.must(err)
		if id.Time().Before(k.newest.Time()) {
			k.Errorf("a token's id is of %v, after one of %v", id.Time(), k.newest.Time())
		}
		k.newest = id
	}
	k.lives = append(k.lives, jwt, opaque)
	return jwt, opaque
}

// opaque gets a token from a node that must be looked up.
func (c *cluster) opaque(n *node) string {
	c.Helper()
	out, err := n.gatehouse("", "token", "issue", "--client", c.client("su", "live").ClientID, "--environment", "live")
	c.must(err)
	var said struct {
		AccessToken string `json:"access_token"`
	}
	c.must(json.Unmarshal(out, &said))
	return said.AccessToken
}

// awaitAt waits until the node has caught up with its journal after its clock
// was set, and expects that answer first.
func (c *cluster) awaitAt(n *node, tok string, want int) {
	c.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		a, err := n.verify(tok, "live")
		c.must(err)
		if a.status == want {
			return
		}
		if a.status != http.StatusServiceUnavailable || time.Since(began) > time.Minute {
			c.Fatalf("a token gets %d %s, not %d", a.status, a.body, want)
		}
	}
}

// end says that what has lived until now doesn't any more.
func (k *timekeeper) end() { k.ended, k.lives = append(k.ended, k.lives...), nil }

// holds expects every token to be what it was, and the node to go on issuing
// by a key that it publishes.
func (k *timekeeper) holds(when string) {
	k.Helper()
	for _, tok := range k.ended {
		k.awaitAt(k.node, tok, http.StatusUnauthorized)
	}
	for _, tok := range k.lives {
		k.awaitAt(k.node, tok, http.StatusOK)
	}
	jwt, _ := k.issue()
	if k.Failed() {
		k.Fatalf("that was %s", when)
	}
	k.published(k.node, jwt)
}

// published expects the key that signed a token in a node's key set.
func (c *cluster) published(n *node, jwt string) {
	c.Helper()
	encoded, _, _ := strings.Cut(jwt, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	c.must(err)
	var by struct {
		KeyID string `json:"kid"`
		Rest  any    `json:",unknown"`
	}
	c.must(json.Unmarshal(header, &by))
	r, err := http.NewRequest(http.MethodGet, n.url+"/.well-known/jwks.json?environment=live", nil)
	c.must(err)
	a, err := send(r)
	c.must(err)
	if !strings.Contains(string(a.body), `"`+by.KeyID+`"`) {
		c.Fatalf("key %s is not in the key set: %s", by.KeyID, a.body)
	}
}

// doctorSays waits until doctor finds that of clocks.
func (c *cluster) doctorSays(n *node, what string) {
	c.Helper()
	want := regexp.MustCompile(what)
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := n.gatehouse("", "doctor")
		var said struct {
			Server   string           `json:"server"`
			Findings []doctor.Finding `json:"findings"`
		}
		if json.Unmarshal(out, &said) != nil {
			c.Fatal(err)
		}
		found := ""
		for _, f := range said.Findings {
			if strings.HasPrefix(f.Check, "clock-") {
				found += f.What + "\n"
			}
		}
		if want.MatchString(found) {
			return
		}
		if time.Since(began) > time.Minute {
			c.Fatalf("doctor finds %q, want %s", found, what)
		}
	}
}

// guess shows wrong secrets until the answer is that.
func (k *timekeeper) guess(want int) {
	k.Helper()
	guess := k.as
	guess.ClientSecret += "x"
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		a, err := postForm(guess, k.node.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
		k.must(err)
		if a.status == want {
			return
		}
		if time.Since(began) > time.Minute {
			k.Fatalf("a wrong secret gets %d %s, not %d", a.status, a.body, want)
		}
	}
}

// tidied waits until what expired more than a day ago has left the ledger, and
// keys that had signed for their time don't any more.
func (k *timekeeper) tidied() {
	k.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		there, err := k.node.ledger(k.as)
		k.must(err)
		out, err := k.node.gatehouse("", "key", "list")
		k.must(err)
		if len(there) == 1 && strings.Contains(string(out), `"retired"`) {
			return
		}
		if time.Since(began) > 3*time.Minute {
			k.Fatalf("in minutes %d tokens are left, of keys %s", len(there), out)
		}
	}
}

// The clock of a node on SQLite is set forward and back while it runs, and is
// behind when it is started again. What has ended once stays so.
func TestClockSetForwardAndBack(t *testing.T) {
	t.Parallel()
	clock := newWallClock(t)
	c := startAlone(t, clock.of, func(n *node) { n.flags = []string{"--limits"} })
	k := &timekeeper{cluster: c, node: c.nodes[0], as: c.client("oauth2", "live")}
	k.holds("at first")
	revoked, _ := k.issue()
	c.must(k.node.revoke(k.as, revoked))
	k.lives = slices.DeleteFunc(k.lives, func(tok string) bool { return tok == revoked })
	k.ended = append(k.ended, revoked)

	clock.set(2 * time.Hour)
	k.end()
	// Nothing has been issued since: the ledger's rows don't tell the time.
	for _, tok := range k.ended {
		c.awaitAt(k.node, tok, http.StatusUnauthorized)
	}
	k.node.stop()
	clock.set(0)
	c.restart(k.node)
	k.holds("after a start with the clock back")

	const month = 31 * 24 * time.Hour
	clock.set(month)
	k.end()
	k.holds("a month ahead")
	if soak() { // what is due is done each minute
		k.tidied()
	}
	c.restart(k.node.ended()) // keys that are due rotate
	k.holds("a month ahead, started again")
	revoked, _ = k.issue()
	c.must(k.node.revoke(k.as, revoked))
	k.lives = slices.DeleteFunc(k.lives, func(tok string) bool { return tok == revoked })
	k.ended = append(k.ended, revoked)
	k.guess(http.StatusTooManyRequests)
	clock.set(month - 10*time.Minute)
	k.guess(http.StatusUnauthorized) // it isn't too soon until the clock is there again
	for _, back := range []time.Duration{10 * time.Minute, 25 * time.Hour, month} {
		clock.set(month - back)
		k.holds("set back by " + back.String())
		c.doctorSays(k.node, `the machine's clock is .* behind a time that`)
	}
	k.node.kill()
	c.restart(k.node)
	k.holds("after a kill with the clock back")
	c.auditIsClean()
}

// ended is the node, stopped.
func (n *node) ended() *node {
	n.stop()
	return n
}

// Of two nodes one has its clock moved. What it says is judged by the other's,
// ten seconds of which pass; each refuses what has expired by its own clock, and
// what either revokes or rotates holds on both.
func TestClocksOfNodesApart(t *testing.T) {
	t.Parallel()
	clock := newWallClock(t)
	c := start(t, 1)
	right, moved := c.nodes[0], c.join(clock.of)
	c.nodes = append(c.nodes, moved)
	as := c.client("oauth2", "live")
	k := &timekeeper{cluster: c, node: moved, as: as}
	issue := func(n *node) (tok string) {
		t.Helper()
		c.must(patiently(func() (err error) {
			tok, err = n.issue(as)
			return err
		}))
		c.published(n, tok)
		return tok
	}
	revoked := func(by *node, tok string) {
		t.Helper()
		c.must(patiently(func() error { return by.revoke(as, tok) }))
		k.ended = append(k.ended, tok)
		c.awaitStatus(tok, http.StatusUnauthorized)
	}
	atFirst := issue(right)

	clock.set(5 * time.Second) // apart, but tolerated
	for _, n := range c.nodes {
		tok := issue(n)
		c.awaitStatus(tok, http.StatusOK)
		revoked(c.other(n), tok)
	}

	clock.set(10 * time.Minute)
	old, early := issue(right), issue(moved)
	c.awaitAt(moved, old, http.StatusOK)
	c.awaitAt(moved, early, http.StatusOK)
	c.awaitAt(right, early, http.StatusUnauthorized) // not yet valid
	c.awaitStatus(c.opaque(moved), http.StatusOK)
	revoked(right, issue(right))
	revoked(moved, issue(right))
	revoked(right, early)
	for range 2 { // the second time a key signs that was made ahead of the right clock
		_, err := moved.gatehouse("", "key", "rotate", "--environment", "live")
		c.must(err)
	}
	c.awaitStatus(issue(right), http.StatusOK)
	c.awaitStatus(old, http.StatusOK)
	// Nodes say every five seconds what their clocks show.
	c.doctorSays(right, `the clock of node .* is (9m[345]\ds|10m\d+s) ahead of this one`)
	c.doctorSays(moved, `the clock of the database .* is (9m5\ds|10m\d+s) behind this machine's`)
	c.doctorSays(moved, `the clock of the server is (9m5\ds|10m\d+s) ahead of this machine's`)

	clock.set(2 * time.Hour)
	c.awaitAt(moved, atFirst, http.StatusUnauthorized)
	c.awaitAt(right, atFirst, http.StatusOK)
	c.noted(time.Now().Add(time.Hour))
	moved.kill() // it has written nothing else since
	clock.set(0)
	c.restart(moved)
	c.awaitAt(moved, atFirst, http.StatusUnauthorized)
	clock.set(3 * time.Hour)
	issue(moved)
	c.awaitAt(right, issue(right), http.StatusOK)

	for _, back := range []time.Duration{0, -23 * time.Hour} {
		clock.set(back)
		c.awaitAt(moved, atFirst, http.StatusUnauthorized)
		for _, tok := range k.ended {
			c.awaitStatus(tok, http.StatusUnauthorized)
		}
		c.awaitAt(moved, issue(moved), http.StatusOK)
		c.awaitAt(right, issue(right), http.StatusOK)
		c.doctorSays(moved, `the machine's clock is .* behind a time that`)
	}
	c.restart(moved.ended())
	c.awaitAt(moved, atFirst, http.StatusUnauthorized)
	for _, tok := range k.ended {
		c.awaitStatus(tok, http.StatusUnauthorized)
	}
	c.awaitAt(moved, issue(moved), http.StatusOK)
	c.restart(right.ended()) // a node that starts begins at the newest time on the ledger
	for _, n := range c.nodes {
		c.awaitStatus(issue(n), http.StatusOK)
	}
	c.auditIsClean()
}

// noted waits until a node has noted that it is later than that.
func (c *cluster) noted(at time.Time) {
	c.Helper()
	s, err := postgres.Open(c.Context(), c.url, postgres.Options{})
	c.must(err)
	defer func() { c.must(s.Close()) }()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var noted time.Time
		doc, err := s.Document(c.Context(), "clock", "newest")
		if err == nil {
			err = noted.UnmarshalText(doc.Value)
		}
		if err == nil && noted.After(at) {
			return
		}
		if time.Since(began) > 20*time.Second { // each minute it would be noted anyway
			c.Fatalf("noted is %v, %v", noted, err)
		}
	}
}

// other is the node beside this one.
func (c *cluster) other(n *node) *node { return c.nodes[1-slices.Index(c.nodes, n)] }

// The clock of a far gate's machine is set forward while the gate follows a
// node. It doesn't know how old its knowledge is, until it has asked anew; set
// back, it goes on.
func TestClockOfAFarGate(t *testing.T) {
	t.Parallel()
	clock := newWallClock(t)
	c := startAlone(t)
	as, n := c.client("oauth2", "live"), c.nodes[0]
	gate := c.farGate(n, clock)
	tok, err := n.issue(as)
	c.must(err)
	gone, err := n.issue(as)
	c.must(err)
	for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		clock.set(ahead)
		c.awaitAt(gate, tok, http.StatusOK)
	}
	c.must(n.revoke(as, gone))
	c.awaitGone(gate, gone)
	clock.set(2 * time.Hour)
	c.awaitAt(gate, tok, http.StatusUnauthorized)
	clock.set(0)
	for _, tok := range []string{tok, gone} {
		c.awaitAt(gate, tok, http.StatusUnauthorized)
	}
}

// awaitGone waits until a gate has heard of a revocation.
func (c *cluster) awaitGone(gate *node, tok string) {
	c.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		a, err := gate.verify(tok, "live")
		c.must(err)
		if a.status == http.StatusUnauthorized {
			return
		}
		if time.Since(began) > time.Minute {
			c.Fatalf("a revoked token gets %d", a.status)
		}
	}
}

// farGate runs `gatehouse gate` on the clock's machine, following a node. Of the
// result only verify is of use.
func (c *cluster) farGate(follows *node, clock *wallClock) *node {
	c.Helper()
	out, err := follows.gatehouse("", "client", "create", "--name", "edge", "--dialect", "oauth2", "--environment", "live", "--scope", "gatehouse:gate")
	c.must(err)
	var made struct {
		ID      string `json:"client_id"`
		Secrets []struct {
			Secret string `json:"client_secret"`
		} `json:"secrets"`
	}
	c.must(json.Unmarshal(out, &made))
	config := filepath.Join(c.TempDir(), "gate.yaml")
	c.must(os.WriteFile(config, []byte("listen: 127.0.0.1:0\nauthority: "+follows.url+"\nenvironment: live\nclient_id: "+made.ID+"\nclient_secret: ${GATE_SECRET}\n"), 0o600))
	gate := &node{}
	clock.of(gate)
	gate.cmd = exec.Command(gate.server, "gate", "--config", config)
	gate.cmd.Env = append(append(os.Environ(), "GATE_SECRET="+made.Secrets[0].Secret), gate.env...)
	gate.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := gate.cmd.StderrPipe()
	c.must(err)
	c.must(gate.cmd.Start())
	lines := bufio.NewScanner(log)
	var said struct {
		Message string `json:"msg"`
		URL     string `json:"url"`
	}
	for said.URL == "" && lines.Scan() {
		c.must(json.Unmarshal(lines.Bytes(), &said))
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines.Scan() { // else it waits for who reads its log
		}
	})
	c.Cleanup(func() {
		_ = gate.cmd.Process.Signal(syscall.SIGTERM)
		reading.Wait()
		_ = gate.cmd.Wait()
	})
	gate.url = said.URL
	return gate
}
