package directory

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse"
)

// A try is an attempt to sign in by a password.
type try struct {
	env   gatehouse.Environment
	name  string
	from  netip.Addr
	known bool // the user has signed in from this network before
}

// Wrong passwords are counted in three ways. None shuts a user out: waits end
// within a minute of the last wrong try, and a network from which the user has
// signed in before does not wait for what strangers do to their name.
var (
	// By name and address, as the wrong secrets of a client are.
	perPair = gatehouse.Backoff{Free: 5, First: time.Second, Longest: time.Minute, Kept: 15 * time.Minute}
	// By address: one guess at each of many names.
	perAddress = gatehouse.Backoff{Free: 30, First: time.Second, Longest: time.Minute, Kept: 15 * time.Minute}
	// By name: many addresses at one user. NIST SP 800-63B §3.2.2 asks for a
	// bound of 100; after 50 this one lets a guess a minute through.
	perName = gatehouse.Backoff{Free: 50, First: time.Second, Longest: time.Minute, Kept: 24 * time.Hour}
)

// tries slows down who repeats wrong passwords. Keys are digests: they hold no
// name and no address, and those of names that nobody has are as long as others.
type tries struct {
	enforced bool
	now      func() time.Time
	shared   gatehouse.SharedLimits
	local    *otter.Cache[string, standing]
}

// standing are the wrong tries that this node has seen.
type standing struct {
	wrong int
	until time.Time
	kept  time.Duration
}

func newTries(shared gatehouse.SharedLimits, now func() time.Time, enforced bool) *tries {
	return &tries{enforced: enforced, now: now, shared: shared, local: otter.Must(&otter.Options[string, standing]{
		MaximumSize: 300_000,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, standing]) time.Duration {
			return e.Value.kept
		}),
	})}
}

// A counter is one of the ways in which a try is counted.
type counter struct {
	key     string
	backoff gatehouse.Backoff
}

// counters are those that t is held to, the narrowest first.
func (t *try) counters() []counter {
	addr := addressOf(t.from)
	who := string(t.env) + "\x00" + t.name
	all := []counter{
		{keyOf("pair", who, addr), perPair},
		{keyOf("address", addr), perAddress},
	}
	if !t.known {
		all = append(all, counter{keyOf("name", who), perName})
	}
	return all
}

// addressOf counts an IPv6 network of one subscriber as one address.
func addressOf(a netip.Addr) string {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p.String()
}

func keyOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte{byte(len(p))})
		h.Write([]byte(p))
	}
	return "password " + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// wait refuses a try that comes too soon.
func (t *tries) wait(ctx context.Context, who try) error {
	if !t.enforced {
		return nil
	}
	var longest time.Duration
	for _, c := range who.counters() {
		longest = max(longest, t.standing(ctx, c))
	}
	if longest > 0 {
		return tooSoon(longest)
	}
	return nil
}

func (t *tries) standing(ctx context.Context, c counter) time.Duration {
	if t.shared != nil {
		if s, err := t.shared.Tries(ctx, c.key, c.backoff); err == nil {
			return s.Wait
		}
	}
	s, _ := t.local.GetIfPresent(c.key)
	return s.until.Sub(t.now())
}

// wrong counts a wrong try and returns the refusal that it deserves; why is for
// the owner.
func (t *tries) wrong(ctx context.Context, who try, why gatehouse.Reason) error {
	if !t.enforced {
		return denied(why)
	}
	var longest time.Duration
	for _, c := range who.counters() {
		longest = max(longest, t.count(ctx, c))
	}
	if longest > 0 {
		return tooSoon(longest) // others were counted while this one was checked
	}
	return denied(why)
}

// count counts a wrong try, and returns the wait that stood before it.
func (t *tries) count(ctx context.Context, c counter) (left time.Duration) {
	if t.shared != nil {
		if before, _, err := t.shared.Wrong(ctx, c.key, c.backoff); err == nil {
			return before.Wait
		}
	}
	now := t.now()
	t.local.Compute(c.key, func(s standing, _ bool) (standing, otter.ComputeOp) {
		if left = s.until.Sub(now); left > 0 {
			return s, otter.CancelOp
		}
		s.wrong++
		s.kept, s.until = c.backoff.Kept, now.Add(c.backoff.Wait(s.wrong))
		return s, otter.WriteOp
	})
	return left
}

// right forgets the wrong tries of a name from the address that has shown the
// right password. What else was counted stands: others may have made it.
func (t *tries) right(ctx context.Context, who try) {
	if !t.enforced {
		return
	}
	c := who.counters()[0]
	t.local.Invalidate(c.key)
	if t.shared != nil {
		_ = t.shared.Forgive(ctx, c.key) // else it is forgotten by itself
	}
}

func tooSoon(left time.Duration) error {
	return &gatehouse.Error{
		Code: gatehouse.RateLimited, Reason: gatehouse.ReasonWrongPasswords, RetryAfter: left,
		Message: "too many wrong passwords; wait before the next try",
	}
}
