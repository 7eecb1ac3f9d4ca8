package sqlite

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// groupLimit bounds a commit group, and so how long its first caller waits for
// the others.
const groupLimit = 256

// A write is what a caller wants done. do runs on the writer's goroutine,
// inside the group's transaction; an error that is a refusal must leave
// everything as it was.
type write struct {
	do    func(*writer) error
	taken atomic.Bool // by the writer, or back by a caller that won't wait
	done  chan error
}

// A queue holds the writes that wait for the next group.
type queue struct {
	mu      sync.Mutex
	waiting []*write
	enough  int // waiting writes that wake the writer
	closed  bool
	wake    chan struct{}
}

func newQueue() *queue { return &queue{enough: 1, wake: make(chan struct{}, 1)} }

// write has do run in the next commit group and returns its answer. Where ctx
// ends first, a write that no group has taken yet is not done; of one that is
// under way the outcome is unknown, and do may still run: what it sets is the
// caller's only where write returns nil.
func (q *queue) write(ctx context.Context, do func(*writer) error) error {
	return q.writeMeanwhile(ctx, do, nil)
}

// writeMeanwhile is write, and does something else while it waits.
func (q *queue) writeMeanwhile(ctx context.Context, do func(*writer) error, meanwhile func()) error {
	w := &write{do: do, done: make(chan error, 1)}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return errClosed
	}
	q.waiting = append(q.waiting, w)
	enough := len(q.waiting) >= q.enough
	q.mu.Unlock()
	if enough {
		q.nudge()
	}
	if meanwhile != nil {
		runtime.Gosched() // to those who come too: the group then goes to the disk while all compute
		meanwhile()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	if w.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", gatehouse.ErrStore, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrUnknownOutcome, context.Cause(ctx))
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for writes and returns up to groupLimit of them, or none when the
// queue is closed and empty. Once there is one it gives others the time of
// patience to come, until there are enough.
func (q *queue) take(group []*write, enough int, patience time.Duration) []*write {
	if q.await(1, nil) < enough {
		timer := time.NewTimer(patience)
		q.await(enough, timer.C)
		timer.Stop()
	}
	for {
		q.mu.Lock()
		n := min(len(q.waiting), groupLimit)
		for _, w := range q.waiting[:n] {
			if w.taken.CompareAndSwap(false, true) {
				group = append(group, w)
			}
		}
		rest := copy(q.waiting, q.waiting[n:])
		clear(q.waiting[rest:])
		q.waiting = q.waiting[:rest]
		closed := q.closed && rest == 0
		q.mu.Unlock()
		if len(group) > 0 || closed {
			return group
		}
		if rest == 0 {
			q.await(1, nil)
		}
	}
}

// await returns how many writes wait once they are enough, the queue is closed,
// or the time is over.
func (q *queue) await(enough int, over <-chan time.Time) int {
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

// length is how many writes wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// close lets the writer end once it has done what waits.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
}
