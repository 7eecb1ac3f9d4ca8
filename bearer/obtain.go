package bearer

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// obtain gets a token: by from's refresh token where it has one, and by the
// client's own credentials where it hasn't or that is refused. A server in
// trouble isn't asked twice in one visit.
func (s *Source) obtain(ctx context.Context, from *Token) (*Token, error) {
	t, err := s.refresh(ctx, from)
	if t != nil || err != nil && !isRefusal(err) {
		return t, err
	}
	op := s.config.obtains()
	if op.Name == dialect.Exchange && (s.spent || s.config.AccessCode.IsZero()) {
		return nil, errSpent
	}
	if t, err = s.config.visit(ctx, op, s.config.values()); err != nil {
		return nil, err
	}
	if life := s.config.Dialect.Token.Refresh.Life; life > 0 && t.refreshEnd.IsZero() {
		t.refreshEnd = t.ObtainedAt.Add(life)
	}
	s.spent = op.Name == dialect.Exchange
	s.counts.issued.Add(1)
	return t, nil
}

// refresh returns neither token nor error where there is nothing to refresh.
func (s *Source) refresh(ctx context.Context, from *Token) (*Token, error) {
	op := s.config.Dialect.Operation(dialect.Refresh)
	if op == nil || from == nil || !from.refreshable() || from.refresh.Equal(s.failing) {
		return nil, nil
	}
	v := s.config.values()
	v.SetSecret(dialect.RefreshToken, from.refresh)
	t, err := s.config.visit(ctx, op, v)
	if err != nil {
		// It may have been used up by an answer that was lost on the way, and
		// a rotating one that is used twice ends its whole family.
		s.failing = from.refresh
		return nil, err
	}
	if t.refresh.IsZero() { // the first one stays in use
		t.refresh = from.refresh
	}
	if t.refreshEnd.IsZero() {
		t.refreshEnd = from.refreshEnd // fixed from the first issue on
	}
	s.counts.refreshed.Add(1)
	return t, nil
}
