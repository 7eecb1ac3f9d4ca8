package node

import "golang.org/x/sys/unix"

// freeSpace is how much more the process may write at path.
func freeSpace(path string) (bytes uint64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}

// coreLimit is how large a core dump of the process may be.
func coreLimit() (bytes uint64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return 0, false
	}
	return limit.Cur, true
}
