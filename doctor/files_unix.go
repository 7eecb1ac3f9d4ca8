//go:build unix

package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// otherOwner complains of a directory that is another user's than the one who asks.
func otherOwner(path string, info fs.FileInfo) []Finding {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() || os.Geteuid() == 0 {
		return nil
	}
	return []Finding{{"data-dir-owner", Warning, fmt.Sprintf("%s belongs to user %d, and this is user %d", path, st.Uid, os.Geteuid()),
		"a server started so can't write it, and what this user sees of it may not be all", "run gatehouse as the user whom the directory belongs to"}}
}
