package intake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Token is a live opaque access token of another system. Its text leaves this
// package as SHA-256 only.
type Token struct {
	Line        int       `json:"-"`
	SHA256      Digest    `json:"sha256,omitzero"`
	Text        Hashed    `json:"token,omitzero"` // in place of SHA256
	Client      string    `json:"client"`
	Environment string    `json:"environment"`
	Scopes      *[]string `json:"scopes,omitzero"` // nil is all that the client has
	User        string    `json:"user,omitzero"`
	Name        string    `json:"name,omitzero"`
	Issued      Time      `json:"issued,omitzero"`
	Expires     Time      `json:"expires,omitzero"`
}

// Tokens reads a file of tokens.
func Tokens(r io.Reader) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		for t, err := range items(r, tokenColumns) {
			if err == nil {
				err = t.settle()
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

var tokenColumns = &columns[Token]{
	known:  []string{"sha256", "token", "client", "environment", "scopes", "user", "name", "issued", "expires"},
	needed: [][]string{{"sha256", "token"}, {"client"}, {"environment"}, {"expires"}},
	at:     func(t *Token, line int) { t.Line = line },
	put: func(t *Token, column, cell string) error {
		switch column {
		case "sha256":
			return t.SHA256.UnmarshalText([]byte(cell))
		case "token":
			return t.Text.UnmarshalText([]byte(cell))
		case "client":
			t.Client = cell
		case "environment":
			t.Environment = cell
		case "scopes":
			words := strings.Fields(cell)
			t.Scopes = &words
		case "user":
			t.User = cell
		case "name":
			t.Name = cell
		case "issued":
			return t.Issued.UnmarshalText([]byte(cell))
		case "expires":
			return t.Expires.UnmarshalText([]byte(cell))
		}
		return nil
	},
}

// settle checks what goes together.
func (t *Token) settle() error {
	wrong := func(field, message string) error { return &LineError{Line: t.Line, Field: field, Message: message} }
	switch {
	case t.SHA256 == Digest{} && t.Text == Hashed{}:
		return wrong("sha256", "write the SHA-256 of the token, or the token itself as token")
	case t.SHA256 != Digest{} && t.Text != Hashed{}:
		if Digest(t.Text) != t.SHA256 {
			return wrong("sha256", "it is not the SHA-256 of the token beside it: leave one of them out")
		}
	case t.SHA256 == Digest{}:
		t.SHA256 = Digest(t.Text)
	}
	t.Text = Hashed{}
	switch {
	case t.Client == "":
		return wrong("client", "write the id of the client that has the token")
	case t.Environment != "sandbox" && t.Environment != "live":
		return wrong("environment", "write sandbox or live")
	case t.Expires == Time{}:
		return wrong("expires", "write when the token ends, or never")
	case t.Issued.Never:
		return wrong("issued", "write the time at which the token was made")
	}
	return nil
}

// A Digest is a SHA-256.
type Digest [sha256.Size]byte

// UnmarshalText reads 64 hexadecimal digits or base64 of either alphabet, after
// "sha256:" or as PostgreSQL writes bytes; "" is none.
func (d *Digest) UnmarshalText(text []byte) error {
	s := strings.TrimPrefix(strings.TrimPrefix(string(text), "sha256:"), `\x`)
	if s == "" {
		return nil
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		form := base64.RawStdEncoding
		if strings.ContainsAny(s, "-_") {
			form = base64.RawURLEncoding
		}
		if strings.ContainsAny(s, "\r\n") {
			return errDigest
		}
		raw, err = form.Strict().DecodeString(strings.TrimSuffix(s, "="))
	}
	if err != nil || len(raw) != len(d) {
		return errDigest
	}
	*d = Digest(raw)
	return nil
}

var errDigest = advice("not a SHA-256: write it as 64 hexadecimal digits, or in base64")

// Hashed is the SHA-256 of a token that stands in the file itself.
type Hashed Digest

// maxToken is the length of the longest token that is ever looked at.
const maxToken = 16 << 10

// UnmarshalText takes the token as it goes over the wire; "" is none.
func (h *Hashed) UnmarshalText(text []byte) error {
	switch {
	case len(text) == 0:
		return nil
	case len(text) > maxToken:
		return advice("a token has at most 16 KiB")
	case strings.HasPrefix(strings.ToLower(string(text)), "bearer "):
		return advice("write the token without the word Bearer")
	}
	*h = sha256.Sum256(text)
	return nil
}

// A Time is a moment, or never. The zero Time is neither.
type Time struct {
	time.Time
	Never bool
}

// MarshalText writes the time in the form of RFC 3339.
func (t Time) MarshalText() ([]byte, error) {
	if t.Never {
		return []byte("never"), nil
	}
	return t.Time.MarshalText()
}

// UnmarshalText reads never, RFC 3339 (also with a space for the T, and zones
// such as +00, as databases write them), and seconds or milliseconds since 1970.
func (t *Time) UnmarshalText(text []byte) error {
	s := string(text)
	switch s {
	case "":
		return nil
	case "never":
		t.Never = true
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		const milliseconds = 1e11 // as seconds it would be the year 5138
		if n <= 0 || n > math.MaxInt64/1_000_000 {
			return errTime
		}
		if n >= milliseconds {
			t.Time = time.UnixMilli(n).UTC()
		} else {
			t.Time = time.Unix(n, 0).UTC()
		}
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, s); err == nil {
			t.Time = at.UTC()
			return nil
		}
	}
	return errTime
}

// UnmarshalJSON reads what UnmarshalText does, and numbers.
func (t *Time) UnmarshalJSON(b []byte) error {
	return t.UnmarshalText([]byte(strings.Trim(string(b), `"`)))
}

var errTime = advice("not a time: write it like 2026-01-31T12:00:00Z, with its zone, or as seconds since 1970")
