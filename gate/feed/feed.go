// Package feed is the wire form of the journal for remote gates: server-sent
// events (WHATWG HTML §9.2) whose id is the position in the journal. A feed
// begins with hello. Where the reader's position can't be continued there
// follow a snapshot (keys, clients, revoked, ready) and then, as it always
// does, one event for each change, and a beat every few seconds.
//
// A feed is of one environment: it has that environment's keys and clients.
// Revocations are ids that mean nothing to whoever hasn't the token.
package feed

import (
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// ContentType is the media type of a feed.
const ContentType = "text/event-stream"

// Scope lets a client of standard OAuth 2.0 follow the journal and look up
// opaque tokens.
const Scope = "gatehouse:gate"

// The names of events.
const (
	nameHello   = "hello"
	nameKeys    = "keys"    // of a snapshot, and changed ones
	nameClients = "clients" // some of a snapshot's
	nameRevoked = "revoked" // some of a snapshot's
	nameReady   = "ready"   // the snapshot is complete
	nameToken   = "token_revoked"
	nameClient  = "client_changed"
	nameEpoch   = "epoch"
	nameBeat    = "beat"
	nameEnd     = "end" // come again, with a new token
)

// Hello opens a feed.
type Hello struct {
	Environment gatehouse.Environment            `json:"environment"`
	Issuers     map[gatehouse.Environment]string `json:"issuers"`
	Snapshot    bool                             `json:"snapshot"` // else the feed continues where the reader was
	Beat        int64                            `json:"beat_ms"`  // how often a beat comes
	// OldIssuers says that JWTs of others may be looked up like opaque tokens.
	OldIssuers bool `json:"old_issuers,omitzero"`
}

// A client is what a verifier needs of one.
type client struct {
	ID            string   `json:"id"`
	ClientID      string   `json:"client_id"` // in the feed's environment
	Dialect       string   `json:"dialect"`
	Scopes        []string `json:"scopes,omitempty"`
	State         string   `json:"state"`
	RevokedBefore int64    `json:"revoked_before,omitzero"` // ms
	Imports       int64    `json:"imports_until,omitzero"`  // ms
	Version       int64    `json:"version"`
}

type key struct {
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Format    string `json:"format"`
	Index     int    `json:"index"`
	Public    []byte `json:"public"` // PKIX
	Published int64  `json:"published"`
	Signs     int64  `json:"signs,omitzero"`
	Retired   int64  `json:"retired,omitzero"`
	Gone      int64  `json:"gone,omitzero"`
}

type epoch struct {
	Before int64 `json:"before,omitzero"` // ms
}

type revocation struct {
	Token string `json:"token"`
	Until int64  `json:"until,omitzero"` // Unix seconds; 0 is for ever
}

// A beat says that whatever the journal held At after the feed was asked for
// stands before it in the feed.
type beat struct {
	At int64 `json:"at_ms"`
}

// A Writer appends events of one environment's feed to a buffer.
type Writer struct {
	Environment gatehouse.Environment
	b           []byte
}

// Take returns what was appended since the last Take. It is valid until the
// next event.
func (w *Writer) Take() []byte {
	b := w.b
	w.b = w.b[:0]
	return b
}

// Len is how much Take would return.
func (w *Writer) Len() int { return len(w.b) }

// event appends one; seq below 0 has no id.
func (w *Writer) event(name string, seq int64, data []byte) {
	w.b = append(append(w.b, "event: "...), name...)
	if seq >= 0 {
		w.b = strconv.AppendInt(append(w.b, "\nid: "...), seq, 10)
	}
	w.b = append(append(append(w.b, "\ndata: "...), data...), "\n\n"...)
}

func (w *Writer) json(name string, seq int64, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the feed: %w", err)
	}
	w.event(name, seq, data)
	return nil
}

// Hello opens the feed.
func (w *Writer) Hello(h Hello) error { return w.json(nameHello, -1, h) }

// Beat appends a beat: seq is the position, at the time since the feed was
// asked for at which the journal held no more.
func (w *Writer) Beat(seq int64, at time.Duration) error {
	return w.json(nameBeat, seq, beat{at.Milliseconds()})
}

// End appends the last event of a feed whose reader is to come again.
func (w *Writer) End() { w.event(nameEnd, -1, []byte("{}")) }

// perEvent bounds the items of one event of a snapshot.
const perEvent = 500

// Snapshot appends a whole one.
func (w *Writer) Snapshot(snap *gatehouse.Snapshot, keys []*token.Key) error {
	if err := w.keys(-1, keys); err != nil {
		return err
	}
	batch := make([]client, 0, perEvent)
	for i := range snap.Clients {
		if c, ok := w.client(&snap.Clients[i]); ok {
			batch = append(batch, c)
		}
		if len(batch) == perEvent || i == len(snap.Clients)-1 {
			if err := w.json(nameClients, -1, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	var packed []byte
	for i, r := range snap.Revoked {
		packed = append(packed, r.ID[:]...)
		packed = binary.BigEndian.AppendUint64(packed, uint64(seconds(r.Until)))
		if len(packed) == perEvent*packedSize || i == len(snap.Revoked)-1 {
			w.event(nameRevoked, -1, base64.StdEncoding.AppendEncode(nil, packed))
			packed = packed[:0]
		}
	}
	return w.json(nameReady, snap.Seq, epoch{millis(snap.Epoch)})
}

// packedSize is an id and the second until which it is to be remembered.
const packedSize = len(gatehouse.TokenID{}) + 8

// Change appends one change. Of a client that isn't in the environment
// nothing is told.
func (w *Writer) Change(c *gatehouse.Change) error {
	switch c.Kind {
	case gatehouse.EntryTokenRevoked:
		// The one that comes in thousands.
		data := append([]byte(`{"token":"`), c.Token.String()...)
		if data = append(data, '"'); !c.Until.IsZero() {
			data = strconv.AppendInt(append(data, `,"until":`...), c.Until.Unix(), 10)
		}
		w.event(nameToken, c.Seq, append(data, '}'))
	case gatehouse.EntryClientChanged:
		if c.Changed == nil {
			return nil
		}
		if told, ok := w.client(c.Changed); ok {
			return w.json(nameClient, c.Seq, told)
		}
	case gatehouse.EntryKeysChanged:
		return w.keys(c.Seq, c.Keys)
	case gatehouse.EntryEpoch:
		return w.json(nameEpoch, c.Seq, epoch{millis(c.Before)})
	}
	return nil
}

func (w *Writer) client(c *gatehouse.Client) (client, bool) {
	id, ok := c.WireID(w.Environment)
	return client{
		ID: string(c.ID), ClientID: string(id), Dialect: c.Dialect, Scopes: c.Scopes, State: string(c.State),
		RevokedBefore: millis(c.RevokedBefore[w.Environment]), Imports: millis(c.Imports[w.Environment]), Version: c.Version,
	}, ok
}

func (w *Writer) keys(seq int64, all []*token.Key) error {
	out := []key{}
	for _, k := range all {
		if k.Realm.Environment != string(w.Environment) {
			continue
		}
		public, err := token.MarshalPublic(k.Public)
		if err != nil {
			return fmt.Errorf("writing key %s: %w", k.ID, err)
		}
		out = append(out, key{
			ID: k.ID, Algorithm: string(k.Realm.Algorithm), Format: k.Realm.Format, Index: k.Index, Public: public,
			Published: millis(k.PublishedAt), Signs: millis(k.SignsFrom), Retired: millis(k.RetiredAt), Gone: millis(k.GoneAt),
		})
	}
	return w.json(nameKeys, seq, out)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func (c *client) read(env gatehouse.Environment) (gatehouse.Client, error) {
	out := gatehouse.Client{
		ID: gatehouse.ClientID(c.ID), IDs: map[gatehouse.Environment]gatehouse.ClientID{env: gatehouse.ClientID(c.ClientID)},
		Dialect: c.Dialect, Scopes: c.Scopes, State: gatehouse.ClientState(c.State), Version: c.Version,
	}
	switch out.State {
	case gatehouse.Enabled, gatehouse.Disabled, gatehouse.Deleted:
	default:
		return out, fmt.Errorf("client %q is in an unknown state", c.ID)
	}
	if c.ID == "" || c.ClientID == "" {
		return out, fmt.Errorf("a client without id")
	}
	if c.RevokedBefore != 0 {
		out.RevokedBefore = map[gatehouse.Environment]time.Time{env: fromMillis(c.RevokedBefore)}
	}
	if c.Imports != 0 {
		out.Imports = map[gatehouse.Environment]time.Time{env: fromMillis(c.Imports)}
	}
	return out, nil
}

func (k *key) read(env gatehouse.Environment) (*token.Key, error) {
	var public crypto.PublicKey
	public, err := token.ParsePublic(k.Public)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", k.ID, err)
	}
	return &token.Key{
		ID: k.ID, Index: k.Index, Public: public,
		Realm:       token.Realm{Environment: string(env), Format: k.Format, Algorithm: token.Algorithm(k.Algorithm)},
		PublishedAt: fromMillis(k.Published), SignsFrom: fromMillis(k.Signs), RetiredAt: fromMillis(k.Retired), GoneAt: fromMillis(k.Gone),
	}, nil
}
