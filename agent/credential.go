package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A resolver turns settings into values, and remembers which files and
// commands they came from.
type resolver struct {
	dir      string
	files    []stamp
	commands bool
	err      error
}

// stamp tells one content of a file from the next.
type stamp struct {
	path string
	info os.FileInfo
}

func (s stamp) changed() bool {
	info, err := os.Stat(s.path)
	// A file that is gone is about to be replaced; the old value holds.
	return err == nil && (!os.SameFile(info, s.info) || info.Size() != s.info.Size() || !info.ModTime().Equal(s.info.ModTime()))
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// plain fills in variables of the environment.
func (r *resolver) plain(key, s string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		name := v[2 : len(v)-1]
		value, ok := os.LookupEnv(name)
		if !ok {
			r.fail("%s: the environment has no %s", key, name)
		}
		return value
	})
}

// credential is plain, or what a file or a command says.
func (r *resolver) credential(key, s string) string {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		return r.file(key, r.path(r.plain(key, path)))
	}
	if line, ok := strings.CutPrefix(s, "command:"); ok {
		return r.command(key, line)
	}
	return r.plain(key, s)
}

func (r *resolver) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(r.dir, p)
}

const maxCredential = 64 << 10

func (r *resolver) file(key, path string) string {
	info, err := os.Stat(path)
	if err != nil {
		r.fail("%s: %w", key, err)
		return ""
	}
	if !info.Mode().IsRegular() || info.Size() > maxCredential {
		r.fail("%s: %s must be a file of at most %d KiB", key, path, maxCredential>>10)
		return ""
	}
	r.files = append(r.files, stamp{path, info})
	b, err := os.ReadFile(path)
	if err != nil {
		r.fail("%s: %w", key, err)
	}
	return oneLine(b)
}

const commandTimeout = 15 * time.Second

// command runs a line of shell. What it prints on its standard error is the
// owner's to see; what it prints on its output is secret.
func (r *resolver) command(key, line string) string {
	r.commands = true
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", strings.TrimSpace(line))
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = r.dir, os.Stderr, time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		r.fail("%s: the command failed: %w", key, err)
		return ""
	}
	return oneLine(out.Bytes())
}

// oneLine drops the one line end that editors and echo leave.
func oneLine(b []byte) string {
	s, _ := strings.CutSuffix(string(b), "\n")
	s, _ = strings.CutSuffix(s, "\r")
	return s
}

func (r *resolver) fail(format string, args ...any) {
	r.err = errors.Join(r.err, fmt.Errorf(format, args...))
}
