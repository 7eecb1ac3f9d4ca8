package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
)

// Store is what a Sender needs of a gatehouse.Store.
type Store interface {
	Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error
	Document(ctx context.Context, kind, key string) (*gatehouse.Document, error)
	Documents(ctx context.Context, kind, owner, after string, limit int) ([]gatehouse.Document, error)
	Audit(ctx context.Context, before int64, limit int) ([]gatehouse.Event, error)
	Token(ctx context.Context, id gatehouse.TokenID) (*gatehouse.TokenRecord, error)
	Connection(ctx context.Context, id gatehouse.ConnectionID) (*gatehouse.Connection, error)
}

// Clients is what a Sender needs of a *gatehouse.Engine.
type Clients interface {
	Client(id gatehouse.ClientID) (*gatehouse.Client, bool)
}

// Config is what a Sender is made of. Store, Clients and Sealer are required.
type Config struct {
	Store   Store
	Clients Clients
	Sealer  *credential.Sealer
	// WireID writes a client's id as it goes on the wire; nil is as it is.
	WireID func(c *gatehouse.Client, env gatehouse.Environment) string
	// Alone says that no other process has this store: a lease that is there was
	// left by one that has ended.
	Alone bool
	// Networks are addresses that messages may be sent to though they are not
	// public, by plain HTTP too.
	Networks []netip.Prefix
	Version  string       // of this program, for the User-Agent
	Logger   *slog.Logger // nil discards

	tls   *tls.Config     // tests only: whose certificates are believed
	waits []time.Duration // tests only: shorter waits between tries
	poll  time.Duration   // tests only: a quicker look at the events
	lease time.Duration   // tests only: a shorter one
	limit limits          // tests only: shorter ones
}

// A Sender queues messages and delivers them. Several, on one store, share the
// work. It is safe for concurrent use.
type Sender struct {
	store    Store
	clients  Clients
	sealer   *credential.Sealer
	wireID   func(c *gatehouse.Client, env gatehouse.Environment) string
	alone    bool
	networks []netip.Prefix
	guard    *ssrf.Guardian
	agent    string
	log      *slog.Logger
	tls      *tls.Config
	waits    []time.Duration
	poll     time.Duration
	lease    time.Duration
	limit    limits
	http     map[string]*http.Client // by scheme

	mu    sync.Mutex
	later map[string]time.Time // endpoints that are being seen to, or need not be looked at before
	slots chan struct{}

	counts struct{ delivered, failed, dead atomic.Int64 }
}

// Counts are what this process has done since its start.
type Counts struct{ Delivered, Failed, Dead int64 }

// limits are how long things may last.
type limits struct {
	attempt  time.Duration // one delivery, its answer included
	patience time.Duration // a message is tried, before it is put on the dead-letter list
}

// atOnce is how many endpoints one node sees to side by side. One that hangs
// takes up one of them for attemptTimeout, and then waits.
const atOnce = 32

// New makes a Sender. It does nothing by itself before Run.
func New(cfg Config) *Sender {
	s := &Sender{
		store: cfg.Store, clients: cfg.Clients, sealer: cfg.Sealer, wireID: cfg.WireID, alone: cfg.Alone, networks: cfg.Networks, guard: guard(cfg.Networks),
		agent: "Gatehouse", log: cfg.Logger, tls: cfg.tls, waits: cfg.waits, poll: cfg.poll, lease: cfg.lease,
		later: map[string]time.Time{}, slots: make(chan struct{}, atOnce),
	}
	if cfg.Version != "" {
		s.agent += "/" + cfg.Version
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.wireID == nil {
		s.wireID = func(c *gatehouse.Client, env gatehouse.Environment) string {
			id, _ := c.WireID(env)
			return string(id)
		}
	}
	if s.waits == nil {
		s.waits = waits
	}
	if s.limit = cfg.limit; s.limit.attempt == 0 {
		s.limit.attempt = attemptTimeout
	}
	if s.limit.patience == 0 {
		s.limit.patience = patience
	}
	if s.poll == 0 {
		s.poll = time.Second
	}
	if s.lease == 0 {
		s.lease = leaseLife
	}
	s.http = map[string]*http.Client{"https": s.client("https"), "http": s.client("http")}
	return s
}

// Counts returns what this process has done.
func (s *Sender) Counts() Counts {
	return Counts{s.counts.delivered.Load(), s.counts.failed.Load(), s.counts.dead.Load()}
}

// Run queues and delivers until ctx ends, and returns when the deliveries under
// way have ended.
func (s *Sender) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	failing := false
	for {
		err := s.queueAll(ctx)
		if err == nil {
			err = s.dispatch(ctx, &working)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.log.Warn("webhooks are not looked after: the store can't be asked", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// dispatch begins to see to each endpoint that has messages pending.
func (s *Sender) dispatch(ctx context.Context, working *sync.WaitGroup) error {
	for after := ""; ; {
		next, err := s.store.Documents(ctx, kindPending, "", after, 1)
		if err != nil || len(next) == 0 {
			return err
		}
		id := next[0].Owner
		after = id + "/~" // past all keys of this endpoint
		if !s.begin(id) {
			continue
		}
		select {
		case s.slots <- struct{}{}:
		default:
			s.end(id, time.Time{})
			return nil // all are busy; the others come next
		}
		working.Go(func() {
			defer func() { <-s.slots }()
			until, err := s.see(ctx, id)
			if err != nil && ctx.Err() == nil && !errors.Is(err, errElsewhere) {
				s.log.Warn("a webhook's deliveries could not be recorded", "webhook", id, "error", err)
			}
			s.end(id, until)
		})
	}
}

// farFuture marks an endpoint as being seen to.
var farFuture = time.Unix(1<<40, 0)

// begin reports whether an endpoint is to be looked at now, and marks it.
func (s *Sender) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.later[id]) {
		return false
	}
	s.later[id] = farFuture
	return true
}

// lookAgain bounds how long an endpoint that waits is not looked at: its owner
// may have asked for a try meanwhile, through another node.
const lookAgain = 10 * time.Second

// end takes the mark away, and looks at the endpoint no sooner than until.
func (s *Sender) end(id string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !until.After(now) {
		delete(s.later, id)
		return
	}
	s.later[id] = now.Add(min(until.Sub(now), lookAgain)) // by the monotonic clock, too
}

// sooner has an endpoint looked at at the next turn.
func (s *Sender) sooner(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later[id] != farFuture {
		delete(s.later, id)
	}
}
