package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/clientjson"
)

// Moved says what Import has taken over.
type Moved struct {
	Tables []gatehouse.TableCount
	Audit  gatehouse.AuditReport // of the ledger in its new place, before it was committed
}

// ErrNotEmpty: a database that a ledger can't be moved into.
var ErrNotEmpty = errors.New("there is a ledger in the database already: move into an empty one")

// Import moves a ledger, which from gives to a sink, into the database that url
// names, which has none: all of it in one transaction, or nothing. It is committed
// only if every table counts as many rows as the old place does and the hash
// chains of the new place fit. progress hears of tokens, and may be nil.
func Import(ctx context.Context, url string, act gatehouse.Act, from func(gatehouse.LedgerSink) error, progress func(done, all int64)) (*Moved, error) {
	pool, err := configure(url)
	if err != nil {
		return nil, err
	}
	cfg := pool.ConnConfig
	asOffline(cfg)
	if err := prepare(ctx, cfg, true); err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", Place(url), err)
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if progress == nil {
		progress = func(int64, int64) {}
	}
	var moved *Moved
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		in := &importing{
			ctx: ctx, tx: tx, act: act, progress: progress, parts: newCatalogue(),
			clients: map[gatehouse.ClientID]int64{}, at: additions{}, source: map[string]int64{},
		}
		if err := from(in); err != nil {
			return err
		}
		moved, err = in.finish()
		return err
	})
	return moved, err
}

// An importing is one Import on its way: a sink that writes into a transaction.
type importing struct {
	ctx      context.Context
	tx       pgx.Tx
	act      gatehouse.Act
	progress func(done, all int64)

	ends    gatehouse.LedgerEnds
	clients map[gatehouse.ClientID]int64 // the numbers that stand for them here
	events  []gatehouse.Event            // that tell of this move
	last    gatehouse.Event              // the newest one
	parts   *catalogue
	writer  writer
	newest  time.Time
	source  map[string]int64

	// Rows that wait to be copied, and the commit groups that they are of.
	tokens, marks, entries, logged [][]any
	at                             additions
	done                           int64
}

// rowsAtOnce is how many rows are copied at once. So many tokens are one commit
// group.
const rowsAtOnce = 2_000

var _ gatehouse.LedgerSink = (*importing)(nil)

func (in *importing) exec(query string, args ...any) error {
	_, err := in.tx.Exec(in.ctx, query, args...)
	return err
}

// Begin makes sure that nothing is there, and keeps nodes out until the end.
func (in *importing) Begin(ends gatehouse.LedgerEnds) error {
	in.ends, in.newest = ends, ends.Newest
	if err := in.exec("SELECT pg_advisory_xact_lock($1, $2)", lockSpace, gateLock); err != nil {
		return err
	}
	var used bool
	err := in.tx.QueryRow(in.ctx, `SELECT event_seq > 0 OR journal_seq > 0 OR partitions > 0 OR EXISTS (SELECT FROM clients) OR EXISTS (SELECT FROM keys)
		OR EXISTS (SELECT FROM documents) OR EXISTS (SELECT FROM settings WHERE name <> $1) FROM meta FOR UPDATE`, identitySetting).Scan(&used)
	if err == nil && used {
		err = ErrNotEmpty
	}
	if err != nil {
		return err
	}
	if err := in.exec("UPDATE meta SET partitions = $1", ends.Partitions); err != nil {
		return err
	}
	return in.writer.enrol(in.ctx, in.tx)
}

// Setting implements gatehouse.LedgerSink.
func (in *importing) Setting(name string, value []byte) error {
	return in.exec("INSERT INTO settings (name, value) VALUES ($1, $2)", name, append([]byte{}, value...)) // never NULL
}

// Client implements gatehouse.LedgerSink.
func (in *importing) Client(c *gatehouse.Client, ids []gatehouse.ClientID, secrets []gatehouse.SecretID, uses []gatehouse.SecretUse) error {
	body, err := clientjson.Marshal(c)
	if err != nil {
		return err
	}
	var n int64
	err = in.tx.QueryRow(in.ctx, "INSERT INTO clients (id, version, state, body) VALUES ($1, $2, $3, $4) RETURNING n",
		string(c.ID), c.Version, string(c.State), body).Scan(&n)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	in.clients[c.ID] = n
	b := &pgx.Batch{}
	for _, id := range ids {
		b.Queue("INSERT INTO client_ids (id, client) VALUES ($1, $2)", string(id), n)
	}
	for _, id := range secrets {
		var env gatehouse.Environment // "" of one that the client has no more
		live := false
		if i := slices.IndexFunc(c.Secrets, func(s gatehouse.ClientSecret) bool { return s.ID == id }); i >= 0 {
			env, live = c.Secrets[i].Environment, c.Secrets[i].Live()
		}
		b.Queue("INSERT INTO secrets (id, client, environment, live) VALUES ($1, $2, $3, $4)", uuid(id), n, string(env), live)
	}
	for _, u := range uses {
		b.Queue("INSERT INTO secret_uses (secret, count, at, addr) VALUES ($1, $2, $3, $4)", uuid(u.Secret), u.Count, moment(u.At), addrText(u.Addr))
	}
	for env, before := range c.RevokedBefore {
		queueCutoff(b, n, env, before)
	}
	return in.tx.SendBatch(in.ctx, b).Close()
}

// Connection implements gatehouse.LedgerSink.
func (in *importing) Connection(c *gatehouse.Connection) error {
	return in.exec(`INSERT INTO connections (id, client, environment, subject, user_secret, token, created, delinked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		uuid(c.ID), in.clients[c.Client], string(c.Environment), octets(c.User), c.UserSecret, uuid(c.Token), moment(c.CreatedAt), moment(c.DelinkedAt))
}

// Key implements gatehouse.LedgerSink.
func (in *importing) Key(k *gatehouse.KeyRecord) error {
	b := &pgx.Batch{}
	queueKey(b, k)
	return in.tx.SendBatch(in.ctx, b).Close()
}

// Replay implements gatehouse.LedgerSink.
func (in *importing) Replay(r *gatehouse.Replay) error {
	return in.exec("INSERT INTO replays (caller, key, request, answer, at) VALUES ($1, $2, $3, $4, $5)", r.Caller, r.Key, r.Request[:], r.Answer, moment(r.At))
}

// Document implements gatehouse.LedgerSink.
func (in *importing) Document(d *gatehouse.Document) error {
	return in.exec("INSERT INTO documents (kind, key, owner, value, version, expires) VALUES ($1, $2, $3, $4, $5, $6)",
		d.Kind, d.Key, text(d.Owner), d.Value, d.Version, moment(d.ExpiresAt))
}

// Entry implements gatehouse.LedgerSink.
func (in *importing) Entry(e *gatehouse.Entry) error {
	until := pgtype.Timestamptz{}
	if e.Kind == gatehouse.EntryTokenRevoked {
		until = expiry(e.Until)
	}
	in.entries = append(in.entries, []any{e.Seq, moment(e.At), string(e.Kind), uuid(e.Token), until, text(string(e.Client)), moment(e.Before)})
	return in.copyFull(&in.entries, "journal", "seq", "at", "kind", "token", "until", "client", "before")
}

// Event implements gatehouse.LedgerSink. Events keep their hashes: the chain goes on.
func (in *importing) Event(e *gatehouse.Event) error {
	detail, err := marshalDetail(e.Detail)
	if err != nil {
		return err
	}
	in.last = *e
	in.logged = append(in.logged, []any{e.Seq, moment(e.At), string(e.By.Kind), text(e.By.ID), addrText(e.By.Addr), text(e.By.Request),
		e.Action, text(e.Subject), text(detail), e.Hash[:]})
	return in.copyFull(&in.logged, "events", eventColumns...)
}

var eventColumns = []string{"seq", "at", "kind", "actor", "addr", "request", "action", "subject", "detail", "hash"}

// copyFull copies the rows that wait once they are enough.
func (in *importing) copyFull(rows *[][]any, table string, columns ...string) error {
	if len(*rows) < rowsAtOnce {
		return nil
	}
	return in.copyRest(rows, table, columns...)
}

func (in *importing) copyRest(rows *[][]any, table string, columns ...string) error {
	if len(*rows) == 0 {
		return nil
	}
	_, err := in.tx.CopyFrom(in.ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(*rows))
	*rows = (*rows)[:0]
	return err
}

// Partition keeps where a partition of the old place ended. One that was there
// until now leaves its end in the chain of events, as others did that were dropped.
func (in *importing) Partition(p *gatehouse.LedgerPartition) error {
	b := bucket{span: ever}
	if p.Hour >= 0 {
		b = bucket{hourly, p.Hour * 3600}
	}
	low, high := b.bounds()
	if !p.Dropped {
		in.tell(gatehouse.Act{At: in.act.At, By: in.act.By, Action: dropAction, Subject: strconv.FormatInt(p.ID, 10), Detail: map[string]string{
			"rows": strconv.FormatInt(p.Rows, 10), "hash": hex.EncodeToString(p.Head[:]), "moved": "true",
		}})
	}
	return in.exec("INSERT INTO partitions (id, span, low, high, dropped, rows, head) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		p.ID, b.span, low, high, moment(in.act.At), p.Rows, p.Head[:])
}

// tell adds an event of this move.
func (in *importing) tell(act gatehouse.Act) {
	e := gatehouse.Event{Seq: in.last.Seq + 1, At: act.At.Truncate(time.Millisecond).UTC(), By: act.By, Action: act.Action, Subject: act.Subject, Detail: act.Detail}
	e.Hash = gatehouse.ChainEvent(in.last.Hash, &e)
	in.last = e
	in.events = append(in.events, e)
}

// Token implements gatehouse.LedgerSink.
func (in *importing) Token(t *gatehouse.TokenRecord) error {
	p, err := in.partition(bucketOf(t))
	if err != nil {
		return err
	}
	a, grp := in.at.to(p), in.writer.heads[p.id].groups+1
	a.row(t)
	expires := expiry(t.ExpiresAt)
	in.tokens = append(in.tokens, []any{
		uuid(t.ID), p.span, expires, in.clients[t.Client], string(t.Kind), string(t.Environment), t.Dialect,
		text(strings.Join(t.Scopes, " ")), text(strings.Join(t.Audience, " ")), octets(t.Name), octets(t.User),
		uuid(t.Secret), uuid(t.Grant), uuid(t.Parent), t.Digest, moment(t.IssuedAt), in.writer.id, grp,
	})
	for _, m := range []gatehouse.Mark{{Token: t.ID, At: t.SpentAt}, {Token: t.ID, Revoked: true, At: t.RevokedAt}} {
		if !m.At.IsZero() {
			a.marks = append(a.marks, m)
			in.marks = append(in.marks, []any{uuid(m.Token), m.Revoked, p.span, expires, moment(m.At), in.writer.id, grp})
		}
	}
	if len(in.tokens) < rowsAtOnce {
		return nil
	}
	return in.seal()
}

// partition returns the partition of a bucket, which is made where there is none.
func (in *importing) partition(b bucket) (*partition, error) {
	if p := in.parts.get(b); p != nil {
		return p, nil
	}
	if err := makePartitionIn(in.ctx, in.tx, b); err != nil {
		return nil, err
	}
	if err := in.parts.refresh(in.ctx, in.tx); err != nil {
		return nil, err
	}
	return in.parts.get(b), nil
}

// seal writes the tokens that wait as one commit group.
func (in *importing) seal() error {
	if len(in.tokens) == 0 {
		return nil
	}
	in.done += int64(len(in.tokens))
	err := in.copyRest(&in.tokens, "tokens", "id", "span", "expires", "client", "kind", "environment", "dialect", "scopes", "audience", "name", "subject",
		"secret", "family", "parent", "digest", "issued", "writer", "grp")
	if err != nil {
		return err
	}
	if err := in.copyRest(&in.marks, "marks", "token", "revoked", "span", "expires", "at", "writer", "grp"); err != nil {
		return err
	}
	l := in.writer.seal(in.at, in.newest)
	err = in.exec(chainCTE+`fine AS (SELECT), `+linkSQL+` SELECT`, in.writer.id, l.part, l.span, l.low, l.grp, l.rows, l.marks, l.hash, l.newest)
	if err != nil {
		return err
	}
	in.writer.committed(l)
	clear(in.at)
	in.progress(in.done, in.ends.Counts.Tokens)
	return nil
}

// Count implements gatehouse.LedgerSink.
func (in *importing) Count(table string, rows int64) error {
	in.source[table] += rows
	return nil
}

// finish writes what is left and where all of it ends, and then looks whether it
// is what it should be.
func (in *importing) finish() (*Moved, error) {
	if err := in.seal(); err != nil {
		return nil, err
	}
	in.tell(in.act)
	for i := range in.events {
		if err := in.Event(&in.events[i]); err != nil {
			return nil, err
		}
	}
	if err := in.copyRest(&in.logged, "events", eventColumns...); err != nil {
		return nil, err
	}
	if err := in.copyRest(&in.entries, "journal", "seq", "at", "kind", "token", "until", "client", "before"); err != nil {
		return nil, err
	}
	err := in.exec("UPDATE meta SET newest = $1, epoch = $2, event_seq = $3, event_head = $4, journal_seq = $5, journal_floor = $6",
		moment(later(in.newest, in.act.At)), moment(in.ends.Epoch), in.last.Seq, in.last.Hash[:], in.ends.JournalSeq, in.ends.JournalFloor)
	if err != nil {
		return nil, err
	}
	if err := adoptIn(in.ctx, in.tx); err != nil {
		return nil, err
	}
	moved := &Moved{}
	if moved.Tables, err = in.compare(); err != nil {
		return nil, err
	}
	c := &check{ctx: in.ctx, q: in.tx, drops: map[string]map[string]string{}}
	if err := c.run(); err != nil {
		return nil, err
	}
	if n := len(c.report.Faults); n > 0 {
		return nil, fmt.Errorf("the hash chains do not fit in the new place, in %d places: %s", n, c.report.Faults[0])
	}
	moved.Audit = c.report
	return moved, nil
}

// compare counts every table, and refuses where one has other rows than in the
// old place. What this move itself has added is left out.
func (in *importing) compare() ([]gatehouse.TableCount, error) {
	added := map[string]int64{"events": int64(len(in.events))}
	var all []gatehouse.TableCount
	for _, table := range slices.Sorted(maps.Keys(in.source)) {
		query := "SELECT count(*) FROM " + pgx.Identifier{table}.Sanitize()
		args := []any{}
		if table == "settings" {
			query, args = query+" WHERE name <> $1", []any{identitySetting}
		}
		c := gatehouse.TableCount{Table: table, Source: in.source[table]}
		if err := in.tx.QueryRow(in.ctx, query, args...).Scan(&c.Target); err != nil {
			return nil, err
		}
		if c.Target -= added[table]; c.Source != c.Target {
			return nil, fmt.Errorf("%s: %d rows were there and %d have come", table, c.Source, c.Target)
		}
		all = append(all, c)
	}
	return all, nil
}
