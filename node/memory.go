package node

import (
	"os"
	"runtime/debug"
)

// spendMemory lets garbage grow to four times what is live. A node holds little
// for long and makes much that is short, so collecting less often pays: it
// issues about a twentieth more tokens a second. GOGC overrides it.
func spendMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
