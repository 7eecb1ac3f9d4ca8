package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/token"
)

// revocations are entries from one number to another.
func revocations(from, to int64) []admin.JournalEntry {
	var all []admin.JournalEntry
	for seq := from; seq <= to; seq++ {
		all = append(all, admin.JournalEntry{Seq: seq, At: time.Unix(seq, 0).UTC(), Kind: "token_revoked", TokenID: token.NewID(time.Unix(seq, 0)).String()})
	}
	return all
}

// readJournal reads a journal file to its end.
func readJournal(b []byte) (r *JournalReader, seqs []int64, err error) {
	if r, err = NewJournalReader(bytes.NewReader(b)); err != nil {
		return nil, nil, err
	}
	for record, err := range r.Records() {
		if err != nil {
			return r, seqs, err
		}
		seqs = append(seqs, record.Seq)
	}
	return r, seqs, nil
}

// A journal goes on where its writer left it, however that ended.
func TestJournalFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	newest := func() (admin.Journal, error) { return admin.Journal{Seq: 7, HeardAt: at}, nil }
	w, err := OpenJournal(path, newest)
	must(t, err)
	if _, err := OpenJournal(path, newest); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two writers: %v", err)
	}
	must(t, w.Append(admin.Journal{Entries: revocations(8, 10), Seq: 12, HeardAt: at.Add(time.Minute)}))
	must(t, w.Append(admin.Journal{Entries: revocations(11, 12), Seq: 12, HeardAt: at.Add(2 * time.Minute)}))
	if err := w.Append(admin.Journal{Entries: revocations(14, 14), Seq: 14}); err == nil {
		t.Error("a gap was written")
	}
	must(t, w.Close())

	b, err := os.ReadFile(path)
	must(t, err)
	r, seqs, err := readJournal(b)
	must(t, err)
	if r.Since != 7 || len(seqs) != 5 || seqs[4] != 12 || !r.HeardAt.Equal(at.Add(2*time.Minute)) {
		t.Errorf("%+v %v", r, seqs)
	}
	// Killed in the middle of a line, at any byte: what was whole is there, and the
	// next writer goes on.
	begun := bytes.IndexByte(b, '\n') + 1
	for n := begun; n < len(b); n += 11 {
		if _, _, err := readJournal(b[:n]); err != nil {
			t.Fatalf("torn after %d bytes: %v", n, err)
		}
	}
	must(t, os.WriteFile(path, b[:len(b)-len(b)/3], 0o600))
	w, err = OpenJournal(path, newest)
	must(t, err)
	must(t, w.Append(admin.Journal{Entries: revocations(w.Seq+1, 13), Seq: 13, HeardAt: at.Add(3 * time.Minute)}))
	must(t, w.Close())
	b, err = os.ReadFile(path)
	must(t, err)
	if _, seqs, err := readJournal(b); err != nil || len(seqs) != 6 {
		t.Errorf("%v %v", seqs, err)
	}
	for what, text := range map[string]string{
		"nothing":             "",
		"no beginning":        `{"heard_at":"2026-03-01T12:00:00Z"}` + "\n",
		"not JSON":            string(b[:begun]) + "entry\n",
		"an unknown member":   string(b[:begun]) + `{"entyr":{}}` + "\n",
		"two beginnings":      string(b) + string(b),
		"an entry of no id":   string(b[:begun]) + `{"entry":{"seq":8,"at":"2026-03-01T12:00:00Z","kind":"token_revoked"}}` + "\n",
		"a client too few":    string(b[:begun]) + `{"entry":{"seq":8,"at":"2026-03-01T12:00:00Z","kind":"client_changed"}}` + "\n",
		"a damaged client":    string(b[:begun]) + `{"entry":{"seq":8,"at":"2026-03-01T12:00:00Z","kind":"client_changed","client":{"id":"c","record":"{"}}}` + "\n",
		"a negative position": `{"from":-1}` + "\n",
	} {
		if _, _, err := readJournal([]byte(text)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	must(t, os.WriteFile(path, []byte("precious\n"), 0o600))
	if _, err := OpenJournal(path, newest); err == nil {
		t.Error("a file that is no journal was appended to")
	}
	down := errors.New("down")
	if _, err := OpenJournal(filepath.Join(t.TempDir(), "new"), func() (admin.Journal, error) { return admin.Journal{}, down }); !errors.Is(err, down) {
		t.Error(err)
	}
}

func FuzzJournalReader(f *testing.F) {
	f.Add([]byte(`{"from":7,"heard_at":"2026-03-01T12:00:00Z"}` + "\n" + `{"entry":{"seq":8,"at":"2026-03-01T12:00:00Z","kind":"epoch","before":"2026-03-01T12:00:00Z"}}` + "\n"))
	f.Add([]byte(`{"from":0}` + "\n" + `{"entry":{"seq":1,"at":"2026-03-01T12:00:00Z","kind":"keys_changed","keys":[]}}` + "\n" + `{"heard`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := readJournal(b)
		if err == nil && (r.Whole > int64(len(b)) || r.Whole > 0 && b[r.Whole-1] != '\n') {
			t.Fatalf("%d whole bytes of %d", r.Whole, len(b))
		}
	})
}
