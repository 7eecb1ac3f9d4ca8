package bearer_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain fails where a goroutine is left behind. (A library would do it; but
// what a module's tests use is on the build list of its importers.)
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftBehind(10 * time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines were left behind:\n%s", left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind waits until only the tests' own goroutine runs, or returns the
// stacks of all.
func leftBehind(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if pprof.Lookup("goroutine").Count() == 1 {
			return ""
		}
		if time.Now().After(end) {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2) // a buffer never fails
			return stacks.String()
		}
	}
}
