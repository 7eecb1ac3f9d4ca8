package sqlite

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/go-json-experiment/json"
	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// act has fn run in the next commit group, and commits the audit event and the
// answer to replay with what it did. fn reports whether it changed anything:
// what changed nothing needs no event.
func (s *Store) act(ctx context.Context, act gatehouse.Act, fn func(*writer) (bool, error)) error {
	if _, err := marshalDetail(act.Detail); err != nil {
		return err
	}
	return s.write(ctx, func(w *writer) error {
		if err := w.checkReplay(act.Replay); err != nil {
			return err
		}
		changed, err := fn(w)
		if err != nil {
			return err
		}
		if changed {
			if err := w.event(act); err != nil {
				return err
			}
		}
		return w.remember(act.Replay)
	})
}

// event appends the audit record of an act.
func (w *writer) event(act gatehouse.Act) error {
	detail, err := marshalDetail(act.Detail)
	if err != nil {
		return err
	}
	w.eventSeq++
	w.wrote = true
	w.newest = later(w.newest, act.At)
	e := gatehouse.Event{Seq: w.eventSeq, At: act.At, By: act.By, Action: act.Action, Subject: act.Subject, Detail: act.Detail}
	w.eventHead = gatehouse.ChainEvent(w.eventHead, &e)
	return w.conn.run(`INSERT INTO events (seq, at, kind, actor, addr, request, action, subject, detail, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Seq, e.At, string(e.By.Kind), e.By.ID, addrText(e.By.Addr), e.By.Request, e.Action, e.Subject, detail, w.eventHead[:])
}

// marshalDetail is the one spelling of a detail, so that an edit shows even
// where it reads the same.
func marshalDetail(detail map[string]string) (string, error) {
	if len(detail) == 0 {
		return "", nil
	}
	text, err := json.Marshal(detail, json.Deterministic(true))
	return string(text), err
}

const eventQuery = "SELECT seq, at, kind, actor, addr, request, action, subject, detail, hash FROM events "

// scanEvent reads a row of eventQuery. It returns an error for one that this
// package didn't write so.
func scanEvent(st *sqlite.Stmt) (gatehouse.Event, error) {
	e := gatehouse.Event{
		Seq: st.ColumnInt64(0), At: columnTime(st, 1), Action: st.ColumnText(6), Subject: st.ColumnText(7),
		By: gatehouse.Actor{Kind: gatehouse.ActorKind(st.ColumnText(2)), ID: st.ColumnText(3), Request: st.ColumnText(5)},
	}
	if st.ColumnBytes(9, e.Hash[:]) != st.ColumnLen(9) || st.ColumnLen(9) != len(e.Hash) {
		return e, fmt.Errorf("event %d: its hash is damaged", e.Seq)
	}
	if text := st.ColumnText(4); text != "" {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.String() != text {
			return e, fmt.Errorf("event %d: its address is damaged", e.Seq)
		}
		e.By.Addr = addr
	}
	if text := st.ColumnText(8); text != "" {
		if err := json.Unmarshal([]byte(text), &e.Detail); err != nil {
			return e, fmt.Errorf("event %d: its detail is damaged", e.Seq)
		}
		if again, err := marshalDetail(e.Detail); err != nil || again != text {
			return e, fmt.Errorf("event %d: its detail was rewritten", e.Seq)
		}
	}
	return e, nil
}

// Audit implements gatehouse.Store.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]gatehouse.Event, error) {
	var events []gatehouse.Event
	err := s.read(ctx, func(v *view) error {
		return v.conn.rows(eventQuery+"WHERE ?1 = 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2", func(st *sqlite.Stmt) error {
			// A damaged event is shown as far as it can be read; CheckAudit names it.
			e, _ := scanEvent(st)
			events = append(events, e)
			return nil
		}, before, limit)
	})
	return events, err
}
