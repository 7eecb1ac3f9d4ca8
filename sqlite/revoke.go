package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

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
	var done gatehouse.Revoked
	err := s.act(ctx, act, func(w *writer) (bool, error) {
		r := revocation{writer: w, at: act.At, families: map[gatehouse.GrantID]bool{}, seen: map[gatehouse.TokenID]bool{}}
		if err := r.run(sel); err != nil {
			return false, err
		}
		done = gatehouse.Revoked{Tokens: r.count, Seq: w.journalSeq}
		return r.changed, nil
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
		return errors.New("sqlite: a selection names one of token, grant, secret and client")
	}
	return nil
}

// A revocation is one Revoke on its way through the ledger.
type revocation struct {
	*writer
	at       time.Time
	families map[gatehouse.GrantID]bool // already ended
	seen     map[gatehouse.TokenID]bool // likewise: a row may be selected by itself, and with its family
	count    int
	changed  bool
}

func (r *revocation) run(sel gatehouse.Selection) error {
	switch {
	case !sel.Token.IsZero():
		found, err := r.find(sel.Token)
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
	return r.endOne(t)
}

// endOne marks a token that has neither been revoked nor expired. It counts
// and tells of the access and refresh tokens that could still be used.
func (r *revocation) endOne(t *row) error {
	t.cut(r.epoch)
	if !t.RevokedAt.IsZero() || t.expired(r.at) || r.seen[t.ID] {
		return nil
	}
	r.seen[t.ID] = true
	r.changed = true
	if err := r.mark(t, true, r.at); err != nil {
		return err
	}
	if t.Kind == gatehouse.AccessCode || !t.SpentAt.IsZero() {
		return nil
	}
	r.count++
	_, err := r.journal(gatehouse.Entry{At: r.at, Kind: gatehouse.EntryTokenRevoked, Token: t.ID, Until: t.ExpiresAt})
	return err
}

// endFamily ends every token of a grant, and the connection where it is one.
func (r *revocation) endFamily(grant gatehouse.GrantID) error {
	if r.families[grant] {
		return nil
	}
	r.families[grant] = true
	c, err := readConnection(r.conn, grant)
	if err != nil {
		return err
	}
	if c != nil && c.DelinkedAt.IsZero() {
		r.changed, r.wrote = true, true
		if err := r.conn.run("UPDATE connections SET delinked = ? WHERE id = ?", r.at, grant); err != nil {
			return err
		}
	}
	for _, p := range r.parts {
		if !p.famsNow.holds(grant) || p.expiredBy(r.at) {
			continue
		}
		found, err := p.selected(r.conn, "t.family = ?", grant)
		if err != nil {
			return err
		}
		for _, t := range found {
			if err := r.endOne(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// endSecret ends what a client secret obtained.
func (r *revocation) endSecret(id gatehouse.SecretID) error {
	var secret, client int64
	err := r.conn.rows("SELECT n, client FROM secrets WHERE id = ?", func(st *sqlite.Stmt) error {
		secret, client = st.ColumnInt64(0), st.ColumnInt64(1)
		return nil
	}, id)
	if err != nil {
		return err
	}
	if secret == 0 {
		return fmt.Errorf("client secret %s: %w", id, gatehouse.ErrNotFound)
	}
	return r.endAll("t.client = ? AND t.secret = ?", client, secret)
}

// endName ends a client's tokens of one name.
func (r *revocation) endName(sel gatehouse.Selection) error {
	c, err := r.client(sel.Client)
	if err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("client %s: %w", sel.Client, gatehouse.ErrNotFound)
	}
	before := sel.Before
	if before.IsZero() {
		before = r.at
	}
	if sel.Environment == "" {
		return r.endAll("t.client = ? AND t.name = ? AND t.issued <= ?", c.n, sel.Name, before)
	}
	return r.endAll("t.client = ? AND t.name = ? AND t.issued <= ? AND s.environment = ?", c.n, sel.Name, before, string(sel.Environment))
}

// endAll ends the tokens that a condition on rowQuery selects.
func (r *revocation) endAll(condition string, args ...any) error {
	for _, p := range r.parts {
		if p.expiredBy(r.at) {
			continue
		}
		found, err := p.selected(r.conn, condition, args...)
		if err != nil {
			return err
		}
		for _, t := range found {
			if err := r.end(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// selected reads rows to the end before the caller changes any of them.
func (p *partition) selected(c *conn, condition string, args ...any) (found []*row, err error) {
	err = c.rows(p.on(rowQuery+"WHERE ")+condition, func(st *sqlite.Stmt) error {
		r, err := scanRow(st, p)
		found = append(found, r)
		return err
	}, args...)
	return found, err
}
