package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// Revoke ends the tokens that sel names. When it returns they are refused on
// this node, and on every other as soon as it has read the journal.
func (e *Engine) Revoke(ctx context.Context, by Actor, sel Selection) (Revoked, error) {
	action, subject, details := "token.revoke", "", []string{}
	switch {
	case !sel.Token.IsZero():
		subject = sel.Token.String()
	case !sel.Grant.IsZero():
		subject, details = sel.Grant.String(), []string{"by", "grant"}
	case !sel.Secret.IsZero():
		subject, details = sel.Secret.String(), []string{"by", "secret"}
	case sel.Client != "":
		if err := e.narrow(&sel); err != nil {
			return Revoked{}, err
		}
		subject, details = string(sel.Client), []string{"by", "client"}
		if sel.Environment != "" {
			details = append(details, "environment", string(sel.Environment))
		}
		if sel.Name != "" {
			details = append(details, "name", sel.Name)
		}
		if !sel.Before.IsZero() {
			details = append(details, "before", sel.Before.UTC().Format(time.RFC3339Nano))
		}
	default:
		return Revoked{}, wrongField("selection", "say what to revoke: a token, a connection or a client")
	}
	return e.revoke(ctx, e.act(by, action, subject, details...), sel)
}

// narrow resolves the client of a selection. An id that is of one environment
// alone means that environment.
func (e *Engine) narrow(sel *Selection) error {
	c, err := e.named(sel.Client)
	if err != nil {
		return err
	}
	if sel.Environment == "" {
		sel.Environment = c.onlyEnvironment(sel.Client)
	}
	if _, ok := c.WireID(sel.Environment); !ok && sel.Environment != "" {
		return wrongField("environment", fmt.Sprintf("client %s has no environment %q", c.ID, sel.Environment))
	}
	if sel.Before.After(e.clock.now()) {
		return wrongField("before", "this time is in the future: tokens that don't exist yet can't be revoked; disable the client instead")
	}
	sel.Client = c.ID
	return nil
}

// onlyEnvironment is the environment that id belongs to, or "" where it names
// the client in several.
func (c *Client) onlyEnvironment(id ClientID) (only Environment) {
	for env, wire := range c.IDs {
		if wire != id {
			continue
		}
		if only != "" {
			return ""
		}
		only = env
	}
	if len(c.IDs) == 1 {
		return ""
	}
	return only
}

func (e *Engine) revoke(ctx context.Context, act Act, sel Selection) (Revoked, error) {
	out, err := e.store.Revoke(ctx, act, sel)
	if errors.Is(err, ErrNotFound) {
		return out, &Error{Code: NotFound, Reason: ReasonUnknownToken, Message: fmt.Sprintf("%s is not on the ledger: see `gatehouse token list`", act.Subject), Err: err}
	} else if err != nil {
		return out, fmt.Errorf("revoking: %w", err)
	}
	e.settle(ctx)
	return out, nil
}

// RevokeToken ends the token that the caller holds in its hand.
func (e *Engine) RevokeToken(ctx context.Context, by Actor, tok secret.Text) (Revoked, error) {
	row, err := e.rowOf(ctx, tok)
	if err != nil {
		return Revoked{}, err
	}
	if err := e.onLedger(ctx, row); err != nil {
		return Revoked{}, err
	}
	return e.Revoke(ctx, by, Selection{Token: row.ID})
}

// RevokeByClient is RFC 7009: a client ends one of its own tokens. A token that
// is not its own, or none, changes nothing and is no error, so that nobody
// learns of others' tokens.
func (e *Engine) RevokeByClient(ctx context.Context, by Actor, who *Principal, tok secret.Text) error {
	row, err := e.rowOf(ctx, tok)
	if err != nil {
		if refusal := AsError(err); refusal.Code == NotFound {
			return nil
		}
		return err
	}
	if row.Client != who.Client.ID || row.Environment != who.Environment || row.Kind == AccessCode {
		return nil
	}
	if err := e.onLedger(ctx, row); err != nil {
		return err
	}
	by.ID = string(who.Client.ID)
	_, err = e.Revoke(ctx, by, Selection{Token: row.ID})
	return err
}

// Tokens lists rows of the ledger, newest first, without access codes unless
// q.Kinds asks for them. Client may be any id of the client.
func (e *Engine) Tokens(ctx context.Context, q TokenQuery) ([]TokenRecord, error) {
	if q.Client != "" {
		c, err := e.named(q.Client)
		if err != nil {
			return nil, err
		}
		if q.Environment == "" {
			q.Environment = c.onlyEnvironment(q.Client)
		}
		q.Client = c.ID
	}
	if q.Kinds == nil {
		q.Kinds = []TokenKind{AccessToken, RefreshToken}
	}
	if q.Now.IsZero() {
		q.Now = e.clock.now()
	}
	wanted, limit := q.Status, q.Limit
	if wanted == StatusRevoked {
		q.Status = "" // the store doesn't count what is spent, or was cut off with its client
	}
	var out []TokenRecord
	for {
		rows, err := e.store.Tokens(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("listing tokens: %w", err)
		}
		for i := range rows {
			row := e.withCutOff(&rows[i])
			if wanted == "" || e.statusAt(row, q.Now) == wanted {
				out = append(out, *row)
			}
		}
		if len(out) >= limit {
			return out[:limit], nil
		}
		if len(rows) < q.Limit {
			return out, nil
		}
		q.Before = rows[len(rows)-1].ID
	}
}

// withCutOff marks a row revoked by what was revoked wholesale, and one that
// was used up.
func (e *Engine) withCutOff(r *TokenRecord) *TokenRecord {
	if !r.RevokedAt.IsZero() {
		return r
	}
	at := r.SpentAt // of no use any more either
	if at.IsZero() {
		at = e.state.cutOffAt(r)
	}
	if c := e.state.client(r.Client); at.IsZero() && c != nil && c.State == Deleted {
		at = c.RevokedBefore[r.Environment]
		if at.IsZero() {
			at = r.IssuedAt
		}
	}
	if at.IsZero() {
		return r
	}
	marked := *r
	marked.RevokedAt = at
	return &marked
}

// StatusOf is what a list shows of a row that Tokens returned.
func (e *Engine) StatusOf(r *TokenRecord) TokenStatus {
	return e.statusAt(e.withCutOff(r), e.clock.now())
}

func (e *Engine) statusAt(r *TokenRecord, now time.Time) TokenStatus {
	switch {
	case !r.RevokedAt.IsZero():
		return StatusRevoked
	case !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt):
		return StatusExpired
	}
	return StatusActive
}

// WireID is the client id of a row, as its client uses it.
func (e *Engine) WireID(r *TokenRecord) ClientID {
	if c := e.state.client(r.Client); c != nil {
		if id, ok := c.WireID(r.Environment); ok {
			return id
		}
	}
	return r.Client
}

// Audit lists events older than before, newest first; 0 begins with the newest.
func (e *Engine) Audit(ctx context.Context, before int64, limit int) ([]Event, error) {
	return e.store.Audit(ctx, before, limit)
}

// CheckAudit recomputes every hash chain of the ledger and the audit events.
func (e *Engine) CheckAudit(ctx context.Context) (*AuditReport, error) {
	report, err := e.store.CheckAudit(ctx)
	if err == nil {
		slices.Sort(report.Faults)
	}
	return report, err
}
