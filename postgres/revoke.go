package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Revoke implements gatehouse.Store. To revoke a code or a refresh token is to
// revoke its grant: otherwise what it gave would outlive it.
func (s *Store) Revoke(ctx context.Context, act gatehouse.Act, sel gatehouse.Selection) (gatehouse.Revoked, error) {
	if err := checkSelection(sel); err != nil {
		return gatehouse.Revoked{}, err
	}
	if sel.Client != "" && sel.Name == "" {
		return s.cutOff(ctx, act, sel)
	}
	patience := answerWithin
	if sel.Token.IsZero() && sel.Grant.IsZero() {
		patience = longTimeout // however many there are
	}
	var done gatehouse.Revoked
	err := s.actWithin(ctx, patience, act, func(t *actTx) (bool, error) {
		r := revocation{actTx: t, at: act.At.Truncate(time.Millisecond), families: map[gatehouse.GrantID]bool{}, seen: map[gatehouse.TokenID]bool{}}
		if err := r.run(sel); err != nil {
			return false, err
		}
		if err := r.write(); err != nil {
			return false, err
		}
		done = gatehouse.Revoked{Tokens: r.count, Seq: t.journalSeq}
		return r.ended, nil
	})
	if err != nil {
		return gatehouse.Revoked{}, err
	}
	return done, nil
}

func checkSelection(sel gatehouse.Selection) error {
	set := 0
	for _, is := range []bool{!sel.Token.IsZero(), !sel.Grant.IsZero(), !sel.Secret.IsZero(), sel.Client != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return errors.New("postgres: a selection names one of token, grant, secret and client")
	}
	if storable(string(sel.Client), string(sel.Environment)) != nil {
		return fmt.Errorf("client %q: %w", sel.Client, gatehouse.ErrNotFound)
	}
	return nil
}

// A revocation is one Revoke on its way through the ledger.
type revocation struct {
	*actTx
	at       time.Time
	families map[gatehouse.GrantID]bool // already ended
	seen     map[gatehouse.TokenID]bool // likewise: a row may be selected by itself, and with its family
	marked   []*row
	count    int
	ended    bool
}

func (r *revocation) run(sel gatehouse.Selection) error {
	switch {
	case !sel.Token.IsZero():
		found, err := findRow(r.ctx, r.tx, sel.Token)
		if err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("token %s: %w", sel.Token, gatehouse.ErrNotFound)
		}
		return r.end(found)
	case !sel.Grant.IsZero():
		return r.endFamily(sel.Grant)
	case !sel.Secret.IsZero():
		return r.endSecret(sel.Secret)
	}
	return r.endName(sel)
}

// end ends a token, and with a code or refresh token its whole grant.
func (r *revocation) end(t *row) error {
	if t.Kind != gatehouse.AccessToken && !t.Grant.IsZero() {
		return r.endFamily(t.Grant)
	}
	r.endOne(t)
	return nil
}

// endOne marks a token that has neither been revoked nor expired. It counts
// and tells of the access and refresh tokens that could still be used.
func (r *revocation) endOne(t *row) {
	t.cut()
	if !t.RevokedAt.IsZero() || t.expired(r.at) || r.seen[t.ID] {
		return
	}
	r.seen[t.ID] = true
	t.RevokedAt, r.ended = r.at, true
	r.marked = append(r.marked, t)
	if t.Kind == gatehouse.AccessCode || !t.SpentAt.IsZero() {
		return
	}
	r.count++
	r.journal(gatehouse.Entry{At: r.at, Kind: gatehouse.EntryTokenRevoked, Token: t.ID, Until: t.ExpiresAt})
}

// endFamily ends every token of a grant, and the connection where it is one.
func (r *revocation) endFamily(grant gatehouse.GrantID) error {
	if r.families[grant] {
		return nil
	}
	r.families[grant] = true
	tag, err := r.tx.Exec(r.ctx, "UPDATE connections SET delinked = $2 WHERE id = $1 AND delinked IS NULL", uuid(grant), moment(r.at))
	if err != nil {
		return err
	}
	if tag.RowsAffected() > 0 {
		r.ended, r.changed = true, true
	}
	var w where
	w.add("t.family = ?", uuid(grant))
	found, err := r.selected(&w)
	for _, t := range found {
		r.endOne(t)
	}
	return err
}

// endSecret ends what a client secret obtained.
func (r *revocation) endSecret(id gatehouse.SecretID) error {
	var client int64
	err := r.tx.QueryRow(r.ctx, "SELECT client FROM secrets WHERE id = $1", uuid(id)).Scan(&client)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("client secret %s: %w", id, gatehouse.ErrNotFound)
	}
	if err != nil {
		return err
	}
	var w where
	w.add("t.client = ? AND t.secret = ?", client, uuid(id))
	return r.endAll(&w)
}

// endName ends a client's tokens of one name.
func (r *revocation) endName(sel gatehouse.Selection) error {
	client, err := r.client(sel.Client)
	if err != nil {
		return err
	}
	before := sel.Before
	if before.IsZero() {
		before = r.at
	}
	var w where
	w.add("t.client = ? AND t.name = ? AND t.issued <= ?", client, []byte(sel.Name), moment(before))
	if sel.Environment != "" {
		w.add("t.environment = ?", string(sel.Environment))
	}
	return r.endAll(&w)
}

// client is the number of a client.
func (t *actTx) client(id gatehouse.ClientID) (n int64, err error) {
	err = t.tx.QueryRow(t.ctx, "SELECT n FROM clients WHERE id = $1", string(id)).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("client %s: %w", id, gatehouse.ErrNotFound)
	}
	return n, err
}

// endAll ends the tokens that a condition selects.
func (r *revocation) endAll(w *where) error {
	found, err := r.selected(w)
	for _, t := range found {
		if err := r.end(t); err != nil {
			return err
		}
	}
	return err
}

// selected are the rows that a condition selects and that have not expired.
func (r *revocation) selected(w *where) ([]*row, error) {
	w.add("t.expires > ?", moment(r.at))
	rows, err := r.tx.Query(r.ctx, rowQuery+w.clause(), w.args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanRow)
	if err != nil {
		return nil, err
	}
	return found, addMarks(r.ctx, r.tx, found)
}

// write writes the marks.
func (r *revocation) write() error {
	if len(r.marked) == 0 {
		return nil
	}
	n := len(r.marked)
	ids, spans, expires, groups := make([]pgtype.UUID, n), make([]int16, n), make([]pgtype.Timestamptz, n), make([]int64, n)
	for i, t := range r.marked {
		p := r.store.parts.get(t.bucket())
		if p == nil {
			if err := r.store.parts.refresh(r.ctx, r.tx); err != nil {
				return err
			}
			if p = r.store.parts.get(t.bucket()); p == nil {
				return fmt.Errorf("token %s is in no partition of the catalogue", t.ID)
			}
		}
		a := r.added.to(p)
		a.marks = append(a.marks, gatehouse.Mark{Token: t.ID, Revoked: true, At: r.at})
		ids[i], spans[i], expires[i], groups[i] = uuid(t.ID), t.span, expiry(t.ExpiresAt), r.writer.heads[p.id].groups+1
	}
	return r.exec(`INSERT INTO marks (token, revoked, span, expires, at, writer, grp)
		SELECT m.id, true, m.span, m.expires, $5, $6, m.grp
		FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS m (id, span, expires, grp) ORDER BY m.id`,
		ids, spans, expires, groups, moment(r.at), r.writer.id)
}
