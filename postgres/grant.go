package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
	if g.Act != nil {
		if err := s.makeRoom(ctx, g); err != nil {
			return err
		}
		return s.act(ctx, *g.Act, func(t *actTx) (bool, error) { return true, t.record(g) })
	}
	return s.grants.Commit(ctx, g, commitgroup.Wait{Patience: answerWithin, Meanwhile: g.Meanwhile})
}

// checkGrant refuses what no engine asks for, before it can spoil the commit
// of others.
func checkGrant(g *gatehouse.Grant) error {
	if len(g.Tokens) == 0 || g.At.IsZero() {
		return errors.New("postgres: a grant without tokens or time")
	}
	for i := range g.Tokens {
		t := &g.Tokens[i]
		switch {
		case t.Client != g.Client() || t.Environment != g.Tokens[0].Environment:
			return errors.New("postgres: a grant's tokens are of one client and environment")
		case t.ID.IsZero() || t.IssuedAt.IsZero() || t.Kind == "" || t.Environment == "" || t.Dialect == "":
			return errors.New("postgres: a token without id, time, kind, environment or dialect")
		case slices.ContainsFunc(g.Tokens[:i], func(o gatehouse.TokenRecord) bool { return o.ID == t.ID }):
			return errors.New("postgres: one id for two tokens")
		}
		if err := storable(string(t.Client), string(t.Kind), string(t.Environment), t.Dialect, strings.Join(t.Scopes, " "), strings.Join(t.Audience, " ")); err != nil {
			return err
		}
	}
	return nil
}

// storable refuses what PostgreSQL's text can't hold.
func storable(texts ...string) error {
	for _, t := range texts {
		if !utf8.ValidString(t) || strings.ContainsRune(t, 0) {
			return fmt.Errorf("postgres: %q is not text", t)
		}
	}
	return nil
}

// grantRows are the arguments of a group of grants, column by column: a row for
// each token, and one for each token that is used.
type grantRows struct {
	at additions

	grant       []int32
	id          []pgtype.UUID
	span        []int16
	expires     []pgtype.Timestamptz
	client      []string
	environment []string
	kind        []string
	dialect     []string
	scopes      []pgtype.Text
	audience    []pgtype.Text
	name        [][]byte
	subject     [][]byte
	secret      []pgtype.UUID
	family      []pgtype.UUID
	parent      []pgtype.UUID
	digest      [][]byte
	issued      []pgtype.Timestamptz
	proof       []pgtype.UUID
	grp         []int64

	useGrant       []int32
	useID          []pgtype.UUID
	useSpan        []int16
	useExpires     []pgtype.Timestamptz
	useClient      []string
	useEnvironment []string
	useSpend       []bool
	useAt          []pgtype.Timestamptz
	useGrp         []int64
}

// add adds a grant. used is where the token that it uses is, nil where it is
// nowhere.
func (r *grantRows) add(n int, g *gatehouse.Grant, w *writer, parts []*partition, used *partition, usedExpires time.Time) {
	for i := range g.Tokens {
		t, p := &g.Tokens[i], parts[i]
		r.at.to(p).row(t)
		r.grant, r.id = append(r.grant, int32(n)), append(r.id, uuid(t.ID))
		r.span, r.expires = append(r.span, p.span), append(r.expires, expiry(t.ExpiresAt))
		r.client, r.environment = append(r.client, string(t.Client)), append(r.environment, string(t.Environment))
		r.kind, r.dialect = append(r.kind, string(t.Kind)), append(r.dialect, t.Dialect)
		r.scopes, r.audience = append(r.scopes, text(strings.Join(t.Scopes, " "))), append(r.audience, text(strings.Join(t.Audience, " ")))
		r.name, r.subject = append(r.name, octets(t.Name)), append(r.subject, octets(t.User))
		r.secret, r.family, r.parent = append(r.secret, uuid(t.Secret)), append(r.family, uuid(t.Grant)), append(r.parent, uuid(t.Parent))
		r.digest, r.issued = append(r.digest, t.Digest), append(r.issued, moment(t.IssuedAt))
		r.proof, r.grp = append(r.proof, uuid(g.Proof)), append(r.grp, w.heads[p.id].groups+1)
	}
	if g.Uses.IsZero() {
		return
	}
	span, grp := int16(-1), int64(0) // matches nothing
	if used != nil {
		span, grp = used.span, w.heads[used.id].groups+1
		if g.Spend {
			a := r.at.to(used)
			a.marks = append(a.marks, gatehouse.Mark{Token: g.Uses, At: g.At.Truncate(time.Millisecond)})
		}
	}
	r.useGrant, r.useID = append(r.useGrant, int32(n)), append(r.useID, uuid(g.Uses))
	r.useSpan, r.useExpires = append(r.useSpan, span), append(r.useExpires, expiry(usedExpires))
	r.useClient, r.useEnvironment = append(r.useClient, string(g.Client())), append(r.useEnvironment, string(g.Tokens[0].Environment))
	r.useSpend, r.useAt, r.useGrp = append(r.useSpend, g.Spend), append(r.useAt, moment(g.At)), append(r.useGrp, grp)
}

// args are the arguments of grantSQL and, where tokens are used, usingSQL.
func (r *grantRows) args(w *writer, l *links) []any {
	args := []any{
		w.id, l.part, l.span, l.low, l.grp, l.rows, l.marks, l.hash, l.newest,
		r.grant, r.id, r.span, r.expires, r.client, r.environment, r.kind, r.dialect, r.scopes, r.audience, r.name, r.subject,
		r.secret, r.family, r.parent, r.digest, r.issued, r.proof, r.grp,
	}
	if len(r.useID) > 0 {
		args = append(args, r.useGrant, r.useID, r.useSpan, r.useExpires, r.useClient, r.useEnvironment, r.useSpend, r.useAt, r.useGrp)
	}
	return args
}

// The conditions of gatehouse.Grant and what is written where all grants of
// the group meet them. Where one doesn't, nothing is written, and the rows of
// the result say which and why.
const (
	chainCTE = `WITH l AS (
	SELECT $1::bigint AS writer, x.* FROM unnest($2::int[], $3::smallint[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::timestamptz[])
		AS x (partition, span, low, grp, rows, marks, hash, newest)
), `
	tokenCTE = `t AS MATERIALIZED (
	SELECT g.*, c.n AS owner, CASE
		WHEN c.state IS DISTINCT FROM 'enabled' THEN 'client'
		WHEN g.proof IS NOT NULL AND (p.live AND p.client = c.n AND p.environment = g.environment) IS NOT TRUE THEN 'secret'
		WHEN g.secret IS NOT NULL AND k.client IS DISTINCT FROM c.n THEN 'secret'
		WHEN g.issued <= greatest(x.before, meta.epoch) THEN 'cutoff'
		END AS refusal
	FROM unnest($10::int[], $11::uuid[], $12::smallint[], $13::timestamptz[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],
			$20::bytea[], $21::bytea[], $22::uuid[], $23::uuid[], $24::uuid[], $25::bytea[], $26::timestamptz[], $27::uuid[], $28::bigint[])
		AS g (n, id, span, expires, client, environment, kind, dialect, scopes, audience, name, subject, secret, family, parent, digest, issued, proof, grp)
	CROSS JOIN meta
	LEFT JOIN clients c ON c.id = g.client
	LEFT JOIN cutoffs x ON x.client = c.n AND x.environment = g.environment
	LEFT JOIN secrets p ON p.id = g.proof
	LEFT JOIN secrets k ON k.id = g.secret
)`
	useCTE = `, u AS MATERIALIZED (
	SELECT g.*, spent.at AS spent_at, CASE
		WHEN r.id IS NULL OR r.client <> c.n OR r.environment <> g.environment THEN 'revoked'
		WHEN revoked.at IS NOT NULL OR r.issued <= greatest(x.before, meta.epoch) THEN 'revoked'
		WHEN link.delinked IS NOT NULL THEN 'revoked'
		WHEN g.spend AND spent.at IS NOT NULL THEN 'spent'
		END AS refusal
	FROM unnest($29::int[], $30::uuid[], $31::smallint[], $32::timestamptz[], $33::text[], $34::text[], $35::boolean[], $36::timestamptz[], $37::bigint[])
		AS g (n, id, span, expires, client, environment, spend, at, grp)
	CROSS JOIN meta
	LEFT JOIN clients c ON c.id = g.client
	LEFT JOIN tokens r ON r.id = g.id AND r.span = g.span AND r.expires = g.expires
	LEFT JOIN cutoffs x ON x.client = r.client AND x.environment = r.environment
	LEFT JOIN marks revoked ON revoked.token = g.id AND revoked.revoked AND revoked.span = g.span AND revoked.expires = g.expires
	LEFT JOIN marks spent ON spent.token = g.id AND NOT spent.revoked AND spent.span = g.span AND spent.expires = g.expires
	LEFT JOIN connections link ON link.id = r.family
)`
	fineCTE   = `, fine AS (SELECT WHERE NOT EXISTS (SELECT FROM t WHERE refusal IS NOT NULL)`
	useFine   = ` AND NOT EXISTS (SELECT FROM u WHERE refusal IS NOT NULL)`
	insertCTE = `), written AS (
	INSERT INTO tokens (id, span, expires, client, kind, environment, dialect, scopes, audience, name, subject, secret, family, parent, digest, issued, writer, grp)
	SELECT t.id, t.span, t.expires, t.owner, t.kind, t.environment, t.dialect, t.scopes, t.audience, t.name, t.subject, t.secret, t.family, t.parent, t.digest,
		t.issued, $1, t.grp FROM t, fine
), `
	markCTE = `marked AS (
	INSERT INTO marks (token, revoked, span, expires, at, writer, grp)
	SELECT u.id, false, u.span, u.expires, u.at, $1, u.grp FROM u, fine WHERE u.spend ORDER BY u.id
), `
	refusedSQL = ` SELECT n, refusal, NULL::timestamptz FROM t WHERE refusal IS NOT NULL`
	useRefused = ` UNION ALL SELECT n, refusal, spent_at FROM u WHERE refusal IS NOT NULL`

	grantSQL = chainCTE + tokenCTE + fineCTE + insertCTE + linkSQL + refusedSQL
	usingSQL = chainCTE + tokenCTE + useCTE + fineCTE + useFine + insertCTE + markCTE + linkSQL + refusedSQL + useRefused
)

// query is the statement for r.
func (r *grantRows) query() string {
	if len(r.useID) > 0 {
		return usingSQL
	}
	return grantSQL
}

// refusedGrants reads the result: what refuses a grant, by its number.
func refusedGrants(rows pgx.Rows) (map[int]error, error) {
	refused := map[int]error{}
	var n int
	var why string
	var at pgtype.Timestamptz
	_, err := pgx.ForEachRow(rows, []any{&n, &why, &at}, func() error {
		if refused[n] == nil {
			refused[n] = refusal(why, timeOf(at))
		}
		return nil
	})
	return refused, err
}

func refusal(why string, at time.Time) error {
	switch why {
	case "client":
		return gatehouse.ErrClientState
	case "secret":
		return gatehouse.ErrSecretRetired
	case "cutoff":
		return gatehouse.ErrCutoff
	case "spent":
		return &gatehouse.SpentError{At: at}
	}
	return gatehouse.ErrRevoked
}

// A place is where a token of the ledger is. It never changes.
type place struct {
	part    *partition
	expires time.Time
}

// locate finds tokens in the partitions that this node knows.
func (s *Store) locate(ctx context.Context, q queries, ids []gatehouse.TokenID) (map[gatehouse.TokenID]place, error) {
	rows, err := q.Query(ctx, "SELECT id, span, expires FROM tokens WHERE id = ANY($1::uuid[])", uuids(ids))
	if err != nil {
		return nil, err
	}
	found := map[gatehouse.TokenID]bucket{}
	times := map[gatehouse.TokenID]time.Time{}
	var id pgtype.UUID
	var span int16
	var expires pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&id, &span, &expires}, func() error {
		times[idOf(id)] = timeOf(expires)
		found[idOf(id)] = bucketAt(span, timeOf(expires))
		return nil
	})
	if err != nil {
		return nil, err
	}
	places := map[gatehouse.TokenID]place{}
	for id, b := range found {
		p := s.parts.get(b)
		if p == nil { // another node has made it
			if err := s.parts.refresh(ctx, q); err != nil {
				return nil, err
			}
			if p = s.parts.get(b); p == nil {
				continue // dropped just now
			}
		}
		places[id] = place{p, times[id]}
	}
	return places, nil
}

// partitionsFor are the partitions of a grant's tokens.
func (s *Store) partitionsFor(ctx context.Context, g *gatehouse.Grant) ([]*partition, error) {
	parts := make([]*partition, len(g.Tokens))
	for i := range g.Tokens {
		var err error
		if parts[i], err = s.partition(ctx, bucketOf(&g.Tokens[i])); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// makeRoom makes the partitions of a grant that an act records: inside its
// transaction, which holds the row of meta, they can't be made.
func (s *Store) makeRoom(ctx context.Context, g *gatehouse.Grant) error {
	ctx, cancel := context.WithTimeoutCause(ctx, groupTimeout, errSlow)
	defer cancel()
	_, err := s.partitionsFor(ctx, g)
	return notDone(because(ctx, err))
}
