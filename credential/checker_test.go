package credential

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestCheckerBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 2
		c := NewChecker(most)
		var now, peak, busy, done atomic.Int32
		slow := Hash{check: func([]byte) bool {
			if n := now.Add(1); n > peak.Load() {
				peak.Store(n)
			}
			time.Sleep(200 * time.Millisecond)
			now.Add(-1)
			return true
		}}
		const tries = 50
		for range tries {
			go func() {
				ok, err := c.Verify(t.Context(), slow, secret.New("s"))
				switch {
				case errors.Is(err, ErrBusy) && !ok:
					busy.Add(1)
				case err == nil && ok:
					done.Add(1)
				default:
					t.Errorf("Verify = %v, %v", ok, err)
				}
			}()
		}
		synctest.Wait()
		if admitted := int32(most * (1 + queuePerSlot)); busy.Load() != tries-admitted {
			t.Errorf("%d were told to come again, want %d", busy.Load(), tries-admitted)
		}
		if now.Load() != most {
			t.Errorf("%d run at once, want %d", now.Load(), most)
		}
		fast, err := ParseHash(knownHashes[len(knownHashes)-1].encoded)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := c.Verify(t.Context(), fast, secret.New("abc")); !ok || err != nil {
			t.Errorf("a fast check while the queue is full: %v, %v", ok, err)
		}
		time.Sleep(10 * time.Second)
		if done.Load()+busy.Load() != tries || peak.Load() != most {
			t.Errorf("%d done, %d busy, peak %d", done.Load(), busy.Load(), peak.Load())
		}
		if ok, err := c.Verify(t.Context(), slow, secret.New("s")); !ok || err != nil {
			t.Errorf("after the burst: %v, %v", ok, err)
		}
	})
}

func TestCheckerHeedsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecker(0) // at least one
		checked := 0
		slow := Hash{check: func([]byte) bool { checked++; time.Sleep(time.Minute); return true }}
		go func() { _, _ = c.Verify(t.Context(), slow, secret.New("s")) }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		ok, err := c.Verify(ctx, slow, secret.New("s"))
		if ok || !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Verify = %v, %v after %v", ok, err, time.Since(start))
		}
		time.Sleep(time.Hour)
		if ok, err := c.Verify(ctx, slow, secret.New("s")); ok || !errors.Is(err, ErrBusy) {
			t.Errorf("with an ended context: %v, %v", ok, err)
		}
		if checked != 1 {
			t.Errorf("%d checks ran, want 1", checked)
		}
	})
}
