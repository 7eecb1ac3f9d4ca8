package dialect

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

// literals lists the pattern's fixed pieces.
func (p *pattern) literals() []string {
	if p.isLiteral() {
		return []string{p.literal.text}
	}
	var out []string
	for _, part := range p.parts {
		if part.hole == nil {
			out = append(out, part.literal)
		}
	}
	return out
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
