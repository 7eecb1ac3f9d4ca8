package credential

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrKEK: a key-encryption key that can't be used. The error says what to do.
var ErrKEK = errors.New("unusable key-encryption key")

// ParseKEK reads a key-encryption key: 32 bytes in standard base64. Spaces and
// line ends around it are left out, since files and variables often have them.
func ParseKEK(encoded string) ([32]byte, error) {
	raw, err := decode(base64.StdEncoding, strings.TrimSpace(encoded))
	if err != nil || len(raw) != 32 {
		return [32]byte{}, fmt.Errorf("%w: it must be 32 bytes in base64 (44 characters); `openssl rand -base64 32` makes one", ErrKEK)
	}
	return [32]byte(raw), nil
}

// LoadOrCreateKEK reads the key-encryption key in the file at path, or makes a
// random one there (mode 0600, synced) if there is no file. It refuses a file
// that others than its owner may read or write. Processes that race to create
// the file all get the same key.
func LoadOrCreateKEK(path string) ([32]byte, error) {
	kek, err := loadKEK(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return kek, err
	}
	if err := createKEK(path); err != nil {
		return [32]byte{}, fmt.Errorf("making the key-encryption key: %w", err)
	}
	return loadKEK(path)
}

func loadKEK(path string) ([32]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return [32]byte{}, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return [32]byte{}, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return [32]byte{}, fmt.Errorf("%w: %s is not a file", ErrKEK, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return [32]byte{}, fmt.Errorf("%w: others may use %s (mode %04o); run: chmod 600 '%s'", ErrKEK, path, mode, path)
	}
	const enough = 1 << 10
	content, err := io.ReadAll(io.LimitReader(f, enough))
	if err != nil {
		return [32]byte{}, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	kek, err := ParseKEK(string(content))
	if err != nil {
		return [32]byte{}, fmt.Errorf("%s: %w", path, err)
	}
	return kek, nil
}

// createKEK writes a new key beside path and links it into place, so that path
// never names half a key and never replaces a whole one.
func createKEK(path string) error {
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".kek-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(raw[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
