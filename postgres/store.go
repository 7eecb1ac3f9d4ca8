package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// Options are what a Store can be told. The zero Options are right for real
// use.
type Options struct {
	Logger *slog.Logger // nil discards
	// Offline opens a ledger that no node serves: one that was copied here, to
	// be restored.
	Offline bool

	quiet bool // tests only: don't listen, as where NOTIFY is lost
}

const (
	// grantLimit and actLimit bound a commit group.
	grantLimit = 256
	actLimit   = 64
	// crowdPart is as measured: half of a crowd is on its way while the other
	// half is committed.
	crowdPart = 0.5
)

// A Store is a gatehouse.Store on one PostgreSQL, which any number of
// processes may share. It keeps up to seven connections: four for reads, two for
// writes, and one that listens.
type Store struct {
	logger        *slog.Logger
	reads, writes *pgxpool.Pool
	parts         *catalogue
	grants        *commitgroup.Queue[*gatehouse.Grant]
	acts          *commitgroup.Queue[change]
	wake          chan struct{}

	running   context.Context // ends with Close
	stop      context.CancelFunc
	committed sync.WaitGroup // the committers
	helpers   sync.WaitGroup // whatever ends with running
	closeOnce sync.Once
}

var _ gatehouse.Store = (*Store)(nil)

// Open opens the store in the database that url names (postgres://…), and
// brings its schema up to date. A server that can't keep a Store's promises is
// refused. Close it.
func Open(ctx context.Context, url string, opt Options) (*Store, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, err := configure(url)
	if err != nil {
		return nil, err
	}
	s := &Store{
		logger: opt.Logger, parts: newCatalogue(), wake: make(chan struct{}, 1),
		grants: commitgroup.New[*gatehouse.Grant](grantLimit), acts: commitgroup.New[change](actLimit),
	}
	if opt.Offline {
		asOffline(cfg.ConnConfig)
	}
	if err := prepare(ctx, cfg.ConnConfig, opt.Offline); err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", Place(url), err)
	}
	writes := cfg.Copy()
	writes.MaxConns = 2 // a recorder and an actor
	if s.reads, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg); err != nil {
		return nil, err
	}
	if s.writes, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), writes); err != nil {
		s.reads.Close()
		return nil, err
	}
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.parts.refresh(ctx, s.reads); err != nil {
		s.stop()
		s.reads.Close()
		s.writes.Close()
		return nil, fmt.Errorf("open the store in %s: %w", Place(url), err)
	}
	s.committed.Go(newRecorder(s).run)
	s.committed.Go(newActor(s).run)
	s.helpers.Go(s.makeAhead)
	if !opt.quiet {
		s.helpers.Go(func() { s.listen(cfg.ConnConfig.Copy()) })
	}
	return s, nil
}

// prepare migrates the database and looks at what the server can do.
func prepare(ctx context.Context, cfg *pgx.ConnConfig, offline bool) error {
	another := func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg.Copy()) }
	conn, err := another(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := require(ctx, conn, another); err != nil {
		return err
	}
	if offline {
		if err := requireAlone(ctx, conn); err != nil {
			return err
		}
		return migrate(ctx, conn)
	}
	if err := migrate(ctx, conn); err != nil {
		return err
	}
	return requireIdentity(ctx, conn)
}

// Place is where a URL's database is: what of the URL is no secret.
func Place(url string) string {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return "postgres"
	}
	return fmt.Sprintf("postgres://%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
}

// Ping implements gatehouse.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		var one int
		return q.QueryRow(ctx, "SELECT 1").Scan(&one)
	})
}

// Close implements gatehouse.Store. It waits for the writes under way, which
// end within seconds even where the database has stopped answering.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.grants.Close()
		s.acts.Close()
		s.committed.Wait()
		s.stop()
		s.helpers.Wait()
		s.reads.Close()
		s.writes.Close()
	})
	return nil
}

// Wake implements gatehouse.Store. There is one channel, for the one node that
// this process is.
func (s *Store) Wake() <-chan struct{} { return s.wake }

func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// listen turns the notices of other nodes into wakes. It needs a connection of
// its own: a pooler in transaction mode accepts LISTEN and passes nothing on, and
// then this node learns by reading the journal, as it does in any case.
func (s *Store) listen(cfg *pgx.ConnConfig) {
	for s.running.Err() == nil {
		err := s.listenOnce(cfg)
		if s.running.Err() != nil {
			return
		}
		s.logger.Debug("not listening for notices; the journal is read all the same", "error", err)
		s.nudge() // what came meanwhile made no notice
		select {
		case <-s.running.Done():
		case <-time.After(time.Second):
		}
	}
}

// noticeTimeout is how long to believe in a connection on which nothing comes.
const noticeTimeout = 30 * time.Second

func (s *Store) listenOnce(cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(s.running, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.running, "LISTEN "+channel); err != nil {
		return err
	}
	s.nudge()
	for {
		ctx, cancel := context.WithTimeout(s.running, noticeTimeout)
		_, err := conn.WaitForNotification(ctx)
		cancel()
		switch {
		case err == nil:
			s.nudge()
		case s.running.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		default: // still there?
			ctx, cancel := context.WithTimeout(s.running, readTimeout)
			err := conn.Ping(ctx)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// channel is what notices of new journal entries are sent on.
const channel = "gatehouse_journal"
