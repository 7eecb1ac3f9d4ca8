package sharedlimit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sharedlimit/redistest"
)

// A journal is a log that tests read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

func open(t *testing.T, url secret.Text) (*Counter, *journal) {
	t.Helper()
	log := &journal{}
	c, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, log
}

// patient is an open Counter that waits for its answers, however busy the
// machine is: what came too late may have been counted.
func patient(t *testing.T, url secret.Text) *Counter {
	t.Helper()
	c, _ := open(t, url)
	for began := time.Now(); c.Lost(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("Redis stays lost")
		}
	}
	c.within = time.Minute
	return c
}

// asked is called again where a busy machine made Redis too slow.
func asked[T any](t *testing.T, c *Counter, fn func() (T, error)) T {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		v, err := fn()
		if err == nil {
			return v
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal(err)
		}
	}
}

var backoff = gatehouse.Backoff{Free: 3, First: 200 * time.Millisecond, Longest: time.Second, Kept: time.Minute}

// Exactly the limit is given, whatever its fractions, to all nodes together.
func TestLimitIsExactOverNodes(t *testing.T) {
	server := redistest.Start(t)
	a, b := patient(t, server.URL()), patient(t, server.URL())
	for i, count := range []int{1, 3, 7, 60, 997} {
		allowed := gatehouse.Rate{Count: count, Per: time.Hour}
		for n := range count {
			c := []*Counter{a, b}[n%2]
			taken := asked(t, c, func() (gatehouse.Taken, error) { return c.Take(t.Context(), fmt.Sprint(i), allowed) })
			if taken.Wait != 0 || taken.Remaining != count-n-1 {
				t.Fatalf("%d an hour: number %d gets %+v", count, n+1, taken)
			}
		}
		taken := asked(t, b, func() (gatehouse.Taken, error) { return b.Take(t.Context(), fmt.Sprint(i), allowed) })
		each := time.Hour / time.Duration(count)
		if taken.Wait <= 0 || taken.Wait > each || taken.Remaining != 0 || taken.Reset > time.Hour {
			t.Errorf("%d an hour: one more gets %+v", count, taken)
		}
	}
}

// What is used comes back at the rate of the limit.
func TestLimitComesBack(t *testing.T) {
	c := patient(t, redistest.Start(t).URL())
	allowed := gatehouse.Rate{Count: 2, Per: 400 * time.Millisecond}
	began, given := time.Now(), 0
	for time.Since(began) < 2*time.Second {
		if taken, err := c.Take(t.Context(), "k", allowed); err == nil && taken.Wait == 0 {
			given++
		}
		time.Sleep(5 * time.Millisecond)
	}
	most := 2 + int(time.Since(began)/(200*time.Millisecond))
	if given > most || given < 3 {
		t.Errorf("%d events in %v", given, time.Since(began))
	}
}

func TestManyAtOnceGetTheLimit(t *testing.T) {
	server := redistest.Start(t)
	a, b := patient(t, server.URL()), patient(t, server.URL())
	var given atomic.Int64
	var asking sync.WaitGroup
	for i := range 32 {
		asking.Go(func() {
			for range 40 {
				taken, err := []*Counter{a, b}[i%2].Take(context.Background(), "hot", gatehouse.Rate{Count: 100, Per: time.Hour})
				if err != nil {
					t.Error(err)
				} else if taken.Wait == 0 {
					given.Add(1)
				}
			}
		})
	}
	asking.Wait()
	if g := given.Load(); g != 100 {
		t.Errorf("%d of 1,280 were allowed, want 100", g)
	}
}

func TestWrongTries(t *testing.T) {
	server := redistest.Start(t)
	c := patient(t, server.URL())
	wrong := func() (before, after gatehouse.Tries) {
		both := asked(t, c, func() ([2]gatehouse.Tries, error) {
			b, a, err := c.Wrong(t.Context(), "k", backoff)
			return [2]gatehouse.Tries{b, a}, err
		})
		return both[0], both[1]
	}
	for n := 1; n <= 3; n++ {
		before, after := wrong()
		if before.Wrong != n-1 || before.Wait != 0 || after.Wrong != n {
			t.Fatalf("try %d: %+v, then %+v", n, before, after)
		}
	}
	if before, after := wrong(); before.Wait <= 0 || before.Wait > backoff.First || after.Wrong != 3 {
		t.Fatalf("a fourth try: %+v, then %+v", before, after)
	}
	if got := asked(t, c, func() (gatehouse.Tries, error) { return c.Tries(t.Context(), "k", backoff) }); got.Wrong != 3 || got.Wait <= 0 {
		t.Errorf("it says %+v", got)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if before, after := wrong(); before.Wait == 0 {
			if after.Wrong != 4 || after.Wait != 2*backoff.First {
				t.Errorf("after the wait: %+v", after)
			}
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the wait doesn't end")
		}
	}
	asked(t, c, func() (bool, error) { return true, c.Forgive(t.Context(), "k") })
	if before, _ := wrong(); before.Wrong != 0 || before.Wait != 0 {
		t.Errorf("forgiven: %+v", before)
	}
}

// What callers make up leaves Redis soon.
func TestOneTryIsKeptForAMinute(t *testing.T) {
	server := redistest.Start(t)
	c, _ := open(t, server.URL())
	asked(t, c, func() (bool, error) {
		_, _, err := c.Wrong(t.Context(), "k", backoff)
		return true, err
	})
	ttl, err := server.Do("PTTL", "gatehouse:tries:k")
	if err != nil {
		t.Fatal(err)
	}
	var left int
	if _, err := fmt.Sscanf(ttl, ":%d", &left); err != nil || left <= 0 || left > 60_000 {
		t.Errorf("it is kept for %s ms", ttl)
	}
}

// However Redis goes away, callers wait no longer than the bound, the log says
// so once, and the Counter finds back by itself.
func TestRedisGoesAway(t *testing.T) {
	allowed := gatehouse.Rate{Count: 1_000_000, Per: time.Hour}
	for name, way := range map[string]struct {
		away, back func(*redistest.Server, *testing.T)
	}{
		"killed":  {func(s *redistest.Server, _ *testing.T) { s.Kill() }, func(s *redistest.Server, t *testing.T) { s.Restart(t) }},
		"stopped": {func(s *redistest.Server, t *testing.T) { s.Stop(t) }, func(s *redistest.Server, t *testing.T) { s.Continue(t) }},
		"full": {
			func(s *redistest.Server, t *testing.T) { do(t, s, "CONFIG", "SET", "maxmemory", "1") },
			func(s *redistest.Server, t *testing.T) { do(t, s, "CONFIG", "SET", "maxmemory", "0") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			c, log := open(t, server.URL())
			asked(t, c, func() (gatehouse.Taken, error) { return c.Take(t.Context(), "k", allowed) })
			before := log.count("level=WARN") // a busy machine has been too slow
			way.away(server, t)
			began := time.Now()
			var waiting sync.WaitGroup
			var mu sync.Mutex
			var slowest time.Duration
			for range 100 {
				waiting.Go(func() {
					since := time.Now()
					if _, err := c.Take(context.Background(), "k", allowed); err == nil {
						t.Error("it was counted")
					}
					mu.Lock()
					slowest = max(slowest, time.Since(since))
					mu.Unlock()
				})
			}
			waiting.Wait()
			t.Logf("100 callers had their answer after %v", time.Since(began))
			if slowest > 10*answerWithin {
				t.Errorf("a caller waited %v", slowest)
			}
			if !c.Lost() {
				t.Error("Redis isn't lost")
			}
			since := time.Now()
			for range 1000 {
				if _, err := c.Take(t.Context(), "k", allowed); !errors.Is(err, ErrLost) {
					t.Fatalf("lost: %v", err)
				}
			}
			if took := time.Since(since); took > time.Second {
				t.Errorf("1000 callers waited %v for a lost Redis", took)
			}
			for began := time.Now(); log.count("level=WARN") == before; time.Sleep(10 * time.Millisecond) {
				if time.Since(began) > 30*time.Second {
					t.Fatal("no warning")
				}
			}
			time.Sleep(3 * firstTry) // more of its tries fail
			if n := log.count("level=WARN") - before; n != 1 {
				t.Errorf("%d warnings", n)
			}
			way.back(server, t)
			asked(t, c, func() (gatehouse.Taken, error) { return c.Take(t.Context(), "k", allowed) })
			if log.count("level=INFO") == 0 {
				t.Error("the log doesn't say that it is back")
			}
		})
	}
}

func do(t *testing.T, s *redistest.Server, words ...string) {
	t.Helper()
	if said, err := s.Do(words...); err != nil || said != "+OK" {
		t.Fatalf("%v: %s %v", words, said, err)
	}
}

// A node starts without its Redis, and counts in it once it is there.
func TestRedisComesLater(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	c, _ := open(t, server.URL())
	if !c.Lost() {
		t.Error("a Redis that isn't there isn't lost")
	}
	server.Restart(t)
	asked(t, c, func() (gatehouse.Taken, error) {
		return c.Take(t.Context(), "k", gatehouse.Rate{Count: 1, Per: time.Second})
	})
}

// A caller who leaves is no fault of Redis.
func TestCallerLeaves(t *testing.T) {
	c, _ := open(t, redistest.Start(t).URL())
	asked(t, c, func() (gatehouse.Taken, error) {
		return c.Take(t.Context(), "k", gatehouse.Rate{Count: 1, Per: time.Second})
	})
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Take(left, "k", gatehouse.Rate{Count: 1, Per: time.Second}); !errors.Is(err, context.Canceled) || c.Lost() {
		t.Errorf("%v, lost: %v", err, c.Lost())
	}
}

// Only the password's owner counts, and no error shows it.
func TestPassword(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "open-sesame")
	c, _ := open(t, secret.New("redis://:open-sesame@"+server.Addr()))
	asked(t, c, func() (gatehouse.Taken, error) {
		return c.Take(t.Context(), "k", gatehouse.Rate{Count: 1, Per: time.Second})
	})
	wrong, log := open(t, secret.New("redis://:shibboleth@"+server.Addr()))
	for began := time.Now(); log.count("WRONGPASS") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("no warning")
		}
	}
	if !wrong.Lost() || log.count("shibboleth") > 0 {
		t.Errorf("lost: %v, and the log shows the password %d times", wrong.Lost(), log.count("shibboleth"))
	}
	for _, url := range []string{"", "localhost:6379", "http://:shibboleth@x", "redis://:shibboleth@x:y/z", "redis://:shibboleth@x/0?nonsense=1", "redis://%zz:shibboleth@x"} {
		err := Check(secret.New(url))
		if err == nil || strings.Contains(err.Error(), "shibboleth") || !strings.Contains(err.Error(), "redis://") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	server := redistest.Start(b)
	c, err := Open(b.Context(), server.URL(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = c.Take(context.Background(), "k", gatehouse.Rate{Count: 1_000_000_000, Per: time.Second})
		}
	})
	if n := c.Losses(); n > 0 {
		b.ReportMetric(float64(n), "losses")
	}
}
