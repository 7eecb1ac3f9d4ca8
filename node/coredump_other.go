//go:build unix && !linux

package node

import "golang.org/x/sys/unix"

// noCoreDumps keeps keys and tokens in memory from ending up in a file.
func noCoreDumps() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
