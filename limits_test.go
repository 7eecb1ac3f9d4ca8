package gatehouse_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sharedlimit"
	"github.com/gatehouse-auth/gatehouse/sharedlimit/redistest"
)

// twin opens another engine on w's store, as another node would.
func (w *world) twin(t *testing.T, change func(*gatehouse.Config)) *gatehouse.Engine {
	t.Helper()
	cfg := w.cfg
	if change != nil {
		change(&cfg)
	}
	e, err := gatehouse.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// runs runs an engine's background work until the function returned is called.
func runs(t *testing.T, e *gatehouse.Engine) (stop func()) {
	t.Helper()
	running, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	stop = sync.OnceFunc(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, there func() bool) {
	t.Helper()
	for began := time.Now(); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal(what)
		}
	}
}

// granted issues until the limit is met.
func granted(t *testing.T, e *gatehouse.Engine, p *partner) int {
	t.Helper()
	for n := range 100 {
		_, err := e.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
		if err != nil {
			refused(t, err, gatehouse.RateLimited, gatehouse.ReasonRate)
			if after := gatehouse.AsError(err).RetryAfter; after <= 0 || after > time.Hour {
				t.Errorf("told to wait %v", after)
			}
			return n
		}
	}
	t.Fatal("there is no limit")
	return 0
}

func limited(count int) func(*gatehouse.NewClient) {
	return func(n *gatehouse.NewClient) { n.Limit = gatehouse.Rate{Count: count, Per: time.Hour} }
}

// Without a Redis each node gives its share, of limits and of free tries.
func TestNodesShareALimit(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) {
		c.Limits, c.ManyNodes, c.Now, c.MaxLag = true, true, time.Now, 0
	})
	p := w.partner(t, gatehouse.OAuth2, limited(7))
	first, second := w.Engine, w.twin(t, nil)
	if n := first.Nodes(); n != 1 {
		t.Errorf("a node that knows of no other counts %d", n)
	}
	runs(t, first)
	eventually(t, "the first isn't there", func() bool {
		there, err := w.store.Documents(ctx, "node", "", "", 10)
		return err == nil && len(there) == 1
	})
	stop := runs(t, second)
	eventually(t, "the second doesn't know of the first", func() bool { return second.Nodes() == 2 })
	if n := granted(t, second, p); n != 3 {
		t.Errorf("one of two nodes gave %d of 7", n)
	}
	tries := 0
	for {
		_, err := second.ProveClient(ctx, caller, gatehouse.ClientProof{Dialect: p.Dialect, ClientID: p.ID, Secret: secret.New("guess")})
		if gatehouse.AsError(err).Code == gatehouse.RateLimited {
			break
		}
		tries++
	}
	if tries != 2 {
		t.Errorf("one of two nodes let %d of 5 tries be free", tries)
	}
	stop()
	there, err := w.store.Documents(ctx, "node", "", "", 10)
	if err != nil || len(there) != 1 {
		t.Errorf("after one has ended there are %d, %v", len(there), err)
	}
}

// With a Redis two nodes give one limit, and slow down wrong secrets together;
// without an answer from it each counts for itself, and then together again.
func TestNodesCountTogether(t *testing.T) {
	server := redistest.Start(t)
	counter := func(c *gatehouse.Config) *sharedlimit.Counter {
		shared, err := sharedlimit.Open(t.Context(), server.URL(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shared.Close() })
		c.Limits, c.SharedLimits = true, shared
		return shared
	}
	counters := make([]*sharedlimit.Counter, 2)
	w := newWorld(t, func(c *gatehouse.Config) { counters[0] = counter(c) })
	p, alone, together := w.partner(t, gatehouse.OAuth2, limited(10)), w.partner(t, gatehouse.OAuth2, limited(10)), w.partner(t, gatehouse.OAuth2, limited(10))
	nodes := []*gatehouse.Engine{w.Engine, w.twin(t, func(c *gatehouse.Config) { counters[1] = counter(c) })}
	// A busy machine may make Redis too slow in between.
	losses := func() int64 { return counters[0].Losses() + counters[1].Losses() }
	both := func(lost bool) {
		t.Helper()
		eventually(t, "Redis is lost, or isn't", func() bool { return counters[0].Lost() == lost && counters[1].Lost() == lost })
	}
	both(false)
	if issued := w.issue(t, p, gatehouse.Live); issued.Limit.Limit != 10 || issued.Limit.Remaining != 9 {
		t.Errorf("the limit is %+v", issued.Limit)
	}
	if n := granted(t, nodes[1], p) + granted(t, nodes[0], p); n != 9 && losses() == 0 {
		t.Errorf("%d more were given, want 9", n)
	}

	attacker := gatehouse.Actor{Kind: gatehouse.ByClient, Addr: netip.MustParseAddr("198.51.100.7")}
	try := func(node int, s secret.Text) error {
		_, err := nodes[node].ProveClient(ctx, attacker, gatehouse.ClientProof{Dialect: p.Dialect, ClientID: p.ID, Secret: s})
		return err
	}
	for n := range 5 {
		refused(t, try(n%2, secret.New("guess")), gatehouse.InvalidClient, gatehouse.ReasonWrongSecret)
	}
	if losses() == 0 {
		for node := range nodes {
			refused(t, try(node, secret.New("guess")), gatehouse.RateLimited, gatehouse.ReasonWrongSecrets)
		}
	}
	if err := try(0, p.secrets[gatehouse.Live]); err != nil {
		t.Errorf("a right secret: %v", err)
	}
	if losses() == 0 {
		refused(t, try(1, secret.New("guess")), gatehouse.InvalidClient, gatehouse.ReasonWrongSecret)
	}

	server.Kill()
	for n := range nodes { // each notices when it asks
		_ = try(n, secret.New("guess"))
	}
	both(true)
	for i, e := range nodes {
		if n := granted(t, e, alone); n != 10 { // neither knows of the other
			t.Errorf("without Redis node %d gives %d", i, n)
		}
	}
	server.Restart(t)
	both(false)
	before := losses()
	if n := granted(t, nodes[0], together) + granted(t, nodes[1], together); n != 10 && losses() == before {
		t.Errorf("with Redis again they give %d", n)
	}
}
