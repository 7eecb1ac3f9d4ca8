package dialect

import "fmt"

// Template is the members of a JWT's header or claims, read both ways. It is
// immutable.
type Template struct{ message *message }

// Has reports whether the template has the hole.
func (t *Template) Has(h Hole) bool { return t != nil && t.message.hasHole(h) }

// Holes lists the template's holes, each once. A nil template has none.
func (t *Template) Holes() []Hole {
	if t == nil {
		return nil
	}
	uses := t.message.uses()
	names := make([]Hole, len(uses))
	for i, use := range uses {
		names[i] = use.name
	}
	return names
}

// Write fills the template. Members are string, int64, float64, bool, nil,
// []string, []any and map[string]any. The error names the hole that is unset.
// A nil template is empty.
func (t *Template) Write(v Values) (map[string]any, error) {
	if t == nil {
		return map[string]any{}, nil
	}
	w := &writer{message: t.message, values: v}
	value, ok, err := w.tree(t.message.json)
	if err != nil {
		return nil, fmt.Errorf("token template: %w", err)
	}
	members, isMap := value.(map[string]any)
	if !ok || !isMap {
		return map[string]any{}, nil
	}
	return members, nil
}

func (w *writer) tree(n *jsonNode) (value any, written bool, err error) {
	switch {
	case n.object:
		members := make(map[string]any, len(n.members))
		for i := range n.members {
			value, ok, err := w.tree(n.members[i].node)
			if err != nil {
				return nil, false, err
			}
			if ok {
				members[n.members[i].name] = value
			}
		}
		return members, len(members) > 0 || len(n.members) == 0, nil
	case n.list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			if items[i], _, err = w.tree(item); err != nil {
				return nil, false, err
			}
		}
		return items, true, nil
	}
	r, err := w.slot(n.slot)
	if err != nil || r.kind == absent {
		return nil, false, err
	}
	if r.kind == rawArray {
		return r.list, true, nil
	}
	return literalValue(r), true, nil
}

// Read reads a JWT's header or payload, held to the JSON types that Write
// gives: a time as text or null, or a claim that is there twice, is an error.
// Members that the template doesn't name are not looked at.
func (t *Template) Read(data []byte) (Values, error) {
	if t == nil {
		return Values{}, nil
	}
	raws := make([]raw, len(t.message.slots))
	if err := t.message.readJSON(data, raws, nil); err != nil {
		return Values{}, err
	}
	v := NewValues(len(raws))
	if problems := t.message.evaluate(raws, &v); len(problems) > 0 {
		return Values{}, fmt.Errorf("token member %s %s", problems[0].Field, problems[0].Message)
	}
	return v, nil
}
