package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
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

// replayGrace is how long after the first use of a code or rotating refresh
// token a second one is taken for a lost answer or a race, which gets nothing
// and ends nothing.
const replayGrace = 10 * time.Second

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
		plan, err := e.plan(p, policy, want)
		if err != nil {
			return nil, err
		}
		issued, g, err := e.mint(p, policy, plan)
		if err != nil {
			return nil, err
		}
		if by.Kind != ByClient {
			act := e.act(by, "token.issue", issued.Record.ID.String(), "client_id", string(p.Client.ID), "environment", string(p.Environment))
			if act.Replay, err = want.replay.seal(issued); err != nil {
				return nil, err
			}
			g.Act = &act
		}
		err = e.store.Record(ctx, g)
		if err == nil {
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

// plan is what a grant will mint.
type plan struct {
	life      time.Duration // 0 is permanent
	name      string
	scopes    []string
	audience  []string
	refresh   bool // hand out a refresh token
	spend     bool // the presented token is used up
	limit     *LimitState
	accessID  TokenID // allotted earlier; zero makes one
	permanent bool
}

// plan applies the policy and the client's own bounds to what was asked.
func (e *Engine) plan(p *proven, policy *Policy, want ask) (*plan, error) {
	out := &plan{name: want.name, permanent: policy.Permanent}
	var err error
	if out.scopes, err = grantedScopes(p, want.scopes); err != nil {
		return nil, err
	}
	if out.audience, err = grantedAudience(p, want.resources); err != nil {
		return nil, err
	}
	if want.life < 0 || want.life%time.Second != 0 {
		return nil, &Error{Code: InvalidRequest, Reason: ReasonMalformed, Field: "life", Message: "the life of a token is a whole number of seconds greater than 0", Client: p.Client.ID}
	}
	if !policy.Permanent {
		out.life = policy.Life
		longest := max(policy.Longest, policy.Life)
		if p.Client.MaxTTL > 0 {
			longest = p.Client.MaxTTL
		}
		if want.life > 0 {
			out.life = want.life
		}
		out.life = min(out.life, longest)
	}
	if p.uses != nil {
		out.spend = p.uses.Kind == AccessCode || policy.Refresh == RefreshRotate
	}
	if p.connection != nil {
		out.accessID = p.connection.Token
	}
	switch policy.Refresh {
	case RefreshReuse:
		out.refresh = p.uses == nil
	case RefreshRotate:
		out.refresh = p.Client.Dialect != OAuth2 || p.Client.Refresh
	}
	out.limit, err = e.issuance.take(p.Client, p.Environment, p.verb(), policy, e.clock.now())
	return out, err
}

// grantedScopes is all that the client has, where none is asked; else what is
// asked, which must be within what the client, and the presented token, have.
func grantedScopes(p *proven, asked []string) ([]string, error) {
	has := p.Client.Scopes
	if p.uses != nil {
		has = slices.DeleteFunc(slices.Clone(p.uses.Scopes), func(s string) bool { return !slices.Contains(p.Client.Scopes, s) })
	}
	if asked == nil {
		return has, nil
	}
	out := make([]string, 0, len(asked))
	for _, s := range asked {
		if !slices.Contains(has, s) {
			return nil, &Error{Code: InvalidScope, Reason: ReasonScope, Field: "scope", Message: "a scope was asked for that this client does not have", Client: p.Client.ID}
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// grantedAudience is what is asked by resource indicators (RFC 8707 §2), on
// refresh within what the first token had.
func grantedAudience(p *proven, resources []string) ([]string, error) {
	var had []string
	if p.uses != nil {
		had = p.uses.Audience
	}
	if resources == nil {
		return had, nil
	}
	var out []string
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || u.Fragment != "" || strings.ContainsAny(r, "# ") ||
			had != nil && !slices.Contains(had, r) {
			return nil, &Error{Code: InvalidTarget, Reason: ReasonWrongAudience, Field: "resource", Message: "a resource is an absolute URI without a fragment, and on refresh one that the first token had", Client: p.Client.ID}
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// mint makes the tokens and their rows.
func (e *Engine) mint(p *proven, policy *Policy, plan *plan) (*Issued, *Grant, error) {
	now := e.clock.now().Truncate(time.Millisecond)
	wire, _ := p.Client.WireID(p.Environment)
	access := TokenRecord{
		ID: plan.accessID, Kind: AccessToken, Client: p.Client.ID, Environment: p.Environment, Dialect: p.Client.Dialect,
		Name: plan.name, Scopes: plan.scopes, Audience: plan.audience, Secret: p.Secret, IssuedAt: now,
	}
	if access.ID.IsZero() {
		access.ID = token.NewID(now)
	}
	if !plan.permanent {
		access.ExpiresAt = now.Truncate(time.Second).Add(plan.life)
	}
	if p.uses != nil {
		access.Parent, access.Grant, access.Secret, access.User = p.uses.ID, p.uses.Grant, p.uses.Secret, p.uses.User
	}
	issued := &Issued{Client: p.Client, ClientID: wire, Connection: p.connection, Life: plan.life, Limit: plan.limit}
	g := &Grant{At: now, Proof: p.Principal.Secret}
	if p.uses != nil {
		g.Uses, g.Spend = p.uses.ID, plan.spend
	}
	if plan.refresh {
		refresh := access
		refresh.ID, refresh.Kind = token.NewID(now), RefreshToken
		refresh.ExpiresAt = now.Truncate(time.Second).Add(policy.RefreshLife)
		if refresh.Grant.IsZero() {
			refresh.Grant = refresh.ID
		}
		access.Grant = refresh.Grant
		issued.Refresh = e.opaque(&refresh, token.Prefix(string(p.Environment), token.RefreshToken))
		issued.RefreshRecord, issued.RefreshLife = &refresh, policy.RefreshLife
		g.Tokens = append(g.Tokens, refresh)
	}
	var err error
	if issued.Access, err = e.mintAccess(p, policy, wire, &access); err != nil {
		return nil, nil, err
	}
	issued.Record = access
	g.Tokens = append(g.Tokens, access)
	return issued, g, nil
}

func (e *Engine) mintAccess(p *proven, policy *Policy, wire ClientID, r *TokenRecord) (secret.Text, error) {
	if policy.JWT == nil {
		prefix, ok := policy.Prefix[r.Environment]
		if !ok {
			prefix = token.Prefix(string(r.Environment), token.AccessToken)
		}
		return e.opaque(r, prefix), nil
	}
	key, err := e.ring.Load().Signing(token.Realm{
		Environment: string(r.Environment), Format: policy.Dialect, Algorithm: policy.Algorithm,
	}, r.IssuedAt)
	if err != nil {
		return secret.Text{}, fmt.Errorf("minting: %w", err)
	}
	tok, err := policy.JWT.Mint(key, &Minting{
		Record: *r, ClientID: wire, Issuer: e.Issuer(r.Environment), KeyIndex: key.Index, Fields: p.Client.Fields,
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("minting: %w", err)
	}
	return tok, nil
}

// opaque makes an opaque token for r and puts its digest there.
func (e *Engine) opaque(r *TokenRecord, prefix string) secret.Text {
	tok := token.NewOpaque(prefix, r.ID)
	digest := e.digester.Digest(digestToken, tok)
	r.Digest = digest[:]
	return tok
}

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

func equalDigest(stored []byte, d credential.Digest) bool {
	return len(stored) == len(d) && credential.Equal(credential.Digest(stored), d)
}
