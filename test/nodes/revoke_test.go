package nodes_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// Nodes that start at once on an empty database make one set of keys, one
// issuer, and one of them the demo clients.
func TestNodesThatStartTogetherAgree(t *testing.T) {
	c := start(t, 0)
	const together = 3
	nodes := make([]*node, together)
	errs := make([]error, together)
	var starting sync.WaitGroup
	for i := range nodes {
		nodes[i] = &node{data: t.TempDir()}
		starting.Go(func() { _, errs[i] = nodes[i].start(c.url, c.kek) })
	}
	starting.Wait()
	listed := 0
	for i, n := range nodes {
		c.must(errs[i])
		t.Cleanup(n.stop)
		if n.clientsItListed > 0 {
			listed++
		}
	}
	if listed != 1 {
		t.Errorf("%d nodes listed demo clients, want the first one only", listed)
	}
	for _, n := range nodes {
		out, err := n.gatehouse("", "key", "list")
		c.must(err)
		var list struct {
			Items []struct {
				Environment string `json:"environment"`
				Format      string `json:"format"`
				State       string `json:"state"`
			} `json:"items"`
		}
		c.must(json.Unmarshal(out, &list))
		count := map[string]int{}
		for _, k := range list.Items {
			count[k.Format+" "+k.Environment+" "+k.State]++
		}
		if len(count) == 0 {
			t.Error("there are no keys")
		}
		for what, n := range count {
			if n != 1 {
				t.Errorf("%d keys: %s", n, what)
			}
		}
	}
}

// Promise 3: what one node has acknowledged to be revoked is refused by all,
// while clients of each poll it: within 250 ms in 999 of 1,000 cases, never later
// than 2 s. Ten times that where other tests have the machine.
func TestRevokedOnOneRefusedOnAll(t *testing.T) {
	trials, slack := 210, time.Duration(10)
	if soak() {
		trials, slack = 6_000, 1
	}
	c := start(t, 3)
	as := c.client("oauth2", "live")
	const revokers = 6
	var mu sync.Mutex
	var waits []time.Duration
	var revoking sync.WaitGroup
	for r := range revokers {
		revoking.Go(func() {
			for i := range trials / revokers {
				mine, err := c.revokeUnderPollers(as, (r+i)%len(c.nodes))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				waits = append(waits, mine...)
				mu.Unlock()
			}
		})
	}
	revoking.Wait()
	if t.Failed() {
		return
	}
	slices.Sort(waits)
	at := func(share float64) time.Duration { return waits[min(len(waits)-1, int(share*float64(len(waits))))] }
	longest := waits[len(waits)-1]
	t.Logf("%d revocations polled on %d nodes: passes after the answer for p50 %v, p99 %v, p99.9 %v, longest %v",
		len(waits)/len(c.nodes), len(c.nodes), at(0.5), at(0.99), at(0.999), longest)
	if at(0.999) > slack*250*time.Millisecond || longest > slack*2*time.Second {
		t.Errorf("p99.9 %v, longest %v", at(0.999), longest)
	}
}

// revokeUnderPollers issues a token and revokes it, on one node, while each node
// is asked about it all the time. It returns for how long after the answer to
// the revocation the nodes let it pass.
func (c *cluster) revokeUnderPollers(as demoClient, on int) ([]time.Duration, error) {
	var tok string
	err := patiently(func() (err error) {
		tok, err = c.nodes[on].issue(as)
		return err
	})
	if err != nil {
		return nil, err
	}
	passed := make([]time.Time, len(c.nodes)) // when a request that passed last began
	errs := make([]error, len(c.nodes))
	var polling, warm sync.WaitGroup
	warm.Add(len(c.nodes))
	for i, n := range c.nodes {
		polling.Go(func() {
			seen := sync.OnceFunc(warm.Done)
			defer seen()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				began := time.Now()
				a, err := n.verify(tok, "live")
				switch {
				case err != nil:
					errs[i] = err
					return
				case a.status == http.StatusOK:
					passed[i] = began
					seen()
				case a.status == http.StatusUnauthorized && !passed[i].IsZero():
					return
				}
				if began.After(deadline) {
					errs[i] = fmt.Errorf("node %d still answers %d", i, a.status)
					return
				}
			}
		})
	}
	warm.Wait()
	err = patiently(func() error { return c.nodes[on].revoke(as, tok) })
	answered := time.Now()
	polling.Wait()
	waits := make([]time.Duration, len(c.nodes))
	for i := range waits {
		waits[i] = max(0, passed[i].Sub(answered))
	}
	return waits, errors.Join(append(errs, err)...)
}

// patiently asks again where a node refuses, as it does when the machine is too
// busy for its database.
func patiently(ask func() error) (err error) {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if err = ask(); !errors.Is(err, errRefused) {
			return err
		}
	}
	return err
}

// A client that is disabled on one node obtains nothing and passes nowhere,
// within 2 s.
func TestDisabledEverywhere(t *testing.T) {
	c := start(t, 2)
	as := c.client("oauth2", "live")
	tok, err := c.nodes[1].issue(as)
	c.must(err)
	_, err = c.nodes[0].gatehouse("", "client", "disable", as.ClientID)
	c.must(err)
	began := time.Now()
	for {
		a, err := c.nodes[1].verify(tok, "live")
		c.must(err)
		if a.status == http.StatusUnauthorized {
			break
		}
		if time.Since(began) > within(2*time.Second) {
			t.Fatal("it passes after 2 s")
		}
	}
	t.Logf("refused on the other node after %v", time.Since(began))
	for _, n := range c.nodes {
		if _, err := n.issue(as); !errors.Is(err, errRefused) {
			t.Errorf("it obtains a token: %v", err)
		}
	}
	_, err = c.nodes[1].gatehouse("", "client", "enable", as.ClientID)
	c.must(err)
	for began := time.Now(); ; {
		if _, err = c.nodes[0].issue(as); err == nil {
			break
		}
		if time.Since(began) > within(2*time.Second) {
			t.Fatal(err)
		}
	}
}
