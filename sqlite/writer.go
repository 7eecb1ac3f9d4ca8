package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// A writer is the one goroutine that changes the database, and what it
// remembers of it. After a group that was rolled back it reads all of that
// again.
type writer struct {
	store *Store
	conn  *conn
	limit int64 // rows of a partition

	parts   []*partition
	open    map[int64]*partition // by bucket: where new rows go
	clients map[gatehouse.ClientID]*clientState

	newest     time.Time
	stored     ends
	epoch      time.Time
	eventSeq   int64
	eventHead  [32]byte
	journalSeq int64

	// What the current group has done so far.
	touched []*partition
	ddl     bool
	entries bool
	wrote   bool
}

// ends is what was last written of where things end.
type ends struct {
	newest   time.Time
	eventSeq int64
}

// newestStep is how far the newest time stored may be behind: it tells a start
// that the clock was set back, and need not cost each commit a page.
const newestStep = time.Second

// refusals are the errors by which a write says that it changed nothing.
var refusals = []error{
	gatehouse.ErrNotFound, gatehouse.ErrExists, gatehouse.ErrConflict, gatehouse.ErrClientState,
	gatehouse.ErrSecretRetired, gatehouse.ErrCutoff, gatehouse.ErrRevoked,
}

func isRefusal(err error) bool {
	var spent *gatehouse.SpentError
	return errors.As(err, &spent) || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// groupLimit bounds a commit group, and so how long its first caller waits for
// the others.
const groupLimit = 256

// crowdPart is as measured: with more of it the cores wait for the disk, with
// less there are more commits.
const crowdPart = 0.9

// A write is what a caller wants done. It runs on the writer's goroutine, inside
// the group's transaction; an error that is a refusal must leave everything as it
// was. What it sets is the caller's only where the answer is nil.
type write = func(*writer) error

// write has do run in the next commit group and returns its answer.
func (s *Store) write(ctx context.Context, do write) error {
	return s.queue.Commit(ctx, do, commitgroup.Wait{})
}

// run commits groups until the queue is closed and empty, or the disk can't be
// trusted any more.
func (w *writer) run() {
	next := func() []*commitgroup.Member[write] { return w.store.queue.TakeCrowd(crowdPart) }
	for group := next(); len(group) > 0; group = next() {
		w.commitGroup(group)
	}
}

// commitGroup runs the writes in one transaction, commits it once and answers
// each. Refusals are answered after the commit too: what refused them may have
// been an earlier write of the group.
func (w *writer) commitGroup(group []*commitgroup.Member[write]) {
	answers := make([]error, len(group))
	if err := w.transact(group, answers); err != nil {
		for i := range answers {
			answers[i] = err
		}
	}
	for i, one := range group {
		one.Answer(answers[i])
	}
	w.store.checkpoints.committed(w.conn, len(group))
}

// transact returns an error when the whole group failed. Its writes were not
// done then, unless the error is ErrUnknownOutcome.
func (w *writer) transact(group []*commitgroup.Member[write], answers []error) error {
	if err := w.store.failure(); err != nil {
		return err
	}
	if err := w.begin(); err != nil {
		return w.rollback(err)
	}
	for i, one := range group {
		err := one.What(w)
		if err != nil && !isRefusal(err) {
			return w.rollback(err)
		}
		answers[i] = err
	}
	if !w.changed() {
		return w.end("ROLLBACK")
	}
	if err := w.seal(); err != nil {
		return w.rollback(err)
	}
	return w.commit()
}

func (w *writer) begin() error {
	if w.parts == nil {
		if err := w.load(); err != nil {
			return err
		}
	}
	w.touched, w.ddl, w.entries, w.wrote = w.touched[:0], false, false, false
	return w.conn.run("BEGIN IMMEDIATE")
}

func (w *writer) changed() bool { return w.wrote || w.ddl || len(w.touched) > 0 }

func (w *writer) end(how string) error {
	if err := w.conn.run(how); err != nil {
		return w.rollback(err)
	}
	return nil
}

// seal writes the link of each partition that the group touched, and where the
// chains end now.
func (w *writer) seal() error {
	for _, p := range w.touched {
		if err := w.sealPartition(p); err != nil {
			return err
		}
	}
	if w.eventSeq == w.stored.eventSeq && w.newest.Sub(w.stored.newest) < newestStep {
		return nil
	}
	w.stored = ends{w.newest, w.eventSeq}
	return w.conn.run("UPDATE meta SET newest = ?, event_seq = ?, event_head = ?",
		w.newest, w.eventSeq, w.eventHead[:])
}

func (w *writer) sealPartition(p *partition) error {
	slices.SortFunc(p.newRows, func(a, b gatehouse.TokenRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(p.newMarks, compareMarks)
	p.head = gatehouse.ChainTokens(p.head, p.newRows, p.newMarks)
	p.groups++
	p.rows += int64(len(p.newRows))
	p.marks += int64(len(p.newMarks))
	clear(p.newRows)
	p.newRows, p.newMarks = p.newRows[:0], p.newMarks[:0]
	if err := w.conn.run(p.on("INSERT INTO links_%d (grp, hash) VALUES (?, ?)"), p.groups, p.head[:]); err != nil {
		return err
	}
	p.publish()
	return w.conn.run("UPDATE partitions SET rows = ?, marks = ?, groups = ?, head = ?, last_expiry = ? WHERE id = ?",
		p.rows, p.marks, p.groups, p.head[:], seconds(p.lastExpiry), p.id)
}

// compareMarks orders marks as the chain has them: by token, spent first.
func compareMarks(a, b gatehouse.Mark) int {
	if c := bytes.Compare(a.Token[:], b.Token[:]); c != 0 {
		return c
	}
	switch {
	case a.Revoked == b.Revoked:
		return 0
	case b.Revoked:
		return -1
	}
	return 1
}

// commit makes the group durable and shows it to readers. Where tables came or
// went, readers must not begin between the commit and the new catalogue.
func (w *writer) commit() error {
	if w.ddl {
		w.store.catalogue.Lock()
		defer w.store.catalogue.Unlock()
	}
	if err := w.conn.run("COMMIT"); err != nil {
		return w.commitFailed(err)
	}
	if w.ddl {
		parts := slices.Clone(w.parts)
		w.store.parts.Store(&parts)
	}
	if w.entries {
		select {
		case w.store.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// commitFailed tells a full disk, where SQLite has written no whole commit and
// the group is undone, from every other failure of a commit. After a failed
// fsync the kernel may have dropped what it could not write, so a second try
// that succeeds would prove nothing: the process must end and recover.
func (w *writer) commitFailed(err error) error {
	if isFull(err) {
		return w.rollback(err)
	}
	w.store.fail(fmt.Errorf("commit: %w", err))
	_ = w.rollback(err)
	return fmt.Errorf("%w: %w", gatehouse.ErrUnknownOutcome, err)
}

// isFull reports that something could not be written for want of space, and
// that nothing of it was. SQLite has a code of its own for the log's index.
func isFull(err error) bool {
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultFull || code == sqlite.ResultIOErrSHMSize
}

// rollback undoes the group and forgets what the writer remembered.
func (w *writer) rollback(cause error) error {
	w.parts = nil
	if !w.conn.AutocommitEnabled() {
		if err := w.conn.run("ROLLBACK"); err != nil {
			w.store.fail(fmt.Errorf("rollback: %w", err))
		}
	}
	switch sqlite.ErrCode(cause).ToPrimary() {
	case sqlite.ResultIOErr, sqlite.ResultCorrupt, sqlite.ResultNotADB:
		if !isFull(cause) {
			w.store.fail(cause)
		}
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrStore, cause)
}

// load reads what the writer remembers.
func (w *writer) load() error {
	parts, err := loadPartitions(w.conn)
	if err != nil {
		return err
	}
	if err := w.loadMeta(); err != nil {
		return err
	}
	w.clients = map[gatehouse.ClientID]*clientState{}
	w.open = map[int64]*partition{}
	for _, p := range parts {
		if p.rows < w.limit {
			w.open[p.bucket] = p
		}
	}
	if parts == nil {
		parts = []*partition{}
	}
	w.parts = parts
	shared := slices.Clone(parts)
	w.store.parts.Store(&shared)
	return nil
}

func (w *writer) loadMeta() error {
	return w.conn.rows(`SELECT newest, epoch, event_seq, event_head, max(journal_floor, (SELECT coalesce(max(seq), 0) FROM journal)) FROM meta`,
		func(st *sqlite.Stmt) error {
			w.newest, w.epoch = columnTime(st, 0), columnTime(st, 1)
			w.eventSeq = st.ColumnInt64(2)
			st.ColumnBytes(3, w.eventHead[:])
			w.journalSeq = st.ColumnInt64(4)
			w.stored = ends{w.newest, w.eventSeq}
			return nil
		})
}
