package sqlite

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// The application ids of a database that must not be served as it is: the copy
// in a backup, which only Adopt makes a ledger of, and one whose ledger was
// moved to another database. They are "gatb" and "gatm" in ASCII.
const (
	copyAppID  = 0x67617462
	movedAppID = 0x6761746d
)

// Where the database header has the application id
// (https://www.sqlite.org/fileformat.html, section 1.3).
const appIDOffset = 68

// databaseFile is the database in its directory, and in a backup.
const databaseFile = "gatehouse.db"

// Backup implements gatehouse.Store. The pages are read inside one read
// transaction, so they are those of one commit; the writer goes on, and its log
// grows until the copy is complete. What is copied is marked as a copy: a server
// refuses it until Adopt.
func (s *Store) Backup(ctx context.Context, sink gatehouse.BackupSink) (*gatehouse.Manifest, error) {
	if !s.copying.TryLock() {
		return nil, fmt.Errorf("a backup is under way: %w", gatehouse.ErrConflict)
	}
	defer s.copying.Unlock()
	m, err := s.backup(ctx, sink)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", gatehouse.ErrStore, context.Cause(ctx))
	}
	return m, err
}

func (s *Store) backup(ctx context.Context, sink gatehouse.BackupSink) (*gatehouse.Manifest, error) {
	// A connection of its own, for as long as the taker of the copy needs.
	c, err := openConn(filepath.Join(s.dir, databaseFile), "FULL")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetInterrupt(ctx.Done())
	v, err := s.begin(c)
	if err != nil {
		return nil, err
	}
	m, err := v.manifest()
	if err != nil || sink == nil {
		return m, err
	}
	return m, v.copyPages(sink)
}

// manifest is what the view holds.
func (v *view) manifest() (*gatehouse.Manifest, error) {
	m := &gatehouse.Manifest{Store: "sqlite", Newest: v.newest, Epoch: v.epoch, Chains: []gatehouse.ChainEnd{}}
	err := v.conn.rows(`SELECT (SELECT user_version FROM pragma_user_version), max(journal_floor, (SELECT coalesce(max(seq), 0) FROM journal)), event_seq, event_head,
		(SELECT count(*) FROM clients), (SELECT count(*) FROM connections), (SELECT count(*) FROM keys), (SELECT count(*) FROM documents) FROM meta`,
		func(st *sqlite.Stmt) error {
			m.Schema, m.JournalSeq, m.EventSeq, m.EventHead = st.ColumnInt(0), st.ColumnInt64(1), st.ColumnInt64(2), hex.EncodeToString(columnBlob(st, 3))
			m.Counts = gatehouse.ManifestCounts{
				Clients: st.ColumnInt64(4), Connections: st.ColumnInt64(5), Keys: st.ColumnInt64(6), Documents: st.ColumnInt64(7),
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	parts, err := readCatalogue(v.conn)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		m.Counts.Tokens += p.rows
		m.Counts.Marks += p.marks
		m.Chains = append(m.Chains, gatehouse.ChainEnd{
			Partition: p.id, Groups: p.groups, Rows: p.rows, Marks: p.marks, Head: hex.EncodeToString(p.head[:]),
		})
	}
	return m, nil
}

// copyPages gives the database to sink, page by page, as the view sees it.
func (v *view) copyPages(sink gatehouse.BackupSink) error {
	var pages, size int64
	err := v.conn.rows("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size", func(st *sqlite.Stmt) error {
		pages, size = st.ColumnInt64(0), st.ColumnInt64(1)
		return nil
	})
	if err != nil {
		return err
	}
	to, err := sink(databaseFile, pages*size)
	if err != nil {
		return err
	}
	page := make([]byte, size)
	var copied int64
	err = v.conn.rows("SELECT pgno, data FROM sqlite_dbpage ORDER BY pgno", func(st *sqlite.Stmt) error {
		copied++
		if st.ColumnInt64(0) != copied || int64(st.ColumnLen(1)) != size {
			return fmt.Errorf("page %d follows page %d", st.ColumnInt64(0), copied-1)
		}
		st.ColumnBytes(1, page)
		if copied == 1 {
			binary.BigEndian.PutUint32(page[appIDOffset:], copyAppID)
		}
		_, err := to.Write(page)
		return err
	})
	if err == nil && copied != pages {
		err = fmt.Errorf("%d pages were read of %d", copied, pages)
	}
	return err
}

// Adopt makes the database in dir, which a backup held, one that Open takes.
func Adopt(ctx context.Context, dir string) error {
	held, err := lockDir(dir)
	if err != nil {
		return err
	}
	err = setAppID(filepath.Join(dir, databaseFile), copyAppID, schema.AppID)
	return errors.Join(err, held.release())
}

// Retire marks the database of a closed store as moved elsewhere: Open refuses
// it from now on.
func Retire(dir string) error {
	held, err := lockDir(dir)
	if err != nil {
		return err
	}
	err = setAppID(filepath.Join(dir, databaseFile), schema.AppID, movedAppID)
	return errors.Join(err, held.release())
}

func setAppID(path string, from, to int32) (err error) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	own := &conn{Conn: c, kept: map[string]*sqlite.Stmt{}}
	defer func() { err = errors.Join(err, own.Close()) }()
	is, err := own.appID()
	if err != nil {
		return fmt.Errorf("%w: %w", gatehouse.ErrBackup, err)
	}
	if is != from {
		return fmt.Errorf("%w: its database has the application id %#x, not %#x", gatehouse.ErrBackup, is, from)
	}
	return own.run(fmt.Sprintf("PRAGMA application_id = %d", to))
}

func (c *conn) appID() (id int32, err error) {
	err = c.rows("PRAGMA application_id", func(st *sqlite.Stmt) error { id = st.ColumnInt32(0); return nil })
	return id, err
}

// servable refuses databases that only look like the ledger.
func (c *conn) servable() error {
	id, err := c.appID()
	switch {
	case err != nil:
		return err
	case id == copyAppID:
		return errors.New("it is the copy in a backup, which may lack revocations: use `gatehouse restore`, which ends what can't be known")
	case id == movedAppID:
		return errors.New("its ledger was moved to another database by `gatehouse migrate`: set `database` to that one")
	}
	return nil
}
