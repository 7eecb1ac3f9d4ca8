package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// benchStore is a store with n clients, each with a secret in both
// environments.
func benchStore(b testing.TB, n int, opt Options) (*Store, []*gatehouse.Client) {
	b.Helper()
	s, err := Open(context.Background(), b.TempDir(), opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	now := time.Now()
	clients := make([]*gatehouse.Client, n)
	for i := range clients {
		id := gatehouse.ClientID(fmt.Sprintf("client-%d", i))
		c := &gatehouse.Client{
			ID: id, IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Sandbox: id, gatehouse.Live: id},
			Name: "bench", Dialect: gatehouse.OAuth2, Scopes: []string{"read", "write"}, State: gatehouse.Enabled, CreatedAt: now,
		}
		for _, env := range gatehouse.Environments {
			c.Secrets = append(c.Secrets, gatehouse.ClientSecret{ID: token.NewID(now), Environment: env, Digest: make([]byte, 32), CreatedAt: now})
		}
		clients[i] = c
	}
	var next atomic.Int64
	done := make(chan error, 32)
	for range cap(done) {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					done <- nil
					return
				}
				act := gatehouse.Act{At: now, By: gatehouse.System("bench"), Action: "client.create", Subject: string(clients[i].ID)}
				if err := s.SaveClient(context.Background(), act, clients[i]); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return s, clients
}

// issue is what one client-credentials request for an opaque token records.
func issue(c *gatehouse.Client, now time.Time) *gatehouse.Grant {
	id := token.NewID(now)
	return &gatehouse.Grant{
		At: now,
		Tokens: []gatehouse.TokenRecord{{
			ID: id, Kind: gatehouse.AccessToken, Client: c.ID, Environment: gatehouse.Live, Dialect: c.Dialect, Scopes: c.Scopes,
			Secret: c.Secrets[1].ID, Digest: append(id[:], id[:]...), IssuedAt: now, ExpiresAt: now.Add(time.Hour).Truncate(time.Second),
		}},
		By: gatehouse.Actor{Kind: gatehouse.ByClient, ID: string(c.ID)},
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
