package gatehouse

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// findOpaque returns the row of an opaque token of any kind, whatever its
// state; only the bearer of the token itself gets it.
func (e *Engine) findOpaque(ctx context.Context, tok string) (*TokenRecord, error) {
	_, id, err := token.ParseOpaque(tok)
	if err != nil {
		return nil, &Error{Code: InvalidToken, Reason: ReasonMalformed, Err: err}
	}
	r, err := e.store.Token(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, Refuse(InvalidToken, ReasonUnknownToken, "")
	} else if err != nil {
		return nil, unavailable(err)
	}
	digest := e.digester.Digest(digestToken, secret.New(tok))
	if subtle.ConstantTimeCompare(digest[:], r.Digest) != 1 {
		return nil, Refuse(InvalidToken, ReasonUnknownToken, "")
	}
	return r, nil
}
