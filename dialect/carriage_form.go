package dialect

import "net/url"

// collectFields takes the fields of a query or a form. A field that the
// message names may be there once (RFC 6749 section 3.2); others are not
// looked at.
func (m *message) collectFields(at place, values url.Values, raws []raw) *Invalid {
	for i := range m.slots {
		s := &m.slots[i]
		if s.place != at {
			continue
		}
		given := values[s.name]
		switch len(given) {
		case 0:
		case 1:
			raws[i] = raw{kind: rawText, text: given[0]}
		default:
			return &Invalid{Code: InvalidRequest, Fields: []FieldError{{s.label, "is given more than once"}}}
		}
	}
	return nil
}
