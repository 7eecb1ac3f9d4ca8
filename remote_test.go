package gatehouse_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
	"github.com/gatehouse-auth/gatehouse/token"
)

// far makes a verifier away from w's store, with w's state.
func (w *world) far(t testing.TB) *gatehouse.Remote {
	t.Helper()
	r, err := gatehouse.NewRemote(gatehouse.RemoteConfig{
		Policies: ours, Lookup: w.Lookup, Client: w.LookupClient, Now: w.cfg.Now, MaxLag: w.cfg.MaxLag,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tell(t, r)
	return r
}

func (w *world) tell(t testing.TB, r *gatehouse.Remote) {
	t.Helper()
	snap, keys := w.State()
	issuers := map[gatehouse.Environment]string{}
	for _, env := range gatehouse.Environments {
		issuers[env] = w.Issuer(env)
	}
	if err := r.Reset(issuers, snap, keys); err != nil {
		t.Fatal(err)
	}
	r.Heard(w.Heard())
}

func TestRemoteKnowsNothingAtFirst(t *testing.T) {
	w := newWorld(t)
	tok := w.issue(t, w.partner(t, gatehouse.OAuth2), gatehouse.Live).Access
	r, err := gatehouse.NewRemote(gatehouse.RemoteConfig{Lookup: w.Lookup, Client: w.LookupClient, OnLagOpen: true, Now: w.cfg.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Validate(ctx, tok, gatehouse.Requirement{})
	refused(t, err, gatehouse.Unavailable, gatehouse.ReasonStale)
	w.tell(t, r)
	if _, err := r.Validate(ctx, tok, gatehouse.Requirement{}); err != nil {
		t.Error(err)
	}
	if err := r.Apply([]gatehouse.Change{{Entry: gatehouse.Entry{Seq: r.Seq() - 1}}}); err == nil {
		t.Error("a journal that went back is taken")
	}
}

// Whatever a follower has missed, it gets: from memory, from the store, or
// with a new state.
func TestChangesAfterAnyPosition(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	start, _ := w.State()
	var revoked []gatehouse.TokenID
	for range 20 {
		issued := w.issue(t, p, gatehouse.Live)
		if _, err := w.RevokeToken(ctx, operator, issued.Access); err != nil {
			t.Fatal(err)
		}
		revoked = append(revoked, issued.Record.ID)
	}
	check := func(when string) {
		t.Helper()
		var got []gatehouse.TokenID
		for at := start.Seq; ; {
			changes, _, err := w.Changes(ctx, at)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if len(changes) == 0 {
				break
			}
			for _, c := range changes {
				if c.Seq <= at {
					t.Fatalf("%s: position %d after %d", when, c.Seq, at)
				}
				at = c.Seq
				if c.Kind == gatehouse.EntryTokenRevoked {
					got = append(got, c.Token)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(revoked) {
			t.Errorf("%s: %d of %d revocations were told", when, len(got), len(revoked))
		}
	}
	check("from memory")
	w.restart(t) // the new engine has none of them in memory
	check("from the store")
	_, grown, err := w.Changes(ctx, 1<<40)
	if err == nil {
		t.Error("a position that the journal never had is continued")
	}
	newest, _ := w.State()
	if _, grown, err = w.Changes(ctx, newest.Seq); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(ctx, operator, gatehouse.Selection{Client: p.ID}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-grown:
	case <-time.After(5 * time.Second):
		t.Error("nobody is told that there is more")
	}
}

// One million revocations: what they take in a verifier's memory, and how long
// taking them in lasts.
func TestMillionRevocationsInMemory(t *testing.T) {
	w := newWorld(t)
	r := w.far(t)
	snap, keys := w.State()
	now := w.clock.now()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	list := make([]gatehouse.RevokedToken, 1_000_000)
	for i := range list {
		list[i] = gatehouse.RevokedToken{ID: token.NewID(now), Until: now.Add(time.Hour)}
	}
	last := list[len(list)-1].ID
	snap.Revoked = list
	began := time.Now()
	if err := r.Reset(map[gatehouse.Environment]string{}, snap, keys); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	snap.Revoked, list = nil, nil
	held := float64(heap()-before) / (1 << 20)
	t.Logf("1,000,000 revocations: %.1f MiB, taken in within %s", held, took.Round(time.Millisecond))
	if r.Revocations() != 1_000_000 || last.IsZero() {
		t.Error("some are lost")
	}
	if held > 100 {
		t.Errorf("they take %.1f MiB, promised are 100", held)
	}
	if took > 2*time.Second {
		t.Errorf("they take %s, promised are 2 s", took)
	}
	runtime.KeepAlive(r)
}

// A start with many revocations on the ledger: a million in the long run, and
// as many as there is time for otherwise, with the bound in proportion.
func TestStartWithManyRevocations(t *testing.T) {
	n := 30_000
	if soak() {
		n = 1_000_000
	}
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	now := w.clock.now()
	work := make(chan int)
	var group sync.WaitGroup
	for range 256 {
		group.Go(func() {
			for range work {
				var rows []gatehouse.TokenRecord
				for range 3 {
					rows = append(rows, gatehouse.TokenRecord{
						ID: token.NewID(now), Kind: gatehouse.AccessToken, Client: p.ID, Environment: gatehouse.Live, Dialect: gatehouse.OAuth2,
						Name: "many", IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour).Truncate(time.Second),
					})
				}
				if err := w.store.Record(ctx, &gatehouse.Grant{At: now, Tokens: rows}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n / 3 {
		work <- i
	}
	close(work)
	group.Wait()
	revoked, err := w.Revoke(ctx, operator, gatehouse.Selection{Client: p.ID, Name: "many"})
	if err != nil || revoked.Tokens < n/3*3 {
		t.Fatalf("%d revoked: %v", revoked.Tokens, err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	store, err := sqlite.Open(ctx, w.dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w.cfg.Store = store
	e, err := gatehouse.Open(ctx, w.cfg)
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	snap, _ := e.State()
	t.Logf("a start with %d revocations took %s", len(snap.Revoked), took.Round(time.Millisecond))
	if len(snap.Revoked) < n/3*3 {
		t.Errorf("%d of %d are known", len(snap.Revoked), n)
	}
	bound := 2 * time.Second
	if n < 1_000_000 {
		bound = 300*time.Millisecond + bound*time.Duration(n)/1_000_000 // an empty start's own promise, and its share
	}
	if took > bound {
		t.Errorf("promised are %s", bound)
	}
}

// BenchmarkValidateFirstSeen checks tokens that it has never seen, and sets the
// time beside that of the bare Ed25519 verification of the same bytes.
func BenchmarkValidateFirstSeen(b *testing.B) {
	w := newWorld(b, func(c *gatehouse.Config) { c.Now = time.Now })
	p := w.partner(b, gatehouse.OAuth2)
	toks := make([]secret.Text, 2000)
	signed, signatures := make([][]byte, len(toks)), make([][]byte, len(toks))
	for i := range toks {
		toks[i] = w.issue(b, p, gatehouse.Live).Access
		text := toks[i].Reveal()
		at := strings.LastIndexByte(text, '.')
		signed[i] = []byte(text[:at])
		signatures[i], _ = base64.RawURLEncoding.DecodeString(text[at+1:])
	}
	_, keys := w.State()
	var public ed25519.PublicKey
	for _, k := range keys {
		if key, ok := k.Public.(ed25519.PublicKey); ok && ed25519.Verify(key, signed[0], signatures[0]) {
			public = key
		}
	}
	r := w.far(b)
	want := gatehouse.Requirement{Environment: gatehouse.Live}
	// The least of many short runs is what the code takes; the rest is what else
	// the machine was doing.
	const run = 200
	least := func(to *time.Duration, took time.Duration) {
		if *to == 0 || took < *to {
			*to = took
		}
	}
	var bare, whole time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += run {
		b.StopTimer()
		w.tell(b, r) // forgets the tokens
		first := done % len(toks)
		began := time.Now()
		for i := first; i < first+run; i++ {
			if !ed25519.Verify(public, signed[i], signatures[i]) {
				b.Fatal("not signed by this key")
			}
		}
		least(&bare, time.Since(began))
		b.StartTimer()
		began = time.Now()
		for i := first; i < first+run; i++ {
			if _, err := r.Validate(context.Background(), toks[i], want); err != nil {
				b.Fatal(err)
			}
		}
		least(&whole, time.Since(began))
	}
	b.ReportMetric(float64(bare.Nanoseconds())/run, "bare-ns/op")
	b.ReportMetric(float64(whole.Nanoseconds())/run, "least-ns/op")
	b.ReportMetric(float64(whole)/float64(bare), "x-bare")
}
