package sqlite

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// CheckAudit implements gatehouse.Store. It reads the whole ledger, a partition
// at a time, as of one moment.
func (s *Store) CheckAudit(ctx context.Context) (*gatehouse.AuditReport, error) {
	c := &check{drops: map[string]map[string]string{}}
	err := s.read(ctx, func(v *view) error {
		c.conn = v.conn
		return c.run()
	})
	if err != nil {
		return nil, err
	}
	return &c.report, nil
}

// A check is one CheckAudit on its way.
type check struct {
	conn   *conn
	report gatehouse.AuditReport
	drops  map[string]map[string]string // details of partition.drop events, by partition
	tables map[string]bool
}

func (c *check) run() error {
	if err := c.events(); err != nil {
		return err
	}
	if err := c.catalogue(); err != nil {
		return err
	}
	parts, err := readCatalogue(c.conn)
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

func (c *check) fault(format string, args ...any) {
	c.report.Faults = append(c.report.Faults, fmt.Sprintf(format, args...))
}

// events follows the chain of events to the head that meta has.
func (c *check) events() error {
	var seq int64
	var prev [32]byte
	err := c.conn.rows(eventQuery+"ORDER BY seq", func(st *sqlite.Stmt) error {
		e, err := scanEvent(st)
		if err != nil {
			c.fault("%v", err)
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
		return nil
	})
	if err != nil {
		return err
	}
	return c.conn.rows("SELECT event_seq, event_head FROM meta", func(st *sqlite.Stmt) error {
		if st.ColumnInt64(0) != seq || !bytes.Equal(columnBlob(st, 1), prev[:]) {
			c.fault("the events end with event %d, where event %d was the newest", seq, st.ColumnInt64(0))
		}
		return nil
	})
}

// catalogue checks that no partition is missing, and those that were dropped
// against the events that tell of it.
func (c *check) catalogue() error {
	c.tables = map[string]bool{}
	err := c.conn.rows(`SELECT name FROM sqlite_schema WHERE type = 'table'`, func(st *sqlite.Stmt) error {
		c.tables[st.ColumnText(0)] = true
		return nil
	})
	if err != nil {
		return err
	}
	err = c.conn.rows(`SELECT m.partitions, coalesce(max(p.id), 0), count(p.id) FROM meta m LEFT JOIN partitions p`, func(st *sqlite.Stmt) error {
		if n := st.ColumnInt64(0); n != st.ColumnInt64(1) || n != st.ColumnInt64(2) {
			c.fault("the catalogue has %d partitions up to %d, where %d were made", st.ColumnInt64(2), st.ColumnInt64(1), n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.conn.rows(`SELECT id, rows, head FROM partitions WHERE dropped IS NOT NULL ORDER BY id`, func(st *sqlite.Stmt) error {
		id := st.ColumnText(0)
		told := c.drops[id]
		if told["rows"] != strconv.FormatInt(st.ColumnInt64(1), 10) || told["hash"] != hex.EncodeToString(columnBlob(st, 2)) {
			c.fault("partition %s is not as it was when it was dropped", id)
		}
		if c.tables["tokens_"+id] {
			c.fault("partition %s was dropped, but its tables are there", id)
		}
		return nil
	})
}

// A commitGroup is what one commit added to a partition.
type commitGroup struct {
	rows  []gatehouse.TokenRecord
	marks []gatehouse.Mark
	link  []byte
}

// partition recomputes the links of a partition. After one that does not fit
// it goes on from the link that is stored, so that one edit is one fault.
func (c *check) partition(p *partition) error {
	for _, table := range []string{"tokens_%d", "marks_%d", "links_%d", "shapes_%d"} {
		if name := p.on(table); !c.tables[name] {
			c.fault("partition %d: the table %s is missing", p.id, name)
			return nil
		}
	}
	groups, err := c.groups(p)
	if err != nil {
		return err
	}
	var prev [32]byte
	var rows, marks int64
	for _, n := range slices.Sorted(maps.Keys(groups)) {
		g := groups[n]
		rows, marks = rows+int64(len(g.rows)), marks+int64(len(g.marks))
		slices.SortFunc(g.marks, compareMarks)
		if link := gatehouse.ChainTokens(prev, g.rows, g.marks); !bytes.Equal(link[:], g.link) {
			c.fault("partition %d, commit group %d: %s", p.id, n, g.describe())
		}
		copy(prev[:], g.link)
	}
	c.report.Tokens += int(rows)
	if rows != p.rows || marks != p.marks || int64(len(groups)) != p.groups || prev != p.head {
		c.fault("partition %d has %d rows, %d marks and %d links, where the catalogue has %d, %d and %d and where they end",
			p.id, rows, marks, len(groups), p.rows, p.marks, p.groups)
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
	var ids span
	for _, r := range g.rows {
		ids.add(r.ID)
	}
	for _, m := range g.marks {
		ids.add(m.Token)
	}
	return fmt.Sprintf("its link does not fit its %d rows and %d marks, tokens %s to %s", len(g.rows), len(g.marks), ids.low, ids.high)
}

// groups reads a whole partition.
func (c *check) groups(p *partition) (map[int64]*commitGroup, error) {
	groups := map[int64]*commitGroup{}
	at := func(n int64) *commitGroup {
		if groups[n] == nil {
			groups[n] = &commitGroup{}
		}
		return groups[n]
	}
	err := c.conn.rows(p.on(rowQuery+"ORDER BY t.id"), func(st *sqlite.Stmt) error {
		r, err := scanRow(st, p)
		if err != nil {
			c.fault("partition %d: %v", p.id, err)
		}
		g := at(r.group)
		g.rows = append(g.rows, r.TokenRecord)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.conn.rows(p.on("SELECT token, revoked, at, grp FROM marks_%d"), func(st *sqlite.Stmt) error {
		g := at(st.ColumnInt64(3))
		if n := st.ColumnInt64(1); n != 0 && n != 1 {
			c.fault("partition %d: token %s has a mark of no kind", p.id, columnID(st, 0))
		}
		g.marks = append(g.marks, gatehouse.Mark{Token: columnID(st, 0), Revoked: st.ColumnBool(1), At: columnTime(st, 2)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.conn.rows(p.on("SELECT grp, hash FROM links_%d"), func(st *sqlite.Stmt) error {
		at(st.ColumnInt64(0)).link = columnBlob(st, 1)
		return nil
	})
	return groups, err
}
