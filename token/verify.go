package token

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxSize is the length in bytes above which Verify doesn't look at a token.
const MaxSize = 16 << 10

// Verified is a token whose form and signature are good. Nothing in it has been
// judged yet: its times, its type, its audience, whether it was revoked.
type Verified struct {
	Key    *Key           // the key, and by its realm the environment and format
	Type   string         // the header's "typ", or ""
	Header jsontext.Value // a JSON object without duplicate members
	Claims jsontext.Value // likewise
}

// IsType reports whether the token's type is typ. Media types have no case, and
// "application/" may be left out (RFC 7515 §4.1.9).
func (v *Verified) IsType(typ string) bool {
	const application = "application/"
	got := v.Type
	if len(got) > len(application) && strings.EqualFold(got[:len(application)], application) {
		got = got[len(application):]
	}
	return strings.EqualFold(got, typ)
}

// Verify checks the form and the signature of tok: a JWS in compact
// serialization (RFC 7515 §7.1) under a key of the ring that verifies at now, by
// the algorithm that is this key's own. The token chooses nothing but the id.
// Errors are ErrMalformed, ErrAlgorithm, ErrUnknownKey and ErrSignature.
func (r *Ring) Verify(tok string, now time.Time) (*Verified, error) {
	v, err := r.verifySignature(tok, now)
	if err != nil {
		return nil, err
	}
	if !v.Claims.IsValid() || v.Claims.Kind() != '{' {
		return nil, malformed("the payload is not a strict JSON object")
	}
	return v, nil
}

// verifySignature is Verify for any payload.
func (r *Ring) verifySignature(tok string, now time.Time) (*Verified, error) {
	if len(tok) > MaxSize {
		return nil, malformed("longer than 16 KiB")
	}
	signed, signature, err := splitCompact(tok)
	if err != nil {
		return nil, err
	}
	header, payload, _ := strings.Cut(signed, ".")
	var decoded [3][]byte
	for i, segment := range [3]string{header, payload, signature} {
		if decoded[i], err = strictBase64.DecodeString(segment); err != nil {
			return nil, malformed("a segment is not canonical base64url")
		}
	}
	var h joseHeader
	if err := json.Unmarshal(decoded[0], &h); err != nil {
		// The library's error would quote the token.
		return nil, malformed("the header is not a strict JSON object of this form")
	}
	if h.refused {
		return nil, malformed("the header holds a member that is never accepted")
	}
	if !Algorithm(h.alg).Valid() {
		return nil, ErrAlgorithm
	}
	key := r.unnamed
	if h.kid != "" || key == nil {
		if !validKeyID(h.kid) {
			return nil, ErrUnknownKey
		}
		if key, err = r.Verifying(h.kid, now); err != nil {
			return nil, err
		}
	}
	if Algorithm(h.alg) != key.Realm.Algorithm {
		return nil, ErrAlgorithm
	}
	if key.Realm.Algorithm.method().Verify(signed, decoded[2], key.Public) != nil {
		return nil, ErrSignature
	}
	return &Verified{Key: key, Type: h.typ, Header: decoded[0], Claims: decoded[1]}, nil
}

// inToken marks the characters of base64url. Go's decoder skips CR and LF even
// when it is strict, so the alphabet is held here.
var inToken = func() (in [256]bool) {
	for c := range in {
		in[c] = base62Value[c] != 255 || c == '-' || c == '_'
	}
	return in
}()

// splitCompact takes the signature off a token of exactly three segments, none
// of them empty and all in the alphabet of base64url.
func splitCompact(tok string) (signed, signature string, err error) {
	segments, start := 1, 0
	for i := range len(tok) {
		if inToken[tok[i]] {
			continue
		}
		if tok[i] != '.' {
			return "", "", malformed("a character that is not of base64url")
		}
		if i == start {
			return "", "", malformed("an empty segment")
		}
		if segments++; segments > 3 {
			return "", "", malformed("more than three segments")
		}
		start = i + 1
	}
	if segments != 3 || start == len(tok) {
		return "", "", malformed("not three segments")
	}
	return tok[:start-1], tok[start:], nil
}

// strictBase64 refuses padding, and last characters whose unused bits aren't
// zero: otherwise one token would have several spellings.
var strictBase64 = base64.RawURLEncoding.Strict()

// joseHeader is what Verify reads of a header.
type joseHeader struct {
	alg, kid, typ string
	refused       bool
}

// UnmarshalJSONFrom refuses everything that RFC 7493 warns of, and members of
// the right name but another type than text. Members that Gatehouse doesn't know
// are let through, since a dialect may have its own.
func (h *joseHeader) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return readObject(dec, func(name string) error {
		switch name {
		case "alg":
			return readText(dec, &h.alg)
		case "kid":
			return readText(dec, &h.kid)
		case "typ":
			return readText(dec, &h.typ)
		case "crit", // no extension is understood (RFC 7515 §4.1.11)
			"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", // a token doesn't choose its key
			"b64",               // unencoded payloads (RFC 7797)
			"enc", "zip", "epk": // encryption (RFC 7516)
			h.refused = true
		}
		return dec.SkipValue()
	})
}
