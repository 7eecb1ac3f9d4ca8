package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// A change is what an act does inside its transaction. It may run more than
// once, the last time with effect. An error that is a refusal must leave
// everything as it was.
type change func(*actTx) error

// act has fn run in the next group of acts, and commits the audit event and the
// answer to replay with what it did. fn reports whether it changed anything:
// what changed nothing needs no event.
func (s *Store) act(ctx context.Context, act gatehouse.Act, fn func(*actTx) (bool, error)) error {
	return s.actWithin(ctx, answerWithin, act, fn)
}

func (s *Store) actWithin(ctx context.Context, patience time.Duration, act gatehouse.Act, fn func(*actTx) (bool, error)) error {
	detail, err := marshalDetail(act.Detail)
	if err != nil {
		return err
	}
	if err := storable(string(act.By.Kind), act.By.ID, act.By.Request, act.Action, act.Subject, detail); err != nil {
		return err
	}
	if r := act.Replay; r != nil {
		if err := storable(r.Caller, r.Key); err != nil {
			return err
		}
	}
	return s.acts.Commit(ctx, func(t *actTx) error {
		if err := t.checkReplay(act.Replay); err != nil {
			return err
		}
		changed, err := fn(t)
		if err != nil {
			return err
		}
		if changed {
			t.event(act, detail)
		}
		return t.remember(act.Replay)
	}, commitgroup.Wait{Patience: patience})
}

// An actor commits groups of acts, one after the other.
type actor struct {
	store  *Store
	writer writer
}

func newActor(s *Store) *actor { return &actor{store: s} }

// actTime is when a group stops taking up the gate with further acts.
const actTime = 25 * time.Millisecond

func (a *actor) run() {
	for group := a.store.acts.Take(); len(group) > 0; group = a.store.acts.Take() {
		for len(group) > 0 {
			group = a.settle(group)
		}
	}
}

// settle answers acts of the group, and returns those that it had no time for.
func (a *actor) settle(group []*commitgroup.Member[change]) []*commitgroup.Member[change] {
	answers, err := a.commit(group)
	if err != nil && len(group) > 1 && !errors.Is(err, gatehouse.ErrUnknownOutcome) {
		// One of them has failed all: let it show which.
		for _, w := range group {
			a.settle([]*commitgroup.Member[change]{w})
		}
		return nil
	}
	if errors.Is(err, gatehouse.ErrUnknownOutcome) {
		a.writer.abandon()
	}
	if err != nil {
		for _, w := range group {
			w.Answer(err)
		}
		return nil
	}
	for i, said := range answers {
		group[i].Answer(said)
	}
	return group[len(answers):]
}

// commit runs acts in one transaction until its time is over, and returns
// their answers.
func (a *actor) commit(group []*commitgroup.Member[change]) (answers []error, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), longTimeout, errSlow)
	defer cancel()
	begin, cancelBegin := context.WithTimeoutCause(ctx, groupTimeout, errSlow)
	defer cancelBegin()
	conn, err := a.store.writes.Acquire(begin)
	if err != nil {
		return nil, notDone(because(begin, err))
	}
	defer conn.Release()
	if err := a.writer.enrol(begin, conn); err != nil {
		return nil, notDone(because(begin, err))
	}
	tx, err := conn.Begin(begin)
	if err != nil {
		return nil, notDone(because(begin, err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(begin)) }() // after a commit it does nothing
	t := &actTx{ctx: begin, tx: tx, store: a.store, writer: &a.writer, added: additions{}}
	if err := t.begin(); err != nil {
		return nil, notDone(because(begin, err))
	}
	t.ctx = ctx
	for began := time.Now(); len(answers) < len(group) && (len(answers) == 0 || time.Since(began) < actTime); {
		err := group[len(answers)].What(t)
		if err != nil && !isRefusal(err) {
			return nil, notDone(because(ctx, err))
		}
		answers = append(answers, err)
	}
	if !t.changed {
		a.store.acts.Progressed()
		return answers, nil
	}
	sealed, err := t.seal()
	if err != nil {
		return nil, notDone(because(ctx, err))
	}
	ending, cancelEnding := context.WithTimeoutCause(ctx, groupTimeout, errSlow)
	defer cancelEnding()
	if err := tx.Commit(ending); err != nil {
		return nil, commitFailed(because(ending, err))
	}
	a.writer.committed(sealed)
	a.store.acts.Progressed()
	if len(t.entries) > 0 {
		a.store.nudge()
	}
	return answers, nil
}

// An actTx is the transaction of a group of acts. It holds the gate alone.
type actTx struct {
	ctx    context.Context
	tx     pgx.Tx
	store  *Store
	writer *writer

	newest, epoch time.Time
	eventSeq      int64
	eventHead     [32]byte
	journalSeq    int64

	// What the group has done so far, and seal writes.
	changed bool
	added   additions
	events  []storedEvent
	entries []gatehouse.Entry
}

// begin takes the gate and the row of meta.
func (t *actTx) begin() error {
	b := &pgx.Batch{}
	b.Queue(beginSQL, millis(longTimeout), millis(lockTimeout), millis(idleInAct))
	b.Queue("SELECT pg_advisory_xact_lock($1, $2)", lockSpace, gateLock)
	b.Queue("SELECT newest, epoch, event_seq, event_head, journal_seq FROM meta FOR UPDATE").QueryRow(func(row pgx.Row) error {
		var newest, epoch pgtype.Timestamptz
		var chain []byte
		err := row.Scan(&newest, &epoch, &t.eventSeq, &chain, &t.journalSeq)
		t.newest, t.epoch = timeOf(newest), timeOf(epoch)
		copy(t.eventHead[:], chain)
		return err
	})
	return t.tx.SendBatch(t.ctx, b).Close()
}

// exec runs a statement that changes something.
func (t *actTx) exec(query string, args ...any) error {
	t.changed = true
	_, err := t.tx.Exec(t.ctx, query, args...)
	return err
}

// journal appends an entry and returns its number.
func (t *actTx) journal(e gatehouse.Entry) int64 {
	t.changed = true
	t.journalSeq++
	e.Seq = t.journalSeq
	t.entries = append(t.entries, e)
	return e.Seq
}

// seal writes the events, the entries, the links, and where all of it ends now.
func (t *actTx) seal() (*links, error) {
	b := &pgx.Batch{}
	for i := range t.events {
		t.events[i].queue(b)
	}
	t.queueEntries(b)
	l := t.writer.seal(t.added, t.newest)
	b.Queue(chainCTE+`fine AS (SELECT), `+linkSQL+` SELECT`, t.writer.id, l.part, l.span, l.low, l.grp, l.rows, l.marks, l.hash, l.newest)
	b.Queue("UPDATE meta SET newest = $1, event_seq = $2, event_head = $3, journal_seq = $4",
		moment(t.newest), t.eventSeq, t.eventHead[:], t.journalSeq)
	if len(t.entries) > 0 {
		b.Queue("SELECT pg_notify($1, '')", channel)
	}
	return l, t.tx.SendBatch(t.ctx, b).Close()
}

// record records a grant under the conditions of gatehouse.Grant.
func (t *actTx) record(g *gatehouse.Grant) error {
	var used place
	if !g.Uses.IsZero() {
		places, err := t.store.locate(t.ctx, t.tx, []gatehouse.TokenID{g.Uses})
		if err != nil {
			return err
		}
		used = places[g.Uses]
	}
	parts := make([]*partition, len(g.Tokens))
	for i := range g.Tokens {
		if parts[i] = t.store.parts.get(bucketOf(&g.Tokens[i])); parts[i] == nil {
			return errors.New("a partition is gone that was there a moment ago")
		}
		var taken bool
		if err := t.tx.QueryRow(t.ctx, "SELECT EXISTS (SELECT FROM tokens WHERE id = $1)", uuid(g.Tokens[i].ID)).Scan(&taken); err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("token %s: %w", g.Tokens[i].ID, gatehouse.ErrExists)
		}
	}
	// The links of the group are written when it ends.
	rows := grantRows{at: additions{}}
	rows.add(0, g, t.writer, parts, used.part, used.expires)
	found, err := t.tx.Query(t.ctx, rows.query(), rows.args(t.writer, &links{})...)
	if err != nil {
		return err
	}
	refused, err := refusedGrants(found)
	if err != nil {
		return err
	}
	if refused[0] != nil {
		return refused[0]
	}
	t.changed = true
	t.newest = later(t.newest, g.At)
	for _, a := range rows.at {
		to := t.added.to(a.partition)
		to.rows, to.marks = append(to.rows, a.rows...), append(to.marks, a.marks...)
		for i := range a.rows {
			t.newest = later(t.newest, a.rows[i].IssuedAt)
		}
	}
	return nil
}
