package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// benchStore is a store with n clients.
func benchStore(b testing.TB, n int) (*Store, []*gatehouse.Client) {
	b.Helper()
	s := open(b, postgrestest.Start(b).URL(b), Options{})
	clients := make([]*gatehouse.Client, n)
	for i := range clients {
		clients[i] = newClient(gatehouse.ClientID(fmt.Sprintf("client-%d", i)))
	}
	inParallel(b, 32, n, func(i int) error { return s.SaveClient(context.Background(), createAct, clients[i]) })
	return s, clients
}

// inParallel calls fn for each of n numbers from a number of goroutines.
func inParallel(t testing.TB, goroutines, n int, fn func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var running sync.WaitGroup
	for range goroutines {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// BenchmarkRecord issues tokens for 2,000 clients from 32 callers at once, as
// the benchmark of the same name of package sqlite does.
func BenchmarkRecord(b *testing.B) {
	s, clients := benchStore(b, 2_000)
	b.SetParallelism(16) // of GOMAXPROCS: 32 callers on two cores
	var n atomic.Int64
	ctx := context.Background()
	var mu sync.Mutex
	var waits []time.Duration
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mine := []time.Duration{}
		for pb.Next() {
			// 7,919 is prime, so that neighbours in time are not neighbours in the index.
			c := clients[n.Add(1)*7_919%int64(len(clients))]
			began := time.Now()
			if err := s.Record(ctx, issue(c, began)); err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, time.Since(began))
		}
		mu.Lock()
		waits = append(waits, mine...)
		mu.Unlock()
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	var groups float64
	must(b, s.reads.QueryRow(ctx, "SELECT sum(groups)::float8 FROM chains").Scan(&groups))
	b.ReportMetric(float64(b.N)/groups, "tokens/commit")
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)*999/1000].Microseconds()), "p99.9-µs")
	b.ReportMetric(float64(waits[len(waits)-1].Microseconds()), "longest-µs")
}

// BenchmarkRecordAlone is what one caller waits.
func BenchmarkRecordAlone(b *testing.B) {
	s, clients := benchStore(b, 1)
	for b.Loop() {
		if err := s.Record(context.Background(), issue(clients[0], time.Now())); err != nil {
			b.Fatal(err)
		}
	}
}
