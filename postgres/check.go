package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// CheckAudit implements gatehouse.Store. It reads the whole ledger, a partition
// at a time, as of one moment.
func (s *Store) CheckAudit(ctx context.Context) (*gatehouse.AuditReport, error) {
	var c *check
	err := s.asOf(ctx, func(ctx context.Context, q queries) error {
		c = &check{ctx: ctx, q: q, drops: map[string]map[string]string{}}
		return c.run()
	})
	if err != nil {
		return nil, err
	}
	return &c.report, nil
}

// A check is one CheckAudit on its way.
type check struct {
	ctx    context.Context
	q      queries
	report gatehouse.AuditReport
	drops  map[string]map[string]string // details of partition.drop events, by partition
}

func (c *check) fault(format string, args ...any) {
	c.report.Faults = append(c.report.Faults, fmt.Sprintf(format, args...))
}

func (c *check) run() error {
	if err := c.events(); err != nil {
		return err
	}
	parts, err := c.catalogue()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := c.partition(p); err != nil {
			return err
		}
	}
	return nil
}

// events follows the chain of events to the head that meta has.
func (c *check) events() error {
	var seq int64
	var prev [32]byte
	rows, err := c.q.Query(c.ctx, eventQuery+"ORDER BY seq")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		e, damage, err := scanEvent(rows)
		if err != nil {
			return err
		}
		if damage != nil {
			c.fault("%v", damage)
		}
		if e.Seq != seq+1 {
			c.fault("event %d follows event %d", e.Seq, seq)
		}
		if gatehouse.ChainEvent(prev, &e) != e.Hash {
			c.fault("event %d does not fit its hash and the event before it", e.Seq)
		}
		if e.Action == dropAction {
			c.drops[e.Subject] = e.Detail
		}
		seq, prev = e.Seq, e.Hash
		c.report.Events++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var newest int64
	var ends []byte
	if err := c.q.QueryRow(c.ctx, "SELECT event_seq, event_head FROM meta").Scan(&newest, &ends); err != nil {
		return err
	}
	if newest != seq || !bytes.Equal(ends, prev[:]) {
		c.fault("the events end with event %d, where event %d was the newest", seq, newest)
	}
	return nil
}

// catalogue checks that no partition is missing, and those that were dropped
// against the events that tell of it. It returns those that are there.
func (c *check) catalogue() ([]*partition, error) {
	rows, err := c.q.Query(c.ctx, `SELECT p.id, p.span, p.low, p.dropped IS NOT NULL, coalesce(p.rows, 0), p.head,
		to_regclass('tokens_' || p.id) IS NOT NULL AND to_regclass('marks_' || p.id) IS NOT NULL AND to_regclass('links_' || p.id) IS NOT NULL
		FROM partitions p ORDER BY p.id`)
	if err != nil {
		return nil, err
	}
	var there []*partition
	var p partition
	var low pgtype.Timestamptz
	var dropped, tables bool
	var count int64
	var hash []byte
	last := int32(0)
	_, err = pgx.ForEachRow(rows, []any{&p.id, &p.span, &low, &dropped, &count, &hash, &tables}, func() error {
		if p.id != last+1 {
			c.fault("the catalogue has partition %d after partition %d", p.id, last)
		}
		last = p.id
		if !dropped {
			one := p
			one.low = 0
			if one.span != ever {
				one.low = low.Time.Unix()
			}
			if !tables {
				c.fault("partition %d: its tables are missing", p.id)
			} else {
				there = append(there, &one)
			}
			return nil
		}
		told := c.drops[strconv.Itoa(int(p.id))]
		if told["rows"] != strconv.FormatInt(count, 10) || told["hash"] != hex.EncodeToString(hash) {
			c.fault("partition %d is not as it was when it was dropped", p.id)
		}
		if tables {
			c.fault("partition %d was dropped, but its tables are there", p.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var made int32
	if err := c.q.QueryRow(c.ctx, "SELECT partitions FROM meta").Scan(&made); err != nil {
		return nil, err
	}
	if made != last {
		c.fault("the catalogue ends with partition %d, where %d were made", last, made)
	}
	return there, nil
}

// A commitGroup is what one commit of one writer added to a partition.
type commitGroup struct {
	rows  []gatehouse.TokenRecord
	marks []gatehouse.Mark
	link  []byte
}

type chainKey struct{ writer, group int64 }

// partition recomputes the links of a partition's chains. After one that does
// not fit it goes on from the link that is stored, so that one edit is one fault.
func (c *check) partition(p *partition) error {
	groups, err := c.groups(p)
	if err != nil {
		return err
	}
	known, err := readEnds(c.ctx, c.q, p.id)
	if err != nil {
		return err
	}
	heads := map[int64]head{}
	keys := make([]chainKey, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b chainKey) int {
		if a.writer != b.writer {
			return int(a.writer - b.writer)
		}
		return int(a.group - b.group)
	})
	for _, k := range keys {
		g, h := groups[k], heads[k.writer]
		slices.SortFunc(g.marks, compareMarks)
		if link := gatehouse.ChainTokens(h.hash, g.rows, g.marks); !bytes.Equal(link[:], g.link) {
			c.fault("partition %d, writer %d, commit group %d: %s", p.id, k.writer, k.group, g.describe())
		}
		h.groups++
		h.rows += int64(len(g.rows))
		h.marks += int64(len(g.marks))
		copy(h.hash[:], g.link)
		heads[k.writer] = h
		c.report.Tokens += len(g.rows)
	}
	for i, writer := range known.ids {
		if heads[writer] != known.heads[i] {
			h := known.heads[i]
			c.fault("partition %d, writer %d: it has %d rows, %d marks and %d links, where its chain had %d, %d and %d and where they end",
				p.id, writer, heads[writer].rows, heads[writer].marks, heads[writer].groups, h.rows, h.marks, h.groups)
		}
		delete(heads, writer)
	}
	for writer := range heads {
		c.fault("partition %d has rows of writer %d, which has no chain in it", p.id, writer)
	}
	return nil
}

// describe says what does not fit, as narrowly as the chain can tell.
func (g *commitGroup) describe() string {
	switch {
	case len(g.link) == 0:
		return "its link is missing"
	case len(g.rows) == 0 && len(g.marks) == 0:
		return "it has a link, and no rows or marks"
	}
	var ids []gatehouse.TokenID
	for _, r := range g.rows {
		ids = append(ids, r.ID)
	}
	for _, m := range g.marks {
		ids = append(ids, m.Token)
	}
	slices.SortFunc(ids, func(a, b gatehouse.TokenID) int { return bytes.Compare(a[:], b[:]) })
	return fmt.Sprintf("its link does not fit its %d rows and %d marks, tokens %s to %s", len(g.rows), len(g.marks), ids[0], ids[len(ids)-1])
}

// groups reads a whole partition. Its tables are asked for by the bounds that
// they were made for, so that a row can't hide in another one.
func (c *check) groups(p *partition) (map[chainKey]*commitGroup, error) {
	groups := map[chainKey]*commitGroup{}
	at := func(writer, group int64) *commitGroup {
		k := chainKey{writer, group}
		if groups[k] == nil {
			groups[k] = &commitGroup{}
		}
		return groups[k]
	}
	low, high := p.bounds()
	const within = "span = $1 AND (span = 0 OR expires >= $2 AND expires < $3)"
	rows, err := c.q.Query(c.ctx, rowQuery+"WHERE t."+within+" ORDER BY t.id", p.span, low, high)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanRow)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if r.Client == "" {
			c.fault("partition %d: token %s names a client that is not there", p.id, r.ID)
		}
		g := at(r.writer, r.group)
		g.rows = append(g.rows, r.TokenRecord)
	}
	rows, err = c.q.Query(c.ctx, "SELECT token, revoked, at, writer, grp FROM marks WHERE "+within, p.span, low, high)
	if err != nil {
		return nil, err
	}
	var id pgtype.UUID
	var revoked bool
	var moment pgtype.Timestamptz
	var writer, group int64
	_, err = pgx.ForEachRow(rows, []any{&id, &revoked, &moment, &writer, &group}, func() error {
		g := at(writer, group)
		g.marks = append(g.marks, gatehouse.Mark{Token: idOf(id), Revoked: revoked, At: timeOf(moment)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = c.q.Query(c.ctx, "SELECT writer, grp, hash FROM links WHERE "+within, p.span, low, high)
	if err != nil {
		return nil, err
	}
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&writer, &group, &hash}, func() error {
		at(writer, group).link = hash
		hash = nil
		return nil
	})
	return groups, err
}
