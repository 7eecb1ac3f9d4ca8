package gatehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// An IssueRequest asks for a token with a client's own credentials.
type IssueRequest struct {
	Proof     ClientProof
	Life      time.Duration // 0 asks for none; whole seconds
	Name      string
	Scopes    []string // nil asks for none
	Resources []string // RFC 8707
}

// A RefreshRequest asks for a token with a refresh token.
type RefreshRequest struct {
	Dialect   string
	Token     secret.Text
	Proof     *ClientProof // nil where the dialect's clients don't prove themselves here
	Scopes    []string     // nil asks for those of the refresh token
	Resources []string
}

// An ExchangeRequest asks for a token with an access code.
type ExchangeRequest struct {
	Dialect    string
	Code       secret.Text
	Connection string // as sent; must be the one of the code
	Secret     secret.Text
}

// Issued is what a grant gave. Its tokens are on the ledger.
type Issued struct {
	Access        secret.Text
	Refresh       secret.Text // zero where none is handed out
	Record        TokenRecord // of the access token
	RefreshRecord *TokenRecord
	Client        *Client
	ClientID      ClientID // as on the wire
	Connection    *Connection
	Life          time.Duration // of the access token; 0 is permanent
	RefreshLife   time.Duration
	Limit         *LimitState // nil where no limit applies
}

// Issue gives a client a token for its own credentials.
func (e *Engine) Issue(ctx context.Context, by Actor, r IssueRequest) (*Issued, error) {
	return e.grant(ctx, by, ask{life: r.Life, name: r.Name, scopes: r.Scopes, resources: r.Resources},
		func() (*proven, error) {
			who, err := e.ProveClient(ctx, by, r.Proof)
			if err != nil {
				return nil, err
			}
			return &proven{Principal: *who}, nil
		})
}

// IssueFor gives an operator a token of a client.
func (e *Engine) IssueFor(ctx context.Context, by Actor, id ClientID, env Environment, life time.Duration, name string, scopes []string, key *IdempotencyKey) (*Issued, error) {
	return once(e, ctx, by, key, issuedAnswer{e}, func(replay *replayOf[*Issued]) (*Issued, error) {
		return e.grant(ctx, by, ask{life: life, name: name, scopes: scopes, replay: replay},
			func() (*proven, error) {
				client, err := e.enabledIn(id, env)
				if err != nil {
					return nil, err
				}
				return &proven{Principal: Principal{Client: client, Environment: env}}, nil
			})
	})
}

// Refresh gives a token for a refresh token. A rotating one is spent; a second
// use of it later than replayGrace after the first ends its whole family (RFC
// 9700 §4.14.2), since one of its two users has stolen it.
func (e *Engine) Refresh(ctx context.Context, by Actor, r RefreshRequest) (*Issued, error) {
	return e.grant(ctx, by, ask{scopes: r.Scopes, resources: r.Resources},
		func() (*proven, error) { return e.proveRefresh(ctx, by, r) })
}

// Exchange gives the token of a connection for its access code, once.
func (e *Engine) Exchange(ctx context.Context, by Actor, r ExchangeRequest) (*Issued, error) {
	return e.grant(ctx, by, ask{},
		func() (*proven, error) { return e.proveCode(ctx, by, r) })
}

// proven is what the first step of a grant finds out: who asks, and by what
// right.
type proven struct {
	Principal
	uses       *TokenRecord // the code or refresh token presented
	connection *Connection
}

func (p *proven) verb() Verb {
	switch {
	case p.uses == nil:
		return VerbIssue
	case p.uses.Kind == AccessCode:
		return VerbExchange
	default:
		return VerbRefresh
	}
}

// ask is what the caller would like.
type ask struct {
	life      time.Duration
	name      string
	scopes    []string
	resources []string
	replay    *replayOf[*Issued]
}

// grant is the one pipeline of Issue, Refresh and Exchange: prove, apply policy,
// mint, record. A token leaves it only after the ledger has it.
func (e *Engine) grant(ctx context.Context, by Actor, want ask, prove func() (*proven, error)) (*Issued, error) {
	const tries = 3
	for try := 1; ; try++ {
		p, err := prove()
		if err != nil {
			return nil, err
		}
		policy, ok := (*e.policies.Load())[p.Client.Dialect]
		if !ok {
			return nil, fmt.Errorf("client %s: its dialect %s is not loaded", p.Client.ID, p.Client.Dialect)
		}
		plan, err := e.plan(ctx, p, policy, want)
		if err != nil {
			return nil, err
		}
		issued, g := e.mint(p, policy, plan)
		if by.Kind != ByClient {
			if g.Act, err = e.operatorsAct(by, issued, policy, want.replay); err != nil {
				return nil, err
			}
		}
		if err = e.record(ctx, issued, g, policy); err == nil {
			return issued, nil
		}
		// Everything of this millisecond was revoked while the token was made:
		// a new one is not of that time.
		if errors.Is(err, ErrCutoff) && try < tries {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		return nil, e.notRecorded(err, p)
	}
}

// record puts a grant on the ledger and signs its JWT, while the ledger waits for
// its disk if it can. What was recorded and could not be signed nobody has.
func (e *Engine) record(ctx context.Context, issued *Issued, g *Grant, policy *Policy) error {
	var unsigned error
	g.Meanwhile = func() { unsigned = e.sign(issued, policy) }
	if err := e.store.Record(ctx, g); err != nil {
		return err
	}
	return cmp.Or(unsigned, e.sign(issued, policy))
}

// operatorsAct is the event of a token that an operator had made. The answer to
// replay holds the token, so that is made first.
func (e *Engine) operatorsAct(by Actor, issued *Issued, policy *Policy, replay *replayOf[*Issued]) (*Act, error) {
	if err := e.sign(issued, policy); err != nil {
		return nil, err
	}
	act := e.act(by, "token.issue", issued.Record.ID.String(), "client_id", string(issued.Client.ID), "environment", string(issued.Record.Environment))
	var err error
	act.Replay, err = replay.seal(issued)
	return &act, err
}

// notRecorded tells the caller why the ledger refused a grant.
func (e *Engine) notRecorded(err error, p *proven) error {
	var spent *SpentError
	refusal := &Error{Code: InvalidClient, Client: p.Client.ID, Err: err}
	if p.uses != nil {
		refusal.Code, refusal.Token = InvalidGrant, p.uses.ID
	}
	switch {
	case errors.As(err, &spent):
		refusal.Reason = ReasonSpent
	case errors.Is(err, ErrRevoked), errors.Is(err, ErrCutoff):
		refusal.Reason = ReasonRevoked
	case errors.Is(err, ErrClientState):
		refusal.Reason = ReasonClientDisabled
	case errors.Is(err, ErrSecretRetired):
		refusal.Reason = ReasonRetiredSecret
	default:
		return fmt.Errorf("recording a grant: %w", err)
	}
	return refusal
}
