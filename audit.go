package gatehouse

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"
)

// An Event is the audit record of one act. It commits with the act, and holds
// no credential. Tokens have none of their own: their row is their record.
type Event struct {
	Seq     int64
	At      time.Time
	By      Actor
	Action  string // "client.create", "secret.retire", "token.revoke", …
	Subject string // the id of what was acted on
	Detail  map[string]string
	Hash    [32]byte // of the event and of its predecessor's hash
}

// An Act is the part of a change that the store records with it: the audit
// event and, for creates, the answer to replay.
type Act struct {
	At      time.Time
	By      Actor
	Action  string
	Subject string
	Detail  map[string]string
	Replay  *Replay
}

// A Replay remembers the answer to a create that carried an Idempotency-Key,
// scoped to its caller.
type Replay struct {
	Caller  string
	Key     string
	Request [32]byte // digest of the request's body and route
	Answer  []byte   // sealed
	At      time.Time
}

// An AuditReport says what a check of the hash chains found.
type AuditReport struct {
	Events int
	Tokens int
	Faults []string // each names the row or link that does not fit; none is a clean ledger
}

// ChainEvent is the link that follows prev for e. Both stores use it, so that
// a chain can be checked wherever the rows were moved to.
func ChainEvent(prev [32]byte, e *Event) [32]byte {
	h := newChain(prev)
	h.num(e.Seq)
	h.time(e.At)
	h.text(string(e.By.Kind))
	h.text(e.By.ID)
	h.text(e.By.Addr.String())
	h.text(e.By.Request)
	h.text(e.Action)
	h.text(e.Subject)
	h.num(int64(len(e.Detail)))
	for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
		h.text(k)
		h.text(e.Detail[k])
	}
	return h.sum()
}

// A Mark is what happens to a token after it was recorded.
type Mark struct {
	Token   TokenID
	Revoked bool // else spent
	At      time.Time
}

// ChainTokens is the link that follows prev for one commit group of a
// partition: its new rows and its new marks, each in the order of their ids.
func ChainTokens(prev [32]byte, rows []TokenRecord, marks []Mark) [32]byte {
	h := newChain(prev)
	h.num(int64(len(rows)))
	for i := range rows {
		r := &rows[i]
		h.bytes(r.ID[:])
		h.text(string(r.Kind))
		h.text(string(r.Client))
		h.text(string(r.Environment))
		h.text(r.Dialect)
		h.text(r.Name)
		h.text(strings.Join(r.Scopes, " "))
		h.text(strings.Join(r.Audience, " "))
		h.text(r.User)
		h.bytes(r.Secret[:])
		h.bytes(r.Grant[:])
		h.bytes(r.Parent[:])
		h.bytes(r.Digest)
		h.time(r.IssuedAt)
		h.time(r.ExpiresAt)
	}
	h.num(int64(len(marks)))
	for _, m := range marks {
		h.bytes(m.Token[:])
		if m.Revoked {
			h.num(1)
		} else {
			h.num(0)
		}
		h.time(m.At)
	}
	return h.sum()
}

// chain hashes fields with their lengths, so that no two rows read the same.
type chain struct {
	h   hash.Hash
	buf [8]byte
}

func newChain(prev [32]byte) *chain {
	c := &chain{h: sha256.New()}
	c.h.Write(prev[:])
	return c
}

func (c *chain) num(n int64) {
	binary.BigEndian.PutUint64(c.buf[:], uint64(n))
	c.h.Write(c.buf[:])
}

func (c *chain) bytes(b []byte) {
	c.num(int64(len(b)))
	c.h.Write(b)
}

func (c *chain) text(s string) { c.bytes([]byte(s)) }

func (c *chain) time(t time.Time) {
	if t.IsZero() {
		c.num(-1)
		return
	}
	c.num(t.UnixMilli())
}

func (c *chain) sum() (out [32]byte) {
	c.h.Sum(out[:0])
	return out
}
