package connect

import (
	"net/netip"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
)

// An address may begin so many requests at once; a subscriber's IPv6 network is
// one address, and others are not affected.
func TestBeginnings(t *testing.T) {
	b := newBeginnings(true)
	first := netip.MustParseAddr("2001:db8::1")
	for range beginBurst {
		if err := b.take(first); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; ; i++ { // the clock goes on meanwhile
		err := b.take(netip.MustParseAddr("2001:db8::2"))
		if err != nil {
			if e := gatehouse.AsError(err); e.Code != gatehouse.RateLimited || e.RetryAfter <= 0 {
				t.Errorf("it says %v", err)
			}
			break
		}
		if i > 1000 {
			t.Fatal("no end")
		}
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.2"} {
		if err := b.take(netip.MustParseAddr(other)); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	free := newBeginnings(false)
	for range 10 * beginBurst {
		if err := free.take(first); err != nil {
			t.Fatal(err)
		}
	}
}
