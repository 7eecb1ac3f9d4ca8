package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Claims are what a valid access token says. They are shared between
// goroutines: don't change them.
type Claims struct {
	Token       TokenID
	Kind        TokenKind
	Client      ClientID // the client as a whole
	ClientID    ClientID // its wire id, decoded
	Environment Environment
	Dialect     string
	Scopes      []string
	Scope       string // Scopes, joined by spaces
	Subject     string
	Audience    []string
	Issuer      string
	IssuedAt    time.Time
	ExpiresAt   time.Time // zero is never
	User        string
	Grant       GrantID

	key   string     // that signed it, or "" for an opaque token or an arrival
	until int64      // of an arrival: Unix nanoseconds from which on it isn't taken any more; 0 is none
	seen  *sightings // of an arrival on a node
}

// A Requirement is what a resource asks of a token. Zero fields ask nothing.
type Requirement struct {
	Environment Environment
	Scopes      []string
	Audience    string
	Dialect     string
	Client      ClientID // whole or wire
}

// A Verifier tells whether a token stands. Nodes, gates and the middleware all
// run this code; they differ in where keys, state and opaque tokens come from.
type Verifier struct {
	clock    *clock
	state    *state
	cache    *verdictCache
	ring     atomic.Pointer[token.Ring]
	policies atomic.Pointer[map[string]*Policy]
	issuer   func(Environment) string
	find     func(ctx context.Context, tok string) (*TokenRecord, error) // the row of an opaque token of any kind, or a refusal
	unknown  func(context.Context, ClientID) (*Client, error)            // a client that the journal hasn't told of
	// elsewhere finds what another system made. ours says why it is none of ours.
	elsewhere func(ctx context.Context, tok string, ours error) (*arrival, error)
	maxLag    time.Duration
	lagOpen   bool
}

const (
	// unjudged is no position of the journal.
	unjudged = -1
	// opaqueRecheck bounds how long an opaque token is trusted without its row.
	opaqueRecheck = 5 * time.Minute
	// expiredKept is how long an expired token can be told from a false one.
	expiredKept = 24 * time.Hour
)

// Validate returns what tok says if it stands and meets want. The codes of its
// errors are MissingToken, InvalidToken, ExpiredToken (ours, and expired no
// longer than 24 hours ago), InsufficientScope, and Unavailable where it can't
// know. Nothing is allocated for a token that was seen before.
func (v *Verifier) Validate(ctx context.Context, tok secret.Text, want Requirement) (*Claims, error) {
	if tok.IsZero() {
		return nil, Refuse(MissingToken, ReasonMalformed, "no access token")
	}
	now := v.clock.wall()
	if !v.lagOpen && v.state.lag(now) > v.maxLag {
		return nil, &Error{Code: Unavailable, Reason: ReasonStale, Message: "revocations can't be known now; try again", RetryAfter: time.Second}
	}
	c, err := v.recognise(ctx, tok.Reveal(), v.clock.nanos(now))
	if err != nil {
		return nil, err
	}
	if err := c.meets(want); err != nil {
		return nil, err
	}
	return c, nil
}

// recognise returns the claims of a token that stands at now, in Unix
// nanoseconds.
func (v *Verifier) recognise(ctx context.Context, tok string, now int64) (*Claims, error) {
	if len(tok) > token.MaxSize {
		return nil, Refuse(InvalidToken, ReasonMalformed, "")
	}
	known, hash := v.cache.get(tok)
	if known == nil || known.until != 0 && known.until <= now {
		c, err := v.examine(ctx, tok)
		if err != nil {
			return nil, err
		}
		known = &verdict{token: tok, hash: hash, claims: *c}
		known.asOf.Store(unjudged)
		if c.key == "" {
			known.until = now + int64(opaqueRecheck)
			if c.until != 0 {
				known.until = min(known.until, c.until)
			}
		}
		v.cache.put(known)
	}
	c := &known.claims
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.UnixNano() <= now {
		v.clock.atLeast(time.Unix(0, now)) // said once, it stays so
		v.cache.drop(known)
		return nil, v.refuse(c, ReasonExpired)
	}
	if known.asOf.Load() != v.state.seq.Load() {
		reason, asOf := v.state.judge(c)
		if reason == "" && !v.verifies(c.key) {
			reason = ReasonUnknownKey
		}
		if reason != "" {
			return nil, v.refuse(c, reason)
		}
		known.asOf.Store(asOf)
	}
	if c.seen != nil {
		c.seen.add(now)
	}
	return c, nil
}

// verifies reports whether a key that was good when a token was examined is so
// still: it may have been compromised.
func (v *Verifier) verifies(key string) bool {
	if key == "" {
		return true
	}
	_, err := v.ring.Load().Verifying(key, v.clock.now())
	return err == nil
}

// refuse tells the owner whose token it was and why it fails; the caller hears
// InvalidToken, or ExpiredToken where that is the only fault.
func (v *Verifier) refuse(c *Claims, reason Reason) *Error {
	e := &Error{Code: InvalidToken, Reason: reason, Token: c.Token, Client: c.ClientID}
	if reason != ReasonExpired || v.clock.now().Sub(c.ExpiresAt) > expiredKept {
		return e
	}
	if revoked, _ := v.state.judge(c); revoked == "" {
		e.Code = ExpiredToken
	}
	return e
}

// examine checks a token that isn't remembered: everything but what changes
// with time.
func (v *Verifier) examine(ctx context.Context, tok string) (*Claims, error) {
	ours := v.examineOpaque
	if strings.Contains(tok, ".") {
		ours = v.examineJWT
	}
	c, err := ours(ctx, tok)
	if err != nil && nobodys(err) {
		return v.examineArrival(ctx, tok, err)
	}
	return c, err
}

func (v *Verifier) examineJWT(ctx context.Context, tok string) (*Claims, error) {
	now := v.clock.now()
	verified, err := v.ring.Load().Verify(tok, now)
	if err != nil {
		return nil, &Error{Code: InvalidToken, Reason: reasonOf(err), Err: err}
	}
	realm := verified.Key.Realm
	policy := (*v.policies.Load())[realm.Format]
	if policy == nil || policy.JWT == nil || policy.Algorithm != realm.Algorithm {
		return nil, Refuse(InvalidToken, ReasonWrongType, "")
	}
	m, err := policy.JWT.Read(verified)
	if err != nil {
		return nil, &Error{Code: InvalidToken, Reason: ReasonWrongType, Err: err}
	}
	times, err := token.ReadTimes(verified.Claims)
	if err != nil {
		return nil, &Error{Code: InvalidToken, Reason: ReasonMalformed, Err: err}
	}
	if err := times.Check(now, token.ClockSkew); errors.Is(err, token.ErrNotYet) {
		ahead := max(times.IssuedAt.Sub(now), times.NotBefore.Sub(now)).Round(time.Millisecond)
		return nil, &Error{Code: InvalidToken, Reason: ReasonNotYetValid, Token: m.Record.ID, Client: m.ClientID,
			Err: fmt.Errorf("%w: its times are %s ahead of this clock, %s are let pass", err, ahead, token.ClockSkew)}
	}
	env := Environment(realm.Environment)
	if m.Issuer != "" && m.Issuer != v.issuer(env) {
		return nil, Refuse(InvalidToken, ReasonWrongIssuer, "")
	}
	client, err := v.client(ctx, m.ClientID)
	if err != nil {
		return nil, err
	}
	if wire, ok := client.WireID(env); !ok || wire != m.ClientID || client.Dialect != realm.Format {
		return nil, Refuse(InvalidToken, ReasonUnknownClient, "")
	}
	r := m.Record
	r.Kind, r.Client, r.Environment, r.Dialect = AccessToken, client.ID, env, realm.Format
	// The id knows the milliseconds that "iat" leaves out.
	r.IssuedAt, r.ExpiresAt = r.ID.Time(), times.ExpiresAt
	if r.ExpiresAt.IsZero() && !policy.Permanent {
		return nil, Refuse(InvalidToken, ReasonMalformed, "")
	}
	if !m.HasScope {
		r.Scopes = client.Scopes
	}
	c := v.claims(client, &r)
	c.key = verified.Key.ID
	return c, nil
}

func (v *Verifier) examineOpaque(ctx context.Context, tok string) (*Claims, error) {
	r, err := v.find(ctx, tok)
	if err != nil {
		return nil, err
	}
	client, err := v.client(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	c := v.claims(client, r)
	switch {
	case r.Kind != AccessToken:
		return nil, v.refuse(c, ReasonWrongKind)
	case !r.RevokedAt.IsZero():
		return nil, v.refuse(c, ReasonRevoked)
	}
	return c, nil
}

func (v *Verifier) client(ctx context.Context, id ClientID) (*Client, error) {
	if c := v.state.client(id); c != nil {
		return c, nil
	}
	c, err := v.unknown(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, Refuse(InvalidToken, ReasonUnknownClient, "")
	} else if err != nil {
		return nil, unavailable(err)
	}
	v.state.learn(c)
	return c, nil
}

func (v *Verifier) claims(client *Client, r *TokenRecord) *Claims {
	wire, _ := client.WireID(r.Environment)
	issuer := v.issuer(r.Environment)
	c := &Claims{
		Token: r.ID, Kind: r.Kind, Client: client.ID, ClientID: wire, Environment: r.Environment, Dialect: r.Dialect,
		Scopes: r.Scopes, Scope: strings.Join(r.Scopes, " "), Subject: r.User, Audience: r.Audience, Issuer: issuer,
		IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt, User: r.User, Grant: r.Grant,
	}
	if c.Subject == "" {
		c.Subject = string(wire)
	}
	if c.Audience == nil {
		c.Audience = []string{issuer}
	}
	return c
}

// meets checks a standing token against what a resource asks.
func (c *Claims) meets(want Requirement) error {
	switch {
	case want.Environment != "" && c.Environment != want.Environment:
		return c.unmet(InvalidToken, ReasonWrongEnvironment, "of "+string(c.Environment), string(want.Environment))
	case want.Dialect != "" && c.Dialect != want.Dialect:
		return c.unmet(InvalidToken, ReasonOtherDialect, "of "+c.Dialect, want.Dialect)
	case want.Client != "" && c.ClientID != want.Client && c.Client != want.Client:
		return c.unmet(InvalidToken, ReasonWrongClient, "of "+string(c.ClientID), string(want.Client))
	case want.Audience != "" && !slices.Contains(c.Audience, want.Audience):
		return c.unmet(InvalidToken, ReasonWrongAudience, "for "+strings.Join(c.Audience, " "), want.Audience)
	}
	for _, s := range want.Scopes {
		if !slices.Contains(c.Scopes, s) {
			return c.unmet(InsufficientScope, ReasonScope, fmt.Sprintf("for %q", c.Scope), strings.Join(want.Scopes, " "))
		}
	}
	return nil
}

// unmet tells the owner what the token is, and what was asked for.
func (c *Claims) unmet(code Code, reason Reason, is, asked string) *Error {
	e := c.fails(code, reason)
	e.Err = fmt.Errorf("it is %s, asked for was %s", is, asked)
	return e
}

func (c *Claims) fails(code Code, reason Reason) *Error {
	return &Error{Code: code, Reason: reason, Token: c.Token, Client: c.ClientID}
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, token.ErrUnknownKey):
		return ReasonUnknownKey
	case errors.Is(err, token.ErrSignature), errors.Is(err, token.ErrAlgorithm):
		return ReasonBadSignature
	default:
		return ReasonMalformed
	}
}

func unavailable(err error) *Error {
	return &Error{Code: Unavailable, Reason: ReasonStore, Message: "the service can't answer now; try again", RetryAfter: time.Second, Err: err}
}
