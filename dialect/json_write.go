package dialect

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

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
