package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// sector is what a disk writes as a whole, or not at all. Within one, SQLite
// relies on what it does not write staying as it is ("powersafe overwrite").
const sector = 512

// A platter is what the files of a disk hold after some operations: what is
// there for certain, and what a loss of power may take.
type platter map[string]*platterFile

type platterFile struct {
	linked  bool   // as of the last sync of the directory
	durable []byte // as of the last sync of the file
	pending []operation
}

// apply takes in the next operation.
func (p platter) apply(op operation) {
	switch op.kind {
	case opNote:
		return
	case opSyncDir:
		for name, f := range p {
			if f.syncLink(); !f.linked {
				delete(p, name)
			}
		}
		return
	}
	f := p[op.file]
	if f == nil {
		f = &platterFile{}
		p[op.file] = f
	}
	if op.kind == opSync {
		f.syncContent()
	} else {
		f.pending = append(f.pending, op)
	}
}

func (f *platterFile) syncLink() {
	f.pending = slices.DeleteFunc(f.pending, func(op operation) bool {
		switch op.kind {
		case opCreate:
			f.linked = true
			return true
		case opDelete:
			f.linked = false
			return true
		}
		return false
	})
}

func (f *platterFile) syncContent() {
	f.durable, _ = f.survive(func(operation, int) bool { return true })
	f.pending = slices.DeleteFunc(f.pending, func(op operation) bool { return op.kind == opWrite || op.kind == opTruncate })
}

// survive is the file when those parts of the pending operations are on the
// disk that kept chooses: a write by its sectors, anything else as a whole.
func (f *platterFile) survive(kept func(op operation, part int) bool) (content []byte, there bool) {
	content, there = append([]byte{}, f.durable...), f.linked
	for _, op := range f.pending {
		switch op.kind {
		case opWrite:
			for begin, part := 0, 0; begin < len(op.data); part++ {
				end := min(begin+sector-int(op.offset+int64(begin))%sector, len(op.data))
				if kept(op, part) {
					at := int(op.offset) + begin
					content = append(content, make([]byte, max(0, at+end-begin-len(content)))...)
					copy(content[at:], op.data[begin:end])
				}
				begin = end
			}
		case opTruncate:
			if kept(op, 0) {
				content = append(content, make([]byte, max(0, int(op.offset)-len(content)))...)[:op.offset]
			}
		case opCreate:
			there = there || kept(op, 0)
		case opDelete:
			if kept(op, 0) {
				content, there = content[:0], false
			}
		}
	}
	return content, there
}

// A crash chooses what of the pending operations survives.
type crash struct {
	name string
	kept func(r *rand.Rand) func(op operation, part int) bool
}

var crashes = []crash{
	{"nothing unsynced", func(*rand.Rand) func(operation, int) bool {
		return func(operation, int) bool { return false }
	}},
	{"everything", func(*rand.Rand) func(operation, int) bool {
		return func(operation, int) bool { return true }
	}},
	{"in any order", func(r *rand.Rand) func(operation, int) bool {
		whole := map[*byte]bool{} // what was chosen for a write, known by its data
		return func(op operation, _ int) bool {
			if op.kind != opWrite {
				return r.IntN(2) == 0
			}
			is, ok := whole[&op.data[0]]
			if !ok {
				is = r.IntN(2) == 0
				whole[&op.data[0]] = is
			}
			return is
		}
	}},
	{"torn", func(r *rand.Rand) func(operation, int) bool {
		share := []float64{0.1, 0.5, 0.9, 0.99}[r.IntN(4)]
		return func(operation, int) bool { return r.Float64() < share }
	}},
	{"log before database", func(*rand.Rand) func(operation, int) bool {
		return func(op operation, _ int) bool { return op.isLog() }
	}},
	{"database before log", func(*rand.Rand) func(operation, int) bool {
		return func(op operation, _ int) bool { return !op.isLog() }
	}},
}

// write makes the files that a machine finds after the crash.
func (p platter) write(dir string, kept func(operation, int) bool) error {
	for name, f := range p {
		content, there := f.survive(kept)
		if !there {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// notes are the lines that a record has up to a moment: who was told what.
type notes map[string]bool

// openWithin bounds how long a store takes to open after a crash: the promise is
// 2 s, which a machine that is busy with other tests need not keep.
func openWithin() time.Duration {
	if soak() {
		return 2 * time.Second
	}
	return 20 * time.Second
}

// verify opens a store and compares it with what callers were told.
func verify(ctx context.Context, dir string, told notes) error {
	began := time.Now()
	s, err := Open(ctx, dir, Options{synchronous: "OFF", partitionRows: smallPartitions})
	if err != nil {
		return err
	}
	if took := time.Since(began); took > openWithin() {
		err = fmt.Errorf("it opened after %v", took)
	}
	err = errors.Join(err, s.IntegrityCheck(ctx), wholeChains(ctx, s), allTold(ctx, s, told))
	return errors.Join(err, s.Close())
}

func wholeChains(ctx context.Context, s *Store) error {
	report, err := s.CheckAudit(ctx)
	if err == nil && len(report.Faults) > 0 {
		err = fmt.Errorf("the chains have %d faults, the first: %s", len(report.Faults), report.Faults[0])
	}
	return err
}

// allTold looks for every token ("+id") and revocation ("-id").
func allTold(ctx context.Context, s *Store, told notes) error {
	there := map[string]gatehouse.TokenRecord{}
	for q := (gatehouse.TokenQuery{Limit: listLimit}); ; {
		page, err := s.Tokens(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page {
			there[r.ID.String()] = r
		}
		if len(page) < listLimit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	lost := 0
	for line := range told {
		r, ok := there[line[1:]]
		if !ok || line[0] == '-' && r.RevokedAt.IsZero() {
			lost++
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d of %d acknowledged changes are lost", lost, len(told))
	}
	return nil
}

const smallPartitions = 40

// recordWork has a store do all that it does to its files, recorded: it issues
// and revokes, moves its log into the database and begins it anew, drops
// partitions, ends and starts again. What callers were told is among the
// operations.
func recordWork(t *testing.T, rounds int, synchronous string) []operation {
	t.Helper()
	dir := t.TempDir()
	d := watch(t, dir)
	d.record = true
	for range 2 {
		s, err := Open(t.Context(), dir, Options{synchronous: synchronous, partitionRows: smallPartitions})
		must(t, err)
		c, err := s.Client(t.Context(), "one")
		if errors.Is(err, gatehouse.ErrNotFound) {
			c, err = saveClient(t, s), nil
		}
		must(t, err)
		for round := range rounds / 2 {
			switch round % 16 {
			case 3, 9:
				s.checkpoints.written.Store(checkpointEvery) // one beside the writer, after the next commit
			case 13:
				s.checkpoints.finish.Store(true) // one by the writer, which then begins the log anew
			case 15:
				_, err := s.Expire(t.Context(), time.Now())
				must(t, err)
			}
			var working sync.WaitGroup
			for worker := range 3 {
				working.Go(func() {
					if err := recordOne(t.Context(), s, c, d, worker, round%3 == worker); err != nil {
						t.Error(err)
					}
				})
			}
			working.Wait()
		}
		must(t, s.Close())
	}
	return d.done
}

// recordOne issues a token, and may revoke it. Worker 2 has tokens that have
// expired before the next Expire, and are not noted.
func recordOne(ctx context.Context, s *Store, c *gatehouse.Client, d *disk, worker int, revoke bool) error {
	now, life := time.Now(), time.Duration(worker+1)*time.Hour
	if worker == 2 {
		now, life = now.Add(-time.Hour), time.Minute
	}
	g := issue(c, now)
	r := &g.Tokens[0]
	r.ExpiresAt = now.Add(life).Truncate(time.Second)
	if err := s.Record(ctx, g); err != nil || worker == 2 {
		return err
	}
	d.note("+" + r.ID.String())
	if !revoke {
		return nil
	}
	act := gatehouse.Act{At: time.Now(), By: actor, Action: "token.revoke", Subject: r.ID.String()}
	if _, err := s.Revoke(ctx, act, gatehouse.Selection{Token: r.ID}); err != nil {
		return err
	}
	d.note("-" + r.ID.String())
	return nil
}

// losePower replays a record, and at each of the moments that at chooses has the
// power fail in each way. It returns how many machines it looked at, and what
// was wrong with how many.
func losePower(t *testing.T, record []operation, seed uint64, at func(i int) bool) (images int, wrong map[string]int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	wrong = map[string]int{}
	p, told := platter{}, notes{}
	p["gatehouse.db"] = &platterFile{linked: true} // which makeFile has made
	var opened sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, 2)
	for i, op := range record {
		p.apply(op)
		if op.kind == opNote {
			told[op.note] = true
		}
		if !at(i) {
			continue
		}
		for _, c := range crashes {
			dir := t.TempDir()
			must(t, p.write(dir, c.kept(r)))
			told := maps.Clone(told)
			images++
			room <- struct{}{}
			opened.Go(func() {
				defer func() { <-room }()
				defer os.RemoveAll(dir) // there are many
				if err := verify(context.Background(), dir, told); err != nil {
					mu.Lock()
					defer mu.Unlock()
					wrong[c.name]++
					if wrong[c.name] == 1 {
						t.Logf("%s, at operation %d of %d (seed %d): %v", c.name, i, len(record), seed, strings.ReplaceAll(err.Error(), "\n", "; "))
					}
				}
			})
		}
	}
	opened.Wait()
	return images, wrong
}

// What was acknowledged survives a loss of power at any moment, whatever of the
// unsynced writes reaches the disk, in whatever order, in parts. The same test
// finds out a store that doesn't sync, and one that syncs only its checkpoints.
func TestPowerLoss(t *testing.T) {
	rounds, moments, few := 64, 24, 6
	if soak() {
		rounds, moments, few = 320, 1_500, 100
	}
	for _, one := range []struct {
		synchronous string
		moments     int
		caught      bool
	}{{"FULL", moments, false}, {"OFF", few, true}, {"NORMAL", few, true}} {
		t.Run("synchronous="+one.synchronous, func(t *testing.T) {
			record := recordWork(t, rounds, one.synchronous)
			chance := float64(one.moments) / float64(len(record))
			seed := rand.Uint64()
			pick := rand.New(rand.NewPCG(seed, 1))
			began := time.Now()
			images, wrong := losePower(t, record, seed, func(i int) bool { return i < 30 && i%3 == 0 && !one.caught || pick.Float64() < chance })
			t.Logf("%d operations; of %d machines that lost power %d lost something (%v) in %v", len(record), images, sum(wrong), wrong, time.Since(began))
			if (sum(wrong) > 0) != one.caught {
				t.Fail()
			}
		})
	}
}

func sum(of map[string]int) (n int) {
	for _, v := range of {
		n += v
	}
	return n
}
