package credential

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// ErrBusy: a slow check had no turn. Nothing was decided; the caller may try
// again.
var ErrBusy = errors.New("too many slow secret checks at once")

// queuePerSlot is how many checks may wait for each one that runs. At some
// 200 ms a check, who comes last waits under two seconds.
const queuePerSlot = 8

// Checker bounds how many slow checks run at once, and how many wait, so that
// a burst of them takes neither every core nor, with Argon2, all memory.
type Checker struct {
	admitted chan struct{} // one for each check that runs or waits
	running  chan struct{}
}

// NewChecker allows most slow checks at once, at least one.
func NewChecker(most int) *Checker {
	most = max(most, 1)
	return &Checker{
		admitted: make(chan struct{}, most*(1+queuePerSlot)),
		running:  make(chan struct{}, most),
	}
}

// Verify is h.Verify(s) when its turn comes. Fast hashes don't wait. The error
// is ErrBusy where the queue is full or ctx ends first; a check that has begun
// runs to its end.
func (c *Checker) Verify(ctx context.Context, h Hash, s secret.Text) (bool, error) {
	if !h.Slow() {
		return h.Verify(s), nil
	}
	ok := false
	err := c.turn(ctx, func() { ok = h.Verify(s) })
	return ok, err
}

// turn runs slow when its turn comes.
func (c *Checker) turn(ctx context.Context, slow func()) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	select {
	case c.admitted <- struct{}{}:
		defer func() { <-c.admitted }()
	default:
		return ErrBusy
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	slow()
	return nil
}
