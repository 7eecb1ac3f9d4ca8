package postgres

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// A waiting is something that a caller wants committed, and waits for.
type waiting[T any] struct {
	what  T
	taken atomic.Bool // by a committer, or back by a caller that won't wait
	done  chan error
}

// A queue holds what waits for the next commit group. Several committers may
// take from it.
type queue[T any] struct {
	limit int // of a group, and so of how long its first caller waits for the others

	mu      sync.Mutex
	there   *sync.Cond
	waiting []*waiting[T]
	closed  bool

	progress atomic.Pointer[time.Time] // when a group was last committed
}

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit}
	q.there = sync.NewCond(&q.mu)
	return q
}

// commit waits until a group with what in it has been committed or refused.
// Where ctx ends first, or no group at all has been committed for as long as the
// patience lasts, what no group has taken yet is not done; of what is under way
// the outcome is unknown.
func (q *queue[T]) commit(ctx context.Context, what T, patience time.Duration) error {
	w := &waiting[T]{what: what, done: make(chan error, 1)}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return errClosed
	}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	q.there.Signal()
	since := time.Now()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	var cause error
	for cause == nil {
		select {
		case err := <-w.done:
			return err
		case <-limit.C:
			if at := q.progress.Load(); at != nil && at.After(since) {
				since = *at
				limit.Reset(patience - time.Since(since))
				continue
			}
			cause = errSlow
		case <-ctx.Done():
			cause = context.Cause(ctx)
		}
	}
	if w.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", gatehouse.ErrStore, cause)
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrUnknownOutcome, cause)
}

// gather lets the callers that the last group answered come back with what they
// want next, so that they share a commit again instead of splitting into ever
// smaller groups. It gives way to runnable goroutines and never sleeps: whoever
// is alone waits for nobody.
func (q *queue[T]) gather(last int) {
	for range last / 2 {
		q.mu.Lock()
		n := len(q.waiting)
		q.mu.Unlock()
		if n >= last {
			return
		}
		runtime.Gosched()
	}
}

// take waits for work and returns up to the limit of it, or nothing when the
// queue is closed and empty.
func (q *queue[T]) take() []*waiting[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		var group []*waiting[T]
		n := min(len(q.waiting), q.limit)
		for _, w := range q.waiting[:n] {
			if w.taken.CompareAndSwap(false, true) {
				group = append(group, w)
			}
		}
		q.waiting = append(q.waiting[:0:0], q.waiting[n:]...)
		if len(group) > 0 || q.closed && len(q.waiting) == 0 {
			return group
		}
		if len(q.waiting) == 0 {
			q.there.Wait()
		}
	}
}

// progressed says that a group was committed.
func (q *queue[T]) progressed() {
	now := time.Now()
	q.progress.Store(&now)
}

// close lets the committers end once they have done what waits.
func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.there.Broadcast()
}
