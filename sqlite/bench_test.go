package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

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
	must(b, s.read(ctx, func(v *view) error {
		return v.conn.rows("SELECT sum(groups) FROM partitions", func(st *sqlite.Stmt) error {
			b.ReportMetric(float64(b.N)/st.ColumnFloat(0), "tokens/commit")
			return nil
		})
	}))
	log, err := os.Stat(filepath.Join(s.dir, "gatehouse.db-wal"))
	must(b, err)
	b.ReportMetric(float64(log.Size()>>20), "log-MiB")
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)*999/1000].Microseconds()), "p99.9-µs")
	b.ReportMetric(float64(waits[len(waits)-1].Microseconds()), "longest-µs")
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

// BenchmarkExpire is how long dropping one full partition holds up writers.
func BenchmarkExpire(b *testing.B) {
	s, clients := benchStore(b, 2_000, Options{})
	for b.Loop() {
		b.StopTimer()
		now := time.Now()
		inParallel(b, 256, partitionRows, func(i int) error {
			return s.Record(context.Background(), issue(clients[i%len(clients)], now))
		})
		b.StartTimer()
		gone, err := s.Expire(context.Background(), now.Add(2*time.Hour))
		if err != nil || gone.Tokens != partitionRows {
			b.Fatalf("%+v, %v", gone, err)
		}
	}
}

// BenchmarkLoad loads a store with 65,536 revoked tokens.
func BenchmarkLoad(b *testing.B) {
	s, clients := benchStore(b, 1, Options{})
	now := time.Now()
	inParallel(b, 256, partitionRows, func(int) error {
		g := issue(clients[0], now)
		g.Tokens[0].Name = "nightly"
		return s.Record(context.Background(), g)
	})
	act := gatehouse.Act{At: now, By: actor, Action: "token.revoke"}
	began := time.Now()
	done, err := s.Revoke(context.Background(), act, gatehouse.Selection{Client: clients[0].ID, Name: "nightly"})
	if err != nil || done.Tokens != partitionRows {
		b.Fatalf("%+v, %v", done, err)
	}
	revoking := time.Since(began)
	for b.Loop() {
		snap, err := s.Load(context.Background(), now)
		if err != nil || len(snap.Revoked) != partitionRows {
			b.Fatalf("%d revoked, %v", len(snap.Revoked), err)
		}
	}
	b.ReportMetric(float64(revoking.Nanoseconds())/partitionRows, "ns/revoked")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/partitionRows, "ns/loaded")
}

// BenchmarkToken looks up opaque tokens in a ledger of several partitions.
func BenchmarkToken(b *testing.B) {
	s, clients := benchStore(b, 100, Options{})
	ids := make([]gatehouse.TokenID, 10_000)
	inParallel(b, 256, len(ids), func(i int) error {
		g := issue(clients[i%len(clients)], time.Now())
		g.Tokens[0].ExpiresAt = g.Tokens[0].ExpiresAt.Add(time.Duration(i%4) * time.Hour)
		ids[i] = g.Tokens[0].ID
		return s.Record(context.Background(), g)
	})
	i := 0
	for b.Loop() {
		if _, err := s.Token(context.Background(), ids[i*7_919%len(ids)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
