package nodes_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
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

// A node is killed while it issues. What it acknowledged is on the ledger, and
// passes on the other node; the hash chains are whole.
func TestKilledNodeLosesNothing(t *testing.T) {
	c := start(t, 2)
	as := c.client("oauth2", "live")
	kills := 3
	if soak() {
		kills = 100
	}
	lost, acknowledged := 0, 0
	for range kills {
		victim := c.nodes[1]
		var mu sync.Mutex
		var tokens []string
		var issuing sync.WaitGroup
		for range 8 {
			issuing.Go(func() {
				for {
					tok, err := victim.issue(as)
					if errors.Is(err, errRefused) {
						continue // it was too busy
					}
					if err != nil {
						return // it was killed
					}
					mu.Lock()
					tokens = append(tokens, tok)
					mu.Unlock()
				}
			})
		}
		for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(time.Millisecond) {
			mu.Lock()
			enough := len(tokens) >= 50
			mu.Unlock()
			if enough {
				break
			}
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		victim.kill()
		issuing.Wait()
		acknowledged += len(tokens)
		there, err := c.nodes[0].ledger(as)
		c.must(err)
		for _, tok := range tokens {
			a, err := c.nodes[0].verify(tok, "live")
			c.must(err)
			if a.status != http.StatusOK || !there[a.tokenID] {
				lost++
			}
		}
		began := time.Now()
		if _, err := victim.start(c.url, c.kek); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > within(5*time.Second) {
			t.Errorf("it serves again after %v", took)
		}
	}
	t.Logf("%d kills, %d tokens acknowledged, %d lost", kills, acknowledged, lost)
	if acknowledged == 0 || lost > 0 {
		t.Fail()
	}
	out, err := c.nodes[0].gatehouse("", "audit", "check")
	c.must(err)
	var audit struct {
		Clean bool `json:"clean"`
	}
	c.must(json.Unmarshal(out, &audit))
	if !audit.Clean {
		t.Errorf("the hash chains are broken: %s", out)
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
