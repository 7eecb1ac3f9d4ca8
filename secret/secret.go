// Package secret keeps credentials out of output. A Text prints as
// "[redacted]" through fmt, log/slog, encoding/json and every other encoder
// that asks a value how it wants to be written; only Reveal gives it away, so
// `grep Reveal` finds each place where a credential leaves its wrapper.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// A Text is a credential: a token, a client secret, an access code. The zero
// value is "none given". A Text is immutable and safe for concurrent use.
// Compare with Equal; == does not compile.
//
// It holds a pointer because fmt doesn't ask unexported fields how they want to
// be printed: it walks into them, but of a pointer at depth it shows only where
// it points.
type Text struct {
	_     [0]func()
	value *string
}

// New wraps s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{value: &s}
}

// Reveal returns the credential itself. Call it only where the credential is
// used: hashed, compared, signed over, or written into the answer it is for.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsZero reports whether no credential was given.
func (t Text) IsZero() bool { return t.value == nil }

// Equal compares in time that depends on the lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// String, Format, GoString, LogValue, MarshalText and MarshalJSON are the
// ways in which the standard library's encoders would have printed the value.

func (t Text) String() string               { return redacted }
func (t Text) GoString() string             { return redacted }
func (t Text) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (t Text) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
