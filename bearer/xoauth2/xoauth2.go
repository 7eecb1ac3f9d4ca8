// Package xoauth2 lets what takes a golang.org/x/oauth2 token source have its
// tokens from package bearer.
package xoauth2

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// TokenSource returns s as a source for golang.org/x/oauth2, whose interface
// has no context of its own: ctx bounds each of its waits. Don't wrap it in an
// [oauth2.ReuseTokenSource], which would keep a token that s has replaced.
func TokenSource(ctx context.Context, s *bearer.Source) oauth2.TokenSource {
	return source{ctx, s}
}

type source struct {
	ctx  context.Context
	from *bearer.Source
}

func (s source) Token() (*oauth2.Token, error) {
	t, err := s.from.Token(s.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: t.AccessToken.Reveal(), TokenType: "Bearer", Expiry: t.ExpiresAt}, nil
}
