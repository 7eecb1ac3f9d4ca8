package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/gatehouse-auth/gatehouse"
)

// A diskFault is a way in which operations fail.
type diskFault struct {
	name   string
	hits   operationKind
	result int32
	ends   bool // the store can't go on after it
}

var diskFaults = []diskFault{
	{"no space", opWrite, lib.SQLITE_FULL, false},
	{"failing writes", opWrite, lib.SQLITE_IOERR_WRITE, true},
	{"failing syncs", opSync, lib.SQLITE_IOERR_FSYNC, true},
	{"failing truncations", opTruncate, lib.SQLITE_IOERR_TRUNCATE, true},
}

// Each write and sync fails in turn, once or for good. Whoever is refused may
// try again and nothing of it was done; reads go on; after a disk that can't be
// trusted the store ends and a new start has all that was acknowledged.
func TestEachOperationFails(t *testing.T) {
	most := 8 // operations of a kind that fail in turn
	if soak() {
		most = 10_000
	}
	for _, fault := range diskFaults {
		t.Run(fault.name, func(t *testing.T) {
			never := faultTrial{dir: t.TempDir(), fault: fault, n: 1 << 30}
			must(t, never.run(t.Context(), watch(t, never.dir)))
			var trials, hits, ended, refused atomic.Int64
			var running sync.WaitGroup
			room := make(chan struct{}, 2)
			for n := 1; n <= never.seen; n += 1 + never.seen/most {
				for _, lasts := range []bool{false, true} {
					room <- struct{}{}
					dir := t.TempDir()
					running.Go(func() {
						defer func() { <-room }()
						trial := faultTrial{dir: dir, fault: fault, n: n, lasts: lasts}
						if err := trial.run(t.Context(), watch(t, dir)); err != nil {
							t.Errorf("from operation %d, lasting %v: %v", n, lasts, err)
						}
						trials.Add(1)
						refused.Add(int64(len(trial.refused)))
						if trial.hit() {
							hits.Add(1)
						}
						if trial.ended {
							ended.Add(1)
						}
					})
				}
			}
			running.Wait()
			t.Logf("%d operations, %d trials: the fault came in %d, %d writes were refused, the store ended in %d",
				never.seen, trials.Load(), hits.Load(), refused.Load(), ended.Load())
			if hits.Load() == 0 {
				t.Error("no trial had the fault")
			}
		})
	}
}

type faultTrial struct {
	dir   string
	fault diskFault
	n     int
	lasts bool

	seen    int // operations of the fault's kind
	ended   bool
	told    notes
	refused []*gatehouse.Grant
}

// meddle fails the n-th operation of the fault's kind, and all later ones where
// the fault lasts.
func (f *faultTrial) meddle(op operation) int32 {
	if op.kind != f.fault.hits {
		return lib.SQLITE_OK
	}
	if f.seen++; f.seen == f.n || f.seen > f.n && f.lasts {
		return f.fault.result
	}
	return lib.SQLITE_OK
}

func (f *faultTrial) hit() bool { return f.seen >= f.n }

func (f *faultTrial) run(ctx context.Context, d *disk) error {
	f.told = notes{}
	opt := Options{partitionRows: 8}
	s, err := Open(ctx, f.dir, opt)
	if err != nil {
		return err
	}
	c := newClient("one")
	if err := s.SaveClient(ctx, createAct, c); err != nil {
		return err
	}
	first := issue(c, time.Now())
	if err := s.Record(ctx, first); err != nil {
		return err
	}
	f.tell("+", first)
	old := issue(c, time.Now().Add(-2*time.Hour)) // what Expire drops
	if err := s.Record(ctx, old); err != nil {
		return err
	}
	d.set(f.meddle)
	err = f.work(ctx, s, c, first)
	d.set(nil)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	select {
	case <-s.Failed():
		f.ended = true
	default:
	}
	if f.ended != (f.hit() && f.fault.ends) {
		return errors.Join(fmt.Errorf("the store ended: %v", f.ended), s.Close())
	}
	if f.ended {
		if err := s.Record(ctx, issue(c, time.Now())); !errors.Is(err, gatehouse.ErrStore) || errors.Is(err, gatehouse.ErrUnknownOutcome) {
			return errors.Join(fmt.Errorf("after its end it answers a write with: %v", err), s.Close())
		}
		_ = s.Close() // says again why it ended
		if s, err = f.nextProcess(ctx, opt); err != nil {
			return err
		}
	}
	return errors.Join(f.check(ctx, s), s.Close())
}

// nextProcess opens copies of the files. A store that has failed leaves its
// connections open, and with them what SQLite remembers of the log, which ends
// with a process.
func (f *faultTrial) nextProcess(ctx context.Context, opt Options) (*Store, error) {
	dir := filepath.Join(f.dir, "next")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		content, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return Open(ctx, dir, opt)
}

func (f *faultTrial) tell(sign string, g *gatehouse.Grant) {
	f.told[sign+g.Tokens[0].ID.String()] = true
}

// work does all that writes, and reads in between.
func (f *faultTrial) work(ctx context.Context, s *Store, c *gatehouse.Client, first *gatehouse.Grant) error {
	for round := range 6 {
		if round == 2 {
			s.checkpoints.finish.Store(true) // by the writer after its next commit; the log then begins anew
		}
		if round == 4 {
			if _, err := s.Expire(ctx, time.Now()); err != nil && !errors.Is(err, gatehouse.ErrStore) {
				return fmt.Errorf("Expire: %w", err)
			}
		}
		g := issue(c, time.Now())
		g.Tokens[0].ExpiresAt = g.At.Add(time.Duration(round+1) * time.Hour).Truncate(time.Second)
		err := s.Record(ctx, g)
		switch {
		case err == nil:
			f.tell("+", g)
		case !errors.Is(err, gatehouse.ErrStore):
			return fmt.Errorf("Record: %w", err)
		case !errors.Is(err, gatehouse.ErrUnknownOutcome):
			f.refused = append(f.refused, g)
		}
		if err == nil && round%2 == 0 {
			act := gatehouse.Act{At: time.Now(), By: actor, Action: "token.revoke", Subject: g.Tokens[0].ID.String()}
			_, err := s.Revoke(ctx, act, gatehouse.Selection{Token: g.Tokens[0].ID})
			if err == nil {
				f.tell("-", g)
			} else if !errors.Is(err, gatehouse.ErrStore) {
				return fmt.Errorf("Revoke: %w", err)
			}
		}
		if _, err := s.Token(ctx, first.Tokens[0].ID); err != nil {
			return fmt.Errorf("reading a token meanwhile: %w", err)
		}
		if _, err := s.Journal(ctx, 0, 100); err != nil {
			return fmt.Errorf("reading the journal meanwhile: %w", err)
		}
	}
	return nil
}

// check expects what was acknowledged, nothing of what was refused, and that
// what was refused can be done now.
func (f *faultTrial) check(ctx context.Context, s *Store) error {
	err := errors.Join(s.IntegrityCheck(ctx), wholeChains(ctx, s), allTold(ctx, s, f.told))
	for _, g := range f.refused {
		if _, there := s.Token(ctx, g.Tokens[0].ID); !errors.Is(there, gatehouse.ErrNotFound) {
			err = errors.Join(err, fmt.Errorf("a token that was refused is there: %v", there))
		}
		if again := s.Record(ctx, g); again != nil {
			err = errors.Join(err, fmt.Errorf("tried again: %w", again))
		}
		f.tell("+", g)
	}
	return errors.Join(err, wholeChains(ctx, s), allTold(ctx, s, f.told))
}

// A first start that can't write says so, and the next one finds nothing that is
// in its way.
func TestFirstStartFails(t *testing.T) {
	step := 7
	if soak() {
		step = 1
	}
	for _, fault := range diskFaults[:3] {
		t.Run(fault.name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n += step {
				trial := faultTrial{dir: t.TempDir(), fault: fault, n: n, lasts: true}
				d := watch(t, trial.dir)
				d.set(trial.meddle)
				s, err := Open(t.Context(), trial.dir, Options{})
				d.set(nil)
				if err == nil {
					must(t, s.Close())
					if !trial.hit() {
						break
					}
				} else {
					failed++
				}
				must(t, verify(t.Context(), trial.dir, nil))
			}
			t.Logf("%d starts failed, each next one did not", failed)
			if failed == 0 {
				t.Error("no start failed, so this shows nothing")
			}
		})
	}
}
