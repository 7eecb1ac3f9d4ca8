package sqlite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// hold occupies the writer until release is called.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.queue.write(context.Background(), func(*writer) error {
			close(held)
			<-end
			return nil
		})
	}()
	<-held
	return func() {
		close(end)
		must(t, <-done)
	}
}

func TestWhoGivesUpWaitingIsNotServed(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	c := saveClient(t, s)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	g := issue(c, time.Now())
	answer := make(chan error, 1)
	go func() { answer <- s.Record(ctx, g) }()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		s.queue.mu.Lock()
		waiting = len(s.queue.waiting)
		s.queue.mu.Unlock()
	}
	cancel()
	err := <-answer
	if !errors.Is(err, gatehouse.ErrStore) || errors.Is(err, gatehouse.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	must(t, s.Record(t.Context(), issue(c, time.Now())))
	if _, err := s.Token(t.Context(), g.Tokens[0].ID); !errors.Is(err, gatehouse.ErrNotFound) {
		t.Errorf("it was done all the same: %v", err)
	}
}

func TestWhoLeavesDuringACommitDoesNotKnow(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan struct{})
	err := s.queue.write(ctx, func(*writer) error {
		cancel()
		go func() { time.Sleep(10 * time.Millisecond); close(end) }()
		<-end
		return nil
	})
	if !errors.Is(err, gatehouse.ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
}

// What waits while a group commits is the next group.
func TestWaitingWritesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		const writes = groupLimit + 10
		var answered atomic.Int64
		var waiting sync.WaitGroup
		for range writes {
			waiting.Go(func() {
				if err := q.write(t.Context(), nil); err != nil {
					t.Error(err)
				}
				answered.Add(1)
			})
		}
		synctest.Wait()
		for _, want := range []int{groupLimit, writes - groupLimit} {
			group := q.take(nil, 0, 0)
			if len(group) != want {
				t.Errorf("a group of %d, want %d", len(group), want)
			}
			for _, w := range group {
				w.done <- nil
			}
		}
		waiting.Wait()
		q.close()
		if group := q.take(nil, 0, 0); len(group) > 0 {
			t.Errorf("a closed queue gave %d writes", len(group))
		}
		if err := q.write(t.Context(), nil); !errors.Is(err, gatehouse.ErrStore) {
			t.Errorf("a closed queue took a write: %v", err)
		}
	})
}

// One writer of a crowd gets time for the others; it waits no longer than it
// has patience for, and not at all once they are enough.
func TestACrowdIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		come := func(after time.Duration) {
			go func() {
				time.Sleep(after)
				_ = q.write(t.Context(), nil)
			}()
		}
		take := func(enough, want int, took time.Duration) {
			t.Helper()
			start := time.Now()
			group := q.take(nil, enough, time.Millisecond)
			if len(group) != want || time.Since(start) != took {
				t.Errorf("took %d after %v, want %d after %v", len(group), time.Since(start), want, took)
			}
			for _, w := range group {
				w.done <- nil
			}
			synctest.Wait()
		}
		come(0)
		take(1, 1, 0)
		come(0)
		come(300 * time.Microsecond)
		come(5 * time.Millisecond)
		take(2, 2, 300*time.Microsecond)
		take(2, 1, 4700*time.Microsecond+time.Millisecond)
	})
}
