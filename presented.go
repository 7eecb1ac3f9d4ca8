package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// replayGrace is how long after the first use of a code or rotating refresh
// token a second one is taken for a lost answer or a race, which gets nothing
// and ends nothing.
const replayGrace = 10 * time.Second

// proveRefresh finds the refresh token and checks that the caller may use it.
func (e *Engine) proveRefresh(ctx context.Context, by Actor, r RefreshRequest) (*proven, error) {
	var who *Principal
	if r.Proof != nil {
		var err error
		if who, err = e.ProveClient(ctx, by, *r.Proof); err != nil {
			return nil, err
		}
	}
	row, err := e.findOpaque(ctx, r.Token.Reveal())
	if err != nil {
		return nil, asGrant(err)
	}
	client, err := e.client(ctx, row.Client)
	if err != nil {
		return nil, asGrant(err)
	}
	reason := e.unusable(row, RefreshToken, r.Dialect, client)
	switch {
	case reason != "":
	case who == nil:
		who = &Principal{Client: client, Environment: row.Environment}
	case who.Client.ID != row.Client:
		reason = ReasonWrongClient
	case who.Environment != row.Environment:
		reason = ReasonWrongEnvironment
	case client.Dialect == OAuth2 && !client.Refresh:
		return nil, &Error{Code: UnauthorizedClient, Reason: ReasonNotAllowed, Client: client.ID, Message: "this client may not use refresh tokens"}
	}
	if reason == "" && !row.SpentAt.IsZero() {
		reason, err = e.replayed(ctx, by, row)
	}
	if reason != "" || err != nil {
		return nil, refusedGrant(row, reason, err)
	}
	return &proven{Principal: *who, uses: row}, nil
}

// proveCode finds the access code and checks that the caller may exchange it.
// Wrong secrets and wrong connections leave the code as it was.
func (e *Engine) proveCode(ctx context.Context, by Actor, r ExchangeRequest) (*proven, error) {
	row, err := e.findOpaque(ctx, r.Code.Reveal())
	if err != nil {
		return nil, asGrant(err)
	}
	client, err := e.client(ctx, row.Client)
	if err != nil {
		return nil, asGrant(err)
	}
	wire, _ := client.WireID(row.Environment)
	who, err := e.ProveClient(ctx, by, ClientProof{Dialect: r.Dialect, ClientID: wire, Secret: r.Secret})
	if err != nil {
		return nil, err
	}
	reason := e.unusable(row, AccessCode, r.Dialect, client)
	switch {
	case reason != "":
	case who.Environment != row.Environment:
		reason = ReasonWrongEnvironment
	case r.Connection != row.Grant.String():
		reason = ReasonWrongConnection
	case !row.SpentAt.IsZero():
		reason, err = e.replayed(ctx, by, row)
	}
	if reason != "" || err != nil {
		return nil, refusedGrant(row, reason, err)
	}
	connection, err := e.store.Connection(ctx, row.Grant)
	if err != nil {
		return nil, fmt.Errorf("reading connection %s: %w", row.Grant, err)
	}
	return &proven{Principal: *who, uses: row, connection: connection}, nil
}

// unusable says why a code or refresh token can't be used, or "".
func (e *Engine) unusable(row *TokenRecord, kind TokenKind, dialect string, client *Client) Reason {
	switch {
	case row.Kind != kind:
		return ReasonWrongKind
	case row.Dialect != dialect || client.Dialect != dialect:
		return ReasonOtherDialect
	case client.State == Disabled:
		return ReasonClientDisabled
	case client.State == Deleted:
		return ReasonClientDeleted
	case !row.RevokedAt.IsZero() || !e.state.cutOffAt(row).IsZero():
		return ReasonRevoked
	case !row.ExpiresAt.IsZero() && !e.clock.now().Before(row.ExpiresAt):
		return ReasonExpired
	}
	return ""
}

// replayed handles the second use of a spent token by its proven owner.
func (e *Engine) replayed(ctx context.Context, by Actor, row *TokenRecord) (Reason, error) {
	if e.clock.now().Sub(row.SpentAt) <= replayGrace {
		return ReasonSpent, nil
	}
	by.ID = string(row.Client)
	act := e.act(by, "grant.replayed", row.Grant.String(), "token_id", row.ID.String(), "kind", string(row.Kind))
	if _, err := e.store.Revoke(ctx, act, Selection{Grant: row.Grant}); err != nil {
		return ReasonReplayed, fmt.Errorf("revoking a replayed grant: %w", err)
	}
	e.settle(ctx)
	return ReasonReplayed, nil
}

func refusedGrant(row *TokenRecord, reason Reason, err error) error {
	if err != nil {
		return err
	}
	return &Error{Code: InvalidGrant, Reason: reason, Token: row.ID, Client: row.Client}
}

// asGrant turns the refusal of a token into that of a grant.
func asGrant(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Code == InvalidToken {
		g := *e
		g.Code = InvalidGrant
		return &g
	}
	return err
}
