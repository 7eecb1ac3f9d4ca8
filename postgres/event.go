package postgres

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// A storedEvent is an event as seal writes it.
type storedEvent struct {
	gatehouse.Event
	detail string
}

// event appends the audit record of an act.
func (t *actTx) event(act gatehouse.Act, detail string) {
	t.changed = true
	t.eventSeq++
	t.newest = later(t.newest, act.At)
	e := gatehouse.Event{Seq: t.eventSeq, At: act.At, By: act.By, Action: act.Action, Subject: act.Subject, Detail: act.Detail}
	t.eventHead = gatehouse.ChainEvent(t.eventHead, &e)
	e.Hash = t.eventHead
	t.events = append(t.events, storedEvent{e, detail})
}

func (e *storedEvent) queue(b *pgx.Batch) {
	b.Queue(`INSERT INTO events (seq, at, kind, actor, addr, request, action, subject, detail, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		e.Seq, moment(e.At), string(e.By.Kind), text(e.By.ID), addrText(e.By.Addr), text(e.By.Request), e.Action, text(e.Subject), text(e.detail), e.Hash[:])
}

// marshalDetail is the one spelling of a detail, so that an edit shows even
// where it reads the same.
func marshalDetail(detail map[string]string) (string, error) {
	if len(detail) == 0 {
		return "", nil
	}
	body, err := json.Marshal(detail, json.Deterministic(true))
	return string(body), err
}

const eventQuery = "SELECT seq, at, kind, actor, addr, request, action, subject, detail, hash FROM events "

// scanEvent reads a row of eventQuery. It returns an error of its own for one
// that this package didn't write so, and what could be read of it.
func scanEvent(rows pgx.Rows) (e gatehouse.Event, damage, err error) {
	var at pgtype.Timestamptz
	var actor, addr, request, subject, detail pgtype.Text
	var hash []byte
	if err := rows.Scan(&e.Seq, &at, &e.By.Kind, &actor, &addr, &request, &e.Action, &subject, &detail, &hash); err != nil {
		return e, nil, err
	}
	e.At, e.By.ID, e.By.Request, e.Subject = timeOf(at), actor.String, request.String, subject.String
	if copy(e.Hash[:], hash) != len(hash) || len(hash) != len(e.Hash) {
		return e, fmt.Errorf("event %d: its hash is damaged", e.Seq), nil
	}
	if addr.String != "" {
		a, err := netip.ParseAddr(addr.String)
		if err != nil || a.String() != addr.String {
			return e, fmt.Errorf("event %d: its address is damaged", e.Seq), nil
		}
		e.By.Addr = a
	}
	if detail.String != "" {
		if err := json.Unmarshal([]byte(detail.String), &e.Detail); err != nil {
			return e, fmt.Errorf("event %d: its detail is damaged", e.Seq), nil
		}
		if again, err := marshalDetail(e.Detail); err != nil || again != detail.String {
			return e, fmt.Errorf("event %d: its detail was rewritten", e.Seq), nil
		}
	}
	return e, nil, nil
}

// Audit implements gatehouse.Store.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]gatehouse.Event, error) {
	var events []gatehouse.Event
	err := s.read(ctx, longTimeout, func(ctx context.Context, q queries) error {
		events = nil
		rows, err := q.Query(ctx, eventQuery+"WHERE $1 = 0 OR seq < $1 ORDER BY seq DESC LIMIT $2", before, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			// A damaged event is shown as far as it can be read; CheckAudit names it.
			e, _, err := scanEvent(rows)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return rows.Err()
	})
	return events, err
}
