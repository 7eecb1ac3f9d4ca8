package bearer

import (
	"context"

	"golang.org/x/oauth2"
)

// OAuth2 returns s as a source for golang.org/x/oauth2, whose interface has no
// context of its own: ctx bounds each of its waits. Libraries that take an
// [oauth2.TokenSource] take it as it is; don't wrap it in a
// [oauth2.ReuseTokenSource], which would keep a token that s has replaced.
func (s *Source) OAuth2(ctx context.Context) oauth2.TokenSource { return adapter{s, ctx} }

type adapter struct {
	source *Source
	ctx    context.Context
}

func (a adapter) Token() (*oauth2.Token, error) {
	t, err := a.source.Token(a.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: t.AccessToken.Reveal(), TokenType: "Bearer", Expiry: t.ExpiresAt}, nil
}
