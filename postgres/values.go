package postgres

import (
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse/token"
)

// uuid is an id as it is stored: the zero id is NULL.
func uuid(id token.ID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: !id.IsZero()} }

func uuids(ids []token.ID) []pgtype.UUID {
	out := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		out[i] = uuid(id)
	}
	return out
}

func idOf(u pgtype.UUID) token.ID { return u.Bytes }

// moment is a time as it is stored: to the millisecond, the zero time is NULL.
func moment(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t.Truncate(time.Millisecond), Valid: !t.IsZero()}
}

// expiry is a token's: in whole seconds, infinity where it never expires.
func expiry(t time.Time) pgtype.Timestamptz {
	if t.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	}
	return pgtype.Timestamptz{Time: t.Truncate(time.Second), Valid: true}
}

// timeOf reads both back.
func timeOf(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// text is a text as it is stored: an empty one is NULL.
func text(s string) pgtype.Text { return pgtype.Text{String: s, Valid: s != ""} }

// octets is a text that may hold any byte.
func octets(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func addrText(a netip.Addr) pgtype.Text {
	if !a.IsValid() {
		return pgtype.Text{}
	}
	return text(a.String())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
