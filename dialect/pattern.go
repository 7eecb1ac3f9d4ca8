package dialect

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// pattern is one compiled value of a message: a literal, a hole, or a string
// of both.
type pattern struct {
	parts []part
	// literal is the whole value when the pattern has no holes.
	literal raw
}

// part is a literal or a hole.
type part struct {
	literal string
	hole    *holeUse
}

// holeUse is a hole where it stands in a message.
type holeUse struct {
	*holeInfo
	codec      *codec
	optional   bool
	hasDefault bool   // always written as fallback, read as anything
	fallback   string // as it goes on the wire
	// blank is for owner.NAME and extra.NAME on the server: a client that
	// lacks the value still gets the member, with fallback in it, because
	// readers count on the member.
	blank bool
}

// raw is a value as it goes over the wire, before or after its pattern.
type raw struct {
	kind rawKind
	text string
	list []string
}

type rawKind uint8

const (
	absent rawKind = iota
	rawText
	rawNumber
	rawBool
	rawNull
	rawArray  // of strings
	rawObject // what no pattern reads: another array, or an object
)

func (p *pattern) isLiteral() bool { return p.literal.kind != absent }

// single returns the hole of a pattern that is nothing but one hole.
func (p *pattern) single() *holeUse {
	if len(p.parts) == 1 {
		return p.parts[0].hole
	}
	return nil
}

// optional reports whether the whole value may be absent.
func (p *pattern) optional() bool {
	for _, part := range p.parts {
		if part.hole != nil && (part.hole.optional || part.hole.hasDefault) {
			return true
		}
	}
	return false
}

func (p *pattern) holes() []*holeUse {
	var uses []*holeUse
	for i := range p.parts {
		if p.parts[i].hole != nil {
			uses = append(uses, p.parts[i].hole)
		}
	}
	return uses
}

// first returns the pattern's first hole, or nil.
func (p *pattern) first() *holeUse {
	for i := range p.parts {
		if p.parts[i].hole != nil {
			return p.parts[i].hole
		}
	}
	return nil
}

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
		return decodeLiteral(r, how)
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

func decodeLiteral(r raw, _ reading) (any, error) {
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
	if !utf8.ValidString(s) {
		return errControl
	}
	if hasControl(s) {
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
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	return a == b
}

// write fills the pattern from v. An absent raw means that an optional value
// is left out.
func (p *pattern) write(v Values) (raw, error) {
	if p.isLiteral() {
		return p.literal, nil
	}
	if use := p.single(); use != nil {
		return use.write(v)
	}
	var b strings.Builder
	for i := range p.parts {
		part := &p.parts[i]
		if part.hole == nil {
			b.WriteString(part.literal)
			continue
		}
		r, err := part.hole.write(v)
		if err != nil || r.kind == absent {
			return raw{}, err
		}
		// Reading ends this hole at the first occurrence of the literal that
		// follows, unless that literal ends the string.
		if i+2 < len(p.parts) {
			next := p.parts[i+1].literal
			if strings.Index(r.text+next, next) != len(r.text) {
				return raw{}, atHole(part.hole, errAmbiguous)
			}
		}
		b.WriteString(r.text)
	}
	return raw{kind: rawText, text: b.String()}, nil
}

// atHole names the hole that an error is about, never its value.
func atHole(use *holeUse, err error) error { return &holeError{use.name, err} }

type holeError struct {
	hole Hole
	err  error
}

func (e *holeError) Error() string { return "{" + string(e.hole) + "} " + e.err.Error() }
func (e *holeError) Unwrap() error { return e.err }

func (use *holeUse) write(v Values) (raw, error) {
	value := v.get(use.name)
	switch {
	case use.hasDefault, value == nil && use.blank && !use.optional:
		return raw{kind: use.rawKind(), text: use.fallback}, nil
	case value == nil && use.optional:
		return raw{}, nil
	case value == nil:
		return raw{}, atHole(use, errUnset)
	}
	if s, ok := value.(secret.Text); ok {
		value = s.Reveal()
	}
	if use.codec.wire == wireLiteral {
		return literalRaw(value), nil
	}
	if use.codec.wire == wireArray {
		list, ok := value.([]string)
		if !ok {
			return raw{}, atHole(use, errType)
		}
		return raw{kind: rawArray, list: list}, nil
	}
	if !fitsKind(use.kind, value) {
		return raw{}, atHole(use, errType)
	}
	text, err := use.codec.encode(value)
	if err != nil {
		return raw{}, atHole(use, err)
	}
	if hasControl(text) && use.name != Message {
		return raw{}, atHole(use, errControl)
	}
	return raw{kind: use.rawKind(), text: text}, nil
}

func fitsKind(k kind, value any) bool {
	switch value.(type) {
	case string:
		return k&(kindText|kindSecret) != 0
	case time.Time:
		return k == kindTime
	case time.Duration:
		return k == kindDuration
	case bool:
		return k == kindBool
	case []string:
		return k == kindList
	case int64:
		return k == kindNumber
	}
	return false
}

func (use *holeUse) rawKind() rawKind {
	switch use.codec.wire {
	case wireNumber:
		return rawNumber
	case wireBool:
		return rawBool
	}
	return rawText
}

// parsePattern compiles the text of a value. Problems come back as a message
// and a hint; the caller knows the place.
func parsePattern(text string, where context) (p pattern, message, hint string) {
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			p.parts = append(p.parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(text[i])
			i += 2
		case text[i] == '}':
			return p, "there is a } without its {", `write "}}" for the character itself`
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return p, "there is a { without its }", `write "{{" for the character itself`
			}
			flush()
			use, message, hint := parseHole(text[i+1:i+end], where)
			if message != "" {
				return p, message, hint
			}
			if n := len(p.parts); n > 0 && p.parts[n-1].hole != nil {
				return p, "two holes stand side by side and can't be told apart when read", "put a literal between them"
			}
			p.parts = append(p.parts, part{hole: use})
			i += end + 1
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	flush()
	if p.first() == nil {
		whole := ""
		if len(p.parts) > 0 {
			whole = p.parts[0].literal
		}
		return pattern{literal: raw{kind: rawText, text: whole}}, "", ""
	}
	if len(p.parts) > 1 {
		return p, compositeProblem(&p), "give the hole a value of its own, or make all of them optional"
	}
	return p, "", ""
}

// compositeProblem checks what only a string of several parts can get wrong.
func compositeProblem(p *pattern) string {
	optional := 0
	for _, use := range p.holes() {
		if use.codec.wire == wireArray {
			return "a JSON array can't be part of a string"
		}
		if use.hasDefault || use.name == Anything {
			return "a hole that is read as anything can't be part of a string"
		}
		if use.optional {
			optional++
		}
	}
	if optional != 0 && optional != len(p.holes()) {
		return "some holes of this string are optional and some are not"
	}
	return ""
}

// parseHole reads NAME, NAME?, NAME|CODEC, NAME|CODEC? and NAME[|CODEC]=DEFAULT.
func parseHole(spec string, where context) (use *holeUse, message, hint string) {
	use = &holeUse{}
	spec, use.fallback, use.hasDefault = strings.Cut(spec, "=")
	if !use.hasDefault {
		spec, use.optional = strings.CutSuffix(spec, "?")
	}
	name, codecName, hasCodec := strings.Cut(spec, "|")
	info, ok := lookupHole(name)
	if !ok {
		return nil, "there is no hole {" + strings.Trim(quote(name), `"`) + "}", suggest(name, holeNames())
	}
	use.holeInfo = info
	use.blank = where != inRequest && (strings.HasPrefix(name, ownerFamily) || strings.HasPrefix(name, extraFamily))
	if info.contexts&where == 0 {
		return nil, "{" + name + "} can't stand in " + where.String(), "it is for " + contextList(info.contexts)
	}
	if info.name == Anything && !use.hasDefault && !use.optional {
		return nil, "{m} needs what to write", `write "{m=success}", or "{m?}" for a value that is not looked at`
	}
	if info.kind == kindScalar {
		if hasCodec {
			return nil, "{" + name + "} takes its JSON type from the error row and has no codec", "leave the codec out"
		}
		use.codec = literalCodec
		return use, "", ""
	}
	if !hasCodec {
		if codecName, ok = defaultCodec[info.kind]; !ok {
			return nil, "{" + name + "} doesn't say how it is written", "name a codec, such as {" + name + "|" + codecNames(info.kind)[0] + "}"
		}
	}
	use.codec = lookupCodec(codecName)
	switch {
	case use.codec == nil:
		return nil, "there is no codec " + quote(codecName), suggest(codecName, codecNames(info.kind))
	case use.codec.kinds&info.kind == 0:
		return nil, "the codec " + codecName + " doesn't fit {" + name + "}, which is " + info.kind.String(),
			"it takes " + strings.Join(codecNames(info.kind), ", ")
	case use.hasDefault && use.codec.wire != wireArray && info.name != Anything:
		if value, err := use.codec.decode(use.fallback); err != nil || value == nil || use.fallback == "" {
			return nil, "the default of {" + name + "} can't be read back", "write one that the codec " + codecName + " reads"
		}
	case use.hasDefault && use.codec.wire == wireArray:
		return nil, "a JSON array has no default", "leave the default out"
	}
	return use, "", ""
}

func contextList(c context) string {
	var names []string
	for _, one := range []context{inRequest, inAnswer, inToken, inError, inKeyID} {
		if c&one != 0 {
			names = append(names, one.String())
		}
	}
	return strings.Join(names, ", ")
}

// suggest names the nearest word, or all of them when none is near.
func suggest(word string, words []string) string {
	best, distance := "", 3
	for _, w := range words {
		if d := editDistance(word, w); d < distance {
			best, distance = w, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "one of " + strings.Join(words, ", ")
}

// editDistance is Levenshtein's, on bytes.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
