package rehearse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Backstage is what a rehearsal asks of the server behind it.
type Backstage interface {
	// SetLife sets the life of the client's next tokens.
	SetLife(ctx context.Context, life time.Duration) error
	// RotateKey has the next tokens signed with another key.
	RotateKey(ctx context.Context) error
	// ReplaceSecret ends the client's secret and what it obtained.
	ReplaceSecret(ctx context.Context) (secret.Text, error)
}

// Config is what a Stage is made of.
type Config struct {
	Plan      Plan
	Dialect   *dialect.Dialect // nil: standard OAuth 2.0
	ClientID  string           // as it goes on the wire
	Secret    secret.Text
	Server    http.Handler // the real one
	Backstage Backstage
}

// A Stage stands before the server. Token requests go to it; any other path is
// the API, which takes the tokens that came from here. It is safe for
// concurrent use.
type Stage struct {
	config   Config
	dialect  *dialect.Dialect
	standard bool
	clientID string
	use      *dialect.Operation

	mu      sync.Mutex
	began   time.Time // of the first request; zero before it
	act     int
	secrets []secret.Text // all that the client has had
	tokens  map[[32]byte]*given
	once    bool // the next call is answered 401
	scenes  []scene

	ready chan struct{} // closed when the server is as the plan wants it
	first sync.Once
	start chan struct{} // closed by the first request
}

// given is a token that the client was given.
type given struct {
	end  time.Time // zero: never
	dead bool      // by the plan
}

// tolerated is how late a token may arrive: a request that was under way when
// it ended is nobody's fault.
const tolerated = 250 * time.Millisecond

// New makes a Stage.
func New(c Config) (*Stage, error) {
	s := &Stage{config: c, dialect: c.Dialect, tokens: map[[32]byte]*given{}, ready: make(chan struct{}), start: make(chan struct{}), secrets: []secret.Text{c.Secret}}
	if s.dialect == nil {
		d, err := bearer.Dialect(bearer.OAuth2)
		if err != nil {
			return nil, err
		}
		s.dialect, s.standard = d, true
	}
	s.use = s.dialect.Operation(dialect.Use)
	s.clientID = c.ClientID
	if id, ok := s.dialect.FromWire(dialect.ClientID, c.ClientID); ok {
		s.clientID = id
	}
	if s.dialect.Token.Permanent {
		s.config.Plan.Acts = slices.DeleteFunc(slices.Clone(c.Plan.Acts), func(a Act) bool { return slices.Contains(needsRenewal, a.Name) })
	}
	if len(s.config.Plan.Acts) == 0 {
		return nil, fmt.Errorf("dialect %s has tokens that never end, about which no act of the plan says anything", s.dialect.Name)
	}
	return s, nil
}

// Run waits for the client's first request, plays the acts, and returns the
// report. It ends early with ctx. It is called once; requests wait for it.
func (s *Stage) Run(ctx context.Context) (*Report, error) {
	if !s.dialect.Token.Permanent {
		if err := s.config.Backstage.SetLife(ctx, s.life()); err != nil {
			return nil, err
		}
	}
	close(s.ready)
	select {
	case <-s.start:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i, act := range s.config.Plan.Acts {
		if err := s.raise(ctx, i, act.Name); err != nil {
			return nil, fmt.Errorf("act %s: %w", act.Name, err)
		}
		timer := time.NewTimer(time.Duration(act.For))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report(), nil
}

func (s *Stage) life() time.Duration { return time.Duration(s.config.Plan.Life) }

// clockLife is the tokens' life in the act clock: answers that cut times to
// the minute need more than one.
const clockLife = 2 * time.Minute

// raise begins an act.
func (s *Stage) raise(ctx context.Context, i int, name ActName) error {
	var replaced secret.Text
	var err error
	switch name {
	case Clock:
		err = s.config.Backstage.SetLife(ctx, clockLife)
	case Key:
		err = s.config.Backstage.RotateKey(ctx)
	case Secret:
		replaced, err = s.config.Backstage.ReplaceSecret(ctx)
	}
	if i > 0 && s.config.Plan.Acts[i-1].Name == Clock {
		err = errors.Join(err, s.config.Backstage.SetLife(ctx, s.life()))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.act = i
	s.once = name == Unauthorized
	after := i > 0 && s.config.Plan.Acts[i-1].Name == Clock
	if name == Expired || name == Clock || name == Secret || after {
		for _, t := range s.tokens {
			t.dead = true
		}
	}
	if name == Secret {
		s.secrets = append(s.secrets, replaced)
	}
	return nil
}

// maxBody bounds the requests that the API takes.
const maxBody = 8 << 20

// ServeHTTP is part of [http.Handler].
func (s *Stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ready:
	case <-r.Context().Done():
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // the caller has gone, or gets net/http's own answer
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	asked := &dialect.Request{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header, Body: body}
	if s.standard && asked.Path == "/oauth2/token" {
		asked.Path = s.dialect.Operation(dialect.Issue).Path()
	} else if s.standard {
		asked.Path = "" // the dialect's own paths are stand-ins
	}
	op, v, _ := s.dialect.ReadRequest(asked)
	switch {
	case asked.Path != "" && s.dialect.Handles(asked.Path) && !givesTokens(op), ownPath(r.URL.Path):
		s.config.Server.ServeHTTP(w, r)
	case givesTokens(op):
		if id := v.Text(dialect.ClientID); id != "" && id != s.clientID {
			s.config.Server.ServeHTTP(w, r) // another client's
			return
		}
		s.first.Do(func() { s.open() })
		s.visit(w, r, op, v)
	default:
		s.first.Do(func() { s.open() })
		s.call(w, r, body)
	}
}

func (s *Stage) open() {
	s.mu.Lock()
	s.began = time.Now()
	s.mu.Unlock()
	close(s.start)
}

func givesTokens(op *dialect.Operation) bool {
	return op != nil && (op.Name == dialect.Issue || op.Name == dialect.Refresh || op.Name == dialect.Exchange)
}

// ownPath reports whether the path is the server's own, whatever the dialect.
func ownPath(path string) bool {
	return path != "/oauth2/token" && slices.ContainsFunc([]string{"/oauth2/", "/.well-known/", "/gate/", "/docs/", "/connect/"},
		func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// now is what is played now.
func (s *Stage) now() (act int, name ActName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.act, s.config.Plan.Acts[s.act].Name
}

// retryAfter is what the unavailable token endpoint asks for.
const retryAfter = 2 * time.Second

// behind is how far the clock is off.
const behind = 10 * time.Minute

// visit is a request to the token endpoint.
func (s *Stage) visit(w http.ResponseWriter, r *http.Request, op *dialect.Operation, v dialect.Values) {
	act, name := s.now()
	seen := scene{act: act, at: time.Now(), visit: true, leaks: s.leaks(r), oldSecret: s.isOld(v.Secret(dialect.ClientSecret))}
	switch name {
	case Slow:
		timer := time.NewTimer(s.life() / 2)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	case Unavailable:
		var e dialect.Values
		e.SetDuration(dialect.RetryAfter, retryAfter)
		e.SetText(dialect.Path, r.URL.EscapedPath())
		e.SetTime(dialect.Now, time.Now())
		e.SetText(dialect.RequestID, "rehearsal")
		seen.status = reply(w, s.dialect.WriteError(dialect.Unavailable, e))
		s.note(seen)
		return
	}
	rec := httptest.NewRecorder()
	s.config.Server.ServeHTTP(rec, r)
	got := &dialect.Response{Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes()}
	if answer, err := op.ReadResponse(got); err == nil {
		s.give(answer, name)
		if name == Clock {
			got = setBack(op, answer, got)
		}
	}
	if name == Clock {
		got.Header.Set("Date", time.Now().Add(-behind).UTC().Format(http.TimeFormat))
	}
	seen.status = reply(w, got)
	s.note(seen)
}

// give notes a token that goes to the client.
func (s *Stage) give(answer dialect.Values, name ActName) {
	t := &given{}
	switch {
	case s.dialect.Token.Permanent:
	case name == Clock:
		t.end = time.Now().Add(clockLife)
	default:
		t.end = time.Now().Add(s.life())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[digest(answer.Secret(dialect.AccessToken).Reveal())] = t
}

// setBack moves the times of an answer to the server's wrong clock. Those inside
// a token stay: it is signed, and its holder has no business with them.
func setBack(op *dialect.Operation, v dialect.Values, got *dialect.Response) *dialect.Response {
	for _, h := range []dialect.Hole{dialect.IssuedAt, dialect.ExpiresAt, dialect.Now} {
		if v.Has(h) {
			v.SetTime(h, v.Time(h).Add(-behind))
		}
	}
	if written, err := op.WriteResponse(v); err == nil {
		written.Header.Set("Content-Type", "application/json")
		return written
	}
	return got
}

// call is a request for the API.
func (s *Stage) call(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	seen := scene{at: time.Now(), leaks: s.leaks(r), what: r.Method + " " + r.URL.RequestURI() + " " + string(sum[:8])}
	v, err := s.use.ReadRequest(&dialect.Request{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header, Body: body})
	s.mu.Lock()
	seen.act = s.act
	seen.token = digest(v.Secret(dialect.AccessToken).Reveal())
	t := s.tokens[seen.token]
	switch {
	case err != nil:
		seen.refused = bare
	case t == nil || t.dead:
		seen.refused = dead
	case !t.end.IsZero() && time.Now().After(t.end.Add(tolerated)):
		seen.refused, seen.late = ended, time.Since(t.end)
	case s.once:
		s.once = false
		seen.refused = chosen
	}
	s.mu.Unlock()
	if seen.refused != "" {
		var e dialect.Values
		e.SetText(dialect.Path, r.URL.EscapedPath())
		e.SetTime(dialect.Now, time.Now())
		e.SetText(dialect.RequestID, "rehearsal")
		refusal := s.dialect.WriteError(dialect.InvalidToken, e)
		refusal.Status = http.StatusUnauthorized // whatever its words: calls are retried on it
		seen.status = reply(w, refusal)
	} else {
		seen.status = reply(w, &dialect.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("{\"rehearsal\":true}\n")})
	}
	s.note(seen)
}

func digest(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func reply(w http.ResponseWriter, a *dialect.Response) int {
	for name, values := range a.Header {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a caller that has gone sees nothing
	return a.Status
}

// leaks reports whether a secret stands in the URL, which proxies log.
func (s *Stage) leaks(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.secrets, func(t secret.Text) bool {
		return strings.Contains(r.URL.RequestURI(), t.Reveal()) || strings.Contains(r.URL.Query().Encode(), t.Reveal())
	})
}

func (s *Stage) isOld(t secret.Text) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !t.IsZero() && !t.Equal(s.secrets[len(s.secrets)-1])
}

func (s *Stage) note(e scene) {
	e.end = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scenes = append(s.scenes, e)
}
