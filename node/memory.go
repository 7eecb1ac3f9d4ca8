package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What may be garbage before it is collected: four times what is live, but no
// more than garbageAllowed, and never less than is live.
const (
	garbageAllowed = 48 << 20
	mostPercent    = 400
	leastPercent   = 100
)

// SpendMemory lets garbage grow while little is live. A node holds little for
// long and makes much that is short, so collecting less often pays: it issues
// about a twentieth more tokens a second. Under a flood, when much more is live,
// memory must not grow by as many times. GOGC overrides all of it. It is for a
// process that does nothing else: a node, an agent.
func SpendMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostPercent)
	afterCollection(mostPercent)
}

// afterCollection looks again after each collection, when an object that
// nothing holds is cleaned up.
func afterCollection(percent int) {
	runtime.AddCleanup(new([16]byte), func(percent int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		want := percentFor(live[0].Value.Uint64())
		if want*10 < percent*9 || want*9 > percent*10 { // a change stops the world for a moment
			debug.SetGCPercent(want)
			percent = want
		}
		afterCollection(percent)
	}, percent)
}

func percentFor(live uint64) int {
	return int(min(mostPercent, max(leastPercent, garbageAllowed*100/max(live, 1))))
}
