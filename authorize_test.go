package gatehouse_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const (
	liveBack    = "https://app.example/back"
	sandboxBack = "http://127.0.0.1:3000/back"
	verifier    = "a-verifier-of-at-least-43-characters-0123456789"
)

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// app is a client of standard OAuth 2.0 that end users may be sent back to.
func (w *world) app(t testing.TB, change ...func(*gatehouse.NewClient)) *partner {
	t.Helper()
	return w.partner(t, gatehouse.OAuth2, append([]func(*gatehouse.NewClient){func(n *gatehouse.NewClient) {
		n.Refresh = true
		n.RedirectURIs = map[gatehouse.Environment][]string{gatehouse.Live: {liveBack}, gatehouse.Sandbox: {sandboxBack}}
	}}, change...)...)
}

// agreed is a code of user-1 for p in live.
func (w *world) agreed(t testing.TB, p *partner, scopes ...string) gatehouse.CodeRequest {
	t.Helper()
	a, err := w.CheckAuthorization(gatehouse.Authorization{
		Client: p.ID, Environment: gatehouse.Live, RedirectURI: liveBack, Scopes: scopes, Challenge: challengeOf(verifier),
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err := w.Authorize(ctx, gatehouse.Actor{Kind: gatehouse.ByUser, ID: "user-1"}, a, "user-1")
	if err != nil {
		t.Fatal(err)
	}
	return gatehouse.CodeRequest{Proof: p.proof(gatehouse.Live), Code: link.AccessCode, RedirectURI: liveBack, Verifier: secret.New(verifier)}
}

func TestAuthorizationCode(t *testing.T) {
	w := newWorld(t)
	p := w.app(t)
	r := w.agreed(t, p, "read")
	issued, err := w.ExchangeCode(ctx, caller, r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(issued.Record.Scopes, []string{"read"}) || issued.Record.User != "user-1" || issued.Refresh.IsZero() || issued.Life != time.Hour {
		t.Errorf("got %+v", issued)
	}
	claims, err := w.Validate(ctx, issued.Access, gatehouse.Requirement{Environment: gatehouse.Live})
	if err != nil || claims.Subject != "user-1" || claims.User != "user-1" {
		t.Errorf("claims %+v: %v", claims, err)
	}
	w.refuses(t, r.Code, gatehouse.InvalidToken, gatehouse.ReasonUnknownToken)

	refreshed, err := w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: gatehouse.OAuth2, Token: issued.Refresh, Proof: &r.Proof})
	if err != nil || refreshed.Record.User != "user-1" || refreshed.Record.Grant != issued.Record.Grant {
		t.Fatalf("refreshed %+v: %v", refreshed, err)
	}
	if _, err := w.Delink(ctx, operator, issued.Connection.ID); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.refuses(t, refreshed.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	_, err = w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: gatehouse.OAuth2, Token: refreshed.Refresh, Proof: &r.Proof})
	refused(t, err, gatehouse.InvalidGrant, "")
}

// Whatever is not the one request that the code was made for changes nothing.
func TestAuthorizationCodeIsBound(t *testing.T) {
	w := newWorld(t)
	p, other := w.app(t), w.app(t)
	codes := w.partner(t, "codes")
	r := w.agreed(t, p)
	linked := w.link(t, codes, gatehouse.Live)
	for name, c := range map[string]struct {
		change func(*gatehouse.CodeRequest)
		code   gatehouse.Code
		reason gatehouse.Reason
	}{
		"wrong verifier":   {func(r *gatehouse.CodeRequest) { r.Verifier = secret.New(verifier + "x") }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"no verifier":      {func(r *gatehouse.CodeRequest) { r.Verifier = secret.Text{} }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"plain challenge":  {func(r *gatehouse.CodeRequest) { r.Verifier = secret.New(challengeOf(verifier)) }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"another redirect": {func(r *gatehouse.CodeRequest) { r.RedirectURI = sandboxBack }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"longer redirect":  {func(r *gatehouse.CodeRequest) { r.RedirectURI += "/" }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"no redirect":      {func(r *gatehouse.CodeRequest) { r.RedirectURI = "" }, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding},
		"another client":   {func(r *gatehouse.CodeRequest) { r.Proof = other.proof(gatehouse.Live) }, gatehouse.InvalidGrant, gatehouse.ReasonWrongClient},
		"sandbox":          {func(r *gatehouse.CodeRequest) { r.Proof = p.proof(gatehouse.Sandbox) }, gatehouse.InvalidGrant, gatehouse.ReasonWrongEnvironment},
		"wrong secret":     {func(r *gatehouse.CodeRequest) { r.Proof.Secret = other.proof(gatehouse.Live).Secret }, gatehouse.InvalidClient, gatehouse.ReasonWrongSecret},
		"cut code":         {func(r *gatehouse.CodeRequest) { r.Code = secret.New(r.Code.Reveal()[:40]) }, gatehouse.InvalidGrant, gatehouse.ReasonMalformed},
		"a dialect's code": {func(r *gatehouse.CodeRequest) { r.Code = linked.AccessCode }, gatehouse.InvalidGrant, gatehouse.ReasonWrongClient},
	} {
		bad := r
		c.change(&bad)
		_, err := w.ExchangeCode(ctx, caller, bad)
		t.Run(name, func(t *testing.T) { refused(t, err, c.code, c.reason) })
	}
	_, err := w.Exchange(ctx, caller, gatehouse.ExchangeRequest{Dialect: gatehouse.OAuth2, Code: r.Code, Secret: r.Proof.Secret})
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonUnknownToken)
	if err := w.RevokeByClient(ctx, caller, &gatehouse.Principal{Client: p.Client, Environment: gatehouse.Live}, r.Code); err != nil {
		t.Error(err)
	}
	if _, err := w.ExchangeCode(ctx, caller, r); err != nil {
		t.Errorf("the code did not survive: %v", err)
	}
}

func TestAuthorizationCodeIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	p := w.app(t)
	r := w.agreed(t, p)
	var given atomic.Pointer[gatehouse.Issued]
	var got atomic.Int32
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			issued, err := w.ExchangeCode(ctx, caller, r)
			if err == nil {
				got.Add(1)
				given.Store(issued)
				return
			}
			if e := gatehouse.AsError(err); e.Code != gatehouse.InvalidGrant || e.Reason != gatehouse.ReasonSpent {
				t.Errorf("a loser was told %v", err)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Fatalf("%d of 1,000 tries got a token", got.Load())
	}
	w.passes(t, given.Load().Access)

	// A replay with a wrong verifier is nobody's; one by the owner ends all,
	// also when the code has expired by then.
	w.clock.advance(5 * time.Minute)
	wrong := r
	wrong.Verifier = secret.New(strings.Repeat("x", 43))
	_, err := w.ExchangeCode(ctx, caller, wrong)
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonWrongBinding)
	w.passes(t, given.Load().Access)
	_, err = w.ExchangeCode(ctx, caller, r)
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonReplayed)
	w.refuses(t, given.Load().Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
}

func TestAuthorizationCodeExpires(t *testing.T) {
	w := newWorld(t)
	r := w.agreed(t, w.app(t))
	w.clock.advance(time.Minute)
	_, err := w.ExchangeCode(ctx, caller, r)
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonExpired)
}

func TestAuthorizationIsHeldToTheClient(t *testing.T) {
	w := newWorld(t)
	p := w.app(t, func(n *gatehouse.NewClient) { n.Scopes = append(n.Scopes, "gatehouse:introspect") })
	for _, uri := range []string{"", liveBack + "?x", liveBack + "/", "HTTPS://app.example/back", "https://app.example/Back", "https://app.example%2fback", "https://evil.example"} {
		_, _, err := w.AuthorizingClient(p.ID, uri)
		refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonWrongRedirect)
	}
	_, _, err := w.AuthorizingClient("nobody", liveBack)
	refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonUnknownClient)
	_, _, err = w.AuthorizingClient(w.partner(t, "codes").ID, liveBack)
	refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonUnknownClient)
	for uri, want := range map[string]gatehouse.Environment{liveBack: gatehouse.Live, sandboxBack: gatehouse.Sandbox} {
		if _, env, err := w.AuthorizingClient(p.ID, uri); err != nil || env != want {
			t.Errorf("%s is of %s, %v", uri, env, err)
		}
	}

	ask := gatehouse.Authorization{Client: p.ID, Environment: gatehouse.Live, RedirectURI: liveBack, Challenge: challengeOf(verifier)}
	a, err := w.CheckAuthorization(ask)
	if err != nil || !slices.Equal(a.Scopes, []string{"read", "write"}) {
		t.Errorf("none asked: %v, %v", a, err)
	}
	for _, challenge := range []string{"", "short", verifier, challengeOf(verifier) + "=", strings.Repeat("A", 42) + "B"} {
		bad := ask
		bad.Challenge = challenge
		_, err := w.CheckAuthorization(bad)
		refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	}
	for _, scopes := range [][]string{{"admin"}, {"read", "gatehouse:introspect"}} {
		bad := ask
		bad.Scopes = scopes
		_, err := w.CheckAuthorization(bad)
		refused(t, err, gatehouse.InvalidScope, gatehouse.ReasonScope)
	}

	// What changes while the user signs in counts.
	user := gatehouse.Actor{Kind: gatehouse.ByUser, ID: "user-1"}
	_, err = w.Authorize(ctx, user, a, string(p.ID))
	refused(t, err, gatehouse.AccessDenied, gatehouse.ReasonNotAllowed)
	must(t)(w.UpdateClient(ctx, operator, p.ID, gatehouse.ClientUpdate{Scopes: &[]string{"read"}}))
	_, err = w.Authorize(ctx, user, a, "user-1")
	refused(t, err, gatehouse.InvalidScope, gatehouse.ReasonScope)
	a.Scopes = []string{"read"}
	must(t)(w.UpdateClient(ctx, operator, p.ID, gatehouse.ClientUpdate{RedirectURIs: map[gatehouse.Environment][]string{gatehouse.Live: nil}}))
	_, err = w.Authorize(ctx, user, a, "user-1")
	refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonWrongRedirect)
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled))
	_, err = w.Authorize(ctx, user, a, "user-1")
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonClientDisabled)
}

func TestRedirectURIs(t *testing.T) {
	w := newWorld(t)
	create := func(change func(*gatehouse.NewClient)) error {
		n := gatehouse.NewClient{Name: "app", Dialect: gatehouse.OAuth2}
		change(&n)
		_, err := w.CreateClient(ctx, operator, n, nil)
		return err
	}
	in := func(list ...string) map[gatehouse.Environment][]string {
		return map[gatehouse.Environment][]string{gatehouse.Live: list}
	}
	for _, uri := range []string{"https://app.example/back?x=1", "http://127.0.0.1:8000/", "http://[::1]/b", "http://localhost:3000/b", "com.example.app:/back", "https://xn--bcher-kva.example/"} {
		if err := create(func(n *gatehouse.NewClient) { n.RedirectURIs = in(uri) }); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "/back", "http://app.example/back", "https://app.example/#", "https://app.example/#x", "javascript:alert(1)", "data:text/html,x", "app:/back",
		"https://user@app.example/", "https://user:pw@app.example/", "https:app.example", "https://", "https:///back", "file:///etc/passwd", "https://app.example/a b",
		"https://app.example/\r\nSet-Cookie: x", "https://bücher.example/", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "https://*.example/",
		"https://a'.example/", "https://app.example/" + strings.Repeat("x", 2000),
	} {
		refused(t, create(func(n *gatehouse.NewClient) { n.RedirectURIs = in(uri) }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	}
	for _, origin := range []string{"https://app.example", "https://app.example:8443", "http://localhost:3000", "http://[::1]:3000"} {
		if err := create(func(n *gatehouse.NewClient) { n.Origins = in(origin) }); err != nil {
			t.Errorf("%s: %v", origin, err)
		}
	}
	for _, origin := range []string{"*", "null", "https://app.example/", "https://App.example", "https://app.example:443", "https://app.example:", "http://app.example", "https://app.example;x", "com.example.app:/", "https://user@app.example", "https://*.example"} {
		refused(t, create(func(n *gatehouse.NewClient) { n.Origins = in(origin) }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	}
	both := map[gatehouse.Environment][]string{gatehouse.Live: {liveBack}, gatehouse.Sandbox: {liveBack}}
	refused(t, create(func(n *gatehouse.NewClient) { n.RedirectURIs = both }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	refused(t, create(func(n *gatehouse.NewClient) { n.RedirectURIs = in(liveBack, liveBack) }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	refused(t, create(func(n *gatehouse.NewClient) {
		n.RedirectURIs, n.Environments = in(liveBack), []gatehouse.Environment{gatehouse.Sandbox}
	}), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	refused(t, create(func(n *gatehouse.NewClient) { n.RedirectURIs, n.Dialect = in(liveBack), "reuse" }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	refused(t, create(func(n *gatehouse.NewClient) { n.RedirectURIs = in(slices.Repeat([]string{liveBack}, 21)...) }), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)

	// They survive a restart, and updates of one environment leave the other.
	p := w.app(t)
	w.restart(t)
	c, err := w.UpdateClient(ctx, operator, p.ID, gatehouse.ClientUpdate{
		RedirectURIs: map[gatehouse.Environment][]string{gatehouse.Sandbox: nil}, Origins: in("https://app.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.RedirectTo(sandboxBack); ok {
		t.Error("a redirect URI that was removed is still there")
	}
	if env, ok := c.RedirectTo(liveBack); !ok || env != gatehouse.Live {
		t.Error("the other environment's redirect URI is gone")
	}
	if env, ok := c.OriginIn("https://app.example"); !ok || env != gatehouse.Live {
		t.Error("the origin is not there")
	}
}

// The code of a connection needs what only /oauth2/authorize knows.
func TestNoConnectionForStandardClients(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreateConnection(ctx, operator, w.app(t).ID, gatehouse.Live, "user-1", nil)
	refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	var e *gatehouse.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "/oauth2/authorize") {
		t.Errorf("it says %v", err)
	}
}
