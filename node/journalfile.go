package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
)

// A journalLine is a line of a journal file: where it begins, an entry, or that
// there was no other at a moment.
type journalLine struct {
	From    *int64              `json:"from,omitempty"` // first line only: the file has every entry after it
	Entry   *admin.JournalEntry `json:"entry,omitempty"`
	HeardAt time.Time           `json:"heard_at,omitzero"`
}

// maxJournalLine is longer than any entry: one with all keys of many years.
const maxJournalLine = 64 << 20

// A JournalReader reads a journal file: JSON lines, of which the last may be torn,
// since its writer can be killed.
type JournalReader struct {
	Since   int64     // the file has every entry after it
	HeardAt time.Time // once Records has ended: up to when that was all there was
	Whole   int64     // once Records has ended: how many bytes are whole lines

	in *bufio.Reader
}

// NewJournalReader reads the beginning of a journal file.
func NewJournalReader(r io.Reader) (*JournalReader, error) {
	j := &JournalReader{in: bufio.NewReader(r)}
	first, err := j.line()
	if err != nil || first == nil || first.From == nil || *first.From < 0 || first.Entry != nil {
		return nil, errors.Join(errors.New("it is no journal that `gatehouse backup --journal` has written: its first line says not where it begins"), err)
	}
	j.Since = *first.From
	return j, nil
}

// line returns the next line, nil after the last whole one.
func (j *JournalReader) line() (*journalLine, error) {
	var text []byte
	for {
		part, err := j.in.ReadSlice('\n')
		if len(text)+len(part) > maxJournalLine {
			return nil, errors.New("the journal has a line that is longer than any entry")
		}
		text = append(text, part...)
		switch {
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, nil
		default:
			return nil, err
		}
		break
	}
	l := &journalLine{}
	if err := json.Unmarshal(bytes.TrimSuffix(text, []byte("\n")), l, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("the journal is damaged after byte %d: %w", j.Whole, err)
	}
	j.Whole += int64(len(text))
	if l.HeardAt.After(j.HeardAt) {
		j.HeardAt = l.HeardAt
	}
	return l, nil
}

// Records are the entries, in the order of the file. It can be read once.
func (j *JournalReader) Records() iter.Seq2[gatehouse.JournalRecord, error] {
	return func(yield func(gatehouse.JournalRecord, error) bool) {
		for {
			l, err := j.line()
			if err == nil && l == nil {
				return
			}
			var r gatehouse.JournalRecord
			switch {
			case err != nil:
			case l.From != nil:
				err = fmt.Errorf("the journal begins anew after byte %d: it was put together from several", j.Whole)
			case l.Entry == nil:
				continue
			default:
				r, err = l.Entry.JournalRecord()
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// A JournalWriter appends to a journal file, which one process at a time may do.
type JournalWriter struct {
	Seq int64 // the file has the entries up to it

	file *os.File
}

// OpenJournal opens the journal file at path, or makes one that begins where
// newest says that the journal has come to. Close it.
func OpenJournal(path string, newest func() (admin.Journal, error)) (w *JournalWriter, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	w = &JournalWriter{file: f}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another process is writing to %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		now, err := newest()
		if err != nil {
			return nil, err
		}
		w.Seq = now.Seq
		return w, w.write(journalLine{From: &now.Seq, HeardAt: now.HeardAt})
	}
	r, err := NewJournalReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w.Seq = r.Since
	for record, err := range r.Records() {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		w.Seq = record.Seq
	}
	if err := f.Truncate(r.Whole); err != nil {
		return nil, err
	}
	_, err = f.Seek(r.Whole, io.SeekStart)
	return w, err
}

// Append adds what the server has told after w.Seq, durably.
func (w *JournalWriter) Append(j admin.Journal) error {
	lines := make([]journalLine, 0, len(j.Entries)+1)
	for i := range j.Entries {
		if j.Entries[i].Seq != w.Seq+1 {
			return fmt.Errorf("the server has entry %d after entry %d: its ledger was restored; begin a new backup and a new journal", j.Entries[i].Seq, w.Seq)
		}
		w.Seq = j.Entries[i].Seq
		lines = append(lines, journalLine{Entry: &j.Entries[i]})
	}
	if w.Seq >= j.Seq {
		lines = append(lines, journalLine{HeardAt: j.HeardAt})
	}
	return w.write(lines...)
}

func (w *JournalWriter) write(lines ...journalLine) error {
	var b []byte
	for i := range lines {
		line, err := json.Marshal(&lines[i])
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	if _, err := w.file.Write(b); err != nil {
		return err
	}
	return w.file.Sync()
}

// Close closes the file.
func (w *JournalWriter) Close() error { return w.file.Close() }
