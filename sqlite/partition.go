package sqlite

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

//go:embed partition.sql
var partitionSQL string

// partitionRows closes a partition: it bounds how long dropping one takes.
const partitionRows = 65_536

// permanent is the bucket of tokens that never expire.
const permanent int64 = -1

// importHours is the width of a bucket of tokens that another system made.
// Their lives end anywhere in years to come and few share an hour, so that
// hours would make thousands of partitions, in each of which such a token may be.
const importHours = 30 * 24

// bucketOf is the hour in which a token expires, or the last one of its
// thirty days where it was imported.
func bucketOf(id gatehouse.TokenID, expires time.Time) int64 {
	if expires.IsZero() {
		return permanent
	}
	hour := expires.Unix() / 3600
	if id.Derived() {
		hour += importHours - 1 - hour%importHours
	}
	return hour
}

// A partition is one of the series that the ledger is made of. id, bucket and
// the published ranges are for everybody, the rest is the writer's own.
type partition struct {
	id     int64
	bucket int64

	ids      atomic.Pointer[span] // of token ids, published before the commit that widens it
	families atomic.Pointer[span] // of grants

	rows, marks, groups int64
	head                [32]byte
	lastExpiry          time.Time
	shapes              map[shape]int64
	insertToken         string

	// What the current commit group adds.
	newRows  []gatehouse.TokenRecord
	newMarks []gatehouse.Mark
	idsNow   span
	famsNow  span
}

// A shape is what many tokens of a partition have in common.
type shape struct {
	kind        gatehouse.TokenKind
	environment gatehouse.Environment
	dialect     string
	scopes      string
	audience    string
}

func shapeOf(r *gatehouse.TokenRecord) shape {
	return shape{r.Kind, r.Environment, r.Dialect, strings.Join(r.Scopes, " "), strings.Join(r.Audience, " ")}
}

// keptShapes bounds the memory that callers with ever new scopes can take.
const keptShapes = 1024

// A span is a range of ids, both ends included; the zero span is empty. Derived
// ids, which come before all others, only count as there or not: in the range
// they would make it reach over everything.
type span struct {
	low, high token.ID
	derived   bool
}

func (s *span) holds(id token.ID) bool {
	if id.Derived() {
		return s.derived
	}
	return bytes.Compare(s.low[:], id[:]) <= 0 && bytes.Compare(id[:], s.high[:]) <= 0
}

// afterDerived comes after every derived id, and before every other.
var afterDerived = token.ID{5: 1}

// reaches reports whether an id before this one may be there.
func (s *span) reaches(before token.ID) bool {
	return s.derived || bytes.Compare(s.low[:], before[:]) < 0
}

// newest is at or after every id that is there.
func (s *span) newest() token.ID {
	if s.derived && s.high.IsZero() {
		return afterDerived
	}
	return s.high
}

func (s *span) add(id token.ID) {
	if id.Derived() {
		s.derived = true
		return
	}
	if s.low.IsZero() || bytes.Compare(id[:], s.low[:]) < 0 {
		s.low = id
	}
	if bytes.Compare(id[:], s.high[:]) > 0 {
		s.high = id
	}
}

// expiredBy reports whether every token of the partition has expired at now.
func (p *partition) expiredBy(now time.Time) bool {
	return p.bucket != permanent && (p.bucket+1)*3600 <= now.Unix()
}

// on puts the partition's number into a statement's %d.
func (p *partition) on(query string) string {
	return strings.ReplaceAll(query, "%d", strconv.FormatInt(p.id, 10))
}

// create makes the partition's tables.
func (p *partition) create(c *conn) error {
	return script(c, fmt.Sprintf(partitionSQL, p.id))
}

// drop removes the partition's tables.
func (p *partition) drop(c *conn) error {
	return script(c, p.on("DROP TABLE tokens_%d; DROP TABLE marks_%d; DROP TABLE links_%d; DROP TABLE shapes_%d"))
}

// script runs statements one after the other inside the current transaction.
func script(c *conn, queries string) error {
	for queries = strings.TrimSpace(queries); queries != ""; queries = strings.TrimSpace(queries) {
		st, rest, err := c.PrepareTransient(queries)
		if err != nil {
			return err
		}
		queries = queries[len(queries)-rest:]
		_, err = st.Step()
		if err := st.Finalize(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loadPartitions reads the catalogue and the partitions' ranges of ids.
func loadPartitions(c *conn) ([]*partition, error) {
	parts, err := readCatalogue(c)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := p.loadSpans(c); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p.id, err)
		}
	}
	return parts, nil
}

// readCatalogue returns the partitions that are there, in order of their ids.
func readCatalogue(c *conn) ([]*partition, error) {
	var parts []*partition
	err := c.rows(`SELECT id, bucket, rows, marks, groups, head, last_expiry FROM partitions WHERE dropped IS NULL ORDER BY id`,
		func(st *sqlite.Stmt) error {
			p := &partition{id: st.ColumnInt64(0), bucket: permanent, shapes: map[shape]int64{}}
			if !st.ColumnIsNull(1) {
				p.bucket = st.ColumnInt64(1)
			}
			p.rows, p.marks, p.groups = st.ColumnInt64(2), st.ColumnInt64(3), st.ColumnInt64(4)
			st.ColumnBytes(5, p.head[:])
			p.lastExpiry = columnSeconds(st, 6)
			parts = append(parts, p)
			return nil
		})
	return parts, err
}

// loadSpans reads the ranges from the rows themselves. Each of the five
// selects is one step into an index.
func (p *partition) loadSpans(c *conn) error {
	err := sqlitex.ExecuteTransient(c.Conn, p.on(`SELECT
		(SELECT min(id) FROM tokens_%d WHERE id > ?1), (SELECT max(id) FROM tokens_%d WHERE id > ?1),
		(SELECT min(family) FROM tokens_%d WHERE family IS NOT NULL), (SELECT max(family) FROM tokens_%d WHERE family IS NOT NULL),
		EXISTS (SELECT 1 FROM tokens_%d WHERE id < ?1)`),
		&sqlitex.ExecOptions{Args: []any{afterDerived[:]}, ResultFunc: func(st *sqlite.Stmt) error {
			p.idsNow = span{columnID(st, 0), columnID(st, 1), st.ColumnBool(4)}
			p.famsNow = span{low: columnID(st, 2), high: columnID(st, 3)}
			return nil
		}})
	p.publish()
	return err
}

// publish lets readers look into the partition for the ids it has by now.
func (p *partition) publish() {
	ids, families := p.idsNow, p.famsNow
	p.ids.Store(&ids)
	p.families.Store(&families)
}
