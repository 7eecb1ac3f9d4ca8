package httpd_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
)

var _ gate.Validator = (*follow.Follower)(nil)

// A farGate follows a house over real connections.
type farGate struct {
	*follow.Follower
	stop func()
}

func (h *house) listen() *httptest.Server {
	s := httptest.NewServer(h.Server)
	s.Config.RegisterOnShutdown(h.EndStreams)
	h.t.Cleanup(func() { h.EndStreams(); s.Close() })
	return s
}

func (h *house) gateClient() map[gatehouse.Environment]credentials {
	return h.client(gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Scopes = []string{"gatehouse:gate"} })
}

func (h *house) far(url string, c credentials, change ...func(*follow.Config)) *farGate {
	h.t.Helper()
	var all []*dialect.Dialect
	for _, name := range dialect.BuiltinNames() {
		d, err := dialect.Builtin(name)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, d)
	}
	policies, err := httpd.Policies(all)
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := follow.Config{Authority: url, ClientID: c.id, ClientSecret: secret.New(c.secret), Environment: c.env, Policies: policies}
	for _, f := range change {
		f(&cfg)
	}
	f, err := follow.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	g := &farGate{f, sync.OnceFunc(func() { cancel(); <-done })}
	h.t.Cleanup(g.stop)
	select {
	case <-f.Ready():
	case <-time.After(10 * time.Second):
		h.t.Fatalf("the gate doesn't get ready: %+v", f.Status())
	}
	return g
}

// ask returns the reason of a refusal, "" where the token passes.
func (g *farGate) ask(tok string, env gatehouse.Environment) gatehouse.Reason {
	_, err := g.Validate(context.Background(), secret.New(tok), gatehouse.Requirement{Environment: env})
	if err != nil {
		return gatehouse.AsError(err).Reason
	}
	return ""
}

// within waits until the gate says so.
func (g *farGate) within(t *testing.T, d time.Duration, tok string, env gatehouse.Environment, want gatehouse.Reason) {
	t.Helper()
	began := time.Now()
	for {
		got := g.ask(tok, env)
		if got == want {
			return
		}
		if time.Since(began) > d {
			t.Fatalf("after %s the gate says %q, want %q; its feed: %+v, lag %s", d, got, want, g.Status(), g.Lag())
		}
		time.Sleep(time.Millisecond)
	}
}

// What the house's own gate lets through, a far gate lets through, and what
// the one refuses the other does.
func TestFarGateJudgesAlike(t *testing.T) {
	h := newHouse(t)
	url := h.listen().URL
	gates := h.gateClient()
	far := map[gatehouse.Environment]*farGate{}
	for _, env := range gatehouse.Environments {
		far[env] = h.far(url, gates[env])
	}
	for _, name := range append(dialect.BuiltinNames(), gatehouse.OAuth2) {
		for env, c := range h.client(name) { // the journal tells of them while the gates follow
			var tok string
			if name == gatehouse.OAuth2 {
				tok, _ = h.standardToken(c)
			} else {
				tok, _ = h.dialectToken(c)
			}
			far[env].within(t, 2*time.Second, tok, env, "")
			here, err := h.engine.Validate(t.Context(), secret.New(tok), gatehouse.Requirement{Environment: env})
			if err != nil {
				t.Fatal(err)
			}
			there, _ := far[env].Validate(t.Context(), secret.New(tok), gatehouse.Requirement{Environment: env})
			if there == nil || there.Token != here.Token || there.ClientID != here.ClientID || there.Scope != here.Scope || there.Subject != here.Subject ||
				!there.ExpiresAt.Equal(here.ExpiresAt) || !slices.Equal(there.Audience, here.Audience) || !there.IssuedAt.Equal(here.IssuedAt) {
				t.Errorf("%s %s: here %+v, there %+v", name, env, here, there)
			}
			for other, g := range far {
				if other != env {
					if reason := g.ask(tok, ""); reason == "" {
						t.Errorf("%s: a %s token passes a gate of %s", name, env, other)
					}
				}
				if reason := g.ask(tok, other); other != env && reason == "" {
					t.Errorf("%s: a %s token passes as %s", name, env, other)
				}
				if reason := g.ask(tok[:len(tok)-1], env); reason == "" {
					t.Errorf("%s: a token cut short passes", name)
				}
			}
			if _, err := h.engine.RevokeToken(t.Context(), operator, secret.New(tok)); err != nil {
				t.Fatal(err)
			}
			far[env].within(t, 2*time.Second, tok, env, gatehouse.ReasonRevoked)
		}
	}
}

// Everything by which tokens end reaches a far gate by the journal alone.
func TestFarGateHearsOfEverything(t *testing.T) {
	h := newHouse(t)
	gates := h.gateClient()
	g := h.far(h.listen().URL, gates[gatehouse.Live])
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	issue := func() string {
		tok, _ := h.standardToken(c)
		g.within(t, 2*time.Second, tok, c.env, "")
		return tok
	}
	tok := issue()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.engine.Revoke(t.Context(), operator, gatehouse.Selection{Client: c.client, Environment: c.env}))
	g.within(t, 2*time.Second, tok, c.env, gatehouse.ReasonRevoked)

	time.Sleep(2 * time.Millisecond)
	tok = issue()
	must(h.engine.SetClientState(t.Context(), operator, c.client, gatehouse.Disabled))
	g.within(t, 2*time.Second, tok, c.env, gatehouse.ReasonClientDisabled)
	must(h.engine.SetClientState(t.Context(), operator, c.client, gatehouse.Enabled))
	g.within(t, 2*time.Second, tok, c.env, "")

	must(h.engine.RotateKeys(t.Context(), operator, c.env, gatehouse.OAuth2))
	fresh := issue()
	g.within(t, 0, tok, c.env, "")
	for _, k := range h.engine.Keys() {
		if k.State == gatehouse.KeySigning && k.Realm.Environment == string(c.env) && k.Realm.Format == gatehouse.OAuth2 {
			must(h.engine.RetireKey(t.Context(), operator, k.ID, true))
		}
	}
	g.within(t, 2*time.Second, fresh, c.env, gatehouse.ReasonUnknownKey)

	tok = issue()
	must(h.engine.SetClientState(t.Context(), operator, c.client, gatehouse.Deleted))
	g.within(t, 2*time.Second, tok, c.env, gatehouse.ReasonClientDeleted)
}

// A gate that lost its feed goes on where it was; one that hears nothing for
// longer than its bound refuses, or says that it doesn't know.
func TestFarGateLosesItsFeed(t *testing.T) {
	h := newHouse(t, func(e *gatehouse.Config, _ *httpd.Config) { e.MaxLag = 0 }) // the node reads its journal each second
	front := &switchable{to: h.Server}
	server := httptest.NewServer(front)
	t.Cleanup(func() { h.EndStreams(); server.Close() })
	creds := h.gateClient()[gatehouse.Live]
	closed := h.far(server.URL, creds, func(c *follow.Config) { c.MaxLag = 5 * time.Second })
	open := h.far(server.URL, creds, func(c *follow.Config) { c.MaxLag, c.OnLagOpen = 5*time.Second, true })
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	kept, _ := h.standardToken(c)
	revoked, _ := h.standardToken(c)
	for _, g := range []*farGate{closed, open} {
		g.within(t, 2*time.Second, kept, c.env, "")
		g.within(t, 2*time.Second, revoked, c.env, "")
	}
	before := closed.Status().Connections

	front.cut()
	if _, err := h.engine.RevokeToken(t.Context(), operator, secret.New(revoked)); err != nil {
		t.Fatal(err)
	}
	if reason := closed.ask(kept, c.env); reason != "" {
		t.Errorf("within its bound the gate says %q", reason)
	}
	deadline := time.Now().Add(8 * time.Second)
	for !(closed.Stale() && open.Stale()) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if reason := closed.ask(kept, c.env); reason != gatehouse.ReasonStale {
		t.Errorf("beyond its bound the gate says %q", reason)
	}
	if reason := open.ask(kept, c.env); reason != "" || !open.Stale() {
		t.Errorf("beyond its bound the open gate says %q, stale %v", reason, open.Stale())
	}

	front.join()
	for _, g := range []*farGate{closed, open} {
		g.within(t, 10*time.Second, revoked, c.env, gatehouse.ReasonRevoked)
		g.within(t, 10*time.Second, kept, c.env, "")
	}
	if after := closed.Status().Connections; after == before {
		t.Error("no new feed was opened")
	}
}

// switchable is a line that can be cut.
type switchable struct {
	mu      sync.Mutex
	to      http.Handler
	is      bool // cut
	streams []context.CancelFunc
}

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s.mu.Lock()
	down := s.is
	s.streams = append(s.streams, cancel)
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	s.to.ServeHTTP(w, r.WithContext(ctx))
}

func (s *switchable) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = true
	for _, cancel := range s.streams {
		cancel()
	}
	s.streams = nil
}

func (s *switchable) join() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = false
}

// Only gates follow the journal and look tokens up, and only in their environment.
func TestJournalIsForGatesOnly(t *testing.T) {
	h := newHouse(t)
	ordinary := h.client(gatehouse.OAuth2)[gatehouse.Live]
	tok, _ := h.standardToken(ordinary)
	gates := h.gateClient()
	gateToken, _ := h.standardToken(gates[gatehouse.Live])
	sandboxToken, _ := h.standardToken(gates[gatehouse.Sandbox])
	opaque, _ := h.dialectToken(h.client("su")[gatehouse.Live])
	bearer := func(r *http.Request, tok string) *http.Request {
		if tok != "" {
			r.Header.Set("Authorization", "Bearer "+tok)
		}
		return r
	}
	for what, c := range map[string]struct {
		r      *http.Request
		status int
	}{
		"no token":               {httptest.NewRequest("GET", "/gate/journal", nil), 401},
		"another's token":        {bearer(httptest.NewRequest("GET", "/gate/journal", nil), tok), 403},
		"a dialect's token":      {bearer(httptest.NewRequest("GET", "/gate/journal", nil), opaque), 401},
		"no position":            {bearer(httptest.NewRequest("GET", "/gate/journal?since=x", nil), gateToken), 400},
		"a negative position":    {bearer(httptest.NewRequest("GET", "/gate/journal?since=-1", nil), gateToken), 400},
		"two positions":          {bearer(httptest.NewRequest("GET", "/gate/journal?since=1&since=2", nil), gateToken), 400},
		"POST":                   {bearer(httptest.NewRequest("POST", "/gate/journal", nil), gateToken), 405},
		"look-up without token":  {post("/gate/lookup", form("token", opaque)), 401},
		"look-up by another":     {bearer(post("/gate/lookup", form("token", opaque)), tok), 403},
		"look-up":                {bearer(post("/gate/lookup", form("token", opaque)), gateToken), 200},
		"look-up by GET":         {bearer(httptest.NewRequest("GET", "/gate/lookup?token="+opaque, nil), gateToken), 405},
		"look-up in sandbox":     {bearer(post("/gate/lookup", form("token", opaque)), sandboxToken), 404},
		"look-up of a JWT":       {bearer(post("/gate/lookup", form("token", tok)), gateToken), 404},
		"look-up of a false one": {bearer(post("/gate/lookup", form("token", opaque[:len(opaque)-1]+"x")), gateToken), 404},
		"look-up of nothing":     {bearer(post("/gate/lookup", form()), gateToken), 400},
		"look-up of a client":    {bearer(post("/gate/lookup", form("client_id", ordinary.id)), gateToken), 200},
		"look-up of no client":   {bearer(post("/gate/lookup", form("client_id", "nobody")), gateToken), 404},
	} {
		a := h.do(c.r)
		if a.status != c.status {
			t.Errorf("%s: %d %s, want %d", what, a.status, a.body, c.status)
		}
		if (a.status == 401) != (a.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: challenge %q", what, a.header.Get("WWW-Authenticate"))
		}
		for _, canary := range []string{opaque, ordinary.secret} {
			if strings.Contains(a.body, canary) {
				t.Errorf("%s: the answer holds a credential", what)
			}
		}
	}
}

// Revoking the gate's own token ends its feed.
func TestFeedEndsWithItsToken(t *testing.T) {
	h := newHouse(t)
	creds := h.gateClient()[gatehouse.Live]
	g := h.far(h.listen().URL, creds)
	first := g.Status().Connections
	if _, err := h.engine.Revoke(t.Context(), operator, gatehouse.Selection{Client: creds.client}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); g.Status().Connections == first; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the feed goes on though its token was revoked")
		}
	}
}

// Two gates and a timeline: what happens between an operator's revocation and
// the refusal everywhere, while both gates are busy. Promise 3.
func TestRevocationReachesTwoGates(t *testing.T) {
	h := newHouse(t)
	url := h.listen().URL
	creds := h.gateClient()[gatehouse.Live]
	gates := []*farGate{h.far(url, creds), h.far(url, creds)}
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	busy, _ := h.standardToken(c)
	asked := make([]int, len(gates))
	for i, g := range gates { // a core's worth of questions on each
		load.Go(func() {
			for ctx.Err() == nil {
				for range 100 {
					if g.ask(busy, c.env) != "" {
						t.Error("a good token is refused under load")
						return
					}
				}
				asked[i] += 100
				runtime.Gosched()
			}
		})
	}
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	var delays []time.Duration
	timeline := ""
	for round := range rounds {
		tok, _ := h.standardToken(c)
		for _, g := range gates {
			g.within(t, 2*time.Second, tok, c.env, "")
		}
		began := time.Now()
		if _, err := h.engine.RevokeToken(t.Context(), operator, secret.New(tok)); err != nil {
			t.Fatal(err)
		}
		acknowledged := time.Now() // the promise counts from here
		refused := make([]time.Time, len(gates))
		var both sync.WaitGroup
		for i, g := range gates {
			both.Go(func() {
				g.within(t, 2*time.Second, tok, c.env, gatehouse.ReasonRevoked)
				refused[i] = time.Now()
			})
		}
		both.Wait()
		for _, at := range refused {
			delays = append(delays, at.Sub(acknowledged))
		}
		if round == rounds-1 {
			at := func(x time.Time) string { return fmt.Sprintf("%8.3f ms", float64(x.Sub(began).Microseconds())/1000) }
			timeline = "one revocation:\n" +
				at(began) + "  the operator asks\n" +
				at(acknowledged) + "  it is on disk, in force on the node, and acknowledged\n" +
				at(refused[0]) + "  gate 1 refuses the token\n" +
				at(refused[1]) + "  gate 2 refuses the token"
		}
	}
	cancel()
	load.Wait()
	slices.Sort(delays)
	p := func(q float64) time.Duration { return delays[min(len(delays)-1, int(q*float64(len(delays))))] }
	t.Logf("%s\n%d revocations through %d gates that answered %d questions meanwhile: p50 %s, p99 %s, p99.9 %s, most %s",
		timeline, rounds, len(gates), asked[0]+asked[1], p(.5), p(.99), p(.999), delays[len(delays)-1])
	if worst := p(.999); worst > 250*time.Millisecond {
		t.Errorf("p99.9 is %s, promised are 250 ms", worst)
	}
}

// A feed outlives the server's timeouts, which are for requests that end; over
// HTTP/2 with TLS as over HTTP/1.1.
func TestFeedOutlivesTimeouts(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%v", h2), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			s := httptest.NewUnstartedServer(h.Server)
			s.EnableHTTP2 = h2
			s.Config.ReadTimeout, s.Config.WriteTimeout = 1500*time.Millisecond, 1500*time.Millisecond
			s.StartTLS()
			t.Cleanup(func() { h.EndStreams(); s.Close() })
			g := h.far(s.URL, h.gateClient()[gatehouse.Live], func(c *follow.Config) { c.HTTP = s.Client() })
			time.Sleep(4 * time.Second)
			c := h.client(gatehouse.OAuth2)[gatehouse.Live]
			tok, _ := h.standardToken(c)
			g.within(t, 2*time.Second, tok, c.env, "")
			if _, err := h.engine.RevokeToken(t.Context(), operator, secret.New(tok)); err != nil {
				t.Fatal(err)
			}
			g.within(t, 250*time.Millisecond, tok, c.env, gatehouse.ReasonRevoked)
			if n := g.Status().Connections; n != 1 {
				t.Errorf("%d feeds were opened: %s", n, g.Status().Error)
			}
		})
	}
}

// Promise 19 on a far gate: twenty rotations of signing keys, one of them for
// a compromised key, and no token is refused that should pass.
func TestRotationIsInvisibleToAFarGate(t *testing.T) {
	h := newHouse(t)
	g := h.far(h.listen().URL, h.gateClient()[gatehouse.Live])
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	first, _ := h.standardToken(c)
	g.within(t, 2*time.Second, first, c.env, "")
	good := []string{first}
	for round := range 20 {
		known, _ := h.engine.State()
		for g.Seq() < known.Seq { // the key that stands by has been told of
			time.Sleep(time.Millisecond)
		}
		if round == 10 {
			for _, k := range h.engine.Keys() {
				if k.State == gatehouse.KeySigning && k.Realm.Environment == string(c.env) && k.Realm.Format == gatehouse.OAuth2 {
					if _, err := h.engine.RetireKey(t.Context(), operator, k.ID, true); err != nil {
						t.Fatal(err)
					}
				}
			}
			g.within(t, 2*time.Second, good[len(good)-1], c.env, gatehouse.ReasonUnknownKey)
			good = good[:len(good)-1]
		} else if _, err := h.engine.RotateKeys(t.Context(), operator, c.env, gatehouse.OAuth2); err != nil {
			t.Fatal(err)
		}
		// The key that signs now was published while it stood by: at once.
		tok, _ := h.standardToken(c)
		good = append(good, tok)
		for i, tok := range good {
			if reason := g.ask(tok, c.env); reason != "" {
				t.Errorf("round %d: token %d is refused: %s", round, i, reason)
			}
		}
	}
}

// narrow makes a listener's connections hold little in the kernel.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(4 << 10)
	}
	return c, err
}

// A follower that reads nothing is cut off, and holds up nobody.
func TestFollowerThatReadsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := httptest.NewUnstartedServer(h.Server)
	s.Listener = narrow{s.Listener}
	closed := make(chan string, 16) // the addresses of those whose connections the server has closed
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- c.RemoteAddr().String()
		}
	}
	s.Start()
	t.Cleanup(func() { h.EndStreams(); s.Close() })
	creds := h.gateClient()[gatehouse.Live]
	honest := h.far(s.URL, creds)

	gateToken, _ := h.standardToken(creds)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := io.WriteString(conn, "GET /gate/journal HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+gateToken+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	for round := range 100 { // megabytes of news
		scopes := []string{"read", fmt.Sprintf("round-%d", round)}
		for i := range 1000 {
			scopes = append(scopes, fmt.Sprintf("a-scope-that-is-rather-long-%d", i))
		}
		if _, err := h.engine.UpdateClient(t.Context(), operator, c.client, gatehouse.ClientUpdate{Scopes: &scopes}); err != nil {
			t.Fatal(err)
		}
	}
	tok, _ := h.standardToken(c, "scope", "read")
	honest.within(t, 2*time.Second, tok, c.env, "")
	if _, err := h.engine.RevokeToken(t.Context(), operator, secret.New(tok)); err != nil {
		t.Fatal(err)
	}
	honest.within(t, 250*time.Millisecond, tok, c.env, gatehouse.ReasonRevoked)
	for cut, limit := "", time.After(time.Minute); cut != conn.LocalAddr().String(); {
		select {
		case cut = <-closed:
		case <-limit:
			t.Fatal("it is still served")
		}
	}
	if n := honest.Status().Connections; n != 1 {
		t.Errorf("the honest follower had to come %d times", n)
	}
}
