package commitgroup

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

func answer[T any](group []*Member[T]) {
	for _, m := range group {
		m.Answer(nil)
	}
}

func TestWhoGivesUpWaitingIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[string](10)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- q.Commit(ctx, "left", Wait{}) }()
		synctest.Wait()
		cancel()
		err := <-left
		if !errors.Is(err, gatehouse.ErrStore) || errors.Is(err, gatehouse.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		go func() { _ = q.Commit(t.Context(), "stayed", Wait{}) }()
		group := q.Take()
		if len(group) != 1 || group[0].What != "stayed" {
			t.Errorf("took %v", group)
		}
		answer(group)
	})
}

func TestWhoLeavesDuringACommitDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[string](10)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- q.Commit(ctx, "left", Wait{}) }()
		group := q.Take()
		cancel()
		if err := <-left; !errors.Is(err, gatehouse.ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
		answer(group) // holds nobody up
	})
}

// A caller's patience is with a committer that does nothing: it goes on waiting
// where others are served.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[int](1)
		commit := func(n int) <-chan error {
			said := make(chan error, 1)
			go func() { said <- q.Commit(t.Context(), n, Wait{Patience: time.Second}) }()
			synctest.Wait()
			return said
		}
		began := time.Now()
		first, second, third := commit(1), commit(2), commit(3)
		answer(q.Take())
		time.Sleep(700 * time.Millisecond)
		q.Progressed()
		taken := q.Take()
		if err := <-first; err != nil {
			t.Error(err)
		}
		for name, one := range map[string]struct {
			said <-chan error
			want error
		}{"under way": {second, gatehouse.ErrUnknownOutcome}, "not taken": {third, gatehouse.ErrStore}} {
			if err := <-one.said; !errors.Is(err, one.want) || !errors.Is(err, ErrSlow) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(began); took != 1700*time.Millisecond {
			t.Errorf("they gave up after %v", took)
		}
		answer(taken)
	})
}

func TestMeanwhileIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[int](1)
		called := 0
		said := make(chan error, 1)
		go func() { said <- q.Commit(t.Context(), 1, Wait{Meanwhile: func() { called++ }}) }()
		synctest.Wait()
		if called != 1 {
			t.Errorf("called %d times before the answer", called)
		}
		answer(q.Take())
		if err := <-said; err != nil || called != 1 {
			t.Errorf("called %d times: %v", called, err)
		}
	})
}

// What waits while a group commits is the next group.
func TestThoseWhoWaitShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, callers = 256, 266
		q := New[int](limit)
		var answered atomic.Int64
		var waiting sync.WaitGroup
		for range callers {
			waiting.Go(func() {
				if err := q.Commit(t.Context(), 0, Wait{}); err != nil {
					t.Error(err)
				}
				answered.Add(1)
			})
		}
		synctest.Wait()
		for _, want := range []int{limit, callers - limit} {
			group := q.Take()
			if len(group) != want {
				t.Errorf("a group of %d, want %d", len(group), want)
			}
			answer(group)
		}
		waiting.Wait()
		q.Close()
		if group := q.Take(); group != nil {
			t.Errorf("a closed queue gave %d", len(group))
		}
		if err := q.Commit(t.Context(), 0, Wait{}); !errors.Is(err, gatehouse.ErrStore) {
			t.Errorf("a closed queue took something: %v", err)
		}
		if answered.Load() != callers {
			t.Errorf("%d of %d were answered", answered.Load(), callers)
		}
	})
}

// Most of a crowd is waited for, no longer than there is patience for; whoever
// is alone waits for nobody, and a crowd that paused is not expected back.
func TestACrowdIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[int](100)
		come := func(callers int, after time.Duration) {
			for range callers {
				go func() {
					time.Sleep(after)
					_ = q.Commit(t.Context(), 0, Wait{})
				}()
			}
		}
		take := func(want int, took time.Duration) {
			t.Helper()
			began := time.Now()
			group := q.TakeCrowd(0.75)
			if len(group) != want || time.Since(began) != took {
				t.Errorf("took %d after %v, want %d after %v", len(group), time.Since(began), want, took)
			}
			answer(group)
			synctest.Wait()
		}
		come(1, 0)
		take(1, 0)
		come(16, 0)
		synctest.Wait()
		take(16, 0)
		come(10, 100*time.Microsecond)
		come(2, 300*time.Microsecond)
		take(12, 300*time.Microsecond) // three quarters of sixteen
		come(1, 300*time.Microsecond)
		take(1, 300*time.Microsecond+crowdPatience)
		come(1, 10*time.Millisecond)
		take(1, 10*time.Millisecond)
	})
}
