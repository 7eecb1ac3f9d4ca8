package gatehouse

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// A useCounter gathers which secret proved its client when and from where.
// The store gets the sums each second, so that a burst costs one write; what a
// crash takes with it is at most the last second of counts.
type useCounter struct {
	mu   sync.Mutex
	uses map[SecretID]*SecretUse
}

func newUseCounter() *useCounter { return &useCounter{uses: map[SecretID]*SecretUse{}} }

func (u *useCounter) add(id SecretID, from netip.Addr, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	use := u.uses[id]
	if use == nil {
		use = &SecretUse{Secret: id}
		u.uses[id] = use
	}
	use.Count++
	use.At, use.Addr = at, from
}

// take empties the counter.
func (u *useCounter) take() []SecretUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.uses) == 0 {
		return nil
	}
	out := make([]SecretUse, 0, len(u.uses))
	for _, use := range u.uses {
		out = append(out, *use)
	}
	clear(u.uses)
	return out
}

// back returns sums that could not be stored.
func (u *useCounter) back(uses []SecretUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range uses {
		if use := u.uses[uses[i].Secret]; use != nil {
			use.Count += uses[i].Count
		} else {
			u.uses[uses[i].Secret] = &uses[i]
		}
	}
}

func (e *Engine) flushUses(ctx context.Context) error {
	uses := e.uses.take()
	if len(uses) == 0 {
		return nil
	}
	err := e.store.UseSecrets(ctx, uses)
	if err != nil {
		e.uses.back(uses)
	}
	return err
}
