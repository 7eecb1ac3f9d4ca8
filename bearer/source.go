package bearer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// ErrClosed is the error of a [Source] that was closed.
var ErrClosed = errors.New("the token source is closed")

// A Source has the token of one set of credentials at hand. It is safe for
// concurrent use. The zero value is not usable; see [New].
type Source struct {
	config Config
	place  place // of a base URL without holes
	ctx    context.Context
	cancel context.CancelFunc
	shelf  *shelf // nil without a cache

	// current is the token that callers get; nil where there is none, or the
	// last one was refused by the API.
	current atomic.Pointer[Token]

	mu       sync.Mutex  // never held over the network
	flight   *flight     // the visit to the token endpoint under way
	grant    *Token      // whose refresh token the next visit may use
	spent    bool        // the access code; only flights look at it
	failing  secret.Text // the refresh token that failed last; only flights look at it
	failed   *Error      // of the last visit; nil after a success
	failures int         // in a row
	timer    *time.Timer
	closed   bool
	limit    rejectionLimit
	refused  secret.Text // the last token that the API refused
	flights  sync.WaitGroup

	counts counts
}

// A flight is one visit to the token endpoint and all who wait for it.
type flight struct {
	done  chan struct{} // closed when the rest is set
	token *Token
	err   error
}

// New makes a Source. It doesn't ask for a token yet.
func New(c Config) (*Source, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	s := &Source{config: c}
	if c.BaseURL != "" && !strings.Contains(c.BaseURL, "{") {
		var err error
		if s.place, err = parseBase("base URL", c.BaseURL); err != nil {
			return nil, err
		}
	}
	if !c.AccessToken.IsZero() {
		t := &Token{AccessToken: c.AccessToken, ObtainedAt: time.Now()}
		t.lasts(time.Time{}, 0, 0)
		if err := c.fill(t); err != nil {
			return nil, err
		}
		s.current.Store(t)
	}
	if c.Cache != nil {
		var err error
		if s.shelf, err = newShelf(c.Cache, c.CacheKey, c.fingerprint()); err != nil {
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// lastVisit is how long Close lets a visit under way go on: what it brings,
// such as a rotated refresh token, may be had only once.
const lastVisit = 5 * time.Second

// Close ends renewals. A visit under way is given up after five seconds. Tokens
// that were handed out stay good.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	limit := time.AfterFunc(lastVisit, s.cancel)
	s.flights.Wait()
	limit.Stop()
	s.cancel()
	if s.config.ownClient {
		s.config.HTTPClient.CloseIdleConnections()
	}
}

// Token returns a token that has not ended, at once where one is at hand. Else
// it waits for the one visit to the token endpoint that all callers share, or
// until ctx is done; the visit goes on for the others. The error is an
// *[Error], ErrClosed, or ctx's.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	if t := s.current.Load(); t != nil && t.fresh(time.Now()) {
		t.touch()
		return t, nil
	}
	return s.wait(ctx)
}

// wait is Token's way where the token needs renewal, or there is none.
func (s *Source) wait(ctx context.Context) (*Token, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, f, failed := s.join()
		var err error
		switch {
		case t != nil:
			t.touch()
			return t, nil
		case f != nil:
			select {
			case <-f.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if f.err == nil {
				f.token.touch()
				return f.token, nil
			}
			if err = f.err; !errors.As(err, &failed) {
				return nil, err
			}
		}
		// A fault that is over in a moment should cost a moment, not an error.
		pause := time.Until(failed.RetryAt)
		if failed.Refused || pause > patience {
			return nil, failed
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// join returns one of three: the token, the flight to wait for, or the failure
// that is the answer for now.
func (s *Source) join() (*Token, *flight, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	waiting := s.failed != nil && now.Before(s.failed.RetryAt)
	if t := s.current.Load(); t != nil && t.live(now) {
		if !t.fresh(now) && !waiting {
			s.launch()
		}
		return t, nil, nil
	}
	if waiting && s.flight == nil {
		return nil, nil, s.failed
	}
	return nil, s.launch(), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replace returns another token than the rejected one, which the API has
// answered with a 401. Where someone has renewed it meanwhile, that is the
// other; only one renewal is made for one token. ok is false where there have
// been so many 401s that they must have another reason.
func (s *Source) replace(ctx context.Context, rejected *Token) (t *Token, ok bool, err error) {
	if !s.reject(rejected) {
		return nil, false, nil
	}
	t, err = s.Token(ctx)
	return t, err == nil, err
}

// reject takes a token out of use and has it renewed, unless that was done.
func (s *Source) reject(rejected *Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != rejected {
		return true
	}
	s.counts.rejected.Add(1)
	if !s.limit.allow(time.Now()) {
		return false
	}
	s.current.Store(nil)
	s.refused = rejected.AccessToken
	if s.failed == nil || !time.Now().Before(s.failed.RetryAt) {
		s.launch()
	}
	return true
}

// launch starts a flight unless one is under way. The caller holds mu.
func (s *Source) launch() *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	if s.closed {
		f.err = ErrClosed
		close(f.done)
		return f
	}
	s.flight = f
	from := s.grant
	s.flights.Go(func() {
		// No waiter's context: the visit is for all of them, and for the next.
		ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
		defer cancel()
		t, err := s.obtainShared(ctx, from)
		s.land(f, t, err)
	})
	return f
}

// land ends a flight.
func (s *Source) land(f *flight, t *Token, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	defer close(f.done)
	if err == nil {
		f.token = t
		s.failed, s.failures, s.grant = nil, 0, t
		s.current.Store(t)
		if !t.renewAt.IsZero() && !s.closed {
			s.schedule(time.Until(t.renewAt))
		}
		return
	}
	s.counts.failures.Add(1)
	if s.ctx.Err() != nil {
		f.err = ErrClosed
		return
	}
	s.grant = nil // whatever was wrong, the next visit starts afresh
	s.failures++
	s.failed = s.failure(err)
	f.err = s.failed
	if old := s.current.Load(); old != nil && old.live(time.Now()) && !s.closed {
		s.config.Logger.Warn("a token could not be renewed; the one in use still lives",
			"error", err, "ends", old.ExpiresAt, "next_try", s.failed.RetryAt)
		s.schedule(time.Until(s.failed.RetryAt))
	}
}

// failure says how long err is remembered.
func (s *Source) failure(err error) *Error {
	e := &Error{Refused: isRefusal(err), Err: err}
	pause := backoff(s.failures)
	if e.Refused {
		pause = refusedFor
	}
	if r, ok := errors.AsType[*dialect.Refusal](err); ok && r.RetryAfter > 0 {
		pause = max(pause, min(r.RetryAfter, longestAsked))
	}
	e.RetryAt = time.Now().Add(pause)
	return e
}

// schedule has the token looked at later. The caller holds mu.
func (s *Source) schedule(in time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(max(in, 0), s.due)
}

// due renews a token that somebody has used; another may end, and is replaced
// when it is asked for.
func (s *Source) due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, now := s.current.Load(), time.Now()
	if t == nil || s.closed || !t.used.Load() || !t.live(now) {
		return
	}
	if t.fresh(now) { // the wall clock was set back
		s.schedule(time.Second)
		return
	}
	if s.failed == nil || !now.Before(s.failed.RetryAt) {
		s.launch()
	}
}

// Base returns the API's base URL as it was set, or the dialect's own host. It
// may hold {extra.NAME}.
func (s *Source) Base() string { return s.config.BaseURL }

// BaseURL returns the API's base URL, which may depend on the token.
func (s *Source) BaseURL(ctx context.Context) (string, error) {
	if !strings.Contains(s.config.BaseURL, "{") {
		return s.config.BaseURL, nil
	}
	t, err := s.Token(ctx)
	if err != nil {
		return "", err
	}
	base, err := s.config.base(t)
	if err == nil {
		_, err = parseBase("base URL", base)
	}
	return base, err
}

// Client returns a client whose requests to the API carry the token.
func (s *Source) Client() *http.Client {
	return &http.Client{Transport: &Transport{Source: s}}
}

// Serves reports whether a Source made of c would ask for the same tokens, and
// use them in the same place.
func (s *Source) Serves(c Config) bool {
	return c.prepare() == nil && c.BaseURL == s.config.BaseURL && c.fingerprint() == s.config.fingerprint()
}

// Carriers lists the headers in which calls of the API carry the token.
func (s *Source) Carriers() []string {
	const sentinel = "8c1f0bd2"
	probe := &Token{AccessToken: secret.New(sentinel)}
	var names []string
	if s.config.fill(probe) == nil { // New has tried it
		for name, values := range probe.use.Header {
			if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, sentinel) }) {
				names = append(names, name)
			}
		}
	}
	return names
}
