package gatehouse

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// packed is a backup of files, in the order given; its manifest is as edit leaves it.
func packed(t testing.TB, files map[string]string, order []string, edit func(*Manifest)) []byte {
	t.Helper()
	m := &Manifest{Format: manifestFormat, Store: "sqlite"}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name, body string) {
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o600, Format: tar.FormatPAX})
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range order {
		sum := sha256.Sum256([]byte(files[name]))
		m.Files = append(m.Files, ManifestFile{name, int64(len(files[name])), hex.EncodeToString(sum[:])})
		add(name, files[name])
	}
	edit(m)
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	add(manifestName, string(body))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(b []byte) (*Manifest, error) {
	return ReadBackup(bytes.NewReader(b), func(string, int64) (io.Writer, error) { return io.Discard, nil })
}

func TestReadBackup(t *testing.T) {
	files := map[string]string{"gatehouse.db": strings.Repeat("page", 1500)}
	whole := packed(t, files, []string{"gatehouse.db"}, func(*Manifest) {})
	if _, err := unpack(whole); err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndexByte(whole, '}') + 1 // what follows is padding
	for n := range end {
		if _, err := unpack(whole[:n]); !errors.Is(err, ErrBackup) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	const content = 512 // the first header; its checksum covers it
	for n := content; n < content+len(files["gatehouse.db"]); n += 7 {
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		if _, err := unpack(changed); !errors.Is(err, ErrBackup) {
			t.Fatalf("byte %d was changed: %v", n, err)
		}
	}
	for what, b := range map[string][]byte{
		"another format":     packed(t, files, []string{"gatehouse.db"}, func(m *Manifest) { m.Format = 99 }),
		"another sum":        packed(t, files, []string{"gatehouse.db"}, func(m *Manifest) { m.Files[0].SHA256 = strings.Repeat("0", 64) }),
		"a file too few":     packed(t, files, []string{"gatehouse.db"}, func(m *Manifest) { m.Files = nil }),
		"a file too many":    packed(t, files, []string{"gatehouse.db"}, func(m *Manifest) { m.Files = append(m.Files, ManifestFile{Name: "x"}) }),
		"something after it": append(bytes.Clone(whole[:end+512-end%512]), whole...),
		"no tar":             []byte(strings.Repeat("no tar at all ", 100)),
		"nothing":            nil,
		"many files":         packed(t, files, strings.Split(strings.Repeat("gatehouse.db ", 40), " "), func(*Manifest) {}),
	} {
		if _, err := unpack(b); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refusal := errors.New("no room")
	if _, err := ReadBackup(bytes.NewReader(whole), func(string, int64) (io.Writer, error) { return nil, refusal }); !errors.Is(err, refusal) {
		t.Errorf("the sink's own error is lost: %v", err)
	}
}

func FuzzReadBackup(f *testing.F) {
	whole := packed(f, map[string]string{"gatehouse.db": "pages"}, []string{"gatehouse.db"}, func(*Manifest) {})
	f.Add(whole)
	f.Add(whole[:700])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got int64
		m, err := ReadBackup(bytes.NewReader(b), func(string, int64) (io.Writer, error) { return counter{&got}, nil })
		if (m == nil) == (err == nil) {
			t.Fatalf("%v beside %v", m, err)
		}
		if m == nil {
			return
		}
		var named int64
		for _, file := range m.Files {
			named += file.Size
		}
		if named != got {
			t.Fatalf("%d bytes were read, and the manifest names %d", got, named)
		}
	})
}

type counter struct{ n *int64 }

func (c counter) Write(b []byte) (int, error) {
	*c.n += int64(len(b))
	return len(b), nil
}
