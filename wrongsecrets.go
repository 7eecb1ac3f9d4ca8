package gatehouse

import (
	"context"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
)

// wrongSecrets slows down who repeats wrong secrets, for each pair of client
// and address: nobody can lock a client out from elsewhere. What all nodes
// count together is known here too, for the time when it can't be asked.
type wrongSecrets struct {
	counting
	clock *clock
	seed  maphash.Seed
	pairs *otter.Cache[pair, tries]
}

type addr = netip.Addr

// A pair holds a hash of the client id: ids of clients that don't exist are
// the caller's to choose, and would fill memory.
type pair struct {
	client uint64
	from   netip.Prefix
}

type tries struct {
	wrong int
	until time.Time // no try before then
}

const oneSecond = time.Second

// slowDown is how wrong secrets are slowed down.
var slowDown = Backoff{Free: 5, First: oneSecond, Longest: time.Minute, Kept: 15 * time.Minute}

func newWrongSecrets(c *clock, by counting) *wrongSecrets {
	return &wrongSecrets{counting: by, clock: c, seed: maphash.MakeSeed(), pairs: otter.Must(&otter.Options[pair, tries]{
		MaximumSize:      100_000,
		ExpiryCalculator: otter.ExpiryWriting[pair, tries](slowDown.Kept),
	})}
}

// network counts an IPv6 network of one subscriber as one address.
func network(from addr) netip.Prefix {
	from = from.Unmap()
	bits := 64
	if from.Is4() {
		bits = 32
	}
	prefix, _ := from.Prefix(bits)
	return prefix
}

func (w *wrongSecrets) pairOf(client ClientID, from addr) pair {
	return pair{maphash.String(w.seed, string(client)), network(from)}
}

// sharedKey is what all nodes know a pair by.
func (w *wrongSecrets) sharedKey(client ClientID, from addr) string {
	return w.key("wrong secrets", network(from).String()+" "+string(client))
}

// backoff is this node's part of the free tries, where it counts for itself.
func (w *wrongSecrets) backoff() Backoff {
	b := slowDown
	b.Free = max(1, b.Free/w.nodes())
	return b
}

// wait refuses a try that comes too soon.
func (w *wrongSecrets) wait(ctx context.Context, client ClientID, from addr) error {
	if !w.enforced {
		return nil
	}
	p, now := w.pairOf(client, from), w.clock.wall()
	if w.shared != nil {
		if t, err := w.shared.Tries(ctx, w.sharedKey(client, from), slowDown); err == nil {
			if t.Wrong > 0 {
				w.pairs.Set(p, tries{t.Wrong, now.Add(t.Wait)})
			}
			return tooSoon(client, t.Wait)
		}
	}
	t, _ := w.pairs.GetIfPresent(p)
	return tooSoon(client, t.until.Sub(now))
}

// wrong counts a wrong secret and returns the refusal that it deserves; why is
// for the owner.
func (w *wrongSecrets) wrong(ctx context.Context, client ClientID, from addr, why Reason) error {
	refusal := &Error{Code: InvalidClient, Reason: why, Client: client}
	if !w.enforced {
		return refusal
	}
	if err := tooSoon(client, w.count(ctx, client, from)); err != nil {
		return err
	}
	return refusal
}

// count counts a wrong try. Where one is not to come yet, it returns how long
// to wait, and counts nothing.
func (w *wrongSecrets) count(ctx context.Context, client ClientID, from addr) (left time.Duration) {
	p, now := w.pairOf(client, from), w.clock.wall()
	if w.shared != nil {
		before, after, err := w.shared.Wrong(ctx, w.sharedKey(client, from), slowDown)
		if err == nil {
			w.pairs.Set(p, tries{after.Wrong, now.Add(after.Wait)})
			return before.Wait
		}
	}
	b := w.backoff()
	w.pairs.Compute(p, func(t tries, _ bool) (tries, otter.ComputeOp) {
		if left = t.until.Sub(now); left > 0 {
			return t, otter.CancelOp
		}
		t.wrong++
		t.until = now.Add(b.Wait(t.wrong))
		return t, otter.WriteOp
	})
	return left
}

// right forgets the wrong tries of a pair that has shown the right secret.
// Those that only other nodes have seen are left to be forgotten by time: asking
// for them would cost every right secret a round trip.
func (w *wrongSecrets) right(ctx context.Context, client ClientID, from addr) {
	if !w.enforced {
		return
	}
	if _, known := w.pairs.Invalidate(w.pairOf(client, from)); known && w.shared != nil {
		_ = w.shared.Forgive(ctx, w.sharedKey(client, from)) // else they are forgotten by time
	}
}

// tooSoon refuses a try for which there is time left to wait.
func tooSoon(client ClientID, left time.Duration) error {
	if left <= 0 {
		return nil
	}
	return &Error{
		Code: RateLimited, Reason: ReasonWrongSecrets, Client: client, RetryAfter: left,
		Message: "too many wrong credentials from this address; wait before the next try",
	}
}
