package gatehouse

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse/token"
)

// An OldIssuer is a token endpoint that Gatehouse replaces. Until a date its
// JWTs stand here like our own, for clients that are here and enabled.
type OldIssuer struct {
	Name        string // what people call it; unique
	Issuer      string // the "iss" of its tokens; "" is that they have none
	Until       time.Time
	Environment Environment
	Audience    []string // one of them must be in "aud"; nil: "aud" isn't looked at
	ClientClaim string   // holds the client's wire id
	ScopeClaim  string   // holds its scopes, as text or as a list; without it a token has all that its client has
	UserClaim   string   // holds the end user's id; "" is none
	Keys        KeySource
}

// A KeySource has the public keys of another issuer. Its methods are safe for
// concurrent use.
type KeySource interface {
	// Keys returns the keys as they were last read. newer asks for another
	// reading, since a token names a key that wasn't among them; the source
	// decides whether it is time for one.
	Keys(ctx context.Context, newer bool) (*token.Ring, error)
}

// digestOldToken is what the keyed digests of old issuers' tokens are taken for.
const digestOldToken = "old issuer's token"

// UseOldIssuers takes the tokens of these from now on, and of no others.
func (e *Engine) UseOldIssuers(list []OldIssuer) error {
	for i := range list {
		o := &list[i]
		for j := range i {
			switch p := &list[j]; {
			case p.Name == o.Name:
				return fmt.Errorf("two old issuers are called %s: give them names", o.Name)
			case p.Issuer == o.Issuer && (o.Audience == nil || p.Audience == nil || slices.ContainsFunc(o.Audience, func(a string) bool { return slices.Contains(p.Audience, a) })):
				return fmt.Errorf("the old issuers %s and %s can't be told apart: their tokens need another issuer or another audience", p.Name, o.Name)
			}
		}
	}
	list = slices.Clone(list)
	e.oldIssuers.Store(&list)
	e.cache.clear()
	return nil
}

// OldIssuers lists those in use, those that are over too.
func (e *Engine) OldIssuers() []OldIssuer {
	if list := e.oldIssuers.Load(); list != nil {
		return slices.Clone(*list)
	}
	return nil
}

// TakesOldIssuers reports whether there is any.
func (e *Engine) TakesOldIssuers() bool { return len(e.OldIssuers()) > 0 }

// fromOldIssuer returns what a JWT of an old issuer says, or ours where it is
// none of theirs. Which issuer it is of is decided by its own word, and then
// held to that issuer's keys.
func (e *Engine) fromOldIssuer(ctx context.Context, tok string, now time.Time, ours error) (*arrival, error) {
	list := e.oldIssuers.Load()
	if list == nil || len(*list) == 0 || len(tok) > token.MaxSize {
		return nil, ours
	}
	said, ok := unverified(tok)
	if !ok {
		return nil, ours
	}
	refused := ours
	for i := range *list {
		o := &(*list)[i]
		if !o.speaks(said) {
			continue
		}
		a, err := e.judgeOld(ctx, o, tok, now)
		if err == nil || !nobodys(err) {
			return a, err
		}
		refused = err
	}
	return nil, refused
}

// speaks reports whether a token that says so would be of o.
func (o *OldIssuer) speaks(c *oldClaims) bool {
	return c.Issuer == o.Issuer && (o.Audience == nil || slices.ContainsFunc(o.Audience, func(a string) bool { return slices.Contains(c.Audience, a) }))
}

func (e *Engine) judgeOld(ctx context.Context, o *OldIssuer, tok string, now time.Time) (*arrival, error) {
	v, err := verifyOld(ctx, o, tok, now)
	if err != nil {
		return nil, err
	}
	c, ok := readOldClaims(v.Claims)
	if !ok {
		return nil, &Error{Code: InvalidToken, Reason: ReasonMalformed, Err: fmt.Errorf("a token of the old issuer %s has an iss, aud, jti or client of another form", o.Name)}
	}
	client, err := e.oldClient(o, v.Claims)
	if err != nil {
		return nil, err
	}
	wire := client.IDs[o.Environment]
	refuse := func(code Code, reason Reason, format string, args ...any) (*arrival, error) {
		return nil, &Error{Code: code, Reason: reason, Client: wire, Err: fmt.Errorf(format, args...)}
	}
	if v.Type != "" && !v.IsType("JWT") && !v.IsType("at+jwt") {
		return refuse(InvalidToken, ReasonWrongType, "its type is %q; the old issuer's access tokens are JWT or at+jwt", v.Type)
	}
	if !now.Before(o.Until) {
		return refuse(InvalidToken, ReasonOldIssuerOver, "the old issuer %s was accepted until %s", o.Name, stamp(o.Until))
	}
	times, err := token.ReadTimes(v.Claims)
	if err != nil {
		return refuse(InvalidToken, ReasonMalformed, "%w", err)
	}
	if times.IssuedAt.IsZero() {
		return refuse(InvalidToken, ReasonMalformed, "it doesn't say when it was issued (iat), so that it couldn't be revoked by that")
	}
	if err := times.Check(now, token.ClockSkew); errors.Is(err, token.ErrNotYet) {
		return refuse(InvalidToken, ReasonNotYetValid, "%w", err)
	}
	row := &TokenRecord{
		ID: e.oldID(o, c.ID, tok), Kind: AccessToken, Client: client.ID, Environment: o.Environment, Dialect: client.Dialect,
		Scopes: client.Scopes, Audience: c.Audience, IssuedAt: times.IssuedAt, ExpiresAt: times.ExpiresAt,
	}
	if row.ExpiresAt.IsZero() {
		row.ExpiresAt = o.Until
	}
	if err := readOldWords(o, v.Claims, client, row); err != nil {
		return refuse(InvalidToken, ReasonMalformed, "%w", err)
	}
	return &arrival{row: row, until: o.Until, issuer: o.Name, seen: e.sightings.of(sightingKey{o.Name, client.ID, o.Environment})}, nil
}

func verifyOld(ctx context.Context, o *OldIssuer, tok string, now time.Time) (*token.Verified, error) {
	ring, err := o.Keys.Keys(ctx, false)
	if err != nil {
		return nil, unavailable(fmt.Errorf("the keys of the old issuer %s: %w", o.Name, err))
	}
	v, err := ring.Verify(tok, now)
	if errors.Is(err, token.ErrUnknownKey) {
		if ring, err = o.Keys.Keys(ctx, true); err != nil {
			return nil, unavailable(fmt.Errorf("the keys of the old issuer %s: %w", o.Name, err))
		}
		v, err = ring.Verify(tok, now)
	}
	if err != nil {
		return nil, &Error{Code: InvalidToken, Reason: reasonOf(err), Err: fmt.Errorf("as a token of the old issuer %s: %w", o.Name, err)}
	}
	return v, nil
}

// oldClient is the client of ours that a token names.
func (e *Engine) oldClient(o *OldIssuer, claims jsontext.Value) (*Client, error) {
	id, ok := claimText(claims, o.ClientClaim)
	if !ok || id == "" {
		return nil, &Error{Code: InvalidToken, Reason: ReasonUnknownClient, Err: fmt.Errorf("a token of the old issuer %s names no client: its %q is no text", o.Name, o.ClientClaim)}
	}
	c := e.state.client(ClientID(id))
	if c == nil {
		return nil, &Error{Code: InvalidToken, Reason: ReasonUnknownClient, Client: ClientID(id), Err: fmt.Errorf("a token of the old issuer %s is of a client that was never imported", o.Name)}
	}
	if wire, ok := c.WireID(o.Environment); !ok || string(wire) != id {
		return nil, &Error{Code: InvalidToken, Reason: ReasonWrongEnvironment, Client: c.ID, Err: fmt.Errorf("the client %s has that id in another environment than %s", c.ID, o.Environment)}
	}
	return c, nil
}

// oldID names a token by its jti, or by what is signed of it where it has none:
// the signature itself may have several spellings.
func (e *Engine) oldID(o *OldIssuer, jti, tok string) TokenID {
	by := "signed\x00" + tok[:strings.LastIndexByte(tok, '.')]
	if jti != "" {
		by = "jti\x00" + jti
	}
	sum := sha256.Sum256([]byte(o.Name + "\x00" + by))
	return token.DerivedID(e.digester.Wrap(digestOldToken, sum))
}

// oldClaims are the registered claims that say whose token it is.
type oldClaims struct {
	Issuer   string
	ID       string
	Audience []string
}

// unverified reads what a token says of itself. Nothing but the choice of the
// keys to hold it to may follow from it.
func unverified(tok string) (*oldClaims, bool) {
	parts := strings.Split(tok, ".")
	if len(parts) != 3 {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, false
	}
	return readOldClaims(payload)
}

func readOldClaims(claims jsontext.Value) (*oldClaims, bool) {
	var read struct {
		Issuer   string         `json:"iss"`
		ID       string         `json:"jti"`
		Audience jsontext.Value `json:"aud"`
		Rest     jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(claims, &read); err != nil {
		return nil, false
	}
	c := &oldClaims{Issuer: read.Issuer, ID: read.ID}
	if len(read.Audience) > 0 {
		var ok bool
		if c.Audience, ok = textOrList(read.Audience); !ok {
			return nil, false
		}
	}
	return c, true
}

// readOldWords reads scopes and user. A token has no more than its client has now.
func readOldWords(o *OldIssuer, claims jsontext.Value, client *Client, row *TokenRecord) error {
	if value, ok := claim(claims, o.ScopeClaim); ok {
		list, ok := textOrList(value)
		if !ok {
			return fmt.Errorf("its %q is neither text nor a list of text", o.ScopeClaim)
		}
		row.Scopes = nil
		for _, words := range list {
			for _, s := range strings.Fields(words) {
				if slices.Contains(client.Scopes, s) && !slices.Contains(row.Scopes, s) {
					row.Scopes = append(row.Scopes, s)
				}
			}
		}
	}
	if o.UserClaim == "" {
		return nil
	}
	value, there := claim(claims, o.UserClaim)
	if !there {
		return nil
	}
	if json.Unmarshal(value, &row.User) != nil || !printable(row.User, 200) {
		return fmt.Errorf("its %q is no text of at most 200 printable characters", o.UserClaim)
	}
	return nil
}

func claim(claims jsontext.Value, name string) (value jsontext.Value, ok bool) {
	var all map[string]jsontext.Value
	if name == "" || json.Unmarshal(claims, &all) != nil {
		return nil, false
	}
	value, ok = all[name]
	return value, ok
}

func claimText(claims jsontext.Value, name string) (text string, ok bool) {
	value, ok := claim(claims, name)
	return text, ok && value.Kind() == '"' && json.Unmarshal(value, &text) == nil
}

// textOrList reads a text, or a list of texts (RFC 7519 §4.1.3).
func textOrList(value jsontext.Value) ([]string, bool) {
	switch value.Kind() {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return []string{text}, err == nil
	case '[':
		var list []string
		for _, one := range listOf(value) {
			var text string
			if one.Kind() != '"' || json.Unmarshal(one, &text) != nil {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}

func listOf(value jsontext.Value) (out []jsontext.Value) {
	_ = json.Unmarshal(value, &out) // its syntax was checked with the whole
	return out
}

// An OldToken names one token of an old issuer by its jti.
type OldToken struct {
	Issuer string // an OldIssuer's Name
	ID     string // its jti
	Client ClientID
}

// RevokeOldToken ends a token of an old issuer that nobody here holds.
func (e *Engine) RevokeOldToken(ctx context.Context, by Actor, t OldToken) (Revoked, error) {
	i := slices.IndexFunc(e.OldIssuers(), func(o OldIssuer) bool { return o.Name == t.Issuer })
	if i < 0 {
		return Revoked{}, &Error{Code: NotFound, Reason: ReasonWrongIssuer, Field: "old_issuer", Message: fmt.Sprintf("no old issuer is called %q: `gatehouse import status` names them", t.Issuer)}
	}
	o := e.OldIssuers()[i]
	if t.ID == "" {
		return Revoked{}, wrongField("jti", "say which token: its jti")
	}
	c, err := e.enabledIn(t.Client, o.Environment)
	if err != nil {
		return Revoked{}, err
	}
	now := e.clock.now()
	row := &TokenRecord{
		ID: e.oldID(&o, t.ID, "."), Kind: AccessToken, Client: c.ID, Environment: o.Environment, Dialect: c.Dialect,
		IssuedAt: now.Truncate(time.Millisecond), ExpiresAt: o.Until.UTC().Truncate(time.Second),
	}
	if !now.Before(row.ExpiresAt) {
		return Revoked{}, &Error{Code: Conflict, Reason: ReasonOldIssuerOver, Message: fmt.Sprintf("the tokens of %s have not been accepted since %s: there is nothing to revoke", o.Name, stamp(o.Until))}
	}
	if err := e.onLedger(ctx, row); err != nil {
		return Revoked{}, err
	}
	return e.Revoke(ctx, by, Selection{Token: row.ID})
}

// onLedger puts a token of an old issuer on the ledger, where it can be
// revoked. Any other is there.
func (e *Engine) onLedger(ctx context.Context, row *TokenRecord) error {
	if !row.ID.Derived() || row.Digest != nil {
		return nil
	}
	if _, err := e.store.Token(ctx, row.ID); err == nil {
		return nil
	} else if !errors.Is(err, ErrNotFound) {
		return unavailable(err)
	}
	err := e.store.Record(ctx, &Grant{At: e.clock.now(), Tokens: []TokenRecord{*row}})
	switch {
	case errors.Is(err, ErrExists):
		return nil
	case errors.Is(err, ErrCutoff):
		return &Error{Code: Conflict, Reason: ReasonRevoked, Token: row.ID, Client: row.Client, Message: "this token ended already, with everything of its client that was issued by then"}
	case errors.Is(err, ErrClientState):
		return &Error{Code: Conflict, Reason: ReasonClientDisabled, Client: row.Client, Message: fmt.Sprintf("client %s is disabled, so no token of it passes: enable it to revoke single ones", row.Client)}
	case err != nil:
		return fmt.Errorf("recording a token of an old issuer: %w", err)
	}
	return nil
}
