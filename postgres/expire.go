package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// What the journal keeps of entries that Load tells too: so many, and all that
// are younger than so much before the cutoff of Expire (itself a day ago).
const (
	journalEntries = 10_000
	journalAge     = 24 * time.Hour
)

// expireStep is how many entries or replays one step removes.
const expireStep = 1_000

// Expire implements gatehouse.Store. Every node calls it, and whichever holds
// the gate does the work. cutoff is a day ago in normal running.
func (s *Store) Expire(ctx context.Context, cutoff time.Time) (gatehouse.Expired, error) {
	var gone gatehouse.Expired
	old, err := s.expired(ctx, cutoff)
	if err != nil {
		return gone, err
	}
	for _, p := range old {
		rows, err := s.drop(ctx, p, cutoff)
		if err != nil {
			return gone, err
		}
		if rows >= 0 {
			gone.Partitions++
			gone.Tokens += int(rows)
		}
	}
	if err := s.prune(ctx, pruneJournal, cutoff, cutoff.Add(-journalAge), journalEntries); err != nil {
		return gone, err
	}
	if err := s.prune(ctx, pruneReplays, cutoff); err != nil {
		return gone, err
	}
	return gone, s.prune(ctx, pruneDocuments, cutoff)
}

// expired are the partitions all of whose tokens expired before cutoff.
func (s *Store) expired(ctx context.Context, cutoff time.Time) ([]*partition, error) {
	var old []*partition
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		rows, err := q.Query(ctx, "SELECT id, span, low FROM partitions WHERE dropped IS NULL AND span <> $1 AND high <= $2 ORDER BY low", ever, moment(cutoff))
		if err != nil {
			return err
		}
		old, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*partition, error) {
			p, low := &partition{}, pgtype.Timestamptz{}
			err := row.Scan(&p.id, &p.span, &low)
			p.low = low.Time.Unix()
			return p, err
		})
		return err
	})
	return old, err
}

// How long to wait for readers of the ledger before dropping a partition:
// everybody else waits behind that.
const (
	dropWait  = 50 * time.Millisecond
	dropTries = 10
	dropPause = 100 * time.Millisecond
)

// drop drops a partition. The catalogue keeps where its chains ended, and so
// does an audit event. It returns how many rows it had, -1 where another node
// was first or readers are in the way: there is another try in a minute.
func (s *Store) drop(ctx context.Context, p *partition, cutoff time.Time) (int64, error) {
	for range dropTries {
		rows := int64(-1)
		err := s.acts.Commit(ctx, func(t *actTx) (err error) {
			rows, err = t.drop(p, cutoff)
			return err
		}, commitgroup.Wait{Patience: longTimeout})
		switch {
		case err == nil:
			s.parts.forget(p.bucket, p.id)
			return rows, nil
		case !hasCode(err, lockNotAvailable):
			return -1, err
		}
		select {
		case <-ctx.Done():
			return -1, notDone(context.Cause(ctx))
		case <-time.After(dropPause):
		}
	}
	s.logger.Info("an expired partition can't be dropped while the ledger is read; it will be tried again", "partition", p.id)
	return -1, nil
}

func (t *actTx) drop(p *partition, cutoff time.Time) (rows int64, err error) {
	var there bool
	err = t.tx.QueryRow(t.ctx, "SELECT true FROM partitions WHERE id = $1 AND dropped IS NULL", p.id).Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if a := t.added[p.id]; a != nil {
		return -1, errors.New("a partition was to be dropped that this very group writes to")
	}
	if err := t.exec("SELECT set_config('lock_timeout', $1, true)", millis(dropWait)); err != nil {
		return -1, err
	}
	for _, table := range partitioned {
		if err := t.exec(fmt.Sprintf("DROP TABLE %s_%d", table, p.id)); err != nil {
			return -1, err
		}
	}
	if err := t.exec("SELECT set_config('lock_timeout', $1, true)", millis(lockTimeout)); err != nil {
		return -1, err
	}
	ends, err := readEnds(t.ctx, t.tx, p.id)
	if err != nil {
		return -1, err
	}
	rows, hash := ends.sum()
	at := later(t.newest, cutoff)
	if err := t.exec("DELETE FROM chains WHERE partition = $1", p.id); err != nil {
		return -1, err
	}
	if err := t.exec("UPDATE partitions SET dropped = $2, rows = $3, head = $4 WHERE id = $1", p.id, moment(at), rows, hash[:]); err != nil {
		return -1, err
	}
	t.newest = later(t.newest, ends.newest)
	act := gatehouse.Act{
		At: at, By: gatehouse.System("ledger"), Action: dropAction, Subject: strconv.Itoa(int(p.id)),
		Detail: map[string]string{"rows": strconv.FormatInt(rows, 10), "hash": hex.EncodeToString(hash[:])},
	}
	detail, err := marshalDetail(act.Detail)
	if err != nil {
		return -1, err
	}
	t.event(act, detail)
	return rows, nil
}

const dropAction = "partition.drop"

// ends are where the chains of a partition end, by writer.
type ends struct {
	heads  []head // in the order of their writers
	ids    []int64
	newest time.Time
}

func readEnds(ctx context.Context, q queries, partition int32) (*ends, error) {
	rows, err := q.Query(ctx, "SELECT writer, groups, rows, marks, head, newest FROM chains WHERE partition = $1 ORDER BY writer", partition)
	if err != nil {
		return nil, err
	}
	e := &ends{}
	var h head
	var writer int64
	var hash []byte
	var newest pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&writer, &h.groups, &h.rows, &h.marks, &hash, &newest}, func() error {
		h.hash = [32]byte{}
		copy(h.hash[:], hash)
		e.ids, e.heads, e.newest = append(e.ids, writer), append(e.heads, h), later(e.newest, timeOf(newest))
		return nil
	})
	return e, err
}

// sum is how many rows the partition has, and one hash of all its chains.
func (e *ends) sum() (rows int64, hash [32]byte) {
	sum := sha256.New()
	for _, h := range e.heads {
		rows += h.rows
		sum.Write(h.hash[:])
	}
	sum.Sum(hash[:0])
	return rows, hash
}

// What nobody needs any more: revocations of tokens that had expired by the
// cutoff, old entries of the kinds that Load tells too, old answers, and
// documents that had expired. Each
// is one statement, and so one transaction.
const (
	pruneJournal = `WITH old AS (
		SELECT seq FROM journal WHERE until <= $2 OR at < $3 AND seq <= (SELECT journal_seq FROM meta) - $4 ORDER BY seq LIMIT $1
	), gone AS (DELETE FROM journal j USING old WHERE j.seq = old.seq RETURNING j.seq),
	floor AS (UPDATE meta SET journal_floor = greatest(journal_floor, (SELECT max(seq) FROM gone)) WHERE EXISTS (SELECT FROM gone))
	SELECT count(*) FROM gone`
	pruneReplays = `WITH old AS (SELECT caller, key FROM replays WHERE at <= $2 LIMIT $1 FOR UPDATE SKIP LOCKED),
	gone AS (DELETE FROM replays r USING old WHERE r.caller = old.caller AND r.key = old.key RETURNING 1)
	SELECT count(*) FROM gone`
	pruneDocuments = `WITH old AS (SELECT kind, key FROM documents WHERE expires <= $2 LIMIT $1 FOR UPDATE SKIP LOCKED),
	gone AS (DELETE FROM documents d USING old WHERE d.kind = old.kind AND d.key = old.key RETURNING 1)
	SELECT count(*) FROM gone`
)

// prune repeats a statement that removes up to expireStep rows until there are
// no more.
func (s *Store) prune(ctx context.Context, query string, cutoff time.Time, more ...any) error {
	for {
		args := []any{expireStep, moment(cutoff)}
		for _, a := range more {
			if at, ok := a.(time.Time); ok {
				a = moment(at)
			}
			args = append(args, a)
		}
		var n int
		err := s.read(ctx, longTimeout, func(ctx context.Context, q queries) error {
			return q.QueryRow(ctx, query, args...).Scan(&n)
		})
		if err != nil || n < expireStep {
			return err
		}
	}
}
