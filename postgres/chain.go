package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// A writer is one series of commits, and where its chains end. It belongs to
// one committer of one process.
type writer struct {
	id    int64 // 0: none yet
	heads map[int32]head
}

// A head is where a writer's chain in one partition ends.
type head struct {
	groups, rows, marks int64
	hash                [32]byte
}

// enrol gives a writer without an id a fresh one. It has no chains then.
func (w *writer) enrol(ctx context.Context, q queries) error {
	if w.id != 0 {
		return nil
	}
	// A server that crashes sends what it has, so that a row may come of an
	// INSERT that was never committed. Its id is given out again.
	var id int64
	if err := q.QueryRow(ctx, "INSERT INTO writers DEFAULT VALUES RETURNING id").Scan(&id); err != nil {
		return err
	}
	w.id, w.heads = id, map[int32]head{}
	return nil
}

// abandon leaves the chains as they are, after a commit whose outcome is
// unknown: going on from a wrong end would break them.
func (w *writer) abandon() { w.id = 0 }

// An addition is what one commit group adds to a partition.
type addition struct {
	*partition
	rows  []gatehouse.TokenRecord
	marks []gatehouse.Mark
}

// additions are those of one commit group, by partition.
type additions map[int32]*addition

func (a additions) to(p *partition) *addition {
	if a[p.id] == nil {
		a[p.id] = &addition{partition: p}
	}
	return a[p.id]
}

// row adds a token as it is stored, so that the link can be recomputed.
func (a *addition) row(t *gatehouse.TokenRecord) {
	a.rows = append(a.rows, *t)
	stored := &a.rows[len(a.rows)-1]
	stored.IssuedAt = t.IssuedAt.Truncate(time.Millisecond)
	stored.ExpiresAt = t.ExpiresAt.Truncate(time.Second)
}

// links are the rows of links and chains that seal a commit group.
type links struct {
	part   []int32
	span   []int16
	low    []pgtype.Timestamptz
	grp    []int64
	rows   []int64
	marks  []int64
	hash   [][]byte
	newest []pgtype.Timestamptz
	heads  map[int32]head // where the chains end once that is committed
}

// seal links what a group adds to the chains of its partitions.
func (w *writer) seal(added additions, newest time.Time) *links {
	l := &links{heads: map[int32]head{}}
	for id, a := range added {
		slices.SortFunc(a.rows, func(x, y gatehouse.TokenRecord) int { return bytes.Compare(x.ID[:], y.ID[:]) })
		slices.SortFunc(a.marks, compareMarks)
		h := w.heads[id]
		h.hash = gatehouse.ChainTokens(h.hash, a.rows, a.marks)
		h.groups++
		h.rows += int64(len(a.rows))
		h.marks += int64(len(a.marks))
		l.heads[id] = h
		low, _ := a.bounds()
		l.part, l.span, l.low = append(l.part, id), append(l.span, a.span), append(l.low, low)
		l.grp, l.rows, l.marks = append(l.grp, h.groups), append(l.rows, h.rows), append(l.marks, h.marks)
		l.hash, l.newest = append(l.hash, h.hash[:]), append(l.newest, moment(newest))
	}
	return l
}

// committed makes the chains end where l says.
func (w *writer) committed(l *links) {
	for id, h := range l.heads {
		w.heads[id] = h
	}
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

// linkSQL writes links where the rest of its statement says so: an expression
// named fine has one row, or none.
const linkSQL = `linked AS (
	INSERT INTO links (writer, grp, span, expires, hash)
	SELECT l.writer, l.grp, l.span, l.low, l.hash FROM l, fine
), chained AS (
	INSERT INTO chains AS c (writer, partition, groups, rows, marks, head, newest)
	SELECT l.writer, l.partition, l.grp, l.rows, l.marks, l.hash, l.newest FROM l, fine
	ON CONFLICT (writer, partition) DO UPDATE SET
		groups = excluded.groups, rows = excluded.rows, marks = excluded.marks, head = excluded.head,
		newest = greatest(c.newest, excluded.newest)
)`
