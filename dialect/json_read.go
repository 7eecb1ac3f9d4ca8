package dialect

import (
	"bytes"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader walks a body once, puts the leaves that the message knows into
// raws and refuses what strict JSON refuses: duplicate names at any depth,
// invalid UTF-8, lone surrogates and trailing data by the decoder's own
// rules, and nesting beyond maxDepth.
type jsonReader struct {
	source  bytes.Buffer
	decoder jsontext.Decoder
	exact   bool
	others  bool // see message.others
}

var jsonReaders = sync.Pool{New: func() any { return new(jsonReader) }}

// readJSON fills raws, which is indexed like m.slots, from data. Fields
// collects the refused fields that a repeated list names.
func (m *message) readJSON(data []byte, raws []raw, fields *[]FieldError) error {
	r := jsonReaders.Get().(*jsonReader)
	defer func() {
		// The pool must not keep a body, and the secrets in it, alive.
		r.source = bytes.Buffer{}
		r.decoder.Reset(&r.source)
		jsonReaders.Put(r)
	}()
	r.source = *bytes.NewBuffer(data)
	r.decoder.Reset(&r.source)
	r.exact, r.others = m.where != inAnswer && m.where != inError, m.others
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
			text := name.String()
			if n != nil && n.object {
				child = n.member(text)
				if r.others && child == nil && n.almost(text) {
					return errAlmost
				}
			}
			if r.refusesControl(child) && hasControl(text) {
				return errControlJSON
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
		if token.Kind() == '"' && r.refusesControl(n) && hasControl(text) {
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

// refusesControl: a text that is none of the message's is left alone where the
// body has such.
func (r *jsonReader) refusesControl(n *jsonNode) bool { return r.exact && !(r.others && n == nil) }

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
