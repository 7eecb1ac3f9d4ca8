package sqlite

import (
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// A row is a token's record with what only the store knows of it.
type row struct {
	gatehouse.TokenRecord
	partition *partition
	client    int64
	group     int64
	cutoff    time.Time // of the client in the token's environment
}

// rowQuery reads rows of a partition; conditions follow it. The joins are
// outer ones so that a row whose other half is gone shows as damaged instead
// of not at all, and so that SQLite keeps to their order.
const rowQuery = `SELECT t.id, t.client, c.id, s.kind, s.environment, s.dialect, s.scopes, s.audience, t.name, t.user,
	k.id, t.family, t.parent, t.digest, t.issued, t.expires, spent.at, revoked.at, x.before, t.grp, t.secret
	FROM tokens_%d t
	LEFT JOIN shapes_%d s ON s.n = t.shape
	LEFT JOIN clients c ON c.n = t.client
	LEFT JOIN secrets k ON k.n = t.secret
	LEFT JOIN marks_%d spent ON spent.token = t.id AND spent.revoked = 0
	LEFT JOIN marks_%d revoked ON revoked.token = t.id AND revoked.revoked = 1
	LEFT JOIN cutoffs x ON x.client = t.client AND x.environment = s.environment
	`

// scanRow reads a row of rowQuery.
func scanRow(st *sqlite.Stmt, p *partition) (*row, error) {
	r := &row{partition: p, client: st.ColumnInt64(1), cutoff: columnTime(st, 18), group: st.ColumnInt64(19)}
	r.TokenRecord = gatehouse.TokenRecord{
		ID:          columnID(st, 0),
		Client:      gatehouse.ClientID(st.ColumnText(2)),
		Kind:        gatehouse.TokenKind(st.ColumnText(3)),
		Environment: gatehouse.Environment(st.ColumnText(4)),
		Dialect:     st.ColumnText(5),
		Scopes:      splitList(st.ColumnText(6)),
		Audience:    splitList(st.ColumnText(7)),
		Name:        st.ColumnText(8),
		User:        st.ColumnText(9),
		Secret:      columnID(st, 10),
		Grant:       columnID(st, 11),
		Parent:      columnID(st, 12),
		Digest:      columnBlob(st, 13),
		IssuedAt:    columnTime(st, 14),
		ExpiresAt:   columnSeconds(st, 15),
		SpentAt:     columnTime(st, 16),
		RevokedAt:   columnTime(st, 17),
	}
	for _, col := range []int{0, 10, 11, 12} {
		if n := st.ColumnLen(col); n != 0 && n != len(r.ID) {
			return r, fmt.Errorf("token %s has an id of %d bytes", r.ID, n)
		}
	}
	switch {
	case st.ColumnIsNull(2):
		return r, fmt.Errorf("token %s names a client that is not there", r.ID)
	case st.ColumnIsNull(3):
		return r, fmt.Errorf("token %s names a shape that is not there", r.ID)
	case st.ColumnIsNull(10) && !st.ColumnIsNull(20):
		return r, fmt.Errorf("token %s names a secret that is not there", r.ID)
	}
	return r, nil
}

// cut shows a token that a cutoff or the epoch ended as revoked at that moment.
func (r *row) cut(epoch time.Time) {
	moment := later(r.cutoff, epoch)
	if r.RevokedAt.IsZero() && !r.IssuedAt.After(moment) && !r.expired(moment) {
		r.RevokedAt = moment
	}
}

// expired reports whether the token's own time is over at now.
func (r *row) expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now)
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// lookIn is where a token with this id may be: newest first, since that is
// where it mostly is.
func lookIn(parts []*partition, id gatehouse.TokenID) []*partition {
	var found []*partition
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].ids.Load().holds(id) {
			found = append(found, parts[i])
		}
	}
	return found
}

// findRow returns the row with this id, or nil.
func findRow(c *conn, parts []*partition, id gatehouse.TokenID) (found *row, err error) {
	for _, p := range parts {
		there, err := p.has(c, id)
		if err != nil {
			return nil, err
		}
		if there {
			err = c.rows(p.on(rowQuery+"WHERE t.id = ?"), func(st *sqlite.Stmt) (err error) {
				found, err = scanRow(st, p)
				return err
			}, id)
			return found, err
		}
	}
	return nil, nil
}

// has reports whether the partition has a token with this id. It is the cheap
// question before rowQuery, which is dear to prepare.
func (p *partition) has(c *conn, id gatehouse.TokenID) (there bool, err error) {
	err = c.rows(p.on("SELECT 1 FROM tokens_%d WHERE id = ?"), func(*sqlite.Stmt) error {
		there = true
		return nil
	}, id)
	return there, err
}
