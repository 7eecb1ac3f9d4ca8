package token

import (
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// An opaque token is
//
//	prefix ‖ base62(id ‖ 256 random bits) ‖ base62(CRC-32 of all before)
//
// and a secret is the same without an id. The checksum is GitHub's idea
// (github.blog, "Behind GitHub's new authentication token formats"): secret
// scanners tell a token from noise, and a mistyped one costs no look-up.
const (
	entropyBytes   = 32
	opaqueDigits   = 65 // the least that hold 128 + 256 bits
	secretDigits   = 43 // the least that hold 256 bits
	checksumDigits = 6  // the least that hold 32 bits
	maxPrefix      = 64
)

// Kind says what a generated value is good for. It is the last part of the
// default prefixes.
type Kind string

const (
	AccessToken  Kind = "at"
	RefreshToken Kind = "rt"
	AccessCode   Kind = "ac"
	UserSecret   Kind = "us"
	ClientSecret Kind = "cs"
)

// Prefix is the default prefix, "gate_live_at_" for a live access token.
func Prefix(environment string, kind Kind) string {
	return "gate_" + environment + "_" + string(kind) + "_"
}

// Pattern is the regular expression, in the syntax that RE2 and PCRE share, that
// finds every value with a default prefix. Secret scanners are given it.
func Pattern() string {
	return `\bgate_[a-z0-9-]+_(?:at|rt|ac|us|cs)_[0-9A-Za-z]{49}(?:[0-9A-Za-z]{22})?\b`
}

// ValidPrefix reports whether prefix can stand before a generated value: empty,
// or at most 64 ASCII letters, digits, hyphens and underscores of which the
// last is an underscore. The underscore marks where the value begins, which is
// what keeps a secret from being read as the end of a token.
func ValidPrefix(prefix string) bool {
	if prefix == "" {
		return true
	}
	if len(prefix) > maxPrefix || prefix[len(prefix)-1] != '_' {
		return false
	}
	for i := range len(prefix) {
		if c := prefix[i]; base62Value[c] == 255 && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// NewOpaque returns a fresh opaque token for id. A prefix that isn't
// ValidPrefix gives a token that ParseOpaque refuses; check prefixes where
// they are configured.
func NewOpaque(prefix string, id ID) secret.Text {
	var raw [len(ID{}) + entropyBytes]byte
	copy(raw[:], id[:])
	_, _ = rand.Read(raw[len(id):]) // never fails: it ends the process instead
	return generated(prefix, raw[:], opaqueDigits)
}

// ParseOpaque takes an opaque token apart. It refuses, with ErrMalformed, each
// spelling that NewOpaque would not have written: a token cut short, extended,
// or with a character changed never passes. Whether the token was ever issued
// only the ledger can tell.
func ParseOpaque(s string) (prefix string, id ID, err error) {
	var limbs [(len(ID{}) + entropyBytes) / 8]uint64
	prefix, ok := readGenerated(s, limbs[:], opaqueDigits)
	if !ok {
		return "", ID{}, malformed("not an opaque token")
	}
	binary.BigEndian.PutUint64(id[0:], limbs[0])
	binary.BigEndian.PutUint64(id[8:], limbs[1])
	return prefix, id, nil
}

// NewSecret returns a fresh secret of 256 random bits, with the alphabet and
// the checksum of an opaque token. The remark on prefixes at NewOpaque holds.
func NewSecret(prefix string) secret.Text {
	var raw [entropyBytes]byte
	_, _ = rand.Read(raw[:])
	return generated(prefix, raw[:], secretDigits)
}

// ValidSecret reports whether s could have come from NewSecret with some
// prefix. It says nothing about whose secret it is.
func ValidSecret(s string) bool {
	var limbs [entropyBytes / 8]uint64
	_, ok := readGenerated(s, limbs[:], secretDigits)
	return ok
}

func generated(prefix string, raw []byte, digits int) secret.Text {
	var limbs [(len(ID{}) + entropyBytes) / 8]uint64
	n := len(raw) / 8
	for i := range n {
		limbs[i] = binary.BigEndian.Uint64(raw[8*i:])
	}
	var buf [maxPrefix + opaqueDigits + checksumDigits]byte
	b := append(buf[:0], prefix...)
	b = append(b, make([]byte, digits)...)
	encodeBase62(b[len(prefix):], limbs[:n])
	return secret.New(string(appendChecksum(b)))
}

func appendChecksum(b []byte) []byte {
	sum := [1]uint64{uint64(crc32.ChecksumIEEE(b))}
	b = append(b, make([]byte, checksumDigits)...)
	encodeBase62(b[len(b)-checksumDigits:], sum[:])
	return b
}

// readGenerated reads prefix, value and checksum of s.
func readGenerated(s string, limbs []uint64, digits int) (prefix string, ok bool) {
	if len(s) > maxPrefix+digits+checksumDigits {
		return "", false
	}
	at := strings.LastIndexByte(s, '_') + 1
	if len(s)-at != digits+checksumDigits || !ValidPrefix(s[:at]) {
		return "", false
	}
	var sum [1]uint64
	end := len(s) - checksumDigits
	if !decodeBase62(sum[:], s[end:]) || sum[0] != uint64(crc32.ChecksumIEEE([]byte(s[:end]))) {
		return "", false
	}
	return s[:at], decodeBase62(limbs, s[at:end])
}
