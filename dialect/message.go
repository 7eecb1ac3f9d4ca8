package dialect

import (
	"net/http"
	"strings"
)

// message is one side of an operation, compiled: its slots by carriage, and
// the JSON tree that the slots of the body hang in. Messages are immutable.
type message struct {
	where        context
	method       string
	path         *pathTemplate
	slots        []slot
	alternatives int // how many places `either` lists; slots name theirs
	json         *jsonNode
	hasForm      bool
	hasBasic     bool
	others       bool // the body has members that are the API's own business
	status       int
}

// slot is one value of a message and where it travels.
type slot struct {
	pattern
	position
	place       place
	name        string // as on the wire; header names in canonical case
	label       string // as in the file; a JSON body's members joined by dots
	alternative int    // which of `either`, or always
}

const (
	always          = -1
	maxAlternatives = 8
)

type place uint8

const (
	inPath place = iota
	inQuery
	inHeader
	inUser
	inPassword
	inBody
	inForm
)

func (p place) String() string {
	return [...]string{"path", "query", "header", "Basic user", "Basic password", "JSON body", "form body"}[p]
}

func (m *message) hasHole(h Hole) bool {
	for i := range m.slots {
		for _, use := range m.slots[i].holes() {
			if use.name == h {
				return true
			}
		}
	}
	return false
}

// uses lists each hole of the message once, in the file's order.
func (m *message) uses() []*holeUse {
	var uses []*holeUse
	seen := map[Hole]bool{}
	for i := range m.slots {
		for _, use := range m.slots[i].holes() {
			if !seen[use.name] {
				seen[use.name] = true
				uses = append(uses, use)
			}
		}
	}
	return uses
}

// reading says how the slot's raw value is to be read.
func (s *slot) reading(where context) reading {
	return reading{
		exact:      where == inRequest || where == inToken,
		untyped:    s.place != inBody,
		foldScheme: s.place == inHeader && s.name == "Authorization",
	}
}

// required reports whether a reader may expect the slot.
func (s *slot) required() bool {
	return !s.optional() && s.literal.kind != rawNull
}

// compileMessage reads `request`, `response` and the messages of the error
// table. keys are the keys that belong to the caller.
func (l *loader) compileMessage(n *node, where context, keys ...string) *message {
	m := &message{where: where, status: http.StatusOK}
	allowed := append([]string{"headers", "body"}, keys...)
	if where == inRequest {
		allowed = append(allowed, "GET", "POST", "PUT", "PATCH", "DELETE", "query", "basic", "form", "either")
	} else {
		allowed = append(allowed, "status")
	}
	if !l.expect(n, mapping, "a message") || !l.onlyKeys(n, allowed) {
		return nil
	}
	failed := len(l.errs)
	for _, p := range n.pairs {
		switch p.key {
		case "GET", "POST", "PUT", "PATCH", "DELETE":
			if m.method != "" {
				l.fail(p.position, "the request has two methods", "keep one")
				continue
			}
			m.method = p.key
			m.path = l.compilePath(m, p.value)
		case "status":
			m.status = l.status(p.value)
		case "either":
			l.compileEither(m, p.value)
		default:
			l.compileCarriage(m, p, always)
		}
	}
	if m.method == http.MethodGet && (m.json != nil || m.hasForm) {
		l.fail(n.position, "a GET request can't have a body", "use POST, or put the values in headers")
	}
	if m.json != nil && m.hasForm {
		l.fail(n.position, "the request has a JSON body and a form", "keep one of them")
	}
	if len(l.errs) > failed {
		return nil
	}
	return m
}

func (l *loader) compileEither(m *message, n *node) {
	if !l.expect(n, sequence, "either") {
		return
	}
	if len(n.items) < 2 || len(n.items) > maxAlternatives {
		l.fail(n.position, "either needs two places, and has room for eight", "write an only place beside it")
		return
	}
	for i, item := range n.items {
		if !l.expect(item, mapping, "a place of either") || !l.onlyKeys(item, []string{"headers", "query", "basic", "body", "form"}) {
			continue
		}
		before, failed := len(m.slots), len(l.errs)
		for _, p := range item.pairs {
			l.compileCarriage(m, p, i)
		}
		required := false
		for _, s := range m.slots[before:] {
			required = required || s.required() && !s.isLiteral()
		}
		if !required && len(l.errs) == failed {
			l.fail(item.position, "nothing in this place is required, so it can't be told whether it is used", "make one of its holes required")
		}
	}
	m.alternatives = len(n.items)
}

func (l *loader) compileCarriage(m *message, p pair, alternative int) {
	switch p.key {
	case "headers":
		l.flat(m, p.value, inHeader, alternative)
	case "query":
		l.flat(m, p.value, inQuery, alternative)
	case "form":
		m.hasForm = true
		l.flat(m, p.value, inForm, alternative)
	case "basic":
		m.hasBasic = true
		l.compileBasic(m, p.value, alternative)
	case "body":
		tree := l.compileJSON(m, p.value, "", alternative, 1)
		if tree == nil {
			return
		}
		if tree.members == nil && !tree.object {
			l.fail(p.value.position, "a JSON body must be an object", "write its members as a mapping")
			return
		}
		m.json = l.mergeJSON(p.value.position, m.json, tree)
	}
}

// flat compiles headers, query and form: names and values on one level.
func (l *loader) flat(m *message, n *node, at place, alternative int) {
	if !l.expect(n, mapping, at.String()) {
		return
	}
	for _, p := range n.pairs {
		name := p.key
		if at == inHeader {
			if !isHeaderName(name) {
				l.fail(p.position, "this is not a header name", "use letters, digits and hyphens")
				continue
			}
			if hint, ok := transportHeaders[strings.ToLower(name)]; ok {
				l.fail(p.position, "the header "+quote(name)+" belongs to HTTP itself", hint)
				continue
			}
			name = http.CanonicalHeaderKey(name)
		} else if name == "" || hasControl(name) {
			l.fail(p.position, "this is not a field name", "use printable text")
			continue
		}
		l.addSlot(m, slot{position: p.value.position, place: at, name: name, label: p.key, alternative: alternative}, p.value)
	}
}

// transportHeaders are set by the HTTP library or by the form of the body.
var transportHeaders = map[string]string{
	"host":              "leave it out",
	"content-length":    "leave it out",
	"content-type":      "body and form set it",
	"content-encoding":  "leave it out",
	"transfer-encoding": "leave it out",
	"connection":        "leave it out",
	"cookie":            "tokens don't travel in cookies",
	"set-cookie":        "tokens don't travel in cookies",
}

// addSlot compiles the value n and adds it to the message. It returns the
// slot's index, or -1 when it reported something.
func (l *loader) addSlot(m *message, s slot, n *node) int {
	failed := len(l.errs)
	switch n.kind {
	case textNode:
		p, message, hint := parsePattern(n.text, m.where)
		if message != "" {
			l.fail(n.position, message, hint)
			return -1
		}
		s.pattern = p
		for _, use := range p.holes() {
			if use.blank {
				use.fallback = l.fields[use.name].Default
			}
		}
	case mapping, sequence:
		l.fail(n.position, "a "+s.place.String()+" value must be plain", "write text, a number, true or false")
		return -1
	default:
		s.pattern = pattern{literal: nodeRaw(n)}
	}
	if s.place != inBody {
		l.checkUntyped(&s, n)
	}
	for i := range m.slots {
		other := &m.slots[i]
		if other.place == s.place && other.name == s.name && (other.alternative == s.alternative || other.alternative == always || s.alternative == always || s.place == inBody) && s.place != inPath {
			l.fail(n.position, "the "+s.place.String()+" value "+quote(s.name)+" is described twice", "keep one of them")
			break
		}
	}
	if len(l.errs) > failed {
		return -1
	}
	m.slots = append(m.slots, s)
	return len(m.slots) - 1
}

// checkUntyped refuses what has no spelling outside JSON.
func (l *loader) checkUntyped(s *slot, n *node) {
	if s.isLiteral() {
		switch {
		case s.literal.kind == rawNull:
			l.fail(n.position, "null can't stand outside JSON", "leave the value out, or write text")
		case hasControl(s.literal.text):
			l.fail(n.position, "the value holds a line end or another control character", "keep to printable text")
		}
		s.literal.kind = rawText
	}
	for _, part := range s.parts {
		if hasControl(part.literal) {
			l.fail(n.position, "the value holds a line end or another control character", "keep to printable text")
		}
		if part.hole != nil && part.hole.codec.wire == wireArray {
			l.fail(n.position, "a JSON array can't stand outside JSON", "use the codec space or comma")
		}
	}
}

// isHeaderName checks RFC 9110's token, which is what a field name is.
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
