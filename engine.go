package gatehouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/credential"
)

// Config is what an Engine is made of. Store and Sealer are required.
type Config struct {
	Store         Store
	Sealer        *credential.Sealer
	Issuer        string // live's issuer; "" is the one kept in the store
	DefaultIssuer string // kept in the store at the first start of all nodes, where Issuer is ""
	Policies      []Policy
	Limits        bool         // enforce issuance limits and slow down wrong secrets
	SharedLimits  SharedLimits // counts them for all nodes; nil: each counts its share
	ManyNodes     bool         // others may have the Store open
	Logger        *slog.Logger
	Now           func() time.Time // the wall clock; nil is time.Now
	KeyLife       time.Duration    // how long a key signs; 0 is 30 days
	MaxLag        time.Duration    // how stale the journal may be; 0 is 5 seconds
	OnLagOpen     bool             // go on validating beyond MaxLag
	SlowChecks    int              // imported slow hashes checked at once; 0 is 2
}

// An Engine issues, refreshes, exchanges, validates, introspects, revokes and
// delinks. It is safe for concurrent use. Its errors can be read by AsError.
type Engine struct {
	Verifier
	store    Store
	sealer   *credential.Sealer
	digester *credential.Digester
	secrets  *secretChecker
	changes  *changeLog
	refusals *RefusalLog
	issuance *issuanceLimits
	members  *membership // nil: no other node has the store open
	uses     *useCounter
	replays  inFlight
	log      *slog.Logger
	live     string // the issuer
	keyLife  time.Duration

	arrivals   *turnstile
	sightings  *sightingLog
	oldIssuers atomic.Pointer[[]OldIssuer]
	keyRecords atomic.Pointer[[]KeyRecord]
	following  sync.Mutex // held by whoever reads the journal
	keyMaking  sync.Mutex // held by whoever changes signing keys
	cursorKey  [32]byte
}

// What keyed digests are taken for. A digest of one purpose equals none of another.
const (
	digestToken      = "token"
	digestSecret     = "client secret"
	digestUserSecret = "user secret"
	digestCode       = "authorization code"
)

// Names of settings and of sealed values.
const (
	settingIssuer    = "issuer"
	settingDigestKey = "digest key"
	settingCursorKey = "cursor key"
	sealedKey        = "signing key"
	sealedImport     = "imported hash"
	sealedAnswer     = "answer to replay"
)

// Open loads what a node keeps in memory and makes the signing keys that are
// missing. The engine is ready when it returns; Run keeps it so.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{
		store:    cfg.Store,
		sealer:   cfg.Sealer,
		uses:     newUseCounter(),
		changes:  newChangeLog(),
		refusals: NewRefusalLog(keptRefusals),
		log:      cfg.Logger,
		keyLife:  cfg.KeyLife,
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.keyLife == 0 {
		e.keyLife = 30 * 24 * time.Hour
	}
	e.clock = newClock(cfg.Now)
	e.state = newState()
	e.cache = newVerdictCache()
	e.issuer = e.Issuer
	e.find, e.elsewhere = e.findOpaque, e.elsewhereOf
	e.arrivals, e.sightings = newTurnstile(), newSightingLog()
	e.unknown = e.store.Client
	e.maxLag, e.lagOpen = cfg.MaxLag, cfg.OnLagOpen
	if e.maxLag == 0 {
		e.maxLag = 5 * time.Second
	}

	if cfg.ManyNodes {
		e.members = newMembership(cfg.Store, e.clock, e.nodeCard)
	}
	if err := e.openSettings(ctx, cfg); err != nil {
		return nil, err
	}
	slowChecks := cfg.SlowChecks
	if slowChecks == 0 {
		slowChecks = 2
	}
	counted := counting{enforced: cfg.Limits, shared: cfg.SharedLimits, nodes: e.Nodes, digester: e.digester}
	e.issuance = newIssuanceLimits(counted)
	e.secrets = newSecretChecker(e.digester, e.sealer, slowChecks, newWrongSecrets(e.clock, counted))

	if err := e.load(ctx); err != nil {
		return nil, err
	}
	if err := e.SetPolicies(cfg.Policies); err != nil {
		return nil, err
	}
	return e, nil
}

// openSettings reads what all nodes share, and makes it at the first start.
func (e *Engine) openSettings(ctx context.Context, cfg Config) error {
	digestKey, err := e.sharedKey(ctx, settingDigestKey)
	if err != nil {
		return err
	}
	e.digester = credential.NewDigester(digestKey)
	if e.cursorKey, err = e.sharedKey(ctx, settingCursorKey); err != nil {
		return err
	}
	e.live = cfg.Issuer
	if e.live == "" {
		kept, err := e.store.Setting(ctx, settingIssuer, []byte(cfg.DefaultIssuer))
		if err != nil {
			return fmt.Errorf("reading the issuer: %w", err)
		}
		e.live = string(kept)
	}
	e.live = strings.TrimSuffix(e.live, "/")
	u, err := url.Parse(e.live)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("the issuer %q is not a URL without query and fragment: give one such as https://auth.example.com", e.live)
	}
	return nil
}

// sharedKey returns a random key that the store keeps sealed.
func (e *Engine) sharedKey(ctx context.Context, name string) (key [32]byte, err error) {
	_, _ = rand.Read(key[:])
	sealed, err := e.sealer.Seal(name, key[:])
	if err != nil {
		return key, fmt.Errorf("sealing the %s: %w", name, err)
	}
	kept, err := e.store.Setting(ctx, name, sealed)
	if err != nil {
		return key, fmt.Errorf("reading the %s: %w", name, err)
	}
	plain, err := e.sealer.Open(name, kept)
	if err != nil {
		return key, fmt.Errorf("opening the %s: %w", name, err)
	}
	if copy(key[:], plain) != len(key) {
		return key, fmt.Errorf("the %s in the store is damaged", name)
	}
	return key, nil
}

// Issuer returns the issuer of an environment: live's is the server's URL,
// sandbox's is that and "/sandbox" (RFC 8414 §3.1).
func (e *Engine) Issuer(env Environment) string {
	if env == Live {
		return e.live
	}
	return e.live + "/" + string(env)
}

// Now is the time by which tokens are judged.
func (e *Engine) Now() time.Time { return e.clock.now() }

// Ready reports why the engine can't serve now, or nil.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.store.Ping(ctx); err != nil {
		return err
	}
	if lag := e.state.lag(e.clock.wall()); lag > e.maxLag {
		return fmt.Errorf("the journal was last read %s ago; the bound is %s", lag.Round(time.Millisecond), e.maxLag)
	}
	return nil
}

// Run follows the journal and does what is due: rotation, expiry, the counts
// of uses. It returns when ctx has ended, after a last flush.
func (e *Engine) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { e.follow(ctx) })
	if e.members != nil {
		beside.Go(func() { e.members.run(ctx) })
	}
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	seen := e.clock.wall()
	err := e.rotateDue(ctx) // a first start left keys to be made
	for {
		e.complain(ctx, err)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return errors.Join(e.flushUses(last), e.shareRefusals(last), e.flushSightings(last), e.noteTime(last))
		case <-flush.C:
			err = errors.Join(e.flushUses(ctx), e.shareRefusals(ctx), e.noteJump(ctx, &seen))
		case <-minute.C:
			err = e.Upkeep(ctx)
		}
	}
}

// follow reads the journal whenever it may have grown, and often enough to know
// that it hasn't. It waits for nothing else that Run does: what was revoked
// elsewhere passes here until it is read.
func (e *Engine) follow(ctx context.Context) {
	tick := time.NewTicker(e.maxLag / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.store.Wake():
		case <-tick.C:
		}
		e.complain(ctx, e.catchUp(ctx))
	}
}

func (e *Engine) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		e.log.Error("background work failed; it will be tried again", "error", err)
	}
}

// Upkeep is the work of each minute: keys that are due, what has expired, what time it is. Run does it.
func (e *Engine) Upkeep(ctx context.Context) error {
	if behind := e.clock.behind(); behind > 2*time.Second {
		e.log.Warn("the machine's clock was set back; tokens are judged by the newest time seen until it has caught up", "behind", behind)
	}
	now := e.clock.now()
	e.state.forget(now)
	gone, err := e.expire(ctx, now)
	if gone.Partitions > 0 {
		e.log.Info("expired tokens left the ledger", "partitions", gone.Partitions, "tokens", gone.Tokens)
	}
	return errors.Join(err, e.rotateDue(ctx), e.flushSightings(ctx), e.noteTime(ctx))
}

// expire drops what expired long ago, by the clock that all nodes on the store
// share too: one node that is days ahead must not drop what others have issued.
func (e *Engine) expire(ctx context.Context, now time.Time) (Expired, error) {
	shared, err := e.store.Time(ctx)
	if err != nil {
		return Expired{}, fmt.Errorf("reading the store's clock: %w", err)
	}
	if !shared.IsZero() {
		now = earlierOf(shared, now)
	}
	return e.store.Expire(ctx, now.Add(-expiredKept))
}

// load replaces the state by a snapshot.
func (e *Engine) load(ctx context.Context) error {
	start := e.clock.wall()
	snap, err := e.store.Load(ctx, e.clock.now())
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	e.clock.atLeast(snap.Newest)
	if err := e.recallTime(ctx); err != nil {
		return err
	}
	if err := e.useKeys(snap.Keys); err != nil {
		return err
	}
	e.state.replace(snap)
	e.changes.restart(snap.Seq)
	e.state.heard.Store(&start)
	return nil
}

// catchUp reads the journal to its end.
func (e *Engine) catchUp(ctx context.Context) error {
	const page = 1000
	e.following.Lock()
	defer e.following.Unlock()
	for {
		start := e.clock.wall()
		entries, err := e.store.Journal(ctx, e.state.seq.Load(), page)
		if errors.Is(err, ErrJournalGone) {
			return e.load(ctx)
		} else if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		if err := e.take(ctx, entries); err != nil {
			return err
		}
		if len(entries) < page {
			e.state.heard.Store(&start)
			return nil
		}
	}
}

// take applies entries, after reading what they only name.
func (e *Engine) take(ctx context.Context, entries []Entry) error {
	changed := map[ClientID]*Client{}
	keysChanged := false
	for _, entry := range entries {
		switch entry.Kind {
		case EntryClientChanged:
			if changed[entry.Client] != nil {
				continue
			}
			c, err := e.store.Client(ctx, entry.Client)
			if err != nil {
				return fmt.Errorf("reading client %s: %w", entry.Client, err)
			}
			changed[entry.Client] = c
		case EntryKeysChanged:
			keysChanged = true
		}
	}
	if keysChanged {
		keys, err := e.store.Keys(ctx)
		if err != nil {
			return fmt.Errorf("reading the signing keys: %w", err)
		}
		if err := e.useKeys(keys); err != nil {
			return err
		}
	}
	e.state.apply(entries, changed)
	e.changes.append(entries, changed, e.ring.Load())
	return nil
}

// settle makes a committed change count on this node before its maker hears of
// it. The change stands even where this fails: the follower tries again.
func (e *Engine) settle(ctx context.Context) {
	if err := e.catchUp(context.WithoutCancel(ctx)); err != nil {
		e.log.Error("a committed change is not in force on this node yet; it will be tried again", "error", err)
	}
}

// SetPolicies puts the dialects' policies in force beside the standard one, and
// makes the signing keys that they need. On an error the old ones stay.
func (e *Engine) SetPolicies(policies []Policy) error {
	set := map[string]*Policy{OAuth2: standardPolicy()}
	for i := range policies {
		p := policies[i]
		if _, twice := set[p.Dialect]; twice {
			return fmt.Errorf("two dialects are called %s: rename one", p.Dialect)
		}
		set[p.Dialect] = &p
	}
	for _, c := range e.state.all() {
		if c.State != Deleted && set[c.Dialect] == nil {
			return fmt.Errorf("client %s (%s) speaks dialect %s, which is not loaded: load its file, or delete the client first", c.ID, c.Name, c.Dialect)
		}
	}
	if err := e.ensureKeys(context.Background(), set); err != nil {
		return err
	}
	e.policies.Store(&set)
	return nil
}

// Policy returns the policy of a dialect, or of OAuth2.
func (e *Engine) Policy(dialect string) (Policy, bool) {
	p := (*e.policies.Load())[dialect]
	if p == nil {
		return Policy{}, false
	}
	return *p, true
}
