package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// queueEntries writes the entries of a group of acts.
func (t *actTx) queueEntries(b *pgx.Batch) {
	if len(t.entries) == 0 {
		return
	}
	n := len(t.entries)
	seqs, kinds := make([]int64, n), make([]string, n)
	at, until, before := make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
	tokens, clients := make([]pgtype.UUID, n), make([]pgtype.Text, n)
	for i, e := range t.entries {
		seqs[i], kinds[i], at[i], tokens[i], clients[i], before[i] = e.Seq, string(e.Kind), moment(e.At), uuid(e.Token), text(string(e.Client)), moment(e.Before)
		if e.Kind == gatehouse.EntryTokenRevoked {
			until[i] = expiry(e.Until)
		}
	}
	b.Queue(`INSERT INTO journal (seq, at, kind, token, until, client, before)
		SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[], $7::timestamptz[])`,
		seqs, at, kinds, tokens, until, clients, before)
}

// Journal implements gatehouse.Store. The floor and the entries are of one
// moment because they are one statement.
func (s *Store) Journal(ctx context.Context, since int64, limit int) ([]gatehouse.Entry, error) {
	var entries []gatehouse.Entry
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		entries = nil
		rows, err := q.Query(ctx, `SELECT m.journal_floor, j.seq, j.at, j.kind, j.token, j.until, j.client, j.before FROM meta m
			LEFT JOIN LATERAL (SELECT * FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2) j ON true ORDER BY j.seq`, since, limit)
		if err != nil {
			return err
		}
		var floor int64
		var seq pgtype.Int8
		var at, until, before pgtype.Timestamptz
		var kind, client pgtype.Text
		var tok pgtype.UUID
		_, err = pgx.ForEachRow(rows, []any{&floor, &seq, &at, &kind, &tok, &until, &client, &before}, func() error {
			if since < floor {
				return gatehouse.ErrJournalGone
			}
			if seq.Valid {
				entries = append(entries, gatehouse.Entry{
					Seq: seq.Int64, At: timeOf(at), Kind: gatehouse.EntryKind(kind.String), Token: idOf(tok), Until: timeOf(until),
					Client: gatehouse.ClientID(client.String), Before: timeOf(before),
				})
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}
