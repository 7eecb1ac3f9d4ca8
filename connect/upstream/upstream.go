// Package upstream signs end users in at an OpenID Connect provider, for a
// provider of an API whose users are there already. Only who the user is
// comes back from it: its tokens are read once and not kept.
package upstream

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Config says which provider it is, and as which client we are registered
// there: with authorization code, PKCE, and the callback of the Connect pages
// as redirect URI.
type Config struct {
	Issuer       string // exactly as the provider's metadata has it
	ClientID     string
	ClientSecret secret.Text // zero: a public client
	Scopes       []string    // beside openid
	UserClaim    string      // the ID token's claim that becomes the user's id; "" is sub
	Name         string      // what the button says; "" is the issuer's host
	Client       *http.Client
}

// A Provider signs users in. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex
	found    *discovered // nil until the provider has answered once
	failed   error       // the last time that it didn't
	failedAt time.Time
}

var _ connect.Upstream = (*Provider)(nil)

// discovered is what the provider's metadata says (OpenID Connect Discovery 1.0
// §4), which is read at the first sign-in: a provider that is down must not
// keep a node from starting.
type discovered struct {
	endpoint oauth2.Endpoint
	verifier *oidc.IDTokenVerifier
	saysIss  bool // RFC 9207: its answers carry iss
}

// New checks a Config. The provider is not asked yet.
func New(cfg Config) (*Provider, error) {
	u, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("issuer: %q must be a URL without query or fragment, as the provider's metadata has it", cfg.Issuer)
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return nil, fmt.Errorf("issuer: %q must be https", cfg.Issuer)
	case cfg.ClientID == "":
		return nil, errors.New("client_id: say as which client this server is registered with the provider")
	}
	if cfg.UserClaim == "" {
		cfg.UserClaim = "sub"
	}
	if cfg.Name == "" {
		cfg.Name = u.Host
	}
	p := &Provider{cfg: cfg, client: cfg.Client}
	if p.client == nil {
		p.client = boundedClient()
	}
	return p, nil
}

// Name implements connect.Upstream.
func (p *Provider) Name() string { return p.cfg.Name }

// A ceremony is what Finish needs of Begin.
type ceremony struct {
	Environment gatehouse.Environment `json:"environment"`
	Callback    string                `json:"callback"`
	State       string                `json:"state"`
	Nonce       string                `json:"nonce"`
	Verifier    string                `json:"verifier"`
}

// Begin implements connect.Upstream.
func (p *Provider) Begin(ctx context.Context, env gatehouse.Environment, callback string) (string, []byte, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	c := ceremony{Environment: env, Callback: callback, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	kept, err := json.Marshal(c)
	if err != nil {
		return "", nil, err
	}
	return p.oauth(found, callback).AuthCodeURL(c.State, oidc.Nonce(c.Nonce), oauth2.S256ChallengeOption(c.Verifier)), kept, nil
}

func (p *Provider) oauth(found *discovered, callback string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret.Reveal(), Endpoint: found.endpoint, RedirectURL: callback,
		Scopes: append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(p.cfg.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...),
	}
}

// Finish implements connect.Upstream. The user is AccessDenied where the
// provider said no, or where what came back is not the answer to what was
// begun; the reason is for the owner.
func (p *Provider) Finish(ctx context.Context, _ gatehouse.Actor, env gatehouse.Environment, callback string, begun []byte, query url.Values) (*connect.User, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	var c ceremony
	if err := json.Unmarshal(begun, &c); err != nil {
		return nil, fmt.Errorf("reading a ceremony: %w", err)
	}
	if c.Environment != env || c.Callback != callback {
		return nil, refused("the answer came back to another environment or address than it was asked from")
	}
	code, err := p.answer(found, &c, query)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.oauth(found, callback).Exchange(ctx, code, oauth2.VerifierOption(c.Verifier))
	if err != nil {
		return nil, p.exchangeFailed(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, refused("the provider gave no ID token")
	}
	id, err := found.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, refused("the ID token does not hold: %v", err)
	}
	if !same(id.Nonce, c.Nonce) {
		return nil, refused("the ID token is for another sign-in")
	}
	return p.user(id)
}

// answer reads the query that came back (RFC 6749 §4.1.2, RFC 9207).
func (p *Provider) answer(found *discovered, c *ceremony, query url.Values) (code string, err error) {
	for name, values := range query {
		if len(values) > 1 {
			return "", refused("the answer has %q twice", name)
		}
	}
	if !same(query.Get("state"), c.State) {
		return "", refused("the answer's state is not that of the question")
	}
	iss, given := query.Get("iss"), query.Has("iss")
	if given && iss != p.cfg.Issuer || !given && found.saysIss {
		return "", refused("the answer is not from %s: its iss is %q", p.cfg.Issuer, iss)
	}
	if said := query.Get("error"); said != "" {
		return "", refused("the provider said %.100q %.200q", said, query.Get("error_description"))
	}
	if code = query.Get("code"); code == "" {
		return "", refused("the answer has neither code nor error")
	}
	return code, nil
}

// exchangeFailed tells a provider that is down from one that says no.
func (p *Provider) exchangeFailed(err error) error {
	var said *oauth2.RetrieveError
	if errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < 500 {
		return refused("the provider refused the code: %s %.100q %.200q", said.Response.Status, said.ErrorCode, said.ErrorDescription)
	}
	return p.unavailable(err)
}

func (p *Provider) unavailable(err error) error {
	return &gatehouse.Error{
		Code: gatehouse.Unavailable, Reason: gatehouse.ReasonUpstream, RetryAfter: 5 * time.Second, Err: err,
		Message: p.cfg.Name + " does not answer; try again in a moment",
	}
}

// user makes a user of an ID token.
func (p *Provider) user(id *oidc.IDToken) (*connect.User, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, refused("the ID token's claims can't be read: %v", err)
	}
	userID, _ := claims[p.cfg.UserClaim].(string)
	if !printable(userID) {
		return nil, refused("the ID token's claim %q is no text of 1 to 200 printable characters", p.cfg.UserClaim)
	}
	// An address that its provider has not checked may be somebody else's.
	if verified, _ := claims["email_verified"].(bool); p.cfg.UserClaim == "email" && !verified {
		return nil, refused("the provider has not verified the email address")
	}
	name := userID
	for _, claim := range []string{"name", "preferred_username", "email"} {
		if s, _ := claims[claim].(string); printable(s) {
			name = s
			break
		}
	}
	return &connect.User{ID: userID, Name: name}, nil
}

func printable(s string) bool {
	const longest = 200
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= longest &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func refused(format string, args ...any) error {
	return &gatehouse.Error{
		Code: gatehouse.AccessDenied, Reason: gatehouse.ReasonUpstream, Err: fmt.Errorf(format, args...),
		Message: "the sign-in was not completed",
	}
}
