package connect

import (
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/gatehouse-auth/gatehouse"
)

// beginnings bounds how many requests an address may begin, since each is kept
// for a while though nobody has proved anything yet. A household of one address
// stays far below.
type beginnings struct {
	each *otter.Cache[netip.Prefix, *rate.Limiter]
}

const (
	beginRate  = rate.Limit(1) // a second
	beginBurst = 60
)

func newBeginnings(limits bool) *beginnings {
	if !limits {
		return &beginnings{}
	}
	return &beginnings{otter.Must(&otter.Options[netip.Prefix, *rate.Limiter]{
		MaximumSize:      100_000,
		ExpiryCalculator: otter.ExpiryAccessing[netip.Prefix, *rate.Limiter](2 * time.Minute),
	})}
}

// take counts one, or refuses it.
func (b *beginnings) take(from netip.Addr) error {
	if b.each == nil {
		return nil
	}
	l, _ := b.each.ComputeIfAbsent(network(from), func() (*rate.Limiter, bool) { return rate.NewLimiter(beginRate, beginBurst), false })
	if l.Allow() {
		return nil
	}
	return &gatehouse.Error{Code: gatehouse.RateLimited, Reason: gatehouse.ReasonRate, RetryAfter: time.Second, Message: "too many sign-ins were begun from here"}
}

// network counts an IPv6 network of one subscriber as one address.
func network(from netip.Addr) netip.Prefix {
	from = from.Unmap()
	bits := 64
	if from.Is4() {
		bits = 32
	}
	prefix, _ := from.Prefix(bits)
	return prefix
}
