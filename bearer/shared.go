package bearer

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// obtainShared is obtain for sources that share a cache: whoever has the
// entry's lock visits the token endpoint, and the others find what it got.
func (s *Source) obtainShared(ctx context.Context, from *Token) (*Token, error) {
	if s.shelf == nil {
		return s.obtain(ctx, from)
	}
	// A token that lives is good enough to begin with, even while somebody
	// renews it.
	t, err := s.load(ctx)
	if s.welcome(t) {
		return t, nil
	}
	if err != nil {
		return s.obtain(ctx, from) // a cache that is gone is waited for once
	}
	unlock, err := s.shelf.cache.Lock(ctx, s.shelf.name)
	if err != nil {
		s.warn(ctx, "the token cache could not be locked", err)
	} else {
		defer unlock()
		if t, _ := s.load(ctx); s.welcome(t) {
			return t, nil
		} else if t != nil {
			from = t // its refresh token is the one that is still good
		}
	}
	if t, err = s.obtain(ctx, from); err != nil {
		return nil, err
	}
	sealed, err := s.shelf.close(t)
	if err == nil {
		err = s.shelf.cache.Store(ctx, s.shelf.name, sealed, lastUse(t))
	}
	if err != nil {
		s.warn(ctx, "a token could not be put into the cache", err)
	}
	return t, nil
}

// lastUse is when the entry is of no use any more: a refresh token outlives
// its access token.
func lastUse(t *Token) time.Time {
	if t.ExpiresAt.IsZero() || t.refresh.IsZero() {
		return t.ExpiresAt
	}
	if t.refreshEnd.After(t.ExpiresAt) {
		return t.refreshEnd
	}
	return t.ExpiresAt
}

// load returns the cached token; nil where there is none that can be read. The
// error is the cache's own.
func (s *Source) load(ctx context.Context) (*Token, error) {
	sealed, err := s.shelf.cache.Load(ctx, s.shelf.name)
	if err != nil {
		s.warn(ctx, "the token cache could not be read", err)
		return nil, err
	}
	if sealed == nil {
		return nil, nil
	}
	t, err := s.shelf.open(sealed)
	if err == nil {
		err = s.config.fill(t)
	}
	if err != nil {
		s.warn(ctx, "a cached token is set aside", errors.Join(err, s.shelf.cache.SetAside(ctx, s.shelf.name)))
		return nil, nil
	}
	// Whoever put it there has used the access code.
	s.spent = s.spent || s.config.obtains().Name == dialect.Exchange
	return t, nil
}

// welcome reports whether a cached token is news: live, and neither the one in
// use nor one that the API has refused.
func (s *Source) welcome(t *Token) bool {
	if t == nil || !t.live(time.Now()) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.current.Load(); now != nil && now.AccessToken.Equal(t.AccessToken) || s.refused.Equal(t.AccessToken) {
		return false
	}
	s.counts.shared.Add(1)
	return true
}

func (s *Source) warn(ctx context.Context, message string, err error) {
	if ctx.Err() == nil {
		s.config.Logger.Warn(message, "error", err)
	}
}
