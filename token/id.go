package token

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// ID names a token on the ledger. It is a UUID version 7 (RFC 9562 §5.7): the
// first 48 bits are the time in milliseconds, so that ids made together stand
// together in an index; 74 bits are random. An ID is no secret.
type ID [16]byte

// idEntropy holds random bytes read ahead: ids are public, and one read of the
// system's generator for 64 of them is several times cheaper than 64 reads.
// Secrets and opaque tokens never come from here.
type idEntropy struct {
	bytes [640]byte
	used  int
}

var idEntropyPool = sync.Pool{New: func() any { return &idEntropy{used: len(idEntropy{}.bytes)} }}

// NewID returns a fresh id for something made at now.
func NewID(now time.Time) ID {
	const randomBytes = 10
	var id ID
	e := idEntropyPool.Get().(*idEntropy)
	if e.used == len(e.bytes) {
		_, _ = rand.Read(e.bytes[:]) // never fails: it ends the process instead
		e.used = 0
	}
	copy(id[6:], e.bytes[e.used:e.used+randomBytes])
	e.used += randomBytes
	idEntropyPool.Put(e)

	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = 0x70 | id[6]&0x0f // version 7
	id[8] = 0x80 | id[8]&0x3f // variant of RFC 9562
	return id
}

// DerivedID names a token that somebody else made by a digest of it: who has
// the token finds its id, and nobody needs an index of digests. It is a UUID
// version 8 (RFC 9562 §5.8). The first 48 bits are zero, so that derived ids
// stand together, before every id that was made by time; 74 bits are the
// digest's. Take a keyed digest: an ID is no secret.
func DerivedID(digest [32]byte) ID {
	var id ID
	copy(id[6:], digest[:])
	id[6] = 0x80 | id[6]&0x0f // version 8
	id[8] = 0x80 | id[8]&0x3f // variant of RFC 9562
	return id
}

// Derived reports whether id is a DerivedID.
func (id ID) Derived() bool {
	return [6]byte(id[:6]) == [6]byte{} && id[6]>>4 == 8
}

// Time is when the id was made, to the millisecond, in UTC. A derived id has none.
func (id ID) Time() time.Time {
	ms := uint64(binary.BigEndian.Uint16(id[0:]))<<32 | uint64(binary.BigEndian.Uint32(id[2:]))
	return time.UnixMilli(int64(ms)).UTC()
}

// IsZero reports whether id is the zero ID, which names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// uuidLen is the length of a UUID as text.
const uuidLen = 36

// uuidGroups are the byte ranges of a UUID between its hyphens.
var uuidGroups = [...]struct{ from, to int }{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}}

func (id ID) appendText(b []byte) []byte {
	for i, g := range uuidGroups {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[g.from:g.to])
	}
	return b
}

// String returns the canonical form of RFC 9562 §4: 36 characters, lower case.
func (id ID) String() string {
	var buf [uuidLen]byte
	return string(id.appendText(buf[:0]))
}

// ParseID reads what String writes and nothing else, so that one id has one
// spelling. Any version is read; upper case, braces and "urn:" are not.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != uuidLen {
		return ID{}, malformed("an id has 36 characters")
	}
	at := 0
	for i, g := range uuidGroups {
		if i > 0 {
			if s[at] != '-' {
				return ID{}, malformed("an id's hyphens are misplaced")
			}
			at++
		}
		for n := g.from; n < g.to; n++ {
			hi, lo := lowerHex(s[at]), lowerHex(s[at+1])
			if hi > 15 || lo > 15 {
				return ID{}, malformed("an id has lower-case hexadecimal digits only")
			}
			id[n] = hi<<4 | lo
			at += 2
		}
	}
	return id, nil
}

// lowerHex is the value of a lower-case hexadecimal digit, or 255.
func lowerHex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (id ID) MarshalText() ([]byte, error) {
	return id.appendText(make([]byte, 0, uuidLen)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler with the rules of ParseID.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
