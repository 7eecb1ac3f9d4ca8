package sqlite

import (
	"sync"
	"sync/atomic"

	"zombiezen.com/go/sqlite"
)

// checkpoints move the log into the database beside the writer, so that no
// commit has to. One that runs beside commits never quite catches up with
// them, and the log would grow without end; so where it has become long, the
// writer does the little that is left, and the log starts again from its
// beginning.
type checkpoints struct {
	store   *Store
	conn    *conn
	written atomic.Int64 // about how many pages, since the last checkpoint
	wake    chan struct{}
	finish  atomic.Bool
	running sync.WaitGroup
}

// In pages of 4 KiB.
const (
	checkpointEvery = 2_000
	longLog         = 4_000
)

func newCheckpoints(s *Store, c *conn) *checkpoints {
	k := &checkpoints{store: s, conn: c, wake: make(chan struct{}, 1)}
	k.running.Go(k.run)
	return k
}

func (k *checkpoints) run() {
	for range k.wake {
		if length := k.move(k.conn); length > longLog {
			k.finish.Store(true)
		}
	}
}

// stop waits for a checkpoint that is under way.
func (k *checkpoints) stop() {
	close(k.wake)
	k.running.Wait()
}

// committed counts a group of writes. Only the writer calls it.
func (k *checkpoints) committed(writer *conn, writes int) {
	if k.finish.Swap(false) {
		k.move(writer)
	}
	// A write touches a leaf of each of its indexes; some share one.
	if k.written.Add(int64(2*writes)+4) < checkpointEvery {
		return
	}
	k.written.Store(0)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// move copies what it can and returns how many pages the log has. What failed
// for want of space stays in the log for the next time; any other failure
// leaves the disk in doubt.
func (k *checkpoints) move(c *conn) (length int64) {
	if k.store.failure() != nil {
		return 0
	}
	err := c.rows("PRAGMA wal_checkpoint(PASSIVE)", func(st *sqlite.Stmt) error {
		length = st.ColumnInt64(1)
		return nil
	})
	switch {
	case err == nil:
	case isFull(err):
		k.store.logger.Warn("no space to move the log into the database", "error", err)
	default:
		k.store.fatal("checkpoint", err)
	}
	return length
}
