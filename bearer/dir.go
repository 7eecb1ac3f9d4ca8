package bearer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A Dir is a [Cache] in a directory of this machine, shared by any number of
// processes. Its files are for their owner only.
type Dir struct{ root *os.Root }

const (
	tokenSuffix   = ".token"
	lockSuffix    = ".lock"
	damagedSuffix = ".damaged"
	maxEntry      = 1 << 20
)

// OpenDir opens a directory, made where it is missing (0700), and drops what
// has ended from it.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	if info, err := root.Stat("."); err != nil || info.Mode().Perm()&0o022 != 0 {
		root.Close()
		return nil, fmt.Errorf("token cache: others may write to %s: run: chmod 700 '%s'", path, path)
	}
	d := &Dir{root}
	d.sweep()
	return d, nil
}

// Close closes the directory. Sources that use it must be closed before.
func (d *Dir) Close() error { return d.root.Close() }

// sweep removes entries whose end, kept as the file's time, has passed.
func (d *Dir) sweep() {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasSuffix(e.Name(), tokenSuffix) && info.Mode().IsRegular() && info.ModTime().Before(time.Now()) {
			_ = d.root.Remove(e.Name()) // it may be gone already
		}
	}
}

// Load is part of [Cache].
func (d *Dir) Load(_ context.Context, name string) ([]byte, error) {
	f, err := d.root.Open(name + tokenSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxEntry))
}

// Store is part of [Cache]. A reader finds the old entry or the new one.
func (d *Dir) Store(_ context.Context, name string, data []byte, end time.Time) error {
	temporary := name + "." + rand.Text() + ".new"
	f, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if end.IsZero() {
		end = time.Now().AddDate(100, 0, 0)
	}
	if err == nil {
		err = d.root.Chtimes(temporary, time.Now(), end)
	}
	if err == nil {
		err = d.root.Rename(temporary, name+tokenSuffix)
	}
	if err != nil {
		return errors.Join(err, d.root.Remove(temporary))
	}
	return nil
}

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 20 * time.Millisecond

// Lock is part of [Cache]. The operating system ends the lock of a process
// that dies.
func (d *Dir) Lock(ctx context.Context, name string) (unlock func(), err error) {
	f, err := d.root.OpenFile(name+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := tryLock(f)
		if err == nil && ok {
			return func() { f.Close() }, nil
		}
		if err == nil {
			err = sleep(ctx, lockPoll)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
}

// SetAside is part of [Cache]: the file stays, for whoever wants to know.
func (d *Dir) SetAside(_ context.Context, name string) error {
	return d.root.Rename(name+tokenSuffix, name+damagedSuffix)
}

// KeyFile reads the key of a cache from a file, which is made (0600) where it
// is missing. Processes that start at once get the same key.
func KeyFile(path string) (key [32]byte, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeKeyFile(path); err != nil {
			return key, fmt.Errorf("token cache: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return key, fmt.Errorf("token cache: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("token cache: others may read the key %s: run: chmod 600 '%s'", path, path)
	}
	if _, err := io.ReadFull(f, key[:]); err != nil || info.Size() != int64(len(key)) {
		return key, fmt.Errorf("token cache: %s is no key of %d bytes: remove it, and the cache is begun anew", path, len(key))
	}
	return key, nil
}

// makeKeyFile makes the file by a link, which is there whole or not at all,
// and never takes the place of another.
func makeKeyFile(path string) error {
	key := NewKey()
	temporary := path + "." + rand.Text() + ".new"
	if err := os.WriteFile(temporary, key[:], 0o600); err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
