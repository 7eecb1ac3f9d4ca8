package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/gatehouse-auth/gatehouse"
)

func TestDirectoryBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	_, err := Open(t.Context(), dir, Options{})
	want := fmt.Sprintf("in use by another gatehouse (pid %d)", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %q", err, want)
	}
	must(t, s.Close())
	open(t, dir, Options{})
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	s := open(t, dir, Options{})
	_, err := s.Setting(t.Context(), "a", []byte("b"))
	must(t, err)
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		must(t, err)
		info, err := entry.Info()
		must(t, err)
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		files++
		return nil
	}))
	if files < 5 { // the directory, the lock, the database, its log and the log's index
		t.Fatalf("only %d files", files)
	}
}

func TestOpenDirectoryIsClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	open(t, dir, Options{})
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %o", info.Mode().Perm())
	}
}

func TestLaterSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir, Options{}).Close())
	execute(t, dir, "PRAGMA user_version = 99")
	_, err := Open(t.Context(), dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "later gatehouse") {
		t.Fatalf("got %v", err)
	}
	execute(t, dir, fmt.Sprintf("PRAGMA user_version = %d", len(schema.Migrations)))
	open(t, dir, Options{}) // and the lock was let go
}

func TestClosedStoreRefuses(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	must(t, s.Close())
	must(t, s.Close())
	if err := s.Ping(t.Context()); !errors.Is(err, gatehouse.ErrStore) {
		t.Errorf("Ping: %v", err)
	}
	act := gatehouse.Act{At: time.Now(), By: actor, Action: "client.create"}
	if err := s.SaveClient(t.Context(), act, &gatehouse.Client{ID: "one"}); !errors.Is(err, gatehouse.ErrStore) {
		t.Errorf("SaveClient: %v", err)
	}
}

func TestDurabilityIsAsserted(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for range readers {
		c := <-s.idle
		if err := c.assert("FULL"); err != nil {
			t.Error(err)
		}
		must(t, c.run("PRAGMA synchronous = NORMAL"))
		if err := c.assert("FULL"); err == nil {
			t.Error("a connection that syncs too little passes")
		}
		must(t, c.run("PRAGMA synchronous = FULL"))
		s.idle <- c
	}
}

// The epoch is written by a restore, which replaces the whole database.
func TestEpochEndsWhatIsOlder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	c := saveClient(t, s)
	now := time.Now().Truncate(time.Second).UTC()
	old := issue(c, now.Add(-time.Minute))
	must(t, s.Record(t.Context(), old))
	must(t, s.Close())
	execute(t, dir, fmt.Sprintf("UPDATE meta SET epoch = %d", now.UnixMilli()))
	s = open(t, dir, Options{})
	if err := s.Record(t.Context(), issue(c, now)); !errors.Is(err, gatehouse.ErrCutoff) {
		t.Errorf("a token of the epoch: %v", err)
	}
	uses := issue(c, now.Add(time.Minute))
	uses.Uses = old.Tokens[0].ID
	if err := s.Record(t.Context(), uses); !errors.Is(err, gatehouse.ErrRevoked) {
		t.Errorf("using a token from before the epoch: %v", err)
	}
	must(t, s.Record(t.Context(), issue(c, now.Add(time.Minute))))
	list, err := s.Tokens(t.Context(), gatehouse.TokenQuery{Status: gatehouse.StatusRevoked, Now: now})
	must(t, err)
	if len(list) != 1 || list[0].ID != old.Tokens[0].ID || !list[0].RevokedAt.Equal(now) {
		t.Errorf("revoked: %v", list)
	}
	snap, err := s.Load(t.Context(), now)
	must(t, err)
	if !snap.Epoch.Equal(now) {
		t.Errorf("epoch %v, want %v", snap.Epoch, now)
	}
}

// execute runs a statement on the database of a store that is closed.
func execute(t *testing.T, dir, query string) {
	t.Helper()
	db, err := sqlite.OpenConn(filepath.Join(dir, "gatehouse.db"), sqlite.OpenReadWrite)
	must(t, err)
	must(t, sqlitex.ExecuteTransient(db, query, nil))
	must(t, db.Close())
}
