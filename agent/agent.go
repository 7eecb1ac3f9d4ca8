package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// An Agent is the proxy: an [http.Handler] for its own listener. New makes it
// ready; Watch keeps its credentials up to date; Close ends its renewals.
type Agent struct {
	log     *slog.Logger
	forward *carrier
	guard   atomic.Pointer[guard]
	serving atomic.Pointer[map[string]*upstream]
	tallies tallies

	mu       sync.Mutex // one change of settings at a time
	settings Settings
	retired  []*bearer.Source
	own      *http.ServeMux
}

// New makes an Agent of its settings. A log line never holds a credential.
func New(s Settings, log *slog.Logger) (*Agent, error) {
	a := &Agent{log: log, forward: newCarrier()}
	a.serving.Store(&map[string]*upstream{})
	a.own = a.routes()
	if err := a.Reload(s); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload puts other settings in place of those in use, or none of them where
// they have a fault. Upstreams that did not change keep their tokens.
func (a *Agent) Reload(s Settings) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.cache = s.cache.or(a.settings.cache)
	before := *a.serving.Load()
	after := map[string]*upstream{}
	var errs []error
	for _, name := range s.names() {
		u, err := a.open(&s, name, before[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		after[name] = u
	}
	if err := errors.Join(errs...); err != nil {
		for name, u := range after {
			if old := before[name]; old == nil || old.source != u.source {
				u.source.Close()
			}
		}
		return err
	}
	a.settings = s
	a.guard.Store(newGuard(s))
	a.swap(before, after)
	return nil
}

// swap retires the sources that are no longer in use. Requests under way may
// still wait for them, so they end with the agent; unused, they do nothing.
func (a *Agent) swap(before, after map[string]*upstream) {
	a.serving.Store(&after)
	for name, old := range before {
		if u := after[name]; u == nil || u.source != old.source {
			old.tally.retire(old.source)
			a.retired = append(a.retired, old.source)
		}
	}
}

// open makes an upstream, with the source of the one before where that serves.
func (a *Agent) open(s *Settings, name string, before *upstream) (*upstream, error) {
	r, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	r.config.Logger = a.log.With("upstream", name)
	u := &upstream{
		name: name, resolved: r, ran: time.Now(), tally: a.tallies.of(name),
		replaces: s.Upstreams[name].Authorization == replaceOwn,
	}
	if before != nil && before.source.Serves(r.config) {
		u.source = before.source
	} else if u.source, err = bearer.New(r.config); err != nil {
		return nil, fmt.Errorf("upstreams.%s: %w", name, err)
	}
	u.carriers, u.base = u.source.Carriers(), baseOf(u.source.Base())
	u.transport = &bearer.Transport{Source: u.source, Base: a.forward}
	u.proxy = u.newProxy()
	return u, nil
}

// How often files of credentials are looked at, and the commands run again
// whose credentials the token endpoint refuses.
const (
	watchEvery    = time.Second
	commandsEvery = 30 * time.Second
)

// Watch follows credentials that change outside, until ctx is done.
func (a *Agent) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.look()
		}
	}
}

func (a *Agent) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := *a.serving.Load()
	for name, u := range before {
		if !u.stale() {
			continue
		}
		next, err := a.open(&a.settings, name, u)
		if err != nil {
			a.log.Error("credentials could not be read again; the old ones stay", "upstream", name, "error", err)
			u.ran = time.Now()
			continue
		}
		if next.source != u.source {
			a.log.Info("credentials changed", "upstream", name)
		}
		after := maps.Clone(*a.serving.Load())
		after[name] = next
		a.swap(*a.serving.Load(), after)
	}
}

// Close ends renewals.
func (a *Agent) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range *a.serving.Load() {
		u.source.Close()
	}
	for _, s := range a.retired {
		s.Close()
	}
	a.forward.CloseIdleConnections()
}

// Token returns a live token of an upstream.
func (a *Agent) Token(ctx context.Context, name string) (*bearer.Token, error) {
	u := (*a.serving.Load())[name]
	if u == nil {
		return nil, errNoUpstream(name, a.Settings())
	}
	return u.source.Token(ctx)
}

// Settings returns those in use.
func (a *Agent) Settings() Settings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settings
}
