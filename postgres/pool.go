package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How long things may take. A caller has its answer within answerWithin even
// where the database has stopped answering; a group gives up before that.
const (
	answerWithin  = 1800 * time.Millisecond
	groupTimeout  = 1500 * time.Millisecond
	lockTimeout   = time.Second
	readTimeout   = 1500 * time.Millisecond
	idleInAct     = 2 * time.Second  // when the server gives up on a node that stopped in the middle of an act
	longTimeout   = 60 * time.Second // for what reads or ends a large part of the ledger
	connectWithin = time.Second
)

// readers is how many connections reads share where the URL says nothing
// (pool_max_conns).
const readers = 4

// configure reads the URL. Everything that libpq's URLs say is understood, and
// pgxpool's pool_* and pgx's default_query_exec_mode.
func configure(text string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err) // pgx leaves the password out of it
	}
	u, err := url.Parse(text)
	if err != nil || !u.Query().Has("pool_max_conns") {
		cfg.MaxConns = readers
	}
	if cfg.ConnConfig.ConnectTimeout == 0 || !strings.Contains(text, "connect_timeout") {
		cfg.ConnConfig.ConnectTimeout = connectWithin
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = nodeName
	}
	cfg.ConnConfig.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	cfg.MaxConnLifetimeJitter = time.Minute
	cfg.HealthCheckPeriod = 5 * time.Second
	return cfg, nil
}

// queries is what a read needs of a connection or a transaction.
type queries interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// read calls fn with a connection for single statements. A connection that the
// server has left in the meantime is tried once more.
func (s *Store) read(ctx context.Context, limit time.Duration, fn func(context.Context, queries) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	err := s.onConn(ctx, fn)
	if err != nil && !isRefusal(err) && ctx.Err() == nil && !isServerError(err) {
		err = s.onConn(ctx, fn)
	}
	return notDone(because(ctx, err))
}

func (s *Store) onConn(ctx context.Context, fn func(context.Context, queries) error) error {
	c, err := s.reads.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	return fn(ctx, c)
}

// asOf calls fn with the database as of one moment.
func (s *Store) asOf(ctx context.Context, fn func(context.Context, queries) error) error {
	return s.read(ctx, longTimeout, func(ctx context.Context, q queries) error {
		begin := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		return pgx.BeginTxFunc(ctx, q.(*pgxpool.Conn), begin, func(tx pgx.Tx) error { return fn(ctx, tx) })
	})
}
