// Package commitgroup has callers of a store share a commit: what they want
// waits in a queue, and the store's committer takes many of them at a time.
package commitgroup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var (
	// ErrClosed is what a closed queue answers.
	ErrClosed = fmt.Errorf("%w: it is closed", gatehouse.ErrStore)
	// ErrSlow is the cause where a caller's patience has ended.
	ErrSlow = errors.New("nothing was committed for too long")
)

// A Member of a group is what one caller wants, and waits for.
type Member[T any] struct {
	What T

	taken atomic.Bool // by the committer, or back by a caller that won't wait
	done  chan error
}

// Answer tells the caller what became of it. It is called once.
func (m *Member[T]) Answer(err error) { m.done <- err }

// leave is what a caller that won't wait any longer knows.
func (m *Member[T]) leave(cause error) error {
	if m.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", gatehouse.ErrStore, cause)
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrUnknownOutcome, cause)
}

// A Queue holds what waits for the next group. Any number of callers may use
// Commit and Close, one committer everything else.
type Queue[T any] struct {
	limit    int // of a group, and so of how long its first caller waits for the others
	wake     chan struct{}
	progress atomic.Pointer[time.Time] // when the committer last said so
	crowd    crowd

	mu      sync.Mutex
	waiting []*Member[T]
	enough  int // how many that wait wake the committer
	closed  bool
}

// New makes a Queue whose groups have at most limit members.
func New[T any](limit int) *Queue[T] {
	return &Queue[T]{limit: limit, enough: 1, wake: make(chan struct{}, 1)}
}

// A Wait is how a caller waits.
type Wait struct {
	// Patience is for how long the committer may make no progress; 0 is for ever.
	Patience time.Duration
	// Meanwhile, where set, is called once by the caller's own goroutine.
	Meanwhile func()
}

// Commit waits until what is answered, and returns the answer. Where ctx or the
// patience ends first, what no group has taken yet is not done; of what is under
// way the outcome is unknown.
func (q *Queue[T]) Commit(ctx context.Context, what T, wait Wait) error {
	m := &Member[T]{What: what, done: make(chan error, 1)}
	if err := q.add(m); err != nil {
		return err
	}
	since := time.Now()
	if wait.Meanwhile != nil {
		runtime.Gosched() // others come in first: the group then waits for the disk while all compute
		wait.Meanwhile()
	}
	var slow <-chan time.Time
	var timer *time.Timer
	if wait.Patience > 0 {
		timer = time.NewTimer(wait.Patience)
		defer timer.Stop()
		slow = timer.C
	}
	for {
		select {
		case err := <-m.done:
			return err
		case <-ctx.Done():
			return m.leave(context.Cause(ctx))
		case <-slow:
			at := q.progress.Load()
			if at == nil || !at.After(since) {
				return m.leave(ErrSlow)
			}
			since = *at
			timer.Reset(wait.Patience - time.Since(since))
		}
	}
}

func (q *Queue[T]) add(m *Member[T]) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.waiting = append(q.waiting, m)
	enough := len(q.waiting) >= q.enough
	q.mu.Unlock()
	if enough {
		q.nudge()
	}
	return nil
}

func (q *Queue[T]) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Take waits for members and returns whoever is there, up to the limit, or
// nobody when the queue is closed and empty.
func (q *Queue[T]) Take() []*Member[T] {
	for q.await(1, nil) > 0 {
		q.mu.Lock()
		n := min(len(q.waiting), q.limit)
		group := make([]*Member[T], 0, n)
		for _, m := range q.waiting[:n] {
			if m.taken.CompareAndSwap(false, true) {
				group = append(group, m)
			}
		}
		rest := copy(q.waiting, q.waiting[n:])
		clear(q.waiting[rest:])
		q.waiting = q.waiting[:rest]
		q.mu.Unlock()
		if len(group) > 0 {
			return group
		}
	}
	return nil
}

// await returns how many members wait once they are enough, the queue is
// closed, or the time is over.
func (q *Queue[T]) await(enough int, over <-chan time.Time) int {
	for {
		q.mu.Lock()
		q.enough = enough
		n, closed := len(q.waiting), q.closed
		q.mu.Unlock()
		if n >= enough || closed {
			return n
		}
		select {
		case <-q.wake:
		case <-over:
			return n
		}
	}
}

// Progressed says that a group was committed, to callers with patience.
func (q *Queue[T]) Progressed() {
	now := time.Now()
	q.progress.Store(&now)
}

// Close lets the committer end once it has done what waits. Commit answers
// ErrClosed from then on.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
}
