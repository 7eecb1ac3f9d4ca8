package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// benchStore is a store with n clients.
func benchStore(b testing.TB, n int, opt Options) (*Store, []*gatehouse.Client) {
	b.Helper()
	s := open(b, b.TempDir(), opt)
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

// BenchmarkRecord issues tokens for 2,000 clients from 32 callers at once.
func BenchmarkRecord(b *testing.B) {
	s, clients := benchStore(b, 2_000, Options{})
	b.SetParallelism(16) // of GOMAXPROCS: 32 callers on two cores
	var n atomic.Int64
	ctx := context.Background()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			// 7,919 is prime, so that neighbours in time are not neighbours in the index.
			c := clients[n.Add(1)*7_919%int64(len(clients))]
			if err := s.Record(ctx, issue(c, time.Now())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			b.ReportMetric(float64(info.Size())/float64(b.N), name+"-B/token")
		}
	}
}

// BenchmarkRecordAlone is what one caller waits.
func BenchmarkRecordAlone(b *testing.B) {
	s, clients := benchStore(b, 1, Options{})
	for b.Loop() {
		if err := s.Record(context.Background(), issue(clients[0], time.Now())); err != nil {
			b.Fatal(err)
		}
	}
}
