package dialect

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// exampleBase stands where a file names no host.
const exampleBase = "https://api.example.com"

// Markdown writes the reference page of the API, made from the file alone:
// each operation with its fields and an example in both directions, the error
// table, the token's life and what clients should make a habit of.
func (d *Dialect) Markdown(w io.Writer) error {
	p := &page{dialect: d, base: exampleBase}
	if host := d.Hosts["live"]; host != "" {
		p.base = host
	}
	p.line("# %s", markdownText(d.Title))
	if d.Summary != "" {
		p.line("%s", markdownText(d.Summary))
	}
	p.hosts()
	p.token()
	for _, o := range d.Operations {
		if err := p.operation(o); err != nil {
			return err
		}
	}
	p.errors()
	p.habits()
	_, err := w.Write(p.out.Bytes())
	return err
}

type page struct {
	dialect *Dialect
	base    string
	out     bytes.Buffer
}

// line writes a paragraph.
func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.out, format+"\n\n", args...)
}

func (p *page) item(format string, args ...any) {
	fmt.Fprintf(&p.out, "- "+format+"\n", args...)
}

func (p *page) code(language, text string) {
	p.line("```%s\n%s\n```", language, strings.TrimRight(text, "\n"))
}

func (p *page) hosts() {
	if len(p.dialect.Hosts) == 0 {
		return
	}
	p.line("## Hosts")
	for _, e := range slices.Sorted(maps.Keys(p.dialect.Hosts)) {
		p.item("%s: `%s`", e, p.dialect.Hosts[e])
	}
	p.out.WriteByte('\n')
}

func (p *page) token() {
	t := p.dialect.Token
	p.line("## The token")
	if t.Format == JWT {
		p.item("It is a JWT signed with %s.", t.Algorithm)
	} else {
		p.item("It is opaque: look at nothing in it%s.", map[bool]string{true: " but its prefix"}[len(t.Prefix) > 0])
	}
	for _, e := range slices.Sorted(maps.Keys(t.Prefix)) {
		p.item("In %s it begins with `%s`.", e, t.Prefix[e])
	}
	switch {
	case t.Permanent:
		p.item("It does not expire. It ends when it is revoked or its connection is delinked.")
	case t.Longest > t.Life:
		p.item("It lives for %s unless another life is asked for, %s at most.", span(t.Life), span(t.Longest))
	default:
		p.item("It lives for %s.", span(t.Life))
	}
	switch t.Refresh.Mode {
	case RefreshReuse:
		p.item("Its refresh token is used again and again, until %s after it was first given.", span(t.Refresh.Life))
	case RefreshRotate:
		p.item("Its refresh token works once, and each use gives the next one; the chain ends after %s.", span(t.Refresh.Life))
	}
	if t.CodeLife > 0 {
		p.item("It is given for an access code, which works once and within %s.", span(t.CodeLife))
	}
	if p.dialect.Rules.ClientIDs == PerEnvironmentIDs {
		p.item("Sandbox and live have their own client ids and secrets.")
	} else {
		p.item("A client has one id; sandbox and live have their own secrets.")
	}
	p.out.WriteByte('\n')
}

func (p *page) operation(o *Operation) error {
	if o.Path() == "" {
		p.line("## %s", title(string(o.Name)))
	} else {
		p.line("## %s: `%s %s`", title(string(o.Name)), o.Method(), o.Path())
	}
	if o.About != "" {
		p.line("%s", markdownText(o.About))
	}
	if m := o.request; m != nil {
		p.line("### Request")
		p.fields(m)
		v := p.dialect.exampleValues(m)
		if o.Name == Use {
			r, err := o.WriteRequest(p.base, v)
			if err != nil {
				return err
			}
			p.code("http", httpText("", m, r.Header, r.Body))
		} else {
			line, err := o.Curl(p.base, v)
			if err != nil {
				return err
			}
			p.code("sh", line)
		}
	}
	if m := o.response; m != nil {
		p.line("### Answer")
		p.fields(m)
		r, err := o.WriteResponse(p.dialect.exampleValues(m))
		if err != nil {
			return err
		}
		p.code("http", httpText(statusLine(r.Status), m, r.Header, r.Body))
	}
	return nil
}

// fields writes the table of a message's fields.
func (p *page) fields(m *message) {
	if len(m.slots) == 0 {
		p.line("Nothing.")
		return
	}
	p.out.WriteString("| Field | Where | Required | Meaning |\n|---|---|---|---|\n")
	for i := range m.slots {
		s := &m.slots[i]
		required := "yes"
		switch {
		case s.alternative != always:
			required = fmt.Sprintf("in one of %d places", m.alternatives)
		case !s.required():
			required = "no"
		}
		fmt.Fprintf(&p.out, "| `%s` | %s | %s | %s |\n", s.label, s.place, required, strings.ReplaceAll(p.meaning(s), "|", `\|`))
	}
	p.out.WriteByte('\n')
}

func (p *page) meaning(s *slot) string {
	if s.isLiteral() {
		if s.literal.kind == rawText {
			return "always `" + s.literal.text + "`"
		}
		return "always `" + string(s.literal.json()) + "`"
	}
	var words []string
	for _, use := range s.holes() {
		words = append(words, markdownText(p.dialect.meaning(use)))
	}
	text := strings.Join(words, "; ")
	if use := s.single(); use != nil {
		if use.hasDefault {
			return "`" + use.fallback + "`"
		}
		if use.codec.name != "text" && use.codec != literalCodec {
			text += ", as " + use.codec.about
		}
	} else {
		text = "`" + s.source() + "`: " + text
	}
	return text
}

// source spells a pattern as a reader of the page understands it.
func (p *pattern) source() string {
	var b strings.Builder
	for _, part := range p.parts {
		if part.hole != nil {
			b.WriteString("{" + string(part.hole.name) + "}")
		} else {
			b.WriteString(part.literal)
		}
	}
	return b.String()
}

func (p *page) errors() {
	p.line("## Errors")
	p.out.WriteString("| Reason | Status | Body |\n|---|---|---|\n")
	type answer struct {
		status int
		body   string
	}
	var order []answer
	reasons := map[answer][]string{}
	for _, code := range Codes() {
		r := p.dialect.WriteError(code, p.errorValues())
		a := answer{r.Status, string(r.Body)}
		if reasons[a] == nil {
			order = append(order, a)
		}
		reasons[a] = append(reasons[a], "`"+string(code)+"`")
	}
	for _, a := range order {
		fmt.Fprintf(&p.out, "| %s | %d | `%s` |\n", strings.Join(reasons[a], ", "), a.status, strings.ReplaceAll(a.body, "|", `\|`))
	}
	p.out.WriteByte('\n')
}

func (p *page) errorValues() Values {
	var v Values
	v.SetText(Path, "/example")
	v.SetText(RequestID, "req-7h2k9q")
	v.SetTime(Now, exampleTime)
	return v
}

func (p *page) habits() {
	p.line("## Habits of a good client")
	t := p.dialect.Token
	switch {
	case len(p.dialect.Notes) > 0:
		for _, note := range p.dialect.Notes {
			p.item("%s", markdownText(note))
		}
	case t.Permanent:
		p.item("Keep the token as carefully as a password, and delink what you no longer need.")
	default:
		p.item("Keep the token for its whole life; don't ask for one with each call.")
		p.item("Get the next token shortly before this one ends.")
		p.item("On a 401, get a new token once and repeat the call.")
	}
	p.item("On a 429 or 503, wait for as long as Retry-After says.")
	p.item("Keep secrets on the server, out of browsers, apps and repositories.")
}

func statusLine(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status))
}

// httpText shows a message as it goes over the wire, its JSON indented.
func httpText(first string, m *message, h http.Header, body []byte) string {
	var b strings.Builder
	if first != "" {
		b.WriteString(first + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b.WriteString(m.headerLabel(name) + ": " + h.Get(name) + "\n")
	}
	if len(body) > 0 {
		value := jsontext.Value(slices.Clone(body))
		if value.Indent(jsontext.WithIndent("  ")) == nil {
			body = value
		}
		b.WriteString("\n" + string(body))
	}
	return b.String()
}

// span words a duration in its largest whole unit.
func span(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d%unit.length == 0 {
			if d == unit.length {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", d/unit.length, unit.name)
		}
	}
	return d.String()
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// markdownText keeps a file's words from becoming markup on the page.
func markdownText(s string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "\n", " ").Replace(s)
}
