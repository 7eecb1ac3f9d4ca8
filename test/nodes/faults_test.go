package nodes_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// within is a promised time, and in the short form more than that: a machine
// that is busy with other tests need not keep it.
func within(promised time.Duration) time.Duration {
	if soak() {
		return promised
	}
	return 10 * promised
}

// A node is killed while it issues and revokes. What it acknowledged is on the
// ledger, and holds on the other node; the hash chains are whole.
func TestKilledNodeLosesNothing(t *testing.T) {
	kills := 3
	if soak() {
		kills = 100
	}
	start(t, 2).losesNothing(kills, 5*time.Second, killSoon)
}

func killSoon(victim *node, _ int) {
	time.Sleep(rand.N(100 * time.Millisecond))
	victim.kill()
}

// losesNothing has callers issue and revoke at the last node, which kill ends,
// again and again, and which is back within the promised time. What they had
// been told is true on the other nodes, and on this one when it is back; of what
// they had no answer to, nothing is there twice.
func (c *cluster) losesNothing(kills int, promised time.Duration, kill func(victim *node, n int)) {
	c.Helper()
	as, callers := c.client("oauth2", "live"), 8
	others, victim := c.nodes[:len(c.nodes)-1], c.nodes[len(c.nodes)-1]
	told, revoked, unanswered := 0, 0, 0
	var slowest time.Duration
	for n := range kills {
		k := &teller{told: map[string]bool{}, unclear: map[string]bool{}}
		calling := k.tell(victim, as, callers)
		for began := time.Now(); k.count() < 50 && time.Since(began) < 3*time.Minute; {
			time.Sleep(time.Millisecond)
		}
		kill(victim, n)
		calling.Wait()
		for _, other := range others {
			c.holds(k, other, as)
		}
		back := c.restart(victim)
		slowest = max(slowest, back)
		if back > within(promised) {
			c.Errorf("kill %d: it serves again after %v", n, back)
		}
		c.holds(k, victim, as)
		told += len(k.told)
		unanswered += callers - len(k.unclear) // requests for a token
		for _, is := range k.told {
			if is {
				revoked++
			}
		}
	}
	there, err := victim.ledger(as)
	c.must(err)
	c.Logf("%d kills, %d tokens acknowledged, %d of them revoked, none lost unless an error says so; of %d requests that had no answer %d were recorded; it serves again after %v at most",
		kills, told, revoked, unanswered, len(there)-told, slowest)
	if told == 0 || revoked == 0 || len(there) < told || len(there) > told+unanswered {
		c.Errorf("%d tokens are there", len(there))
	}
	c.auditIsClean()
}

// holds expects what was told. A revocation may take as long as a node may go on
// without the journal.
func (c *cluster) holds(k *teller, n *node, as demoClient) {
	c.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		lost, err := k.missing(n, as)
		c.must(err)
		if lost == 0 {
			return
		}
		if time.Since(began) > within(bound) {
			c.Errorf("%d of %d acknowledged tokens and revocations are lost", lost, len(k.told))
			return
		}
	}
}

// ledger lists the ids of a client's tokens.
func (n *node) ledger(as demoClient) (map[string]bool, error) {
	there := map[string]bool{}
	for cursor := ""; ; {
		args := []string{"token", "list", "--client", as.ClientID, "--limit", "1000"}
		if cursor != "" {
			args = append(args, "--cursor", cursor)
		}
		out, err := n.gatehouse("", args...)
		if err != nil {
			return nil, err
		}
		var list struct {
			Items []struct {
				TokenID string `json:"token_id"`
			} `json:"items"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal(out, &list); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			there[item.TokenID] = true
		}
		if cursor = list.Next; cursor == "" {
			return there, nil
		}
	}
}

// The database stops. Within the journal's bound every node fails closed, each
// answer comes within 2 s, and both serve again within 5 s of its return.
func TestDatabaseStops(t *testing.T) {
	c := start(t, 2)
	as := c.client("oauth2", "live")
	tok, err := c.nodes[0].issue(as)
	c.must(err)
	for _, n := range c.nodes {
		a, err := n.verify(tok, "live")
		c.must(err)
		if a.status != http.StatusOK {
			t.Fatalf("a fresh token gets %d", a.status)
		}
	}
	c.database.Stop(t)
	stopped := time.Now()
	var slowest time.Duration
	closed := map[*node]time.Duration{}
	for len(closed) < len(c.nodes) {
		for _, n := range c.nodes {
			a, err := postForm(as, n.url+"/oauth2/token", map[string][]string{"grant_type": {"client_credentials"}})
			c.must(err)
			if a.status != http.StatusServiceUnavailable {
				t.Fatalf("without a database, issuing gets %d %s", a.status, a.body)
			}
			slowest = max(slowest, a.took)
			began := time.Now()
			a, err = n.verify(tok, "live")
			c.must(err)
			slowest = max(slowest, a.took)
			switch {
			case a.status == http.StatusServiceUnavailable:
				if _, ok := closed[n]; !ok {
					closed[n] = time.Since(stopped)
				}
			case a.status != http.StatusOK:
				t.Fatalf("without a database, a token gets %d", a.status)
			case began.Sub(stopped) > bound:
				t.Fatalf("a token passes %v after the database stopped", began.Sub(stopped))
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.database.Restart(t)
	back := time.Now()
	for _, n := range c.nodes {
		for {
			a, err := n.verify(tok, "live")
			c.must(err)
			_, issueErr := n.issue(as)
			if a.status == http.StatusOK && issueErr == nil {
				break
			}
			if time.Since(back) > within(5*time.Second) {
				t.Fatalf("5 s after the database is back: %d, %v", a.status, issueErr)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	t.Logf("closed after %v and %v, slowest answer %v, back after %v", closed[c.nodes[0]], closed[c.nodes[1]], slowest, time.Since(back))
	if slowest > within(2*time.Second) {
		t.Errorf("an answer took %v", slowest)
	}
}
