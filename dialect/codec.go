package dialect

import (
	"encoding/base64"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// wire is the JSON type that a codec fixes. In headers, queries and forms
// everything but an array is text.
type wire uint8

const (
	wireText wire = iota
	wireNumber
	wireBool
	wireArray
	wireLiteral // whatever the error row's literal is
)

// codec turns one value into text and back. Secrets pass through as strings;
// the hole that owns the codec wraps them. Every codec reads back what it
// wrote, to the precision that its comment states.
type codec struct {
	name   string
	kinds  kind
	wire   wire
	about  string
	encode func(value any) (string, error)
	decode func(text string) (any, error)
}

// codecs is the closed set.
var codecs = []*codec{
	{"text", kindText | kindSecret, wireText, "text as it is", encodeText, decodeText},
	{"base64", kindText | kindSecret, wireText, "base64 with padding (RFC 4648 section 4)", encodeBase64(base64.StdEncoding), decodeBase64(base64.StdEncoding)},
	{"base64url", kindText | kindSecret, wireText, "base64url without padding (RFC 4648 section 5)", encodeBase64(base64.RawURLEncoding), decodeBase64(base64.RawURLEncoding)},
	{"uuid", kindText, wireText, "a UUID in its canonical form (RFC 9562), read in either letter case", encodeUUID, decodeUUID},
	{"seconds", kindDuration, wireNumber, "whole seconds", encodeDuration(time.Second), decodeDuration(time.Second)},
	{"seconds-text", kindDuration, wireText, "whole seconds, as text", encodeDuration(time.Second), decodeDuration(time.Second)},
	{"minutes", kindDuration, wireNumber, "whole minutes", encodeDuration(time.Minute), decodeDuration(time.Minute)},
	{"milliseconds", kindDuration, wireNumber, "whole milliseconds", encodeDuration(time.Millisecond), decodeDuration(time.Millisecond)},
	{"unix", kindTime, wireNumber, "seconds since 1970", encodeUnix(time.Second), decodeUnix(time.Second)},
	{"unix-text", kindTime, wireText, "seconds since 1970, as text", encodeUnix(time.Second), decodeUnix(time.Second)},
	{"unix-ms", kindTime, wireNumber, "milliseconds since 1970", encodeUnix(time.Millisecond), decodeUnix(time.Millisecond)},
	{"rfc3339", kindTime, wireText, "RFC 3339 in UTC, cut to the second", encodeTime(time.RFC3339, time.Second), decodeTime(time.RFC3339)},
	{"iso8601-minute", kindTime, wireText, "ISO 8601 in UTC, cut to the minute and so never later", encodeTime(minuteLayout, time.Minute), decodeTime(minuteLayout)},
	{"bool", kindBool, wireBool, "true or false", encodeBool, decodeBool},
	{"bool-text", kindBool, wireText, "true or false, as text", encodeBool, decodeBool},
	{"number", kindNumber, wireNumber, "a whole number", encodeNumber, decodeNumber},
	{"space", kindList, wireText, "a list with single spaces between (RFC 6749 section 3.3)", encodeList(" "), decodeList(" ")},
	{"comma", kindList, wireText, "a list with commas between", encodeList(","), decodeList(",")},
	{"list", kindList, wireArray, "a JSON array of strings", nil, nil},
}

// literalCodec carries an error row's value, whose type is the row's.
var literalCodec = &codec{name: "literal", kinds: kindScalar, wire: wireLiteral}

const minuteLayout = "2006-01-02T15:04Z07:00"

// defaultCodec names the codec of a hole that names none. Times and durations
// have none: their unit must be said.
var defaultCodec = map[kind]string{
	kindText: "text", kindSecret: "text", kindBool: "bool", kindNumber: "number", kindList: "space",
}

func lookupCodec(name string) *codec {
	for _, c := range codecs {
		if c.name == name {
			return c
		}
	}
	return nil
}

func codecNames(k kind) []string {
	var names []string
	for _, c := range codecs {
		if c.kinds&k != 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// What a reader is told. None of these repeats the value.
var (
	errNotBase64   = errors.New("must be canonical base64")
	errNotUUID     = errors.New("must be a UUID")
	errNotInteger  = errors.New("must be a whole number")
	errTooLarge    = errors.New("is too large")
	errNotPositive = errors.New("must be more than zero")
	errNegative    = errors.New("must not be negative")
	errNotTime     = errors.New("must be a time in the documented form")
	errNotBool     = errors.New("must be true or false")
	errNotList     = errors.New("must be a list without empty items")
)

func encodeText(value any) (string, error) { return value.(string), nil }
func decodeText(text string) (any, error)  { return text, nil }

func encodeBase64(e *base64.Encoding) func(any) (string, error) {
	return func(value any) (string, error) { return e.EncodeToString([]byte(value.(string))), nil }
}

// Strict refuses set trailing bits, and the check for line ends refuses what
// the decoder would skip: otherwise one id would have several spellings.
func decodeBase64(e *base64.Encoding) func(string) (any, error) {
	strict := e.Strict()
	return func(text string) (any, error) {
		b, err := strict.DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, errNotBase64
		}
		return string(b), nil
	}
}

func encodeUUID(value any) (string, error) {
	text, err := decodeUUID(value.(string))
	if err != nil {
		return "", err
	}
	return text.(string), nil
}

func decodeUUID(text string) (any, error) {
	if len(text) != 36 {
		return nil, errNotUUID
	}
	for i := range len(text) {
		c := text[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return nil, errNotUUID
			}
		} else if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return nil, errNotUUID
		}
	}
	return strings.ToLower(text), nil
}

// parseInteger reads a JSON number that is a whole number, in any spelling of
// it ("100", "1e2", "100.0"); huge reports one beyond 64 bits.
func parseInteger(text string) (n int64, huge bool, err error) {
	if n, err = strconv.ParseInt(text, 10, 64); err == nil && isJSONNumber(text) {
		return n, false, nil
	}
	if !isJSONNumber(text) {
		return 0, false, errNotInteger
	}
	if len(text) > 64 {
		return 0, true, errTooLarge
	}
	// The exponent is bounded before big.Rat expands it to digits.
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.Abs(f) >= 1<<64 {
		return 0, true, errTooLarge
	} else if f != 0 && math.Abs(f) < 1e-9 {
		return 0, false, errNotInteger
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() {
		return 0, false, errNotInteger
	}
	if !r.Num().IsInt64() {
		return 0, true, errTooLarge
	}
	return r.Num().Int64(), false, nil
}

// isJSONNumber checks the grammar of RFC 8259 section 6.
func isJSONNumber(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if strings.HasPrefix(s, "0") {
		s = s[1:]
	} else if !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// Durations are cut down to the unit: what is promised is never longer than
// what is kept.
func encodeDuration(unit time.Duration) func(any) (string, error) {
	return func(value any) (string, error) {
		d := value.(time.Duration)
		if d < 0 {
			return "", errNegative
		}
		return strconv.FormatInt(int64(d/unit), 10), nil
	}
}

// A life that fits 64 bits but not a time.Duration (292 years) is read as the
// longest one, since policy cuts it anyway.
func decodeDuration(unit time.Duration) func(string) (any, error) {
	return func(text string) (any, error) {
		n, _, err := parseInteger(text)
		switch {
		case err != nil:
			return nil, err
		case n < 0:
			return nil, errNegative
		case n > int64(math.MaxInt64/unit):
			return time.Duration(math.MaxInt64) / unit * unit, nil
		}
		return time.Duration(n) * unit, nil
	}
}

// The years that RFC 3339 can write.
var (
	earliest = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

func encodeUnix(unit time.Duration) func(any) (string, error) {
	return func(value any) (string, error) {
		t := value.(time.Time)
		if t.Before(earliest) || !t.Before(latest) {
			return "", errNotTime
		}
		if unit == time.Millisecond {
			return strconv.FormatInt(t.UnixMilli(), 10), nil
		}
		return strconv.FormatInt(t.Unix(), 10), nil
	}
}

func decodeUnix(unit time.Duration) func(string) (any, error) {
	return func(text string) (any, error) {
		n, _, err := parseInteger(text)
		if err != nil {
			return nil, err
		}
		t := time.Unix(n, 0)
		if unit == time.Millisecond {
			t = time.UnixMilli(n)
		}
		if t.Before(earliest) || !t.Before(latest) {
			return nil, errTooLarge
		}
		return t.UTC(), nil
	}
}

func encodeTime(layout string, precision time.Duration) func(any) (string, error) {
	return func(value any) (string, error) {
		t := value.(time.Time).UTC()
		if t.Before(earliest) || !t.Before(latest) {
			return "", errNotTime
		}
		return t.Truncate(precision).Format(layout), nil
	}
}

func decodeTime(layout string) func(string) (any, error) {
	return func(text string) (any, error) {
		t, err := time.Parse(layout, text)
		if err != nil || t.UTC().Before(earliest) || !t.UTC().Before(latest) {
			return nil, errNotTime
		}
		return t.UTC(), nil
	}
}

func encodeBool(value any) (string, error) { return strconv.FormatBool(value.(bool)), nil }

func decodeBool(text string) (any, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, errNotBool
}

func encodeNumber(value any) (string, error) { return strconv.FormatInt(value.(int64), 10), nil }

func decodeNumber(text string) (any, error) {
	n, _, err := parseInteger(text)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func encodeList(separator string) func(any) (string, error) {
	return func(value any) (string, error) {
		items := value.([]string)
		for _, item := range items {
			if item == "" || strings.Contains(item, separator) {
				return "", errNotList
			}
		}
		return strings.Join(items, separator), nil
	}
}

func decodeList(separator string) func(string) (any, error) {
	return func(text string) (any, error) {
		items := strings.Split(text, separator)
		for _, item := range items {
			if item == "" {
				return nil, errNotList
			}
		}
		return items, nil
	}
}
