package node

import (
	"net/http"
	"sync/atomic"
	"time"
)

// handshake is how long a caller may take to complete a connection that it has
// begun when the listener falls silent.
const handshake = 20 * time.Millisecond

// announceEnd lets whatever stands before the node find out that it ends, while
// it serves on: /readyz is down already, and each answer closes its connection.
// Then nobody new is let in, and whoever has knocked is.
func (n *Node) announceEnd() {
	if n.settings.DrainDelay > 0 {
		time.Sleep(n.settings.DrainDelay)
	}
	if err := fallSilent(n.publicListener); err != nil {
		n.log.Debug("connections may be cut that nobody has accepted yet", "error", err)
		return
	}
	time.Sleep(handshake)
}

// closing ends connections with their next answer once the node drains.
func closing(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}
