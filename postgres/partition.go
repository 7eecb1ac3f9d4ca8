package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// A bucket is what tokens share a partition by: the hour in which they expire,
// or the day for those with a long life, so that refresh tokens of months make
// no thousands of partitions, or thirty days for imported ones, whose lives end
// anywhere in years to come.
type bucket struct {
	span int16 // hours; 0: they never expire
	low  int64 // Unix seconds
}

const (
	hourly  = 1
	daily   = 24
	monthly = 30 * 24
	ever    = 0

	// longLife is the life from which on the day decides.
	longLife = 48 * time.Hour
)

func bucketOf(t *gatehouse.TokenRecord) bucket {
	switch {
	case t.ExpiresAt.IsZero():
		return bucket{span: ever}
	case t.ID.Derived():
		return bucketAt(monthly, t.ExpiresAt)
	case t.ExpiresAt.Sub(t.IssuedAt) > longLife:
		return bucketAt(daily, t.ExpiresAt)
	}
	return bucketAt(hourly, t.ExpiresAt)
}

func bucketAt(span int16, expires time.Time) bucket {
	if span == ever {
		return bucket{span: ever}
	}
	width := int64(span) * 3600
	low := expires.Unix() / width * width
	if low > expires.Unix() {
		low -= width
	}
	return bucket{span, low}
}

// next is the bucket that follows.
func (b bucket) next() bucket {
	b.low += int64(b.span) * 3600
	return b
}

// bounds are the expiry times of the bucket: from low up to, not including, high.
func (b bucket) bounds() (low, high pgtype.Timestamptz) {
	if b.span == ever {
		return expiry(time.Time{}), expiry(time.Time{})
	}
	return expiry(time.Unix(b.low, 0).UTC()), expiry(time.Unix(b.next().low, 0).UTC())
}

// A partition is one of the series that the ledger is made of.
type partition struct {
	id int32
	bucket
}

// A catalogue is what a node knows of the partitions that are there. It may
// know of one that another node has dropped meanwhile.
type catalogue struct {
	mu       sync.Mutex
	byBucket map[bucket]*partition
	ahead    chan bucket // to be made before they are needed
}

func newCatalogue() *catalogue {
	return &catalogue{byBucket: map[bucket]*partition{}, ahead: make(chan bucket, 16)}
}

func (c *catalogue) get(b bucket) *partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byBucket[b]
	if p != nil && b.span != ever && c.byBucket[b.next()] == nil {
		select {
		case c.ahead <- b.next():
		default: // there will be another token
		}
	}
	return p
}

// forget takes out a partition that was dropped.
func (c *catalogue) forget(b bucket, id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byBucket[b]; p != nil && p.id == id {
		delete(c.byBucket, b)
	}
}

// refresh reads the catalogue.
func (c *catalogue) refresh(ctx context.Context, q queries) error {
	rows, err := q.Query(ctx, "SELECT id, span, low FROM partitions WHERE dropped IS NULL")
	if err != nil {
		return err
	}
	found := map[bucket]*partition{}
	p, low := partition{}, pgtype.Timestamptz{}
	_, err = pgx.ForEachRow(rows, []any{&p.id, &p.span, &low}, func() error {
		one := p
		if one.span != ever {
			one.low = low.Time.Unix()
		}
		found[one.bucket] = &one
		return nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b, p := range found {
		if old := c.byBucket[b]; old != nil && old.id == p.id {
			found[b] = old
		}
	}
	c.byBucket = found
	return nil
}

// partition returns the partition of a bucket, which is made where there is none.
func (s *Store) partition(ctx context.Context, b bucket) (*partition, error) {
	if p := s.parts.get(b); p != nil {
		return p, nil
	}
	if err := s.makePartition(ctx, b); err != nil {
		return nil, fmt.Errorf("making a partition: %w", err)
	}
	if p := s.parts.get(b); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("a partition that was made is gone")
}

// makePartition makes a partition, unless another node has. Its tables are
// made first and attached then, which holds up neither readers nor writers.
func (s *Store) makePartition(ctx context.Context, b bucket) error {
	err := pgx.BeginFunc(ctx, s.reads, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", millis(lockTimeout))
		if err != nil {
			return err
		}
		return makePartitionIn(ctx, tx, b)
	})
	if err != nil {
		return err
	}
	return s.parts.refresh(ctx, s.reads)
}

func makePartitionIn(ctx context.Context, tx pgx.Tx, b bucket) error {
	// The row of meta keeps two nodes from changing the set of partitions at once.
	var id int32
	if err := tx.QueryRow(ctx, "SELECT partitions + 1 FROM meta FOR UPDATE").Scan(&id); err != nil {
		return err
	}
	low, high := b.bounds()
	var there bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM partitions WHERE span = $1 AND low = $2 AND dropped IS NULL)", b.span, low).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = tx.Exec(ctx, `WITH counted AS (UPDATE meta SET partitions = $1)
		INSERT INTO partitions (id, span, low, high) VALUES ($1, $2, $3, $4)`, id, b.span, low, high)
	if err != nil {
		return err
	}
	from, to := "(0, MINVALUE)", "(0, MAXVALUE)"
	if b.span != ever {
		from = fmt.Sprintf("(%d, '%s')", b.span, low.Time.Format(time.RFC3339))
		to = fmt.Sprintf("(%d, '%s')", b.span, high.Time.Format(time.RFC3339))
	}
	for _, table := range partitioned {
		for _, ddl := range []string{
			fmt.Sprintf("CREATE TABLE %s_%d (LIKE %s INCLUDING ALL)", table, id, table),
			fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s_%d FOR VALUES FROM %s TO %s", table, table, id, from, to),
		} {
			if _, err := tx.Exec(ctx, ddl); err != nil {
				return err
			}
		}
	}
	return nil
}

// partitioned are the tables that each partition has one of.
var partitioned = []string{"tokens", "marks", "links"}

// makeAhead makes partitions before tokens need them, so that no caller waits
// for it at the full hour.
func (s *Store) makeAhead() {
	for {
		select {
		case <-s.running.Done():
			return
		case b := <-s.parts.ahead:
			if s.parts.has(b) {
				continue
			}
			ctx, cancel := context.WithTimeout(s.running, longTimeout)
			if err := s.makePartition(ctx, b); err != nil && ctx.Err() == nil {
				s.logger.Warn("can't make a partition ahead; it will be made when it is needed", "error", err)
			}
			cancel()
		}
	}
}

func (c *catalogue) has(b bucket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byBucket[b] != nil
}
