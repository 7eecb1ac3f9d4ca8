package gatehouse

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// ScopeIntrospect lets a client introspect every token of its environment, not
// only its own.
const ScopeIntrospect = "gatehouse:introspect"

// An Introspection is what RFC 7662 §2.2 answers with. Claims is nil where
// Active is false.
type Introspection struct {
	Active bool
	Claims *Claims
}

// Introspect tells a proven client about an access or refresh token. What it
// may not see is as inactive to it as what doesn't exist; the error is
// Unavailable where that can't be known.
func (e *Engine) Introspect(ctx context.Context, who *Principal, tok secret.Text) (*Introspection, error) {
	c, err := e.standing(ctx, tok)
	if err != nil {
		if refusal := AsError(err); refusal.Code == InvalidToken || refusal.Code == ExpiredToken || refusal.Code == MissingToken {
			return &Introspection{}, nil
		}
		return nil, err
	}
	own := c.Client == who.Client.ID || slices.Contains(who.Client.Scopes, ScopeIntrospect)
	if !own || c.Environment != who.Environment {
		return &Introspection{}, nil
	}
	return &Introspection{Active: true, Claims: c}, nil
}

// standing is Validate for access and refresh tokens alike. A refresh token is
// looked up each time, since its use changes it.
func (e *Engine) standing(ctx context.Context, tok secret.Text) (*Claims, error) {
	c, err := e.Validate(ctx, tok, Requirement{})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Reason != ReasonWrongKind {
		return c, err
	}
	row, err := e.findOpaque(ctx, tok.Reveal())
	if err != nil {
		return nil, err
	}
	client, err := e.client(ctx, row.Client)
	if err != nil {
		return nil, err
	}
	reason := e.unusable(row, RefreshToken, row.Dialect, client)
	if reason == "" && !row.SpentAt.IsZero() {
		reason = ReasonSpent
	}
	if reason != "" {
		return nil, &Error{Code: InvalidToken, Reason: reason, Token: row.ID, Client: row.Client}
	}
	return e.claims(client, row), nil
}

// An Inspection is what an owner is told about a token, its own or not.
type Inspection struct {
	Record *TokenRecord
	Client *Client
	Status TokenStatus
	Reason Reason // why it doesn't pass now, or ""
}

// Inspect tells an operator about a token that it holds, whatever its state.
// An error of code NotFound says that it is none of ours; its Reason says why.
func (e *Engine) Inspect(ctx context.Context, tok secret.Text) (*Inspection, error) {
	row, err := e.rowOf(ctx, tok)
	if err != nil {
		return nil, err
	}
	out := &Inspection{Record: row, Client: e.state.client(row.Client), Status: e.StatusOf(row)}
	if _, err := e.standing(ctx, tok); err != nil {
		out.Reason = AsError(err).Reason
	}
	return out, nil
}

// rowOf finds the ledger's row of a token that its holder shows us.
func (e *Engine) rowOf(ctx context.Context, tok secret.Text) (*TokenRecord, error) {
	notOurs := func(err error) error {
		refusal := AsError(err)
		if refusal.Code != InvalidToken {
			return err
		}
		return &Error{Code: NotFound, Reason: refusal.Reason, Message: "this is no token of this server", Err: err}
	}
	arrived := func(ours error) (*TokenRecord, error) {
		if !nobodys(ours) {
			return nil, notOurs(ours)
		}
		a, err := e.elsewhere(ctx, tok.Reveal(), ours)
		if err != nil {
			return nil, notOurs(err)
		}
		if a.issuer == "" {
			return e.withCutOff(a.row), nil
		}
		kept, err := e.store.Token(ctx, a.row.ID) // it is there where it was revoked
		if err == nil {
			a.row.RevokedAt = kept.RevokedAt
		} else if !errors.Is(err, ErrNotFound) {
			return nil, unavailable(err)
		}
		return e.withCutOff(a.row), nil
	}
	if !strings.Contains(tok.Reveal(), ".") {
		row, err := e.findOpaque(ctx, tok.Reveal())
		if err != nil {
			return arrived(err)
		}
		return row, nil
	}
	var id TokenID
	c, err := e.examineJWT(ctx, tok.Reveal())
	switch {
	case err == nil:
		id = c.Token
	case AsError(err).Reason == ReasonNotYetValid:
		id = AsError(err).Token // ours: another node's clock is ahead
	default:
		return arrived(err)
	}
	row, err := e.store.Token(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, &Error{Code: NotFound, Reason: ReasonUnknownToken, Token: id, Message: "this token has left the ledger: it expired more than a day ago"}
	} else if err != nil {
		return nil, unavailable(err)
	}
	return e.withCutOff(row), nil
}
