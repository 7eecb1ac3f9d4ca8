package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// A recorder commits groups of grants, one after the other.
type recorder struct {
	store  *Store
	writer writer
}

func newRecorder(s *Store) *recorder { return &recorder{store: s} }

type waitingGrant = commitgroup.Member[*gatehouse.Grant]

func (r *recorder) run() {
	next := func() []*waitingGrant { return r.store.grants.TakeCrowd(crowdPart) }
	for group := next(); len(group) > 0; group = next() {
		for len(group) > 0 {
			var later []*waitingGrant
			group, later = apart(group)
			r.settle(group)
			group = later
		}
	}
}

// apart keeps back grants that spend a token which an earlier one of the group
// spends, or that record its ids: the answer to them depends on it.
func apart(group []*waitingGrant) (now, later []*waitingGrant) {
	spent, ids := map[gatehouse.TokenID]bool{}, map[gatehouse.TokenID]bool{}
	for _, w := range group {
		g := w.What
		twice := g.Spend && spent[g.Uses]
		for i := range g.Tokens {
			twice = twice || ids[g.Tokens[i].ID]
		}
		if twice || ids[g.Uses] {
			later = append(later, w)
			continue
		}
		now = append(now, w)
		if g.Spend {
			spent[g.Uses] = true
		}
		for i := range g.Tokens {
			ids[g.Tokens[i].ID] = true
		}
	}
	return now, later
}

// settle answers every grant of the group. Those that are refused are answered
// first, and the others are tried without them.
func (r *recorder) settle(group []*waitingGrant) {
	for clashes := 0; len(group) > 0; {
		refused, err := r.commit(group)
		switch {
		case err == nil && len(refused) == 0:
			answer(group, nil)
			return
		case err == nil:
			var rest []*waitingGrant
			for i, w := range group {
				if refused[i] != nil {
					w.Answer(refused[i])
				} else {
					rest = append(rest, w)
				}
			}
			group = rest
		case hasCode(err, checkViolation) && clashes < 2:
			clashes++
			// Another node has dropped a partition that this one knew.
			if err := r.store.read(context.Background(), readTimeout, r.store.parts.refresh); err != nil {
				answer(group, err)
				return
			}
		case hasCode(err, uniqueViolation, deadlockDetected) && len(group) > 1:
			// One of them clashes with what is there: let it show which.
			for _, w := range group {
				r.settle([]*waitingGrant{w})
			}
			return
		case hasCode(err, uniqueViolation, deadlockDetected) && clashes < 2 && group[0].What.Spend:
			clashes++
			// Another node has spent it at the same moment: the next try sees it.
		case hasCode(err, uniqueViolation):
			answer(group, fmt.Errorf("token %s: %w", group[0].What.Tokens[0].ID, gatehouse.ErrExists))
			return
		default:
			if errors.Is(err, gatehouse.ErrUnknownOutcome) {
				r.writer.abandon()
			}
			answer(group, notDone(err))
			return
		}
	}
}

func answer(group []*waitingGrant, err error) {
	for _, w := range group {
		w.Answer(err)
	}
}

// commit tries to record a group. What refuses grants is returned by their
// number, and then none of the group was recorded.
func (r *recorder) commit(group []*waitingGrant) (map[int]error, error) {
	s := r.store
	ctx, cancel := context.WithTimeoutCause(context.Background(), groupTimeout, errSlow)
	defer cancel()
	rows := grantRows{at: additions{}}
	conn, err := s.writes.Acquire(ctx)
	if err != nil {
		return nil, notDone(because(ctx, err))
	}
	defer conn.Release()
	if err := r.writer.enrol(ctx, conn); err != nil {
		return nil, notDone(because(ctx, err))
	}
	places, err := r.locateUsed(ctx, conn, group)
	if err != nil {
		return nil, notDone(because(ctx, err))
	}
	newest := time.Time{}
	for i, w := range group {
		g := w.What
		parts, err := s.partitionsFor(ctx, g)
		if err != nil {
			return nil, notDone(because(ctx, err))
		}
		used := places[g.Uses]
		rows.add(i, g, &r.writer, parts, used.part, used.expires)
		newest = later(newest, g.At)
		for j := range g.Tokens {
			newest = later(newest, g.Tokens[j].IssuedAt)
		}
	}
	sealed := r.writer.seal(rows.at, newest)
	refused, err := r.send(ctx, conn.Conn(), &rows, sealed)
	if err == nil {
		s.grants.Progressed()
		if len(refused) == 0 {
			r.writer.committed(sealed)
		}
	}
	return refused, err
}

func (r *recorder) locateUsed(ctx context.Context, q queries, group []*waitingGrant) (map[gatehouse.TokenID]place, error) {
	var ids []gatehouse.TokenID
	for _, w := range group {
		if !w.What.Uses.IsZero() {
			ids = append(ids, w.What.Uses)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return r.store.locate(ctx, q, ids)
}

// beginSQL is the first statement of each transaction that writes. The limits
// are set for the transaction only, so that a pooler may sit between. Plans are
// kept for long, and made when tables may still be empty: what is good then, a
// scan, is not what is good later. Compiling them costs more than running them.
const beginSQL = `SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
	set_config('idle_in_transaction_session_timeout', $3, true), set_config('plan_cache_mode', 'force_generic_plan', true),
	set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// send is one round trip and one transaction: without a BEGIN of its own, a
// batch commits as a whole or not at all.
func (r *recorder) send(ctx context.Context, conn *pgx.Conn, rows *grantRows, l *links) (refused map[int]error, err error) {
	b := &pgx.Batch{}
	b.Queue(beginSQL, millis(groupTimeout), millis(lockTimeout), millis(idleInAct))
	b.Queue("SELECT pg_advisory_xact_lock_shared($1, $2)", lockSpace, gateLock)
	b.Queue(rows.query(), rows.args(&r.writer, l)...).Query(func(found pgx.Rows) (err error) {
		refused, err = refusedGrants(found)
		return err
	})
	err = conn.SendBatch(ctx, b).Close()
	if hasCode(err, uniqueViolation, checkViolation, deadlockDetected) {
		return nil, err
	}
	return refused, commitFailed(because(ctx, err))
}
