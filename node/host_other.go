//go:build !linux

package node

// freeSpace isn't known here.
func freeSpace(string) (bytes uint64, ok bool) { return 0, false }

// coreLimit isn't known here.
func coreLimit() (bytes uint64, ok bool) { return 0, false }
