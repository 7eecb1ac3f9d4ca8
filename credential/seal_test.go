package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newSealer(t testing.TB, kek [32]byte) *Sealer {
	t.Helper()
	s, err := NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpens(t *testing.T) {
	s := newSealer(t, [32]byte{7})
	for _, plaintext := range [][]byte{nil, []byte("k"), bytes.Repeat([]byte("private key "), 1000)} {
		sealed, err := s.Seal("signing key 1", plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if len(plaintext) > 1 && bytes.Contains(sealed, plaintext[:10]) {
			t.Error("the plaintext shows")
		}
		got, err := newSealer(t, [32]byte{7}).Open("signing key 1", sealed)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("Open = %q, %v", got, err)
		}
		again, err := s.Seal("signing key 1", plaintext)
		if err != nil || bytes.Equal(sealed, again) {
			t.Error("two seals of one value are equal")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	s := newSealer(t, [32]byte{7})
	sealed, err := s.Seal("signing key 1", []byte("private"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newSealer(t, [32]byte{8}).Open("signing key 1", sealed); !errors.Is(err, ErrWrongKey) {
		t.Errorf("under another key: %v", err)
	}
	if _, err := s.Open("signing key 2", sealed); !errors.Is(err, ErrDamaged) {
		t.Errorf("for another purpose: %v", err)
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 0x20
		want := ErrDamaged
		switch {
		case i == 0:
			want = ErrSealFormat
		case i < sealHeader:
			want = ErrWrongKey
		}
		if got, err := s.Open("signing key 1", altered); !errors.Is(err, want) || got != nil {
			t.Errorf("byte %d altered: %q, %v", i, got, err)
		}
		if got, err := s.Open("signing key 1", sealed[:i]); err == nil || got != nil {
			t.Errorf("cut to %d bytes: %q, %v", i, got, err)
		}
	}
	if _, err := s.Open("signing key 1", append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("extended: %v", err)
	}
}

// sealedByVersion1 is "private" for "signing key 1" under the key {7}, as the
// first release wrote it: what stands in databases must stay readable.
var sealedByVersion1, _ = hex.DecodeString("01f86c55490bee2ab621f76cc35cd1c1ad442de72d2898eeaea14bc4d8534a1841e37548b151b64f8f85b91a")

func TestOpenReadsVersion1(t *testing.T) {
	got, err := newSealer(t, [32]byte{7}).Open("signing key 1", sealedByVersion1)
	if err != nil || string(got) != "private" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func FuzzOpen(f *testing.F) {
	s := newSealer(f, [32]byte{7})
	f.Add(sealedByVersion1)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := s.Open("signing key 1", b); err == nil && !bytes.Equal(b, sealedByVersion1) {
			t.Errorf("%x opens as %q", b, got)
		}
	})
}

func TestParseKEK(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb}, 32)
	good := base64.StdEncoding.EncodeToString(raw)
	for _, s := range []string{good, good + "\n", "  " + good + "\r\n"} {
		if got, err := ParseKEK(s); err != nil || !bytes.Equal(got[:], raw) {
			t.Errorf("ParseKEK(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"", good[:40], good + good, good[:43], "changeme", base64.StdEncoding.EncodeToString(raw[:31]),
		base64.StdEncoding.EncodeToString(append(raw, 1)), base64.URLEncoding.EncodeToString(raw), good[:20] + "\n" + good[20:]} {
		_, err := ParseKEK(s)
		if !errors.Is(err, ErrKEK) || !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("ParseKEK(%q): %v", s, err)
		}
	}
}

func TestKEKFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	keys := make([][32]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = LoadOrCreateKEK(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == [32]byte{} {
			t.Fatal("processes that started together have different keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".kek-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreateKEK(path)
		if !errors.Is(err, ErrKEK) || !strings.Contains(err.Error(), "chmod 600 '"+path+"'") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadOrCreateKEK(path); err != nil || again != keys[0] {
		t.Errorf("mode 0400: %v", err)
	}
}

func TestKEKFileRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("hunter2-not-a-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadOrCreateKEK(bad)
	if !errors.Is(err, ErrKEK) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a file that holds no key: %v", err)
	}
	if content, err := os.ReadFile(bad); err != nil || string(content) != "hunter2-not-a-key" {
		t.Error("the file was overwritten")
	}
	if _, err := LoadOrCreateKEK(dir); !errors.Is(err, ErrKEK) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := LoadOrCreateKEK(filepath.Join(dir, "none", "kek")); err == nil {
		t.Error("a key was made in a directory that isn't there")
	}
}
