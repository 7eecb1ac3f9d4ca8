package feed

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A Sink is told what a feed says. *gatehouse.Remote is most of one.
type Sink interface {
	// Reset replaces everything by a snapshot.
	Reset(issuers map[gatehouse.Environment]string, snap *gatehouse.Snapshot, keys []*token.Key) error
	// OldIssuers is told at the beginning of each feed.
	OldIssuers(there bool)
	// Apply takes changes that follow the position, in order.
	Apply(changes []gatehouse.Change) error
	// Beat says that all that the journal held at this time since the feed was
	// asked for has been told. It may be negative.
	Beat(at time.Duration)
}

// ErrEnd is what Follow returns when the feed asks to come again.
var ErrEnd = errors.New("the feed has ended: come again")

// maxLine bounds a line of a feed. The longest are keys and clients of a
// snapshot, some 500 at most.
const maxLine = 4 << 20

// Follow tells sink what r says until it ends, which is always an error. alive
// is called at each event. A feed of another environment than env, one that
// continues what sink never had, and anything that isn't understood are errors:
// to skip it could be to miss a revocation.
func Follow(r io.Reader, env gatehouse.Environment, synced bool, sink Sink, alive func()) error {
	f := follower{lines: bufio.NewReaderSize(r, 64<<10), env: env, sink: sink, complete: synced}
	for {
		if err := f.event(); err != nil {
			return err
		}
		alive()
	}
}

type follower struct {
	lines    *bufio.Reader
	env      gatehouse.Environment
	sink     Sink
	hello    *Hello
	snapshot gatehouse.Snapshot
	keys     []*token.Key
	complete bool // sink knows a whole state, to which changes can be applied
	begun    bool // a snapshot is under way
	data     []byte
}

// event reads one and acts on it.
func (f *follower) event() error {
	name, seq := "", int64(-1)
	f.data = f.data[:0]
	for {
		line, err := f.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "id":
			if seq, err = strconv.ParseInt(string(value), 10, 64); err != nil || seq < 0 {
				return errors.New("the feed has an id that is no position")
			}
		case "data":
			f.data = append(f.data, value...)
		}
	}
	if name == "" {
		return nil // a comment
	}
	if err := f.act(name, seq); err != nil {
		if errors.Is(err, ErrEnd) {
			return err
		}
		return fmt.Errorf("the feed's %q: %w", name, err)
	}
	return nil
}

func (f *follower) line() ([]byte, error) {
	line, err := f.lines.ReadSlice('\n')
	if err == nil {
		return bytes.TrimRight(line, "\r\n"), nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = f.lines.ReadSlice('\n')
		if whole = append(whole, line...); len(whole) > maxLine {
			return nil, errors.New("the feed has a line that is too long")
		}
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(whole, "\r\n"), nil
}

func (f *follower) act(name string, seq int64) error {
	if f.hello == nil {
		return f.open(name)
	}
	switch name {
	case nameKeys:
		return f.takeKeys(seq)
	case nameClients, nameRevoked, nameReady:
		if seq >= 0 != (name == nameReady) {
			return errors.New("an id where none belongs, or none where one does")
		}
		return f.takeSnapshot(name, seq)
	case nameToken, nameClient, nameEpoch:
		change, err := f.change(name, seq)
		if err != nil {
			return err
		}
		return f.apply(change)
	case nameBeat:
		var b beat
		if err := json.Unmarshal(f.data, &b); err != nil {
			return err
		}
		if !f.complete || f.begun || seq < 0 {
			return errors.New("before the state is known")
		}
		if err := f.apply(gatehouse.Change{Entry: gatehouse.Entry{Seq: seq}}); err != nil {
			return err
		}
		f.sink.Beat(time.Duration(b.At) * time.Millisecond)
		return nil
	case nameEnd:
		return ErrEnd
	}
	return errors.New("an event that this version doesn't know")
}

func (f *follower) open(name string) error {
	if name != nameHello {
		return errors.New("before hello")
	}
	var h Hello
	if err := json.Unmarshal(f.data, &h); err != nil {
		return err
	}
	if h.Environment != f.env {
		return fmt.Errorf("it is of %s, and not of %s: the client's credentials are of the other environment", h.Environment, f.env)
	}
	if !h.Snapshot && !f.complete {
		return errors.New("it continues what was never begun")
	}
	f.hello = &h
	f.sink.OldIssuers(h.OldIssuers)
	return nil
}

func (f *follower) takeKeys(seq int64) error {
	var read []key
	if err := json.Unmarshal(f.data, &read); err != nil {
		return err
	}
	keys := make([]*token.Key, len(read))
	for i := range read {
		var err error
		if keys[i], err = read[i].read(f.env); err != nil {
			return err
		}
	}
	if seq >= 0 {
		return f.apply(gatehouse.Change{Entry: gatehouse.Entry{Seq: seq, Kind: gatehouse.EntryKeysChanged}, Keys: keys})
	}
	f.keys, f.snapshot, f.begun = keys, gatehouse.Snapshot{}, true
	return nil
}

func (f *follower) takeSnapshot(name string, seq int64) error {
	if !f.begun {
		return errors.New("outside a snapshot")
	}
	switch name {
	case nameClients:
		var read []client
		if err := json.Unmarshal(f.data, &read); err != nil {
			return err
		}
		for i := range read {
			c, err := read[i].read(f.env)
			if err != nil {
				return err
			}
			f.snapshot.Clients = append(f.snapshot.Clients, c)
		}
	case nameRevoked:
		packed, err := base64.StdEncoding.Strict().AppendDecode(nil, f.data)
		if err != nil || len(packed)%packedSize != 0 {
			return errors.New("broken ids")
		}
		for ; len(packed) > 0; packed = packed[packedSize:] {
			until := int64(binary.BigEndian.Uint64(packed[packedSize-8:]))
			f.snapshot.Revoked = append(f.snapshot.Revoked, gatehouse.RevokedToken{ID: gatehouse.TokenID(packed[:packedSize-8]), Until: fromSeconds(until)})
		}
	case nameReady:
		var e epoch
		if err := json.Unmarshal(f.data, &e); err != nil {
			return err
		}
		f.snapshot.Seq, f.snapshot.Epoch = seq, fromMillis(e.Before)
		if err := f.sink.Reset(f.hello.Issuers, &f.snapshot, f.keys); err != nil {
			return err
		}
		f.snapshot, f.keys, f.begun, f.complete = gatehouse.Snapshot{}, nil, false, true
	}
	return nil
}

func (f *follower) change(name string, seq int64) (c gatehouse.Change, err error) {
	c.Seq = seq
	switch name {
	case nameToken:
		var r revocation
		if err := json.Unmarshal(f.data, &r); err != nil {
			return c, err
		}
		c.Kind, c.Until = gatehouse.EntryTokenRevoked, fromSeconds(r.Until)
		c.Token, err = token.ParseID(r.Token)
	case nameClient:
		var read client
		if err := json.Unmarshal(f.data, &read); err != nil {
			return c, err
		}
		var changed gatehouse.Client
		changed, err = read.read(f.env)
		c.Kind, c.Client, c.Changed = gatehouse.EntryClientChanged, changed.ID, &changed
	case nameEpoch:
		var e epoch
		err = json.Unmarshal(f.data, &e)
		c.Kind, c.Before = gatehouse.EntryEpoch, fromMillis(e.Before)
	}
	return c, err
}

func (f *follower) apply(c gatehouse.Change) error {
	if !f.complete || f.begun || c.Seq < 0 {
		return errors.New("before the state is known")
	}
	return f.sink.Apply([]gatehouse.Change{c})
}
