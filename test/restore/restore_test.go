package restore_test

import (
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/node"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// What was revoked stays revoked: over kill -9 and restart, and over the restore
// of an older copy, with and without the journal of the time after it.
func TestRevokedStaysRevoked(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { revokedStaysRevoked(newLedger(t, nil)) })
	t.Run("postgres", func(t *testing.T) { revokedStaysRevoked(newLedger(t, postgrestest.Start(t))) })
}

func revokedStaysRevoked(l *ledger) {
	l.start()
	gate := l.partner("gate", "oauth2", "gatehouse:gate")
	var partners []*partner
	for _, dialect := range []string{"oauth2", "papaya", "su", "dapi"} {
		partners = append(partners, l.partner("partner-"+dialect, dialect))
	}
	swept, leaky, spare := l.partner("swept", "oauth2"), l.partner("leaky", "oauth2"), l.partner("spare", "oauth2")
	journal := l.keepJournal()
	far := l.followFrom(gate)

	// 1. Revoked, killed, started again.
	var revoked, standing []*holding
	for range trials() {
		for _, p := range partners {
			for _, h := range l.gets(p) {
				l.revoke(h)
				revoked = append(revoked, h)
			}
			standing = append(standing, l.gets(p)...)
		}
	}
	standing = slices.DeleteFunc(standing, func(h *holding) bool { return h.what == "refresh token" }) // to try one is to spend it
	var crash tally
	l.kill()
	l.start()
	far.to(l)
	l.refused("after kill -9", &crash, revoked)
	l.stand("after kill -9", standing)

	// 2. A copy; and then what the copy doesn't know.
	doomed := standing[:len(standing)/2]
	kept := standing[len(standing)/2:]
	var after []*holding // ended after the copy, or issued after it
	for _, p := range []*partner{swept, leaky} {
		for range trials() {
			after = append(after, l.gets(p)...)
		}
	}
	link := l.connect(partners[3])
	rotated := l.gets(spare)[1]
	copied := l.copy()
	if access, next := l.refresh(rotated); access == "" || next == "" {
		l.Fatal("a refresh token gives nothing")
	}
	if token, _ := l.exchange(partners[3], link.AccessCode.Reveal(), link.ConnectionID); token == "" {
		l.Fatal("a code was not exchanged")
	}
	after = append(after, rotated, &holding{what: "access code", of: partners[3], value: link.AccessCode.Reveal(), link: link.ConnectionID})
	for _, h := range doomed {
		l.revoke(h)
	}
	after = append(after, doomed...)
	done(l, func() (admin.Revoked, error) { return l.api.Revoke(background, admin.Selection{ClientID: swept.id}) })
	done(l, func() (admin.RetiredSecret, error) { return l.api.RetireSecret(background, leaky.secretID, true) })
	done(l, func() (admin.ClientStateChanged, error) { return l.api.DisableClient(background, spare.id) })
	keys := done(l, func() (admin.List[admin.Key], error) {
		return l.api.RotateKeys(background, admin.RotateKeys{Environment: "live", Format: "papaya"})
	})
	done(l, func() (admin.List[admin.Key], error) { return l.api.RetireKey(background, signing(keys), true) })
	var lost []*holding // issued after the copy, on no ledger that comes back
	for range trials() {
		for _, p := range partners {
			lost = append(lost, l.gets(p)...)
		}
	}
	handedOut := l.keyIDs()
	far.caughtUp(l)
	journal.caughtUp(l)
	journal.stop()
	l.kill()

	// 3. The copy comes back. Nothing passes that was given out before.
	ended := slices.Concat(revoked, after, kept, lost)
	var plain, byGate tally
	back, said := copied.restore()
	if said.Ended < len(standing) || said.Epoch == "" || len(said.Clients) < len(partners) || len(said.Unknown) == 0 {
		l.Errorf("the restore says %+v; there were %d tokens that stood", said, len(standing))
	}
	back.start()
	back.refused("after a restore", &plain, ended)
	back.fresh(partners[:3])
	handedOut = back.noneTwice(handedOut)
	// And from the same copy again, after the first one was used for a while.
	var between []*holding
	for _, p := range partners {
		between = append(between, back.gets(p)...)
	}
	far.to(back)
	far.caughtUp(back)
	for _, h := range ended {
		if h.what == "refresh token" || h.what == "access code" {
			continue
		}
		byGate.tried++
		if far.passes(h) {
			byGate.resurrected++
			l.Errorf("a far gate that followed the old journal lets a %s pass", h.what)
		}
	}
	for _, h := range between {
		if h.what != "refresh token" && !far.passes(h) {
			l.Errorf("a far gate refuses a %s of after the restore", h.what)
		}
	}
	back.kill()
	if l.server == nil || soak() { // the same code on both stores, and each start takes its time
		again, second := copied.restore()
		if second.Seq <= said.Seq {
			l.Errorf("the journal goes on at %d, and after an earlier restore it was at %d", second.Seq, said.Seq)
		}
		again.start()
		again.refused("after a second restore", &plain, slices.Concat(ended, between))
		again.noneTwice(handedOut)
		again.kill()
	}

	// 4. With the journal: what was revoked is ended, what the ledger alone knows
	// and nobody revoked stands.
	var told tally
	with, said := copied.restore("--journal", journal.file)
	if said.Epoch != "" {
		l.Errorf("an epoch was written though the journal was given: %+v", said)
	}
	with.start()
	with.refused("after a restore with the journal", &told, slices.Concat(revoked, after, lost))
	stood := slices.DeleteFunc(slices.Clone(kept), func(h *holding) bool { return !h.opaque })
	if len(stood) == 0 {
		l.Fatal("no opaque token was kept: the test proves nothing")
	}
	with.stand("after a restore with the journal", stood)
	if status := with.status(leaky); status == 200 {
		l.Error("a secret that was retired as compromised is live again, in spite of the journal")
	}
	if status := with.status(spare); status == 200 {
		l.Error("a client that was disabled is enabled again, in spite of the journal")
	}
	with.fresh(partners[:3])
	with.noneTwice(handedOut)
	if report := done(with, func() (admin.AuditReport, error) { return with.api.CheckAudit(background) }); !report.Clean {
		l.Errorf("the hash chains after all this: %+v", report)
	}
	with.kill()
	l.Logf("kill -9 and restart: %v; restore of an older copy: %v; at a far gate: %v; restore with the journal: %v, %d opaque tokens stand",
		&crash, &plain, &byGate, &told, len(stood))
}

// fresh makes sure that partners get tokens that pass.
func (l *ledger) fresh(partners []*partner) {
	l.Helper()
	for _, p := range partners {
		l.stand("newly issued", slices.DeleteFunc(l.gets(p), func(h *holding) bool { return h.what == "refresh token" }))
	}
}

// status is what asking for a token gets.
func (l *ledger) status(p *partner) int {
	l.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.id}, "client_secret": {p.secret}}
	status, _, err := send("POST", l.url+"/oauth2/token", "application/x-www-form-urlencoded", form.Encode(), nil)
	l.must(err)
	return status
}

func signing(keys admin.List[admin.Key]) string {
	for _, k := range keys.Items {
		if k.State == "signing" {
			return k.KeyID
		}
	}
	return ""
}

// keyIDs are those of all keys that were ever published.
func (l *ledger) keyIDs() map[string]bool {
	l.Helper()
	list := done(l, func() (admin.List[admin.Key], error) { return l.api.Keys(background) })
	ids := map[string]bool{}
	for _, k := range list.Items {
		ids[k.KeyID] = true
	}
	return ids
}

// noneTwice ends the test where a key in use has an id that another one had, and
// returns all ids that were given out by now.
func (l *ledger) noneTwice(before map[string]bool) map[string]bool {
	l.Helper()
	list := done(l, func() (admin.List[admin.Key], error) { return l.api.Keys(background) })
	all := map[string]bool{}
	for id := range before {
		all[id] = true
	}
	for _, k := range list.Items {
		if k.State != "gone" && before[k.KeyID] {
			l.Errorf("key id %s is given out twice", k.KeyID)
		}
		all[k.KeyID] = true
	}
	return all
}

// A keeper is `gatehouse backup --journal --follow`.
type keeper struct {
	file string
	cmd  *exec.Cmd
}

func (l *ledger) keepJournal() *keeper {
	l.Helper()
	k := &keeper{file: filepath.Join(l.TempDir(), "journal")}
	k.cmd = l.command("backup", "--journal", k.file, "--follow", "--data", l.data)
	l.must(k.cmd.Start())
	l.Cleanup(k.stop)
	k.caughtUp(l)
	return k
}

// caughtUp waits until the file has all that the journal has.
func (k *keeper) caughtUp(l *ledger) {
	l.Helper()
	now := done(l, func() (admin.Journal, error) { return l.api.Journal(background, -1) })
	l.within("the journal is not kept", func() bool { return lastEntry(k.file) >= now.Seq })
}

func (k *keeper) stop() {
	if k.cmd.ProcessState == nil {
		_ = k.cmd.Process.Signal(syscall.SIGTERM)
		_ = k.cmd.Wait()
	}
}

// A farGate follows the journal of whichever server it is led to.
type farGate struct {
	*follow.Follower
	target atomic.Pointer[url.URL]
}

func (l *ledger) followFrom(p *partner) *farGate {
	l.Helper()
	g := &farGate{}
	g.to(l)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(g.target.Load()) },
		ErrorLog: log.New(io.Discard, "", 0), // servers are killed here
	})
	l.Cleanup(front.Close)
	dialects, err := node.LoadDialects(dialect.BuiltinNames())
	l.must(err)
	policies, err := httpd.Policies(dialects)
	l.must(err)
	g.Follower, err = follow.New(follow.Config{
		Authority: front.URL, ClientID: p.id, ClientSecret: secret.New(p.secret), Environment: gatehouse.Live, Policies: policies,
	})
	l.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Run(l.Context())
	}()
	l.Cleanup(func() { <-done })
	g.caughtUp(l)
	return g
}

func (g *farGate) to(l *ledger) {
	u, err := url.Parse(l.url)
	l.must(err)
	g.target.Store(u)
}

// caughtUp waits until the gate knows what the server does.
func (g *farGate) caughtUp(l *ledger) {
	l.Helper()
	now := done(l, func() (admin.Journal, error) { return l.api.Journal(background, -1) })
	l.within("the far gate does not follow", func() bool { return g.Synced() && g.Seq() >= now.Seq && !g.Stale() })
}

func (g *farGate) passes(h *holding) bool {
	_, err := g.Validate(background, secret.New(h.value), gatehouse.Requirement{Environment: gatehouse.Live})
	return err == nil
}
