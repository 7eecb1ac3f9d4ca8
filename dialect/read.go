package dialect

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ReadRequest reads a request on the server. The error is an *[Invalid].
// Method and path are expected to be the operation's own; see
// [Dialect.ReadRequest] for choosing the operation. Values that the message
// doesn't name are not looked at, wherever they stand.
func (o *Operation) ReadRequest(r *Request) (Values, error) {
	v, invalid := o.read(r)
	if invalid != nil {
		return Values{}, invalid
	}
	return v, nil
}

func (o *Operation) read(r *Request) (Values, *Invalid) {
	m := o.request
	if m == nil {
		return Values{}, &Invalid{Code: NotFound, Reason: "the operation has no request"}
	}
	var few [16]raw
	raws := few[:0]
	if len(m.slots) <= len(few) {
		raws = few[:len(m.slots)]
	} else {
		raws = make([]raw, len(m.slots))
	}
	if m.path != nil && !m.path.match(r.Path, o.dialect.foldPath, raws) {
		return Values{}, &Invalid{Code: NotFound, Reason: "the path is another operation's"}
	}
	if invalid := m.collect(r, raws); invalid != nil {
		return Values{}, invalid
	}
	v := NewValues(len(m.slots))
	problems := m.evaluate(raws, &v)
	if len(problems) > 0 {
		return Values{}, invalidOf(problems)
	}
	return v, nil
}

// collect gathers the raw values of every carriage but the path.
func (m *message) collect(r *Request, raws []raw) *Invalid {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &Invalid{Code: UnsupportedMediaType, Reason: "the body has a content coding"}
	}
	if invalid := m.collectHeaders(r.Header, raws); invalid != nil {
		return invalid
	}
	if m.carries(inQuery) {
		query, err := url.ParseQuery(r.RawQuery)
		if err != nil {
			return &Invalid{Code: InvalidRequest, Reason: "the query is malformed"}
		}
		if invalid := m.collectFields(inQuery, query, raws); invalid != nil {
			return invalid
		}
	}
	if m.hasBasic {
		if invalid := m.collectBasic(r.Header, raws); invalid != nil {
			return invalid
		}
	}
	if len(r.Body) == 0 {
		return nil
	}
	switch {
	case m.json != nil:
		if !isMediaType(r.Header, "application/json") {
			return &Invalid{Code: UnsupportedMediaType, Reason: "the body is not application/json"}
		}
		if err := m.readJSON(r.Body, raws, nil); err != nil {
			return &Invalid{Code: InvalidRequest, Reason: err.Error()}
		}
	case m.hasForm:
		if !isMediaType(r.Header, "application/x-www-form-urlencoded") {
			return &Invalid{Code: UnsupportedMediaType, Reason: "the body is not application/x-www-form-urlencoded"}
		}
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return &Invalid{Code: InvalidRequest, Reason: "the form is malformed"}
		}
		return m.collectFields(inForm, form, raws)
	}
	return nil
}

func (m *message) carries(p place) bool {
	return slices.ContainsFunc(m.slots, func(s slot) bool { return s.place == p })
}

// isMediaType checks Content-Type. None at all is taken as want, since many
// programs send none; a JSON body may also be of any +json type.
func isMediaType(h http.Header, want string) bool {
	values := h.Values("Content-Type")
	if len(values) == 0 || len(values) == 1 && values[0] == want {
		return true
	}
	if len(values) > 1 {
		return false
	}
	got, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return false
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return got == want || want == "application/json" && strings.HasPrefix(got, "application/") && strings.HasSuffix(got, "+json")
}

// problem is one slot that couldn't be read.
type problem struct {
	code Code
	FieldError
	// literal says that the request has another literal than the operation,
	// and so may be meant for another operation.
	literal bool
}

// evaluate reads every slot's raw value into v.
func (m *message) evaluate(raws []raw, v *Values) []problem {
	var chosen alternatives
	if m.alternatives > 0 {
		var invalid *problem
		if chosen, invalid = m.choose(raws); invalid != nil {
			return []problem{*invalid}
		}
	}
	var problems []problem
	for i := range m.slots {
		s := &m.slots[i]
		if s.alternative != always && !chosen.reads(s.alternative) && raws[i].kind == absent {
			continue
		}
		if raws[i].kind == absent {
			if s.required() {
				problems = append(problems, s.problem(errEmpty))
			}
			continue
		}
		if err := s.read(raws[i], v, s.reading(m.where)); err != nil {
			problems = append(problems, s.problem(err))
		}
	}
	return problems
}

// alternatives is the set of places of `either` that are read.
type alternatives uint64

func (a alternatives) reads(i int) bool { return a&(1<<i) != 0 }

// choose finds the places of `either` that are complete. Others may be there
// too: what they hold is then compared. If none is complete, the one that was
// begun is read, so that the refusal names what it lacks.
func (m *message) choose(raws []raw) (alternatives, *problem) {
	var complete, begun alternatives
	first := 0
	for a := m.alternatives - 1; a >= 0; a-- {
		present, missing := 0, 0
		for i := range m.slots {
			s := &m.slots[i]
			if s.alternative != a || !s.required() || s.isLiteral() {
				continue
			}
			if raws[i].kind == absent || raws[i].kind == rawText && raws[i].text == "" {
				missing++
			} else {
				present++
			}
		}
		if missing == 0 {
			complete |= 1 << a
		} else if present > 0 {
			begun |= 1 << a
			first = a
		}
	}
	if complete != 0 {
		return complete, nil
	}
	if begun&(begun-1) != 0 {
		return 0, &problem{code: InvalidRequest, FieldError: FieldError{Message: "the credentials are split between two places"}}
	}
	return 1 << first, nil
}

// problem classifies err. A credential that can't be read is refused as a
// wrong one, so that its form tells nothing; a JSON type, a length or a
// contradiction is the request's own fault.
func (s *slot) problem(err error) problem {
	p := problem{code: InvalidRequest, FieldError: FieldError{Field: s.label, Message: err.Error()}}
	use := s.first()
	authorization := s.place == inHeader && s.name == "Authorization" || s.place == inUser || s.place == inPassword
	switch {
	case errors.Is(err, errEmpty) || authorization && errors.Is(err, errForm):
		p.code = MissingParameter
		if authorization && use != nil {
			p.code = InvalidClient
			if use.name == AccessToken {
				p.code = MissingToken
			}
		}
	case errors.Is(err, errLiteral):
		p.literal = true
		if s.label == "grant_type" {
			p.code = UnsupportedGrantType
		}
	case errors.Is(err, errType), errors.Is(err, errTooLong), errors.Is(err, errControl), errors.Is(err, errDiffers):
	case use != nil:
		switch use.name {
		case ClientID, ClientSecret:
			p.code = InvalidClient
		case AccessToken:
			p.code = InvalidToken
		case RefreshToken, AccessCode:
			p.code = InvalidGrant
		}
	}
	return p
}

// weight orders codes: a request that is wrong in itself is refused as such
// before its credentials are looked at.
func (p problem) weight() int {
	switch p.code {
	case UnsupportedGrantType:
		return 3
	case InvalidRequest:
		return 2
	case MissingParameter:
		return 1
	}
	return 0
}

func invalidOf(problems []problem) *Invalid {
	worst := problems[0]
	for _, p := range problems[1:] {
		if p.weight() > worst.weight() {
			worst = p
		}
	}
	out := &Invalid{Code: worst.code}
	for _, p := range problems {
		out.otherLiteral = out.otherLiteral || p.literal
		switch {
		case p.Field == "":
			out.Reason = p.Message
		case p.weight() > 0 && (worst.weight() < 3 || p.weight() == 3):
			out.Fields = append(out.Fields, p.FieldError)
		case p.weight() == 0:
			out.Reason = p.Field + " " + p.Message
		}
	}
	return out
}

// ReadResponse reads an answer on the client. The error is a *[Refusal]: the
// one of the error table, or one made of the HTTP status for an answer that
// neither the success message nor the table describes.
//
// A status of the success message stands for every 2xx, since servers and
// proxies are free among them.
func (o *Operation) ReadResponse(r *Response) (Values, error) {
	m := o.response
	if m != nil && statusMatches(m.status, r.Status) {
		if v, ok := m.readAnswer(r); ok {
			return v, nil
		}
	}
	refusal, _ := o.dialect.ReadError(r)
	return Values{}, refusal
}

func statusMatches(want, got int) bool {
	return want == got || want/100 == 2 && got/100 == 2
}

func (m *message) readAnswer(r *Response) (Values, bool) {
	raws := make([]raw, len(m.slots))
	if m.collectHeaders(r.Header, raws) != nil {
		return Values{}, false
	}
	if m.json != nil {
		if m.readJSON(r.Body, raws, nil) != nil {
			return Values{}, false
		}
	}
	v := NewValues(len(m.slots))
	return v, len(m.evaluate(raws, &v)) == 0
}
