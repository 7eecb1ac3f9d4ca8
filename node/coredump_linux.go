package node

import "golang.org/x/sys/unix"

// noCoreDumps keeps keys and tokens in memory from ending up in a file, and
// other processes of the same user from reading them (prctl(2), PR_SET_DUMPABLE).
func noCoreDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
