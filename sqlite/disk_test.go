package sqlite

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-auth/gatehouse"
)

// untilRefused records tokens until the store refuses one, and returns those
// that it took and the refusal.
func untilRefused(t *testing.T, s *Store, c *gatehouse.Client) (taken []gatehouse.TokenID, refusal error) {
	t.Helper()
	for range 200_000 {
		g := issue(c, time.Now())
		if err := s.Record(t.Context(), g); err != nil {
			return taken, err
		}
		taken = append(taken, g.Tokens[0].ID)
	}
	t.Fatal("the disk never filled up")
	return nil, nil
}

// allThere expects every token on the ledger, and whole chains.
func allThere(t *testing.T, s *Store, ids []gatehouse.TokenID) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Token(t.Context(), id); err != nil {
			t.Fatalf("%s, which was acknowledged: %v", id, err)
		}
	}
	report, err := s.CheckAudit(t.Context())
	must(t, err)
	for _, fault := range report.Faults {
		t.Error(fault)
	}
	must(t, s.IntegrityCheck(t.Context()))
}

// A full disk refuses writes in a way that a retry may cure, and reads go on.
func TestFullDisk(t *testing.T) {
	disks := map[string]func(t *testing.T) (dir string, fill, free func(*Store)){
		"page limit": pageLimit,
	}
	if os.Geteuid() == 0 {
		disks["small file system"] = smallFileSystem
	}
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			dir, fill, free := disk(t)
			s := open(t, dir, Options{partitionRows: 500})
			c := saveClient(t, s)
			fill(s)
			taken, refusal := untilRefused(t, s, c)
			if !errors.Is(refusal, gatehouse.ErrStore) || errors.Is(refusal, gatehouse.ErrUnknownOutcome) {
				t.Fatalf("refused with %v", refusal)
			}
			if err := s.Record(t.Context(), issue(c, time.Now())); err != nil && !errors.Is(err, gatehouse.ErrStore) {
				t.Fatalf("refused with %v", err)
			}
			select {
			case err := <-s.Failed():
				t.Fatalf("a full disk has failed the store: %v", err)
			default:
			}
			allThere(t, s, taken)
			free(s)
			g := issue(c, time.Now())
			must(t, s.Record(t.Context(), g))
			allThere(t, s, append(taken, g.Tokens[0].ID))
		})
	}
}

// pageLimit is a database that SQLite doesn't let grow: a statement fails.
func pageLimit(t *testing.T) (dir string, fill, free func(*Store)) {
	limit := func(pragma string) func(*Store) {
		return func(s *Store) {
			must(t, s.write(context.Background(), func(w *writer) error { return w.conn.run(pragma) }))
		}
	}
	return t.TempDir(), limit("PRAGMA max_page_count = 200"), limit("PRAGMA max_page_count = 1000000")
}

// smallFileSystem is one with 4 MiB, some of them taken: a commit fails.
func smallFileSystem(t *testing.T) (dir string, fill, free func(*Store)) {
	dir = t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	ballast := filepath.Join(dir, "ballast")
	return dir, func(*Store) { must(t, os.WriteFile(ballast, make([]byte, 2<<20), 0o600)) },
		func(*Store) { must(t, os.Remove(ballast)) }
}

// A disk that fails a commit leaves its outcome unknown and ends the store:
// writes are refused from then on, and what it had acknowledged is there after
// a new start.
func TestFailedCommitEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	must(t, err)
	c := saveClient(t, s)
	// A write beyond the limit on a file's length fails with EFBIG, which
	// SQLite takes for an I/O error like any other.
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: before.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &before)) }()

	taken, refusal := untilRefused(t, s, c)
	if !errors.Is(refusal, gatehouse.ErrUnknownOutcome) {
		t.Fatalf("refused with %v", refusal)
	}
	select {
	case err := <-s.Failed():
		if !errors.Is(err, gatehouse.ErrStore) {
			t.Errorf("failed with %v", err)
		}
	default:
		t.Error("nobody was told")
	}
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &before))
	err = s.Record(t.Context(), issue(c, time.Now()))
	if !errors.Is(err, gatehouse.ErrStore) || errors.Is(err, gatehouse.ErrUnknownOutcome) {
		t.Errorf("after the failure: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, gatehouse.ErrStore) {
		t.Errorf("Ping: %v", err)
	}
	allThere(t, s, taken)
	if err := s.Close(); !errors.Is(err, gatehouse.ErrStore) {
		t.Errorf("Close: %v", err)
	}
	allThere(t, open(t, dir, Options{}), taken)
}
