package storetest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// A crowd is some callers that record tokens of many clients.
type crowd struct {
	testing.TB
	store   gatehouse.Store
	clients []*gatehouse.Client
	next    atomic.Int64
}

func newCrowd(b testing.TB, s gatehouse.Store) *crowd {
	const clients = 200
	c := &crowd{TB: b, store: s, clients: make([]*gatehouse.Client, clients)}
	errs := atOnce(clients, func(i int) error {
		c.clients[i] = newClient(named("crowd", i))
		return s.SaveClient(context.Background(), act("client.save", string(c.clients[i].ID), start), c.clients[i])
	})
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// record records so many tokens of one client that are issued now.
func (c *crowd) record(now time.Time, tokens int) error {
	// 7,919 is prime, so that neighbours in time are not neighbours in the index.
	client := c.clients[c.next.Add(1)*7_919%int64(len(c.clients))]
	g := grant(now)
	for range tokens {
		g.Tokens = append(g.Tokens, access(client, now))
	}
	return c.store.Record(context.Background(), g)
}

// fill records so many tokens, 50 at a time, which are issued now.
func (c *crowd) fill(rows int, now func() time.Time) {
	c.Helper()
	const callers, batch = 32, 50
	var left atomic.Int64
	left.Store(int64(rows))
	var filling sync.WaitGroup
	for range callers {
		filling.Go(func() {
			for n := left.Add(-batch); n > -batch && !c.Failed(); n = left.Add(-batch) {
				if err := c.record(now(), batch+int(min(n, 0))); err != nil {
					c.Error(err)
				}
			}
		})
	}
	filling.Wait()
	if c.Failed() {
		c.FailNow()
	}
}

// issue has 32 callers record tokens until stop is closed. It returns how many
// there were, and the longest that a caller waited.
func (c *crowd) issue(stop <-chan struct{}) (tokens int, longest time.Duration) {
	const callers = 32
	var mu sync.Mutex
	var issuing sync.WaitGroup
	for range callers {
		issuing.Go(func() {
			mine, most := 0, time.Duration(0)
			for open := true; open && !c.Failed(); {
				began := time.Now()
				if err := c.record(began, 1); err != nil {
					c.Error(err)
				}
				mine, most = mine+1, max(most, time.Since(began))
				select {
				case <-stop:
					open = false
				default:
				}
			}
			mu.Lock()
			tokens, longest = tokens+mine, max(longest, most)
			mu.Unlock()
		})
	}
	issuing.Wait()
	return tokens, longest
}

// rate is how many tokens a second 32 callers record.
func (c *crowd) rate(during time.Duration) float64 {
	began := time.Now()
	tokens, _ := c.issue(after(during))
	return float64(tokens) / time.Since(began).Seconds()
}

// BenchmarkGrowth measures issuing into a store with so many rows beside issuing
// into one with 1,000, in turn, for two seconds each.
func BenchmarkGrowth(b *testing.B, open func(testing.TB) gatehouse.Store, rows int) {
	large := newCrowd(b, open(b))
	began := time.Now()
	large.fill(rows, time.Now)
	b.Logf("%d rows were recorded in %v", rows, time.Since(began))
	var rates [2][]float64
	var ratios []float64
	for b.Loop() {
		small := newCrowd(b, open(b))
		small.fill(1_000, time.Now)
		a, z := small.rate(2*time.Second), large.rate(2*time.Second)
		b.Logf("with 1,000 rows %.0f/s, with %d %.0f/s: %.2f", a, rows, z, z/a)
		rates[0], rates[1], ratios = append(rates[0], a), append(rates[1], z), append(ratios, z/a)
	}
	b.ReportMetric(median(rates[0]), "small/s")
	b.ReportMetric(median(rates[1]), "large/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op") // says nothing
}

// BenchmarkExpiry measures how long it takes to expire so many tokens, and what
// callers that issue meanwhile wait at most.
func BenchmarkExpiry(b *testing.B, open func(testing.TB) gatehouse.Store, rows int) {
	c := newCrowd(b, open(b))
	var works, waits, usual []float64
	for b.Loop() {
		now := time.Now()
		old := now.Add(-3 * time.Hour)
		c.fill(rows, func() time.Time { return old })
		stop, issued := make(chan struct{}), make(chan struct{})
		var longest time.Duration
		_, before := c.issue(after(2 * time.Second))
		go func() {
			defer close(issued)
			_, longest = c.issue(stop)
		}()
		time.Sleep(time.Second) // they are at it
		began := time.Now()
		gone, err := c.store.Expire(context.Background(), now.Add(-time.Hour))
		work := time.Since(began)
		time.Sleep(time.Second) // what it left behind
		close(stop)
		<-issued
		if err != nil || gone.Tokens != rows {
			b.Fatalf("%+v, %v", gone, err)
		}
		b.Logf("%d tokens of %d partitions expired in %v; callers waited %v at most, without it %v", gone.Tokens, gone.Partitions, work, longest, before)
		works, waits, usual = append(works, work.Seconds()*1e3), append(waits, longest.Seconds()*1e3), append(usual, before.Seconds()*1e3)
	}
	b.ReportMetric(median(works), "work-ms")
	b.ReportMetric(median(waits), "longest-wait-ms")
	b.ReportMetric(median(usual), "usual-longest-wait-ms")
	b.ReportMetric(0, "ns/op") // says nothing
}

func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
