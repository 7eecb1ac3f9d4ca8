package sqlite

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// slowSink takes a copy in its own time.
type slowSink struct {
	to      io.Writer
	written func(pages int)
	pages   int
}

func (s *slowSink) Write(b []byte) (int, error) {
	s.pages++
	s.written(s.pages)
	return s.to.Write(b)
}

// A copy is of one commit, however long it takes and whatever is written
// meanwhile, and nobody who writes waits for it.
func TestBackupWhileWriting(t *testing.T) {
	s := open(t, t.TempDir(), Options{partitionRows: 200})
	c := saveClient(t, s)
	var issued atomic.Int64
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for range 8 {
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				g := issue(c, time.Now())
				if err := s.Record(t.Context(), g); err != nil {
					t.Error(err)
					return
				}
				if n := issued.Add(1); n%5 == 0 {
					act := gatehouse.Act{At: time.Now(), By: actor, Action: "token.revoke"}
					if _, err := s.Revoke(t.Context(), act, gatehouse.Selection{Token: g.Tokens[0].ID}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	waitFor := func(more int64) {
		for from, deadline := issued.Load(), time.Now().Add(30*time.Second); issued.Load() < from+more; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("writers wait for the copy")
			}
		}
	}
	waitFor(300)
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, databaseFile))
	must(t, err)
	sink := &slowSink{to: file, written: func(pages int) {
		if pages <= 3 {
			waitFor(100) // the copy goes no further until they have
		}
	}}
	var size int64
	m, err := s.Backup(t.Context(), func(name string, n int64) (io.Writer, error) {
		if _, err := s.Backup(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "under way") {
			t.Errorf("two copies at once: %v", err)
		}
		size = n
		return sink, nil
	})
	must(t, err)
	must(t, file.Close())
	close(stop)
	writing.Wait()
	if info, err := os.Stat(file.Name()); err != nil || info.Size() != size {
		t.Errorf("%v %v, %d bytes were promised", info, err, size)
	}

	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "gatehouse restore") {
		t.Fatalf("the copy in a backup is served: %v", err)
	}
	must(t, Adopt(t.Context(), dir))
	copied := open(t, dir, Options{})
	must(t, copied.IntegrityCheck(t.Context()))
	report, err := copied.CheckAudit(t.Context())
	must(t, err)
	if len(report.Faults) > 0 || int64(report.Tokens) != m.Counts.Tokens || m.Counts.Tokens < 300 || m.Counts.Tokens >= issued.Load() {
		t.Errorf("%+v; the manifest counts %+v, and %d were issued", report, m.Counts, issued.Load())
	}
	is, err := copied.Backup(t.Context(), nil)
	must(t, err)
	if is.EventHead != m.EventHead || is.JournalSeq != m.JournalSeq || is.Counts != m.Counts || !slices.Equal(is.Chains, m.Chains) {
		t.Errorf("the copy has %+v, its manifest says %+v", is.Counts, m.Counts)
	}
}

// Whoever goes away leaves nothing behind, and the next one gets a copy.
func TestBackupIsAbandoned(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	saveClient(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Backup(ctx, func(string, int64) (io.Writer, error) {
		cancel()
		return io.Discard, nil
	})
	if err == nil {
		t.Error("a copy that nobody wants is whole")
	}
	_, err = s.Backup(t.Context(), func(string, int64) (io.Writer, error) { return io.Discard, nil })
	must(t, err)
}

// Only a copy can be adopted, and a ledger that was moved is not served.
func TestAdoptAndRetire(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir, Options{}).Close())
	if err := Adopt(t.Context(), dir); err == nil {
		t.Error("a ledger was adopted")
	}
	must(t, Retire(dir))
	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("a ledger that was moved is served: %v", err)
	}
	if err := Retire(dir); err == nil {
		t.Error("a ledger was moved twice")
	}
}
