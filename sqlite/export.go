package sqlite

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// exported are the tables that Export knows, each with the name by which its rows
// are counted; "" is what other tables say, too.
var exported = map[string]string{
	"meta": "", "partitions": "", "settings": "settings", "clients": "clients", "client_ids": "client_ids", "cutoffs": "cutoffs", "secrets": "secrets",
	"secret_uses": "secret_uses", "connections": "connections", "keys": "keys", "replays": "replays", "journal": "journal", "events": "events",
	"documents": "documents",
}

// Export gives the whole ledger to sink, as of one commit, after checking its hash
// chains.
func (s *Store) Export(ctx context.Context, sink gatehouse.LedgerSink) error {
	return s.read(ctx, func(v *view) error {
		c := &check{conn: v.conn, drops: map[string]map[string]string{}}
		if err := c.run(); err != nil {
			return err
		}
		if n := len(c.report.Faults); n > 0 {
			return fmt.Errorf("the ledger's hash chains do not fit, in %d places: %s", n, c.report.Faults[0])
		}
		e := export{view: v, sink: sink, tables: c.tables}
		return e.run()
	})
}

// An export is one Export on its way.
type export struct {
	*view
	sink   gatehouse.LedgerSink
	tables map[string]bool
}

func (e *export) run() error {
	if err := e.checkTables(); err != nil {
		return err
	}
	for _, step := range []func() error{e.begin, e.settings, e.clients, e.connections, e.keys, e.replays, e.documents, e.journal, e.events, e.partitions, e.counts} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkTables refuses a database with a table that would be left behind.
func (e *export) checkTables() error {
	for name := range e.tables {
		_, known := exported[name]
		base, _, numbered := strings.Cut(name, "_")
		partitioned := numbered && slices.Contains([]string{"tokens", "marks", "links", "shapes"}, base)
		if !known && !partitioned && !strings.HasPrefix(name, "sqlite_") {
			return fmt.Errorf("the table %s is none that this version can move", name)
		}
	}
	return nil
}

func (e *export) begin() error {
	m, err := e.manifest()
	if err != nil {
		return err
	}
	ends := gatehouse.LedgerEnds{Manifest: *m, JournalFloor: e.journalFloor}
	err = e.conn.rows("SELECT partitions FROM meta", func(st *sqlite.Stmt) error {
		ends.Partitions = st.ColumnInt64(0)
		return nil
	})
	if err != nil {
		return err
	}
	return e.sink.Begin(ends)
}

func (e *export) settings() error {
	return e.conn.rows("SELECT name, value FROM settings ORDER BY name", func(st *sqlite.Stmt) error {
		return e.sink.Setting(st.ColumnText(0), columnBlob(st, 1))
	})
}

func (e *export) clients() error {
	all, err := readClients(e.conn)
	if err != nil {
		return err
	}
	for i := range all {
		var ids []gatehouse.ClientID
		err := e.conn.rows("SELECT i.id FROM client_ids i JOIN clients c ON c.n = i.client WHERE c.id = ? ORDER BY i.id", func(st *sqlite.Stmt) error {
			ids = append(ids, gatehouse.ClientID(st.ColumnText(0)))
			return nil
		}, string(all[i].ID))
		if err != nil {
			return err
		}
		var secrets []gatehouse.SecretID
		var uses []gatehouse.SecretUse
		err = e.conn.rows(`SELECT k.id, u.secret, u.count, u.at, u.addr FROM secrets k JOIN clients c ON c.n = k.client
			LEFT JOIN secret_uses u ON u.secret = k.n WHERE c.id = ? ORDER BY k.n`, func(st *sqlite.Stmt) error {
			id := columnID(st, 0)
			secrets = append(secrets, id)
			if !st.ColumnIsNull(1) {
				addr, _ := netip.ParseAddr(st.ColumnText(4)) // none is the zero Addr
				uses = append(uses, gatehouse.SecretUse{Secret: id, Count: st.ColumnInt64(2), At: columnTime(st, 3), Addr: addr})
			}
			return nil
		}, string(all[i].ID))
		if err != nil {
			return err
		}
		if err := e.sink.Client(&all[i], ids, secrets, uses); err != nil {
			return err
		}
	}
	return nil
}

func (e *export) connections() error {
	return e.conn.rows(connectionQuery+"ORDER BY n.id", func(st *sqlite.Stmt) error {
		c := scanConnection(st)
		return e.sink.Connection(&c)
	})
}

func (e *export) keys() error {
	all, err := readKeys(e.conn)
	if err != nil {
		return err
	}
	for i := range all {
		if err := e.sink.Key(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *export) replays() error {
	return e.conn.rows("SELECT caller, key, request, answer, at FROM replays ORDER BY caller, key", func(st *sqlite.Stmt) error {
		r := gatehouse.Replay{Caller: st.ColumnText(0), Key: st.ColumnText(1), Answer: columnBlob(st, 3), At: columnTime(st, 4)}
		st.ColumnBytes(2, r.Request[:])
		return e.sink.Replay(&r)
	})
}

// documents are all of them, expired ones too: they are counted like the others.
func (e *export) documents() error {
	return e.conn.rows("SELECT kind, key, owner, value, version, expires FROM documents ORDER BY kind, key", func(st *sqlite.Stmt) error {
		d := scanDocument(st)
		return e.sink.Document(&d)
	})
}

func (e *export) journal() error {
	return e.conn.rows(entryQuery+"ORDER BY seq", func(st *sqlite.Stmt) error {
		entry := scanEntry(st)
		return e.sink.Entry(&entry)
	})
}

func (e *export) events() error {
	return e.conn.rows(eventQuery+"ORDER BY seq", func(st *sqlite.Stmt) error {
		event, err := scanEvent(st)
		if err != nil {
			return err
		}
		return e.sink.Event(&event)
	})
}

func (e *export) partitions() error {
	var all []gatehouse.LedgerPartition
	err := e.conn.rows("SELECT id, bucket, rows, head, dropped IS NOT NULL FROM partitions ORDER BY id", func(st *sqlite.Stmt) error {
		p := gatehouse.LedgerPartition{ID: st.ColumnInt64(0), Hour: permanent, Rows: st.ColumnInt64(2), Dropped: st.ColumnBool(4)}
		if !st.ColumnIsNull(1) {
			p.Hour = st.ColumnInt64(1)
		}
		st.ColumnBytes(3, p.Head[:])
		all = append(all, p)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range all {
		if err := e.sink.Partition(&all[i]); err != nil {
			return err
		}
	}
	for i := range all {
		if all[i].Dropped {
			continue
		}
		p := &partition{id: all[i].ID, bucket: all[i].Hour}
		rows := int64(0)
		err := e.conn.rows(p.on(rowQuery+"ORDER BY t.id"), func(st *sqlite.Stmt) error {
			r, err := scanRow(st, p)
			if err != nil {
				return err
			}
			rows++
			return e.sink.Token(&r.TokenRecord)
		})
		if err == nil && rows != all[i].Rows {
			err = fmt.Errorf("%d rows were read of %d", rows, all[i].Rows)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.id, err)
		}
	}
	return nil
}

// counts counts the rows of each table by itself, not by what was read above.
func (e *export) counts() error {
	var tokens, marks int64
	one := func(to *int64, query string) error {
		return e.conn.rows(query, func(st *sqlite.Stmt) error {
			*to += st.ColumnInt64(0)
			return nil
		})
	}
	for name, as := range exported {
		if as == "" {
			continue
		}
		var n int64
		if err := one(&n, "SELECT count(*) FROM "+name); err != nil {
			return err
		}
		if err := e.sink.Count(as, n); err != nil {
			return err
		}
	}
	for name := range e.tables {
		switch base, _, _ := strings.Cut(name, "_"); base {
		case "tokens":
			if err := one(&tokens, "SELECT count(*) FROM "+name); err != nil {
				return err
			}
		case "marks":
			if err := one(&marks, "SELECT count(*) FROM "+name); err != nil {
				return err
			}
		}
	}
	if err := e.sink.Count("tokens", tokens); err != nil {
		return err
	}
	return e.sink.Count("marks", marks)
}
