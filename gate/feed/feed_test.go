package feed_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
	"github.com/gatehouse-auth/gatehouse/token"
)

// heard is a Sink that keeps what it is told.
type heard struct {
	issuers map[gatehouse.Environment]string
	snap    *gatehouse.Snapshot
	keys    []string
	changes []gatehouse.Change
	beats   []time.Duration

	oldIssuers bool
}

func (h *heard) Reset(issuers map[gatehouse.Environment]string, snap *gatehouse.Snapshot, keys []*token.Key) error {
	copied := *snap
	h.issuers, h.snap = maps.Clone(issuers), &copied
	for _, k := range keys {
		h.keys = append(h.keys, k.ID)
	}
	return nil
}

func (h *heard) OldIssuers(there bool) { h.oldIssuers = there }

func (h *heard) Apply(changes []gatehouse.Change) error {
	for _, c := range changes {
		for _, k := range c.Keys {
			h.keys = append(h.keys, k.ID)
		}
		c.Keys = nil
		h.changes = append(h.changes, c)
	}
	return nil
}

func (h *heard) Beat(at time.Duration) { h.beats = append(h.beats, at) }

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	first = token.NewID(noon)
	last  = token.NewID(noon.Add(time.Second))
	acme  = gatehouse.Client{
		ID: "acme", Name: "not told", Dialect: gatehouse.OAuth2, Scopes: []string{"read"}, State: gatehouse.Disabled, Version: 7,
		IDs:           map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "acme-live", gatehouse.Sandbox: "acme-box"},
		RevokedBefore: map[gatehouse.Environment]time.Time{gatehouse.Live: noon, gatehouse.Sandbox: noon.Add(time.Hour)},
		Secrets:       []gatehouse.ClientSecret{{Digest: []byte("never told")}},
	}
	boxed = gatehouse.Client{ID: "boxed", Dialect: gatehouse.OAuth2, State: gatehouse.Enabled, IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Sandbox: "boxed"}}
)

func newKey(t testing.TB, id string, env gatehouse.Environment) *token.Key {
	t.Helper()
	realm := token.Realm{Environment: string(env), Format: gatehouse.OAuth2, Algorithm: token.EdDSA}
	private, err := token.GenerateKey(realm)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Key{ID: id, Realm: realm, Public: private.Public(), Signer: private, PublishedAt: noon, SignsFrom: noon}
}

// write makes a feed of everything.
func write(t testing.TB) []byte {
	t.Helper()
	w := feed.Writer{Environment: gatehouse.Live}
	keys := []*token.Key{newKey(t, "live-1", gatehouse.Live), newKey(t, "box-1", gatehouse.Sandbox)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.Hello(feed.Hello{Environment: gatehouse.Live, Issuers: map[gatehouse.Environment]string{gatehouse.Live: "https://auth.example"}, Snapshot: true, Beat: 2000}))
	check(w.Snapshot(&gatehouse.Snapshot{
		Seq: 41, Clients: []gatehouse.Client{acme, boxed}, Epoch: noon,
		Revoked: []gatehouse.RevokedToken{{ID: first}, {ID: last, Until: noon}},
	}, keys))
	for _, c := range []gatehouse.Change{
		{Entry: gatehouse.Entry{Seq: 42, Kind: gatehouse.EntryTokenRevoked, Token: first, Until: noon}},
		{Entry: gatehouse.Entry{Seq: 43, Kind: gatehouse.EntryTokenRevoked, Token: last}},
		{Entry: gatehouse.Entry{Seq: 44, Kind: gatehouse.EntryClientChanged, Client: "boxed"}, Changed: &boxed},
		{Entry: gatehouse.Entry{Seq: 45, Kind: gatehouse.EntryClientChanged, Client: "acme"}, Changed: &acme},
		{Entry: gatehouse.Entry{Seq: 46, Kind: gatehouse.EntryKeysChanged}, Keys: keys},
		{Entry: gatehouse.Entry{Seq: 47, Kind: gatehouse.EntryEpoch, Before: noon}},
	} {
		check(w.Change(&c))
	}
	check(w.Beat(48, -1500*time.Millisecond))
	w.End()
	return bytes.Clone(w.Take())
}

func TestReadsWhatItWrote(t *testing.T) {
	b := write(t)
	var h heard
	alive := 0
	if err := feed.Follow(bytes.NewReader(b), gatehouse.Live, false, &h, func() { alive++ }); !errors.Is(err, feed.ErrEnd) {
		t.Fatal(err)
	}
	told := gatehouse.Client{
		ID: "acme", Dialect: gatehouse.OAuth2, Scopes: []string{"read"}, State: gatehouse.Disabled, Version: 7,
		IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "acme-live"}, RevokedBefore: map[gatehouse.Environment]time.Time{gatehouse.Live: noon},
	}
	want := heard{
		issuers: map[gatehouse.Environment]string{gatehouse.Live: "https://auth.example"},
		snap: &gatehouse.Snapshot{Seq: 41, Clients: []gatehouse.Client{told}, Epoch: noon,
			Revoked: []gatehouse.RevokedToken{{ID: first}, {ID: last, Until: noon}}},
		keys: []string{"live-1", "live-1"},
		changes: []gatehouse.Change{
			{Entry: gatehouse.Entry{Seq: 42, Kind: gatehouse.EntryTokenRevoked, Token: first, Until: noon}},
			{Entry: gatehouse.Entry{Seq: 43, Kind: gatehouse.EntryTokenRevoked, Token: last}},
			{Entry: gatehouse.Entry{Seq: 45, Kind: gatehouse.EntryClientChanged, Client: "acme"}, Changed: &told},
			{Entry: gatehouse.Entry{Seq: 46, Kind: gatehouse.EntryKeysChanged}},
			{Entry: gatehouse.Entry{Seq: 47, Kind: gatehouse.EntryEpoch, Before: noon}},
			{Entry: gatehouse.Entry{Seq: 48}},
		},
		beats: []time.Duration{-1500 * time.Millisecond},
	}
	if diff := cmp.Diff(want, h, cmp.AllowUnexported(heard{})); diff != "" {
		t.Error(diff)
	}
	if alive == 0 {
		t.Error("no sign of life")
	}
	for _, secret := range []string{"not told", "never told", "acme-box", "box-1", "boxed"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the feed tells %q", secret)
		}
	}
}

// What isn't understood ends the feed: to skip it could be to miss a revocation.
func TestRefusesWhatItDoesNotUnderstand(t *testing.T) {
	const hello = "event: hello\ndata: {\"environment\":\"live\",\"issuers\":{},\"snapshot\":false,\"beat_ms\":2000}\n\n"
	const anew = "event: hello\ndata: {\"environment\":\"live\",\"issuers\":{},\"snapshot\":true,\"beat_ms\":2000}\n\n"
	const revoked = "event: token_revoked\nid: 4\ndata: {\"token\":\"0192d8f3-5f1c-7b2e-8000-3f3a6c1d2e4f\"}\n\n"
	for what, c := range map[string]struct {
		text   string
		synced bool
	}{
		"no hello":                         {revoked, true},
		"two hellos":                       {hello + hello, true},
		"another environment":              {strings.Replace(hello, "live", "sandbox", 1), true},
		"a continuation of nothing":        {hello, false},
		"a change before the snapshot":     {anew + revoked, false},
		"a change inside the snapshot":     {anew + "event: keys\ndata: []\n\n" + revoked, true},
		"a beat before the snapshot":       {anew + "event: beat\nid: 1\ndata: {\"at_ms\":1}\n\n", false},
		"clients outside a snapshot":       {hello + "event: clients\ndata: []\n\n", true},
		"ready outside a snapshot":         {hello + "event: ready\nid: 1\ndata: {}\n\n", true},
		"an unknown event":                 {hello + "event: more\ndata: {}\n\n", true},
		"a change without position":        {hello + strings.Replace(revoked, "id: 4\n", "", 1), true},
		"a negative position":              {hello + strings.Replace(revoked, "id: 4", "id: -4", 1), true},
		"no position":                      {hello + strings.Replace(revoked, "id: 4", "id: x", 1), true},
		"no token":                         {hello + "event: token_revoked\nid: 4\ndata: {\"token\":\"x\"}\n\n", true},
		"broken JSON":                      {hello + "event: token_revoked\nid: 4\ndata: {\n\n", true},
		"a member twice":                   {hello + "event: epoch\nid: 4\ndata: {\"before\":1,\"before\":2}\n\n", true},
		"a client in an unknown state":     {hello + "event: client_changed\nid: 4\ndata: {\"id\":\"a\",\"client_id\":\"a\",\"dialect\":\"oauth2\",\"state\":\"\",\"version\":1}\n\n", true},
		"a client without id":              {hello + "event: client_changed\nid: 4\ndata: {\"id\":\"\",\"client_id\":\"a\",\"dialect\":\"oauth2\",\"state\":\"enabled\",\"version\":1}\n\n", true},
		"a key that is none":               {hello + "event: keys\nid: 4\ndata: [{\"kid\":\"a\",\"alg\":\"EdDSA\",\"format\":\"oauth2\",\"index\":0,\"public\":\"AAAA\",\"published\":1}]\n\n", true},
		"ids cut short":                    {anew + "event: keys\ndata: []\n\nevent: revoked\ndata: AAAA\n\n", false},
		"a line without end":               {hello + "event: " + strings.Repeat("x", 5<<20), true},
		"an end in the middle of an event": {hello + "event: beat\nid: 1\ndata: {}", true},
	} {
		err := feed.Follow(strings.NewReader(c.text), gatehouse.Live, c.synced, &heard{}, func() {})
		if err == nil || errors.Is(err, feed.ErrEnd) {
			t.Errorf("%s: %v", what, err)
		} else if err == io.EOF && what != "an end in the middle of an event" {
			t.Errorf("%s is passed over", what)
		}
	}
}

func FuzzFollow(f *testing.F) {
	f.Add(string(write(f)))
	f.Add("event: hello\ndata: {\"environment\":\"live\",\"issuers\":{},\"snapshot\":true,\"beat_ms\":2000}\n\n: comment\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		var h heard
		if err := feed.Follow(strings.NewReader(s), gatehouse.Live, false, &h, func() {}); err == nil {
			t.Fatal("a feed ended without an error")
		}
		if h.snap == nil && (len(h.changes) > 0 || len(h.beats) > 0) {
			t.Fatal("changes to a state that isn't there")
		}
	})
}

func TestRecordsAndClients(t *testing.T) {
	row := &gatehouse.TokenRecord{
		ID: first, Kind: gatehouse.AccessToken, Client: "acme", Environment: gatehouse.Live, Dialect: "oauth2", Scopes: []string{"a", "b"},
		Audience: []string{"x"}, User: "u", Grant: last, IssuedAt: noon.Add(time.Millisecond), ExpiresAt: noon, RevokedAt: noon,
	}
	b, err := feed.MarshalRecord(row)
	if err != nil {
		t.Fatal(err)
	}
	back, err := feed.UnmarshalRecord(b, gatehouse.Live)
	if diff := cmp.Diff(row, back); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, ok, _ := feed.MarshalClient(&boxed, gatehouse.Live); ok {
		t.Error("a client is told of where it isn't")
	}
	for _, broken := range []string{"", "{}", `{"token_id":"x"}`, string(b) + "1", strings.Replace(string(b), `"client":"acme"`, `"client":""`, 1)} {
		if _, err := feed.UnmarshalRecord([]byte(broken), gatehouse.Live); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
}
