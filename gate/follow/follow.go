// Package follow is a verifier away from the authority: it follows the journal
// of a Gatehouse node and judges tokens by what it has learned. JWTs need no
// call; an opaque token is looked up once, and remembered until the journal
// says otherwise.
//
//	f, err := follow.New(follow.Config{Authority: "https://auth.example", …})
//	go f.Run(ctx)
//	http.Handle("/", gate.Middleware(f, gate.Options{…})(api))
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Config is what a Follower is made of. Authority, the credentials and
// Environment are required.
type Config struct {
	// Authority is the URL of the node's public listener, or of what stands
	// before several. It is https, or http on loopback.
	Authority string
	// ClientID and ClientSecret are those of a client of standard OAuth 2.0 with
	// the scope gatehouse:gate, in Environment. A gate is of one environment:
	// to it there are no keys and clients of the other.
	ClientID     string
	ClientSecret secret.Text
	Environment  gatehouse.Environment
	// Policies are those of the dialects whose tokens it shall know; standard
	// tokens need none.
	Policies []gatehouse.Policy
	// MaxLag is how stale the journal may be; 0 is 30 seconds. Beyond it
	// everything is refused with Unavailable, unless OnLagOpen is set.
	MaxLag    time.Duration
	OnLagOpen bool
	// Refusals are what is refused by the owner of the Follower: the authority is
	// told, so that its owner can ask there. Nil: it is not.
	Refusals *gatehouse.RefusalLog
	// HTTP is the client to use; nil is one of its own. A Timeout would end the feed.
	HTTP   *http.Client
	Logger *slog.Logger // nil: none
}

// leastLag is the smallest bound that beats, coming every two seconds from a
// node that reads its own journal once a second, can keep to.
const leastLag = 5 * time.Second

// A Follower judges tokens by the journal that it follows while Run runs, and
// what calls show beside them by asking its node (it is a gate.CallProver). It is safe for concurrent use.
type Follower struct {
	*gatehouse.Remote
	cfg    Config
	base   string
	http   *http.Client
	log    *slog.Logger
	tokens tokenSource
	slots  chan struct{} // for look-ups under way

	state atomic.Pointer[Status]
	ready chan struct{} // closed at the first beat
	once  atomic.Bool
}

// A Status is how the following goes.
type Status struct {
	Connected   bool
	Since       time.Time // of Connected
	Error       string    // why it isn't connected, or "" at the start
	Connections int       // how many feeds were opened
}

// New makes a Follower that has not begun.
func New(cfg Config) (*Follower, error) {
	u, err := url.Parse(cfg.Authority)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("authority: %q is no URL such as https://auth.example.com", cfg.Authority)
	case u.Scheme == "http" && !onLoopback(u.Hostname()):
		return nil, fmt.Errorf("authority: %s is plain HTTP: the gate's secret and what it learns must not travel in the clear", cfg.Authority)
	case cfg.ClientID == "" || cfg.ClientSecret.IsZero():
		return nil, errors.New("client_id and client_secret: they are those of an oauth2 client with the scope " + feed.Scope)
	case cfg.MaxLag != 0 && cfg.MaxLag < leastLag:
		return nil, fmt.Errorf("journal.max_lag: it must be at least %s: news of the journal comes every two seconds", leastLag)
	}
	if _, err := gatehouse.ParseEnvironment(string(cfg.Environment)); err != nil {
		return nil, errors.New("environment: say sandbox or live, as the client's secret is")
	}
	f := &Follower{
		cfg: cfg, base: strings.TrimSuffix(cfg.Authority, "/"), http: cfg.HTTP, log: cfg.Logger,
		slots: make(chan struct{}, maxLookups), ready: make(chan struct{}),
	}
	if f.http == nil {
		f.http = &http.Client{
			Transport: transport(),
			// A redirect would carry the gate's credentials elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.tokens = tokenSource{http: f.http, url: f.base + "/oauth2/token", id: cfg.ClientID, secret: cfg.ClientSecret}
	f.state.Store(&Status{})
	f.Remote, err = gatehouse.NewRemote(gatehouse.RemoteConfig{
		Policies: cfg.Policies, Lookup: f.lookup, Client: f.lookupClient, Prove: f.proveCall, MaxLag: cfg.MaxLag, OnLagOpen: cfg.OnLagOpen,
	})
	return f, err
}

func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 5 * time.Second
	t.MaxIdleConnsPerHost = maxLookups
	return t
}

func onLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Ready is closed once the journal has been read.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Status says how the following goes.
func (f *Follower) Status() Status { return *f.state.Load() }

// firstPause is the pause before a feed is asked for again; it doubles up to
// longestPause, and half of it is chance, so that thousands of gates don't
// come back at once.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// Run follows the journal until ctx ends, whatever happens to the connection.
func (f *Follower) Run(ctx context.Context) error {
	if f.cfg.Refusals != nil {
		var reporting sync.WaitGroup
		defer reporting.Wait()
		reporting.Go(func() { f.report(ctx) })
	}
	pause := firstPause
	for {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		ended := *f.state.Load()
		if ended.Connected {
			ended.Connected, ended.Since = false, time.Time{}
		}
		ended.Error = err.Error()
		f.state.Store(&ended)
		switch {
		case errors.Is(err, feed.ErrEnd):
			f.log.Debug("the feed has ended; asking again")
			pause = firstPause
		default:
			f.log.Warn("the journal can't be followed; trying again", "error", err, "lag", f.lagForLog())
			if time.Since(began) > time.Minute {
				pause = firstPause
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, longestPause)
	}
}

func (f *Follower) lagForLog() string {
	if !f.Synced() {
		return "never read"
	}
	return f.Lag().Round(time.Millisecond).String()
}

// patience is how many beats may be missing before a feed counts as broken.
const patience = 3

// follow asks for a feed and takes it in until it ends.
func (f *Follower) follow(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	silence := time.AfterFunc(10*time.Second, func() { cancel(errors.New("the node has fallen silent")) })
	defer silence.Stop()
	asked := time.Now()
	res, err := f.ask(ctx, http.MethodGet, "/gate/journal?since="+strconv.FormatInt(f.since(), 10), nil)
	if err != nil {
		return reason(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused(res)
	}
	if kind := res.Header.Get("Content-Type"); kind != feed.ContentType {
		return fmt.Errorf("the answer is %q and no journal: is %s a Gatehouse?", kind, f.base)
	}
	now := *f.state.Load()
	f.state.Store(&Status{Connected: true, Since: asked, Connections: now.Connections + 1})
	sink := &sink{f, asked, asked}
	err = feed.Follow(res.Body, f.cfg.Environment, f.Synced(), sink, func() {
		silence.Reset(patience * 2 * time.Second)
		if setForward(asked, time.Now()) {
			cancel(errSetForward)
		}
	})
	return reason(ctx, err)
}

// errSetForward ends a feed by whose asked everything would be stale for ever.
var errSetForward = errors.New("this machine's clock was set forward, or the machine slept")

// setForward reports whether the wall clock has got a second further than the
// monotonic one.
func setForward(since, now time.Time) bool {
	return now.Round(0).Sub(since.Round(0))-now.Sub(since) > time.Second
}

// since is the position to go on from.
func (f *Follower) since() int64 {
	if !f.Synced() {
		return 0
	}
	return f.Seq()
}

// reason is why a request really ended.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// sink takes what a feed says. The feed counts time from when it was asked
// for, which it was no earlier than asked: so what is heard is never taken for
// fresher than it is, however long it was on its way and whatever the clocks of
// the two machines show.
type sink struct {
	*Follower
	asked  time.Time
	forgot time.Time // when what has expired was last dropped
}

func (s *sink) Beat(at time.Duration) {
	s.Heard(s.asked.Add(at))
	if now := time.Now(); now.Sub(s.forgot) > time.Minute {
		s.forgot = now
		s.Forget()
	}
	if !s.once.Swap(true) {
		close(s.ready)
		s.log.Info("the journal is being followed", "seq", s.Seq(), "revoked", s.Revocations())
	}
}

var _ feed.Sink = (*sink)(nil)

// Reset implements feed.Sink.
func (s *sink) Reset(issuers map[gatehouse.Environment]string, snap *gatehouse.Snapshot, keys []*token.Key) error {
	return s.Remote.Reset(issuers, snap, keys)
}
