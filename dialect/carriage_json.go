package dialect

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
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

// jsonReader walks a body once, puts the leaves that the message knows into
// raws and refuses what strict JSON refuses: duplicate names at any depth,
// invalid UTF-8, lone surrogates and trailing data by the decoder's own
// rules, and nesting beyond maxDepth.
type jsonReader struct {
	source  bytes.Buffer
	decoder jsontext.Decoder
	exact   bool
}

var jsonReaders = sync.Pool{New: func() any { return new(jsonReader) }}

// readJSON fills raws, which is indexed like m.slots, from data. Fields
// collects the refused fields that a repeated list names.
func (m *message) readJSON(data []byte, raws []raw, fields *[]FieldError) error {
	r := jsonReaders.Get().(*jsonReader)
	defer func() {
		r.source = bytes.Buffer{} // the pool must not keep a body alive
		jsonReaders.Put(r)
	}()
	r.source = *bytes.NewBuffer(data)
	r.decoder.Reset(&r.source)
	r.exact = m.where != inAnswer && m.where != inError
	if r.decoder.PeekKind() != '{' {
		if _, err := r.decoder.ReadToken(); err != nil {
			return errMalformed
		}
		return errNotObject
	}
	if err := r.value(m.json, raws, fields); err != nil {
		return err
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF {
		return errMalformed
	}
	return nil
}

func (r *jsonReader) value(n *jsonNode, raws []raw, fields *[]FieldError) error {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return errMalformed
	}
	switch token.Kind() {
	case '{':
		if r.decoder.StackDepth() > maxDepth {
			return errTooDeep
		}
		n.mark(raws, rawObject)
		for r.decoder.PeekKind() != '}' {
			name, err := r.decoder.ReadToken()
			if err != nil {
				return errMalformed
			}
			var child *jsonNode
			if text := name.String(); r.exact && hasControl(text) {
				return errControlJSON
			} else if n != nil && n.object {
				child = n.member(text)
			}
			if err := r.value(child, raws, fields); err != nil {
				return err
			}
		}
		_, err = r.decoder.ReadToken()
	case '[':
		if r.decoder.StackDepth() > maxDepth {
			return errTooDeep
		}
		err = r.array(n, raws, fields)
	default:
		text := token.String()
		if r.exact && token.Kind() == '"' && hasControl(text) {
			return errControlJSON
		}
		if n != nil && !n.object && !n.list && n.repeat == nil {
			raws[n.slot] = raw{kind: kindOf(token.Kind()), text: text}
		} else {
			n.mark(raws, rawObject)
		}
	}
	if err != nil {
		return errMalformed
	}
	return nil
}

func (r *jsonReader) array(n *jsonNode, raws []raw, fields *[]FieldError) error {
	var texts []string
	plain := true
	for i := 0; r.decoder.PeekKind() != ']'; i++ {
		switch {
		case n != nil && n.list:
			if i >= len(n.items) {
				// More than the message says: harmless in an answer, but a
				// request must not ask for more than is looked at.
				if r.exact {
					n.mark(raws, rawObject)
				}
				if err := r.value(nil, raws, fields); err != nil {
					return err
				}
				continue
			}
			if err := r.value(n.items[i], raws, fields); err != nil {
				return err
			}
		case n != nil && n.repeat != nil && fields != nil:
			field, err := r.field(n.repeat.element)
			if err != nil {
				return err
			}
			*fields = append(*fields, field)
		case n != nil && n.repeat == nil && !n.object && r.decoder.PeekKind() == '"':
			token, err := r.decoder.ReadToken()
			if err != nil {
				return errMalformed
			}
			texts = append(texts, token.String())
		default:
			plain = false
			if err := r.value(nil, raws, fields); err != nil {
				return err
			}
		}
	}
	if n != nil && !n.list && n.repeat == nil {
		if n.object {
			n.mark(raws, rawObject)
		} else if plain {
			raws[n.slot] = raw{kind: rawArray, list: texts}
		} else {
			raws[n.slot] = raw{kind: rawObject}
		}
	}
	_, err := r.decoder.ReadToken()
	return err
}

// field reads one element of the refused fields.
func (r *jsonReader) field(element *message) (FieldError, error) {
	raws := make([]raw, len(element.slots))
	if err := r.value(element.json, raws, nil); err != nil {
		return FieldError{}, err
	}
	v := NewValues(2)
	for i := range element.slots {
		// A server that words a field otherwise still refused the request.
		_ = element.slots[i].read(raws[i], &v, reading{})
	}
	return FieldError{Field: v.Text(InvalidField), Message: v.Text(InvalidMessage)}, nil
}

// mark records that something of another shape stands where the message has
// this node. A leaf is marked with kind; the leaves of an object that is
// really an object are left alone.
func (n *jsonNode) mark(raws []raw, kind rawKind) {
	if n == nil || n.object || n.repeat != nil {
		return
	}
	if n.list {
		for _, item := range n.items {
			item.mark(raws, kind)
		}
		return
	}
	raws[n.slot] = raw{kind: kind}
}

func kindOf(k jsontext.Kind) rawKind {
	switch k {
	case '"':
		return rawText
	case '0':
		return rawNumber
	case 't', 'f':
		return rawBool
	default:
		return rawNull
	}
}

// writeJSON appends the body. slots of other alternatives than the first are
// left out, and so is an object or a list whose every value is left out.
func (w *writer) writeJSON(n *jsonNode) (written bool, err error) {
	start := len(w.json)
	switch {
	case n.object:
		w.json = append(w.json, '{')
		for i := range n.members {
			before := len(w.json)
			if written {
				w.json = append(w.json, ',')
			}
			w.json = append(w.json, n.members[i].quoted...)
			ok, err := w.writeJSON(n.members[i].node)
			if err != nil {
				return false, err
			}
			if !ok {
				w.json = w.json[:before]
			}
			written = written || ok
		}
		w.json = append(w.json, '}')
		written = written || len(n.members) == 0
	case n.list:
		w.json = append(w.json, '[')
		for i, item := range n.items {
			if i > 0 {
				w.json = append(w.json, ',')
			}
			ok, err := w.writeJSON(item)
			if err != nil {
				return false, err
			}
			if !ok {
				w.json = append(w.json, "null"...)
			}
			written = written || ok
		}
		w.json = append(w.json, ']')
		written = written || len(n.items) == 0
	case n.repeat != nil:
		return w.writeFields(n.repeat)
	default:
		return w.writeLeaf(n.slot)
	}
	if !written {
		w.json = w.json[:start]
	}
	return written, nil
}

func (w *writer) writeLeaf(i int) (bool, error) {
	r, err := w.slot(i)
	if err != nil || r.kind == absent {
		return false, err
	}
	switch r.kind {
	case rawText:
		w.json = appendQuoted(w.json, r.text)
	case rawNull:
		w.json = append(w.json, "null"...)
	case rawArray:
		w.json = append(w.json, '[')
		for i, item := range r.list {
			if i > 0 {
				w.json = append(w.json, ',')
			}
			w.json = appendQuoted(w.json, item)
		}
		w.json = append(w.json, ']')
	default:
		w.json = append(w.json, r.text...)
	}
	return true, nil
}

func (w *writer) writeFields(rep *repeated) (bool, error) {
	if len(w.fields) == 0 {
		return false, nil
	}
	w.json = append(w.json, '[')
	for i, f := range w.fields {
		if i > 0 {
			w.json = append(w.json, ',')
		}
		v := NewValues(2)
		v.SetText(InvalidField, f.Field)
		v.SetText(InvalidMessage, f.Message)
		inner := writer{message: rep.element, values: v, lenient: true, json: w.json}
		ok, err := inner.writeJSON(rep.element.json)
		if err != nil {
			return false, err
		}
		if w.json = inner.json; !ok {
			w.json = append(w.json, "{}"...)
		}
	}
	w.json = append(w.json, ']')
	return true, nil
}

// appendQuoted writes a JSON string in which markup can't end a script or a
// tag of a page that shows it.
func appendQuoted(dst []byte, s string) []byte {
	start := len(dst)
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		// Invalid UTF-8 only comes from our own side: replace what is wrong.
		dst, _ = jsontext.AppendQuote(dst[:start], strings.ToValidUTF8(s, "\uFFFD"))
	}
	if bytes.ContainsAny(dst[start:], "<>&\u2028\u2029") {
		tail, err := jsontext.AppendFormat(nil, dst[start:], jsontext.EscapeForHTML(true), jsontext.EscapeForJS(true))
		if err == nil {
			dst = append(dst[:start], tail...)
		}
	}
	return dst
}
