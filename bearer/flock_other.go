//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package bearer

import "os"

// tryLock has nothing to lock with here, which costs a visit too many where
// two processes start at once.
func tryLock(*os.File) (bool, error) { return true, nil }
