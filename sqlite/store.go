package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// Options are what a Store can be told. The zero Options are right for real
// use.
type Options struct {
	Logger *slog.Logger // nil discards

	synchronous   string // tests only: a store that doesn't sync is one that loses tokens
	partitionRows int64  // tests only: small partitions
}

// readers is how many reads run at once. More of them wait, and none of them
// holds up the writer.
const readers = 4

// A Store is a gatehouse.Store in one directory.
type Store struct {
	dir    string
	lock   *lock
	logger *slog.Logger
	queue  *commitgroup.Queue[write]
	wake   chan struct{}
	idle   chan *conn // connections that no read uses

	// catalogue keeps reads from beginning between a commit that made or
	// dropped tables and the new parts. parts itself never changes; a commit
	// stores another one.
	catalogue sync.RWMutex
	parts     atomic.Pointer[[]*partition]

	copying     sync.Mutex // held while a backup is made
	checkpoints *checkpoints
	failed      chan error
	failOnce    sync.Once
	failedWith  atomic.Pointer[error]
	written     sync.WaitGroup
	closeOnce   sync.Once
	closed      error
}

var _ gatehouse.Store = (*Store)(nil)

// Open opens the store in dir, which it makes where there is none, and brings
// its schema up to date. A directory that another process uses is refused.
// Close it.
func Open(ctx context.Context, dir string, opt Options) (*Store, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.synchronous == "" {
		opt.synchronous = "FULL"
	}
	if opt.partitionRows == 0 {
		opt.partitionRows = partitionRows
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	held, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{
		dir: dir, lock: held, logger: opt.Logger, queue: commitgroup.New[write](groupLimit),
		wake: make(chan struct{}, 1), idle: make(chan *conn, readers), failed: make(chan error, 1),
	}
	if err := s.open(ctx, opt); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in %s: %w", dir, err), held.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, opt Options) error {
	path := filepath.Join(s.dir, databaseFile)
	if err := makeFile(path); err != nil {
		return err
	}
	first, err := openConn(path, opt.synchronous)
	if err != nil {
		return err
	}
	w := &writer{store: s, conn: first, limit: opt.partitionRows}
	opened := []*conn{first}
	if err = first.servable(); err == nil {
		err = migrate(ctx, first)
	}
	for err == nil && len(opened) < readers+2 {
		var c *conn
		if c, err = openConn(path, opt.synchronous); err == nil {
			opened = append(opened, c)
		}
	}
	for _, c := range opened {
		if err == nil {
			err = c.assert(opt.synchronous)
		}
	}
	if err == nil {
		err = w.load()
	}
	if err != nil {
		for _, c := range opened {
			_ = c.Close()
		}
		return err
	}
	s.checkpoints = newCheckpoints(s, opened[1])
	for _, c := range opened[2:] {
		s.idle <- c
	}
	s.written.Go(func() {
		w.run()
		s.checkpoints.stop()
		// The last connection to close moves the log into the database. After
		// a failure that is left to the next start, which checks each page.
		if s.failure() == nil {
			s.fatal("close", errors.Join(s.checkpoints.conn.Close(), w.conn.Close()))
		}
	})
	return nil
}

// makeDir makes dir for its owner only, or closes it to others.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// makeFile makes an empty database for its owner only; SQLite gives the files
// beside it the same mode. The directory is synced, for the file's name.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Failed receives once, when the disk has failed in a way after which nothing
// can be promised any more: the process must end, and start again from what is
// on the disk. Until then reads go on and writes are refused with ErrStore.
func (s *Store) Failed() <-chan error { return s.failed }

func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", gatehouse.ErrStore, err)
		s.logger.Error("the store has failed", "error", err)
		s.failedWith.Store(&err)
		s.failed <- err
	})
}

// fatal fails the store where err is not nil.
func (s *Store) fatal(what string, err error) {
	if err != nil {
		s.fail(fmt.Errorf("%s: %w", what, err))
	}
}

func (s *Store) failure() error {
	if err := s.failedWith.Load(); err != nil {
		return *err
	}
	return nil
}

// Close implements gatehouse.Store. Writes that wait are done; later ones are
// refused with ErrStore.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		for range readers {
			c := <-s.idle
			s.closed = errors.Join(s.closed, c.Close())
		}
		close(s.idle)
		s.queue.Close()
		s.written.Wait()
		s.copying.Lock() // for good
		s.closed = errors.Join(s.closed, s.failure(), s.lock.release())
	})
	return s.closed
}

// A view is what one read sees: the database as of one commit.
type view struct {
	conn         *conn
	parts        []*partition
	newest       time.Time
	epoch        time.Time
	journalFloor int64
}

// read calls fn with the database as of now. Refusals come back as they are,
// everything else as ErrStore.
func (s *Store) read(ctx context.Context, fn func(*view) error) error {
	var c *conn
	select {
	case c = <-s.idle:
		if c == nil {
			return commitgroup.ErrClosed
		}
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", gatehouse.ErrStore, context.Cause(ctx))
	}
	defer func() { s.idle <- c }()
	c.SetInterrupt(ctx.Done())
	v, err := s.begin(c)
	if err == nil {
		err = fn(v)
	}
	c.SetInterrupt(nil)
	if !c.AutocommitEnabled() {
		err = errors.Join(err, c.run("ROLLBACK"))
	}
	switch {
	case err == nil || isRefusal(err) || errors.Is(err, gatehouse.ErrJournalGone):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", gatehouse.ErrStore, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrStore, err)
}

// begin starts a read transaction. The first select is what fixes the moment.
func (s *Store) begin(c *conn) (*view, error) {
	s.catalogue.RLock()
	defer s.catalogue.RUnlock()
	if err := c.run("BEGIN"); err != nil {
		return nil, err
	}
	v := &view{conn: c}
	err := c.rows("SELECT newest, epoch, journal_floor FROM meta", func(st *sqlite.Stmt) error {
		v.newest, v.epoch, v.journalFloor = columnTime(st, 0), columnTime(st, 1), st.ColumnInt64(2)
		return nil
	})
	v.parts = *s.parts.Load()
	return v, err
}

// Ping implements gatehouse.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.read(ctx, func(*view) error { return nil })
}

// IntegrityCheck has SQLite check every page of the database.
func (s *Store) IntegrityCheck(ctx context.Context) error {
	return s.read(ctx, func(v *view) error {
		return v.conn.rows("PRAGMA integrity_check", func(st *sqlite.Stmt) error {
			if text := st.ColumnText(0); text != "ok" {
				return errors.New(text)
			}
			return nil
		})
	})
}
