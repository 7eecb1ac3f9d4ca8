package reference

import (
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A Snippet is a request as a program in one language. It runs as pasted: what
// differs between callers it takes from the environment, in variables that are
// called like the holes in capitals and hold what goes on the wire.
type Snippet struct {
	Language string // as people call it
	Lexer    string // for the colours
	Code     string
}

// Snippets writes an operation's request in curl, Go, Python and JavaScript.
// path stands in for the path of an operation that has none of its own.
func Snippets(o *dialect.Operation, base, path string) ([]Snippet, error) {
	q := newAsk(o, base, path)
	golang, err := q.golang()
	if err != nil {
		return nil, fmt.Errorf("writing %s in Go: %w", o.Name, err)
	}
	return []Snippet{
		{"curl", "sh", q.curl()}, {"Go", "go", golang}, {"Python", "python", q.python()}, {"JavaScript", "js", q.javascript()},
	}, nil
}

// Variable is the environment variable that a hole's value is taken from.
func Variable(h dialect.Hole) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		} else if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, string(h))
}

// An ask is a request with what nobody must send left out.
type ask struct {
	*dialect.Layout
	base string
}

func newAsk(o *dialect.Operation, base, path string) ask {
	l := o.RequestLayout()
	q := ask{&dialect.Layout{Method: l.Method, Path: l.Path, Basic: l.Basic}, base}
	q.Query, q.Headers, q.Form = required(l.Query), required(l.Headers), required(l.Form)
	q.Body = requiredMembers(l.Body)
	if len(q.Path) == 0 {
		q.Path = []dialect.Piece{{Text: path}}
	}
	if q.Method == "" {
		q.Method = "GET"
		if o.ReadsBody() {
			q.Method = "POST"
		}
	}
	switch {
	case l.Body != nil:
		q.Headers = append(q.Headers, plain("Content-Type", "application/json"))
	case l.Form != nil:
		q.Headers = append(q.Headers, plain("Content-Type", "application/x-www-form-urlencoded"))
	}
	return q
}

func plain(name, value string) dialect.LaidField {
	return dialect.LaidField{Name: name, Value: []dialect.Piece{{Text: value, Type: "string"}}}
}

func isRequired(pieces []dialect.Piece) bool {
	for _, p := range pieces {
		if p.Optional {
			return false
		}
	}
	return true
}

func required(all []dialect.LaidField) (out []dialect.LaidField) {
	for _, f := range all {
		if isRequired(f.Value) {
			out = append(out, f)
		}
	}
	return out
}

func requiredMembers(all []dialect.LaidMember) (out []dialect.LaidMember) {
	for _, m := range all {
		switch {
		case m.Value != nil:
			if !isRequired(m.Value) {
				continue
			}
		case m.Members != nil:
			if m.Members = requiredMembers(m.Members); m.Members == nil {
				continue
			}
		case m.Items != nil:
			m.Items = requiredMembers(m.Items)
		}
		out = append(out, m)
	}
	return out
}

// varies reports whether a piece is taken from the environment. Numbers and the
// like stand there as an example.
func varies(p dialect.Piece) bool { return p.Hole != "" && p.Type == "string" }

// secretIn reports whether a value must not be seen by others on the machine.
func secretIn(pieces []dialect.Piece) bool {
	for _, p := range pieces {
		if p.Secret {
			return true
		}
	}
	return false
}

// expression joins a value's pieces in a language: text is how it writes
// literal text, variable how it reads the environment, plus how it joins.
func expression(pieces []dialect.Piece, text, variable func(string) string, plus string) string {
	var out []string
	for _, p := range pieces {
		switch {
		case varies(p):
			out = append(out, variable(Variable(p.Hole)))
		default:
			out = append(out, text(p.Text))
		}
	}
	if len(out) == 0 {
		return text("")
	}
	return strings.Join(out, plus)
}

// scalar writes a JSON value: bare where JSON's and the language's spelling of
// its type agree.
func scalar(pieces []dialect.Piece, words map[string]string, text func(string) string, otherwise func() string) string {
	if len(pieces) == 1 && pieces[0].Type != "string" && pieces[0].Type != "array" {
		word := pieces[0].Text
		if pieces[0].Type == "null" {
			word = "null"
		}
		if spelled, ok := words[word]; ok {
			return spelled
		}
		return word
	}
	if len(pieces) == 1 && pieces[0].Type == "array" {
		return text(pieces[0].Text)
	}
	return otherwise()
}
