package clients_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestLibraries runs the program of each npm library with node's own test
// runner. That node or npm is missing is a failure: a client that was not run
// has shown nothing.
func TestLibraries(t *testing.T) {
	programs, err := filepath.Glob("*.test.mjs")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	checkNode(t)
	install(t)
	s := dev(t)
	for _, program := range programs {
		t.Run(strings.TrimSuffix(program, ".test.mjs"), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", program)
			cmd.Env = append(os.Environ(), "GATEHOUSE_DEV="+s.line, "GATEHOUSE="+s.binary, "GATEHOUSE_DATA="+s.data)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// oldestNode is the first major version with the Web Crypto that the libraries
// take for granted.
const oldestNode = 20

func checkNode(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Fatalf("node: %v: install Node.js %d or later", err, oldestNode)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		t.Fatalf("this is Node.js %s: the libraries need %d or later", out, oldestNode)
	}
}

// install makes node_modules what the lock file says. A marker with the lock
// file's digest spares the next run npm's ten seconds.
func install(t *testing.T) {
	t.Helper()
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	want := hex.EncodeToString(sum[:])
	marker := filepath.Join("node_modules", ".gatehouse-lock")
	if have, err := os.ReadFile(marker); err == nil && string(have) == want {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(marker, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
