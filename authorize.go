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

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// authorizationCodeLife is how long a standard authorization code is good for.
// RFC 6749 §4.1.2 recommends ten minutes at most; a backend needs seconds.
const authorizationCodeLife = time.Minute

// An Authorization is what a client of standard OAuth 2.0 asks an end user for.
type Authorization struct {
	Client      ClientID // as a whole
	Environment Environment
	RedirectURI string
	Scopes      []string // nil asks for all that an end user can give
	Resources   []string // RFC 8707
	Challenge   string   // code_challenge by S256 (RFC 7636 §4.2)
}

// reservedScope begins scopes that a client has of its own, and no end user can
// give it.
const reservedScope = "gatehouse:"

// AuthorizingClient returns the client, and the environment in which it has
// registered redirectURI. A refusal must not be sent to that URI: nobody vouches
// for it.
func (e *Engine) AuthorizingClient(id ClientID, redirectURI string) (*Client, Environment, error) {
	c, ok := e.Client(id)
	if !ok || c.Dialect != OAuth2 {
		return nil, "", &Error{Code: InvalidClient, Reason: ReasonUnknownClient, Field: "client_id", Message: "no app has this client_id", Client: id}
	}
	env, ok := c.RedirectTo(redirectURI)
	if wire, has := c.WireID(env); !ok || !has || wire != id {
		return nil, "", &Error{Code: InvalidRequest, Reason: ReasonWrongRedirect, Field: "redirect_uri", Message: "the app has not registered this redirect_uri", Client: c.ID}
	}
	if c.State != Enabled {
		return nil, "", &Error{Code: UnauthorizedClient, Reason: ReasonClientDisabled, Message: "the app is switched off", Client: c.ID}
	}
	return c, env, nil
}

// CheckAuthorization holds what is asked to what the client may ask, and puts
// the scopes in that it comes to. The client and its redirect URI are those of
// AuthorizingClient.
func (e *Engine) CheckAuthorization(a Authorization) (*Authorization, error) {
	client, err := e.enabledIn(a.Client, a.Environment)
	if err != nil {
		return nil, err
	}
	if !isChallenge(a.Challenge) {
		return nil, &Error{Code: InvalidRequest, Reason: ReasonMalformed, Field: "code_challenge", Message: "code_challenge must be 43 characters of base64url, by code_challenge_method S256 (RFC 7636)", Client: client.ID}
	}
	p := &proven{Principal: Principal{Client: client, Environment: a.Environment}}
	reserved := func(s string) bool { return strings.HasPrefix(s, reservedScope) }
	if slices.ContainsFunc(a.Scopes, reserved) {
		return nil, &Error{Code: InvalidScope, Reason: ReasonScope, Field: "scope", Message: "scopes of Gatehouse itself are the client's own: ask for them by client_credentials", Client: client.ID}
	}
	granted, err := grantedScopes(p, a.Scopes)
	if err != nil {
		return nil, err
	}
	a.Scopes = slices.DeleteFunc(slices.Clone(granted), reserved)
	if a.Resources, err = grantedAudience(p, a.Resources); err != nil {
		return nil, err
	}
	return &a, nil
}

// Authorize records that a user has agreed to a, and makes the code that the
// client exchanges for its tokens.
func (e *Engine) Authorize(ctx context.Context, by Actor, a *Authorization, user string) (*LinkResult, error) {
	wire, err := e.stillRegistered(a)
	if err != nil {
		return nil, err
	}
	if e.state.client(ClientID(user)) != nil {
		// A token's sub must not be taken for a client (RFC 9700 §4.15).
		return nil, &Error{Code: AccessDenied, Reason: ReasonNotAllowed, Message: "this user can't link apps", Err: fmt.Errorf("user %q has the id of a client", user)}
	}
	link, code, err := e.newLink(wire, a.Environment, user, standardPolicy())
	if err != nil {
		return nil, err
	}
	code.Scopes, code.Audience = a.Scopes, a.Resources
	link.AccessCode = token.NewOpaque(token.Prefix(string(a.Environment), token.AccessCode), code.ID)
	code.Digest = e.digestCode(link.AccessCode.Reveal(), a.RedirectURI, a.Challenge)
	return link, e.link(ctx, by, link, code, nil)
}

// stillRegistered looks again at what may have changed while the user was
// signing in.
func (e *Engine) stillRegistered(a *Authorization) (*Client, error) {
	client, err := e.enabledIn(a.Client, a.Environment)
	if err != nil {
		return nil, err
	}
	if env, ok := client.RedirectTo(a.RedirectURI); !ok || env != a.Environment {
		return nil, &Error{Code: InvalidRequest, Reason: ReasonWrongRedirect, Field: "redirect_uri", Message: "the app has taken this redirect_uri back", Client: client.ID}
	}
	for _, s := range a.Scopes {
		if !slices.Contains(client.Scopes, s) {
			return nil, &Error{Code: InvalidScope, Reason: ReasonScope, Field: "scope", Message: "the app does not have this scope any more", Client: client.ID}
		}
	}
	return client, nil
}

// A CodeRequest asks for tokens with a standard authorization code (RFC 6749
// §4.1.3, RFC 7636 §4.5).
type CodeRequest struct {
	Proof       ClientProof
	Code        secret.Text
	RedirectURI string
	Verifier    secret.Text
	Resources   []string
}

// ExchangeCode gives the tokens that a user has agreed to, once. A wrong
// verifier, redirect URI or client leaves the code as it was.
func (e *Engine) ExchangeCode(ctx context.Context, by Actor, r CodeRequest) (*Issued, error) {
	return e.grant(ctx, by, ask{resources: r.Resources},
		func() (*proven, error) { return e.proveAuthorizationCode(ctx, by, r) })
}

func (e *Engine) proveAuthorizationCode(ctx context.Context, by Actor, r CodeRequest) (*proven, error) {
	who, err := e.ProveClient(ctx, by, r.Proof)
	if err != nil {
		return nil, err
	}
	_, id, err := token.ParseOpaque(r.Code.Reveal())
	if err != nil {
		return nil, &Error{Code: InvalidGrant, Reason: ReasonMalformed, Client: who.Client.ID, Err: err}
	}
	row, err := e.store.Token(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, &Error{Code: InvalidGrant, Reason: ReasonUnknownToken, Client: who.Client.ID}
	} else if err != nil {
		return nil, unavailable(err)
	}
	reason := e.unusable(row, AccessCode, OAuth2, who.Client)
	switch {
	case row.Client != who.Client.ID:
		reason = ReasonWrongClient
	case row.Environment != who.Environment:
		reason = ReasonWrongEnvironment
	case !isVerifier(r.Verifier.Reveal()) || !equalDigest(row.Digest, [32]byte(e.digestCode(r.Code.Reveal(), r.RedirectURI, challengeOf(r.Verifier)))):
		reason = ReasonWrongBinding
	case (reason == "" || reason == ReasonExpired) && !row.SpentAt.IsZero():
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

// digestCode binds a code to where it is sent and to who asked for it: its row
// is found by the code's id, and matches nothing but all three together.
func (e *Engine) digestCode(code, redirectURI, challenge string) []byte {
	d := e.digester.Digest(digestCode, secret.New(code+"\n"+challenge+"\n"+redirectURI))
	return d[:]
}

// challengeOf is S256 of RFC 7636 §4.2.
func challengeOf(verifier secret.Text) string {
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func isChallenge(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size && len(s) == 43
}

// isVerifier holds a verifier to RFC 7636 §4.1.
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	})
}
