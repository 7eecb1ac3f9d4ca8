package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Each kind of act is told, in order, to the endpoints of its client and
// environment that want it.
func TestMessages(t *testing.T) {
	f := newFixture(t)
	all, linked, sandbox := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	f.link(gatehouse.Live, "before any endpoint")
	s := f.sender(nil)
	ep, shown := f.endpoint(s, gatehouse.Live, all.URL)
	f.endpoint(s, gatehouse.Live, linked.URL, ConnectionLinked)
	f.endpoint(s, gatehouse.Sandbox, sandbox.URL)

	c := f.client.Client
	one, two := f.link(gatehouse.Live, "alice"), f.link(gatehouse.Live, "bob")
	f.link(gatehouse.Sandbox, "carol")
	_, err := f.engine.Delink(t.Context(), operator, one)
	f.ok(err)
	issued, err := f.engine.IssueFor(t.Context(), operator, c.ID, gatehouse.Live, 0, "", nil, nil)
	f.ok(err)
	tok := issued.Record.ID
	_, err = f.engine.Revoke(t.Context(), operator, gatehouse.Selection{Token: tok})
	f.ok(err)
	_, err = f.engine.Revoke(t.Context(), operator, gatehouse.Selection{Grant: two})
	f.ok(err)
	secretID := c.LiveSecrets(gatehouse.Live)[0].ID
	for _, k := range f.client.Secrets {
		if k.ID == secretID { // what it obtains ends with it
			_, err = f.engine.Issue(t.Context(), operator, gatehouse.IssueRequest{Proof: gatehouse.ClientProof{Dialect: "bank", ClientID: k.ClientID, Secret: k.Secret}})
			f.ok(err)
		}
	}
	_, err = f.engine.AddSecret(t.Context(), operator, c.ID, gatehouse.Live, secret.Text{}, nil)
	f.ok(err)
	_, err = f.engine.RetireSecret(t.Context(), operator, secretID, true)
	f.ok(err)
	_, err = f.engine.Revoke(t.Context(), operator, gatehouse.Selection{Client: c.ID})
	f.ok(err)

	f.run(s)
	f.until("all is told", func() bool {
		return len(all.messages()) >= 8 && len(linked.messages()) >= 2 && len(sandbox.messages()) >= 2 && f.queued(s, ep.ID, Delivered) == 8
	})
	var got []string
	ids := map[string]bool{}
	for _, m := range all.messages() {
		d := m.Data
		if d["client_id"] != string(c.ID) || d["environment"] != "live" {
			t.Errorf("%s tells of %s in %s", m.Type, d["client_id"], d["environment"])
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(m.Type, " ", d["user"], d["reason"], d["compromised"], d["all"])))
		ids[m.header.Get("webhook-id")] = true
		if m.header.Get("Content-Type") != "application/json" || len(m.header["Webhook-Signature"]) != 1 {
			t.Errorf("headers %v", m.header)
		}
	}
	want := []string{
		"connection.linked alice", "connection.linked bob", "connection.delinked alice", "token.revoked revoked", "token.revoked revoked",
		"secret.retired true", "token.revoked secret_compromised", "token.revoked revokedtrue",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d messages", len(ids), len(want))
	}
	m := all.messages()
	if m[2].Data["connection_id"] != one.String() || m[3].Data["token_id"] != tok.String() || m[4].Data["connection_id"] != two.String() || m[5].Data["secret_id"] != secretID.String() {
		t.Errorf("%v", m)
	}
	if users := linked.users(); !slices.Equal(users, []string{"alice", "bob"}) {
		t.Errorf("one that wants links only was told of %v", users)
	}
	if m := sandbox.messages(); m[0].Data["user"] != "carol" || m[1].Type != TokenRevoked || len(m) != 2 {
		t.Errorf("the sandbox was told %v", m)
	}
	for _, s := range []string{shown.Reveal(), strings.TrimPrefix(shown.Reveal(), secretPrefix)} {
		doc, err := f.store.Document(t.Context(), kindEndpoint, ep.ID)
		f.ok(err)
		if strings.Contains(string(doc.Value), s) {
			t.Error("the secret is kept in clear")
		}
	}
}

// A receiver that is down is told when it is up again, in order, each message
// under one id; another one is not held up.
func TestReceiverDownThenUp(t *testing.T) {
	f := newFixture(t)
	var up atomic.Bool
	down := newReceiver(t, func(int) int {
		if up.Load() {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	})
	fine := newReceiver(t, nil)
	s := f.sender(nil)
	ep, _ := f.endpoint(s, gatehouse.Live, down.URL)
	f.endpoint(s, gatehouse.Live, fine.URL)
	f.run(s)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("user-", i))
		f.link(gatehouse.Live, want[i])
	}
	f.until("the one that is up is told", func() bool { return len(fine.messages()) == len(want) })
	f.until("the other one was tried often", func() bool { return len(down.messages()) > 3 })
	shown, err := s.Endpoint(t.Context(), ep.ID)
	f.ok(err)
	if shown.FailingSince.IsZero() || !strings.Contains(shown.LastError, "503") || f.queued(s, ep.ID, Pending) != len(want) {
		t.Errorf("%+v", shown)
	}
	up.Store(true)
	f.until("nothing is pending", func() bool { return f.queued(s, ep.ID, Pending) == 0 })
	ids, order := map[string]string{}, []string{}
	for _, m := range down.messages() {
		id, user := m.header.Get("webhook-id"), m.Data["user"]
		if first, ok := ids[id]; ok && first != user {
			t.Errorf("the id %s stands for %s and %s", id, first, user)
		} else if !ok {
			ids[id], order = user, append(order, user)
		}
	}
	if !slices.Equal(order, want) || !slices.Equal(fine.users(), want) {
		t.Errorf("told of %v and %v", order, fine.users())
	}
	if shown, err = s.Endpoint(t.Context(), ep.ID); err != nil || !shown.FailingSince.IsZero() {
		t.Errorf("%+v, %v", shown, err)
	}
}

// Nodes share the work: each message comes once, and in order.
func TestManySenders(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, nil)
	first := f.sender(nil)
	ep, _ := f.endpoint(first, gatehouse.Live, r.URL)
	for range 3 {
		f.run(f.sender(nil))
	}
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprint("user-", i))
		f.link(gatehouse.Live, want[i])
	}
	f.until("all is told", func() bool { return f.queued(first, ep.ID, Delivered) == len(want) })
	if got := r.users(); !slices.Equal(got, want) {
		t.Errorf("told of %v", got)
	}
}

// forgetful is a store that fails to record that something was delivered, as a
// process does that dies in between.
type forgetful struct {
	gatehouse.Store
	fails atomic.Int32
}

func (s *forgetful) Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error {
	if slices.ContainsFunc(docs, func(d gatehouse.Document) bool { return d.Kind == kindDone }) && s.fails.Add(-1) >= 0 {
		return errors.New("died")
	}
	return s.Store.Keep(ctx, act, docs...)
}

// What was delivered but not recorded is delivered again, under the same id.
func TestDeliveredButNotRecorded(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, nil)
	store := &forgetful{Store: f.store}
	store.fails.Store(1)
	s := f.sender(func(c *Config) { c.Store = store })
	ep, _ := f.endpoint(s, gatehouse.Live, r.URL)
	f.link(gatehouse.Live, "alice")
	f.run(s)
	f.until("it is recorded", func() bool { return f.queued(s, ep.ID, Delivered) == 1 })
	got := r.messages()
	if len(got) != 2 || got[0].header.Get("webhook-id") != got[1].header.Get("webhook-id") || string(got[0].body) != string(got[1].body) {
		t.Errorf("%d messages", len(got))
	}
}

// A node that died with a lease holds nothing up for longer than that.
func TestLeaseOfTheDead(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, nil)
	dead := f.sender(func(c *Config) { c.lease = time.Hour })
	ep, _ := f.endpoint(dead, gatehouse.Live, r.URL)
	release, err := dead.hold(t.Context(), ep.ID)
	f.ok(err)
	if _, err := dead.hold(t.Context(), ep.ID); !errors.Is(err, errElsewhere) {
		t.Fatalf("two hold one lease: %v", err)
	}
	release()
	dead.lease = 500 * time.Millisecond
	_, err = dead.hold(t.Context(), ep.ID)
	f.ok(err)
	f.run(f.sender(nil))
	f.link(gatehouse.Live, "alice")
	f.until("it is told all the same", func() bool { return len(r.messages()) == 1 })
}

// An endpoint was to wait until a time that a clock, set back since, had shown.
func TestClockSetBack(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, nil)
	s := f.sender(nil)
	ep, _ := f.endpoint(s, gatehouse.Live, r.URL)
	waits := health{Failures: 1, FailingSince: time.Now(), NextTry: time.Now().Add(25 * time.Hour), LastError: "503"}
	f.ok(s.store.Keep(t.Context(), nil, waits.document(ep.ID)))
	f.run(s)
	f.link(gatehouse.Live, "alice")
	f.until("it is told", func() bool { return len(r.messages()) == 1 })
}

func TestDeadLettersAndReplay(t *testing.T) {
	f := newFixture(t)
	var up atomic.Bool
	r := newReceiver(t, func(int) int {
		if up.Load() {
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	s := f.sender(func(c *Config) { c.limit.patience = 50 * time.Millisecond })
	ep, _ := f.endpoint(s, gatehouse.Live, r.URL)
	for _, user := range []string{"alice", "bob", "carol"} {
		f.link(gatehouse.Live, user)
	}
	stop := f.run(s)
	f.until("all are dead letters", func() bool { return f.queued(s, ep.ID, Dead) == 3 && f.queued(s, ep.ID, Pending) == 0 })
	stop()
	dead, err := s.Deliveries(t.Context(), ep.ID, Dead, "", 10)
	f.ok(err)
	if dead[0].Error == "" || dead[0].Tries == 0 || dead[0].Type != ConnectionLinked {
		t.Errorf("%+v", dead[0])
	}
	up.Store(true)
	r.mu.Lock()
	r.got = nil
	r.mu.Unlock()
	s = f.sender(nil)
	n, err := s.Replay(t.Context(), operator, ep.ID, dead[1].MessageID)
	if n != 1 {
		t.Fatalf("%d replayed, %v", n, err)
	}
	f.run(s)
	f.until("the one is told", func() bool { return f.queued(s, ep.ID, Delivered) == 1 })
	if n, err = s.Replay(t.Context(), operator, ep.ID, ""); n != 2 {
		t.Fatalf("%d replayed, %v", n, err)
	}
	f.until("the others are told", func() bool { return f.queued(s, ep.ID, Delivered) == 3 })
	if got := r.users(); !slices.Equal(got, []string{"bob", "alice", "carol"}) {
		t.Errorf("told of %v", got)
	}
	if got := r.messages()[0].header.Get("webhook-id"); got != dead[1].MessageID {
		t.Errorf("the id was %s and is %s", dead[1].MessageID, got)
	}
	// What was delivered may be asked for again, too.
	if n, err = s.Replay(t.Context(), operator, ep.ID, dead[0].MessageID); n != 1 {
		t.Fatalf("%d replayed, %v", n, err)
	}
	f.until("it is told again", func() bool { return len(r.messages()) == 4 })
	if n, err = s.Replay(t.Context(), operator, ep.ID, ""); n != 0 || err != nil {
		t.Errorf("%d replayed of an empty list, %v", n, err)
	}
	_, err = s.Replay(t.Context(), operator, ep.ID, "msg_unknown")
	f.refused(err, gatehouse.NotFound)
}

// While a secret is rotated each message has a signature of both.
func TestRotation(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, nil)
	s := f.sender(nil)
	ep, first := f.endpoint(s, gatehouse.Live, r.URL)
	f.run(s)
	told := func(n int) received {
		t.Helper()
		f.link(gatehouse.Live, "alice")
		f.until("it is told", func() bool { return len(r.messages()) == n })
		return r.messages()[n-1]
	}
	signedBy := func(m received, secrets ...secret.Text) {
		t.Helper()
		var at int64
		fmt.Sscan(m.header.Get("webhook-timestamp"), &at)
		want, err := sign(secrets, m.header.Get("webhook-id"), time.Unix(at, 0), m.body)
		if err != nil || m.header.Get("webhook-signature") != want {
			t.Errorf("signatures %q, want %q", m.header.Get("webhook-signature"), want)
		}
	}
	signedBy(told(1), first)
	_, second, err := s.Rotate(t.Context(), operator, ep.ID, false)
	f.ok(err)
	signedBy(told(2), second, first)
	_, third, err := s.Rotate(t.Context(), operator, ep.ID, false)
	f.ok(err)
	signedBy(told(3), third, second)
	shown, fourth, err := s.Rotate(t.Context(), operator, ep.ID, true)
	f.ok(err)
	signedBy(told(4), fourth)
	if len(shown.Secrets) != 1 {
		t.Errorf("%+v", shown.Secrets)
	}
}

// 410 says that the endpoint wants no more.
func TestGoneIsDisabled(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, func(n int) int {
		if n == 1 {
			return http.StatusGone
		}
		return http.StatusOK
	})
	s := f.sender(nil)
	ep, _ := f.endpoint(s, gatehouse.Live, r.URL)
	f.run(s)
	f.link(gatehouse.Live, "alice")
	f.until("it is disabled", func() bool {
		e, err := s.Endpoint(t.Context(), ep.ID)
		f.ok(err)
		return e.Disabled
	})
	_, err := s.Replay(t.Context(), operator, ep.ID, "")
	f.refused(err, gatehouse.Conflict)
	f.link(gatehouse.Live, "bob")
	f.until("nothing is pending", func() bool { return f.queued(s, ep.ID, Pending) == 0 })
	_, err = s.Enable(t.Context(), operator, ep.ID)
	f.ok(err)
	f.link(gatehouse.Live, "carol")
	f.until("it is told again", func() bool { return len(r.messages()) == 2 })
	if got := r.users(); !slices.Equal(got, []string{"alice", "carol"}) {
		t.Errorf("told of %v", got)
	}
}

// An endpoint that is removed gets nothing more, and leaves nothing behind.
func TestDelete(t *testing.T) {
	f := newFixture(t)
	r := newReceiver(t, func(int) int { return http.StatusInternalServerError })
	s := f.sender(func(c *Config) { c.waits = []time.Duration{time.Hour} })
	ep, _ := f.endpoint(s, gatehouse.Live, r.URL)
	stop := f.run(s)
	f.link(gatehouse.Live, "alice")
	f.until("it fails", func() bool { return s.Counts().Failed == 1 })
	stop()
	_, err := s.Delete(t.Context(), operator, ep.ID)
	f.ok(err)
	_, err = s.Endpoint(t.Context(), ep.ID)
	f.refused(err, gatehouse.NotFound)
	f.run(f.sender(nil))
	f.until("nothing is left", func() bool {
		for _, kind := range []string{kindEndpoint, kindHealth, kindPending, kindLease} {
			if docs, err := f.store.Documents(t.Context(), kind, "", "", 1); err != nil || len(docs) > 0 {
				return false
			}
		}
		return true
	})
	if n := len(r.messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// One that never answers, one that answers without end and one that redirects
// are failures, each soon, and hold nobody up.
func TestBadReceivers(t *testing.T) {
	f := newFixture(t)
	elsewhere := newReceiver(t, nil)
	hangs := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server doesn't see that the caller has gone
		<-r.Context().Done()
	}))
	defer hangs.Close()
	endless := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	redirects := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer redirects.Close()
	fine := newReceiver(t, nil)
	s := f.sender(func(c *Config) { c.limit.attempt = 3 * time.Second })
	failing := map[string]string{}
	for _, u := range []string{hangs.URL, redirects.URL} {
		ep, _ := f.endpoint(s, gatehouse.Live, u)
		failing[u] = ep.ID
	}
	long, _ := f.endpoint(s, gatehouse.Live, endless.URL)
	f.endpoint(s, gatehouse.Live, fine.URL)
	f.run(s)
	f.link(gatehouse.Live, "alice")
	f.until("the honest one is told", func() bool { return len(fine.messages()) > 0 })
	f.until("the endless answer counts by its status", func() bool { return f.queued(s, long.ID, Delivered) == 1 })
	for u, want := range map[string]string{redirects.URL: "redirects are not followed", hangs.URL: "context deadline exceeded"} {
		f.until("it says "+want, func() bool {
			shown, err := s.Endpoint(t.Context(), failing[u])
			f.ok(err)
			return strings.Contains(shown.LastError, want)
		})
	}
	if n := len(elsewhere.messages()); n > 0 {
		t.Errorf("%d messages followed a redirect", n)
	}
}
