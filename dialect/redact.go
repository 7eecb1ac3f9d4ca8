package dialect

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Values and the messages made of them hold secrets in the clear, so each way
// in which Go code commonly prints a value shows their outline only: the names
// of holes, a method, a status, a size.

func (v Values) String() string {
	names := make([]string, len(v.entries))
	for i, e := range v.entries {
		names[i] = string(e.hole)
	}
	return "{" + strings.Join(names, " ") + "}"
}
func (v Values) GoString() string             { return v.String() }
func (v Values) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, v.String()) }
func (v Values) LogValue() slog.Value         { return slog.StringValue(v.String()) }
func (v Values) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func (r Request) String() string {
	return fmt.Sprintf("%s request, %d bytes of body", r.Method, len(r.Body))
}
func (r Request) GoString() string             { return r.String() }
func (r Request) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r Request) LogValue() slog.Value         { return slog.StringValue(r.String()) }
func (r Request) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Response) String() string {
	return fmt.Sprintf("answer %d, %d bytes of body", r.Status, len(r.Body))
}
func (r Response) GoString() string             { return r.String() }
func (r Response) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r Response) LogValue() slog.Value         { return slog.StringValue(r.String()) }
func (r Response) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
