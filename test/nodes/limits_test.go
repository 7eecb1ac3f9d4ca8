package nodes_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/sharedlimit/redistest"
)

// limited makes a client that may have so many tokens an hour.
func (c *cluster) limited(n *served, count int) demoClient {
	c.Helper()
	out, err := n.gatehouse("", "client", "create", "--name", "limited", "--dialect", "oauth2", "--environment", "live", "--limit-rate", fmt.Sprintf("%d/h", count))
	c.must(err)
	var made struct {
		Secrets []demoClient `json:"secrets"`
	}
	c.must(json.Unmarshal(out, &made))
	return made.Secrets[0]
}

// ask asks for a token as a proxy on loopback does, and returns the status and
// how long to wait before the next.
func (s *served) ask(as demoClient) (status int, retryAfter string, took time.Duration, err error) {
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+s.port+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return 0, "", 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.SetBasicAuth(as.ClientID, as.ClientSecret)
	began := time.Now()
	res, err := patient.Do(r)
	if err != nil {
		return 0, "", 0, err
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After"), time.Since(began), nil
}

// spend asks until the limit is met, and returns how many tokens there were.
func (c *cluster) spend(s *served, as demoClient) (given int, slowest time.Duration) {
	c.Helper()
	known := false // a client of another node's is known in a moment
	for began := time.Now(); time.Since(began) < time.Minute; {
		status, retryAfter, took, err := s.ask(as)
		c.must(err)
		slowest = max(slowest, took)
		switch {
		case status == http.StatusOK:
			known = true
			given++
		case status == http.StatusTooManyRequests:
			if n, err := strconv.Atoi(retryAfter); err != nil || n < 1 || n > 3600 {
				c.Errorf("429 with Retry-After %q", retryAfter)
			}
			return given, slowest
		case status == http.StatusServiceUnavailable: // a busy machine
		case known || status != http.StatusUnauthorized:
			c.Fatalf("asking gets %d", status)
		}
	}
	c.Fatal("there is no limit")
	return 0, 0
}

// metric reads one figure of a node.
func (c *cluster) metric(s *served, name string) float64 {
	c.Helper()
	r, err := http.NewRequest(http.MethodGet, s.admin+"/metrics", nil)
	c.must(err)
	a, err := send(r)
	c.must(err)
	for line := range strings.Lines(string(a.body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			c.must(err)
			return v
		}
	}
	c.Fatalf("%s/metrics has no %s", s.admin, name)
	return 0
}

func (c *cluster) await(what string, there func() bool) {
	c.Helper()
	for began := time.Now(); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			c.Fatal(what)
		}
	}
}

// Two nodes give one limit between them while Redis counts; without Redis each
// gives its half; and with it they give one again. Nobody waits for Redis.
func TestLimitOverNodes(t *testing.T) {
	server := redistest.Start(t)
	t.Setenv("GATEHOUSE_REDIS", server.URL().Reveal())
	c := start(t, 0)
	nodes := c.serve(2)
	shared := func(want float64) func() bool {
		return func() bool {
			return c.metric(nodes[0], "gatehouse_limits_shared") == want && c.metric(nodes[1], "gatehouse_limits_shared") == want
		}
	}
	losses := func() float64 {
		return c.metric(nodes[0], "gatehouse_redis_losses_total") + c.metric(nodes[1], "gatehouse_redis_losses_total")
	}
	const limit = 20
	together := func() {
		t.Helper()
		c.await("Redis stays lost", shared(1))
		before := losses()
		as := c.limited(nodes[0], limit)
		first, _ := c.spend(nodes[1], as)
		second, _ := c.spend(nodes[0], as)
		if first+second != limit && losses() == before { // else a busy machine made Redis too slow
			t.Errorf("two nodes gave %d and %d of %d", first, second, limit)
		}
	}
	together()
	c.await("the nodes don't know of each other", func() bool {
		return c.metric(nodes[0], "gatehouse_nodes") == 2 && c.metric(nodes[1], "gatehouse_nodes") == 2
	})
	ways := []string{"stopped"} // what is hardest on who asks
	if soak() {
		ways = append(ways, "killed")
	}
	for _, name := range ways {
		if name == "stopped" {
			server.Stop(t)
		} else {
			server.Kill()
		}
		as := c.limited(nodes[0], limit)
		for i, n := range nodes {
			given, slowest := c.spend(n, as)
			if given != limit/2 {
				t.Errorf("Redis %s: node %d gave %d of %d", name, i, given, limit)
			}
			t.Logf("Redis %s: the slowest answer took %v", name, slowest)
		}
		c.await("the nodes don't say that Redis is lost", shared(0))
		if name == "stopped" {
			server.Continue(t)
		} else {
			server.Restart(t)
		}
		together()
	}
}
