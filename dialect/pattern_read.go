package dialect

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// How a value is read.
type reading struct {
	// exact holds requests and tokens to JSON's types and to short strings;
	// answers are read more patiently, since a client can't correct them.
	exact bool
	// untyped is for headers, queries, paths and forms, where all is text.
	untyped bool
	// foldScheme compares the leading literal without regard to letter case:
	// authentication schemes (RFC 9110 section 11.1).
	foldScheme bool
}

const (
	maxRequestText = 4096
	maxAnswerText  = 64 << 10
	maxTokenName   = 200
)

var (
	errLiteral     = errors.New("does not have the value that this operation asks for")
	errType        = errors.New("has the wrong JSON type")
	errTooLong     = errors.New("is too long")
	errControl     = errors.New("must not hold control characters")
	errForm        = errors.New("does not have the documented form")
	errAmbiguous   = errors.New("can't be written so that it reads back")
	errUnset       = errors.New("has no value")
	errEmpty       = errors.New("is required")
	errDiffers     = errors.New("is given twice with different values")
	errTokenName   = errors.New("must be printable and at most 200 bytes")
	errPathSegment = errors.New("can't stand in a path")
)

// read matches r and puts what the holes hold into v. It sets a hole once:
// a second text that differs is refused, a second time or duration ignored,
// because two codecs may have cut it differently.
func (p *pattern) read(r raw, v *Values, how reading) error {
	if p.isLiteral() {
		if !literalMatches(p.literal, r, how) {
			return errLiteral
		}
		return nil
	}
	if use := p.single(); use != nil {
		return use.read(r, v, how)
	}
	if r.kind != rawText {
		return errType
	}
	rest := r.text
	for i := range p.parts {
		part := &p.parts[i]
		if part.hole == nil {
			if i == 0 {
				if !hasPrefix(rest, part.literal, how.foldScheme) {
					return errForm
				}
				rest = rest[len(part.literal):]
				if how.foldScheme {
					rest = strings.TrimLeft(rest, " ")
				}
			}
			continue // a later literal was consumed with the hole before it
		}
		text := rest
		if i+1 < len(p.parts) {
			next := p.parts[i+1].literal
			at := strings.Index(rest, next)
			if i+2 == len(p.parts) {
				// The last literal ends the string, wherever else it stands.
				if at = len(rest) - len(next); at < 0 || rest[at:] != next {
					at = -1
				}
			}
			if at < 0 {
				return errForm
			}
			text, rest = rest[:at], rest[at+len(next):]
		}
		untyped := how
		untyped.untyped = true
		if err := part.hole.read(raw{kind: rawText, text: text}, v, untyped); err != nil {
			return err
		}
	}
	return nil
}

func hasPrefix(s, prefix string, fold bool) bool {
	if len(s) < len(prefix) {
		return false
	}
	return s[:len(prefix)] == prefix || fold && strings.EqualFold(s[:len(prefix)], prefix)
}

func literalMatches(want, got raw, how reading) bool {
	if want.kind == rawNull {
		return got.kind == rawNull || got.kind == absent
	}
	if got.kind != want.kind && !(how.untyped || !how.exact) {
		return false
	}
	if got.kind == rawArray || got.kind == rawObject {
		return false
	}
	if got.text == want.text {
		return got.kind != absent
	}
	if want.kind == rawNumber {
		a, _, errA := parseInteger(want.text)
		b, _, errB := parseInteger(got.text)
		return errA == nil && errB == nil && a == b
	}
	return false
}

// read decodes r for one hole.
func (u *holeUse) read(r raw, v *Values, how reading) error {
	if u.name == Anything {
		return nil
	}
	value, err := u.decode(r, how)
	if err != nil {
		if u.hasDefault {
			return nil // read as anything
		}
		return err
	}
	if value == nil {
		if u.optional || u.hasDefault || u.blank {
			return nil
		}
		return errEmpty
	}
	if old := v.get(u.name); old != nil {
		if u.kind&(kindTime|kindDuration) != 0 || same(old, value) {
			return nil
		}
		return errDiffers
	}
	v.set(u.name, value)
	return nil
}

// decode returns nil for a value that is there but empty.
func (u *holeUse) decode(r raw, how reading) (any, error) {
	if u.codec.wire == wireLiteral {
		return decodeLiteral(r)
	}
	if r.kind == rawNull || r.kind == absent {
		return nil, nil
	}
	if u.codec.wire == wireArray {
		if r.kind != rawArray {
			return nil, errType
		}
		for _, item := range r.list {
			if item == "" {
				return nil, errNotList
			}
			if err := checkText(item, how); err != nil {
				return nil, err
			}
		}
		if len(r.list) == 0 {
			return nil, nil
		}
		return r.list, nil
	}
	if !u.typeFits(r.kind, how) {
		return nil, errType
	}
	if err := checkText(r.text, how); err != nil {
		return nil, err
	}
	if r.text == "" && u.kind&(kindText|kindSecret|kindList) != 0 {
		return nil, nil
	}
	value, err := u.codec.decode(r.text)
	if err != nil {
		return nil, err
	}
	switch u.kind {
	case kindText, kindSecret:
		text := value.(string)
		if text == "" {
			return nil, nil
		}
		if err := checkText(text, how); err != nil {
			return nil, err
		}
		if u.name == TokenName && how.exact && !isTokenName(text) {
			return nil, errTokenName
		}
		if u.kind == kindSecret {
			return secret.New(text), nil
		}
	case kindDuration:
		if value.(time.Duration) == 0 && how.exact {
			return nil, errNotPositive
		}
	}
	return value, nil
}

// typeFits holds requests to the codec's JSON type. In answers a number may
// come as text and the other way round, since servers are seen to do both.
func (u *holeUse) typeFits(k rawKind, how reading) bool {
	if how.untyped {
		return k == rawText
	}
	switch u.codec.wire {
	case wireNumber:
		return k == rawNumber || k == rawText && !how.exact
	case wireBool:
		return k == rawBool || k == rawText && !how.exact
	default:
		patient := u.kind&(kindDuration|kindTime|kindBool) != 0 && !how.exact
		return k == rawText || patient && (k == rawNumber || k == rawBool)
	}
}

func decodeLiteral(r raw) (any, error) {
	switch r.kind {
	case rawText, rawNumber, rawBool:
		return literalValue(r), nil
	case absent, rawNull:
		return nil, nil
	}
	return nil, errType
}

// checkText refuses what has no place in an identifier, a secret or a name.
func checkText(s string, how reading) error {
	limit := maxAnswerText
	if how.exact {
		limit = maxRequestText
	}
	if len(s) > limit {
		return errTooLong
	}
	if !utf8.ValidString(s) || hasControl(s) {
		return errControl
	}
	return nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
		if s[i] >= utf8.RuneSelf {
			return strings.IndexFunc(s[i:], unicode.IsControl) >= 0
		}
	}
	return false
}

// isTokenName keeps names to what a list can show: printable, so no control
// characters and no marks that turn the direction of text.
func isTokenName(s string) bool {
	return len(s) <= maxTokenName && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// same compares two values of one hole.
func same(a, b any) bool {
	switch a := a.(type) {
	case secret.Text:
		b, ok := b.(secret.Text)
		return ok && a.Equal(b)
	case []string:
		b, ok := b.([]string)
		return ok && slices.Equal(a, b)
	}
	return a == b
}
