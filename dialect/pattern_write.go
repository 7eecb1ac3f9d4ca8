package dialect

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

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
