package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// journal appends an entry and returns its number. Numbers follow the order of
// commits because one goroutine gives them out; what a group that was rolled
// back gave out was never seen, and is given out again.
func (w *writer) journal(e gatehouse.Entry) (int64, error) {
	w.journalSeq++
	w.entries, w.wrote = true, true
	return w.journalSeq, w.conn.run("INSERT INTO journal (seq, at, kind, token, until, client, before) VALUES (?, ?, ?, ?, ?, ?, ?)",
		w.journalSeq, e.At, string(e.Kind), e.Token, e.Until, string(e.Client), e.Before)
}

// Journal implements gatehouse.Store.
func (s *Store) Journal(ctx context.Context, since int64, limit int) ([]gatehouse.Entry, error) {
	var entries []gatehouse.Entry
	err := s.read(ctx, func(v *view) error {
		if since < v.journalFloor {
			return gatehouse.ErrJournalGone
		}
		return v.conn.rows(entryQuery+"WHERE seq > ? ORDER BY seq LIMIT ?", func(st *sqlite.Stmt) error {
			entries = append(entries, scanEntry(st))
			return nil
		}, since, limit)
	})
	return entries, err
}

const entryQuery = "SELECT seq, at, kind, token, until, client, before FROM journal "

func scanEntry(st *sqlite.Stmt) gatehouse.Entry {
	return gatehouse.Entry{
		Seq: st.ColumnInt64(0), At: columnTime(st, 1), Kind: gatehouse.EntryKind(st.ColumnText(2)),
		Token: columnID(st, 3), Until: columnTime(st, 4),
		Client: gatehouse.ClientID(st.ColumnText(5)), Before: columnTime(st, 6),
	}
}

// Wake implements gatehouse.Store. There is one channel, for the one node that
// this process is.
func (s *Store) Wake() <-chan struct{} { return s.wake }
