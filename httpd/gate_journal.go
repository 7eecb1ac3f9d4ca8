package httpd

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const (
	// beatEvery is how often a follower hears that nothing is wrong. The token
	// that it came with is looked at as often.
	beatEvery = 2 * time.Second
	// restBetween bounds what one follower costs when changes come in a stream:
	// those of this time go out together.
	restBetween = 5 * time.Millisecond
	// writePatience is how long a follower may take to read what it is sent.
	writePatience = 10 * time.Second
	// snapshotKept is how long a snapshot serves those who come after: it is
	// continued by the changes since. It spares the node from writing thousands
	// when thousands of gates come back at once.
	snapshotKept = 5 * time.Second
)

// addGateFollowing adds what remote gates follow and ask.
func (s *Server) addGateFollowing() {
	s.own["/gate/journal"] = s.route("gate.journal", s.serveJournal, refuseBearer)
	s.own["/gate/lookup"] = s.route("gate.lookup", s.serveLookup, refuseBearer)
	s.own["/gate/prove"] = s.route("gate.prove", s.serveProve, refuseBearer)
	s.own["/gate/refusals"] = s.route("gate.refusals", s.serveRefusals, refuseBearer)
}

// EndStreams ends the feeds of the journal, so that the server can shut down.
// Their readers come again, to another node or to this one's successor.
func (s *Server) EndStreams() { s.ending() }

// proveGate reads and judges the token of a gate: one of a client of standard
// OAuth 2.0 with the scope for it.
func (s *Server) proveGate(c *call) (secret.Text, *gatehouse.Claims, *gatehouse.Error) {
	headers := c.r.Header["Authorization"]
	if len(headers) == 0 {
		return secret.Text{}, nil, gatehouse.Refuse(gatehouse.MissingToken, gatehouse.ReasonMalformed, "the request has no Authorization header")
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || value == "" {
		return secret.Text{}, nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonMalformed, "the Authorization header does not hold one bearer token")
	}
	tok := secret.New(value)
	claims, err := s.engine.Validate(c.r.Context(), tok, gateRequirement)
	if err != nil {
		return tok, nil, gatehouse.AsError(err)
	}
	return tok, claims, nil
}

var gateRequirement = gatehouse.Requirement{Dialect: gatehouse.OAuth2, Scopes: []string{feed.Scope}}

// serveJournal streams the journal from ?since=N on.
func (s *Server) serveJournal(c *call) {
	asked := time.Now()
	if c.r.Method != http.MethodGet {
		c.Header()["Allow"] = []string{"GET"}
		refuseBearer(c, gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "the journal is read with GET"))
		return
	}
	tok, claims, refusal := s.proveGate(c)
	if refusal != nil {
		refuseBearer(c, refusal)
		return
	}
	since, refusal := readSince(c.r.URL.RawQuery)
	if refusal != nil {
		refuseBearer(c, refusal)
		return
	}
	h := c.Header()
	h["Content-Type"] = []string{feed.ContentType}
	h["Cache-Control"], h["X-Content-Type-Options"] = noStore, noSniff
	h["X-Accel-Buffering"] = []string{"no"} // nginx would hold it back
	c.WriteHeader(http.StatusOK)
	f := journalFeed{
		server: s, to: http.NewResponseController(c.ResponseWriter), out: c.ResponseWriter, asked: asked,
		token: tok, at: since, w: feed.Writer{Environment: claims.Environment},
	}
	err := f.run(c.r.Context())
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Debug("a follower of the journal was cut off", "request_id", c.id, "client", string(claims.ClientID), "error", err)
	}
}

func readSince(query string) (int64, *gatehouse.Error) {
	if query == "" {
		return 0, nil
	}
	value, ok := strings.CutPrefix(query, "since=")
	since, err := strconv.ParseInt(value, 10, 64)
	if !ok || err != nil || since < 0 {
		return 0, malformed("since must be a position of the journal, or be left out")
	}
	return since, nil
}

// A journalFeed is one follower being served.
type journalFeed struct {
	server *Server
	to     *http.ResponseController
	out    http.ResponseWriter
	asked  time.Time
	token  secret.Text
	at     int64     // told up to here
	sent   time.Time // when something was sent last
	w      feed.Writer
}

// run serves the follower until it goes away, the server ends, or its token
// stands no more.
func (f *journalFeed) run(ctx context.Context) error {
	if err := f.to.SetReadDeadline(time.Time{}); err != nil { // else the server's would end the request
		return err
	}
	beats := time.NewTicker(beatEvery)
	defer beats.Stop()
	if err := f.begin(ctx); err != nil {
		return err
	}
	for {
		grown, err := f.tell(ctx)
		if err != nil {
			return err
		}
		select {
		case <-grown:
			if err := f.rest(ctx); err != nil {
				return err
			}
		case <-beats.C:
			if _, err := f.server.engine.Validate(ctx, f.token, gateRequirement); err != nil {
				f.w.End()
				return errors.Join(f.flush(), err)
			}
			if err := f.beat(ctx); err != nil {
				return err
			}
		case <-f.server.streams.Done():
			f.w.End()
			return f.flush()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest waits where the follower was told something only just now.
func (f *journalFeed) rest(ctx context.Context) error {
	wait := restBetween - time.Since(f.sent)
	if wait <= 0 {
		return nil
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// beat tells what there is, and then how recent that is: as of a time that was
// read before.
func (f *journalFeed) beat(ctx context.Context) error {
	heard := f.server.engine.Heard()
	if _, err := f.tell(ctx); err != nil {
		return err
	}
	if err := f.w.Beat(f.at, heard.Sub(f.asked)); err != nil {
		return err
	}
	return f.flush()
}

// begin says hello, and sends a snapshot where the follower's position can't
// be continued; then a first beat.
func (f *journalFeed) begin(ctx context.Context) error {
	_, _, err := f.server.engine.Changes(ctx, f.at)
	anew := f.at == 0 || errors.Is(err, gatehouse.ErrJournalGone)
	if err != nil && !anew {
		return err
	}
	if err := f.hello(anew); err != nil {
		return err
	}
	if anew {
		if err := f.snapshot(); err != nil {
			return err
		}
	}
	return f.beat(ctx)
}

func (f *journalFeed) hello(snapshot bool) error {
	issuers := map[gatehouse.Environment]string{}
	for _, env := range gatehouse.Environments {
		issuers[env] = f.server.engine.Issuer(env)
	}
	return f.w.Hello(feed.Hello{Environment: f.w.Environment, Issuers: issuers, Snapshot: snapshot, Beat: beatEvery.Milliseconds(), OldIssuers: f.server.engine.TakesOldIssuers()})
}

// tell sends what the journal has had since, to its end.
func (f *journalFeed) tell(ctx context.Context) (grown <-chan struct{}, err error) {
	for {
		changes, grown, err := f.server.engine.Changes(ctx, f.at)
		if errors.Is(err, gatehouse.ErrJournalGone) {
			// The node itself had to read everything anew.
			if err := f.snapshot(); err != nil {
				return nil, err
			}
			continue
		} else if err != nil {
			return nil, err
		}
		if len(changes) == 0 {
			return grown, nil
		}
		if err := f.write(changes); err != nil {
			return nil, err
		}
		if err := f.flush(); err != nil {
			return nil, err
		}
	}
}

// maxUnsent bounds what a follower's events take in memory.
const maxUnsent = 64 << 10

func (f *journalFeed) write(changes []gatehouse.Change) error {
	for i := range changes {
		if err := f.w.Change(&changes[i]); err != nil {
			return err
		}
		f.at = changes[i].Seq
		if f.w.Len() > maxUnsent {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *journalFeed) snapshot() error {
	if err := f.flush(); err != nil {
		return err
	}
	snap, err := f.server.snapshots.of(f.server.engine, f.w.Environment)
	if err != nil {
		return err
	}
	f.at = snap.seq
	for rest := snap.events; len(rest) > 0; {
		n := min(len(rest), maxUnsent)
		if err := f.send(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (f *journalFeed) flush() error { return f.send(f.w.Take()) }

func (f *journalFeed) send(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	f.sent = time.Now()
	if err := f.to.SetWriteDeadline(f.sent.Add(writePatience)); err != nil {
		return err
	}
	if _, err := f.out.Write(b); err != nil {
		return err
	}
	return f.to.Flush()
}

// snapshots keeps the newest one of each environment for a moment.
type snapshots struct {
	mu   sync.Mutex
	kept map[gatehouse.Environment]*snapshot
}

type snapshot struct {
	seq    int64
	events []byte
	made   time.Time
}

func (s *snapshots) of(e Engine, env gatehouse.Environment) (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kept[env]; k != nil && time.Since(k.made) < snapshotKept {
		if _, _, err := e.Changes(context.Background(), k.seq); err == nil {
			return k, nil
		}
	}
	made := time.Now()
	state, keys := e.State()
	w := feed.Writer{Environment: env}
	if err := w.Snapshot(state, keys); err != nil {
		return nil, err
	}
	k := &snapshot{state.Seq, w.Take(), made}
	if s.kept == nil {
		s.kept = map[gatehouse.Environment]*snapshot{}
	}
	s.kept[env] = k
	time.AfterFunc(2*snapshotKept, func() { s.forget(env, k) })
	return k, nil
}

func (s *snapshots) forget(env gatehouse.Environment, k *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[env] == k {
		delete(s.kept, env)
	}
}
