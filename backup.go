package gatehouse

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Manifest says what a store held as of one commit, so that a copy of it can
// be told from one that is damaged, cut off, older, or put together from parts
// of different moments. Its chain heads are the marks: a hash chain that has
// the head of a mark at that place holds everything that was before it, unchanged.
type Manifest struct {
	Format     int            `json:"format"` // manifestFormat
	Store      string         `json:"store"`  // which store wrote it: "sqlite", "postgres"
	Schema     int            `json:"schema"` // that the store's database had
	TakenAt    time.Time      `json:"taken_at"`
	Newest     time.Time      `json:"newest,omitzero"` // the newest time on the ledger
	Epoch      time.Time      `json:"epoch,omitzero"`
	JournalSeq int64          `json:"journal_seq"`
	EventSeq   int64          `json:"event_seq"`
	EventHead  string         `json:"event_head"` // hex
	Counts     ManifestCounts `json:"counts"`
	Chains     []ChainEnd     `json:"chains"` // of the partitions that are there
	Files      []ManifestFile `json:"files"`  // in the order in which they stand in the backup
}

// ManifestCounts are numbers of rows.
type ManifestCounts struct {
	Clients     int64 `json:"clients"`
	Connections int64 `json:"connections"`
	Keys        int64 `json:"keys"`
	Documents   int64 `json:"documents"`
	Tokens      int64 `json:"tokens"`
	Marks       int64 `json:"marks"` // spent and revoked
}

// A ChainEnd is where one hash chain of the ledger ended.
type ChainEnd struct {
	Partition int64  `json:"partition"`
	Writer    int64  `json:"writer,omitzero"` // where a partition has several
	Groups    int64  `json:"groups"`
	Rows      int64  `json:"rows"`
	Marks     int64  `json:"marks"`
	Head      string `json:"head"` // hex
}

// A ManifestFile is a file of the backup.
type ManifestFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

const (
	manifestFormat = 1
	manifestName   = "manifest.json"
	maxManifest    = 256 << 20
)

// A BackupSink takes the files of a copy, one after the other. What it returns
// is written size bytes.
type BackupSink func(name string, size int64) (io.Writer, error)

// ErrBackup: a backup that is damaged, cut off or none.
var ErrBackup = errors.New("not a whole backup")

// Backup writes a copy of the store to w, as of one commit and while everything
// goes on: a tar of the store's files and, at its end, the manifest. Where the
// store is copied by a program of its own (PostgreSQL's) the manifest is all,
// and marks the moment: a copy that is made later must hold all of it.
//
// The key-encryption key is not in it. The error may come after a part was
// written: ReadBackup refuses that.
func (e *Engine) Backup(ctx context.Context, by Actor, w io.Writer) error {
	act := e.act(by, "backup", "ledger")
	if err := e.store.Keep(ctx, &act); err != nil {
		return err
	}
	out := tar.NewWriter(w)
	var files []ManifestFile
	var sum hash.Hash
	seal := func() {
		if sum != nil {
			files[len(files)-1].SHA256 = hex.EncodeToString(sum.Sum(nil))
		}
	}
	m, err := e.store.Backup(ctx, func(name string, size int64) (io.Writer, error) {
		seal()
		sum = sha256.New()
		files = append(files, ManifestFile{Name: name, Size: size})
		err := out.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: act.At, Format: tar.FormatPAX})
		return io.MultiWriter(out, sum), err
	})
	if err != nil {
		return err
	}
	seal()
	m.Format, m.TakenAt, m.Files = manifestFormat, act.At, files
	body, err := json.Marshal(m, jsontext.WithIndent("\t"))
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	if err := out.WriteHeader(&tar.Header{Name: manifestName, Size: int64(len(body)), Mode: 0o600, ModTime: act.At, Format: tar.FormatPAX}); err != nil {
		return err
	}
	if _, err := out.Write(body); err != nil {
		return err
	}
	return out.Close()
}

// ReadBackup reads what Engine.Backup wrote to its end, gives each file to sink,
// and returns the manifest once everything agrees with it. Any other end is an
// error that wraps ErrBackup; what sink has got is worth nothing then.
func ReadBackup(r io.Reader, sink BackupSink) (*Manifest, error) {
	in := tar.NewReader(r)
	var files []ManifestFile
	for {
		h, err := in.Next()
		if err != nil {
			return nil, cutOffBackup(err)
		}
		if h.Typeflag != tar.TypeReg || h.Size < 0 {
			return nil, fmt.Errorf("%w: %q in it is no file", ErrBackup, h.Name)
		}
		if h.Name == manifestName {
			return readManifest(in, r, h.Size, files)
		}
		const few = 16
		if len(files) == few {
			return nil, fmt.Errorf("%w: it has too many files", ErrBackup)
		}
		to, err := sink(h.Name, h.Size)
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(to, sum), in); err != nil {
			return nil, cutOffBackup(err)
		}
		files = append(files, ManifestFile{Name: h.Name, Size: h.Size, SHA256: hex.EncodeToString(sum.Sum(nil))})
	}
}

func cutOffBackup(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends before its manifest", ErrBackup)
	}
	if errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return err
}

// readManifest reads the manifest, and checks that nothing follows it and that
// the files are those that it names.
func readManifest(in *tar.Reader, r io.Reader, size int64, files []ManifestFile) (*Manifest, error) {
	if size > maxManifest {
		return nil, fmt.Errorf("%w: its manifest is too long", ErrBackup)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, cutOffBackup(err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(body, m, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: its manifest can't be read: %w", ErrBackup, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%w: it is of format %d, and this version reads format %d: use the gatehouse that wrote it, or a later one", ErrBackup, m.Format, manifestFormat)
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows its manifest", ErrBackup)
	}
	if !slices.Equal(m.Files, files) {
		return nil, fmt.Errorf("%w: its files are not those that its manifest names, or were changed", ErrBackup)
	}
	return m, nil
}

// differs says in which point a copy is not what m says, "" where it is. The
// copy may have grown since: only times and files are not compared.
func (m *Manifest) differs(copied *Manifest) string {
	same := func(a, b any) bool {
		x, errX := json.Marshal(a)
		y, errY := json.Marshal(b)
		return errX == nil && errY == nil && bytes.Equal(x, y)
	}
	switch {
	case m.Store != copied.Store:
		return fmt.Sprintf("it is of a %s store, the copy of a %s store", m.Store, copied.Store)
	case m.Schema != copied.Schema:
		return fmt.Sprintf("it has schema %d, the copy schema %d", m.Schema, copied.Schema)
	case m.JournalSeq != copied.JournalSeq:
		return fmt.Sprintf("its journal ends at %d, the copy's at %d", m.JournalSeq, copied.JournalSeq)
	case m.EventSeq != copied.EventSeq || m.EventHead != copied.EventHead:
		return fmt.Sprintf("its events end with %d, the copy's with %d", m.EventSeq, copied.EventSeq)
	case m.Counts != copied.Counts:
		return fmt.Sprintf("it counts %+v, the copy has %+v", m.Counts, copied.Counts)
	case !same(m.Chains, copied.Chains):
		return "the hash chains of its ledger do not end where the copy's do"
	case !m.Epoch.Equal(copied.Epoch) || !m.Newest.Equal(copied.Newest):
		return "its epoch or newest time is not the copy's"
	}
	return ""
}
