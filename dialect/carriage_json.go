package dialect

import (
	"strconv"
	"strings"
)

// jsonNode is a node of a message's JSON body. Leaves point into the
// message's slots. A node of the invalid fields' list repeats its element.
type jsonNode struct {
	object  bool
	members []jsonMember
	list    bool
	items   []*jsonNode
	repeat  *repeated
	slot    int // of a leaf
}

type jsonMember struct {
	name   string
	quoted []byte // with the colon
	node   *jsonNode
}

// repeated is the one-element list of refused fields.
type repeated struct {
	element *message
}

// errorsMarker may name the list that repeats, to make it plain to a reader
// of the file: errors: {"{errors}": [{…}]}.
const errorsMarker = "{errors}"

func (n *jsonNode) member(name string) *jsonNode {
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].node
		}
	}
	return nil
}

// almost reports whether name differs from a member's in letter case only: some
// readers, Go's encoding/json among them, take it for that member.
func (n *jsonNode) almost(name string) bool {
	for i := range n.members {
		if strings.EqualFold(n.members[i].name, name) {
			return true
		}
	}
	return false
}

// compileJSON compiles a value of a JSON body. It returns nil when it
// reported something.
func (l *loader) compileJSON(m *message, n *node, path string, alternative, depth int) *jsonNode {
	switch n.kind {
	case mapping:
		if len(n.pairs) == 1 && n.pairs[0].key == errorsMarker {
			return l.compileRepeated(m, n.pairs[0].value)
		}
		out := &jsonNode{object: true}
		for _, p := range n.pairs {
			if hasControl(p.key) {
				l.fail(p.position, "a member's name holds a control character", "keep to printable text")
				return nil
			}
			name := p.key
			if path != "" {
				name = path + "." + p.key
			}
			child := l.compileJSON(m, p.value, name, alternative, depth+1)
			if child == nil {
				return nil
			}
			out.members = append(out.members, newMember(p.key, child))
		}
		return out
	case sequence:
		if len(n.items) == 1 && mentions(n.items[0], "{"+string(InvalidField), "{"+string(InvalidMessage)) {
			return l.compileRepeated(m, n)
		}
		out := &jsonNode{list: true}
		for i, item := range n.items {
			child := l.compileJSON(m, item, path+"."+strconv.Itoa(i), alternative, depth+1)
			if child == nil {
				return nil
			}
			out.items = append(out.items, child)
		}
		return out
	}
	i := l.addSlot(m, slot{position: n.position, place: inBody, name: path, label: path, alternative: alternative}, n)
	if i < 0 {
		return nil
	}
	for _, use := range m.slots[i].holes() {
		if m.where == inError && (use.name == InvalidField || use.name == InvalidMessage) {
			l.fail(n.position, "{"+string(use.name)+"} stands outside the list of refused fields", "put it into a list of one element, which is then repeated")
			return nil
		}
	}
	return &jsonNode{slot: i}
}

func newMember(name string, child *jsonNode) jsonMember {
	return jsonMember{name, append(appendQuoted(nil, name), ':'), child}
}

func (l *loader) compileRepeated(m *message, n *node) *jsonNode {
	if m.where != inError {
		l.fail(n.position, "a repeated list can only stand in an error's body", "write the list's elements out")
		return nil
	}
	if n.kind != sequence || len(n.items) != 1 {
		l.fail(n.position, "{errors} repeats a list of exactly one element", `write [{field: "{invalid.field}", message: "{invalid.message}"}]`)
		return nil
	}
	element := &message{where: inError}
	failed := len(l.errs)
	element.json = l.compileElement(element, n.items[0])
	if len(l.errs) > failed {
		return nil
	}
	if !element.hasHole(InvalidField) {
		l.fail(n.position, "the repeated list doesn't say which field it is about", "give its element a member {invalid.field}")
		return nil
	}
	return &jsonNode{repeat: &repeated{element}}
}

// compileElement compiles the element of the repeated list, where the two
// holes of a refused field are at home.
func (l *loader) compileElement(m *message, n *node) *jsonNode {
	if !l.expect(n, mapping, "the element of the list") {
		return nil
	}
	out := &jsonNode{object: true}
	for _, p := range n.pairs {
		i := l.addSlot(m, slot{position: p.value.position, place: inBody, name: p.key, label: p.key, alternative: always}, p.value)
		if i < 0 {
			return nil
		}
		out.members = append(out.members, newMember(p.key, &jsonNode{slot: i}))
	}
	return out
}

func mentions(n *node, holes ...string) bool {
	for _, h := range holes {
		if n.kind == textNode && strings.Contains(n.text, h) {
			return true
		}
	}
	for _, p := range n.pairs {
		if mentions(p.value, holes...) {
			return true
		}
	}
	for _, item := range n.items {
		if mentions(item, holes...) {
			return true
		}
	}
	return false
}

// mergeJSON joins the body of a place of `either` to the body beside it.
func (l *loader) mergeJSON(at position, a, b *jsonNode) *jsonNode {
	if a == nil {
		return b
	}
	for _, m := range b.members {
		existing := a.member(m.name)
		switch {
		case existing == nil:
			a.members = append(a.members, m)
		case existing.object && m.node.object:
			l.mergeJSON(at, existing, m.node)
		default:
			l.fail(at, "the member "+quote(m.name)+" is described twice", "keep one of them")
		}
	}
	return a
}
