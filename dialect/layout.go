package dialect

import (
	"slices"
	"strconv"
	"strings"
)

// A Layout is a message laid open for documentation, and for programs in other
// languages that write it or read it. Of `either` it has the place that is
// written; what is never written is not in it.
type Layout struct {
	Method  string       `json:"method,omitzero"`
	Path    []Piece      `json:"path,omitzero"`
	Query   []LaidField  `json:"query,omitzero"`
	Headers []LaidField  `json:"headers,omitzero"`
	Basic   []LaidField  `json:"basic,omitzero"` // user and password
	Form    []LaidField  `json:"form,omitzero"`
	Body    []LaidMember `json:"body,omitzero"` // of the JSON object
}

// A LaidField is a named value outside JSON.
type LaidField struct {
	Name  string  `json:"name"`
	Value []Piece `json:"value"`
}

// A LaidMember is a member of a JSON object, or an item of a JSON array, which
// has no name. Exactly one of Value, Members and Items is set; empty objects
// and arrays are Members and Items without elements.
type LaidMember struct {
	Name    string       `json:"name,omitzero"`
	Value   []Piece      `json:"value,omitzero"`
	Members []LaidMember `json:"members,omitempty"`
	Items   []LaidMember `json:"items,omitempty"`
}

// A Piece is a part of a value: literal text, or a hole. Several make a string.
type Piece struct {
	Text     string `json:"text,omitzero"` // of a literal; of a hole, an example
	Hole     Hole   `json:"hole,omitzero"`
	Codec    string `json:"codec,omitzero"` // of a hole
	Type     string `json:"type"`           // string, number, boolean, array or null, as in JSON
	Optional bool   `json:"optional,omitzero"`
	Secret   bool   `json:"secret,omitzero"`
	About    string `json:"about,omitzero"`
}

// RequestLayout lays the request open, nil where there is none.
func (o *Operation) RequestLayout() *Layout { return o.dialect.layout(o.request) }

// AnswerLayout lays the answer open, nil where there is none.
func (o *Operation) AnswerLayout() *Layout { return o.dialect.layout(o.response) }

func (d *Dialect) layout(m *message) *Layout {
	if m == nil {
		return nil
	}
	out := &Layout{Method: m.method}
	if m.path != nil {
		for _, segment := range m.path.segments {
			out.Path = append(out.Path, Piece{Text: "/", Type: "string"})
			if segment.slot < 0 {
				out.Path = append(out.Path, Piece{Text: segment.literal, Type: "string"})
			} else {
				out.Path = append(out.Path, d.pieces(&m.slots[segment.slot])...)
			}
		}
	}
	fields := map[place]*[]LaidField{inQuery: &out.Query, inHeader: &out.Headers, inUser: &out.Basic, inPassword: &out.Basic, inForm: &out.Form}
	for i := range m.slots {
		s := &m.slots[i]
		into := fields[s.place]
		if pieces := d.pieces(s); into != nil && pieces != nil && s.isWritten() {
			*into = append(*into, LaidField{s.label, pieces})
		}
	}
	if m.json != nil {
		out.Body = d.laidMember(m, "", m.json).Members
	}
	return out
}

// isWritten: of several places for one value only the first is.
func (s *slot) isWritten() bool { return s.alternative <= 0 }

func (d *Dialect) laidMember(m *message, name string, n *jsonNode) LaidMember {
	out := LaidMember{Name: name}
	add := func(to *[]LaidMember, name string, n *jsonNode) {
		if child := d.laidMember(m, name, n); child.Value != nil || child.Members != nil || child.Items != nil {
			*to = append(*to, child)
		}
	}
	switch {
	case n.object:
		out.Members = []LaidMember{}
		for _, member := range n.members {
			add(&out.Members, member.name, member.node)
		}
	case n.list:
		out.Items = []LaidMember{}
		for _, item := range n.items {
			add(&out.Items, "", item)
		}
	case n.repeat == nil && m.slots[n.slot].isWritten():
		out.Value = d.pieces(&m.slots[n.slot])
	}
	return out
}

// pieces are a slot's, nil where it is never written.
func (d *Dialect) pieces(s *slot) []Piece {
	if s.isLiteral() {
		return []Piece{{Text: s.literal.text, Type: s.literal.jsonType()}}
	}
	var out []Piece
	for i := range s.parts {
		use := s.parts[i].hole
		switch {
		case use == nil:
			out = append(out, Piece{Text: s.parts[i].literal, Type: "string"})
			continue
		case use.hasDefault:
			out = append(out, Piece{Text: use.fallback, Type: raw{kind: use.rawKind()}.jsonType()})
			continue
		case use.name == Anything:
			return nil
		}
		p := Piece{Hole: use.name, Codec: use.codec.name, Type: raw{kind: use.rawKind()}.jsonType(), Optional: use.optional, Secret: use.kind == kindSecret, About: d.meaning(use)}
		if use.codec.wire == wireArray {
			p.Type = "array"
		}
		var v Values
		v.set(use.name, d.exampleValue(use))
		if example, err := use.write(v); err == nil {
			p.Text = example.text
		}
		out = append(out, p)
	}
	return out
}

func (r raw) jsonType() string {
	switch r.kind {
	case rawNumber:
		return "number"
	case rawBool:
		return "boolean"
	case rawArray:
		return "array"
	case rawNull:
		return "null"
	}
	return "string"
}

// A FieldDoc is a line of a message's table in documentation.
type FieldDoc struct {
	Name     string // as in the file; members of JSON objects joined by dots
	Where    string // path, query, header, JSON body, …
	Required bool
	Places   int    // where several places may have the value: how many; else 0
	Meaning  string // Markdown: what is on the wire stands in backquotes
}

// RequestFields lists the request's fields, literals too.
func (o *Operation) RequestFields() []FieldDoc { return o.dialect.fieldsOf(o.request) }

// AnswerFields lists the answer's fields, literals too.
func (o *Operation) AnswerFields() []FieldDoc { return o.dialect.fieldsOf(o.response) }

func (d *Dialect) fieldsOf(m *message) (out []FieldDoc) {
	if m == nil {
		return nil
	}
	p := &page{dialect: d}
	for i := range m.slots {
		s := &m.slots[i]
		f := FieldDoc{Name: s.label, Where: s.place.String(), Required: s.required(), Meaning: p.meaning(s)}
		if s.alternative != always {
			f.Places = m.alternatives
		}
		out = append(out, f)
	}
	return out
}

// RequestExample shows the request as it goes over the wire, with values that
// look like real ones and can't be taken for them.
func (o *Operation) RequestExample(base string) (string, error) {
	r, err := o.WriteRequest(base, o.dialect.exampleValues(o.request))
	if err != nil {
		return "", err
	}
	first := ""
	if o.request.path != nil {
		first = r.Method + " " + r.Path
		if r.RawQuery != "" {
			first += "?" + r.RawQuery
		}
		first += " HTTP/1.1"
	}
	return httpText(first, o.request, r.Header, r.Body), nil
}

// AnswerExample is RequestExample for the answer.
func (o *Operation) AnswerExample() (string, error) {
	r, err := o.WriteResponse(o.dialect.exampleValues(o.response))
	if err != nil {
		return "", err
	}
	first := statusLine(r.Status)
	if o.Name == Connect {
		// No answer to a request: it is handed to the app's own page.
		return strings.TrimSpace(httpText("", o.response, nil, r.Body)), nil
	}
	return httpText(first, o.response, r.Header, r.Body), nil
}

// An ErrorAnswer is a refusal as callers see it, and the codes that look so.
type ErrorAnswer struct {
	Codes  []Code
	Status int
	Body   string
	// Signs are the body's values by which the answer is told from others of the
	// same status.
	Signs []Sign
}

// A Sign is a value at a place of a JSON body.
type Sign struct {
	Path []string `json:"path"`
	Text string   `json:"text"` // what JavaScript's String makes of the value
}

// ErrorAnswers lists the error table, each answer once, in the order of [Codes].
// What can't be wrong with a request of this dialect is left out.
func (d *Dialect) ErrorAnswers() []ErrorAnswer {
	var out []ErrorAnswer
	p := &page{dialect: d}
	at := map[string]int{}
	for _, code := range Codes() {
		if !d.canRefuse(code) {
			continue
		}
		r := d.WriteError(code, p.errorValues())
		key := strconv.Itoa(r.Status) + string(r.Body)
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, ErrorAnswer{Status: r.Status, Body: string(r.Body), Signs: d.signs(code)})
		}
		out[i].Codes = append(out[i].Codes, code)
	}
	return out
}

// canRefuse: a scope, say, can't be wrong where no request has one.
func (d *Dialect) canRefuse(code Code) bool {
	asks := func(h Hole) bool {
		return slices.ContainsFunc(d.Operations, func(o *Operation) bool { return o.RequestHas(h) })
	}
	switch code {
	case InvalidScope:
		return asks(Scope)
	case InvalidTarget:
		return asks(Audience)
	case InvalidGrant:
		return asks(RefreshToken) || asks(AccessCode)
	case UnsupportedGrantType:
		return slices.ContainsFunc(d.Operations, func(o *Operation) bool {
			return o.request != nil && slices.ContainsFunc(o.request.slots, func(s slot) bool { return s.label == "grant_type" })
		})
	}
	return true
}

func (d *Dialect) signs(code Code) []Sign {
	row := d.errors.byCode[code].row
	if row.body == nil || row.body.json == nil {
		return nil
	}
	var out []Sign
	var walk func(n *jsonNode, path []string)
	walk = func(n *jsonNode, path []string) {
		down := func(name string, child *jsonNode) {
			walk(child, append(path[:len(path):len(path)], name))
		}
		switch {
		case n.object:
			for _, m := range n.members {
				down(m.name, m.node)
			}
		case n.list:
			for i, item := range n.items {
				down(strconv.Itoa(i), item)
			}
		case n.repeat == nil:
			s := &row.body.slots[n.slot]
			want := s.literal
			if use := s.single(); use != nil && use.kind == kindScalar {
				for _, e := range row.values {
					if e.hole == use.name {
						want = literalRaw(e.value)
					}
				}
			}
			if want.kind != absent && want.kind != rawNull {
				out = append(out, Sign{path, want.text})
			}
		}
	}
	walk(row.body.json, nil)
	return out
}
