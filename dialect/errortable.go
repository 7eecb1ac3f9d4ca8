package dialect

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// errorTable says how each code looks on the wire.
type errorTable struct {
	rows   []*errorRow // in the file's order, the default last
	byCode map[Code]resolved
}

type errorRow struct {
	code    Code // empty for the default
	status  int
	values  []entry // error, code, number, type, text
	message string
	body    *message
}

// resolved is the row that a code is answered with, and its status.
type resolved struct {
	row    *errorRow
	status int
}

// rowHoles are what a row may say besides its status, headers and body.
var rowHoles = []Hole{ErrorValue, CodeValue, NumberValue, TypeValue, TextValue}

// compileErrors reads wire.errors.
func (l *loader) compileErrors(n *node) errorTable {
	t := errorTable{byCode: map[Code]resolved{}}
	if !l.expect(n, mapping, "the error table") {
		return t
	}
	keys := append([]string{"headers", "body", "default"}, codeNames()...)
	if !l.onlyKeys(n, keys) {
		return t
	}
	failed := len(l.errs)
	shared := l.compileMessage(errorMessage(n, nil), inError)
	if len(l.errs) > failed {
		return t
	}
	var fallback *errorRow
	for _, p := range n.pairs {
		if p.key == "headers" || p.key == "body" {
			continue
		}
		row := l.compileRow(n, p, shared)
		if row == nil {
			continue
		}
		if p.key == "default" {
			fallback = row
			continue
		}
		row.code = Code(p.key)
		t.rows = append(t.rows, row)
		t.byCode[row.code] = resolved{row, row.status}
	}
	if fallback != nil {
		t.rows = append(t.rows, fallback)
	}
	if len(l.errs) > failed {
		return t
	}
	for i := range codeTable {
		info := &codeTable[i]
		found, ok := t.resolve(info, fallback)
		if !ok && info.fallback != "" {
			continue // told once, for the code that it falls back to
		}
		if !ok {
			l.fail(n.position, "the code "+string(info.code)+" has no row", "add "+string(info.code)+": {status: "+strconv.Itoa(info.status)+"}, or a row default")
			continue
		}
		t.byCode[info.code] = found
	}
	return t
}

// resolve follows a code's fallbacks to a row.
func (t *errorTable) resolve(info *codeInfo, fallback *errorRow) (resolved, bool) {
	for at := info; at != nil; at = codeByName[at.fallback] {
		found, ok := t.byCode[at.code]
		if ok && found.row.code == at.code {
			if at != info && info.keeps {
				return resolved{found.row, info.status}, true
			}
			return resolved{found.row, found.row.status}, true
		}
	}
	if fallback == nil {
		return resolved{}, false
	}
	if info.keeps {
		return resolved{fallback, info.status}, true
	}
	return resolved{fallback, fallback.status}, true
}

// errorMessage joins a row's own headers and body to the table's.
func errorMessage(table, row *node) *node {
	out := &node{position: table.position, kind: mapping}
	for _, key := range []string{"headers", "body"} {
		for _, n := range []*node{row, table} {
			if n == nil {
				continue
			}
			if value := n.get(key); value != nil {
				out.pairs = append(out.pairs, pair{value.position, key, value})
				break
			}
		}
	}
	return out
}

func (l *loader) compileRow(table *node, p pair, shared *message) *errorRow {
	keys := []string{"status", "headers", "body", "message"}
	for _, h := range rowHoles {
		keys = append(keys, string(h))
	}
	if !l.expect(p.value, mapping, "an error row") || !l.onlyKeys(p.value, keys) {
		return nil
	}
	row := &errorRow{body: shared}
	if status := p.value.get("status"); status != nil {
		row.status = l.status(status)
	} else {
		l.fail(p.value.position, "the row has no status", "add status: 400, or whatever fits")
	}
	if p.value.get("headers") != nil || p.value.get("body") != nil {
		if row.body = l.compileMessage(errorMessage(table, p.value), inError); row.body == nil {
			return nil
		}
	}
	if text := p.value.get("message"); text != nil {
		row.message = l.text(text, "message")
	}
	for _, h := range rowHoles {
		value := p.value.get(string(h))
		if value == nil {
			if row.body != nil && row.body.requires(h) {
				l.fail(p.value.position, "the body has {"+string(h)+"} but the row doesn't say it", "add "+string(h)+": to the row")
			}
			continue
		}
		if value.kind == mapping || value.kind == sequence {
			l.fail(value.position, "a row's value must be plain", "write text, a number, true or false")
			continue
		}
		if row.body == nil || !row.body.hasHole(h) {
			l.fail(value.position, "the row says "+string(h)+" but the body has no {"+string(h)+"}", "put the hole into the body, or leave the value out")
			continue
		}
		row.values = append(row.values, entry{h, literalValue(nodeRaw(value))})
	}
	return row
}

func (m *message) requires(h Hole) bool {
	for i := range m.slots {
		for _, use := range m.slots[i].holes() {
			if use.name == h && !use.optional && !use.hasDefault {
				return true
			}
		}
	}
	return false
}

// WriteError writes the answer for a code on the server. It always succeeds:
// a value that is unset or can't be written is left out, and a code beyond
// the closed set is a server_error. {message} is v's, else the row's, else
// the code's own sentence; {invalid.field} and {invalid.message} are v's
// fields.
//
// The answer is not to be stored. A 401 asks for a Bearer token (RFC 9110
// section 11.6.1) unless the file says otherwise, a 405 lists the methods of
// v's path, and v's retry_after becomes Retry-After, rounded up to a second.
func (d *Dialect) WriteError(code Code, v Values) *Response {
	info, ok := codeByName[code]
	if !ok {
		info = codeByName[ServerError]
	}
	found := d.errors.byCode[info.code]
	values := v.Clone()
	for _, e := range found.row.values {
		values.set(e.hole, e.value)
	}
	if !values.Has(Message) {
		text := found.row.message
		if text == "" || info.keeps && found.row.code != info.code {
			text = info.message // a row of another code speaks of something else
		}
		values.SetText(Message, text)
	}
	out := &Response{Header: http.Header{"Cache-Control": {"no-store"}}}
	if found.row.body != nil {
		// A lenient writer has no errors.
		_ = found.row.body.writeAnswer(out, &writer{message: found.row.body, values: values, fields: v.fields, lenient: true})
	}
	out.Status = found.status
	if challenge, ok := out.Header["Www-Authenticate"]; ok && challenge[0] == "" {
		delete(out.Header, "Www-Authenticate")
	} else if !ok && out.Status == http.StatusUnauthorized {
		out.Header["Www-Authenticate"] = []string{"Bearer"}
	}
	if wait := v.Duration(RetryAfter); wait > 0 {
		out.Header["Retry-After"] = []string{strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)}
	}
	if info.code == MethodNotAllowed {
		out.Header["Allow"] = []string{strings.Join(d.Methods(v.Text(Path)), ", ")}
	}
	return out
}

// ReadError reads an answer through the error table on the client. Rows are
// tried in the file's order: first for one whose body and status both match,
// then, since some APIs tell failure by the body alone, for one whose body
// names an error. ok is false when no row fits; the refusal is then made of
// the HTTP status and of what the table's body has in common.
func (d *Dialect) ReadError(r *Response) (refusal *Refusal, ok bool) {
	read := map[*message]*errorAnswer{}
	answers := make([]*errorAnswer, len(d.errors.rows))
	for i, row := range d.errors.rows {
		if read[row.body] == nil {
			read[row.body] = row.body.readError(r)
		}
		answers[i] = read[row.body]
	}
	for _, byBody := range []bool{false, true} {
		for i, row := range d.errors.rows {
			named, fits := row.matches(answers[i])
			if fits && (byBody && named || !byBody && d.errors.answers(row, r.Status)) {
				return answers[i].refusal(d.errors.codeOf(row, r.Status), r), true
			}
		}
	}
	out := &Refusal{Code: codeOfStatus(r.Status), Status: r.Status, RetryAfter: retryAfter(r.Header)}
	for _, a := range answers {
		if a != nil && a.readable {
			return a.refusal(out.Code, r), false
		}
	}
	return out, false
}

// answers reports whether the table answers with this row and status: the
// row's own, or that of a code which falls back to it.
func (t *errorTable) answers(row *errorRow, status int) bool {
	for _, found := range t.byCode {
		if found.row == row && found.status == status {
			return true
		}
	}
	return row.status == status
}

// codeOf names the code of a matched row. A status that belongs to a code
// which falls back to the row tells them apart.
func (t *errorTable) codeOf(row *errorRow, status int) Code {
	if row.status != status || row.code == "" {
		for i := range codeTable {
			if found := t.byCode[codeTable[i].code]; found.row == row && found.status == status {
				return codeTable[i].code
			}
		}
	}
	if row.code == "" {
		return codeOfStatus(status)
	}
	return row.code
}

// errorAnswer is an answer read with one error body.
type errorAnswer struct {
	message  *message
	readable bool
	raws     []raw
	fields   []FieldError
}

func (m *message) readError(r *Response) *errorAnswer {
	a := &errorAnswer{message: m}
	if m == nil {
		a.readable = true
		return a
	}
	a.raws = make([]raw, len(m.slots))
	if m.collectHeaders(r.Header, a.raws) != nil {
		return a
	}
	a.readable = m.json == nil || m.readJSON(r.Body, a.raws, &a.fields) == nil
	return a
}

// matches compares the answer's literals and the row's values. named reports
// whether a value of the row was among them.
func (row *errorRow) matches(a *errorAnswer) (named, fits bool) {
	if !a.readable {
		return false, false
	}
	if a.message == nil {
		return false, true
	}
	for i := range a.message.slots {
		s := &a.message.slots[i]
		if s.isLiteral() {
			if s.place == inBody && !literalMatches(s.literal, a.raws[i], reading{}) {
				return false, false
			}
			continue
		}
		use := s.single()
		if use == nil || use.kind != kindScalar {
			continue
		}
		var want raw
		for _, e := range row.values {
			if e.hole == use.name {
				want = literalRaw(e.value)
			}
		}
		if want.kind == absent {
			continue // optional and not said by this row
		}
		if !literalMatches(want, a.raws[i], reading{untyped: s.place != inBody}) {
			return false, false
		}
		named = true
	}
	return named, true
}

func (a *errorAnswer) refusal(code Code, r *Response) *Refusal {
	out := &Refusal{Code: code, Status: r.Status, Fields: a.fields, RetryAfter: retryAfter(r.Header)}
	if a.message == nil {
		return out
	}
	var v Values
	for i := range a.message.slots {
		s := &a.message.slots[i]
		if !s.isLiteral() {
			// What can't be read of an error is left out of it.
			_ = s.read(a.raws[i], &v, s.reading(inError))
		}
	}
	out.Message, out.RequestID = v.Text(Message), v.Text(RequestID)
	if wait := v.Duration(RetryAfter); out.RetryAfter == 0 {
		out.RetryAfter = wait
	}
	return out
}

// retryAfter reads both forms of RFC 9110 section 10.2.3. A date is measured
// from the answer's own Date, so that no clock needs to agree.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	from, errDate := http.ParseTime(h.Get("Date"))
	if err != nil || errDate != nil {
		return 0
	}
	return max(0, at.Sub(from))
}
