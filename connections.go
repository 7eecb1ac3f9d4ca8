package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A LinkResult is what an app gets when one of its end users has agreed.
type LinkResult struct {
	Connection    Connection
	Client        *Client
	ClientID      ClientID // as on the wire
	AccessCode    secret.Text
	UserSecret    secret.Text
	CodeExpiresAt time.Time
}

// CreateConnection links a user, whom the caller has authenticated, to a client,
// and makes the access code that the client exchanges for a token.
func (e *Engine) CreateConnection(ctx context.Context, by Actor, id ClientID, env Environment, user string, key *IdempotencyKey) (*LinkResult, error) {
	return once(e, ctx, by, key, linkAnswer{e}, func(replay *replayOf[*LinkResult]) (*LinkResult, error) {
		client, err := e.enabledIn(id, env)
		if err != nil {
			return nil, err
		}
		if client.Dialect == OAuth2 {
			return nil, wrongField("client_id", "users of standard OAuth 2.0 agree at /oauth2/authorize: a code needs the client's redirect URI and PKCE challenge")
		}
		policy := (*e.policies.Load())[client.Dialect]
		if policy == nil || policy.CodeLife == 0 {
			return nil, wrongField("client_id", fmt.Sprintf("clients of %s have no connections: their dialect has no exchange of access codes", client.Dialect))
		}
		out, code, err := e.newLink(client, env, user, policy)
		if err != nil {
			return nil, err
		}
		out.UserSecret = token.NewSecret(token.Prefix(string(env), token.UserSecret))
		digest := e.digester.Digest(digestUserSecret, out.UserSecret)
		out.Connection.UserSecret = digest[:]
		out.AccessCode = e.opaque(&code, token.Prefix(string(env), token.AccessCode))
		return out, e.link(ctx, by, out, code, replay)
	})
}

// newLink makes a connection of a user and the row of its code, which has no
// digest yet.
func (e *Engine) newLink(client *Client, env Environment, user string, policy *Policy) (*LinkResult, TokenRecord, error) {
	if user == "" || !printable(user, 200) {
		return nil, TokenRecord{}, wrongField("user", "a user is named by an id of 1 to 200 printable characters")
	}
	now := e.clock.now().Truncate(time.Millisecond)
	wire, _ := client.WireID(env)
	out := &LinkResult{Client: client, ClientID: wire}
	out.Connection = Connection{
		ID: token.NewID(now), Client: client.ID, Environment: env, User: user, Token: token.NewID(now), CreatedAt: now,
	}
	code := TokenRecord{
		ID: token.NewID(now), Kind: AccessCode, Client: client.ID, Environment: env, Dialect: client.Dialect,
		Scopes: client.Scopes, User: user, Grant: out.Connection.ID, IssuedAt: now,
		ExpiresAt: now.Truncate(time.Second).Add(policy.CodeLife),
	}
	out.CodeExpiresAt = code.ExpiresAt
	return out, code, nil
}

// link records a connection and its code.
func (e *Engine) link(ctx context.Context, by Actor, out *LinkResult, code TokenRecord, replay *replayOf[*LinkResult]) error {
	c := &out.Connection
	act := e.act(by, "connection.create", c.ID.String(), "client_id", string(c.Client), "environment", string(c.Environment), "user", c.User)
	var err error
	if act.Replay, err = replay.seal(out); err != nil {
		return err
	}
	if err := e.store.Link(ctx, act, c, &Grant{At: c.CreatedAt, Tokens: []TokenRecord{code}}); err != nil {
		return fmt.Errorf("recording a connection: %w", err)
	}
	return nil
}

// Connections lists connections, newest first. Client may be any id of the client.
func (e *Engine) Connections(ctx context.Context, q ConnectionQuery) ([]Connection, error) {
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
	return e.store.Connections(ctx, q)
}

// Connection returns one.
func (e *Engine) Connection(ctx context.Context, id ConnectionID) (*Connection, error) {
	c, err := e.store.Connection(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, noConnection(id, err)
	} else if err != nil {
		return nil, fmt.Errorf("reading connection %s: %w", id, err)
	}
	return c, nil
}

func noConnection(id ConnectionID, err error) error {
	return &Error{Code: NotFound, Reason: ReasonMalformed, Field: "connection_id", Message: fmt.Sprintf("there is no connection %s: see `gatehouse connection list`", id), Err: err}
}

// Delink ends a connection and every token of it.
func (e *Engine) Delink(ctx context.Context, by Actor, id ConnectionID) (Revoked, error) {
	c, err := e.Connection(ctx, id)
	if err != nil {
		return Revoked{}, err
	}
	return e.revoke(ctx, e.act(by, "connection.delink", id.String(), "client_id", string(c.Client), "environment", string(c.Environment)), Selection{Grant: id})
}

// DelinkByToken is a client's own delinking: it shows the connection's access
// token, its own secret and the user's. Any of them wrong, and nothing changes.
func (e *Engine) DelinkByToken(ctx context.Context, by Actor, dialect string, tok, clientSecret, userSecret secret.Text) error {
	c, err := e.Validate(ctx, tok, Requirement{Dialect: dialect})
	if err != nil {
		return err
	}
	who, err := e.ProveClient(ctx, by, ClientProof{Dialect: dialect, ClientID: c.ClientID, Secret: clientSecret})
	if err != nil {
		return err
	}
	if who.Client.ID != c.Client || who.Environment != c.Environment {
		return c.fails(InvalidClient, ReasonWrongEnvironment)
	}
	connection, err := e.connectionOf(ctx, c, userSecret)
	if err != nil {
		return err
	}
	by.ID = string(who.Client.ID)
	_, err = e.Delink(ctx, by, connection.ID)
	return err
}

// linkAnswer replays the making of a connection.
type linkAnswer struct{ e *Engine }

func (linkAnswer) take(l *LinkResult) answer {
	return answer{Client: l.Client.ID, ID: l.Connection.ID, Secrets: []answerSecret{
		{Text: l.AccessCode.Reveal()}, {Text: l.UserSecret.Reveal()},
	}}
}

func (f linkAnswer) restore(ctx context.Context, a answer) (*LinkResult, error) {
	client, err := f.e.named(a.Client)
	if err != nil {
		return nil, err
	}
	c, err := f.e.store.Connection(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("reading connection %s: %w", a.ID, err)
	}
	if len(a.Secrets) != 2 {
		return nil, errors.New("an answer to replay is damaged")
	}
	wire, _ := client.WireID(c.Environment)
	out := &LinkResult{Connection: *c, Client: client, ClientID: wire, AccessCode: secret.New(a.Secrets[0].Text), UserSecret: secret.New(a.Secrets[1].Text)}
	if p := (*f.e.policies.Load())[client.Dialect]; p != nil {
		out.CodeExpiresAt = c.CreatedAt.Truncate(time.Second).Add(p.CodeLife)
	}
	return out, nil
}
