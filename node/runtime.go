package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// What may be garbage before it is collected: four times what is live, but no
// more than garbageAllowed, and never less than is live. A node holds little for
// long and makes much that is short, so collecting less often pays; under a
// flood, when much more is live, memory must not grow by as many times.
const (
	garbageAllowed = 48 << 20
	mostPercent    = 400
	leastPercent   = 100
)

// TuneRuntime sets Go's runtime up for a process that does nothing else: a node,
// an agent. What GOGC and GOMAXPROCS say stands. Calls after the first do nothing.
func TuneRuntime() { tune() }

var tune = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent)
		afterCollection(mostPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		spareProcessors()
	}
})

// spareProcessors lets two goroutines more than there are cores run at once. A
// system call keeps its goroutine's place until the runtime has seen that it
// lasts; while the fsyncs of the ledger's writer and of its checkpoints did,
// cores had nothing to do. The number is fixed from then on, also where a
// container is given other cores.
func spareProcessors() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) }

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
