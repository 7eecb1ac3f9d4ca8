package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// Record implements gatehouse.Store. A token whose id is on the ledger already
// is ErrExists, so that a grant that is tried again after ErrUnknownOutcome is
// never recorded twice.
func (s *Store) Record(ctx context.Context, g *gatehouse.Grant) error {
	if err := checkGrant(g); err != nil {
		return err
	}
	return s.queue.Commit(ctx, func(w *writer) error { return w.record(g) }, commitgroup.Wait{Meanwhile: g.Meanwhile})
}

// checkGrant refuses what no engine asks for, before it can spoil the commit
// of others.
func checkGrant(g *gatehouse.Grant) error {
	if len(g.Tokens) == 0 || g.At.IsZero() {
		return errors.New("sqlite: a grant without tokens or time")
	}
	if g.Act != nil {
		if _, err := marshalDetail(g.Act.Detail); err != nil {
			return err
		}
	}
	for i := range g.Tokens {
		t := &g.Tokens[i]
		switch {
		case t.Client != g.Client() || t.Environment != g.Tokens[0].Environment:
			return errors.New("sqlite: a grant's tokens are of one client and environment")
		case t.ID.IsZero() || t.IssuedAt.IsZero() || t.Kind == "" || t.Environment == "" || t.Dialect == "":
			return errors.New("sqlite: a token without id, time, kind, environment or dialect")
		case slices.ContainsFunc(g.Tokens[:i], func(o gatehouse.TokenRecord) bool { return o.ID == t.ID }):
			return errors.New("sqlite: one id for two tokens")
		}
	}
	return nil
}

func (w *writer) record(g *gatehouse.Grant) error {
	client, err := w.checkRecord(g)
	if err != nil {
		return err
	}
	return w.writeGrant(g, client)
}

// granted is what checkRecord found: the client and the token that is to be
// marked as spent.
type granted struct {
	client *clientState
	spends *row
}

// checkRecord checks the conditions of gatehouse.Grant.
func (w *writer) checkRecord(g *gatehouse.Grant) (granted, error) {
	c, err := w.client(g.Client())
	if err != nil {
		return granted{}, err
	}
	if c == nil || c.state != gatehouse.Enabled {
		return granted{}, gatehouse.ErrClientState
	}
	if !g.Proof.IsZero() && !c.liveSecret(g.Proof, g.Tokens[0].Environment) {
		return granted{}, gatehouse.ErrSecretRetired
	}
	moment := later(c.cutoffs[g.Tokens[0].Environment], w.epoch)
	for i := range g.Tokens {
		t := &g.Tokens[i]
		if _, ok := c.secrets[t.Secret]; !ok && !t.Secret.IsZero() {
			return granted{}, fmt.Errorf("secret %s is not the client's: %w", t.Secret, gatehouse.ErrSecretRetired)
		}
		if !moment.IsZero() && t.IssuedAt.UnixMilli() <= moment.UnixMilli() {
			return granted{}, gatehouse.ErrCutoff
		}
	}
	found := granted{client: c}
	if !g.Uses.IsZero() {
		// Before the ids: an allotted one is taken because the code is spent.
		if found.spends, err = w.checkUsed(g); err != nil {
			return granted{}, err
		}
	}
	for i := range g.Tokens {
		if err := w.checkNew(g.Tokens[i].ID); err != nil {
			return granted{}, err
		}
	}
	if g.Act != nil {
		err = w.checkReplay(g.Act.Replay)
	}
	return found, err
}

// checkNew refuses an id that is taken.
func (w *writer) checkNew(id gatehouse.TokenID) error {
	for _, p := range w.parts {
		if !p.idsNow.holds(id) {
			continue
		}
		taken, err := p.has(w.conn, id)
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("token %s: %w", id, gatehouse.ErrExists)
		}
	}
	return nil
}

// checkUsed checks the token that a refresh or an exchange presents. It
// returns it where it is to be spent.
func (w *writer) checkUsed(g *gatehouse.Grant) (*row, error) {
	used, err := w.find(g.Uses)
	if err != nil {
		return nil, err
	}
	if used == nil || used.Client != g.Client() || used.Environment != g.Tokens[0].Environment {
		return nil, fmt.Errorf("token %s is not there: %w", g.Uses, gatehouse.ErrRevoked)
	}
	if !used.RevokedAt.IsZero() || !used.IssuedAt.After(later(used.cutoff, w.epoch)) {
		return nil, gatehouse.ErrRevoked
	}
	if !used.Grant.IsZero() {
		c, err := readConnection(w.conn, used.Grant)
		if err != nil {
			return nil, err
		}
		if c != nil && !c.DelinkedAt.IsZero() {
			return nil, gatehouse.ErrRevoked
		}
	}
	if !g.Spend {
		return nil, nil
	}
	if !used.SpentAt.IsZero() {
		return nil, &gatehouse.SpentError{At: used.SpentAt}
	}
	return used, nil
}

// find returns the row with this id, or nil. It sees what the group has
// written so far.
func (w *writer) find(id gatehouse.TokenID) (*row, error) {
	for i := len(w.parts) - 1; i >= 0; i-- {
		if !w.parts[i].idsNow.holds(id) {
			continue
		}
		if r, err := findRow(w.conn, w.parts[i:i+1], id); r != nil || err != nil {
			return r, err
		}
	}
	return nil, nil
}

// writeGrant writes what checkRecord has passed.
func (w *writer) writeGrant(g *gatehouse.Grant, found granted) error {
	for i := range g.Tokens {
		if err := w.insert(&g.Tokens[i], found.client, g.At); err != nil {
			return err
		}
	}
	w.newest = later(w.newest, g.At)
	if found.spends != nil {
		if err := w.mark(found.spends, false, g.At); err != nil {
			return err
		}
	}
	if g.Act == nil {
		return nil
	}
	if err := w.event(*g.Act); err != nil {
		return err
	}
	return w.remember(g.Act.Replay)
}

const insertToken = `INSERT INTO tokens_%d (id, client, shape, name, user, secret, family, parent, digest, issued, expires, grp)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insert writes a token's row into the partition that it belongs to.
func (w *writer) insert(t *gatehouse.TokenRecord, c *clientState, at time.Time) error {
	p, err := w.partitionFor(bucketOf(t.ID, t.ExpiresAt), at)
	if err != nil {
		return err
	}
	n, err := w.shape(p, t)
	if err != nil {
		return err
	}
	if p.insertToken == "" {
		p.insertToken = p.on(insertToken)
	}
	st, err := w.conn.prepare(p.insertToken)
	if err != nil {
		return err
	}
	st.BindBytes(1, t.ID[:])
	st.BindInt64(2, c.n)
	st.BindInt64(3, n)
	bindText(st, 4, t.Name)
	bindText(st, 5, t.User)
	if t.Secret.IsZero() {
		st.BindNull(6)
	} else {
		st.BindInt64(6, c.secrets[t.Secret].n)
	}
	bindID(st, 7, t.Grant)
	bindID(st, 8, t.Parent)
	bindBlob(st, 9, t.Digest)
	bindTime(st, 10, t.IssuedAt)
	bindSeconds(st, 11, t.ExpiresAt)
	st.BindInt64(12, p.groups+1)
	if _, err := st.Step(); err != nil {
		return err
	}
	w.touch(p)
	p.newRows = append(p.newRows, *t)
	chained := &p.newRows[len(p.newRows)-1]
	chained.ExpiresAt = t.ExpiresAt.Truncate(time.Second) // as it is stored, so that the link can be recomputed
	p.idsNow.add(t.ID)
	if !t.Grant.IsZero() {
		p.famsNow.add(t.Grant)
	}
	p.lastExpiry = later(p.lastExpiry, chained.ExpiresAt)
	w.newest = later(w.newest, t.IssuedAt)
	return nil
}

// mark appends what happens to a token after it was recorded.
func (w *writer) mark(r *row, revoked bool, at time.Time) error {
	p := r.partition
	if err := w.conn.run(p.on("INSERT INTO marks_%d (token, revoked, at, grp) VALUES (?, ?, ?, ?)"),
		r.ID, revoked, at, p.groups+1); err != nil {
		return err
	}
	w.touch(p)
	p.newMarks = append(p.newMarks, gatehouse.Mark{Token: r.ID, Revoked: revoked, At: at})
	return nil
}

func (w *writer) touch(p *partition) {
	if len(p.newRows) == 0 && len(p.newMarks) == 0 {
		w.touched = append(w.touched, p)
	}
}

// partitionFor is the open partition of the bucket, which is closed for a new
// one when it is full.
func (w *writer) partitionFor(bucket int64, at time.Time) (*partition, error) {
	p := w.open[bucket]
	if p != nil && p.rows+int64(len(p.newRows)) < w.limit {
		return p, nil
	}
	if p != nil {
		if err := w.conn.run("UPDATE partitions SET closed = ? WHERE id = ?", at, p.id); err != nil {
			return nil, err
		}
		p.shapes = nil
	}
	var stored any
	if bucket != permanent {
		stored = bucket
	}
	fresh := &partition{bucket: bucket, shapes: map[shape]int64{}}
	if err := w.conn.run("INSERT INTO partitions (bucket, opened, head) VALUES (?, ?, ?)", stored, at, fresh.head[:]); err != nil {
		return nil, err
	}
	fresh.id = w.conn.LastInsertRowID()
	if err := w.conn.run("UPDATE meta SET partitions = ?", fresh.id); err != nil {
		return nil, err
	}
	if err := fresh.create(w.conn); err != nil {
		return nil, err
	}
	fresh.publish()
	w.parts = append(w.parts, fresh)
	w.open[bucket] = fresh
	w.ddl = true
	return fresh, nil
}

// shape returns the number that stands for what t has in common with others.
// A shape that is not remembered any more is written again: that costs a few
// bytes, where looking for it would cost a scan.
func (w *writer) shape(p *partition, t *gatehouse.TokenRecord) (int64, error) {
	sh := shapeOf(t)
	if n, ok := p.shapes[sh]; ok {
		return n, nil
	}
	err := w.conn.run(p.on("INSERT INTO shapes_%d (kind, environment, dialect, scopes, audience) VALUES (?, ?, ?, ?, ?)"),
		string(sh.kind), string(sh.environment), sh.dialect, sh.scopes, sh.audience)
	if err != nil {
		return 0, err
	}
	n := w.conn.LastInsertRowID()
	if len(p.shapes) >= keptShapes {
		clear(p.shapes)
	}
	p.shapes[sh] = n
	return n, nil
}
