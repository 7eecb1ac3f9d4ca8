// Package built makes the real binary, for tests that run it.
package built

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Gatehouse builds the binary into dir, for a package two folders below the
// root, and returns its path.
func Gatehouse(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/gatehouse")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building the server: %w", err)
	}
	return binary, nil
}

// NoteSources reads the directories of what the binary and the tests' programs
// are made of. Go takes a result from its cache unless something changed that a
// test itself has opened; what its processes open it doesn't see, nor what
// TestMain opens before m.Run. So a test calls it.
var NoteSources = sync.OnceFunc(func() {
	_ = filepath.WalkDir("../..", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "output") {
			return fs.SkipDir
		}
		return nil
	})
})
