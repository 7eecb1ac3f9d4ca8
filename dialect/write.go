package dialect

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// writer fills one message.
type writer struct {
	message *message
	values  Values
	fields  []FieldError
	// lenient leaves out what can't be written: an error answer must go out
	// whatever its values are.
	lenient bool
	json    []byte
}

// slot returns the wire value of a slot; an absent one is left out. Of
// `either` the first place is written.
func (w *writer) slot(i int) (raw, error) {
	s := &w.message.slots[i]
	if s.alternative > 0 {
		return raw{}, nil
	}
	r, err := s.write(w.values)
	if err == nil && s.place == inHeader {
		err = s.checkHeader(r)
	}
	if err != nil {
		if w.lenient {
			return raw{}, nil
		}
		return raw{}, fmt.Errorf("%s %s: %w", s.place, s.label, err)
	}
	return r, nil
}

// checkHeader refuses what HTTP would change or misread on the way.
func (s *slot) checkHeader(r raw) error {
	if hasControl(r.text) {
		return errControl
	}
	if strings.TrimSpace(r.text) != r.text || s.name == "Authorization" && strings.Contains(r.text, "  ") {
		return errAmbiguous
	}
	return nil
}

// WriteRequest writes a request on the client. base is the server's URL
// without a trailing slash; the operation's path is added to it. The error
// names the hole that is unset or can't be written, never its value.
func (o *Operation) WriteRequest(base string, v Values) (*Request, error) {
	m := o.request
	if m == nil {
		return nil, fmt.Errorf("dialect %s: %s has no request", o.dialect.Name, o.Name)
	}
	out := &Request{Method: m.method, Base: strings.TrimSuffix(base, "/"), Header: http.Header{}}
	if err := m.write(out, v); err != nil {
		return nil, fmt.Errorf("dialect %s: %s request: %w", o.dialect.Name, o.Name, err)
	}
	return out, nil
}

func (m *message) write(out *Request, v Values) error {
	w := &writer{message: m, values: v}
	var query, form []string
	var user, password raw
	segments := map[int]string{}
	for i := range m.slots {
		s := &m.slots[i]
		if s.place == inBody {
			continue
		}
		r, err := w.slot(i)
		if err != nil {
			return err
		}
		if r.kind == absent {
			continue
		}
		switch s.place {
		case inPath:
			if r.text == "." || r.text == ".." || r.text == "" {
				return fmt.Errorf("path: %w", errPathSegment)
			}
			segments[i] = url.PathEscape(r.text)
		case inQuery:
			query = append(query, url.QueryEscape(s.name)+"="+url.QueryEscape(r.text))
		case inHeader:
			out.Header.Set(s.name, r.text)
		case inForm:
			form = append(form, url.QueryEscape(s.name)+"="+url.QueryEscape(r.text))
		case inUser:
			user = r
		case inPassword:
			password = r
		}
	}
	if m.path != nil {
		out.Path = m.path.build(segments)
	}
	out.RawQuery = strings.Join(query, "&")
	if user.kind != absent || password.kind != absent {
		// RFC 6749 section 2.3.1 encodes both as form values first.
		pair := escapeForm(user.text) + ":" + escapeForm(password.text)
		out.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	switch {
	case m.json != nil:
		written, err := w.writeJSON(m.json)
		if err != nil {
			return err
		}
		if out.Body = w.json; !written {
			out.Body = []byte("{}")
		}
		out.Header.Set("Content-Type", "application/json")
	case m.hasForm:
		out.Body = []byte(strings.Join(form, "&"))
		out.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil
}

// WriteResponse writes the success answer on the server, not to be stored by
// anyone on the way (RFC 6749 section 5.1). The error names the hole that is
// unset or can't be written, never its value.
func (o *Operation) WriteResponse(v Values) (*Response, error) {
	m := o.response
	if m == nil {
		return nil, fmt.Errorf("dialect %s: %s has no answer", o.dialect.Name, o.Name)
	}
	out := &Response{}
	if err := m.writeAnswer(out, &writer{message: m, values: v}); err != nil {
		return nil, fmt.Errorf("dialect %s: %s answer: %w", o.dialect.Name, o.Name, err)
	}
	return out, nil
}

func (m *message) writeAnswer(out *Response, w *writer) error {
	out.Status = m.status
	out.Header = http.Header{"Cache-Control": {"no-store"}}
	for i := range m.slots {
		if m.slots[i].place != inHeader {
			continue
		}
		r, err := w.slot(i)
		if err != nil {
			return err
		}
		if r.kind != absent {
			out.Header[m.slots[i].name] = []string{r.text}
		}
	}
	if m.json == nil {
		return nil
	}
	w.json = make([]byte, 0, 512)
	written, err := w.writeJSON(m.json)
	if err != nil {
		return err
	}
	if out.Body = w.json; !written {
		out.Body = []byte("{}")
	}
	out.Header["Content-Type"] = []string{"application/json"}
	return nil
}
