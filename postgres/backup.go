package postgres

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Backup implements gatehouse.Store. PostgreSQL has its own programs for the
// copy; what this store adds is the mark.
func (s *Store) Backup(ctx context.Context, _ gatehouse.BackupSink) (*gatehouse.Manifest, error) {
	var m *gatehouse.Manifest
	err := s.asOf(ctx, func(ctx context.Context, q queries) (err error) {
		m, err = manifest(ctx, q)
		return err
	})
	return m, err
}

// manifest is what the database holds as of the transaction of q.
func manifest(ctx context.Context, q queries) (*gatehouse.Manifest, error) {
	m := &gatehouse.Manifest{Store: "postgres", Chains: []gatehouse.ChainEnd{}}
	var newest, epoch pgtype.Timestamptz
	var head []byte
	n := &m.Counts
	err := q.QueryRow(ctx, `SELECT (SELECT max(version) FROM gatehouse_schema), greatest(newest, (SELECT max(newest) FROM chains)), epoch, journal_seq, event_seq, event_head,
		(SELECT count(*) FROM clients), (SELECT count(*) FROM connections), (SELECT count(*) FROM keys), (SELECT count(*) FROM documents) FROM meta`).
		Scan(&m.Schema, &newest, &epoch, &m.JournalSeq, &m.EventSeq, &head, &n.Clients, &n.Connections, &n.Keys, &n.Documents)
	if err != nil {
		return nil, err
	}
	m.Newest, m.Epoch, m.EventHead = timeOf(newest), timeOf(epoch), hex.EncodeToString(head)
	rows, err := q.Query(ctx, "SELECT partition, writer, groups, rows, marks, head FROM chains ORDER BY partition, writer")
	if err != nil {
		return nil, err
	}
	var end gatehouse.ChainEnd
	_, err = pgx.ForEachRow(rows, []any{&end.Partition, &end.Writer, &end.Groups, &end.Rows, &end.Marks, &head}, func() error {
		end.Head = hex.EncodeToString(head)
		m.Chains = append(m.Chains, end)
		n.Tokens += end.Rows
		n.Marks += end.Marks
		return nil
	})
	return m, err
}

// Lacks names what a mark has and the store has not, or has otherwise: the
// signs of a copy that is older than the mark, or was changed since. It says
// nothing of what came after the mark; CheckAudit does.
func (s *Store) Lacks(ctx context.Context, mark *gatehouse.Manifest) (faults []string, err error) {
	err = s.asOf(ctx, func(ctx context.Context, q queries) error {
		faults, err = lacks(ctx, q, mark)
		return err
	})
	return faults, err
}

func lacks(ctx context.Context, q queries, mark *gatehouse.Manifest) (faults []string, err error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if mark.Store != "postgres" {
		fault("the mark is of a %s store", mark.Store)
		return faults, nil
	}
	var seq int64
	var hash []byte
	err = q.QueryRow(ctx, "SELECT journal_seq, (SELECT hash FROM events WHERE seq = $1) FROM meta", mark.EventSeq).Scan(&seq, &hash)
	if err != nil {
		return nil, err
	}
	if seq < mark.JournalSeq {
		fault("its journal ends at %d, the mark's at %d", seq, mark.JournalSeq)
	}
	if mark.EventSeq > 0 && hex.EncodeToString(hash) != mark.EventHead {
		fault("it does not have event %d as the mark has it", mark.EventSeq)
	}
	n := len(mark.Chains)
	parts, writers, groups := make([]int32, n), make([]int64, n), make([]int64, n)
	for i, c := range mark.Chains {
		parts[i], writers[i], groups[i] = int32(c.Partition), c.Writer, c.Groups
	}
	// A partition that was dropped since is in the chain of events.
	rows, err := q.Query(ctx, `SELECT c.n, p.id IS NULL, p.dropped IS NOT NULL, l.hash
		FROM unnest($1::int[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS c (partition, writer, grp, n)
		LEFT JOIN partitions p ON p.id = c.partition
		LEFT JOIN links l ON l.writer = c.writer AND l.grp = c.grp AND l.span = p.span AND l.expires = p.low`, parts, writers, groups)
	if err != nil {
		return nil, err
	}
	var i int64
	var missing, dropped bool
	_, err = pgx.ForEachRow(rows, []any{&i, &missing, &dropped, &hash}, func() error {
		c := mark.Chains[i-1]
		if missing || !dropped && hex.EncodeToString(hash) != c.Head {
			fault("it does not have commit group %d of writer %d in partition %d as the mark has it", c.Groups, c.Writer, c.Partition)
		}
		return nil
	})
	return faults, err
}
